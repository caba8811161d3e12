// What `relay-compiler` reads; it writes a file for each operation to __generated__. It takes the
// schema from ../../schema.graphql, which `inkstone schema` prints.
//
// A page built with Relay's Babel or SWC plugin has these in its components and uses them directly.

import relay from "relay-runtime";

const { graphql } = relay;

export const posts = graphql`
  query queriesPostsQuery($first: Int!, $after: String) {
    posts(first: $first, after: $after) {
      edges {
        node {
          id
          title
          author {
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

export const commentAdded = graphql`
  subscription queriesCommentAddedSubscription($postId: ID!, $after: String) {
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
