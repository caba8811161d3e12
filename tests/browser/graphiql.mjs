// Drives the explorer at / as a person would, with every way out of the machine shut.
//
//   INKSTONE_PASSWORD=… node graphiql.mjs BASE_URL SCREENSHOT_DIR
//
// The server holds the demo site. INKSTONE_LOGIN is its owner, `mo` when absent; CHROMIUM is the
// browser, /usr/bin/chromium when absent. Ends with 0 when all is well, and with 1 and a sentence.

import assert from "node:assert/strict";
import { base, fitsItsWidth, graphql, login, open, password, run, shot, signIn, test } from "./watched.mjs";

/** A window with the explorer, ready. */
async function openExplorer(options) {
  const window = await open("", options);
  await window.page.locator(".graphiql-query-editor .view-line").first().waitFor();
  return window;
}

const execute = (page) => page.getByRole("button", { name: /^Execute query/ }).click();
const tabOf = (page, name) => page.locator(".graphiql-tab-button").getByText(name, { exact: true });
const tab = (page, name) => tabOf(page, name).click();

/** Waits for a text in the answer. Where lines are broken depends on the machine's fonts. */
async function answered(page, text) {
  await page.waitForFunction(
    (wanted) => document.querySelector(".graphiql-response .view-lines")?.innerText.replaceAll(/\s/g, "").includes(wanted),
    text.replaceAll(/\s/g, ""),
  );
}

/** Puts text into an editor, as pasting would: `operation.graphql`, `variables.json` … */
async function fill(page, editor, text) {
  await page.evaluate(
    ([name, value]) => {
      const models = globalThis.__MONACO.editor.getModels();
      models.find((model) => model.uri.path.endsWith(name)).setValue(value);
    },
    [editor, text],
  );
}

const valueOf = (page, editor) =>
  page.evaluate((name) => globalThis.__MONACO.editor.getModels().find((m) => m.uri.path.endsWith(name)).getValue(), editor);

const faultsIn = (page, editor) =>
  page.evaluate(
    (name) => globalThis.__MONACO.editor.getModelMarkers({}).filter((m) => m.resource.path.endsWith(name)).map((m) => m.message),
    editor,
  );

