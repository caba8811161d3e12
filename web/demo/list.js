// The list of posts.

import { ask } from "./api.js";
import { addMore, dotted, h, heading, toPost, toTag } from "./elements.js";
import { forYou } from "./reading.js";
import { date, language, t } from "./words.js";

const LIST = `query List($filter: PostFilterInput, $after: String) {
  posts(filter: $filter, first: 12, after: $after) {
    nodes { slug title kind language publishedAt readingMinutes description excerpt tags { slug name } }
    pageInfo { hasNextPage endCursor }
  }
}`;

export async function listView(view, tag) {
  const filter = { language, kind: ["ARTICLE", "NOTE", "PROJECT"], status: ["PUBLISHED"], tag };
  const [{ posts }, named] = await Promise.all([
    ask(LIST, { filter }, view.signal),
    tag && ask("query ($slug: String!) { tag(slug: $slug) { name } }", { slug: tag }, view.signal),
  ]);
  const title = tag ? t("taggedWith", named.tag?.name ?? tag) : t("posts");
  const years = h("div", { class: "years" });
  const news = h("p", { class: "news", role: "status" });
  view.show(title, [
    h("div", { class: "list-head" }, heading(1, title), tag && h("a", { href: "#list" }, t("everything"))), news,
    !tag && forYou(view), years,
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

function listed(post) {
  const tags = post.tags.map((tag) => h("a", { href: toTag(tag.slug), class: "tag" }, tag.name));
  const about = post.description ?? post.excerpt;
  return h("li", { lang: post.language, class: post.kind === "NOTE" ? "note" : undefined },
    h("h3", {}, h("a", { href: toPost(post.slug) }, post.title)),
    about && h("p", {}, about),
    h("p", { class: "meta", lang: language },
      dotted(post.publishedAt && h("time", { datetime: post.publishedAt }, date(post.publishedAt)), t("minutes", post.readingMinutes), tags)));
}
