// Who is signed in here. The token lives in this tab only (memory, and sessionStorage so that a
// reload keeps it). Signing in here takes and leaves no cookie, so that a session which the site's
// own pages keep in the browser is neither replaced nor ended. Without a token such a cookie counts.

const STORAGE_KEY = "inkstone:token";
const USER = "name handle role";
const ENDED = "Your session has ended. Sign in again to go on.";

export const endpoint = new URL("graphql", document.baseURI);

let token = stored();
let state = { user: null, byCookie: false, notice: null };
const listeners = new Set();

export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function snapshot() {
  return state;
}

/** The `Authorization` of requests that bring none themselves. */
export function authorization() {
  return token && `Bearer ${token}`;
}

/** Asks the server who is signed in, and for `more`; gives the data. */
export async function refresh(more = "") {
  const used = token;
  const answer = await ask(`{ viewer { ${USER} } ${more} }`, {}, used, "same-origin");
  if (used !== token) return refresh(more);
  if (used && isUnauthenticated(answer)) {
    drop(used);
    return refresh(more);
  }
  const user = dataOf(answer).viewer;
  update({ user, byCookie: Boolean(user) && !token, notice: user ? null : state.notice });
  return answer.data;
}

export async function signIn(login, password) {
  const mutation = `mutation ($input: SignInInput!) {
    signIn(input: $input) { token user { ${USER} } userErrors { message } }
  }`;
  const answer = await ask(mutation, { input: { login, password } }, null, "omit");
  const { token: given, user, userErrors } = dataOf(answer).signIn;
  if (!given) throw new Error(userErrors.map((error) => error.message).join(" ") || "The server gave no session.");
  keep(given);
  update({ user, byCookie: false, notice: null });
}

export async function signOut() {
  const used = token;
  const mutation = "mutation { signOut { signedOut userErrors { message } } }";
  const answer = await ask(mutation, {}, used, used ? "omit" : "same-origin");
  // A session that has ended already is as good as one that ends now.
  if (!isUnauthenticated(answer)) dataOf(answer);
  if (used && used === token) keep(null);
  update({ user: null, byCookie: false, notice: null });
  await refresh();
}

/** The server does not know this `Authorization` any more. */
export function refused(header) {
  if (token && header === authorization()) drop(token);
}

function drop(ended) {
  if (ended !== token) return;
  keep(null);
  update({ user: null, byCookie: false, notice: ENDED });
}

async function ask(query, variables, bearer, credentials) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  if (bearer) headers.authorization = `Bearer ${bearer}`;
  let response;
  try {
    response = await fetch(endpoint, {
      method: "POST",
      headers,
      credentials,
      body: JSON.stringify({ query, variables }),
      signal: AbortSignal.timeout(15_000),
    });
  } catch (error) {
    throw new Error(
      error.name === "TimeoutError" ? "The server took too long to answer. Try again." : "The server cannot be reached. Try again.",
    );
  }
  return jsonOf(response);
}

/** The body of an answer, or what came instead, in words. */
export async function jsonOf(response) {
  const type = response.headers.get("content-type") ?? "";
  if (!type.includes("json")) {
    throw new Error(`The server answered with status ${response.status} and no JSON; is it behind a proxy that cannot reach it?`);
  }
  return response.json();
}

function dataOf(answer) {
  if (answer.errors?.length) {
    const { message, extensions } = answer.errors[0];
    const id = extensions?.requestId;
    throw new Error(id ? `${message} (request ${id})` : message);
  }
  return answer.data;
}

function isUnauthenticated(answer) {
  return Boolean(answer.errors?.some((error) => error.extensions?.code === "UNAUTHENTICATED"));
}

function update(next) {
  state = { ...state, ...next };
  for (const listener of listeners) listener();
}

function keep(next) {
  token = next;
  try {
    if (next) sessionStorage.setItem(STORAGE_KEY, next);
    else sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // Storage is switched off: memory has to do.
  }
}

function stored() {
  try {
    return sessionStorage.getItem(STORAGE_KEY);
  } catch {
    return null;
  }
}
