// A way to the server that breaks when told to, as a train in a tunnel would.

import { once } from "node:events";
import { connect, createServer } from "node:net";

import { origin } from "./server.js";

export class Proxy {
  #open = new Set();
  #server = createServer((near) => this.#join(near));

  /** For one test, after which it is gone. */
  static async start(t) {
    const proxy = new Proxy();
    t.after(() => proxy.#stop());
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  /** The server's address, by this way. */
  get origin() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** Breaks every connection; those that come later are let through. */
  cut() {
    for (const socket of this.#open) socket.destroy();
  }

  async #stop() {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(near) {
    const { hostname, port } = new URL(origin);
    const far = connect(Number(port), hostname);
    for (const [socket, other] of [[near, far], [far, near]]) {
      this.#open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#open.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
