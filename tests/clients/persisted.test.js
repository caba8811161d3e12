// Automatic persisted queries, as Apollo's link and urql's exchange send them, and what makes them
// worth it: answers that caches on the way may keep.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { suite, test } from "node:test";

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, fetchExchange, gql as document } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";

import { addComment, assertFitEachCoding, bearer, graphqlUrl, mutate, ownerToken, publishPost, unique } from "./support/server.js";

const GRAPHQL_JSON = "application/graphql-response+json";
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

/** A fetch that keeps what went over the wire. */
function recorder() {
  const sent = [];
  const recording = async (url, options) => {
    const answer = await fetch(url, options);
    const { method = "GET" } = options;
    const parameters = new URL(url).searchParams;
    const hasQuery = method === "GET" ? parameters.has("query") : JSON.parse(options.body).query !== undefined;
    sent.push({ method, hasQuery, status: answer.status });
    return answer;
  };
  return { sent, fetch: recording };
}

/** A query that no server has seen before. */
const fresh = (selection) => `query ${unique("Fresh").replaceAll(/\W/g, "_")} { ${selection} }`;

suite("Apollo's PersistedQueryLink", () => {
  function open(t, useGETForHashedQueries) {
    const { sent, fetch } = recorder();
    const http = new HttpLink({ uri: graphqlUrl, fetch });
    const link = ApolloLink.from([new PersistedQueryLink({ sha256, useGETForHashedQueries }), http]);
    const client = new ApolloClient({ link, cache: new InMemoryCache() });
    t.after(() => client.stop());
    return { client, sent };
  }

  for (const useGETForHashedQueries of [false, true]) {
    test(`tells a query once and then only its hash${useGETForHashedQueries ? ", by GET" : ""}`, async (t) => {
      const { client, sent } = open(t, useGETForHashedQueries);
      const query = gql(fresh("site { language }"));
      for (let i = 0; i < 2; i++) {
        const { data } = await client.query({ query, fetchPolicy: "network-only" });
        assert.equal(data.site.language, "en");
      }
      const hashed = useGETForHashedQueries ? "GET" : "POST";
      assert.deepEqual(sent.map(({ method, hasQuery }) => [method, hasQuery]), [[hashed, false], ["POST", true], [hashed, false]]);
      assert.equal(sent[2].status, 200);
    });
  }

  test("persists mutations as well, by POST only", async (t) => {
    const { client, sent } = open(t, true);
    const mutation = gql`mutation ($input: SignInInput!) { signIn(input: $input) { token userErrors { code } } }`;
    const { data } = await client.mutate({ mutation, variables: { input: { login: unique("nobody"), password: "x" } } });
    assert.equal(data.signIn.userErrors[0].code, "WRONG_CREDENTIALS");
    assert.deepEqual(new Set(sent.map(({ method }) => method)), new Set(["POST"]));
  });
});

suite("urql's persistedExchange", () => {
  for (const preferGetForPersistedQueries of [false, "force", "within-url-limit"]) {
    test(`tells a query once and then only its hash, by GET: ${preferGetForPersistedQueries}`, async () => {
      const { sent, fetch } = recorder();
      const exchange = persistedExchange({ preferGetForPersistedQueries, generateHash: async (text) => sha256(text) });
      const client = new Client({ url: graphqlUrl, exchanges: [exchange, fetchExchange], fetch });
      const query = document(fresh("site { language }"));
      for (let i = 0; i < 2; i++) {
        const { data, error } = await client.query(query, {});
        assert.equal(error, undefined, `${error}`);
        assert.equal(data.site.language, "en");
      }
      assert.deepEqual(sent.map(({ hasQuery }) => hasQuery), [false, true, false]);
      const method = preferGetForPersistedQueries ? "GET" : "POST";
      assert.deepEqual(sent.map((request) => request.method), [method, method, method]);
    });
  }
});

