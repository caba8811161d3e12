// The graphql-transport-ws protocol, as the client of graphql-ws speaks it, and its close codes.

import assert from "node:assert/strict";
import { once } from "node:events";
import { suite, test } from "node:test";

import { createClient } from "graphql-ws";
import WebSocket from "ws";

import { COMMENT_ADDED, Seen, Thread } from "./support/live.js";
import { Proxy } from "./support/proxy.js";
import { bearer, inTime, ownerToken, publishPost, socketUrl, unique } from "./support/server.js";

/** A client for one test. */
function open(t, options = {}) {
  const client = createClient({ url: socketUrl, webSocketImpl: WebSocket, retryAttempts: 0, ...options });
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

suite("operations over one socket", () => {
  test("a query is answered once and completed", async (t) => {
    const client = open(t);
    const query = "query Page($slug: String!) { post(slug: $slug) { title } }";
    const { slug, title } = await publishPost();
    assert.deepEqual(await results(client, { query, operationName: "Page", variables: { slug } }), [{ data: { post: { title } } }]);
  });

  test("a mutation is made in the name of connection_init", async (t) => {
    const client = open(t, { connectionParams: async () => bearer(await ownerToken()) });
    const post = await publishPost();
    const query = "mutation ($input: AddCommentInput!) { addComment(input: $input) { comment { author { handle } } userErrors { code } } }";
    const [{ data }] = await results(client, { query, variables: { input: { postId: post.id, markdown: unique("By socket") } } });
    assert.deepEqual(data.addComment.userErrors, []);
    assert.equal(data.addComment.comment.author.handle, process.env.INKSTONE_LOGIN);
  });

  test("what does not validate is told as an error of the operation, and the socket stays", async (t) => {
    const client = open(t, { lazy: false });
    const failed = await results(client, { query: "{ nonsense }" }).catch((error) => error);
    assert.ok(Array.isArray(failed), `expected a list of GraphQL errors, got ${failed}`);
    assert.match(failed[0].message, /nonsense/);
    assert.equal(failed[0].extensions.code, "BAD_USER_INPUT");
    assert.deepEqual(await results(client, { query: "{ site { language } }" }), [{ data: { site: { language: "en" } } }]);
  });

  test("the client's own pings are answered", async (t) => {
    let pong;
    const ponged = new Promise((resolve) => (pong = resolve));
    const client = open(t, { lazy: false, keepAlive: 50, on: { pong: (received) => received && pong() } });
    await inTime(ponged, "a pong");
  });
});

suite("a subscription", () => {
  test("tells every comment once and in order", async (t) => {
    const thread = await Thread.begin();
    const seen = new Seen();
    const client = open(t);
    client.subscribe(
      { query: COMMENT_ADDED, variables: { postId: thread.post.id } },
      { next: (result) => seen.push(result), error: (error) => seen.fail(error), complete() {} },
    );
    await thread.writeUntil(seen);
    for (let i = 0; i < 3; i++) await thread.write();
    await seen.until(thread.last);
    seen.assertWhole(thread);
  });

  test("goes on after a broken connection where it was, with `after`", async (t) => {
    const proxy = await Proxy.start(t);
    const thread = await Thread.begin();
    const seen = new Seen();
    let connections = 0;
    const client = open(t, {
      url: `${proxy.origin.replace("http", "ws")}/graphql`,
      retryAttempts: 5,
      shouldRetry: () => true,
      // What is written while nobody listens has to come as well.
      retryWait: () => thread.write(),
      on: { connected: () => connections++ },
    });
    // Asked for its JSON each time that it is sent.
    const variables = { toJSON: () => ({ postId: thread.post.id, after: seen.cursor }) };
    client.subscribe({ query: COMMENT_ADDED, variables }, { next: (result) => seen.push(result), error: (error) => seen.fail(error), complete() {} });
    await thread.writeUntil(seen);
    for (const expected of [2, 3]) {
      await thread.writeThrough(proxy, seen);
      assert.equal(connections, expected, "the client connected again");
    }
  });

  test("with a cursor that is none is refused in words", async (t) => {
    const client = open(t);
    const { id } = await publishPost();
    const failed = await results(client, { query: COMMENT_ADDED, variables: { postId: id, after: "of my own" } }).catch((error) => error);
    assert.ok(Array.isArray(failed), `expected a list of GraphQL errors, got ${JSON.stringify(failed)}`);
    assert.match(failed[0].message, /cursor/);
  });

  test("can be stopped and begun again under the same id", async (t) => {
    const socket = await Raw.initialised(t);
    const { id: postId } = await publishPost();
    const subscribe = { id: "1", type: "subscribe", payload: { query: COMMENT_ADDED, variables: { postId } } };
    for (let i = 0; i < 3; i++) socket.send(subscribe, { id: "1", type: "complete" });
    socket.send({ id: "1", type: "subscribe", payload: { query: "{ site { language } }" } });
    assert.deepEqual(await socket.receive(), { type: "next", id: "1", payload: { data: { site: { language: "en" } } } });
    assert.deepEqual(await socket.receive(), { type: "complete", id: "1" });
  });
});

/** A socket that says what it is told to, right or wrong. */
class Raw {
  #messages = [];
  #arrived = () => {};

  constructor(t, protocols = "graphql-transport-ws") {
    this.socket = new WebSocket(socketUrl, protocols);
    t.after(() => this.socket.terminate());
    this.closed = new Promise((resolve) => this.socket.on("close", (code, reason) => resolve({ code, reason: `${reason}` })));
    this.socket.on("message", (text) => {
      this.#messages.push(JSON.parse(text));
      this.#arrived();
    });
  }

  static async opened(t) {
    const raw = new Raw(t);
    await inTime(once(raw.socket, "open"), "the upgrade");
    return raw;
  }

  static async initialised(t) {
    const raw = await Raw.opened(t);
    raw.send({ type: "connection_init" });
    assert.deepEqual(await raw.receive(), { type: "connection_ack" });
    return raw;
  }

  send(...messages) {
    for (const message of messages) this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  async receive() {
    if (this.#messages.length === 0) await inTime(new Promise((resolve) => (this.#arrived = resolve)), "a message");
    return this.#messages.shift();
  }

  async expectClose(code, reason) {
    const close = await inTime(this.closed, "the close");
    assert.equal(close.code, code, `closed with ${close.code} ${close.reason}`);
    assert.match(close.reason, reason);
  }
}

const SUBSCRIBE = { id: "1", type: "subscribe", payload: { query: "subscription { postPublished { cursor } }" } };

suite("the server closes", () => {
  test("with 4403 when the token is wrong, which the client tells", async (t) => {
    for (const connectionParams of [bearer("wrong"), { Authorization: "Bearer wrong" }, { token: "wrong" }]) {
      const client = open(t, { connectionParams });
      const close = await results(client, { query: "{ site { title } }" }).catch((error) => error);
      assert.equal(close.code, 4403, `${JSON.stringify(connectionParams)}: ${JSON.stringify(close)}`);
      assert.match(close.reason, /^Forbidden/);
    }
  });

  test("with 4401 when an operation comes before connection_init is acknowledged", async (t) => {
    const raw = await Raw.opened(t);
    raw.send(SUBSCRIBE);
    await raw.expectClose(4401, /^Unauthorized/);
  });

  test("with 4409 when an id is used twice at a time", async (t) => {
    const raw = await Raw.initialised(t);
    raw.send(SUBSCRIBE, SUBSCRIBE);
    await raw.expectClose(4409, /^Subscriber for 1 already exists$/);
  });

  test("with 4429 when connection_init comes twice", async (t) => {
    const raw = await Raw.initialised(t);
    raw.send({ type: "connection_init" });
    await raw.expectClose(4429, /^Too many initialisation requests$/);
  });

  test("with 4400 when a message is none of the protocol's", async (t) => {
    for (const message of ["no JSON", "[]", { type: "start", id: "1" }, { type: "subscribe", id: "1" }, { type: "complete" }]) {
      const raw = await Raw.initialised(t);
      raw.send(message);
      await raw.expectClose(4400, /^Invalid message/);
    }
  });

  test("with 4406 when no subprotocol is offered", async (t) => {
    await new Raw(t, []).expectClose(4406, /^Subprotocol not acceptable/);
  });

  test("nothing when the client completes an operation that it never began", async (t) => {
    const raw = await Raw.initialised(t);
    raw.send({ type: "complete", id: "never" }, { type: "ping", payload: { at: 1 } });
    assert.deepEqual(await raw.receive(), { type: "pong", payload: { at: 1 } });
    raw.send({ type: "ping" });
    assert.deepEqual(await raw.receive(), { type: "pong" });
  });
});

suite("the server answers a close", () => {
  test("of a client that is done, with the same code", async (t) => {
    const raw = await Raw.initialised(t);
    raw.socket.close(1000, "done");
    await raw.expectClose(1000, /^/);
  });

  test("while operations run", async (t) => {
    const raw = await Raw.initialised(t);
    raw.send(SUBSCRIBE);
    raw.socket.close(1000);
    await raw.expectClose(1000, /^/);
  });

  test("of graphql-ws when its last operation has ended", async (t) => {
    let tell;
    const closed = new Promise((resolve) => (tell = resolve));
    const client = open(t, { on: { closed: tell } });
    await results(client, { query: "{ site { language } }" });
    const { code, wasClean } = await inTime(closed, "the close");
    assert.deepEqual({ code, wasClean }, { code: 1000, wasClean: true });
  });
});

test("an upgrade by a page of another site cannot use this site's cookie", async (t) => {
  const socket = new WebSocket(socketUrl, "graphql-transport-ws", {
    headers: { origin: "https://elsewhere.example", cookie: `inkstone_session=${await ownerToken()}` },
  });
  const [request, answer] = await inTime(once(socket, "unexpected-response"), "the refusal");
  t.after(() => request.destroy());
  assert.equal(answer.statusCode, 403);
});
