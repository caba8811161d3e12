//! Signing up, in and out.

use std::sync::Arc;

use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::ContextExt;
use super::payload::{UserError, outcome};
use super::user::User;
use crate::error::ApiError;
use crate::services::ServiceError;
use crate::services::accounts::{self, NewAccount, SignedIn};

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
        let account =
            NewAccount { handle: input.handle, name: input.name, email: input.email, password: input.password };
        begun(ctx, accounts::sign_up(&request.services, &request.actor, account).await)
    }

    /// Begins a session.
    async fn sign_in(&self, ctx: &Context<'_>, input: SignInInput) -> Result<SessionPayload, ApiError> {
        let request = ctx.request();
        begun(ctx, accounts::sign_in(&request.services, &request.actor, &input.login, input.password).await)
    }

    /// Ends the session that this request was made with.
    async fn sign_out(&self, ctx: &Context<'_>) -> Result<SignOutPayload, ApiError> {
        let request = ctx.request();
        let signed_out = accounts::sign_out(&request.services, &request.actor).await?;
        request.set_session(Some(None));
        Ok(SignOutPayload { signed_out, user_errors: Vec::new() })
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
