// What the tests in a browser share: windows whose every request is watched, with every way out of the
// machine shut, and a protocol of what was tried.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const [base, shots] = process.argv.slice(2);
export const login = process.env.INKSTONE_LOGIN ?? "mo";
export const password = process.env.INKSTONE_PASSWORD;
if (!base || !shots || !password) {
  console.error(`usage: INKSTONE_PASSWORD=… node ${process.argv[1]} BASE_URL SCREENSHOT_DIR`);
  process.exit(2);
}
const origin = new URL(base).origin;
mkdirSync(shots, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // No other name than this server's leads anywhere, whatever asks.
  args: ["--no-sandbox", `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${new URL(base).hostname}`],
});
const faults = [];
let step = "start";
let refusal;

/** A window at an address, whose requests are watched. What it does wrong goes to `faults`. */
export async function open(address, options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(15_000);
  await context.route("**/*", (route) => {
    const url = route.request().url();
    if (new URL(url).origin === origin || /^(data|blob):/.test(url)) return route.continue();
    faults.push(`${step}: asked another server: ${url}`);
    return route.abort();
  });
  const page = await context.newPage();
  const sent = [];
  page.on("websocket", (socket) => {
    if (new URL(socket.url()).host !== new URL(base).host) faults.push(`${step}: a WebSocket to ${socket.url()}`);
    socket.on("framesent", ({ payload }) => sent.push(JSON.parse(payload)));
  });
  page.on("pageerror", (error) => faults.push(`${step}: an exception: ${error.stack}`));
  page.on("requestfailed", (request) => {
    // Loading the page again ends what it was still asking for.
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") faults.push(`${step}: ${request.url()}: ${why}`);
  });
  page.on("console", (message) => {
    // The browser tells of refusals by itself.
    const expected = refusal && message.text().includes(`status of ${refusal}`);
    if (["error", "warning"].includes(message.type()) && !expected) {
      faults.push(`${step}: the console says: ${message.text()} (${message.location().url})`);
    }
  });
  await page.goto(new URL(address, base).href);
  return { context, page, sent };
}

/** `expected` is the status of the refusal that the step provokes. */
export async function run(name, action, expected) {
  step = name;
  refusal = expected;
  await action();
  console.log(`ok   ${name}`);
}

export const shot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`), animations: "disabled" });
export async function graphql(query, variables, token) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(new URL("graphql", base), { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  const { data, errors } = await answer.json();
  assert.equal(errors, undefined, `${query}: ${JSON.stringify(errors)}`);
  return data;
}

export async function signIn(page, secret) {
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name or e-mail").fill(login);
  await dialog.getByLabel("Password").fill(secret);
  await dialog.getByRole("button", { name: "Sign in" }).click();
  return dialog;
}

export async function fitsItsWidth(page) {
  const [content, window] = await page.evaluate(() => [document.scrollingElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `the page is ${content} pixels wide in a window of ${window}`);
}

/** Goes through a test; fails with a sentence, and with what any window did wrong. */
export async function test(body) {
  try {
    await body();
    assert.deepEqual(faults, [], "no request to others, no error in the console");
    console.log("all well");
  } catch (error) {
    for (const context of browser.contexts()) {
      for (const page of context.pages()) await shot(page, "failed").catch(() => {});
    }
    console.error(`FAILED at: ${step}\n${error.stack}`);
    for (const fault of faults) console.error(`also: ${fault}`);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}
