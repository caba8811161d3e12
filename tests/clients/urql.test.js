// urql: queries, mutations, and subscriptions over graphql-sse, graphql-ws, and with nothing but urql.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { Client, cacheExchange, fetchExchange, gql, subscriptionExchange } from "@urql/core";
import * as sse from "graphql-sse";
import * as ws from "graphql-ws";
import WebSocket from "ws";

import { COMMENT_ADDED, Seen, Thread } from "./support/live.js";
import { Proxy } from "./support/proxy.js";
import { bearer, graphqlUrl, inTime, ownerToken, publishPost, streamUrl, unique } from "./support/server.js";

const EXCHANGES = [cacheExchange, fetchExchange];
const open = (options = {}) => new Client({ url: graphqlUrl, exchanges: EXCHANGES, preferGetMethod: false, ...options });

/** Watches the comments of a thread. */
function watch(t, client, thread, seen, context) {
  const { unsubscribe } = client
    .subscription(gql(COMMENT_ADDED), { postId: thread.post.id }, context)
    .subscribe(({ data, error }) => (error ? seen.fail(error) : seen.add(data.commentAdded)));
  t.after(unsubscribe);
}

suite("over HTTP", () => {
  const POST = gql`query ($slug: String!) { post(slug: $slug) { id title } }`;

  for (const preferGetMethod of [false, "force", "within-url-limit"]) {
    test(`a query is answered, preferGetMethod: ${preferGetMethod}`, async () => {
      const { id, slug, title } = await publishPost();
      const { data, error } = await open({ preferGetMethod }).query(POST, { slug });
      assert.equal(error, undefined);
      assert.deepEqual(data.post, { __typename: "Post", id, title });
    });
  }

  test("a mutation makes the cache ask again", async (t) => {
    const client = open({ fetchOptions: { headers: bearer(await ownerToken()) } });
    const { id, slug, title, version } = await publishPost();
    const another = unique("Another title");
    const titles = [];
    let first, changed;
    const firstAnswer = new Promise((resolve) => (first = resolve));
    const lastAnswer = new Promise((resolve) => (changed = resolve));
    const { unsubscribe } = client.query(POST, { slug }).subscribe(({ data, error, stale }) => {
      assert.equal(error, undefined);
      if (stale) return;
      titles.push(data.post.title);
      first();
      if (data.post.title === another) changed();
    });
    t.after(unsubscribe);
    await inTime(firstAnswer, "the first answer");
    const UPDATE = gql`mutation ($input: UpdatePostInput!) { updatePost(input: $input) { post { id } userErrors { code } } }`;
    const { data, error } = await client.mutation(UPDATE, { input: { id, title: another, basedOnVersion: version } });
    assert.equal(error, undefined);
    assert.deepEqual(data.updatePost.userErrors, []);
    await inTime(lastAnswer, "the answer with the other title");
    assert.deepEqual(titles, [title, another]);
  });

  test("errors come with their codes, those of status 400 and 401 as well", async () => {
    const invalid = await open().query(gql`{ nonsense }`, {});
    assert.equal(invalid.error?.graphQLErrors[0]?.extensions.code, "BAD_USER_INPUT", `${invalid.error}`);
    const unknown = await open({ fetchOptions: { headers: bearer("wrong") } }).query(gql`{ site { title } }`, {});
    assert.equal(unknown.error?.graphQLErrors[0]?.extensions.code, "UNAUTHENTICATED", `${unknown.error}`);
  });
});

suite("a subscription misses nothing when the connection breaks", () => {
  /** The request, with `after` as it is when the client asks, and again when it asks again. */
  const resuming = ({ query, variables }, seen) => ({
    query,
    get variables() {
      return { ...variables, after: seen.cursor };
    },
  });

  const exchange = (client, seen) =>
    subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe: (sink) => ({ unsubscribe: client.subscribe(resuming(request, seen), sink) }),
      }),
    });

  test("through graphql-sse", async (t) => {
    const proxy = await Proxy.start(t);
    const [thread, seen] = [await Thread.begin(), new Seen()];
    const stream = sse.createClient({ url: `${proxy.origin}/graphql/stream`, retry: () => thread.write() });
    t.after(() => stream.dispose());
    watch(t, open({ exchanges: [...EXCHANGES, exchange(stream, seen)] }), thread, seen);
    await thread.writeUntil(seen);
    await thread.writeThrough(proxy, seen);
  });

  test("through graphql-ws", async (t) => {
    const proxy = await Proxy.start(t);
    const [thread, seen] = [await Thread.begin(), new Seen()];
    const socket = ws.createClient({
      url: `${proxy.origin.replace("http", "ws")}/graphql`,
      webSocketImpl: WebSocket,
      shouldRetry: () => true,
      retryWait: () => thread.write(),
    });
    t.after(() => socket.dispose());
    watch(t, open({ exchanges: [...EXCHANGES, exchange(socket, seen)] }), thread, seen);
    await thread.writeUntil(seen);
    await thread.writeThrough(proxy, seen);
  });
});

test("fetchExchange by itself reads a subscription from /graphql/stream", async (t) => {
  const [thread, seen] = [await Thread.begin(), new Seen()];
  watch(t, open({ fetchSubscriptions: true }), thread, seen, { url: streamUrl });
  await thread.writeUntil(seen);
  for (let i = 0; i < 3; i++) await seen.until(await thread.write());
  seen.assertWhole(thread);
});
