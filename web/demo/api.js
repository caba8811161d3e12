// Asking the API, with nothing but what a browser has.

import { t } from "./words.js";

const API = new URL("graphql", document.baseURI);
export const STREAM = new URL("graphql/stream", document.baseURI);

/** Who asks: the token that is sent, and what happens when the server does not know it any more. */
export const caller = { token: null, ended: () => {} };

/** An answer's data. Throws what went wrong as a sentence. */
export async function ask(query, variables = {}, signal) {
  const used = caller.token;
  const { data, errors } = await (await send(API, { query, variables }, signal)).json();
  if (used && errors?.some(isUnauthenticated)) {
    caller.ended(used);
    if (!query.startsWith("mutation")) return ask(query, variables, signal);
  }
  if (errors?.length) throw new Error(errors[0].message);
  return data;
}

/** The object of a mutation. Throws what the input got wrong, with the names of the fields. */
export async function change(query, variables) {
  const [payload] = Object.values(await ask(`mutation ${query}`, variables));
  if (payload.userErrors.length) {
    const message = payload.userErrors.map((error) => error.message).join(" ");
    throw Object.assign(new Error(message), { fields: payload.userErrors.map((error) => error.field) });
  }
  return payload;
}

const isUnauthenticated = (error) => error.extensions?.code === "UNAUTHENTICATED";

// A cookie of the site's own pages in this browser is neither used nor replaced.
export async function send(url, body, signal, headers = {}, method = "POST") {
  const sent = { "content-type": "application/json", ...headers };
  if (caller.token) sent.authorization = `Bearer ${caller.token}`;
  try {
    return await fetch(url, { method, headers: sent, body: body && JSON.stringify(body), credentials: "omit", signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error(t("offline"));
  }
}

/** The events of a stream: their type, and their data out of JSON. */
export async function* eventsOf(response) {
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    throw new Error((await response.json()).errors?.[0]?.message ?? t("offline"));
  }
  let rest = "";
  for await (const text of chunksOf(response.body.pipeThrough(new TextDecoderStream()))) {
    const events = (rest + text).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const field = (name) => event.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = field("data");
      if (field("event")) yield { type: field("event"), data: data ? JSON.parse(data) : null };
    }
  }
}

/** Not every browser's streams can be iterated. */
async function* chunksOf(stream) {
  const reader = stream.getReader();
  try {
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) yield chunk.value;
  } finally {
    reader.cancel().catch(() => {});
  }
}