const extensions = (hash, more) => ({ persistedQuery: { version: 1, sha256Hash: hash, ...more } });
const post = (body, headers) =>
  fetch(graphqlUrl, { method: "POST", headers: { "content-type": "application/json", accept: GRAPHQL_JSON, ...headers }, body: JSON.stringify(body) });

/** A query by GET, as a cache on the way sees it. */
function get({ query, hash, variables }, headers) {
  const parameters = new URLSearchParams();
  if (query) parameters.set("query", query);
  if (variables) parameters.set("variables", JSON.stringify(variables));
  if (hash) parameters.set("extensions", JSON.stringify(extensions(hash)));
  return fetch(`${graphqlUrl}?${parameters}`, { headers: { accept: GRAPHQL_JSON, ...headers } });
}

/** The hash of a query that the server has been told. */
async function persisted(query, variables) {
  const answer = await post({ query, variables, extensions: extensions(sha256(query)) });
  assert.equal(answer.status, 200);
  return sha256(query);
}

suite("the protocol", () => {
  test("a hash that is not known is answered with PersistedQueryNotFound, by POST and GET", async () => {
    const hash = sha256(unique("never told"));
    for (const answer of [await post({ extensions: extensions(hash) }), await get({ hash })]) {
      const { errors, ...rest } = await answer.json();
      assert.deepEqual(rest, {}, "no data");
      assert.equal(errors.length, 1);
      assert.equal(errors[0].message, "PersistedQueryNotFound");
      assert.equal(errors[0].extensions.code, "PERSISTED_QUERY_NOT_FOUND");
      assert.doesNotMatch(answer.headers.get("cache-control") ?? "", /public|max-age=[1-9]/, "no cache keeps this");
    }
  });

  test("a hash that is not the query's is refused, and not kept", async () => {
    const [query, another] = [fresh("site { language }"), fresh("site { title }")];
    const hash = sha256(another);
    const answer = await post({ query, extensions: extensions(hash) });
    const { errors } = await answer.json();
    assert.match(errors[0].message, /sha256|hash/i);
    const later = await (await post({ extensions: extensions(hash) })).json();
    assert.equal(later.errors[0].message, "PersistedQueryNotFound");
  });

  test("a version or a hash that is none is refused in words", async () => {
    const query = fresh("site { language }");
    for (const persistedQuery of [{ version: 2, sha256Hash: sha256(query) }, { version: 1, sha256Hash: "abc" }, { version: 1 }, { sha256Hash: sha256(query) }, "all"]) {
      const answer = await post({ query, extensions: { persistedQuery } });
      const { errors } = await answer.json();
      assert.ok(errors?.length > 0, `accepted ${JSON.stringify(persistedQuery)}`);
      assert.notEqual(errors[0].extensions.code, "INTERNAL_SERVER_ERROR");
      assert.notEqual(errors[0].message, "PersistedQueryNotFound", "a client would send the same again");
    }
  });

  test("what does not validate is told each time, and its hash is not an open door", async () => {
    const query = fresh("nonsense");
    for (let i = 0; i < 2; i++) {
      const { errors } = await (await post({ query, extensions: extensions(sha256(query)) })).json();
      assert.match(errors[0].message, /nonsense/);
    }
  });

  test("a persisted mutation is not made by GET", async () => {
    const query = `mutation ${unique("M").replaceAll(/\W/g, "_")} { signOut { signedOut } }`;
    const hash = await persisted(query);
    const answer = await get({ hash });
    assert.equal(answer.status, 405);
    assert.equal(answer.headers.get("allow"), "POST");
  });

  test("hashes are as good over each way that a query may come", async () => {
    const hash = await persisted(fresh("site { language }"));
    const answer = await fetch(`${graphqlUrl}/stream`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream" },
      body: JSON.stringify({ extensions: extensions(hash) }),
    });
    assert.match(await answer.text(), /data: ?\{"data":\{"site":\{"language":"en"\}\}\}/);
  });
});

