// What is live.

import { caller, eventsOf, send, STREAM } from "./api.js";

const LONGEST_RETRY_MS = 15_000;

/**
 * Subscriptions on one stream, because a browser has six connections to a server over HTTP/1.1 and
 * a reader may have several tabs. A stream that breaks is made again, each subscription going on
 * from the last cursor; a tab that nobody sees has none.
 */
class Live {
  #watched = new Map();
  #next = 1;
  #stream = null;

  constructor() {
    document.addEventListener("visibilitychange", () => document.hidden ? this.#close() : this.#open());
  }

  /** Calls `take` with what each event tells; gives a function that ends it. */
  watch(query, variables, take) {
    const id = String(this.#next++);
    const watch = { id, query: `subscription ${query}`, variables, take };
    this.#watched.set(id, watch);
    if (this.#stream?.token) this.#begin(watch, this.#stream);
    else this.#open();
    return () => {
      this.#watched.delete(id);
      // Those of a view end together: with the last of them goes the stream.
      queueMicrotask(() => {
        if (this.#watched.size === 0) this.#close();
        else if (this.#stream?.token) this.#end(id, this.#stream);
      });
    };
  }

  /** Another asks from now on. */
  renew() {
    this.#close();
    this.#open();
  }

  #close() {
    this.#stream?.ending.abort();
    this.#stream = null;
  }

  #open() {
    if (this.#stream || this.#watched.size === 0 || document.hidden) return;
    this.#stream = { ending: new AbortController(), token: null };
    this.#run(this.#stream);
  }

  async #run(stream) {
    const { signal } = stream.ending;
    let pause = 500;
    while (!signal.aborted) {
      try {
        for await (const { type, data } of eventsOf(await this.#reserve(stream))) {
          pause = 500;
          if (type === "next") this.#take(data);
        }
      } catch { /* it is tried again */ }
      stream.token = null;
      await new Promise((done) => setTimeout(done, pause));
      pause = Math.min(2 * pause, LONGEST_RETRY_MS);
    }
  }

  async #reserve(stream) {
    const used = caller.token;
    const reserved = await send(STREAM, undefined, stream.ending.signal, {}, "PUT");
    if (reserved.status === 401) caller.ended(used);
    if (!reserved.ok) throw new Error("no stream");
    const token = await reserved.text();
    stream.headers = { "x-graphql-event-stream-token": token };
    const headers = { ...stream.headers, accept: "text/event-stream" };
    const opened = send(STREAM, undefined, stream.ending.signal, headers, "GET");
    // What they tell is kept until the stream is open.
    stream.token = token;
    for (const watch of this.#watched.values()) this.#begin(watch, stream);
    return opened;
  }

  #begin({ id, query, variables, cursor }, { headers, ending }) {
    const body = { query, variables: cursor ? { ...variables, after: cursor } : variables, extensions: { operationId: id } };
    send(STREAM, body, ending.signal, headers).catch(() => {});
  }

  #end(id, { headers, ending }) {
    send(new URL(`?operationId=${id}`, STREAM), undefined, ending.signal, headers, "DELETE").catch(() => {});
  }

  #take({ id, payload }) {
    const watch = this.#watched.get(id);
    if (!watch || !payload.data) return;
    const [event] = Object.values(payload.data);
    watch.cursor = event.cursor ?? watch.cursor;
    watch.take(event);
  }
}

export const live = new Live();
