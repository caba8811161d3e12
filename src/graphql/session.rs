//! Sessions: where somebody is signed in.

use async_graphql::connection::EmptyFields;
use async_graphql::{Context, Object};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::connection::Rows;
use super::context::ContextExt;
use super::page::Args;
use crate::error::{ApiError, Code};
use crate::store::sessions::{self, SessionRow};

/// A browser or a program that is signed in with a password.
pub struct Session(SessionRow);

/// A browser or a program that is signed in with a password.
#[Object]
impl Session {
    /// True for the session that this request is made with.
    async fn is_current(&self, ctx: &Context<'_>) -> bool {
        ctx.request().actor.viewer.session().is_some_and(|hash| hash.as_bytes()[..] == self.0.token_hash)
    }

    /// When it began.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it will end by itself.
    async fn expires_at(&self) -> DateTime<Utc> {
        self.0.expires_at
    }
}

/// One page of a user's sessions.
///
/// Errors: `FORBIDDEN` for others than the user and the owner, and for a key.
pub async fn of_user(ctx: &Context<'_>, user_id: Uuid, args: Args) -> Result<Rows<Session>, ApiError> {
    if !ctx.request().actor.viewer.may_manage_account_of(user_id) {
        let message = "sessions are for the one whose they are and the owner, signed in with a password";
        return Err(ApiError::new(Code::Forbidden, message));
    }
    let page = args.check("sessions")?;
    let rows = ctx.loaders().sessions_of_user.load((user_id, page)).await?.unwrap_or_default();
    Ok(Rows::new("sessions", rows, EmptyFields, |row| (sessions::key(row), row.id), Session))
}
