// GraphQL over HTTP, as the specification's own audit sees it, and by GET as caches and crawlers use it.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { auditServer } from "graphql-http";

import { graphqlUrl, origin } from "./support/server.js";

const GRAPHQL_JSON = "application/graphql-response+json";
const get = (parameters, headers) => fetch(`${graphqlUrl}?${new URLSearchParams(parameters)}`, { headers });

suite("the audit of graphql-http", async () => {
  // What is neither a MUST nor a SHOULD comes out as a notice. These two contradict a SHOULD (answer
  // 200 to variables that do not fit, for clients of application/json), which is held.
  const allowed = new Set([
    "MAY use 4xx or 5xx status codes if parameters are invalid",
    "MAY use 400 status code if parameters are invalid",
  ]);
  for (const result of await auditServer({ url: graphqlUrl })) {
    test(result.name, () => {
      const fine = result.status === "ok" || (result.status === "notice" && allowed.has(result.name));
      assert.ok(fine, `${result.status} ${result.id}: ${result.reason}`);
    });
  }
});

suite("a query in the address", () => {
  test("is answered, with its name, variables and any character", async () => {
    const query = "query Page($slug: String!) { post(slug: $slug) { slug } } query Other { site { title } }";
    const variables = JSON.stringify({ slug: "不存在 + & = %" });
    const answer = await get({ query, operationName: "Page", variables }, { accept: GRAPHQL_JSON });
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type"), /^application\/graphql-response\+json; ?charset=utf-8$/);
    assert.deepEqual(await answer.json(), { data: { post: null } });
  });

  test("is the same with a plus or %20 for a space", async () => {
    for (const query of ["{+site+{+language+}+}", "%7B%20site%20%7B%20language%20%7D%20%7D"]) {
      const answer = await fetch(`${graphqlUrl}?query=${query}`);
      assert.deepEqual(await answer.json(), { data: { site: { language: "en" } } }, query);
    }
  });

  test("is no way to change anything", async () => {
    const query = 'mutation { signIn(input: { login: "a", password: "b" }) { token } }';
    for (const accept of [GRAPHQL_JSON, "application/json", "*/*"]) {
      const answer = await get({ query }, { accept });
      assert.equal(answer.status, 405, `a mutation by GET, accepting ${accept}`);
      assert.equal(answer.headers.get("allow"), "POST");
      assert.match((await answer.json()).errors[0].message, /POST/);
    }
  });

  test("that is none is refused in words", async () => {
    for (const parameters of [{}, { query: "" }, { query: "{ site { title } }", variables: "{" }]) {
      const answer = await get(parameters, { accept: GRAPHQL_JSON });
      assert.equal(answer.status, 400, JSON.stringify(parameters));
      const { errors, ...rest } = await answer.json();
      assert.deepEqual(rest, {}, "no data in an answer to what is no request");
      assert.equal(errors[0].extensions.code, "BAD_USER_INPUT");
    }
  });

  test("may be asked for by HEAD", async () => {
    const answer = await fetch(`${graphqlUrl}?query=${encodeURIComponent("{ site { title } }")}`, { method: "HEAD" });
    assert.equal(answer.status, 200);
    assert.equal(await answer.text(), "");
  });
});

suite("a body", () => {
  const post = (body, headers) => fetch(graphqlUrl, { method: "POST", body, headers });

  test("of another media type is refused with 415, as a form of another site would send", async () => {
    const body = JSON.stringify({ query: "{ site { title } }" });
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]) {
      const answer = await post(body, { "content-type": type });
      assert.equal(answer.status, 415, type);
      assert.match((await answer.json()).errors[0].message, /application\/json/);
    }
  });

  test("may say which characters it is in, in any case", async () => {
    const body = JSON.stringify({ query: "{ site { language } }", variables: null, operationName: null, extensions: null });
    for (const type of ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]) {
      const answer = await post(body, { "content-type": type });
      assert.deepEqual(await answer.json(), { data: { site: { language: "en" } } }, type);
    }
  });

  test("an error of execution keeps status 200", async () => {
    const body = JSON.stringify({ query: '{ node(id: "nonsense") { id } }' });
    const answer = await post(body, { "content-type": "application/json", accept: GRAPHQL_JSON });
    assert.equal(answer.status, 200);
    const { errors } = await answer.json();
    assert.deepEqual(errors.map(({ path }) => path), [["node"]]);
  });

  test("an error in a nullable field leaves the rest of the data", async () => {
    const body = JSON.stringify({ query: '{ site { language } node(id: "nonsense") { id } }' });
    const answer = await post(body, { "content-type": "application/json", accept: GRAPHQL_JSON });
    const { data } = await answer.json();
    assert.deepEqual(data, { site: { language: "en" }, node: null });
  });

  test("every error tells the request id that its answer has", async () => {
    const answer = await post('{"query": "{ nonsense }"}', { "content-type": "application/json" });
    const { errors } = await answer.json();
    assert.equal(errors[0].extensions.requestId, answer.headers.get("x-request-id"));
    assert.equal(errors[0].extensions.code, "BAD_USER_INPUT");
    assert.deepEqual(Object.keys(errors[0].locations[0]), ["line", "column"]);
  });
});

test("a method that is none of GraphQL's is refused with 405 and the ones that are", async () => {
  for (const method of ["PUT", "DELETE", "PATCH"]) {
    const answer = await fetch(graphqlUrl, { method });
    assert.equal(answer.status, 405, method);
    assert.deepEqual(new Set(answer.headers.get("allow").split(/, ?/)), new Set(["GET", "HEAD", "POST"]), method);
  }
  assert.equal((await fetch(`${origin}/graphql/none`)).status, 404);
});
