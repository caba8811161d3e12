// What the first visit finds in the tabs. tests/api/examples.rs runs them.

import addComment from "./examples/add_comment.graphql?raw";
import commentAdded from "./examples/comment_added.graphql?raw";
import latestPosts from "./examples/latest_posts.graphql?raw";

/** `postId` is a post to try things on, if there is one. */
export function tabs(postId = "") {
  const variables = (values) => JSON.stringify(values, null, 2);
  return [
    { query: latestPosts },
    { query: addComment, variables: variables({ input: { postId, markdown: "Written in *GraphiQL*." } }) },
    { query: commentAdded, variables: variables({ postId }) },
  ];
}
