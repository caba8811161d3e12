//! Accounts that are there: profiles, roles, passwords.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::accounts::{self, ACCESS_ENDED};
use super::validate::Check;
use super::{Actor, RefusalCode, ServiceError, Services};
use crate::auth::{TokenHash, password};
use crate::store::users::{self, Role, UserChanges, UserRow};
use crate::store::{Tx, identities, sessions};

/// What an edit changes. `None` leaves a field; `Some(None)` empties it.
#[derive(Clone, Debug, Default)]
pub struct UserEdit {
    pub name: Option<String>,
    pub bio: Option<String>,
    pub url: Option<Option<String>>,
    pub avatar: Option<Option<String>>,
    pub role: Option<Role>,
}

/// Changes a profile: one's own, or the owner anybody's, in person. Only the owner gives roles.
pub async fn update(
    services: &Services,
    actor: &Actor,
    user_id: Uuid,
    edit: UserEdit,
) -> Result<UserRow, ServiceError> {
    actor.require_in_person("change a profile")?;
    actor.require(actor.viewer.may_manage_account_of(user_id), "change this profile")?;
    actor.require(edit.role.is_none() || actor.viewer.may_give_roles(), "change roles")?;
    check_edit(&edit)?;
    let mut tx = services.db.begin().await?;
    if let Some(role) = edit.role {
        keep_an_owner(&mut tx, user_id, role).await?;
    }
    let described = edit.name.is_some() || edit.bio.is_some() || edit.url.is_some() || edit.avatar.is_some();
    let changes = UserChanges {
        name: edit.name.map(|name| name.trim().to_owned()),
        bio: edit.bio,
        url: edit.url,
        avatar: edit.avatar,
        role: edit.role,
        // Whoever has been described by somebody is not the demo's any more.
        demo: described.then_some(false),
    };
    let row = users::update(&mut tx, user_id, &changes, actor.now).await?;
    let row = row.ok_or_else(|| ServiceError::not_found("id", "user"))?;
    services.commit(tx, &[accounts::told(user_id, ended(edit.role.is_some()), actor)]).await?;
    Ok(row)
}

/// Gives a user a role. The caller has checked who may.
pub async fn set_role(services: &Services, actor: &Actor, user_id: Uuid, role: Role) -> Result<UserRow, ServiceError> {
    let mut tx = services.db.begin().await?;
    keep_an_owner(&mut tx, user_id, role).await?;
    let changes = UserChanges { role: Some(role), ..UserChanges::default() };
    let row = users::update(&mut tx, user_id, &changes, actor.now).await?;
    let row = row.ok_or_else(|| ServiceError::not_found("id", "user"))?;
    services.commit(tx, &[accounts::told(user_id, ended(true), actor)]).await?;
    Ok(row)
}

/// Gives the one who asks a new password, if they know the one they have. Their other sessions end.
pub async fn change_password(
    services: &Services,
    actor: &Actor,
    current: String,
    new: String,
    address: Option<IpAddr>,
) -> Result<UserRow, ServiceError> {
    let user = actor.viewer.user().cloned().ok_or(ServiceError::Unauthenticated)?;
    actor.require_in_person("change the password")?;
    password::check(&new)
        .map_err(|unfit| ServiceError::refuse(RefusalCode::Invalid, "newPassword", unfit.to_string()))?;
    let attempt = services.attempts.begin(&user.handle, address).await?;
    let hash = identities::password(&mut *services.db.conn().await?, user.id).await?;
    if !services.passwords.verify(current, hash).await? {
        let message = "this is not the password that you have now";
        return Err(ServiceError::refuse(RefusalCode::WrongCredentials, "currentPassword", message));
    }
    attempt.succeeded().await;
    replace_password(services, actor, user.id, new, actor.viewer.session()).await?;
    Ok((*user).clone())
}

/// Gives a user a new password and ends their sessions. The caller has checked who may.
pub async fn set_password(
    services: &Services,
    user_id: Uuid,
    password: String,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let actor = Actor::unnamed(now);
    replace_password(services, &actor, user_id, password, None).await
}

async fn replace_password(
    services: &Services,
    actor: &Actor,
    user_id: Uuid,
    password: String,
    kept: Option<&TokenHash>,
) -> Result<(), ServiceError> {
    // Before the transaction: it takes its time, and the embedded database has one turn for all.
    let hash = services.passwords.hash(password).await?;
    let mut tx = services.db.begin().await?;
    identities::set_password(&mut tx, user_id, &hash, actor.now).await?;
    sessions::delete_of_user(&mut tx, user_id, kept.map(|hash| &hash.as_bytes()[..])).await?;
    Ok(services.commit(tx, &[accounts::told(user_id, ended(true), actor)]).await?)
}

/// The payload of a user's event.
fn ended(access_ended: bool) -> serde_json::Value {
    if access_ended { json!({ ACCESS_ENDED: true }) } else { json!({}) }
}

/// The last owner stays one: nobody else could make another. Two owners who step back at the same
/// moment wait for each other here.
async fn keep_an_owner(tx: &mut Tx, user_id: Uuid, role: Role) -> Result<(), ServiceError> {
    if role != Role::Owner && users::lock_owners(tx).await? == [user_id] {
        let message = "this is the only owner: make somebody else one first";
        return Err(ServiceError::refuse(RefusalCode::WrongState, "role", message));
    }
    Ok(())
}

fn check_edit(edit: &UserEdit) -> Result<(), ServiceError> {
    let mut check = Check::default();
    if let Some(name) = &edit.name {
        check.text("name", name, 100);
    }
    check.at_most("bio", edit.bio.as_deref().unwrap_or_default(), 2000);
    check.url("url", edit.url.as_ref().and_then(Option::as_deref));
    check.picture("avatar", edit.avatar.as_ref().and_then(Option::as_deref));
    check.done()
}
