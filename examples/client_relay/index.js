// Lists posts page by page and then shows the next comment as it is written.
//
//   npm install && npm start [ADDRESS]
//
// `npm start` runs relay-compiler first. Ends with the first comment, or after half a minute
// without one.

import relay from "relay-runtime";

import commentAddedSubscription from "./__generated__/queriesCommentAddedSubscription.graphql.js";
import postsQuery from "./__generated__/queriesPostsQuery.graphql.js";
import { connect } from "./environment.js";

const address = process.argv[2] ?? process.env.INKSTONE_URL ?? "http://127.0.0.1:4000";
const { environment, socket } = connect(address.replace(/\/$/, ""));

/** One page. In React, usePaginationFragment does this and puts the pages together. */
async function page(after) {
  const { posts } = await relay.fetchQuery(environment, postsQuery, { first: 3, after }).toPromise();
  return posts;
}

const first = await page();
const second = first.pageInfo.hasNextPage ? await page(first.pageInfo.endCursor) : { edges: [] };
for (const { node } of [...first.edges, ...second.edges]) {
  console.log(`${node.title}, by ${node.author?.name ?? "nobody"}`);
}

const newest = first.edges[0]?.node;
if (newest) {
  console.log(`Waiting for a comment on "${newest.title}" …`);
  // In React: useSubscription(config), with the same object.
  await new Promise((resolve, reject) => {
    const patience = setTimeout(() => resolve(console.log("Nobody commented within half a minute.")), 30_000);
    relay.requestSubscription(environment, {
      subscription: commentAddedSubscription,
      variables: { postId: newest.id },
      onNext({ commentAdded: { comment } }) {
        console.log(`${comment.author?.name ?? "Somebody"} commented: ${comment.markdown}`);
        clearTimeout(patience);
        resolve();
      },
      onError: reject,
    });
  });
}

await socket.dispose();
