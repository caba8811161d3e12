// The demo page: a site shown through Inkstone's API, with nothing but what a browser has.
//
// Texts go into the page as text. Only `html` of posts and comments, which the server has
// sanitised, goes in as HTML (`written`). The parts below stand in the order in which they build on
// each other: words, elements, the API, what is live, who is signed in, the views, the chat, the
// address.

const API = new URL("graphql", document.baseURI);
const STREAM = new URL("graphql/stream", document.baseURI);
const TOKEN_KEY = "inkstone:token";
const LANGUAGE_KEY = "inkstone:demo:language";
const TYPING_PAUSE_MS = 120;
const LONGEST_RETRY_MS = 15_000;

// ---- Words -------------------------------------------------------------------------------------

const WORDS = {
  en: {
    skip: "Skip to the text", language: "Language", signIn: "Sign in", signOut: "Sign out", cancel: "Cancel",
    login: "Name or e-mail", password: "Password", signInHint: "The session belongs to this browser tab.",
    sessionEnded: "Your session has ended. Sign in again to go on.",
    search: "Search", searchHint: "Search by words or meaning", suggestions: "How it may go on",
    foot: "One page, made with the API of this server.", explorer: "The explorer",
    posts: "Writing", taggedWith: (tag) => `Tagged “${tag}”`, everything: "All writing", more: "More", empty: "Nothing here yet.",
    published: "Just published:", notFound: "There is no such post.", home: "Back to the list",
    minutes: (n) => `${n} min`, part: (n) => `part ${n}`, by: (name) => `by ${name}`,
    reading: (n) => n === 1 ? "1 reader now" : `${n} readers now`, readIn: "Also in", otherLanguage: { en: "English", zh: "中文" },
    previous: "Earlier", next: "Later", neighbours: "Earlier and later",
    reactions: "Reactions", LIKE: "Like", LOVE: "Love", CELEBRATE: "Celebrate", CURIOUS: "Curious", INSIGHTFUL: "Insightful",
    related: "Related", SAME_SERIES: "same series", SHARED_TAGS: "shared tags", SIMILAR: "similar",
    comments: (n) => n === 0 ? "Comments" : n === 1 ? "1 comment" : `${n} comments`, noComments: "Nobody has written here yet.",
    comment: "Your comment", commentHint: "Markdown is welcome", send: "Ask", publish: "Comment", reply: "Reply",
    replyTo: (name) => `Reply to ${name}`, signInToComment: "Sign in to comment", waits: "Thank you. It waits for the owner's yes.",
    deleted: "Taken back", someone: "somebody", pending: "waits",
    found: (n, query) => `${n} for “${query}”`, foundNone: (query) => `Nothing for “${query}”`,
    readAs: (typed) => `“${typed}” was read as`, degraded: "By words alone: no model is ready.",
    reasons: "Found by", WORDS: "words", MEANING: "meaning",
    TAG: "tag", POST: "post", WORD: "word",
    ask: "Ask the site", askHint: "It answers from what is published here, and says from where.", askAnew: "Begin anew",
    question: "Your question", questionHint: "What would you like to know?", stop: "Stop", thinking: "Reading …",
    stopped: "Stopped.", sources: "From", askDegraded: "Passages found by words alone, or by a smaller model.",
    took: (model, s) => `${model} · ${s} s`, failed: "It did not work:", offline: "The server cannot be reached. Try again.", again: "Try again",
  },
  zh: {
    skip: "跳到正文", language: "语言", signIn: "登录", signOut: "退出", cancel: "取消",
    login: "用户名或邮箱", password: "密码", signInHint: "登录只在这个标签页里有效。",
    sessionEnded: "登录已过期，请重新登录。",
    search: "搜索", searchHint: "按字词或意思搜索", suggestions: "可以接着输入",
    foot: "这一页用本服务器的 API 写成。", explorer: "接口浏览器",
    posts: "文章", taggedWith: (tag) => `标签“${tag}”`, everything: "全部文章", more: "更多", empty: "这里还没有文章。",
    published: "刚刚发布：", notFound: "没有这篇文章。", home: "回到列表",
    minutes: (n) => `${n} 分钟`, part: (n) => `之${n}`, by: (name) => name,
    reading: (n) => `${n} 人在读`, readIn: "另有", otherLanguage: { en: "English", zh: "中文" },
    previous: "上一篇", next: "下一篇", neighbours: "上一篇与下一篇",
    reactions: "回应", LIKE: "喜欢", LOVE: "深爱", CELEBRATE: "庆贺", CURIOUS: "好奇", INSIGHTFUL: "启发",
    related: "相关", SAME_SERIES: "同一系列", SHARED_TAGS: "标签相同", SIMILAR: "内容相近",
    comments: (n) => n === 0 ? "评论" : `${n} 条评论`, noComments: "还没有人写下什么。",
    comment: "写评论", commentHint: "可以用 Markdown", send: "提问", publish: "发表", reply: "回复",
    replyTo: (name) => `回复${name}`, signInToComment: "登录后评论", waits: "谢谢。站长同意后就会显示。",
    deleted: "已撤回", someone: "某人", pending: "待审",
    found: (n, query) => `“${query}”：${n} 篇`, foundNone: (query) => `没有找到“${query}”`,
    readAs: (typed) => `“${typed}”读作`, degraded: "模型还没准备好，只按字词搜索。",
    reasons: "找到的原因", WORDS: "字词", MEANING: "意思",
    TAG: "标签", POST: "文章", WORD: "词",
    ask: "问这个站", askHint: "只根据这里发表的文字回答，并注明出处。", askAnew: "重新开始",
    question: "你的问题", questionHint: "想知道什么？", stop: "停止", thinking: "正在翻阅……",
    stopped: "已停止。", sources: "出处", askDegraded: "段落只按字词找到，或由较小的模型回答。",
    took: (model, s) => `${model} · ${s} 秒`, failed: "没有成功：", offline: "连不上服务器，请再试一次。", again: "再试一次",
  },
};

