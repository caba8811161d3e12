// The demo page: a site shown through Inkstone's API, with nothing but what a browser has.
//
// The modules build on each other: words, elements, the API, what is live, who is signed in, the
// address, the views (list, post, comments, search), what was read, the chat.

import { account, prepareAccount } from "./account.js";
import { current, follow, go, route, views } from "./address.js";
import { ask } from "./api.js";
import { prepareChat } from "./chat.js";
import { $, tell, toPost } from "./elements.js";
import { listView } from "./list.js";
import { postView } from "./post.js";
import { prepareSearch, searchView } from "./search.js";
import { choose, language, t } from "./words.js";

/** Puts the words of the chosen language into what always stands on the page. */
function speak(chosen) {
  choose(chosen);
  document.documentElement.lang = chosen;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  for (const element of document.querySelectorAll("[data-placeholder]")) element.placeholder = t(element.dataset.placeholder);
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", button.dataset.language === chosen);
  }
  account.show();
}

/** Goes on in the other language: with the same piece, if there is a translation. */
function switchTo(chosen) {
  speak(chosen);
  const other = current?.post?.translations.find((translation) => translation.language === chosen);
  if (other) go(toPost(other.slug));
  else route({ again: true });
}

Object.assign(views, {
  list: (view) => listView(view),
  tag: (view, slug) => listView(view, slug),
  post: postView,
  search: (view, query) => query ? searchView(view, query) : listView(view),
});

async function start() {
  speak(language);
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => switchTo(button.dataset.language));
  }
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("main").focus();
  });
  history.scrollRestoration = "manual";
  document.addEventListener("click", (event) => follow(event.target.closest?.("a[href^='#']")));
  addEventListener("hashchange", () => route());
  prepareAccount(() => route({ again: true }));
  prepareSearch();
  await account.refresh().catch((error) => tell(error.message));
  await ask("{ site { title tagline } }").then(({ site }) => {
    $("site-title").textContent = site.title;
    $("site-tagline").textContent = site.tagline;
  }).catch(() => {});
  await Promise.all([route(), prepareChat()]);
}

start();
