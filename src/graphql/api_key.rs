//! API keys: what programs sign in with.

use async_graphql::connection::EmptyFields;
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::connection::Rows;
use super::context::ContextExt;
use super::node::NodeType;
use super::page::Args;
use super::payload::{UserError, outcome};
use super::user::User;
use crate::auth::Scope;
use crate::error::{ApiError, Code};
use crate::services::keys::{self, KeyWish};
use crate::store::api_keys::{self, ApiKeyRow};

/// What an API key may be used for. It never may more than its user.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Scope")]
pub enum ApiKeyScope {
    /// See what the user sees, drafts included.
    Read,
    /// Write posts, tags, series and the site's description.
    Write,
    /// Comment and react.
    Comment,
    /// Decide about comments.
    Moderate,
    /// Have models read and write: `/v1`, as far as the user may. Readers may not.
    Infer,
}

/// What a program signs in with. The key itself is told once, by `createApiKey`.
pub struct ApiKey(pub ApiKeyRow);

/// What a program signs in with. The key itself is told once, by `createApiKey`.
#[Object]
impl ApiKey {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::ApiKey.id(self.0.id)
    }

    /// What it is for, as its user put it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The last characters of the key, to find out which one it is.
    async fn hint(&self) -> &str {
        &self.0.hint
    }

    /// What it may be used for.
    async fn scopes(&self) -> Vec<ApiKeyScope> {
        Scope::of_stored(&self.0.scopes).into_iter().map(ApiKeyScope::from).collect()
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// From when on it is no good any more; null if it has no end.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// When it was last used, to the minute; null if it never was.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }

    /// Whose it is.
    async fn user(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        Some(ctx.loaders().user.load(self.0.user_id).await.transpose()?.map(User))
    }
}

/// One page of a user's keys.
///
/// Errors: `FORBIDDEN` for others than the user and the owner, and for a key.
pub async fn of_user(ctx: &Context<'_>, user_id: Uuid, args: Args) -> Result<Rows<ApiKey>, ApiError> {
    if !ctx.request().actor.viewer.may_manage_account_of(user_id) {
        let message = "API keys are for the one whose they are and the owner, signed in with a password";
        return Err(ApiError::new(Code::Forbidden, message));
    }
    let page = args.check("api-keys")?;
    let rows = ctx.loaders().api_keys_of_user.load((user_id, page)).await?.unwrap_or_default();
    Ok(Rows::new("api-keys", rows, EmptyFields, |row| (api_keys::key(row), row.id), ApiKey))
}

/// A key by its id; nothing for who may not see it.
pub async fn find(ctx: &Context<'_>, id: Uuid) -> Result<Option<ApiKey>, ApiError> {
    let request = ctx.request();
    if !request.actor.viewer.is_in_person() {
        return Ok(None);
    }
    let row = api_keys::by_ids(&mut *request.services.db.conn().await?, &[id]).await?.pop();
    Ok(row.filter(|row| request.actor.viewer.may_manage_account_of(row.user_id)).map(ApiKey))
}

/// A new key.
#[derive(InputObject)]
struct CreateApiKeyInput {
    /// What it is for: at most 100 characters.
    name: String,
    /// What it may be used for: at least one.
    scopes: Vec<ApiKeyScope>,
    /// From when on it is no good any more; never if absent.
    expires_at: Option<DateTime<Utc>>,
}

/// Which key to take back.
#[derive(InputObject)]
struct RevokeApiKeyInput {
    /// The key.
    id: ID,
}

/// The new key, or what was wrong.
#[derive(SimpleObject)]
struct CreateApiKeyPayload {
    /// The key's description; null when the input was refused.
    api_key: Option<ApiKey>,
    /// The key itself: send it as `Authorization: Bearer …`. It is told this once.
    secret: Option<String>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// The id of the key that is no good any more, or what was wrong.
#[derive(SimpleObject)]
struct RevokeApiKeyPayload {
    /// The id of what is gone.
    revoked_id: Option<ID>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ApiKeyMutation;

#[Object]
impl ApiKeyMutation {
    /// Makes an API key for yourself. For who is signed in with a password: a key makes no keys.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        input: CreateApiKeyInput,
    ) -> Result<CreateApiKeyPayload, ApiError> {
        let request = ctx.request();
        let scopes = input.scopes.into_iter().map(Scope::from).collect();
        let wish = KeyWish { name: input.name, scopes, expires_at: input.expires_at };
        let (made, user_errors) = outcome(keys::create(&request.services, &request.actor, wish).await)?;
        request.renew_loaders();
        let (api_key, secret) = made.map(|(row, key)| (ApiKey(row), key.expose().to_owned())).unzip();
        Ok(CreateApiKeyPayload { api_key, secret, user_errors })
    }

    /// Takes an API key back; it stops working at once. For the one whose it is and the owner,
    /// signed in with a password.
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        input: RevokeApiKeyInput,
    ) -> Result<RevokeApiKeyPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::ApiKey.row_id(&input.id)?;
        let (done, user_errors) = outcome(keys::revoke(&request.services, &request.actor, id).await)?;
        request.renew_loaders();
        Ok(RevokeApiKeyPayload { revoked_id: done.map(|_| input.id), user_errors })
    }
}