/** Each reaction's seal. */
const SEALS = { LIKE: "赞", LOVE: "爱", CELEBRATE: "贺", CURIOUS: "奇", INSIGHTFUL: "悟" };

let language = kept(localStorage, LANGUAGE_KEY) ?? (navigator.language.startsWith("zh") ? "zh" : "en");
if (!WORDS[language]) language = "en";

/** What the page says, in the language that is chosen. */
function t(name, ...values) {
  const word = WORDS[language][name];
  return typeof word === "function" ? word(...values) : word;
}

const date = (time, options = { day: "numeric", month: "short" }) =>
  new Intl.DateTimeFormat(language === "zh" ? "zh-CN" : "en-GB", options).format(new Date(time));
const fullDate = (time) => date(time, { day: "numeric", month: "long", year: "numeric" });

/** Storage may be switched off: then memory has to do. */
function kept(storage, key) {
  try { return storage.getItem(key); } catch { return null; }
}

function keep(storage, key, value) {
  try { value === null ? storage.removeItem(key) : storage.setItem(key, value); } catch { /* see above */ }
}

// ---- Elements ----------------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);

/** An element. Children are elements and texts; what is null, false or undefined is left out. */
function h(name, attributes = {}, ...children) {
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
function marked({ text, ranges }) {
  const pieces = [];
  let at = 0;
  for (const { start, end } of ranges) {
    pieces.push(text.slice(at, start), h("mark", {}, text.slice(start, end)));
    at = end;
  }
  return [...pieces, text.slice(at)];
}

/** HTML that the server has sanitised. Its links to posts, and within the post, stay on this page. */
function written(element, html, slug) {
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

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

const toPost = (slug, anchor) => `#post/${encodeURIComponent(slug)}${anchor ? `/${encodeURIComponent(anchor)}` : ""}`;
const toTag = (slug) => `#tag/${encodeURIComponent(slug)}`;
const toSearch = (query) => `#search/${encodeURIComponent(query)}`;

/** Between those that are there, a middle dot. */
function dotted(...parts) {
  return parts.flat().filter(Boolean).flatMap((part, i) => i ? [h("span", { class: "dot", "aria-hidden": "true" }, "·"), part] : [part]);
}

const heading = (level, text) => h(`h${level}`, { tabindex: "-1" }, text);

function tell(...content) {
  $("notice").replaceChildren(...content);
  $("notice").hidden = content.length === 0;
}

// ---- The API -----------------------------------------------------------------------------------

/** An answer's data. Throws what went wrong as a sentence. */
async function ask(query, variables = {}, signal) {
  const used = account.token;
  const { data, errors } = await (await send(API, { query, variables }, signal)).json();
  if (used && errors?.some(isUnauthenticated)) {
    account.ended(used);
    if (!query.startsWith("mutation")) return ask(query, variables, signal);
  }
  if (errors?.length) throw new Error(errors[0].message);
  return data;
}

/** The object of a mutation. Throws what the input got wrong. */
async function change(query, variables) {
  const [payload] = Object.values(await ask(`mutation ${query}`, variables));
  if (payload.userErrors.length) throw new Error(payload.userErrors.map((error) => error.message).join(" "));
  return payload;
}

const isUnauthenticated = (error) => error.extensions?.code === "UNAUTHENTICATED";

// A cookie of the site's own pages in this browser is neither used nor replaced.
async function send(url, body, signal, headers = {}, method = "POST") {
  const sent = { "content-type": "application/json", ...headers };
  if (account.token) sent.authorization = `Bearer ${account.token}`;
  try {
    return await fetch(url, { method, headers: sent, body: body && JSON.stringify(body), credentials: "omit", signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error(t("offline"));
  }
}

/** The events of a stream: their type, and their data out of JSON. */
async function* eventsOf(response) {
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    throw new Error((await response.json()).errors?.[0]?.message ?? t("offline"));
  }
  let rest = "";
  for await (const text of chunksOf(response.body.pipeThrough(new TextDecoderStream()))) {
    const events = (rest + text).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const field = (name) => event.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = field("data");
      if (field("event")) yield { type: field("event"), data: data ? JSON.parse(data) : null };
    }
  }
}

/** Not every browser's streams can be iterated. */
async function* chunksOf(stream) {
  const reader = stream.getReader();
  try {
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) yield chunk.value;
  } finally {
    reader.cancel().catch(() => {});
  }
}

// ---- What is live ------------------------------------------------------------------------------

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
    const used = account.token;
    const reserved = await send(STREAM, undefined, stream.ending.signal, {}, "PUT");
    if (reserved.status === 401) account.ended(used);
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

const live = new Live();

// ---- Who is signed in --------------------------------------------------------------------------

/** The token stays in this tab; the explorer at / uses the same one. */
const account = {
  token: kept(sessionStorage, TOKEN_KEY),
  user: null,

  async refresh() {
    if (!this.token) return;
    this.user = (await ask("{ viewer { id name } }")).viewer;
    this.show();
  },

  async signIn(login, password) {
    const fields = "token user { id name } userErrors { message }";
    const { token, user } = await change(`($input: SignInInput!) { signIn(input: $input) { ${fields} } }`, { input: { login, password } });
    this.become(token, user);
  },

  async signOut() {
    await change("{ signOut { userErrors { message } } }").catch(() => {});
    this.become(null, null);
  },

  /** The server does not know this token any more. */
  ended(token) {
    if (!token || token !== this.token) return;
    this.become(null, null);
    tell(t("sessionEnded"));
  },

  become(token, user) {
    this.token = token;
    this.user = user;
    keep(sessionStorage, TOKEN_KEY, token);
    this.show();
    live.renew();
  },

  show() {
    $("account").textContent = this.user ? `${this.user.name} · ${t("signOut")}` : t("signIn");
  },
};

/** Opens the dialog; true when somebody has signed in. */
function offerSignIn() {
  const dialog = $("sign-in");
  $("sign-in-form").reset();
  $("sign-in-problem").hidden = true;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "in"), { once: true }));
}

