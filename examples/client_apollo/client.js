// Apollo Client for Inkstone: queries and mutations over HTTP, subscriptions over a WebSocket.
// A page in a browser copies this file as it is, without `webSocketImpl`.

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { isSubscriptionOperation, relayStylePagination } from "@apollo/client/utilities";
import { createClient } from "graphql-ws";
import { tap } from "rxjs";
import WebSocket from "ws";

/** `token` comes from the mutation `signIn`, or is an API key; nobody is signed in without. */
export function connect(address, token) {
  const authorization = token && { authorization: `Bearer ${token}` };
  const http = new HttpLink({ uri: `${address}/graphql`, headers: authorization });
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
  const resume = new ApolloLink((operation, forward) =>
    forward(operation).pipe(
      tap(({ data }) => {
        const [event] = Object.values(data ?? {});
        if (event?.cursor) operation.variables.after = event.cursor;
      }),
    ),
  );

  const client = new ApolloClient({
    link: ApolloLink.split(
      ({ query }) => isSubscriptionOperation(query),
      ApolloLink.from([resume, new GraphQLWsLink(socket)]),
      http,
    ),
    cache: new InMemoryCache({
      // Every object has an `id` of its own in the whole API, which is all that the cache needs.
      // Lists are Relay connections: `fetchMore` appends. Name all lists that you page through,
      // with the arguments that make another list of them.
      typePolicies: {
        Query: { fields: { posts: relayStylePagination(["filter", "orderBy"]) } },
        Post: { fields: { comments: relayStylePagination(["orderBy"]) } },
      },
    }),
  });
  return { client, socket };
}
