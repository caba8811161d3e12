// What subscriptions are held against: a post that gets comments, and what a client has seen of them.

import assert from "node:assert/strict";

import { PATIENCE_MS, addComment, inTime, publishPost, unique } from "./server.js";

export const COMMENT_ADDED = `subscription CommentAdded($postId: ID!, $after: String) {
  commentAdded(postId: $postId, after: $after) { cursor comment { id markdown } }
}`;

/** How long to wait for the first event before writing once more. */
const AGAIN_AFTER_MS = 250;

/** A post of one test's own, with the ids of the comments on it in order. */
export class Thread {
  written = [];
  #turn = Promise.resolve();

  constructor(post) {
    this.post = post;
  }

  static async begin() {
    return new Thread(await publishPost());
  }

  get last() {
    return this.written.at(-1);
  }

  /** The id of one more comment. One after the other, so that `written` has the order of the events. */
  write() {
    this.#turn = this.#turn.then(async () => {
      const { id } = await addComment(this.post.id, unique("A comment"));
      this.written.push(id);
      return id;
    });
    return this.#turn;
  }

  /** Comments until one arrives: nothing tells a client when the server has begun to listen. */
  async writeUntil(seen) {
    const begun = Date.now();
    while (seen.ids.length === 0) {
      assert.ok(Date.now() - begun < PATIENCE_MS, "an event should have come for one of many comments");
      await this.write();
      await seen.anything(AGAIN_AFTER_MS);
    }
    await seen.until(this.last);
  }

  /** Breaks the connection of a client that is to come back by itself and miss nothing. */
  async writeThrough(proxy, seen) {
    proxy.cut();
    await seen.until(await this.write());
    await seen.until(await this.write());
    seen.assertWhole(this);
  }
}

/** What a subscription to comments has told, in order. */
export class Seen {
  ids = [];
  cursor = undefined;
  #failure;
  #waiting = new Set();

  /** Takes the result of an operation, as every client hands it over. */
  push(result) {
    if (result.errors?.length) return this.fail(new Error(`an event with errors: ${JSON.stringify(result.errors)}`));
    this.add(result.data.commentAdded);
  }

  add({ cursor, comment }) {
    this.ids.push(comment.id);
    this.cursor = cursor;
    this.#tell();
  }

  fail(error) {
    this.#failure = error instanceof Error ? error : new Error(`the subscription failed: ${describe(error)}`);
    this.#tell();
  }

  /** Until the comment has arrived. */
  async until(id) {
    await inTime(this.#when(() => this.ids.includes(id)), `the event of comment ${id}`);
  }

  /** Until there is an event, or the time is up. */
  async anything(limitMs) {
    const arrived = this.#when(() => this.ids.length > 0);
    let timer;
    await Promise.race([arrived, new Promise((resolve) => (timer = setTimeout(resolve, limitMs)))]);
    clearTimeout(timer);
  }

  /** Nothing twice, nothing left out, in the order of writing, from the first that was seen. */
  assertWhole(thread) {
    const expected = thread.written.slice(thread.written.indexOf(this.ids[0]));
    assert.deepEqual(this.ids, expected, "every comment from the first one seen, once and in order");
  }

  #when(holds) {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.#failure) reject(this.#failure);
        else if (holds()) resolve();
        else return;
        this.#waiting.delete(look);
      };
      this.#waiting.add(look);
      look();
    });
  }

  #tell() {
    for (const look of [...this.#waiting]) look();
  }
}

function describe(error) {
  if (typeof error?.code === "number") return `closed with ${error.code} ${error.reason}`;
  return JSON.stringify(error);
}
