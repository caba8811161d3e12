// What is shown at which address.

import { $, decoded, h, heading } from "./elements.js";
import { live } from "./live.js";
import { t } from "./words.js";

export let current = null;
let followed = false;
const scrolled = new Map();

/** What shows each kind of address; `demo.js` fills it. */
export const views = Object.create(null);

/** Notes whether a link was followed: then the place on the page is its beginning. */
export const follow = (link) => { followed = Boolean(link); };

/** What is shown at an address: its requests and subscriptions end when another takes its place. */
class View {
  #ending = new AbortController();
  #watches = [];
  signal = this.#ending.signal;

  constructor(key, hash) {
    Object.assign(this, { key, hash, isTyping: false, showForm: () => {} });
  }

  show(title, content) {
    if (this.signal.aborted) return;
    $("main").setAttribute("aria-busy", "false");
    $("main").replaceChildren(...content.filter(Boolean));
    document.title = [title, $("site-title").textContent].filter(Boolean).join(" · ");
  }

  watch(query, variables, take) {
    if (!this.signal.aborted) this.#watches.push(live.watch(query, variables, take));
  }

  end() {
    this.#ending.abort();
    for (const stop of this.#watches) stop();
  }
}

/** Goes to an address. While one types, the address changes without a new place in the history. */
export function go(hash, { typing = false } = {}) {
  followed = true;
  if (typing && current?.isTyping) {
    history.replaceState(null, "", hash);
    route({ typing });
  } else if (typing) {
    history.pushState(null, "", hash);
    route({ typing });
  } else if (location.hash === hash) route();
  else location.hash = hash;
}

export async function route({ again = false, typing = false } = {}) {
  const hash = location.hash || "#list";
  const [name, subject = "", anchor] = hash.slice(1).split("/").map(decoded);
  const key = `${name}/${subject}`;
  const cameBack = !followed;
  followed = false;
  if (current?.key === key && !again) return anchor ? goTo(anchor) : scrollTo(0, 0);
  if (current) scrolled.set(current.hash, scrollY);
  current?.end();
  const post = current?.key === key ? current.post : undefined;
  const view = current = Object.assign(new View(key, hash), { post });
  view.isTyping = typing;
  if (name !== "search") $("query").value = "";
  // What was shown before stays, paler, until the answer is here.
  $("main").setAttribute("aria-busy", "true");
  try {
    await (views[name] ?? views.list)(view, subject);
    if (view.signal.aborted || typing || again) return;
    if (anchor) goTo(anchor);
    else scrollTo(0, cameBack ? scrolled.get(hash) ?? 0 : 0);
    if (!anchor && document.activeElement === document.body) $("main").querySelector("h1")?.focus({ preventScroll: true });
  } catch (error) {
    if (view.signal.aborted) return;
    const retry = h("button", { type: "button", onclick: () => route({ again: true }) }, t("again"));
    view.show(t("failed"), [heading(1, t("failed")), h("p", {}, error.message), retry]);
  }
}

/** To a heading or footnote of the post that is shown. */
function goTo(anchor) {
  const target = $(anchor);
  if (!target) return;
  if (target.tabIndex < 0) target.tabIndex = -1;
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}
