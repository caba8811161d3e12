// The server that is tested, and what tests do on it by plain fetch.
//
// INKSTONE_URL is its address. It holds the demo site; INKSTONE_LOGIN and INKSTONE_PASSWORD are its
// owner's. Tests change nothing of the demo site: each makes posts of its own.

import assert from "node:assert/strict";

function setting(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: .ci/clients starts a server and sets it`);
  return value;
}

export const origin = new URL(setting("INKSTONE_URL")).origin;
export const graphqlUrl = `${origin}/graphql`;
export const streamUrl = `${origin}/graphql/stream`;
export const socketUrl = graphqlUrl.replace(/^http/, "ws");

/** Longest that anything may take to arrive; a test that waits this long has failed. */
export const PATIENCE_MS = 20_000;

/** What `promise` gives, or an error that names what did not come. */
export async function inTime(promise, what, limitMs = PATIENCE_MS) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} should have come within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

export const bearer = (token) => ({ authorization: `Bearer ${token}` });

/** The data of an operation that has to succeed. */
export async function graphql(query, variables, token) {
  const headers = { "content-type": "application/json", ...(token && bearer(token)) };
  const answer = await inTime(
    fetch(graphqlUrl, { method: "POST", headers, body: JSON.stringify({ query, variables }) }),
    "an answer",
  );
  const { data, errors } = await answer.json();
  assert.equal(errors, undefined, `${query}: ${JSON.stringify(errors)}`);
  return data;
}

/** The payload of a mutation that has to be accepted. */
export async function mutate(field, type, selection, input, token) {
  const query = `mutation ($input: ${type}!) { payload: ${field}(input: $input) { ${selection} userErrors { field message } } }`;
  const { payload } = await graphql(query, { input }, token);
  assert.deepEqual(payload.userErrors, [], `${field} should have been accepted`);
  return payload;
}

let session;

/** A token of the owner; all tests of a file share the session. */
export function ownerToken() {
  session ??= mutate("signIn", "SignInInput", "token", {
    login: setting("INKSTONE_LOGIN"),
    password: setting("INKSTONE_PASSWORD"),
  }).then(({ token }) => token);
  return session;
}

let made = 0;

/** A name that no other test uses, also of another process. */
export const unique = (what) => `${what} ${process.pid}-${Date.now().toString(36)}-${made++}`;

/** A published post that belongs to the test that asks. */
export async function publishPost(fields = {}) {
  const token = await ownerToken();
  const input = { title: unique("A post for a client"), markdown: "Written by a test.", kind: "NOTE", ...fields };
  const { post } = await mutate("createPost", "CreatePostInput", "post { id }", input, token);
  const published = await mutate("publishPost", "PostIdInput", "post { id slug title version }", { id: post.id }, token);
  return published.post;
}

/** A comment of the owner, which is visible at once. */
export async function addComment(postId, markdown, parentId) {
  const input = { postId, markdown, parentId };
  const { comment } = await mutate("addComment", "AddCommentInput", "comment { id }", input, await ownerToken());
  return comment;
}

/** RFC 9110, 8.8.3.3: representations of different content codings have different tags, or weak ones. */
export function assertFitEachCoding(tags) {
  const strong = tags.filter((tag) => !tag.startsWith("W/"));
  assert.equal(new Set(strong).size, strong.length, `strong tags of different codings: ${tags}`);
}
