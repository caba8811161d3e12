// Elements and addresses. Texts go into the page as text; only what the server has sanitised as HTML.

import { t } from "./words.js";

export const $ = (id) => document.getElementById(id);

/** An element. Children are elements and texts; what is null, false or undefined is left out. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** A text whose parts are marked, in UTF-16 units. */
export function marked({ text, ranges }) {
  const pieces = [];
  let at = 0;
  for (const { start, end } of ranges) {
    pieces.push(text.slice(at, start), h("mark", {}, text.slice(start, end)));
    at = end;
  }
  return [...pieces, text.slice(at)];
}

/** HTML that the server has sanitised. Its links to posts, and within the post, stay on this page. */
export function written(element, html, slug) {
  element.innerHTML = html;
  for (const link of element.querySelectorAll("a[href]")) {
    const href = link.getAttribute("href");
    if (href.startsWith("#")) link.setAttribute("href", toPost(slug, decoded(href.slice(1))));
    else if (/^\/(?!\/)/.test(href)) {
      const [path, anchor] = href.split("#");
      link.setAttribute("href", toPost(decoded(path.split("/").filter(Boolean).at(-1) ?? ""), anchor && decoded(anchor)));
    } else link.setAttribute("rel", "noopener");
  }
  return element;
}

export function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

export const toPost = (slug, anchor) => `#post/${encodeURIComponent(slug)}${anchor ? `/${encodeURIComponent(anchor)}` : ""}`;
export const toTag = (slug) => `#tag/${encodeURIComponent(slug)}`;
export const toSearch = (query) => `#search/${encodeURIComponent(query)}`;

/** Between those that are there, a middle dot. */
export function dotted(...parts) {
  return parts.flat().filter(Boolean).flatMap((part, i) => i ? [h("span", { class: "dot", "aria-hidden": "true" }, "·"), part] : [part]);
}

export const heading = (level, text) => h(`h${level}`, { tabindex: "-1" }, text);

export function tell(...content) {
  $("notice").replaceChildren(...content);
  $("notice").hidden = content.length === 0;
}

/** A button that fetches the next page, and goes. */
export function addMore(place, { hasNextPage, endCursor }, load) {
  if (!hasNextPage) return;
  const button = h("button", { type: "button", class: "plain more", onclick: async () => {
    button.disabled = true;
    try {
      const before = place.querySelectorAll("li").length;
      await load(endCursor);
      button.remove();
      place.querySelectorAll("li")[before]?.querySelector("a")?.focus({ preventScroll: true });
    } catch (error) {
      button.disabled = false;
      if (error.name !== "AbortError") tell(error.message);
    }
  } }, t("more"));
  place.after(button);
}
