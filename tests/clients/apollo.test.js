// Apollo Client: its normalised cache, pagination, mutations, errors, and subscriptions over a
// WebSocket. multipart.test.js and persisted.test.js have what it does besides.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { createClient } from "graphql-ws";
import { tap } from "rxjs";
import WebSocket from "ws";

import { COMMENT_ADDED, Seen, Thread } from "./support/live.js";
import { Proxy } from "./support/proxy.js";
import { bearer, graphqlUrl, ownerToken, publishPost, unique } from "./support/server.js";

/** A client for one test. */
function open(t, link = new HttpLink({ uri: graphqlUrl })) {
  const cache = new InMemoryCache({
    typePolicies: {
      Query: { fields: { posts: relayStylePagination(["filter", "orderBy"]) } },
      Post: { fields: { comments: relayStylePagination(["orderBy"]) } },
    },
  });
  const client = new ApolloClient({ link, cache });
  t.after(() => client.stop());
  return client;
}

async function openAsOwner(t) {
  return open(t, new HttpLink({ uri: graphqlUrl, headers: bearer(await ownerToken()) }));
}

suite("the normalised cache", () => {
  test("knows an object by its global id, whichever query brought it", async (t) => {
    const client = open(t);
    const { id, slug, title } = await publishPost();
    await client.query({ query: gql`query ($slug: String!) { post(slug: $slug) { id title } }`, variables: { slug } });
    const key = client.cache.identify({ __typename: "Post", id });
    assert.deepEqual(client.extract()[key], { __typename: "Post", id, title });
    const { data } = await client.query({ query: gql`query ($id: ID!) { node(id: $id) { id ... on Post { slug } } }`, variables: { id } });
    assert.equal(data.node.slug, slug);
    assert.deepEqual(client.extract()[key], { __typename: "Post", id, title, slug }, "both queries wrote to one object");
  });

  test("shows a mutation's change to who watches the object", async (t) => {
    const client = await openAsOwner(t);
    const post = await publishPost();
    const watched = client.watchQuery({ query: gql`query ($slug: String!) { post(slug: $slug) { id title version } }`, variables: { slug: post.slug } });
    const titles = [];
    const changed = new Promise((resolve) => {
      const subscription = watched.subscribe(({ data, dataState }) => {
        if (dataState !== "complete") return;
        titles.push(data.post.title);
        if (titles.length === 1) update(data.post);
        if (titles.length === 2) resolve();
      });
      t.after(() => subscription.unsubscribe());
    });
    const title = unique("Another title");
    const update = ({ id, version }) =>
      client.mutate({
        mutation: gql`mutation ($input: UpdatePostInput!) { updatePost(input: $input) { post { id title version } userErrors { code } } }`,
        variables: { input: { id, title, basedOnVersion: version } },
      });
    await changed;
    assert.deepEqual(titles, [post.title, title]);
  });
});

suite("relayStylePagination", () => {
  const POSTS = gql`
    query Posts($first: Int, $after: String, $tag: String) {
      posts(first: $first, after: $after, filter: { tag: $tag }) { edges { cursor node { id title } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }
    }`;

  test("fetchMore goes to the end, and every post is there once", async (t) => {
    const client = open(t);
    const tag = await taggedPosts(7);
    const posts = watch(t, client, POSTS, { first: 3, tag: tag.slug });
    await posts.fetchFirst();
    for (let pages = 1; pages < 3; pages++) {
      assert.equal(posts.cached.posts.pageInfo.hasNextPage, true, `after ${pages} of 3 pages`);
      await posts.fetchMore({ after: posts.cached.posts.pageInfo.endCursor });
    }
    assert.equal(posts.cached.posts.pageInfo.hasNextPage, false, "after the last page");
    assert.deepEqual(posts.cached.posts.edges.map(({ node }) => node.id), tag.posts.toReversed(), "newest first, none twice");
  });

  test("a page backwards goes in front", async (t) => {
    const client = open(t);
    const thread = await Thread.begin();
    for (let i = 0; i < 5; i++) await thread.write();
    const query = gql`
      query Comments($id: ID!, $last: Int, $before: String) {
        node(id: $id) { id ... on Post { comments(last: $last, before: $before) { edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }
      }`;
    const comments = watch(t, client, query, { id: thread.post.id, last: 2 });
    await comments.fetchFirst();
    for (let pages = 1; pages < 3; pages++) {
      assert.equal(comments.cached.node.comments.pageInfo.hasPreviousPage, true, `after ${pages} of 3 pages`);
      await comments.fetchMore({ before: comments.cached.node.comments.pageInfo.startCursor });
    }
    assert.equal(comments.cached.node.comments.pageInfo.hasPreviousPage, false, "after the last page");
    assert.deepEqual(comments.cached.node.comments.edges.map(({ node }) => node.id), thread.written);
  });
});

