// What is said below a post.

import { account, offerSignIn } from "./account.js";
import { ask, change } from "./api.js";
import { addMore, dotted, h, written } from "./elements.js";
import { date, t } from "./words.js";

export const COMMENT = "fragment C on Comment { id status createdAt html author { name } parent { id } }";

const MORE_COMMENTS = `query Comments($slug: String!, $after: String) {
  post(slug: $slug) { comments(first: 20, after: $after) {
    totalCount pageInfo { hasNextPage endCursor }
    nodes { ...C replies(first: 10) { nodes { ...C replies(first: 4) { nodes { ...C } } } } }
  } }
}
${COMMENT}`;

export function commentsOf(view, post) {
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
