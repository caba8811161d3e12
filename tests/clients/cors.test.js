// Pages of another origin: a browser asks before each request of a client whether it may be sent.
// Here every request of the clients is caught, and the browser's question asked for it.
//
// The server is started with the setting cors_origins = "https://front.example".

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { request } from "node:http";
import { suite, test } from "node:test";

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, fetchExchange } from "@urql/core";
import { createClient } from "graphql-sse";
import OpenAI from "openai";
import WebSocket from "ws";

import { bearer, graphql, graphqlUrl, inTime, origin, ownerToken, socketUrl, streamUrl } from "./support/server.js";

const FRONT = "https://front.example";
/** What a page may send without being allowed to. */
const SAFE_HEADERS = ["accept", "accept-language", "content-language"];

/** Asks without a browser's or fetch's own opinion on headers. */
function ask(method, url, headers) {
  return inTime(
    new Promise((resolve, reject) => {
      const asked = request(url, { method, headers }, (answer) => {
        answer.resume();
        resolve({ status: answer.statusCode, headers: answer.headers });
      });
      asked.on("error", reject).end();
    }),
    "an answer",
  );
}

const list = (header) => (header ?? "").toLowerCase().split(",").map((name) => name.trim()).filter(Boolean);

/** The browser's question about a request, and its judgement of the answer. */
async function assertAllowed(url, method, headers) {
  const named = [...new Headers(headers).keys()].filter((name) => !SAFE_HEADERS.includes(name)).sort();
  const { status, headers: told } = await ask("OPTIONS", url, {
    origin: FRONT,
    "access-control-request-method": method,
    "access-control-request-headers": named.join(","),
  });
  assert.ok(status >= 200 && status < 300, `the question is answered with ${status}`);
  assert.equal(told["access-control-allow-origin"], FRONT);
  assert.equal(told["access-control-allow-credentials"], "true");
  assert.ok(["get", "head", "post"].includes(method.toLowerCase()) || list(told["access-control-allow-methods"]).includes(method.toLowerCase()), `${method} is allowed`);
  const refused = named.filter((name) => !list(told["access-control-allow-headers"]).includes(name));
  assert.deepEqual(refused, [], `${method} ${url} with all of its headers is allowed`);
}

/** A fetch that does what a browser does on a page of another origin. */
function browser() {
  const methods = new Set();
  const asking = async (url, options = {}) => {
    const method = options.method ?? "GET";
    methods.add(method);
    await assertAllowed(`${url}`, method, options.headers);
    const headers = { ...Object.fromEntries(new Headers(options.headers)), origin: FRONT };
    const answer = await fetch(url, { ...options, headers });
    assert.equal(answer.headers.get("access-control-allow-origin"), FRONT, "the page may read the answer");
    assert.match(answer.headers.get("vary") ?? "", /origin/i, "no cache gives the answer to another page");
    return answer;
  };
  return { fetch: asking, methods };
}

suite("a page of an origin that is named may use", () => {
  test("Apollo Client, with a token and persisted queries", async (t) => {
    const { fetch, methods } = browser();
    const sha256 = (text) => createHash("sha256").update(text).digest("hex");
    const http = new HttpLink({ uri: graphqlUrl, fetch, headers: bearer(await ownerToken()) });
    const link = ApolloLink.from([new PersistedQueryLink({ sha256, useGETForHashedQueries: true }), http]);
    const client = new ApolloClient({ link, cache: new InMemoryCache() });
    t.after(() => client.stop());
    const { data } = await client.query({ query: gql`query OfAnotherOrigin { viewer { handle } }` });
    assert.equal(data.viewer.handle, process.env.INKSTONE_LOGIN);
    assert.ok(methods.has("GET"));
  });

  test("urql", async () => {
    const { fetch } = browser();
    const client = new Client({ url: graphqlUrl, fetch, exchanges: [fetchExchange], fetchOptions: { headers: bearer(await ownerToken()) } });
    const { data, error } = await client.query("{ viewer { handle } }", {});
    assert.equal(error, undefined, `${error}`);
    assert.equal(data.viewer.handle, process.env.INKSTONE_LOGIN);
  });

  test("OpenAI's client", async () => {
    const { fetch } = browser();
    const openai = new OpenAI({ baseURL: `${origin}/v1`, apiKey: await ownerToken(), fetch, maxRetries: 0, organization: "o", project: "p" });
    await openai.models.list();
    // Refused for its name, once it was let in.
    const unknown = openai.chat.completions.create({ model: "of-nobody", messages: [{ role: "user", content: "ink" }] });
    await assert.rejects(unknown, OpenAI.NotFoundError);
    const streamed = openai.chat.completions.stream({ model: "of-nobody", messages: [{ role: "user", content: "ink" }] });
    await assert.rejects(streamed.finalMessage(), OpenAI.NotFoundError);
  });

  for (const singleConnection of [false, true]) {
    test(`graphql-sse, singleConnection: ${singleConnection}`, async (t) => {
      const { fetch, methods } = browser();
      const client = createClient({ url: streamUrl, singleConnection, retryAttempts: 0, fetchFn: fetch, headers: bearer(await ownerToken()) });
      t.after(() => client.dispose());
      const { posts } = await graphql("{ posts(first: 1) { nodes { id } } }");
      // The one subscription that tells something at once.
      const query = "subscription ($postId: ID!) { viewerCount(postId: $postId) { count } }";
      const events = client.iterate({ query, variables: { postId: posts.nodes[0].id } });
      const { value } = await inTime(events.next(), "the number of viewers");
      assert.ok(value.data.viewerCount.count >= 1, JSON.stringify(value));
      await events.return();
      const used = singleConnection ? ["PUT", "GET", "POST"] : ["POST"];
      for (const method of used) assert.ok(methods.has(method), `${method} was used`);
      if (singleConnection) await assertAllowed(`${streamUrl}?operationId=1`, "DELETE", { "x-graphql-event-stream-token": "any" });
    });
  }

  test("an EventSource and a WebSocket, which ask nothing before", async (t) => {
    const source = await ask("GET", `${streamUrl}?query=${encodeURIComponent("{ site { language } }")}`, { origin: FRONT, accept: "text/event-stream" });
    assert.equal(source.status, 200);
    assert.equal(source.headers["access-control-allow-origin"], FRONT);
    const socket = new WebSocket(socketUrl, "graphql-transport-ws", { headers: { origin: FRONT } });
    t.after(() => socket.terminate());
    await inTime(new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject)), "the upgrade");
  });
});

test("a page of another origin may read nothing", async () => {
  const url = `${graphqlUrl}?query=${encodeURIComponent("{ site { language } }")}`;
  for (const elsewhere of ["https://elsewhere.example", "https://front.example.elsewhere.example", "http://front.example", "null"]) {
    const preflight = await ask("OPTIONS", graphqlUrl, { origin: elsewhere, "access-control-request-method": "POST", "access-control-request-headers": "content-type" });
    const answer = await ask("GET", url, { origin: elsewhere });
    for (const { headers } of [preflight, answer]) {
      assert.equal(headers["access-control-allow-origin"], undefined, elsewhere);
    }
    assert.match(answer.headers.vary ?? "", /origin/i);
  }
});
