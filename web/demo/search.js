// Searching, and how what one types may go on.

import { go } from "./address.js";
import { ask } from "./api.js";
import { $, addMore, dotted, h, heading, marked, toPost, toSearch, toTag } from "./elements.js";
import { language, t } from "./words.js";

const TYPING_PAUSE_MS = 120;

const SEARCH = `query Search($query: String!, $after: String) {
  search(query: $query, first: 20, after: $after) {
    totalCount degraded corrections { typed meant } pageInfo { hasNextPage endCursor }
    nodes {
      anchor headingPath reasons title { text ranges { start end } } snippet { text ranges { start end } }
      post { slug language }
    }
  }
}`;
const SUGGEST = "query Suggest($prefix: String!) { suggest(prefix: $prefix, first: 6) { kind text post { slug language } tag { slug } } }";

export async function searchView(view, query) {
  if ($("query").value.trim() !== query) $("query").value = query;
  const { search } = await ask(SEARCH, { query }, view.signal);
  const title = search.totalCount ? t("found", search.totalCount, query) : t("foundNone", query);
  const hits = h("ol", { class: "hits" });
  const read = search.corrections.map(({ typed, meant }) => h("p", { class: "hint corrected" },
    t("readAs", typed), " ", h("a", { href: toSearch(query.replace(typed, meant)) }, meant)));
  view.show(title, [h("div", { class: "found", role: "status" }, heading(1, title), read,
    search.degraded && h("p", { class: "hint" }, t("degraded"))), hits]);
  const addPage = ({ nodes, pageInfo }) => {
    hits.append(...nodes.map(hit));
    addMore(hits, pageInfo, async (after) => addPage((await ask(SEARCH, { query, after }, view.signal)).search));
  };
  addPage(search);
}

function hit({ post, anchor, headingPath, reasons, title, snippet }) {
  return h("li", { lang: post.language },
    h("h2", {}, h("a", { href: toPost(post.slug, anchor) }, marked(title))),
    headingPath.length > 0 && h("p", { class: "path" }, headingPath.join(" › ")),
    h("p", { class: "snippet" }, marked(snippet)),
    h("p", { class: "meta why", lang: language, "aria-label": t("reasons") }, dotted(reasons.map((reason) => h("span", { class: "reason" }, t(reason))))));
}

/** The field at the top: it searches as one types, and offers how to go on. */
export function prepareSearch() {
  const [field, list] = [$("query"), $("suggestions")];
  let [timer, asking, chosen, options] = [0, null, -1, []];

  const close = () => offer([]);
  function offer(suggestions) {
    chosen = -1;
    options = suggestions.map((suggestion, i) => ({ suggestion, element:
      h("li", { role: "option", id: `suggestion-${i}`, "aria-selected": "false", lang: suggestion.post?.language,
        onpointerdown: (event) => { event.preventDefault(); take(suggestion); } },
        h("span", {}, suggestion.text), h("small", { lang: language }, t(suggestion.kind))) }));
    list.replaceChildren(...options.map(({ element }) => element));
    list.hidden = options.length === 0;
    field.setAttribute("aria-expanded", !list.hidden);
    field.removeAttribute("aria-activedescendant");
  }
  function take({ kind, text, post, tag }) {
    stop();
    if (kind === "POST") go(toPost(post.slug));
    else if (kind === "TAG") go(toTag(tag.slug));
    else { field.value = text; go(toSearch(text)); }
  }
  function choose(next) {
    chosen = (next + options.length + 1) % (options.length + 1);
    options.forEach(({ element }, i) => element.setAttribute("aria-selected", i === chosen));
    if (chosen < options.length) {
      field.setAttribute("aria-activedescendant", `suggestion-${chosen}`);
      options[chosen].element.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else { chosen = -1; field.removeAttribute("aria-activedescendant"); }
  }
  function stop() {
    clearTimeout(timer);
    asking?.abort();
    close();
  }
  async function typed() {
    const query = field.value.trim();
    if (!query) { close(); go("#list", { typing: true }); return; }
    go(toSearch(query), { typing: true });
    asking = new AbortController();
    try {
      const { suggest } = await ask(SUGGEST, { prefix: query }, asking.signal);
      if (document.activeElement === field) offer(suggest.filter(({ text }) => text !== query));
    } catch { /* it is only an offer */ }
  }
  const soon = () => {
    clearTimeout(timer);
    asking?.abort();
    timer = setTimeout(typed, TYPING_PAUSE_MS);
  };

  // While Chinese is being composed, what stands in the field is not yet meant.
  field.addEventListener("input", (event) => { if (!event.isComposing) soon(); });
  field.addEventListener("compositionend", soon);
  // Not when the focus goes: what is below would move away under the pointer before the click.
  document.addEventListener("click", (event) => { if (!$("search").contains(event.target)) close(); });
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Tab") close();
    if (event.key === "Escape" && !list.hidden) { close(); event.preventDefault(); }
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && options.length) {
      choose(chosen === -1 ? (event.key === "ArrowDown" ? 0 : options.length - 1) : chosen + (event.key === "ArrowDown" ? 1 : -1));
      event.preventDefault();
    }
  });
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    if (options[chosen]) return take(options[chosen].suggestion);
    stop();
    if (field.value.trim()) go(toSearch(field.value.trim()));
  });
}