/** A query that somebody looks at, as a component does. */
function watch(t, client, query, variables) {
  const watched = client.watchQuery({ query, variables });
  const subscription = watched.subscribe(() => {});
  t.after(() => subscription.unsubscribe());
  return {
    fetchFirst: () => client.query({ query, variables }),
    fetchMore: (more) => watched.fetchMore({ variables: more }),
    get cached() {
      return client.readQuery({ query, variables });
    },
  };
}

/** A tag of one test's own, with so many posts. */
async function taggedPosts(count) {
  const name = unique("tag");
  const posts = [];
  for (let i = 0; i < count; i++) posts.push((await publishPost({ tags: [name] })).id);
  const client = new ApolloClient({ link: new HttpLink({ uri: graphqlUrl }), cache: new InMemoryCache() });
  const { data } = await client.query({ query: gql`query ($id: ID!) { node(id: $id) { ... on Post { tags { slug } } } }`, variables: { id: posts[0] } });
  return { slug: data.node.tags[0].slug, posts };
}

suite("errors", () => {
  const ADD = gql`mutation ($input: AddCommentInput!) { addComment(input: $input) { comment { id } userErrors { code field message } } }`;

  test("what the user got wrong is data", async (t) => {
    const client = await openAsOwner(t);
    const { id } = await publishPost();
    const { data, error } = await client.mutate({ mutation: ADD, variables: { input: { postId: id, markdown: " " } } });
    assert.equal(error, undefined);
    assert.equal(data.addComment.comment, null);
    assert.deepEqual(data.addComment.userErrors.map(({ code, field }) => [code, field]), [["INVALID", "markdown"]]);
  });

  test("what the program got wrong is an error with a code", async (t) => {
    const client = open(t);
    const { id } = await publishPost();
    const error = await client.mutate({ mutation: ADD, variables: { input: { postId: id, markdown: "Hello" } } }).catch((error) => error);
    assert.ok(CombinedGraphQLErrors.is(error), `${error}`);
    assert.equal(error.errors[0].extensions.code, "UNAUTHENTICATED");
    const unknown = await client.query({ query: gql`{ nonsense }` }).catch((error) => error);
    assert.ok(CombinedGraphQLErrors.is(unknown), `an answer of status 400 is read as well: ${unknown}`);
    assert.equal(unknown.errors[0].extensions.code, "BAD_USER_INPUT");
  });

  // Of another media type than application/graphql-response+json Apollo reads no errors unless all is well.
  test("a token that is no good is told by its code, too", async (t) => {
    const client = open(t, new HttpLink({ uri: graphqlUrl, headers: bearer("wrong") }));
    const error = await client.query({ query: gql`{ site { title } }` }).catch((error) => error);
    assert.ok(CombinedGraphQLErrors.is(error), `${error}`);
    assert.equal(error.errors[0].extensions.code, "UNAUTHENTICATED");
  });
});

suite("a subscription over a WebSocket", () => {
  test("updates the cache, and misses nothing when the connection breaks", async (t) => {
    const proxy = await Proxy.start(t);
    const [thread, seen] = [await Thread.begin(), new Seen()];
    const socket = createClient({
      url: `${proxy.origin.replace("http", "ws")}/graphql`,
      webSocketImpl: WebSocket,
      shouldRetry: () => true,
      retryWait: () => thread.write(),
    });
    t.after(() => socket.dispose());
    // The socket's client sends the variables again when it connects again.
    const resume = new ApolloLink((operation, forward) =>
      forward(operation).pipe(tap(({ data }) => (operation.variables.after = data.commentAdded.cursor))));
    const client = open(t, ApolloLink.from([resume, new GraphQLWsLink(socket)]));
    const subscription = client
      .subscribe({ query: gql(COMMENT_ADDED), variables: { postId: thread.post.id } })
      .subscribe({
        next: ({ data, error }) => (error ? seen.fail(error) : seen.add(data.commentAdded)),
        error: (error) => seen.fail(error),
      });
    t.after(() => subscription.unsubscribe());
    await thread.writeUntil(seen);
    await thread.writeThrough(proxy, seen);
    const key = client.cache.identify({ __typename: "Comment", id: thread.last });
    assert.ok(client.extract()[key], "what was told is in the cache");
  });
});
