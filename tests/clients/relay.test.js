// Relay: the compiler reads the schema, the runtime pages through connections in both directions,
// asks for objects by their global ids, and puts what a subscription tells into a connection.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { suite, test } from "node:test";

import { createClient } from "graphql-ws";
import compiler from "relay-compiler";
import relay from "relay-runtime";
import WebSocket from "ws";

import { Seen, Thread } from "./support/live.js";
import { Proxy } from "./support/proxy.js";
import { bearer, graphqlUrl, inTime, ownerToken, publishPost, unique } from "./support/server.js";

const { ConnectionHandler, Environment, Network, Observable, RecordSource, Store } = relay;

// Artefacts are CommonJS: they import one another without naming the end of the file.
const folder = new URL("relay/generated/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL("package.json", folder), '{ "type": "commonjs" }\n');
execFileSync(compiler, ["relay.config.json", "--output", "quiet-with-errors"], {
  cwd: new URL("relay/", import.meta.url),
  timeout: 30_000,
  stdio: ["ignore", "ignore", "inherit"],
});
const artefact = (name) => createRequire(folder)(`./${name}.graphql.js`);

/** An environment for one test, that asks in the owner's name. */
async function open(t, socketOrigin) {
  const headers = { "content-type": "application/json", ...bearer(await ownerToken()) };
  const ask = async ({ text }, variables) => {
    const answer = await fetch(graphqlUrl, { method: "POST", headers, body: JSON.stringify({ query: text, variables }) });
    return answer.json();
  };
  return new Environment({ network: Network.create(ask, subscriber(t, socketOrigin)), store: new Store(new RecordSource()) });
}

/** Subscriptions over a WebSocket that comes back with the last cursor; `seen` is among the metadata. */
function subscriber(t, socketOrigin = new URL(graphqlUrl).origin) {
  return ({ text }, variables, { metadata: { seen, thread } = {} }) =>
    Observable.create((sink) => {
      const client = createClient({
        url: `${socketOrigin.replace("http", "ws")}/graphql`,
        webSocketImpl: WebSocket,
        shouldRetry: () => true,
        retryWait: () => thread.write(),
      });
      t.after(() => client.dispose());
      const request = {
        query: text,
        get variables() {
          return { ...variables, after: seen.cursor };
        },
      };
      return client.subscribe(request, sink);
    });
}

/** A connection as a component sees it, with what `usePaginationFragment` does to it. */
class Paginated {
  constructor(environment, fragment, operation, path) {
    this.environment = environment;
    this.fragment = fragment;
    this.operation = operation;
    this.path = path;
    // Keeps the store from forgetting it.
    environment.retain(operation);
  }

  static async fetch(environment, query, variables, fragment, path = []) {
    await inTime(relay.fetchQuery(environment, query, variables).toPromise(), "an answer");
    return new Paginated(environment, fragment, relay.createOperationDescriptor(query, variables), path);
  }

  get #selector() {
    const { data } = this.environment.lookup(this.operation.fragment);
    return relay.getSingularSelector(this.fragment, this.path.reduce((object, key) => object[key], data));
  }

  get data() {
    const { data, isMissingData } = this.environment.lookup(this.#selector);
    assert.equal(isMissingData, false, "all that the fragment asks for is in the store");
    return data;
  }

  get connection() {
    const { connectionPathInFragmentData: path } = relay.getPaginationMetadata(this.fragment, "a component");
    return path.reduce((object, key) => object[key], this.data);
  }

  get ids() {
    return this.connection.edges.map(({ node }) => node.id);
  }

  /** `forward` or `backward`, as `loadNext` and `loadPrevious` do. */
  async load(direction, count) {
    const { paginationRequest, paginationMetadata, identifierField } = relay.getPaginationMetadata(this.fragment, "a component");
    const { startCursor, endCursor } = this.connection.pageInfo;
    const selector = this.#selector;
    const cursor = direction === "forward" ? endCursor : startCursor;
    const base = { ...this.operation.request.variables, ...selector.variables };
    const variables = relay.getPaginationVariables(direction, count, cursor, base, {}, paginationMetadata);
    if (identifierField) variables.id = this.data[identifierField];
    await inTime(relay.fetchQuery(this.environment, paginationRequest, variables).toPromise(), "a page");
  }
}

/** A tag of one test's own, with so many posts, oldest first. */
async function taggedPosts(count) {
  const tag = unique("tag").replaceAll(" ", "-");
  const ids = [];
  for (let i = 0; i < count; i++) ids.push((await publishPost({ tags: [tag] })).id);
  return { tag, newestFirst: ids.reverse() };
}

suite("a connection", () => {
  const posts = (environment, variables) =>
    Paginated.fetch(environment, artefact("documentsPostsQuery"), variables, artefact("documents_posts"));

  test("is loaded forwards to its end", async (t) => {
    const { tag, newestFirst } = await taggedPosts(7);
    const page = await posts(await open(t), { first: 3, tag });
    for (const loaded of [3, 6]) {
      assert.deepEqual(page.ids, newestFirst.slice(0, loaded));
      assert.equal(page.connection.pageInfo.hasNextPage, true, `there is more than ${loaded} of 7`);
      await page.load("forward", 3);
    }
    assert.deepEqual(page.ids, newestFirst);
    assert.equal(page.connection.pageInfo.hasNextPage, false);
  });

  test("is loaded backwards to its beginning", async (t) => {
    const { tag, newestFirst } = await taggedPosts(7);
    const page = await posts(await open(t), { last: 3, tag });
    for (const loaded of [3, 6]) {
      assert.deepEqual(page.ids, newestFirst.slice(-loaded));
      assert.equal(page.connection.pageInfo.hasPreviousPage, true, `there is more than ${loaded} of 7`);
      await page.load("backward", 3);
    }
    assert.deepEqual(page.ids, newestFirst);
    assert.equal(page.connection.pageInfo.hasPreviousPage, false);
  });

  test("below an object is loaded through node(id:), in both directions", async (t) => {
    const thread = await Thread.begin();
    for (let i = 0; i < 5; i++) await thread.write();
    for (const [variables, direction, half] of [[{ first: 3 }, "forward", thread.written.slice(0, 3)], [{ last: 3 }, "backward", thread.written.slice(2)]]) {
      const comments = await Paginated.fetch(
        await open(t), artefact("documentsPostQuery"), { slug: thread.post.slug, ...variables }, artefact("documents_comments"), ["post"]);
      assert.deepEqual(comments.ids, half);
      await comments.load(direction, 3);
      assert.deepEqual(comments.ids, thread.written, direction);
      assert.equal(comments.data.title, thread.post.title);
    }
  });
});

suite("node(id:)", () => {
  const NODE = artefact("documentsNodeQuery");
  const fetchNode = (environment, id) => inTime(relay.fetchQuery(environment, NODE, { id }).toPromise(), "an answer");

  test("gives an object again, with its type", async (t) => {
    const { id, title } = await publishPost();
    assert.deepEqual(await fetchNode(await open(t), id), { node: { __typename: "Post", id, title } });
  });

  test("gives null for what does not exist", async (t) => {
    const token = await ownerToken();
    const { id } = await publishPost();
    const body = JSON.stringify({ query: "mutation ($id: ID!) { deletePost(input: { id: $id }) { userErrors { code } } }", variables: { id } });
    await fetch(graphqlUrl, { method: "POST", headers: { "content-type": "application/json", ...bearer(token) }, body });
    assert.deepEqual(await fetchNode(await open(t), id), { node: null });
  });
});

suite("a connection that changes", () => {
  async function openThread(t, socketOrigin) {
    const thread = await Thread.begin();
    const environment = await open(t, socketOrigin);
    const comments = await Paginated.fetch(
      environment, artefact("documentsPostQuery"), { slug: thread.post.slug, first: 50 }, artefact("documents_comments"), ["post"]);
    const connections = [ConnectionHandler.getConnectionID(thread.post.id, "documents_comments")];
    return { thread, environment, comments, connections };
  }

  test("a mutation appends what it made", async (t) => {
    const { thread, environment, comments, connections } = await openThread(t);
    const markdown = unique("By Relay");
    const committing = new Promise((onCompleted, onError) =>
      relay.commitMutation(environment, {
        mutation: artefact("documentsAddCommentMutation"),
        variables: { input: { postId: thread.post.id, markdown }, connections },
        onCompleted,
        onError,
      }));
    const { addComment } = await inTime(committing, "the mutation's answer");
    assert.deepEqual(addComment.userErrors, []);
    assert.deepEqual(comments.connection.edges.map(({ node }) => node.markdown), [markdown]);
  });

  test("a subscription appends what others write, also after a broken connection", async (t) => {
    const proxy = await Proxy.start(t);
    const { thread, environment, comments, connections } = await openThread(t, proxy.origin);
    const seen = new Seen();
    const { dispose } = relay.requestSubscription(environment, {
      subscription: artefact("documentsCommentAddedSubscription"),
      variables: { postId: thread.post.id, connections },
      cacheConfig: { metadata: { seen, thread } },
      onNext: ({ commentAdded }) => seen.add(commentAdded),
      onError: (error) => seen.fail(error),
    });
    t.after(dispose);
    await thread.writeUntil(seen);
    await thread.writeThrough(proxy, seen);
    assert.deepEqual(comments.ids, seen.ids, "each once, in order");
  });
});
