// The chat.

import { ask, eventsOf, send, STREAM } from "./api.js";
import { $, decoded, dotted, h, toPost } from "./elements.js";
import { t } from "./words.js";

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
export async function prepareChat() {
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
    ChatDone: ({ finishReason, model, durationMs, degraded }) => finish(
      finishReason === "QUOTED" ? [t("quoted")]
        : dotted(model && t("took", model, (durationMs / 1000).toFixed(1)), degraded && t("askDegraded"))),
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
