// Lists posts page by page and then shows the next comment as it is written.
//
//   npm install && node index.js [ADDRESS]
//
// Ends with the first comment, or after half a minute without one.

import { gql } from "@apollo/client";

import { connect } from "./client.js";

const address = process.argv[2] ?? process.env.INKSTONE_URL ?? "http://127.0.0.1:4000";
const { client, socket } = connect(address.replace(/\/$/, ""));

const POSTS = gql`
  query Posts($first: Int!, $after: String) {
    posts(first: $first, after: $after) {
      edges {
        node {
          id
          title
          author {
            id
            name
          }
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`;

const COMMENT_ADDED = gql`
  subscription CommentAdded($postId: ID!, $after: String) {
    commentAdded(postId: $postId, after: $after) {
      cursor
      comment {
        id
        markdown
        author {
          id
          name
        }
      }
    }
  }
`;

// In React: const { data, fetchMore } = useQuery(POSTS, { variables: { first: 3 } }).
const posts = client.watchQuery({ query: POSTS, variables: { first: 3 } });
const watching = posts.subscribe(() => {});
await client.query({ query: POSTS, variables: { first: 3 } });
const loaded = () => client.readQuery({ query: POSTS, variables: { first: 3 } }).posts;

// What a button "More" does. The cache puts the pages together.
if (loaded().pageInfo.hasNextPage) {
  await posts.fetchMore({ variables: { after: loaded().pageInfo.endCursor } });
}
for (const { node } of loaded().edges) console.log(`${node.title}, by ${node.author?.name ?? "nobody"}`);
watching.unsubscribe();

const newest = loaded().edges[0]?.node;
if (newest) {
  console.log(`Waiting for a comment on "${newest.title}" …`);
  // In React: useSubscription(COMMENT_ADDED, { variables: { postId } }).
  await new Promise((resolve, reject) => {
    const patience = setTimeout(() => resolve(console.log("Nobody commented within half a minute.")), 30_000);
    client.subscribe({ query: COMMENT_ADDED, variables: { postId: newest.id } }).subscribe({
      next({ data, error }) {
        if (error) return reject(error);
        const { author, markdown } = data.commentAdded.comment;
        console.log(`${author?.name ?? "Somebody"} commented: ${markdown}`);
        clearTimeout(patience);
        resolve();
      },
      error: reject,
    });
  });
}

client.stop();
await socket.dispose();
