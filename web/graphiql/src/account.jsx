// The button at the top right: who is signed in, and the dialog to sign in and out.

import { Button, Dialog } from "@graphiql/react";
import { useEffect, useId, useRef, useState, useSyncExternalStore } from "react";
import { signIn, signOut, snapshot, subscribe } from "./session.js";

export function Account() {
  const { user, byCookie, notice } = useSyncExternalStore(subscribe, snapshot);
  const [open, setOpen] = useState(false);
  const button = useRef(null);
  const close = () => setOpen(false);
  // The dialog would give the focus back to a trigger of its own, which GraphiQL's has no room for.
  useEffect(() => open ? () => button.current?.focus() : undefined, [open]);
  const label = user ? `Signed in as ${user.name}: show account` : "Sign in";
  return (
    <div className="account">
      <span className="account-notice" role="status">{notice}</span>
      <Button type="button" className="account-button" ref={button} aria-haspopup="dialog" aria-label={label}
        onClick={() => setOpen(true)}>
        {user ? user.name : "Sign in"}
      </Button>
      <Dialog open={open} onOpenChange={setOpen}>
        {user ? <SignedIn user={user} byCookie={byCookie} onDone={close} /> : <SignInForm onDone={close} />}
        {/* The last, so that the dialog opens with the focus on its first field. */}
        <Dialog.Close className="account-close" />
      </Dialog>
    </div>
  );
}

function SignInForm({ onDone }) {
  const id = useId();
  const password = useRef(null);
  const { busy, problem, attempt } = useAttempt();
  async function submit(event) {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    if (await attempt(() => signIn(fields.get("login").trim(), fields.get("password")))) onDone();
    else password.current?.select();
  }
  const described = problem ? `${id}-problem` : undefined;
  return (
    <>
      <Heading title="Sign in" description="Requests from this tab are then made in your name." />
      <form className="account-form" onSubmit={submit}>
        <label htmlFor={`${id}-login`}>Name or e-mail</label>
        <input id={`${id}-login`} name="login" autoComplete="username" autoCapitalize="none" spellCheck="false"
          required aria-describedby={described} />
        <label htmlFor={`${id}-password`}>Password</label>
        <input id={`${id}-password`} name="password" type="password" autoComplete="current-password"
          required ref={password} aria-describedby={described} />
        <Problem id={`${id}-problem`} text={problem} />
        <Button type="submit" className="account-submit" aria-disabled={busy}>{busy ? "Signing in …" : "Sign in"}</Button>
      </form>
    </>
  );
}

function SignedIn({ user, byCookie, onDone }) {
  const id = useId();
  const { busy, problem, attempt } = useAttempt();
  async function leave() {
    if (await attempt(signOut)) onDone();
  }
  return (
    <>
      <Heading title={user.name} description={`Signed in as @${user.handle}, ${user.role.toLowerCase()}.`} />
      <div className="account-form">
        <p>
          {byCookie
            ? "This browser is signed in to the site. Signing out here signs it out everywhere on the site."
            : "The session belongs to this browser tab. An Authorization in the headers editor is used in its place."}
        </p>
        <Problem id={`${id}-problem`} text={problem} />
        <Button type="button" className="account-submit" aria-disabled={busy} onClick={leave}>
          {busy ? "Signing out …" : "Sign out"}
        </Button>
      </div>
    </>
  );
}

function Heading({ title, description }) {
  return (
    <div className="graphiql-dialog-header">
      <div>
        <Dialog.Title className="graphiql-dialog-title">{title}</Dialog.Title>
        <Dialog.Description className="account-description">{description}</Dialog.Description>
      </div>
    </div>
  );
}

/** It is there from the beginning, so that what appears in it is read out. */
function Problem({ id, text }) {
  return <p id={id} className="account-problem" role="alert">{text}</p>;
}

/** Runs one thing at a time and keeps what went wrong, in words. */
function useAttempt() {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  async function attempt(action) {
    if (busy) return false;
    setBusy(true);
    setProblem("");
    try {
      await action();
      return true;
    } catch (error) {
      setProblem(error.message.charAt(0).toUpperCase() + error.message.slice(1));
      return false;
    } finally {
      setBusy(false);
    }
  }
  return { busy, problem, attempt };
}
