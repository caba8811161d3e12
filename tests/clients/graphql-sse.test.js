// GraphQL over Server-Sent Events, as the client of graphql-sse speaks it in both of its modes, and
// as a browser's EventSource does.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { EventSource } from "eventsource";
import { createClient } from "graphql-sse";

import { COMMENT_ADDED, Seen, Thread } from "./support/live.js";
import { Proxy } from "./support/proxy.js";
import { bearer, inTime, ownerToken, publishPost, streamUrl, unique } from "./support/server.js";

const TOKEN_HEADER = "x-graphql-event-stream-token";
const JSON_BODY = { "content-type": "application/json" };

/** A client for one test. */
function open(t, options = {}) {
  const client = createClient({ url: streamUrl, retryAttempts: 0, ...options });
  t.after(() => client.dispose());
  return client;
}

/** All results of an operation that ends by itself. */
async function results(client, payload) {
  const all = [];
  const ended = new Promise((complete, error) => client.subscribe(payload, { next: (result) => all.push(result), error, complete }));
  await inTime(ended, "the end of the operation");
  return all;
}

const sink = (seen) => ({ next: (result) => seen.push(result), error: (error) => seen.fail(error), complete() {} });

for (const singleConnection of [false, true]) {
  suite(singleConnection ? "single connection mode" : "distinct connections mode", () => {
    test("a query is answered once and completed", async (t) => {
      const client = open(t, { singleConnection });
      const query = "query Page($slug: String!) { post(slug: $slug) { title } }";
      const { slug, title } = await publishPost();
      const answers = await results(client, { query, operationName: "Page", variables: { slug } });
      assert.deepEqual(answers, [{ data: { post: { title } } }]);
    });

    test("a mutation is made in the name of the token", async (t) => {
      const client = open(t, { singleConnection, headers: async () => bearer(await ownerToken()) });
      const post = await publishPost();
      const query = "mutation ($input: AddCommentInput!) { addComment(input: $input) { comment { author { handle } } userErrors { code } } }";
      const variables = { input: { postId: post.id, markdown: unique("By event stream") } };
      const [{ data }] = await results(client, { query, variables });
      assert.deepEqual(data.addComment.userErrors, []);
      assert.equal(data.addComment.comment.author.handle, process.env.INKSTONE_LOGIN);
    });

    test("two subscriptions tell every comment once and in order", async (t) => {
      const client = open(t, { singleConnection });
      const watched = [];
      for (let i = 0; i < 2; i++) {
        const [thread, seen] = [await Thread.begin(), new Seen()];
        client.subscribe({ query: COMMENT_ADDED, variables: { postId: thread.post.id } }, sink(seen));
        watched.push([thread, seen]);
      }
      for (const [thread, seen] of watched) await thread.writeUntil(seen);
      for (const [thread] of [...watched, ...watched]) await thread.write();
      for (const [thread, seen] of watched) {
        await seen.until(thread.last);
        seen.assertWhole(thread);
      }
    });

    test("a wrong token is refused with 401", async (t) => {
      const client = open(t, { singleConnection, headers: bearer("wrong") });
      const failed = await results(client, { query: "{ site { title } }" }).catch((error) => error);
      assert.equal(failed.response?.status, 401, `${failed}`);
    });

    test("a subscription goes on after a broken connection where it was, with `after`", async (t) => {
      const proxy = await Proxy.start(t);
      const [thread, seen] = [await Thread.begin(), new Seen()];
      let connections = 0;
      const client = open(t, {
        singleConnection,
        url: `${proxy.origin}/graphql/stream`,
        retryAttempts: 5,
        // What is written while nobody listens has to come as well.
        retry: () => thread.write(),
        on: { connected: () => connections++ },
      });
      // Asked for its JSON each time that it is sent: in single connection mode the client copies the request.
      const variables = { toJSON: () => ({ postId: thread.post.id, after: seen.cursor }) };
      client.subscribe({ query: COMMENT_ADDED, variables }, sink(seen));
      await thread.writeUntil(seen);
      await thread.writeThrough(proxy, seen);
      assert.equal(connections, 2, "the client connected again");
    });
  });
}

suite("distinct connections, the finer points", () => {
  test("`Last-Event-ID` is as good as `after`", async (t) => {
    const proxy = await Proxy.start(t);
    const [thread, seen] = [await Thread.begin(), new Seen()];
    const client = open(t, {
      url: `${proxy.origin}/graphql/stream`,
      headers: () => (seen.cursor ? { "last-event-id": seen.cursor } : {}),
      retryAttempts: 5,
      retry: () => thread.write(),
    });
    client.subscribe({ query: COMMENT_ADDED, variables: { postId: thread.post.id } }, sink(seen));
    await thread.writeUntil(seen);
    await thread.writeThrough(proxy, seen);
  });

  test("what does not validate is told by an accepted stream", async (t) => {
    const [{ errors, ...rest }] = await results(open(t), { query: "{ nonsense }" });
    assert.deepEqual(rest, {});
    assert.match(errors[0].message, /nonsense/);
  });

  test("the stream is marked against caches and buffers on the way", async () => {
    const body = JSON.stringify({ query: "{ site { language } }" });
    const answer = await fetch(streamUrl, { method: "POST", headers: { ...JSON_BODY, accept: "text/event-stream" }, body });
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type"), /^text\/event-stream/);
    assert.match(answer.headers.get("cache-control"), /no-cache|no-store/);
    await answer.body.cancel();
  });
});

