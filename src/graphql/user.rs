//! People: the owner, editors and readers.

use std::sync::Arc;

use async_graphql::connection::Connection;
use async_graphql::{Context, Enum, ID, Object};
use chrono::{DateTime, Utc};

use super::context::ContextExt;
use super::node::NodeType;
use super::page::{self, Args};
use super::post::{self, Post, PostTotals};
use crate::error::ApiError;
use crate::store::posts::PostParent;
use crate::store::users::{self, Role, UserRow};

/// What a person may do on this site.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Role")]
pub enum UserRole {
    /// The one whose site it is.
    Owner,
    /// Writes and moderates.
    Editor,
    /// Comments and reacts.
    Reader,
}

/// A person with an account.
#[derive(Clone)]
pub struct User(pub Arc<UserRow>);

/// A person with an account.
#[Object]
impl User {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::User.id(self.0.id)
    }

    /// The unique short name, as in a profile's address.
    async fn handle(&self) -> &str {
        &self.0.handle
    }

    /// The name to show.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What the person may do on this site.
    async fn role(&self) -> UserRole {
        self.0.role.into()
    }

    /// A few words about the person, as plain text.
    async fn bio(&self) -> &str {
        &self.0.bio
    }

    /// The person's own site.
    async fn url(&self) -> Option<&str> {
        self.0.url.as_deref()
    }

    /// Only the person and the owner see it; null for everybody else.
    async fn email(&self, ctx: &Context<'_>) -> Option<&str> {
        let allowed = ctx.request().actor.viewer.may_see_email_of(self.0.id);
        self.0.email.as_deref().filter(|_| allowed)
    }

    /// Since when there is this account.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// What this person wrote, newest first.
    async fn posts(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Connection<String, Post, PostTotals>, ApiError> {
        post::under(ctx, PostParent::Author, self.0.id, Args { first, after, last, before }).await
    }
}

/// How many users there are in all.
pub struct UserTotals;

/// How many users there are in all.
#[Object]
impl UserTotals {
    /// How many there are in all; computed only when asked for.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i64, ApiError> {
        let request = ctx.request();
        Ok(users::count(&mut *request.services.db.conn().await?, request.sight()).await?)
    }
}

#[derive(Default)]
pub struct UserQuery;

#[Object]
impl UserQuery {
    /// Who is asking; null when nobody is signed in.
    async fn viewer(&self, ctx: &Context<'_>) -> Option<User> {
        ctx.request().actor.viewer.user().cloned().map(User)
    }

    /// A person by handle.
    async fn user(&self, ctx: &Context<'_>, handle: String) -> Result<Option<User>, ApiError> {
        let mut conn = ctx.request().services.db.conn().await?;
        Ok(users::by_handle(&mut conn, &handle).await?.map(|row| User(Arc::new(row))))
    }

    /// Who writes here, by handle; for the owner and editors also the readers.
    async fn users(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Connection<String, User, UserTotals>, ApiError> {
        let request = ctx.request();
        let page = Args { first, after, last, before }.check("users")?;
        let rows = users::page(&mut *request.services.db.conn().await?, &page, request.sight()).await?;
        Ok(page::connection("users", rows, UserTotals, |row| (users::key(row), row.id), |row| User(Arc::new(row))))
    }
}
