// The explorer: GraphiQL with the schema's documentation, the query builder, a history and sign-in.

import "./monaco_workers.js";
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "graphiql/graphiql.css";
import "./style.css";

import { explorerPlugin } from "@graphiql/plugin-explorer";
import { HISTORY_PLUGIN } from "@graphiql/plugin-history";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import { Account } from "./account.jsx";
import { tabs } from "./examples.js";
import { fetcher } from "./fetcher.js";
import { refresh } from "./session.js";
import { SystemTheme } from "./system_theme.js";

const PLUGINS = [explorerPlugin({ showAttribution: false }), HISTORY_PLUGIN];

/** The latest post, for the examples to work on; none when the server does not answer now. */
async function latestPost() {
  try {
    const data = await refresh("posts(first: 1, filter: { kind: [ARTICLE] }) { nodes { id } }");
    return data.posts.nodes[0]?.id;
  } catch {
    return undefined;
  }
}

const defaultTabs = tabs(await latestPost());

createRoot(document.getElementById("root")).render(
  <GraphiQL fetcher={fetcher} plugins={PLUGINS} defaultTabs={defaultTabs} defaultEditorToolsVisibility={true}>
    <GraphiQL.Logo>
      <SystemTheme />
      <Account />
    </GraphiQL.Logo>
  </GraphiQL>,
);
