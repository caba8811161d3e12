// Drives the demo page at /demo as a reader would, in both languages, with every way out of the
// machine shut.
//
//   INKSTONE_PASSWORD=… node demo.mjs BASE_URL SCREENSHOT_DIR
//
// The server holds the demo site. INKSTONE_LOGIN is its owner, `mo` when absent; CHROMIUM is the
// browser, /usr/bin/chromium when absent. Ends with 0 when all is well, and with 1 and a sentence.

import assert from "node:assert/strict";
import { base, fitsItsWidth, graphql, login, open, password, run, shot, signIn, test } from "./watched.mjs";

const POST = "grinding-ink";
const inEnglish = { locale: "en-GB" };
const inChinese = { locale: "zh-CN" };

/** A window with the demo page at `hash`, in the language of its browser. */
const openDemo = (hash, options) => open(`demo${hash}`, options);

const titles = (page) => page.locator(".posts h3");
const search = (page) => page.getByRole("combobox");
const isChinese = (text) => /\p{Script=Han}/u.test(text);
const has = (locator, text, options) => locator.filter({ hasText: text }).first().waitFor(options);

/** Whether a request asks the chat. */
const asksChat = (request) => Boolean(request.postData()?.includes("subscription Chat"));

/** Lets `handle` answer what is asked of the chat, for as long as `action` takes. */
async function withChat(page, handle, action) {
  const all = (route) => asksChat(route.request()) ? handle(route) : route.fallback();
  await page.route("**/graphql/stream", all);
  await action();
  await page.unroute("**/graphql/stream", all);
}

/** Whether the schema has a chat, found out as the page does. */
async function hasChat() {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ query: "{ nodes(ids: []) { ... on ChatMessage { id } } }" });
  const answer = await fetch(new URL("graphql", base), { method: "POST", headers, body });
  return !(await answer.json()).errors;
}

