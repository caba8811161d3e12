//! API keys: making them and taking them back.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::validate::Check;
use super::{Actor, RefusalCode, ServiceError, Services, accounts};
use crate::auth::{ApiKey, Scope};
use crate::store::api_keys::{self, ApiKeyRow, NewApiKey};

/// Most keys of a user.
const MAX_KEYS: i64 = 100;

/// A key to be made.
#[derive(Clone, Debug)]
pub struct KeyWish {
    pub name: String,
    pub scopes: Vec<Scope>,
    /// Never, if there is none.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes a key for the one who asks, who has to be there in person: a key makes no keys. The key
/// itself is told once and never again.
pub async fn create(services: &Services, actor: &Actor, wish: KeyWish) -> Result<(ApiKeyRow, ApiKey), ServiceError> {
    let user_id = actor.require_in_person("make API keys")?;
    if wish.expires_at.is_some_and(|at| at <= actor.now) {
        let message = "this time has passed: choose one to come, or none";
        return Err(ServiceError::refuse(RefusalCode::Invalid, "expiresAt", message));
    }
    insert(services, actor, user_id, wish).await
}

/// Makes a key for a user. The caller has checked who may.
pub async fn insert(
    services: &Services,
    actor: &Actor,
    user_id: Uuid,
    wish: KeyWish,
) -> Result<(ApiKeyRow, ApiKey), ServiceError> {
    let mut check = Check::default();
    check
        .text("name", &wish.name, 100)
        .that(!wish.scopes.is_empty(), RefusalCode::Invalid, "scopes", || "a key without scopes can do nothing".into())
        .done()?;
    let scopes: Vec<&str> = Scope::ALL.iter().filter(|scope| wish.scopes.contains(scope)).map(|s| s.as_str()).collect();
    let (key, hash) = ApiKey::generate();
    let row = NewApiKey {
        id: Uuid::now_v7(),
        user_id,
        name: wish.name.trim().to_owned(),
        hint: key.hint().to_owned(),
        token_hash: hash.as_bytes().to_vec(),
        scopes: scopes.into(),
        created_at: actor.now,
        expires_at: wish.expires_at,
    };
    let mut tx = services.db.begin().await?;
    if api_keys::count_of(&mut tx, user_id).await? >= MAX_KEYS {
        let message = format!("there are {MAX_KEYS} keys already: revoke one that is not used any more");
        return Err(ServiceError::refuse(RefusalCode::WrongState, "name", message));
    }
    let row = api_keys::insert(&mut tx, &row).await?;
    services.commit(tx, &[accounts::told(user_id, json!({ "apiKeyCreated": row.id }), actor)]).await?;
    Ok((row, key))
}

/// Takes a key back: its user, or the owner, in person. It is no good from then on, on every
/// server: keys are looked up with each request.
pub async fn revoke(services: &Services, actor: &Actor, id: Uuid) -> Result<ApiKeyRow, ServiceError> {
    actor.require_in_person("revoke API keys")?;
    let not_found = || ServiceError::not_found("id", "API key");
    let found = api_keys::by_ids(&mut *services.db.conn().await?, &[id]).await?.pop();
    // Which keys others have is nobody else's business.
    found.filter(|key| actor.viewer.may_manage_account_of(key.user_id)).ok_or_else(not_found)?;
    withdraw(services, actor, id).await?.ok_or_else(not_found)
}

/// Takes a key back; nothing if that was done before. The caller has checked who may.
pub async fn withdraw(services: &Services, actor: &Actor, id: Uuid) -> Result<Option<ApiKeyRow>, ServiceError> {
    let mut tx = services.db.begin().await?;
    let Some(row) = api_keys::revoke(&mut tx, id, actor.now).await? else { return Ok(None) };
    let payload = json!({ "apiKeyRevoked": row.id, accounts::ACCESS_ENDED: true });
    services.commit(tx, &[accounts::told(row.user_id, payload, actor)]).await?;
    Ok(Some(row))
}
