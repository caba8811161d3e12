// What the page says, in both languages, and what the browser keeps of it.

const LANGUAGE_KEY = "inkstone:demo:language";

const WORDS = {
  en: {
    skip: "Skip to the text", language: "Language", signIn: "Sign in", signOut: "Sign out", cancel: "Cancel",
    login: "Name or e-mail", password: "Password", signInHint: "The session belongs to this browser tab.",
    sessionEnded: "Your session has ended. Sign in again to go on.",
    search: "Search", searchHint: "Search by words or meaning", suggestions: "How it may go on",
    foot: "One page, made with the API of this server.", explorer: "The explorer",
    posts: "Writing", taggedWith: (tag) => `Tagged “${tag}”`, everything: "All writing", more: "More", empty: "Nothing here yet.",
    forYou: "For you", remember: "Remember what I read in this browser", rememberMe: "Remember what I read",
    rememberHint: "To recommend with, seen by you alone. Switched off, it is forgotten at once.",
    READ: (title) => `because you read “${title}”`, LIKED: (title) => `because you liked “${title}”`,
    COMMENTED: (title) => `because you commented on “${title}”`, POPULAR: "popular this week", NEW: "new",
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
    quoted: "Quoted from the site: no model wrote this.",
    took: (model, s) => `${model} · ${s} s`, failed: "It did not work:", offline: "The server cannot be reached. Try again.", again: "Try again",
  },
  zh: {
    skip: "跳到正文", language: "语言", signIn: "登录", signOut: "退出", cancel: "取消",
    login: "用户名或邮箱", password: "密码", signInHint: "登录只在这个标签页里有效。",
    sessionEnded: "登录已过期，请重新登录。",
    search: "搜索", searchHint: "按字词或意思搜索", suggestions: "可以接着输入",
    foot: "这一页用本服务器的 API 写成。", explorer: "接口浏览器",
    posts: "文章", taggedWith: (tag) => `标签“${tag}”`, everything: "全部文章", more: "更多", empty: "这里还没有文章。",
    forYou: "为你推荐", remember: "在这个浏览器里记住我读过什么", rememberMe: "记住我读过什么",
    rememberHint: "只用来推荐，只有你自己看得到。关掉就立刻忘记。",
    READ: (title) => `因为读过《${title}》`, LIKED: (title) => `因为喜欢《${title}》`,
    COMMENTED: (title) => `因为评论过《${title}》`, POPULAR: "本周受欢迎", NEW: "新发表",
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
    quoted: "引自本站原文，并非模型所写。",
    took: (model, s) => `${model} · ${s} 秒`, failed: "没有成功：", offline: "连不上服务器，请再试一次。", again: "再试一次",
  },
};

/** Each reaction's seal. */
export const SEALS = { LIKE: "赞", LOVE: "爱", CELEBRATE: "贺", CURIOUS: "奇", INSIGHTFUL: "悟" };

export let language = kept(localStorage, LANGUAGE_KEY) ?? (navigator.language.startsWith("zh") ? "zh" : "en");
if (!WORDS[language]) language = "en";

/** What the page says, in the language that is chosen. */
export function t(name, ...values) {
  const word = WORDS[language][name];
  return typeof word === "function" ? word(...values) : word;
}

export const date = (time, options = { day: "numeric", month: "short" }) =>
  new Intl.DateTimeFormat(language === "zh" ? "zh-CN" : "en-GB", options).format(new Date(time));
export const fullDate = (time) => date(time, { day: "numeric", month: "long", year: "numeric" });

/** Says everything in another language from now on. */
export function choose(chosen) {
  language = chosen;
  keep(localStorage, LANGUAGE_KEY, chosen);
}

/** Storage may be switched off: then memory has to do. */
export function kept(storage, key) {
  try { return storage.getItem(key); } catch { return null; }
}

export function keep(storage, key, value) {
  try { value === null ? storage.removeItem(key) : storage.setItem(key, value); } catch { /* see above */ }
}