await test(async () => {
  const { context, page, sent } = await openExplorer();
  const { posts, site } = await graphql("{ site { title } posts(first: 1, filter: { kind: [ARTICLE] }) { nodes { id } } }");

  await run("the default query is run and answered", async () => {
    await execute(page);
    await answered(page, site.title);
    assert.deepEqual(await faultsIn(page, "operation.graphql"), [], "the default query fits the schema");
    assert.match(await valueOf(page, "response.json"), /"tags"[^]*"comments"/);
    await fitsItsWidth(page);
    await shot(page, "1-default-query");
  });

  await run("the editor knows the schema and completes", async () => {
    const before = await valueOf(page, "operation.graphql");
    await fill(page, "operation.graphql", "{ site { nonsense } }");
    const marked = () => globalThis.__MONACO.editor.getModelMarkers({}).some((m) => /nonsense/.test(m.message));
    await page.waitForFunction(marked);
    await fill(page, "operation.graphql", "{ site {  } }");
    await page.locator(".graphiql-query-editor .view-lines").click();
    await page.keyboard.press("Control+Home");
    for (let i = 0; i < 9; i++) await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Control+Space");
    await page.locator(".suggest-widget").getByText("tagline").waitFor();
    await shot(page, "2-completion");
    await page.keyboard.press("Escape");
    await fill(page, "operation.graphql", before);
    // GraphiQL takes notice of an edit after a moment.
    await tabOf(page, "LatestPosts").waitFor();
  });

  await run("prettifying sets queries and variables in order", async () => {
    await tab(page, "AddComment");
    await page.waitForFunction(() => globalThis.__MONACO.editor.getModels().some((m) => m.getValue().includes("mutation AddComment")));
    assert.ok((await valueOf(page, "variables.json")).includes(posts.nodes[0].id), "the variables name the latest post");
    const tidy = await valueOf(page, "variables.json");
    await fill(page, "variables.json", tidy.replaceAll(/\s+/g, " "));
    await page.getByRole("button", { name: /^Prettify query/ }).click();
    await page.waitForFunction((wanted) => globalThis.__MONACO.editor.getModels().some((m) => m.getValue().trim() === wanted), tidy);
  });

  await run("a mutation without signing in is refused in words", async () => {
    await execute(page);
    await answered(page, "UNAUTHENTICATED");
  }, 400);

  await run("the sign-in form says what is wrong, and Escape closes it", async () => {
    const dialog = await signIn(page, "not the password");
    const alert = dialog.getByRole("alert");
    await alert.filter({ hasText: /\w/ }).waitFor();
    assert.match(await alert.innerText(), /password/i, "the refusal is in words");
    const field = await page.evaluate(() => document.activeElement.name);
    assert.equal(field, "password", "the cursor is where the mistake was");
    await shot(page, "3-sign-in-refused");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await page.waitForFunction(() => document.activeElement.matches(".account-button"));
  });

  await run("the owner signs in, without a cookie, and stays so after a reload", async () => {
    const dialog = await signIn(page, password);
    await dialog.waitFor({ state: "detached" });
    await page.getByRole("button", { name: /^Signed in as/ }).waitFor();
    assert.deepEqual(await context.cookies(), [], "signing in here leaves no cookie");
    await page.reload();
    await page.getByRole("button", { name: /^Signed in as/ }).waitFor();
    await page.locator(".graphiql-query-editor .view-line").first().waitFor();
  });

  await run("the mutation of the second tab is made in the owner's name", async () => {
    await tab(page, "AddComment");
    await execute(page);
    await answered(page, '"userErrors": []');
    assert.match(await valueOf(page, "response.json"), /"status": "APPROVED"/);
    await shot(page, "4-mutation");
  });

  await run("a subscription shows what another client does", async () => {
    await tab(page, "CommentAdded");
    await execute(page);
    await page.waitForFunction(() => document.querySelector(".graphiql-execute-button")?.ariaLabel?.startsWith("Stop"));
    const { signIn: session } = await graphql(
      "mutation ($input: SignInInput!) { signIn(input: $input) { token } }", { input: { login, password } });
    const mutation = "mutation ($input: AddCommentInput!) { addComment(input: $input) { comment { id } userErrors { message } } }";
    // The server does not tell when it begins to listen: write until one arrives.
    let arrived = false;
    for (let i = 0; i < 10 && !arrived; i++) {
      const markdown = `Seen live, ${Date.now()}`;
      const { addComment } = await graphql(mutation, { input: { postId: posts.nodes[0].id, markdown } }, session.token);
      assert.deepEqual(addComment.userErrors, []);
      arrived = await page
        .waitForFunction(
          (wanted) => document.querySelector(".graphiql-response .view-lines").innerText.replaceAll("\u00a0", " ").includes(wanted),
          markdown, { timeout: 2_000 })
        .then(() => true, () => false);
    }
    assert.ok(arrived, "the event should arrive in the response pane");
    const init = sent.find((message) => message.type === "connection_init");
    assert.match(init.payload.authorization, /^Bearer \S+$/, "the socket is opened in the owner's name");
    await shot(page, "5-subscription");
    await page.getByRole("button", { name: /^Stop/ }).click();
  });

  await run("a header by hand is used in place of the session", async () => {
    await tab(page, "LatestPosts");
    await page.getByRole("button", { name: "Headers", exact: true }).click();
    await page.locator('.monaco-editor[data-uri$="request-headers.json"]').waitFor();
    await fill(page, "request-headers.json", '{ "Authorization": "Bearer of-my-own" }');
    await execute(page);
    await answered(page, "UNAUTHENTICATED");
    await page.getByRole("button", { name: /^Signed in as/ }).waitFor();
    await shot(page, "6-headers");
    await fill(page, "request-headers.json", "");
    await execute(page);
    await answered(page, site.title);
  }, 401);

  await run("documentation, query builder and history open", async () => {
    await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
    await page.getByRole("link", { name: "Query", exact: true }).click();
    await page.getByText("Everything that can be read.").waitFor();
    await shot(page, "7-documentation");
    await page.getByRole("button", { name: "Show GraphiQL Explorer" }).click();
    await page.locator(".graphiql-explorer-root").getByText("allSeries").first().waitFor();
    await page.locator(".graphiql-explorer-root").getByText("allSeries").first().click();
    await page.waitForFunction(() => globalThis.__MONACO.editor.getModels().some((m) => m.getValue().includes("allSeries")));
    await shot(page, "8-query-builder");
    await page.getByRole("button", { name: "Show History" }).click();
    await page.locator(".graphiql-history-item").getByText("AddComment").first().waitFor();
    await shot(page, "9-history");
    await page.getByRole("button", { name: "Hide History" }).click();
  });

  await run("the dark scheme follows the system", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await page.locator(".graphiql-query-editor .monaco-editor.vs-dark").waitFor();
    await shot(page, "10-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await page.locator(".graphiql-query-editor .monaco-editor.vs").waitFor();
  });

  await run("signing out ends the session", async () => {
    const token = await page.evaluate(() => sessionStorage.getItem("inkstone:token"));
    await page.getByRole("button", { name: /^Signed in as/ }).click();
    await shot(page, "11-account");
    await page.getByRole("dialog").getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.getItem("inkstone:token")), null);
    const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
    const answer = await fetch(new URL("graphql", base), { method: "POST", headers, body: '{"query":"{ viewer { name } }"}' });
    assert.equal(answer.status, 401, "the server does not know the token any more");
  });

  await run("a session that has ended meanwhile is told", async () => {
    await page.evaluate(() => sessionStorage.setItem("inkstone:token", "ink_ses_gone"));
    await page.reload();
    await page.getByText("Your session has ended.").waitFor();
    await page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  }, 401);
  await context.close();

  await run("a cookie of the site's own pages counts, and is ended by signing out", async () => {
    const window = await openExplorer();
    await window.page.evaluate(
      async ([name, secret]) => {
        const query = "mutation ($input: SignInInput!) { signIn(input: $input) { token } }";
        const body = JSON.stringify({ query, variables: { input: { login: name, password: secret } } });
        await fetch("graphql", { method: "POST", headers: { "content-type": "application/json" }, body });
      },
      [login, password],
    );
    await window.page.reload();
    await window.page.getByRole("button", { name: /^Signed in as/ }).click();
    await window.page.getByRole("button", { name: "Sign out" }).click();
    await window.page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
    assert.deepEqual(await window.context.cookies(), [], "the cookie is gone");
    await window.context.close();
  });

  await run("it fits a phone", async () => {
    const phone = await openExplorer({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
    await execute(phone.page);
    await answered(phone.page, site.title);
    await fitsItsWidth(phone.page);
    await shot(phone.page, "12-phone");
    await phone.page.getByRole("button", { name: "Sign in", exact: true }).click();
    await phone.page.getByRole("dialog").getByLabel("Password").waitFor();
    await fitsItsWidth(phone.page);
    await shot(phone.page, "13-phone-sign-in");
    await phone.context.close();
  });
});
