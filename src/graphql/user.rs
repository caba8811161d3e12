//! People: the owner, editors and readers.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::api_key::{self, ApiKey};
use super::connection::Rows;
use super::context::ContextExt;
use super::node::NodeType;
use super::page::Args;
use super::payload::{UserError, maybe, outcome};
use super::post::{self, Post, PostTotals};
use super::session::{self, Session};
use crate::error::ApiError;
use crate::services::profiles::{self, UserEdit};
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
#[Object(crate = "crate::graphql::fields")]
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

    /// Path or URL of a picture.
    async fn avatar(&self) -> Option<&str> {
        self.0.avatar.as_deref()
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
    ) -> Result<Rows<Post, PostTotals>, ApiError> {
        post::under(ctx, PostParent::Author, self.0.id, Args { first, after, last, before }).await
    }

    /// What programs of this person sign in with, newest first. For the person and the owner,
    /// signed in with a password.
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<ApiKey>, ApiError> {
        Box::pin(api_key::of_user(ctx, self.0.id, Args { first, after, last, before })).await
    }

    /// Where this person is signed in, newest first. For the person and the owner, signed in with a
    /// password.
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Session>, ApiError> {
        Box::pin(session::of_user(ctx, self.0.id, Args { first, after, last, before })).await
    }
}

/// How many users there are in all, of one role or of all.
pub struct UserTotals(Option<Role>);

/// How many users there are in all.
#[Object]
impl UserTotals {
    /// How many there are in all; computed only when asked for.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i64, ApiError> {
        let request = ctx.request();
        Ok(Box::pin(users::count(&mut *request.services.db.conn().await?, self.0, request.sight())).await?)
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
    async fn user(&self, ctx: &Context<'_>, handle: String) -> Option<Result<User, ApiError>> {
        let find = async {
            let request = ctx.request();
            let row = users::by_handle(&mut *request.services.db.conn().await?, &handle).await?.map(Arc::new);
            request.loaders().user.prime(row.as_slice(), |row| row.id).await;
            Ok(row.map(User))
        };
        find.await.transpose()
    }

    /// Who writes here, by handle; for the owner and editors also the readers.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those who may do this.")] role: Option<UserRole>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<User, UserTotals>, ApiError> {
        let request = ctx.request();
        let role = role.map(Role::from);
        let page = Args { first, after, last, before }.check("users")?;
        let rows = users::page(&mut *request.services.db.conn().await?, role, &page, request.sight()).await?;
        let rows = rows.map(Arc::new);
        request.loaders().user.prime(&rows.rows, |row| row.id).await;
        Ok(Rows::new("users", rows, UserTotals(role), |row| (users::key(row), row.id), User))
    }
}

/// What to change; absent fields stay as they are.
#[derive(InputObject)]
struct UpdateUserInput {
    /// Whose profile; your own if absent. Others' are for the owner.
    id: Option<ID>,
    /// The name to show: at most 100 characters.
    name: Option<String>,
    /// A few words, as plain text: at most 2000 characters.
    bio: Option<String>,
    /// The person's own site, an http or https URL; null takes it away.
    url: MaybeUndefined<String>,
    /// Path or URL of a picture; null takes it away.
    avatar: MaybeUndefined<String>,
    /// What the person may do. For the owner.
    role: Option<UserRole>,
}

/// The user, or what was wrong.
#[derive(SimpleObject)]
struct UserPayload {
    /// The user as they are now; null when the input was refused.
    user: Option<User>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct UserMutation;

#[Object]
impl UserMutation {
    /// Changes a profile: your own, or anybody's for the owner. For who is signed in with a
    /// password.
    async fn update_user(&self, ctx: &Context<'_>, input: UpdateUserInput) -> Result<UserPayload, ApiError> {
        let request = ctx.request();
        let id = match &input.id {
            Some(id) => NodeType::User.row_id(id)?,
            None => request.actor.user_id()?,
        };
        let edit = UserEdit {
            name: input.name,
            bio: input.bio,
            url: maybe(input.url),
            avatar: maybe(input.avatar),
            role: input.role.map(Role::from),
        };
        let (row, user_errors) = outcome(profiles::update(&request.services, &request.actor, id, edit).await)?;
        request.renew_loaders();
        Ok(UserPayload { user: row.map(|row| User(Arc::new(row))), user_errors })
    }
}
