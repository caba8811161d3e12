// A post.

import { account, offerSignIn } from "./account.js";
import { ask, change } from "./api.js";
import { COMMENT, commentsOf } from "./comments.js";
import { dotted, h, heading, tell, toPost, toTag, written } from "./elements.js";
import { recordRead } from "./reading.js";
import { fullDate, language, SEALS, t } from "./words.js";

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

export async function postView(view, slug) {
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
  recordRead(post);
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
