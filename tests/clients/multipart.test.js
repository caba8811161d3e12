// Apollo's multipart subscriptions over HTTP: https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";

import { COMMENT_ADDED, Seen, Thread } from "./support/live.js";
import { Proxy } from "./support/proxy.js";
import { graphqlUrl, inTime } from "./support/server.js";

/** A client for one test. */
function open(t, uri = graphqlUrl) {
  const client = new ApolloClient({ link: new HttpLink({ uri }), cache: new InMemoryCache() });
  t.after(() => client.stop());
  return client;
}

/** Watches the comments of a thread. */
function watch(t, client, thread, seen) {
  const results = client.subscribe({ query: gql(COMMENT_ADDED), variables: { postId: thread.post.id } });
  const subscription = results.subscribe({
    next: ({ data, error }) => (error ? seen.fail(error) : seen.add(data.commentAdded)),
    error: (error) => seen.fail(error),
    complete: () => seen.fail(new Error("the subscription was completed")),
  });
  t.after(() => subscription.unsubscribe());
}

suite("a subscription as a multipart answer", () => {
  test("tells every comment once and in order", async (t) => {
    const [thread, seen] = [await Thread.begin(), new Seen()];
    watch(t, open(t), thread, seen);
    await thread.writeUntil(seen);
    for (let i = 0; i < 3; i++) await seen.until(await thread.write());
    seen.assertWhole(thread);
  });

  test("goes on where it was, with `after`", async (t) => {
    const proxy = await Proxy.start(t);
    const [thread, seen] = [await Thread.begin(), new Seen()];
    const client = open(t, `${proxy.origin}/graphql`);
    let connections = 0;
    const connect = () => {
      connections += 1;
      const subscription = client
        .subscribe({ query: gql(COMMENT_ADDED), variables: { postId: thread.post.id, after: seen.cursor } })
        .subscribe({
          next: ({ data, error }) => (error ? again(error) : seen.add(data.commentAdded)),
          error: (error) => again(error),
        });
      t.after(() => subscription.unsubscribe());
    };
    // A multipart answer is not asked for again by the client: that is the page's to do.
    const again = (error) => (connections > 3 ? seen.fail(error) : thread.write().then(connect));
    connect();
    await thread.writeUntil(seen);
    await thread.writeThrough(proxy, seen);
    assert.equal(connections, 2, "the broken answer was told once");
  });

  test("what does not validate is told, not streamed for ever", async (t) => {
    const telling = new Promise((resolve) => {
      const subscription = open(t)
        .subscribe({ query: gql`subscription { nonsense }` })
        .subscribe({ next: ({ error }) => resolve(error), error: resolve, complete: resolve });
      t.after(() => subscription.unsubscribe());
    });
    const told = await inTime(telling, "an error");
    assert.ok(CombinedGraphQLErrors.is(told), `expected GraphQL errors, got ${told}`);
    assert.match(told.errors[0].message, /nonsense/);
  });

  test("is written as the protocol has it", async (t) => {
    const thread = await Thread.begin();
    const abort = new AbortController();
    t.after(() => abort.abort());
    const headers = { "content-type": "application/json", accept: 'multipart/mixed;subscriptionSpec="1.0", application/json' };
    const body = JSON.stringify({ query: COMMENT_ADDED, variables: { postId: thread.post.id } });
    const answer = await fetch(graphqlUrl, { method: "POST", headers, body, signal: abort.signal });
    assert.equal(answer.status, 200);
    const type = answer.headers.get("content-type");
    assert.match(type, /^multipart\/mixed; ?/);
    assert.match(type, /subscriptionSpec="?1\.0"?/);
    const boundary = /boundary="?([^";]+)/.exec(type)[1];
    const seen = new Seen();
    readParts(answer.body, boundary, seen);
    await thread.writeUntil(seen);
    seen.assertWhole(thread);
  });

  test("a query of a client that takes anything is answered as one", async () => {
    const accept = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed";
    const headers = { "content-type": "application/json", accept };
    const answer = await fetch(graphqlUrl, { method: "POST", headers, body: JSON.stringify({ query: "{ site { language } }" }) });
    assert.match(answer.headers.get("content-type"), /^application\/graphql-response\+json/);
    assert.deepEqual(await answer.json(), { data: { site: { language: "en" } } });
  });
});

/** Reads an answer strictly, byte by byte as the protocol has it; what differs fails `seen`. */
async function readParts(stream, boundary, seen) {
  const decoder = new TextDecoder();
  const delimiter = `\r\n--${boundary}`;
  // The first delimiter may stand without an empty line before it.
  let text = "";
  let preamble = true;
  try {
    for await (const bytes of stream) {
      text += decoder.decode(bytes, { stream: true });
      if (preamble && text.startsWith("--")) text = `\r\n${text}`;
      for (let at = text.indexOf(delimiter); at >= 0; at = text.indexOf(delimiter)) {
        if (preamble) assert.equal(text.slice(0, at), "", "nothing stands before the first part");
        else readPart(text.slice(0, at), seen);
        preamble = false;
        text = text.slice(at + delimiter.length);
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") seen.fail(error);
  }
}

function readPart(part, seen) {
  const [head, body] = part.split("\r\n\r\n");
  assert.match(head, /^\r\ncontent-type: ?application\/json(; ?charset=utf-8)?$/i, "the head of a part");
  const message = JSON.parse(body);
  // An empty object only says that the connection lives.
  if (Object.keys(message).length === 0) return;
  assert.deepEqual(Object.keys(message), ["payload"]);
  seen.push(message.payload);
}