suite("a browser's EventSource", () => {
  const address = (base, query, variables) => `${base}?${new URLSearchParams({ query, variables: JSON.stringify(variables) })}`;

  // An event without a `data` line is not told to a page, which would then ask for ever.
  test("gets a query's answer and then `complete`", async (t) => {
    const source = new EventSource(address(streamUrl, "{ site { language } }", {}));
    t.after(() => source.close());
    const told = [];
    const completed = new Promise((resolve, reject) => {
      source.addEventListener("next", ({ data }) => told.push(JSON.parse(data)));
      source.addEventListener("complete", resolve);
      source.addEventListener("error", (event) => reject(new Error(`the stream broke: ${event.message}`)));
    });
    await inTime(completed, "the event `complete`");
    source.close();
    assert.deepEqual(told, [{ data: { site: { language: "en" } } }]);
  });

  test("comes back by itself after a broken connection and misses nothing", async (t) => {
    const proxy = await Proxy.start(t);
    const [thread, seen] = [await Thread.begin(), new Seen()];
    const source = new EventSource(address(`${proxy.origin}/graphql/stream`, COMMENT_ADDED, { postId: thread.post.id }));
    t.after(() => source.close());
    source.addEventListener("next", (event) => {
      seen.push(JSON.parse(event.data));
      assert.equal(event.lastEventId, seen.cursor, "the event's id is its cursor");
    });
    await thread.writeUntil(seen);
    await thread.writeThrough(proxy, seen);
  });
});

suite("single connection mode, the finer points", () => {
  const reserve = async () => {
    const answer = await fetch(streamUrl, { method: "PUT" });
    assert.equal(answer.status, 201);
    return answer.text();
  };
  const post = (token, payload) =>
    fetch(streamUrl, { method: "POST", headers: { ...JSON_BODY, ...(token && { [TOKEN_HEADER]: token }) }, body: JSON.stringify(payload) });

  test("a reservation is a token that cannot be guessed, as plain text", async () => {
    const answer = await fetch(streamUrl, { method: "PUT" });
    assert.match(answer.headers.get("content-type"), /^text\/plain/);
    const token = await answer.text();
    assert.match(token, /^\S{22,}$/);
    assert.notEqual(await reserve(), token);
  });

  test("an EventSource gives the token in the address", async (t) => {
    const token = await reserve();
    const source = new EventSource(`${streamUrl}?token=${encodeURIComponent(token)}`);
    t.after(() => source.close());
    const told = [];
    const completed = new Promise((resolve, reject) => {
      source.addEventListener("next", ({ data }) => told.push(["next", JSON.parse(data)]));
      source.addEventListener("complete", ({ data }) => resolve(told.push(["complete", JSON.parse(data)])));
      source.addEventListener("error", (event) => reject(new Error(`the stream broke: ${event.message}`)));
    });
    const body = { query: "{ site { language } }", extensions: { operationId: "of my own" } };
    const answer = await fetch(`${streamUrl}?token=${encodeURIComponent(token)}`, { method: "POST", headers: JSON_BODY, body: JSON.stringify(body) });
    assert.equal(answer.status, 202);
    await inTime(completed, "the event `complete`");
    assert.deepEqual(told, [
      ["next", { id: "of my own", payload: { data: { site: { language: "en" } } } }],
      ["complete", { id: "of my own" }],
    ]);
  });

  test("one reservation holds one stream at a time", async (t) => {
    const token = await reserve();
    const abort = new AbortController();
    t.after(() => abort.abort());
    const headers = { [TOKEN_HEADER]: token, accept: "text/event-stream" };
    const first = await fetch(streamUrl, { headers, signal: abort.signal });
    assert.equal(first.status, 200);
    const second = await fetch(streamUrl, { headers, signal: abort.signal });
    assert.equal(second.status, 409);
  });

  test("a token that was never given out is refused with 404", async () => {
    const operation = { query: "{ site { title } }", extensions: { operationId: "1" } };
    const headers = { [TOKEN_HEADER]: "never-given-out", accept: "text/event-stream" };
    assert.equal((await fetch(streamUrl, { headers })).status, 404, "a stream");
    assert.equal((await post("never-given-out", operation)).status, 404, "an operation");
    assert.equal((await fetch(`${streamUrl}?operationId=1`, { method: "DELETE", headers })).status, 404, "a stop");
  });

  test("an operation needs an id that no other has at the time", async () => {
    const token = await reserve();
    const query = "subscription { postPublished { cursor } }";
    assert.equal((await post(token, { query })).status, 400, "without an id");
    assert.equal((await post(token, { query, extensions: { operationId: "1" } })).status, 202);
    assert.equal((await post(token, { query, extensions: { operationId: "1" } })).status, 409, "an id for the second time");
    const stop = await fetch(`${streamUrl}?operationId=1`, { method: "DELETE", headers: { [TOKEN_HEADER]: token } });
    assert.equal(stop.status, 200);
    assert.equal((await post(token, { query, extensions: { operationId: "1" } })).status, 202, "an id that is free again");
  });

  test("what somebody reserved is nobody else's", async () => {
    const headers = bearer(await ownerToken());
    const reserved = await fetch(streamUrl, { method: "PUT", headers });
    const token = await reserved.text();
    const query = "{ viewer { handle } }";
    const answer = await post(token, { query, extensions: { operationId: "1" } });
    assert.ok(answer.status >= 400 && answer.status < 500, `without who reserved: ${answer.status}`);
  });
});
