// Lists posts page by page and then shows the next comment as it is written.
//
//   npm install && node index.js [ADDRESS]
//
// Ends with the first comment, or after half a minute without one.

import { gql } from "@urql/core";

import { connect } from "./client.js";

const address = process.argv[2] ?? process.env.INKSTONE_URL ?? "http://127.0.0.1:4000";
const { client, stream } = connect(address.replace(/\/$/, ""));

const POSTS = gql`
  query Posts($first: Int!, $after: String) {
    posts(first: $first, after: $after) {
      nodes {
        id
        title
        author {
          name
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
        markdown
        author {
          name
        }
      }
    }
  }
`;

/** One page. In React: useQuery({ query: POSTS, variables: { first: 3, after } }). */
async function page(after) {
  const { data, error } = await client.query(POSTS, { first: 3, after });
  if (error) throw error;
  return data.posts;
}

const first = await page();
const second = first.pageInfo.hasNextPage ? await page(first.pageInfo.endCursor) : { nodes: [] };
for (const { title, author } of [...first.nodes, ...second.nodes]) {
  console.log(`${title}, by ${author?.name ?? "nobody"}`);
}

const [newest] = first.nodes;
if (newest) {
  console.log(`Waiting for a comment on "${newest.title}" …`);
  // In React: useSubscription({ query: COMMENT_ADDED, variables: { postId } }).
  await new Promise((resolve, reject) => {
    const patience = setTimeout(() => resolve(console.log("Nobody commented within half a minute.")), 30_000);
    const { unsubscribe } = client.subscription(COMMENT_ADDED, { postId: newest.id }).subscribe(({ data, error }) => {
      if (error) return reject(error);
      const { author, markdown } = data.commentAdded.comment;
      console.log(`${author?.name ?? "Somebody"} commented: ${markdown}`);
      unsubscribe();
      clearTimeout(patience);
      resolve();
    });
  });
}

stream.dispose();