function prepareAccount() {
  $("account").addEventListener("click", async () => {
    if (account.user) await account.signOut();
    else if (!await offerSignIn()) return;
    tell();
    route({ again: true });
  });
  $("sign-in-cancel").addEventListener("click", () => $("sign-in").close());
  $("sign-in-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await account.signIn($("login").value.trim(), $("password").value);
      $("sign-in").close("in");
    } catch (error) {
      $("sign-in-problem").textContent = error.message;
      $("sign-in-problem").hidden = false;
      $("password").select();
    }
  });
}

// ---- The list ----------------------------------------------------------------------------------

const LIST = `query List($filter: PostFilterInput, $after: String) {
  posts(filter: $filter, first: 12, after: $after) {
    nodes { slug title kind language publishedAt readingMinutes description excerpt tags { slug name } }
    pageInfo { hasNextPage endCursor }
  }
}`;

async function listView(view, tag) {
  const filter = { language, kind: ["ARTICLE", "NOTE", "PROJECT"], status: ["PUBLISHED"], tag };
  const [{ posts }, named] = await Promise.all([
    ask(LIST, { filter }, view.signal),
    tag && ask("query ($slug: String!) { tag(slug: $slug) { name } }", { slug: tag }, view.signal),
  ]);
  const title = tag ? t("taggedWith", named.tag?.name ?? tag) : t("posts");
  const years = h("div", { class: "years" });
  const news = h("p", { class: "news", role: "status" });
  view.show(title, [
    h("div", { class: "list-head" }, heading(1, title), tag && h("a", { href: "#list" }, t("everything"))), news, years,
  ]);
  if (posts.nodes.length === 0) years.append(h("p", { class: "hint" }, t("empty")));
  addToList(years, posts, (after) => ask(LIST, { filter, after }, view.signal));
  view.watch("($after: String) { postPublished(after: $after) { cursor post { slug title language } } }", {}, ({ post }) => {
    news.replaceChildren(t("published"), " ", h("a", { href: toPost(post.slug), lang: post.language }, post.title));
  });
}

