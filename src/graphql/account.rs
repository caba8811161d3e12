//! Signing up, in and out; passwords.

use std::sync::Arc;

use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::ContextExt;
use super::payload::{UserError, outcome};
use super::user::User;
use crate::error::ApiError;
use crate::services::ServiceError;
use crate::services::accounts::{self, NewAccount, SignedIn};
use crate::services::profiles;

/// A new reader's account.
#[derive(InputObject)]
struct SignUpInput {
    /// Unique short name: 2 to 40 of a-z, 0-9, - and _.
    handle: String,
    /// The name to show.
    name: String,
    /// Seen by the owner only; also a way to sign in.
    email: Option<String>,
    /// 10 to 200 characters.
    password: String,
}

/// Who signs in.
#[derive(InputObject)]
struct SignInInput {
    /// Handle or e-mail address.
    login: String,
    /// The password.
    password: String,
}

/// Where to sign out.
#[derive(InputObject, Default)]
struct SignOutInput {
    /// True to end all your sessions, on every device; this one goes too.
    #[graphql(default)]
    everywhere: bool,
}

/// A new password for yourself.
#[derive(InputObject)]
struct ChangePasswordInput {
    /// The password that you have now.
    current_password: String,
    /// 10 to 200 characters.
    new_password: String,
}

/// Whose password it was, or what was wrong.
#[derive(SimpleObject)]
struct ChangePasswordPayload {
    /// You; null when the input was refused.
    user: Option<User>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// A session that has just begun, or what was wrong.
#[derive(SimpleObject)]
struct SessionPayload {
    /// Who has signed in.
    user: Option<User>,
    /// Send it as `Authorization: Bearer …`. It is told this once. A browser need not keep it:
    /// the same answer sets it as an HttpOnly cookie.
    token: Option<String>,
    /// Until when the token is good.
    expires_at: Option<DateTime<Utc>>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// Whether there was a session to end.
#[derive(SimpleObject)]
struct SignOutPayload {
    /// True if there was a session to end.
    signed_out: bool,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct AccountMutation;

#[Object]
impl AccountMutation {
    /// Makes a reader's account and signs it in.
    async fn sign_up(&self, ctx: &Context<'_>, input: SignUpInput) -> Result<SessionPayload, ApiError> {
        let request = ctx.request();
        request.one_password()?;
        let account =
            NewAccount { handle: input.handle, name: input.name, email: input.email, password: input.password };
        begun(ctx, accounts::sign_up(&request.services, &request.actor, account).await)
    }

    /// Begins a session.
    async fn sign_in(&self, ctx: &Context<'_>, input: SignInInput) -> Result<SessionPayload, ApiError> {
        let request = ctx.request();
        request.one_password()?;
        let signed_in =
            accounts::sign_in(&request.services, &request.actor, &input.login, input.password, request.address).await;
        begun(ctx, signed_in)
    }

    /// Ends the session that this request was made with, or all of yours.
    async fn sign_out(&self, ctx: &Context<'_>, input: Option<SignOutInput>) -> Result<SignOutPayload, ApiError> {
        let request = ctx.request();
        let signed_out = if input.unwrap_or_default().everywhere {
            accounts::sign_out_everywhere(&request.services, &request.actor).await?
        } else {
            accounts::sign_out(&request.services, &request.actor).await?
        };
        request.set_session(Some(None));
        Ok(SignOutPayload { signed_out, user_errors: Vec::new() })
    }

    /// Changes your password and ends your other sessions; API keys stay. For who is signed in with
    /// a password.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        input: ChangePasswordInput,
    ) -> Result<ChangePasswordPayload, ApiError> {
        let request = ctx.request();
        request.one_password()?;
        let (current, new) = (input.current_password, input.new_password);
        let done = profiles::change_password(&request.services, &request.actor, current, new, request.address);
        let (row, user_errors) = outcome(done.await)?;
        Ok(ChangePasswordPayload { user: row.map(|row| User(Arc::new(row))), user_errors })
    }
}

fn begun(ctx: &Context<'_>, done: Result<SignedIn, ServiceError>) -> Result<SessionPayload, ApiError> {
    let (session, user_errors) = outcome(done)?;
    let Some(SignedIn { user, token, expires_at }) = session else {
        return Ok(SessionPayload { user: None, token: None, expires_at: None, user_errors });
    };
    let token = token.expose().to_owned();
    ctx.request().set_session(Some(Some((token.clone(), expires_at))));
    Ok(SessionPayload {
        user: Some(User(Arc::new(user))),
        token: Some(token),
        expires_at: Some(expires_at),
        user_errors,
    })
}