suite("what caches on the way may keep", () => {
  const QUERY = "query Kept($slug: String!) { post(slug: $slug) { title comments(first: 1) { totalCount } } }";

  test("the answer to anybody's persisted GET has a tag, and is 304 as long as it is the same", async () => {
    const { id, slug } = await publishPost();
    const request = { hash: await persisted(QUERY, { slug }), variables: { slug } };
    const first = await get(request);
    const tag = first.headers.get("etag");
    assert.match(tag ?? "", /^(W\/)?"[^"]+"$/);
    assert.match(first.headers.get("cache-control") ?? "", /public/);
    assert.match(first.headers.get("vary") ?? "", /accept/i, "the media type depends on Accept");
    assert.match(first.headers.get("vary") ?? "", /authorization/i, "who signs in gets another answer");
    assert.match(first.headers.get("vary") ?? "", /cookie/i, "who signs in by cookie as well");
    assert.equal(first.headers.get("set-cookie"), null);

    const again = await get(request, { "if-none-match": tag });
    assert.equal(again.status, 304);
    assert.equal(await again.text(), "");
    assert.equal(again.headers.get("etag"), tag);
    assert.equal(again.headers.get("cache-control"), first.headers.get("cache-control"));

    await addComment(id, unique("A comment"));
    const changed = await get(request, { "if-none-match": tag });
    assert.equal(changed.status, 200, "a comment changes the answer");
    assert.notEqual(changed.headers.get("etag"), tag);
    assert.equal((await changed.json()).data.post.comments.totalCount, 1);
  });

  test("the tag of a packed answer is weak, or another", async () => {
    const hash = await persisted("{ posts(first: 20) { nodes { title html } } }");
    const tags = [];
    for (const coding of ["identity", "gzip", "br"]) {
      const answer = await get({ hash }, { "accept-encoding": coding });
      assert.equal(answer.headers.get("content-encoding") ?? "identity", coding);
      tags.push(answer.headers.get("etag"));
    }
    assertFitEachCoding(tags);
  });

  test("the answer to who is signed in is nobody else's", async () => {
    const hash = await persisted("query Mine { viewer { handle } }");
    const token = await ownerToken();
    const mine = await get({ hash }, bearer(token));
    assert.equal((await mine.json()).data.viewer.handle, process.env.INKSTONE_LOGIN);
    assert.match(mine.headers.get("cache-control") ?? "", /private|no-store/);
    const byCookie = await get({ hash }, { cookie: `inkstone_session=${token}` });
    assert.equal((await byCookie.json()).data.viewer.handle, process.env.INKSTONE_LOGIN);
    assert.match(byCookie.headers.get("cache-control") ?? "", /private|no-store/);
    assert.equal((await (await get({ hash })).json()).data.viewer, null);
  });

  test("an answer with errors is not kept", async () => {
    const hash = await persisted('query Wrong { node(id: "nonsense") { id } }');
    const answer = await get({ hash });
    assert.ok((await answer.json()).errors);
    assert.doesNotMatch(answer.headers.get("cache-control") ?? "", /public|max-age=[1-9]/);
    assert.equal(answer.headers.get("etag"), null);
  });

  test("a draft that was published meanwhile is in the next answer", async () => {
    const token = await ownerToken();
    const input = { title: unique("A draft"), markdown: "Soon.", kind: "NOTE" };
    const draft = (await mutate("createPost", "CreatePostInput", "post { id slug }", input, token)).post;
    const request = { hash: await persisted(QUERY, { slug: draft.slug }), variables: { slug: draft.slug } };
    const before = await get(request);
    assert.equal((await before.json()).data.post, null);
    await mutate("publishPost", "PostIdInput", "post { id }", { id: draft.id }, token);
    const after = await get(request, { "if-none-match": before.headers.get("etag") ?? '""' });
    assert.equal(after.status, 200);
    assert.equal((await after.json()).data.post.title, input.title);
  });
});
