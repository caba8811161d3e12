//! Accounts: signing up, in and out; making users and keys from the command line.

use serde_json::json;
use uuid::Uuid;

use super::validate::Check;
use super::{Actor, Refusal, RefusalCode, ServiceError, Services};
use crate::auth::{ApiKey, Scope, SessionToken};
use crate::events::{EventKind, NewEvent};
use crate::store::api_keys::NewApiKey;
use crate::store::users::{self, Role, UserRow};
use crate::store::{DbError, api_keys, identities, sessions};

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

/// Begins a session with a handle or an e-mail address and the password.
pub async fn sign_in(
    services: &Services,
    actor: &Actor,
    login: &str,
    password: String,
) -> Result<SignedIn, ServiceError> {
    let login = login.trim().to_lowercase();
    let found = identities::by_login(&mut *services.db.conn().await?, &login).await?;
    let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), hash));
    // Also without a user: an unknown one must take as long as a wrong password.
    let right = services.passwords.verify(password, hash).await?;
    match user {
        Some(user) if right => begin_session(services, actor, user).await,
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
    let Some(session) = actor.viewer.session() else { return Ok(false) };
    Ok(sessions::delete(&mut *services.db.conn().await?, session.as_bytes()).await?)
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
        demo: false,
        created_at: actor.now,
        updated_at: actor.now,
    };
    let mut tx = services.db.begin().await?;
    users::insert(&mut tx, &user).await.map_err(|e| account_taken(e, &user))?;
    identities::set_password(&mut tx, user.id, &hash, actor.now).await?;
    let told = NewEvent {
        kind: EventKind::UserChanged,
        subject: user.id,
        payload: json!({}),
        actor: actor.viewer.user().map(|u| u.id),
        at: actor.now,
    };
    services.commit(tx, &[told]).await?;
    Ok(user)
}

/// Gives a user a new password and ends their sessions.
pub async fn set_password(
    services: &Services,
    user_id: Uuid,
    password: String,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), ServiceError> {
    // Before the transaction: hashing takes long, and on the embedded database others would wait.
    let hash = services.passwords.hash(password).await?;
    let mut tx = services.db.begin().await?;
    identities::set_password(&mut tx, user_id, &hash, now).await?;
    sessions::delete_of_user(&mut tx, user_id).await?;
    services.commit(tx, &[]).await?;
    Ok(())
}

/// Makes an API key for a user; it is told once and never again.
pub async fn create_key(
    services: &Services,
    actor: &Actor,
    user_id: Uuid,
    name: String,
    scopes: &[Scope],
    expires_at: Option<chrono::DateTime<chrono::Utc>>,
) -> Result<ApiKey, ServiceError> {
    let mut check = Check::default();
    check.text("name", &name, 100);
    check
        .that(!scopes.is_empty(), RefusalCode::Invalid, "scopes", || "a key without scopes can do nothing".into())
        .done()?;
    let (key, hash) = ApiKey::generate();
    let row = NewApiKey {
        id: Uuid::now_v7(),
        user_id,
        name,
        hint: key.hint().to_owned(),
        token_hash: hash.as_bytes().to_vec(),
        scopes: scopes.iter().map(|s| s.as_str()).collect::<Vec<_>>().into(),
        created_at: actor.now,
        expires_at,
    };
    api_keys::insert(&mut *services.db.conn().await?, &row).await?;
    Ok(key)
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
