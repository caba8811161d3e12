// Who is signed in.

import { ask, caller, change } from "./api.js";
import { $, tell } from "./elements.js";
import { live } from "./live.js";
import { keep, kept, t } from "./words.js";

const TOKEN_KEY = "inkstone:token";

caller.token = kept(sessionStorage, TOKEN_KEY);

/** The token stays in this tab; the explorer at / uses the same one. */
export const account = {
  user: null,

  async refresh() {
    if (!caller.token) return;
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
    if (!token || token !== caller.token) return;
    this.become(null, null);
    tell(t("sessionEnded"));
  },

  become(token, user) {
    caller.token = token;
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
export function offerSignIn() {
  const dialog = $("sign-in");
  $("sign-in-form").reset();
  $("sign-in-problem").hidden = true;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "in"), { once: true }));
}

/** `changed` is called when another asks. */
export function prepareAccount(changed) {
  caller.ended = (token) => account.ended(token);
  $("account").addEventListener("click", async () => {
    if (account.user) await account.signOut();
    else if (!await offerSignIn()) return;
    tell();
    changed();
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
