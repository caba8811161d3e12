// Relay's environment for Inkstone: queries and mutations over HTTP, subscriptions over a WebSocket.
// A page in a browser copies this file as it is, without `webSocketImpl`.

import { createClient } from "graphql-ws";
import relay from "relay-runtime";
import WebSocket from "ws";

const { Environment, Network, Observable, RecordSource, Store } = relay;

/** `token` comes from the mutation `signIn`, or is an API key; nobody is signed in without. */
export function connect(address, token) {
  const authorization = token && { authorization: `Bearer ${token}` };

  async function ask({ text }, variables) {
    const answer = await fetch(`${address}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", ...authorization },
      body: JSON.stringify({ query: text, variables }),
    });
    return answer.json();
  }

  const socket = createClient({
    url: `${address.replace(/^http/, "ws")}/graphql`,
    connectionParams: authorization,
    webSocketImpl: WebSocket,
    // Comes back after a broken connection, but not with a token that is refused.
    retryAttempts: Infinity,
    shouldRetry: (close) => close?.code !== 4403,
  });

  // Each event has a cursor. Given back as `after` when the connection comes back, it makes the
  // subscription go on where it was: nothing is missed and nothing is told twice.
  function subscribe({ text }, variables) {
    let after = variables.after;
    const request = {
      query: text,
      // Read again each time that the connection is made.
      get variables() {
        return { ...variables, after };
      },
    };
    const events = Observable.create((sink) => socket.subscribe(request, sink));
    return events.map((result) => {
      const [event] = Object.values(result.data ?? {});
      after = event?.cursor ?? after;
      return result;
    });
  }

  const environment = new Environment({
    network: Network.create(ask, subscribe),
    store: new Store(new RecordSource()),
  });
  return { environment, socket };
}