await test(async () => {
  const { context, page } = await openDemo("", inEnglish);

  await run("the list is in English, and goes on", async () => {
    await titles(page).first().waitFor();
    const first = await titles(page).allInnerTexts();
    assert.ok(first.length >= 10 && !first.some(isChinese), `English posts only: ${first}`);
    assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
    assert.equal(await page.locator(".posts li").first().getAttribute("lang"), "en");
    await fitsItsWidth(page);
    await shot(page, "demo-list-en");
    await page.getByRole("button", { name: "More" }).click();
    await page.waitForFunction((before) => document.querySelectorAll(".posts li").length > before, first.length);
  });

  await run("the list is in Chinese, and the choice is kept", async () => {
    await page.getByRole("button", { name: "中文" }).click();
    await has(page.getByRole("heading", { level: 1 }), "文章");
    const shown = await titles(page).allInnerTexts();
    assert.ok(shown.length >= 5 && shown.every(isChinese), `Chinese posts only: ${shown}`);
    assert.equal(await page.evaluate(() => document.documentElement.lang), "zh");
    await shot(page, "demo-list-zh");
    await page.reload();
    await has(page.getByRole("heading", { level: 1 }), "文章");
    await page.getByRole("button", { name: "English" }).click();
    await has(page.getByRole("heading", { level: 1 }), "Writing");
  });

  await run("a tag lists its posts", async () => {
    await page.locator(".posts .tag").first().click();
    await has(page.getByRole("heading", { level: 1 }), "Tagged");
    await titles(page).first().waitFor();
    await page.getByRole("link", { name: "All writing" }).click();
    await has(page.getByRole("heading", { level: 1 }), "Writing");
  });

  await run("a post is opened with the keyboard, with what is related", async () => {
    await page.goto(new URL(`demo#post/${POST}`, base).href);
    const title = page.locator("article h1");
    await title.waitFor();
    assert.equal(await title.evaluate((heading) => heading === document.activeElement), true, "the title has the focus");
    assert.equal(await page.locator("article.post").getAttribute("lang"), "en");
    await has(page.locator(".readers"), "1 reader now");
    await shot(page, "demo-post");
    const related = page.locator(".related a");
    assert.ok(await related.count() >= 1, "there is something related");
    const target = await related.first().innerText();
    await related.first().focus();
    await page.keyboard.press("Enter");
    await has(title, target);
    await page.goBack();
    await has(title, "Grinding ink");
  });

  await run("links within a post stay on this page", async () => {
    await page.locator(".footnote-ref a").first().click();
    await page.waitForFunction(() => document.activeElement?.id === "fn-1");
    assert.match(page.url(), /#post\/grinding-ink\/fn-1$/);
    const links = await page.locator("article .body a").evaluateAll((all) => all.map((link) => link.getAttribute("href")));
    assert.ok(links.length > 0 && links.every((href) => href.startsWith("#post/") || /^https?:/.test(href)), `no other page: ${links}`);
  });

  await run("another reader is counted", async () => {
    const other = await openDemo(`#post/${POST}`, inEnglish);
    await has(page.locator(".readers"), "2 readers now");
    await other.context.close();
    await has(page.locator(".readers"), "1 reader now");
  });

  await run("reacting asks to sign in, and says what is wrong", async () => {
    await page.getByRole("button", { name: "Curious" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name or e-mail").fill(login);
    await dialog.getByLabel("Password").fill("not the password");
    await dialog.getByRole("button", { name: "Sign in" }).click();
    await has(dialog.getByRole("alert"), /password/i);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
  });

  await run("the owner signs in, without a cookie", async () => {
    const dialog = await signIn(page, password);
    await dialog.waitFor({ state: "hidden" });
    await page.getByRole("button", { name: /Sign out/ }).waitFor();
    assert.deepEqual(await context.cookies(), [], "signing in here leaves no cookie");
    await page.getByRole("textbox", { name: "Your comment" }).waitFor();
  });

  const reader = await openDemo(`#post/${POST}`, inChinese);
  await run("a comment arrives at another reader's, live, and once", async () => {
    // Who is counted there listens there, as all subscriptions of a page begin together.
    await has(reader.page.locator(".readers"), "2 人在读");
    const text = `Ground at ${Date.now()} <b>by hand</b>`;
    await page.getByRole("textbox", { name: "Your comment" }).fill(`**${text}**`);
    await page.getByRole("button", { name: "Comment", exact: true }).click();
    await has(page.locator(".comment"), text);
    await has(reader.page.locator(".comment"), text);
    for (const window of [page, reader.page]) {
      assert.equal(await window.locator(".comment", { hasText: text }).count(), 1, "it stands there once");
      assert.equal(await window.locator(".comment strong", { hasText: text }).count(), 1, "Markdown is rendered");
    }
  });

  await run("a reply stands below what it answers, for both", async () => {
    const text = `Answered at ${Date.now()}`;
    await page.locator(".comment").last().getByRole("button", { name: "Reply" }).click();
    await page.getByRole("textbox", { name: /^Reply to/ }).fill(text);
    await page.locator(".comment-form").first().getByRole("button", { name: "Reply" }).click();
    await has(page.locator(".comments .comments .comment"), text);
    await shot(page, "demo-comments");
    await has(reader.page.locator(".comments .comments .comment"), text);
  });

  await run("a reaction is counted for both, and taken back", async () => {
    const mine = page.getByRole("button", { name: /Curious/ });
    const theirs = reader.page.getByRole("button", { name: /好奇/ });
    const before = await theirs.innerText();
    await mine.click();
    await page.locator(".reaction[aria-pressed=true]").filter({ hasText: "Curious" }).waitFor();
    await reader.page.waitForFunction(
      (was) => [...document.querySelectorAll(".reaction")].find((button) => button.innerText.includes("好奇")).innerText !== was, before);
    assert.equal(await theirs.getAttribute("aria-pressed"), "false", "it is not the other's reaction");
    await mine.click();
    await reader.page.waitForFunction(
      (was) => [...document.querySelectorAll(".reaction")].find((button) => button.innerText.includes("好奇")).innerText === was, before);
  });

  await run("the other language is the same piece where there is one", async () => {
    await reader.page.goto(new URL(`demo#post/${POST}`, base).href);
    const { post } = await graphql("query ($slug: String!) { post(slug: $slug) { translations { language title } } }", { slug: POST });
    const other = post.translations.find(({ language }) => language === "zh");
    assert.ok(other, "the demo site has it in Chinese too");
    await reader.page.getByRole("button", { name: "English" }).click();
    await reader.page.getByRole("button", { name: "中文" }).click();
    await has(reader.page.locator("article h1"), other.title);
    assert.equal(await reader.page.locator("article.post").getAttribute("lang"), "zh");
  });

  await run("it searches as one types, and marks what was looked for", async () => {
    await search(page).click();
    await page.keyboard.type("grindin");
    await has(page.locator(".hits mark"), /grind/i);
    await has(page.locator(".hits .reason"), "words");
    assert.match(page.url(), /#search\/grindin$/);
    assert.equal(await search(page).evaluate((field) => field === document.activeElement), true, "one goes on typing");
    await shot(page, "demo-search");
    await page.keyboard.press("Control+a");
    await page.keyboard.type("calligrafy");
    await has(page.locator(".corrected"), "calligraphy");
  });

  await run("a completion is taken with the arrow keys", async () => {
    await page.keyboard.press("Control+a");
    await page.keyboard.type("grin");
    const option = page.getByRole("option").filter({ hasText: "Grinding ink" });
    await option.waitFor();
    for (let i = 0; i < 7 && await option.getAttribute("aria-selected") !== "true"; i++) await page.keyboard.press("ArrowDown");
    assert.equal(await search(page).getAttribute("aria-activedescendant"), await option.getAttribute("id"));
    await page.keyboard.press("Enter");
    await has(page.locator("article h1"), "Grinding ink");
  });

  await run("two Chinese characters are found", async () => {
    await search(reader.page).fill("砚台");
    await has(reader.page.locator(".hits mark"), "砚台");
    assert.equal(await reader.page.locator(".hits li").first().getAttribute("lang"), "zh");
    await shot(reader.page, "demo-search-zh");
    await reader.page.locator(".hits a").first().click();
    await reader.page.locator("article h1").waitFor();
  });

  await run("what is nowhere is said to be nowhere, as text", async () => {
    await search(page).fill('"<img src=x onerror=alert(1)>qzx"');
    await has(page.getByRole("heading", { level: 1 }), "Nothing for “\"<img");
    assert.equal(await page.locator("main img").count(), 0, "what is typed is text");
    await page.goto(new URL("demo#post/there-is-no-such-post", base).href);
    await has(page.getByRole("heading", { level: 1 }), "There is no such post");
  });

  await run("what one reads is remembered by consent, and recommended by; then forgotten", async () => {
    const other = await openDemo("#list", inChinese);
    const place = other.page.locator(".for-you");
    const token = () => other.page.evaluate(() => localStorage.getItem("inkstone:reading"));
    const consent = place.getByRole("switch", { name: "记住我读过什么" });
    await has(place, "为你推荐");
    assert.equal(await consent.isChecked(), false, "nobody is remembered who was not asked");
    assert.equal(await place.getByText("因为读过").count(), 0, "nothing is known of the reader");
    await consent.click();
    await other.page.waitForFunction(() => localStorage.getItem("inkstone:reading"));
    const own = await token();
    const recorded = other.page.waitForResponse((response) => response.request().postData()?.includes("recordRead"));
    await other.page.goto(new URL("demo#post/yan-mo", base).href);
    await has(other.page.locator("article h1"), "研墨");
    await recorded;
    await other.page.goto(new URL("demo#list", base).href);
    await has(place.locator(".why"), "因为读过《落笔之前先研墨》");
    assert.equal(await place.locator("a", { hasText: "研墨" }).count(), 0, "what was read is not recommended");
    assert.equal(await consent.isChecked(), true);
    await fitsItsWidth(other.page);
    await shot(other.page, "demo-for-you-zh");
    const { readingHistory } = await graphql("query ($own: String) { readingHistory(readingToken: $own) { nodes { post { slug } } } }", { own });
    assert.deepEqual(readingHistory.nodes.map(({ post }) => post.slug), ["yan-mo"]);
    await consent.click();
    await other.page.waitForFunction(() => !localStorage.getItem("inkstone:reading"));
    await other.page.waitForFunction(() => !document.querySelector(".for-you").textContent.includes("因为读过"));
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ query: `{ readingHistory(readingToken: "${own}") { isKept } }` });
    const answer = await (await fetch(new URL("graphql", base), { method: "POST", headers, body })).json();
    assert.equal(answer.errors?.[0].extensions.code, "BAD_USER_INPUT", "the server has forgotten it too");
    await other.context.close();
  });

  if (await hasChat()) {
    await run("the site is asked, and says from where", async () => {
      await page.goto(new URL("demo#list", base).href);
      await page.getByRole("textbox", { name: "Your question" }).fill("How long should ink be ground?");
      await page.keyboard.press("Enter");
      const turn = page.locator(".turn").last();
      // A model that reads and one that writes, in a build without optimisation, take their time.
      const patient = { timeout: 120_000 };
      await has(turn.locator(".sources li"), "Grinding ink", patient);
      await page.locator(".turn:not(.waiting)").last().waitFor(patient);
      // Without a model that writes, as where models are not fetched, the site is quoted.
      const answer = await turn.locator(".answer").textContent();
      if (/Quoted from the site/.test(await turn.innerText())) {
        assert.match(answer, /The nearest to that on this site:.*“.{20,}” \d/s);
        assert.ok(await turn.locator(".cite").count() > 0, "the quote says from where");
      } else assert.ok(answer.trim(), "there is an answer");
      assert.equal(await page.locator(".turn.failed").count(), 0);
      await shot(page, "demo-chat");
      await turn.locator(".sources a").first().click();
      await has(page.locator("article h1"), "Grinding ink");
      await page.getByRole("button", { name: "Begin anew" }).click();
      assert.equal(await page.locator(".turn").count(), 0);
    });

    await run("a question that takes long is stopped", async () => {
      await withChat(page, () => {}, async () => {
        await page.getByRole("textbox", { name: "Your question" }).fill("Is anybody there?");
        await page.getByRole("button", { name: "Ask", exact: true }).click();
        await page.getByRole("button", { name: "Stop" }).click();
        await has(page.locator(".turn").last(), "Stopped.");
        await page.getByRole("button", { name: "Ask", exact: true }).waitFor();
      });
    });

    await run("numbers in an answer lead to what they cite, and are text where nothing is", async () => {
      const cited = { index: 1, title: "A <b>title</b>", headingPath: ["Part"], excerpt: "…", url: "/posts/x#part", post: { slug: "x", language: "en" } };
      const events = [
        { __typename: "ChatStarted", conversationId: "c" },
        { __typename: "ChatCitations", degraded: false, citations: [cited] },
        { __typename: "ChatToken", text: "Eleven minutes [" },
        { __typename: "ChatToken", text: "1], not <i>five</i> [7]." },
        { __typename: "ChatDone", finishReason: "STOP", model: "scripted", durationMs: 1200, degraded: false },
      ];
      const body = events.map((chat) => `event: next\ndata: ${JSON.stringify({ data: { chat } })}\n\n`).join("");
      const handle = (route) => route.fulfill({ contentType: "text/event-stream", body: `${body}event: complete\ndata: \n\n` });
      await withChat(page, handle, async () => {
        await page.getByRole("textbox", { name: "Your question" }).fill("How long?");
        await page.keyboard.press("Enter");
        const turn = page.locator(".turn").last();
        await has(turn, "scripted · 1.2 s");
        assert.equal(await turn.locator(".answer").textContent(), "Eleven minutes 1, not <i>five</i> [7].");
        assert.deepEqual(await turn.locator(".cite").allTextContents(), ["1"]);
        await turn.locator(".cite").click();
        const focused = await page.evaluate(() => [document.activeElement.textContent, document.activeElement.getAttribute("href")]);
        assert.deepEqual(focused, ["A <b>title</b> › Part", "#post/x/part"]);
      });
    });
  } else {
    console.log("skip the chat: the schema has none");
    assert.equal(await page.locator("#ask").isVisible(), false, "there is no panel for what is not there");
  }

  await run("signing out ends the session", async () => {
    const token = await page.evaluate(() => sessionStorage.getItem("inkstone:token"));
    await page.getByRole("button", { name: /Sign out/ }).click();
    await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.getItem("inkstone:token")), null);
    const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
    const answer = await fetch(new URL("graphql", base), { method: "POST", headers, body: '{"query":"{ viewer { name } }"}' });
    assert.equal(answer.status, 401, "the server does not know the token any more");
  });

  await run("a session that has ended meanwhile is told", async () => {
    await page.evaluate(() => sessionStorage.setItem("inkstone:token", "ink_ses_gone"));
    await page.reload();
    await has(page.locator("#notice"), "Your session has ended.");
    await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  }, 401);

  await run("it fits a narrow phone, in the dark too", async () => {
    const phone = await openDemo("", { ...inChinese, viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, colorScheme: "dark" });
    await titles(phone.page).first().waitFor();
    await fitsItsWidth(phone.page);
    await shot(phone.page, "demo-phone");
    for (const slug of [POST, "tea-in-sqlite", "yan-tai"]) {
      await phone.page.goto(new URL(`demo#post/${slug}`, base).href);
      const { post } = await graphql("query ($slug: String!) { post(slug: $slug) { title } }", { slug });
      await has(phone.page.locator("article h1"), post.title);
      await fitsItsWidth(phone.page);
    }
    await shot(phone.page, "demo-phone-post");
    await phone.page.getByRole("button", { name: "登录", exact: true }).click();
    await phone.page.getByRole("dialog").getByLabel("密码").waitFor();
    await fitsItsWidth(phone.page);
    await phone.context.close();
  });
});
