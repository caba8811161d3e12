// What was read, where that is wanted, and what to read next because of it.

import { account } from "./account.js";
import { ask, caller, change } from "./api.js";
import { h, tell, toPost } from "./elements.js";
import { keep, kept, language, t } from "./words.js";

const READING_KEY = "inkstone:reading";

/** Of who has no account and agreed; null for everybody else. */
let readingToken = kept(localStorage, READING_KEY);

function become(token) {
  readingToken = token;
  keep(localStorage, READING_KEY, token);
}

/** A history that was not used for long is forgotten, and so is its token here. */
function isForgotten(error) {
  const forgotten = readingToken && (error.fields?.includes("readingToken") || error.message.includes("startReading"));
  if (forgotten) become(null);
  return forgotten;
}

/** Says that a post is read; without consent only its number of reads counts up. */
export async function recordRead(post) {
  const query = "($input: RecordReadInput!) { recordRead(input: $input) { userErrors { field message } } }";
  try {
    await change(query, { input: { postId: post.id, readingToken } });
  } catch (error) {
    if (isForgotten(error)) await recordRead(post);
  }
}

const RECOMMENDATIONS = `query Recommendations($readingToken: String, $language: String) {
  recommendations(readingToken: $readingToken, language: $language, first: 4) {
    nodes { post { slug title language } because { kind post { title } } }
  }
}`;

/** A place with what to read next and why, which comes when it is known. */
export function forYou(view) {
  const list = h("ul");
  const place = h("section", { class: "related for-you", "aria-labelledby": "for-you", hidden: true },
    h("h2", { id: "for-you" }, t("forYou")), list);
  const show = async () => {
    try {
      const [nodes, isKept] = await Promise.all([recommended(view.signal), isRemembered(view.signal)]);
      list.replaceChildren(...nodes.map(recommendation));
      place.querySelector(".consent")?.remove();
      place.append(consent(isKept, show));
      place.hidden = false;
    } catch { /* the list of posts is there without it */ }
  };
  show();
  return place;
}

async function recommended(signal) {
  try {
    return (await ask(RECOMMENDATIONS, { readingToken, language }, signal)).recommendations.nodes;
  } catch (error) {
    if (!isForgotten(error)) throw error;
    return (await ask(RECOMMENDATIONS, { readingToken, language }, signal)).recommendations.nodes;
  }
}

async function isRemembered(signal) {
  if (!caller.token) return Boolean(readingToken);
  return (await ask("{ readingHistory(first: 1) { isKept } }", {}, signal)).readingHistory.isKept;
}

function recommendation({ post, because }) {
  const why = because.map((reason) => t(reason.kind, reason.post?.title ?? "")).join(" · ");
  return h("li", {}, h("a", { href: toPost(post.slug), lang: post.language }, post.title), h("span", { class: "why" }, why));
}

/** The switch: on begins a history, off forgets it at once. */
function consent(isKept, changed) {
  const box = h("input", { type: "checkbox", role: "switch", "aria-describedby": "consent-hint", checked: isKept, onchange: async () => {
    box.disabled = true;
    try {
      await remember(box.checked);
      await changed();
    } catch (error) {
      tell(error.message);
      box.checked = !box.checked;
    }
    box.disabled = false;
  } });
  return h("div", { class: "consent" },
    h("label", {}, box, account.user ? t("rememberMe") : t("remember")), h("p", { class: "hint", id: "consent-hint" }, t("rememberHint")));
}

async function remember(isWanted) {
  if (caller.token) {
    const query = "($keep: Boolean!) { setReadingHistory(input: { keep: $keep }) { userErrors { field message } } }";
    await change(query, { keep: isWanted });
  } else if (isWanted) {
    become((await change("{ startReading { readingToken userErrors { field message } } }")).readingToken);
  } else if (readingToken) {
    const query = "($input: ForgetReadingInput) { forgetReading(input: $input) { userErrors { field message } } }";
    await change(query, { input: { readingToken } }).catch((error) => { if (!isForgotten(error)) throw error; });
    become(null);
  }
}
