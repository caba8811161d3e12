// urql for Inkstone: queries by their hash, subscriptions as server-sent events.
// A page in a browser copies this file as it is; the rest of the page uses `client`.

import { Client, cacheExchange, fetchExchange, subscriptionExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { createClient } from "graphql-sse";

/** `token` comes from the mutation `signIn`, or is an API key; nobody is signed in without. */
export function connect(address, token) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const stream = createClient({
    url: `${address}/graphql/stream`,
    headers,
    retryAttempts: Infinity,
    // A browser has six connections to a server that does not speak HTTP/2: then all
    // subscriptions can share one with `singleConnection: true`.
  });
  const client = new Client({
    url: `${address}/graphql`,
    fetchOptions: { headers },
    exchanges: [
      cacheExchange,
      // Sends a hash in place of a query that the server has seen, by GET, so that caches on the
      // way and the browser's own can keep the answer.
      persistedExchange({ preferGetForPersistedQueries: "force", generateHash: sha256 }),
      fetchExchange,
      subscriptionExchange({ forwardSubscription: (request) => resuming(stream, request) }),
    ],
  });
  return { client, stream };
}

/**
 * Each event has a cursor. Given back as `after` when the connection comes back, it makes the
 * subscription go on where it was: nothing is missed and nothing is told twice.
 */
function resuming(stream, { query, variables }) {
  let after;
  // Asked for its JSON each time that it is sent, also when a client has copied the request.
  const request = { query, variables: { toJSON: () => ({ ...variables, after: after ?? variables.after }) } };
  const remember = ({ data }) => {
    const [event] = Object.values(data ?? {});
    after = event?.cursor ?? after;
  };
  return {
    subscribe: (sink) => ({
      unsubscribe: stream.subscribe(request, {
        ...sink,
        next(result) {
          remember(result);
          sink.next(result);
        },
      }),
    }),
  };
}

/** Browsers have this on https and on localhost only. */
async function sha256(text) {
  const digest = await globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
