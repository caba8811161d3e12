// What relay-compiler reads. Nothing runs this file: the tests use what is made from it.

import { graphql } from "relay-runtime";

export const postList = graphql`
  fragment documents_posts on Query
  @refetchable(queryName: "documentsPostsPageQuery")
  @argumentDefinitions(first: { type: "Int" }, after: { type: "String" }, last: { type: "Int" }, before: { type: "String" }, tag: { type: "String" }) {
    posts(first: $first, after: $after, last: $last, before: $before, filter: { tag: $tag }) @connection(key: "documents_posts") {
      edges {
        node {
          id
          title
        }
      }
    }
  }
`;

export const postsQuery = graphql`
  query documentsPostsQuery($first: Int, $last: Int, $tag: String) {
    ...documents_posts @arguments(first: $first, last: $last, tag: $tag)
  }
`;

// Refetched through node(id:), which is what global ids are for.
export const comments = graphql`
  fragment documents_comments on Post
  @refetchable(queryName: "documentsCommentsPageQuery")
  @argumentDefinitions(first: { type: "Int" }, after: { type: "String" }, last: { type: "Int" }, before: { type: "String" }) {
    title
    comments(first: $first, after: $after, last: $last, before: $before) @connection(key: "documents_comments") {
      edges {
        node {
          id
          markdown
        }
      }
    }
  }
`;

export const postQuery = graphql`
  query documentsPostQuery($slug: String!, $first: Int, $last: Int) {
    post(slug: $slug) {
      id
      ...documents_comments @arguments(first: $first, last: $last)
    }
  }
`;

export const nodeQuery = graphql`
  query documentsNodeQuery($id: ID!) {
    node(id: $id) {
      __typename
      id
      ... on Post {
        title
      }
    }
  }
`;

export const addComment = graphql`
  mutation documentsAddCommentMutation($input: AddCommentInput!, $connections: [ID!]!) {
    addComment(input: $input) {
      comment @appendNode(connections: $connections, edgeTypeName: "CommentEdge") {
        id
        markdown
      }
      userErrors {
        code
        field
      }
    }
  }
`;

export const commentAdded = graphql`
  subscription documentsCommentAddedSubscription($postId: ID!, $after: String, $connections: [ID!]!) {
    commentAdded(postId: $postId, after: $after) {
      cursor
      comment @appendNode(connections: $connections, edgeTypeName: "CommentEdge") {
        id
        markdown
      }
    }
  }
`;