function addToList(years, { nodes, pageInfo }, load) {
  for (const post of nodes) {
    const year = post.publishedAt?.slice(0, 4) ?? "";
    if (years.lastElementChild?.dataset.year !== year) {
      years.append(h("section", { "data-year": year }, h("h2", { class: "year" }, year), h("ol", { class: "posts" })));
    }
    years.lastElementChild.lastElementChild.append(listed(post));
  }
  addMore(years, pageInfo, async (after) => addToList(years, (await load(after)).posts, load));
}

/** A button that fetches the next page, and goes. */
function addMore(place, { hasNextPage, endCursor }, load) {
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

function listed(post) {
  const tags = post.tags.map((tag) => h("a", { href: toTag(tag.slug), class: "tag" }, tag.name));
  const about = post.description ?? post.excerpt;
  return h("li", { lang: post.language, class: post.kind === "NOTE" ? "note" : undefined },
    h("h3", {}, h("a", { href: toPost(post.slug) }, post.title)),
    about && h("p", {}, about),
    h("p", { class: "meta", lang: language },
      dotted(post.publishedAt && h("time", { datetime: post.publishedAt }, date(post.publishedAt)), t("minutes", post.readingMinutes), tags)));
}

// ---- A post ------------------------------------------------------------------------------------

const COMMENT = "fragment C on Comment { id status createdAt html author { name } parent { id } }";

const POST = `query Post($slug: String!) {
  post(slug: $slug) {
    id slug title language kind publishedAt readingMinutes html author { name } tags { slug name }
    series { title } seriesPosition previous { slug title language } next { slug title language }
    translations { slug language } reactionCounts { kind count } viewerHasReacted
    related(first: 4) { because post { slug title language } }
    comments(first: 20) { ...Page }
  }
}
fragment Page on CommentConnection {
  totalCount pageInfo { hasNextPage endCursor }
  nodes { ...C replies(first: 10) { nodes { ...C replies(first: 4) { nodes { ...C } } } } }
}
${COMMENT}`;

const MORE_COMMENTS = `query Comments($slug: String!, $after: String) {
  post(slug: $slug) { comments(first: 20, after: $after) {
    totalCount pageInfo { hasNextPage endCursor }
    nodes { ...C replies(first: 10) { nodes { ...C replies(first: 4) { nodes { ...C } } } } }
  } }
}
${COMMENT}`;

async function postView(view, slug) {
  const { post } = await ask(POST, { slug }, view.signal);
  if (!post) {
    view.show(t("notFound"), [heading(1, t("notFound")), h("p", {}, h("a", { href: "#list" }, t("home")))]);
    return;
  }
  const readers = h("span", { class: "readers", role: "status" });
  const body = written(h("div", { class: "body" }), post.html, post.slug);
  for (const table of body.querySelectorAll("table, pre")) {
    const box = h("div", { class: "wide", tabindex: "0" });
    table.replaceWith(box);
    box.append(table);
  }
  view.post = post;
  view.show(post.title, [
    h("article", { class: "post", lang: post.language, "aria-labelledby": "post-title" },
      postHead(post, readers), body,
      h("div", { lang: language }, reactionsOf(view, post))),
    relatedOf(post), neighboursOf(post), commentsOf(view, post),
  ]);
  view.watch("($postId: ID!) { viewerCount(postId: $postId) { count } }", { postId: post.id }, ({ count }) => {
    readers.replaceChildren(t("reading", count));
  });
}

function postHead(post, readers) {
  const series = post.series && h("p", { class: "series" },
    post.series.title, post.seriesPosition && h("span", { lang: language }, ` · ${t("part", post.seriesPosition)}`));
  const title = heading(1, post.title);
  title.id = "post-title";
  const others = post.translations.map((other) =>
    h("a", { href: toPost(other.slug), lang: other.language, hreflang: other.language }, t("otherLanguage")[other.language] ?? other.language));
  return h("header", {}, series, title,
    h("p", { class: "meta", lang: language }, dotted(
      post.author && t("by", post.author.name),
      post.publishedAt && h("time", { datetime: post.publishedAt }, fullDate(post.publishedAt)),
      t("minutes", post.readingMinutes),
      others.length > 0 && h("span", {}, `${t("readIn")} `, others),
      readers)),
    h("p", { class: "meta", lang: language }, dotted(post.tags.map((tag) => h("a", { href: toTag(tag.slug), class: "tag" }, tag.name)))));
}

function reactionsOf(view, post) {
  const buttons = Object.fromEntries(Object.entries(SEALS).map(([kind, seal]) => {
    const count = h("span", { class: "count" });
    const button = h("button", { type: "button", class: "reaction", onclick: () => toggle(kind) },
      h("span", { class: "glyph", lang: "zh", "aria-hidden": "true" }, seal), t(kind), count);
    return [kind, { button, count }];
  }));
  let mine = post.viewerHasReacted;
  const show = (counts) => {
    for (const [kind, { button, count }] of Object.entries(buttons)) {
      count.textContent = counts.find((entry) => entry.kind === kind)?.count ?? "";
      button.setAttribute("aria-pressed", mine.includes(kind));
    }
  };
  async function toggle(kind) {
    const fields = "post { reactionCounts { kind count } viewerHasReacted } userErrors { message }";
    try {
      if (!account.user && !await offerSignIn()) return;
      const verb = mine.includes(kind) ? "unreact" : "react";
      const { post: after } = await change(`($input: ReactInput!) { ${verb}(input: $input) { ${fields} } }`, { input: { postId: post.id, kind } });
      mine = after.viewerHasReacted;
      show(after.reactionCounts);
      view.showForm();
    } catch (error) {
      tell(error.message);
    }
  }
  show(post.reactionCounts);
  const query = "($postId: ID!, $after: String) { reactionCountsChanged(postId: $postId, after: $after) { cursor counts { kind count } } }";
  view.watch(query, { postId: post.id }, ({ counts }) => show(counts));
  return h("div", { class: "reactions", role: "group", "aria-label": t("reactions") }, Object.values(buttons).map(({ button }) => button));
}

function relatedOf({ related }) {
  if (related.length === 0) return null;
  return h("section", { class: "related", "aria-labelledby": "related" }, h("h2", { id: "related" }, t("related")),
    h("ul", {}, related.map(({ post, because }) => h("li", {},
      h("a", { href: toPost(post.slug), lang: post.language }, post.title),
      h("span", { class: "why" }, because.map((reason) => t(reason)).join(" · "))))));
}

function neighboursOf({ previous, next }) {
  if (!previous && !next) return null;
  const link = (post, name, direction) => post && h("a", { href: toPost(post.slug), rel: direction, class: direction },
    h("small", {}, t(name)), h("span", { lang: post.language }, post.title));
  return h("nav", { class: "neighbours", "aria-label": t("neighbours") }, link(previous, "previous", "prev"), link(next, "next", "next"));
}

// ---- Comments ----------------------------------------------------------------------------------

function commentsOf(view, post) {
  const title = h("h2", { id: "comments" });
  const threads = h("ol", { class: "comments" });
  const place = h("div", { class: "comment-place" });
  const seen = new Map();
  let total = post.comments.totalCount;
  const count = () => title.replaceChildren(t("comments", total));

  function add(comment, isNew) {
    if (seen.has(comment.id)) return;
    const replies = h("ol", { class: "comments" });
    const text = h("article", { class: "comment" }, commentHead(comment), commentText(comment, post.slug));
    const item = h("li", { class: isNew ? "new" : undefined }, text, replies);
    if (comment.status === "APPROVED") text.append(replyButton(comment));
    seen.set(comment.id, replies);
    (seen.get(comment.parent?.id) ?? threads).append(item);
    if (isNew) {
      total += comment.status === "APPROVED" ? 1 : 0;
      count();
    }
    for (const reply of comment.replies?.nodes ?? []) add(reply);
  }
  function addPage({ nodes, pageInfo }) {
    for (const comment of nodes) add(comment);
    addMore(threads, pageInfo, async (after) => addPage((await ask(MORE_COMMENTS, { slug: post.slug, after }, view.signal)).post.comments));
  }
  function replyButton(comment) {
    const button = h("button", { type: "button", class: "plain reply", onclick: async () => {
      if (!account.user && !await offerSignIn()) return;
      view.showForm();
      button.replaceWith(commentForm(post, { parent: comment, added: (reply) => add(reply, true), left: (form) => form.replaceWith(button) }));
    } }, t("reply"));
    return button;
  }
  view.showForm = () => {
    const isForm = place.firstElementChild?.tagName === "FORM";
    if (place.firstElementChild && isForm === Boolean(account.user)) return;
    const offer = h("button", { type: "button", onclick: async () => {
      if (await offerSignIn()) { view.showForm(); place.querySelector("textarea").focus(); }
    } }, t("signInToComment"));
    place.replaceChildren(account.user ? commentForm(post, { added: (comment) => add(comment, true) }) : offer);
  };

  count();
  addPage(post.comments);
  view.showForm();
  const query = `($postId: ID!, $after: String) { commentAdded(postId: $postId, after: $after) { cursor comment { ...C } } } ${COMMENT}`;
  view.watch(query, { postId: post.id }, ({ comment }) => add(comment, true));
  return h("section", { class: "discussion", "aria-labelledby": "comments" }, title,
    h("div", { "aria-live": "polite" }, threads), h("p", { class: "hint none" }, t("noComments")), place);
}

function commentHead({ author, createdAt, status }) {
  const time = date(createdAt, { day: "numeric", month: "short", year: "numeric" });
  return h("p", { class: "meta" }, dotted(h("strong", {}, author?.name ?? t("someone")), h("time", { datetime: createdAt }, time),
    status === "PENDING" && t("pending")));
}

const commentText = ({ html, status }, slug) =>
  status === "DELETED" ? h("p", { class: "hint" }, t("deleted")) : written(h("div", { class: "body" }), html, slug);

/** To comment, or to answer `parent`; then it can be left. */
function commentForm(post, { parent, added, left }) {
  const name = parent ? t("replyTo", parent.author?.name ?? t("someone")) : t("comment");
  const text = h("textarea", { rows: "3", required: true, "aria-label": name, placeholder: `${name} · ${t("commentHint")}` });
  const said = h("p", { class: "hint", role: "status", hidden: true });
  const submit = h("button", { type: "submit" }, parent ? t("reply") : t("publish"));
  const form = h("form", { class: "comment-form", onsubmit: async (event) => {
    event.preventDefault();
    submit.disabled = true;
    try {
      const input = { postId: post.id, parentId: parent?.id, markdown: text.value };
      const query = `($input: AddCommentInput!) { addComment(input: $input) { comment { ...C } userErrors { message } } } ${COMMENT}`;
      const { comment } = await change(query, { input });
      added(comment);
      text.value = "";
      said.textContent = comment.status === "PENDING" ? t("waits") : "";
      if (comment.status !== "PENDING") left?.(form);
    } catch (error) {
      said.textContent = error.message;
    }
    said.hidden = said.textContent === "";
    submit.disabled = false;
  } }, text, said, h("div", { class: "row" }, submit,
    left && h("button", { type: "button", class: "plain", onclick: () => left(form) }, t("cancel"))));
  if (parent) queueMicrotask(() => text.focus());
  return form;
}

// ---- Search ------------------------------------------------------------------------------------

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

async function searchView(view, query) {
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
function prepareSearch() {
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

// ---- The chat ----------------------------------------------------------------------------------

const CHAT = `subscription Chat($input: ChatInput!) { chat(input: $input) {
  __typename
  ... on ChatStarted { conversationId }
  ... on ChatCitations { degraded citations { index title headingPath excerpt url post { slug language } } }
  ... on ChatToken { text }
  ... on ChatDone { finishReason model durationMs degraded }
  ... on ChatFailed { code message }
} }`;

const chat = { conversationId: null, stopping: null, turns: 0 };

/** Shows the panel where the server has a chat: an older one does not know its types. */
async function prepareChat() {
  $("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const question = $("question").value.trim();
    if (question && !chat.stopping) answer(question);
  });
  $("question").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("ask-form").requestSubmit();
  });
  $("ask-stop").addEventListener("click", () => chat.stopping?.abort());
  $("ask-anew").addEventListener("click", () => {
    chat.stopping?.abort();
    chat.conversationId = null;
    $("turns").replaceChildren();
    $("ask-anew").hidden = true;
    $("question").focus();
  });
  await ask("{ nodes(ids: []) { ... on ChatMessage { id } } }").then(() => { $("ask").hidden = false; }, () => {});
}

