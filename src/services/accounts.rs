//! Accounts: signing up, in and out; making users and keys from the command line.

use std::net::IpAddr;

use serde_json::json;
use uuid::Uuid;

use super::keys::{self, KeyWish};
use super::validate::Check;
use super::{Actor, Refusal, RefusalCode, ServiceError, Services};
use crate::auth::{ApiKey, Scope, SessionToken};
use crate::events::{EventKind, NewEvent};
use crate::store::users::{self, Role, UserRow};
use crate::store::{DbError, identities, sessions};

/// In the payload of a user's event: something that they sign in with has ended, or their rights
/// have changed, so that connections that are open have to begin anew.
pub const ACCESS_ENDED: &str = "accessEnded";

/// A new account.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub handle: String,
    pub name: String,
    pub email: Option<String>,
    pub password: String,
}

/// A session that has just begun. The token is told once and never again.
pub struct SignedIn {
    pub user: UserRow,
    pub token: SessionToken,
    pub expires_at: chrono::DateTime<chrono::Utc>,
}

/// Makes a reader's account and signs it in.
pub async fn sign_up(services: &Services, actor: &Actor, account: NewAccount) -> Result<SignedIn, ServiceError> {
    if !services.policy.sign_up_open {
        let message = "this site does not take new accounts: ask its owner for one";
        return Err(ServiceError::Refused(vec![Refusal {
            code: RefusalCode::Closed,
            field: None,
            message: message.into(),
        }]));
    }
    let user = create_user(services, actor, account, Role::Reader).await?;
    begin_session(services, actor, user).await
}

/// Begins a session with a handle or an e-mail address and the password. `address` is where from.
pub async fn sign_in(
    services: &Services,
    actor: &Actor,
    login: &str,
    password: String,
    address: Option<IpAddr>,
) -> Result<SignedIn, ServiceError> {
    let login = login.trim().to_lowercase();
    let attempt = services.attempts.begin(&login, address).await?;
    let found = identities::by_login(&mut *services.db.conn().await?, &login).await?;
    let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), hash));
    // Also without a user: an unknown one must take as long as a wrong password.
    let right = services.passwords.verify(password, hash).await?;
    match user {
        Some(user) if right => {
            attempt.succeeded().await;
            begin_session(services, actor, user).await
        }
        _ => {
            let message = "no account has this name and password";
            Err(ServiceError::Refused(vec![Refusal {
                code: RefusalCode::WrongCredentials,
                field: None,
                message: message.into(),
            }]))
        }
    }
}

/// Ends the session that was used to ask. True if there was one.
pub async fn sign_out(services: &Services, actor: &Actor) -> Result<bool, ServiceError> {
    let (Some(session), Some(user)) = (actor.viewer.session(), actor.viewer.user()) else { return Ok(false) };
    let mut tx = services.db.begin().await?;
    let ended = sessions::delete(&mut tx, session.as_bytes()).await?;
    services.commit(tx, &[told(user.id, json!({ ACCESS_ENDED: true }), actor)]).await?;
    Ok(ended)
}

/// Ends every session of the one who asks, who has to be there in person. True if there was one.
pub async fn sign_out_everywhere(services: &Services, actor: &Actor) -> Result<bool, ServiceError> {
    let user_id = actor.require_in_person("end sessions")?;
    let mut tx = services.db.begin().await?;
    let ended = sessions::delete_of_user(&mut tx, user_id, None).await?;
    services.commit(tx, &[told(user_id, json!({ ACCESS_ENDED: true }), actor)]).await?;
    Ok(ended > 0)
}

/// Makes an account with any role. The caller has checked who may.
pub async fn create_user(
    services: &Services,
    actor: &Actor,
    account: NewAccount,
    role: Role,
) -> Result<UserRow, ServiceError> {
    let handle = account.handle.trim().to_lowercase();
    let email = account.email.map(|e| e.trim().to_lowercase()).filter(|e| !e.is_empty());
    check_account(&handle, &account.name, email.as_deref())?;
    let hash = services.passwords.hash(account.password).await?;
    let user = UserRow {
        id: Uuid::now_v7(),
        handle,
        name: account.name.trim().to_owned(),
        email,
        role,
        bio: String::new(),
        url: None,
        avatar: None,
        demo: false,
        created_at: actor.now,
        updated_at: actor.now,
    };
    let mut tx = services.db.begin().await?;
    users::insert(&mut tx, &user).await.map_err(|e| account_taken(e, &user))?;
    identities::set_password(&mut tx, user.id, &hash, actor.now).await?;
    services.commit(tx, &[told(user.id, json!({}), actor)]).await?;
    Ok(user)
}

/// Makes an API key for a user; it is told once and never again. The caller has checked who may.
pub async fn create_key(
    services: &Services,
    actor: &Actor,
    user_id: Uuid,
    name: String,
    scopes: &[Scope],
    expires_at: Option<chrono::DateTime<chrono::Utc>>,
) -> Result<ApiKey, ServiceError> {
    let wish = KeyWish { name, scopes: scopes.to_vec(), expires_at };
    Ok(keys::insert(services, actor, user_id, wish).await?.1)
}

/// That something about a user has changed.
pub(super) fn told(user_id: Uuid, payload: serde_json::Value, actor: &Actor) -> NewEvent {
    let actor_id = actor.viewer.user().map(|user| user.id);
    NewEvent { kind: EventKind::UserChanged, subject: user_id, payload, actor: actor_id, at: actor.now }
}

async fn begin_session(services: &Services, actor: &Actor, user: UserRow) -> Result<SignedIn, ServiceError> {
    let (token, hash) = SessionToken::generate();
    let expires_at = actor.now + services.policy.session_ttl;
    let mut conn = services.db.conn().await?;
    sessions::insert(&mut conn, user.id, hash.as_bytes(), actor.now, expires_at).await?;
    Ok(SignedIn { user, token, expires_at })
}

fn check_account(handle: &str, name: &str, email: Option<&str>) -> Result<(), ServiceError> {
    let mut check = Check::default();
    check.handle(handle).text("name", name, 100);
    if let Some(email) = email {
        let fine = email.len() <= 254
            && email
                .split_once('@')
                .is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'))
            && !email.chars().any(|c| c.is_whitespace() || c.is_control());
        check.that(fine, RefusalCode::Invalid, "email", || format!("{email:?} is not an e-mail address"));
    }
    check.done()
}

fn account_taken(error: DbError, user: &UserRow) -> ServiceError {
    if error.is_constraint("users_handle_key") {
        return ServiceError::refuse(RefusalCode::Taken, "handle", format!("the handle {:?} is taken", user.handle));
    }
    if error.is_constraint("users_email_key") {
        return ServiceError::refuse(RefusalCode::Taken, "email", "an account with this e-mail address exists");
    }
    error.into()
}
