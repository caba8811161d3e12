//! Users and API keys as the command line shows and changes them. Whoever may run it is trusted.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::auth::Scope;
use crate::services::{Actor, Services, keys, profiles};
use crate::store::api_keys::{self, ApiKeyRow};
use crate::store::users::{self, Role, UserRow};

/// The user with this handle.
pub async fn find(services: &Services, handle: &str) -> Result<UserRow> {
    users::by_handle(&mut *services.db.conn().await?, &handle.to_lowercase())
        .await?
        .with_context(|| format!("there is no user with the handle {handle:?}: `inkstone user list` shows all"))
}

/// Every user, a line each.
pub async fn list(services: &Services) -> Result<String> {
    let rows = users::all(&mut *services.db.conn().await?).await?;
    let lines = rows.into_iter().map(|user| {
        let email = user.email.unwrap_or_else(|| "-".into());
        [user.handle, user.role.as_str().to_lowercase(), user.name, email, day(user.created_at)]
    });
    Ok(table(["HANDLE", "ROLE", "NAME", "EMAIL", "SINCE"], lines))
}

/// Gives a user a role; the only owner stays one.
pub async fn set_role(services: &Services, handle: &str, role: Role) -> Result<UserRow> {
    let user = find(services, handle).await?;
    let actor = Actor::unnamed(Utc::now());
    Ok(profiles::set_role(services, &actor, user.id, role).await?)
}

/// Every API key that was not revoked, or those of one user, a line each.
pub async fn list_keys(services: &Services, handle: Option<&str>) -> Result<String> {
    let now = Utc::now();
    let lines = of(services, handle).await?.into_iter().map(|(key, handle)| {
        let scopes: Vec<&str> = Scope::of_stored(&key.scopes).into_iter().map(Scope::as_str).collect();
        let expires = match key.expires_at {
            None => "never".to_owned(),
            Some(at) if at <= now => format!("{} (expired)", day(at)),
            Some(at) => day(at),
        };
        let used = key.last_used_at.map_or_else(|| "never".to_owned(), |at| at.format("%Y-%m-%d %H:%M").to_string());
        let ends_in = format!("…{}", key.hint);
        [key.id.to_string(), key.name, handle, scopes.join(","), ends_in, day(key.created_at), expires, used]
    });
    Ok(table(["ID", "NAME", "USER", "SCOPES", "ENDS IN", "CREATED", "EXPIRES", "LAST USED"], lines))
}

/// Takes the key with this id or name back.
pub async fn revoke_key(services: &Services, id_or_name: &str, handle: Option<&str>) -> Result<ApiKeyRow> {
    let id: Option<Uuid> = id_or_name.parse().ok();
    let mut found = of(services, handle).await?;
    found.retain(|(key, _)| Some(key.id) == id || key.name == id_or_name);
    let key = match found.as_slice() {
        [] => bail!("there is no API key with the id or the name {id_or_name:?}: `inkstone key list` shows all"),
        [(key, _)] => key.id,
        several => {
            let ids: Vec<String> = several.iter().map(|(key, handle)| format!("{} ({handle})", key.id)).collect();
            bail!("{} API keys have the name {id_or_name:?}: give the id, one of {}", ids.len(), ids.join(", "))
        }
    };
    let actor = Actor::unnamed(Utc::now());
    keys::withdraw(services, &actor, key).await?.context("somebody else revoked the key at this moment")
}

async fn of(services: &Services, handle: Option<&str>) -> Result<Vec<(ApiKeyRow, String)>> {
    let only = match handle {
        Some(handle) => Some(find(services, handle).await?.id),
        None => None,
    };
    let mut keys = api_keys::all(&mut *services.db.conn().await?).await?;
    keys.retain(|(key, _)| only.is_none_or(|id| key.user_id == id));
    Ok(keys)
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}

/// Lines with columns that stand below each other.
pub(super) fn table<const N: usize>(head: [&str; N], lines: impl Iterator<Item = [String; N]>) -> String {
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(lines);
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let line = |row: [String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.into_iter().map(line).collect()
}
