// What people copy out of examples/ comes back after a broken connection and misses nothing. The
// programs themselves are run by .ci/clients. Needs `npm ci` in examples/.

import { suite, test } from "node:test";

import { gql } from "@apollo/client";

import * as apollo from "../../examples/client_apollo/client.js";
import * as relay from "../../examples/client_relay/environment.js";
import * as urql from "../../examples/client_urql/client.js";
import { COMMENT_ADDED, Seen, Thread } from "./support/live.js";
import { Proxy } from "./support/proxy.js";
import { ownerToken } from "./support/server.js";

/** Each subscribes with what an example exports, and ends it after the test. */
const clients = {
  apollo(t, address, token, variables, seen) {
    const { client, socket } = apollo.connect(address, token);
    t.after(() => socket.dispose());
    t.after(() => client.stop());
    client.subscribe({ query: gql(COMMENT_ADDED), variables }).subscribe({
      next: ({ data, error }) => (error ? seen.fail(error) : seen.add(data.commentAdded)),
      error: (error) => seen.fail(error),
    });
  },

  urql(t, address, token, variables, seen) {
    const { client, stream } = urql.connect(address, token);
    t.after(() => stream.dispose());
    const told = client.subscription(gql(COMMENT_ADDED), variables);
    const { unsubscribe } = told.subscribe(({ data, error }) => (error ? seen.fail(error) : seen.add(data.commentAdded)));
    t.after(unsubscribe);
  },

  relay(t, address, token, variables, seen) {
    const { environment, socket } = relay.connect(address, token);
    t.after(() => socket.dispose());
    const operation = { id: null, name: "CommentAdded", operationKind: "subscription", text: COMMENT_ADDED, metadata: {} };
    const told = environment.getNetwork().execute(operation, variables, {});
    const subscription = told.subscribe({ next: (result) => seen.push(result), error: (error) => seen.fail(error) });
    t.after(() => subscription.unsubscribe());
  },
};

suite("an example's subscription goes on where it was", { concurrency: true }, () => {
  for (const [name, subscribe] of Object.entries(clients)) {
    for (const signedIn of [false, true]) {
      test(`${name}, ${signedIn ? "signed in" : "as anybody"}`, async (t) => {
        const proxy = await Proxy.start(t);
        const [thread, seen] = [await Thread.begin(), new Seen()];
        subscribe(t, proxy.origin, signedIn ? await ownerToken() : undefined, { postId: thread.post.id }, seen);
        await thread.writeUntil(seen);
        await thread.writeThrough(proxy, seen);
      });
    }
  }
});
