// Carries GraphiQL's operations to the server: queries and mutations over POST, subscriptions over
// a WebSocket (`graphql-transport-ws`). The session's token goes along unless the headers editor
// has an `Authorization` of its own.

import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { Kind, parse } from "graphql";
import { createClient } from "graphql-ws";
import { authorization, endpoint, jsonOf, refresh, refused } from "./session.js";

const SESSION_FIELDS = /\bsign(In|Out|Up)\b/;
const FORBIDDEN = 4403;

export async function fetcher(params, options) {
  const carry = createGraphiQLFetcher({
    url: endpoint.href,
    fetch: send,
    // The server answers in one piece: no `@defer`, no `@stream`.
    enableIncrementalDelivery: false,
    wsClient: connect(options?.headers),
  });
  const result = await carry(...settled(params, options));
  // Somebody may sign in or out by hand as well.
  if (SESSION_FIELDS.test(params.query)) refresh().catch(() => {});
  return result;
}

/** GraphiQL notices late that another tab has another document: the name and the kind of the
    operation are taken from the document itself. */
function settled(params, options) {
  let document;
  try {
    document = parse(params.query);
  } catch {
    // The server says better what is wrong with it.
    return [params, options];
  }
  const operations = document.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  const names = operations.map(({ name }) => name?.value);
  const operationName = names.includes(params.operationName) ? params.operationName : names[0];
  return [{ ...params, operationName }, { ...options, documentAST: document }];
}

async function send(url, init) {
  const headers = new Headers(init.headers);
  const ours = headers.has("authorization") ? null : authorization();
  if (ours) headers.set("authorization", ours);
  const response = await fetch(url, { ...init, headers });
  if (ours && response.status === 401) refused(ours);
  return { json: () => jsonOf(response) };
}

/** A client that connects when something is subscribed to, and leaves when it is over. */
function connect(headers = {}) {
  const names = Object.keys(headers).filter((name) => name.toLowerCase() === "authorization");
  const url = new URL(endpoint);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  let ours = null;
  return createClient({
    url: url.href,
    connectionParams() {
      const byHand = names.map((name) => headers[name]).at(-1);
      ours = byHand === undefined ? authorization() : null;
      const chosen = byHand ?? ours;
      return chosen ? { authorization: chosen } : {};
    },
    on: {
      closed(event) {
        if (ours && event.code === FORBIDDEN) refused(ours);
      },
    },
  });
}