async function answer(question) {
  const turn = newTurn(question);
  const stopping = chat.stopping = new AbortController();
  showAsking(true);
  $("question").value = "";
  try {
    const input = { question, conversationId: chat.conversationId };
    const response = await send(STREAM, { query: CHAT, variables: { input } }, stopping.signal, { accept: "text/event-stream" });
    for await (const { data } of eventsOf(response)) {
      if (data?.errors?.length) throw new Error(data.errors[0].message);
      if (data?.data?.chat) turn.take(data.data.chat);
    }
  } catch (error) {
    turn.end(error.name === "AbortError" ? t("stopped") : `${t("failed")} ${error.message}`);
  } finally {
    turn.end();
    if (chat.stopping === stopping) {
      chat.stopping = null;
      showAsking(false);
    }
  }
}

function showAsking(isAsking) {
  if (isAsking && document.activeElement === $("ask-send")) $("question").focus();
  $("ask-send").hidden = isAsking;
  $("ask-stop").hidden = !isAsking;
  $("ask-anew").hidden = false;
}

/** A question with the place for its answer; `take` what the server tells. */
function newTurn(question) {
  const number = ++chat.turns;
  const [text, sources, end] = [h("p", { class: "answer" }), h("div", { class: "sources" }), h("p", { class: "hint" }, t("thinking"))];
  const element = h("div", { class: "turn waiting" }, h("p", { class: "question", lang: languageOf(question) }, question), text, end, sources);
  $("turns").append(element);
  const reveal = () => { $("turns").scrollTop = element.offsetTop; };
  reveal();
  let [said, citations, ended] = ["", [], false];
  const idOf = (index) => `citation-${number}-${index}`;
  const show = () => {
    text.lang = languageOf(said);
    text.replaceChildren(...numbered(said, citations, idOf));
  };
  const tellers = {
    ChatStarted: ({ conversationId }) => { chat.conversationId = conversationId; },
    ChatCitations: (event) => {
      citations = event.citations;
      if (citations.length) sources.replaceChildren(h("h3", {}, t("sources")), citedList(citations, idOf));
      reveal();
    },
    ChatToken: (event) => { said += event.text; show(); },
    ChatDone: ({ model, durationMs, degraded }) => finish(
      dotted(model && t("took", model, (durationMs / 1000).toFixed(1)), degraded && t("askDegraded"))),
    ChatFailed: ({ message }) => finish([`${t("failed")} ${message}`], "failed"),
  };
  function finish(words, state) {
    if (ended) return;
    ended = true;
    element.classList.remove("waiting");
    if (state) element.classList.add(state);
    end.replaceChildren(...words);
    end.hidden = words.length === 0;
  }
  return { take: (event) => tellers[event.__typename]?.(event), end: (words) => finish(words ? [words] : []) };
}

/** The text, with a link wherever it has the number of a citation. */
function numbered(text, citations, idOf) {
  return text.split(/(\[\d+\])/).map((piece) => {
    const index = Number(piece.match(/^\[(\d+)\]$/)?.[1]);
    if (!citations.some((citation) => citation.index === index)) return piece;
    return h("a", { class: "cite", href: `#${idOf(index)}`, onclick: (event) => {
      event.preventDefault();
      const cited = $(idOf(index));
      cited.scrollIntoView({ block: "nearest" });
      cited.querySelector("a")?.focus({ preventScroll: true });
    } }, String(index));
  });
}

function citedList(citations, idOf) {
  return h("ol", {}, citations.map(({ index, title, headingPath, excerpt, url, post }) => {
    const anchor = decoded(url.split("#")[1] ?? "");
    const name = [title, ...headingPath].join(" › ");
    return h("li", { id: idOf(index), value: index, lang: post?.language },
      post ? h("a", { href: toPost(post.slug, anchor) }, name) : name,
      excerpt && h("q", {}, excerpt));
  }));
}

const languageOf = (text) => /\p{Script=Han}/u.test(text) ? "zh" : "en";

// ---- The address -------------------------------------------------------------------------------

let current = null;
let followed = false;
const scrolled = new Map();

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
function go(hash, { typing = false } = {}) {
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

async function route({ again = false, typing = false } = {}) {
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
    if (name === "post") await postView(view, subject);
    else if (name === "search" && subject) await searchView(view, subject);
    else await listView(view, name === "tag" ? subject : undefined);
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

/** Puts the words of the chosen language into what always stands on the page. */
function speak(chosen) {
  language = chosen;
  keep(localStorage, LANGUAGE_KEY, chosen);
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
  document.addEventListener("click", (event) => { followed = Boolean(event.target.closest?.("a[href^='#']")); });
  addEventListener("hashchange", () => route());
  prepareAccount();
  prepareSearch();
  await account.refresh().catch((error) => tell(error.message));
  await ask("{ site { title tagline } }").then(({ site }) => {
    $("site-title").textContent = site.title;
    $("site-tagline").textContent = site.tagline;
  }).catch(() => {});
  await Promise.all([route(), prepareChat()]);
}

start();
