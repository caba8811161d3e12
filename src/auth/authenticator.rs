//! From a token to who asks. Nothing is kept of it, so that what was revoked opens nothing from that
//! moment on; requests that come while others are looked up share the next look.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{ApiKey, Scope, TokenHash, Viewer};
use crate::store::together::{Bounds, Together, Turn, Unanswered};
use crate::store::users::UserRow;
use crate::store::{Conn, Db, DbError, api_keys, sessions};

/// How exactly the last use of a key is known.
const NOTE_USE_EVERY: TimeDelta = TimeDelta::minutes(1);

const BOUNDS: Bounds = Bounds { items: 256, turns: 4, waiting: 16_384 };

/// Credentials could not be turned into a viewer.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The token is malformed, unknown, expired or revoked. Which one is not told.
    #[error("the token is not valid, or no longer")]
    InvalidToken,
    #[error("the token could not be looked up")]
    Db(#[source] Arc<DbError>),
}

/// Looks tokens up.
#[derive(Clone)]
pub struct Authenticator {
    db: Db,
    looks: Together<Credential, Found>,
}

/// What somebody shows, and when.
#[derive(Clone, Copy)]
struct Credential {
    hash: TokenHash,
    /// A session and no key.
    in_person: bool,
    now: DateTime<Utc>,
}

type Found = Result<Option<Holder>, Arc<DbError>>;

/// Whose credential it is.
struct Holder {
    user: Arc<UserRow>,
    scopes: Vec<Scope>,
    key: Option<Uuid>,
}

impl Authenticator {
    pub fn new(db: Db) -> Self {
        Self { db, looks: Together::new(BOUNDS) }
    }

    /// The user behind a session token or an API key.
    pub async fn viewer(&self, token: &str, now: DateTime<Utc>) -> Result<Viewer, AuthError> {
        let hash = TokenHash::of(token).ok_or(AuthError::InvalidToken)?;
        self.look_up(Credential { hash, in_person: !ApiKey::looks_like(token), now }).await
    }

    /// The same viewer with the rights of this moment; who has not signed in stays as they are.
    ///
    /// Errors: `InvalidToken` when the session or the key has ended since.
    pub async fn renew(&self, viewer: &Viewer, now: DateTime<Utc>) -> Result<Viewer, AuthError> {
        match viewer.credential {
            Some(hash) => self.look_up(Credential { hash, in_person: viewer.in_person, now }).await,
            None => Ok(viewer.clone()),
        }
    }

    async fn look_up(&self, credential: Credential) -> Result<Viewer, AuthError> {
        let found = self.looks.ask(credential, &self.db).await.unwrap_or_else(|unanswered| {
            let why = match unanswered {
                Unanswered::Full => "too many tokens are being looked up",
                Unanswered::Lost => "looking tokens up panicked",
            };
            Err(Arc::new(DbError::Unavailable(why.to_owned())))
        });
        let Holder { user, scopes, key } = found.map_err(AuthError::Db)?.ok_or(AuthError::InvalidToken)?;
        let Credential { hash, in_person, .. } = credential;
        Ok(Viewer { user: Some(user), scopes, in_person, credential: Some(hash), key })
    }
}

impl Turn<Credential, Found> for Db {
    async fn take(&self, credentials: Vec<Credential>) -> Vec<Found> {
        match look_up(self, &credentials).await {
            Ok(found) => found.into_iter().map(Ok).collect(),
            Err(error) => {
                let error = Arc::new(error);
                credentials.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }
}

/// The holder of each, if it is good at its time.
async fn look_up(db: &Db, credentials: &[Credential]) -> Result<Vec<Option<Holder>>, DbError> {
    let mut conn = db.conn().await?;
    let hashes = |in_person: bool| -> Vec<&[u8]> {
        let of_kind = credentials.iter().filter(|credential| credential.in_person == in_person);
        let mut hashes: Vec<_> = of_kind.map(|credential| &credential.hash.as_bytes()[..]).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    };
    let (of_sessions, of_keys) = (hashes(true), hashes(false));
    let (mut in_sessions, mut in_keys) = (HashMap::new(), HashMap::new());
    if !of_sessions.is_empty() {
        for (session, user) in sessions::by_hashes(&mut conn, &of_sessions).await? {
            in_sessions.insert(session.token_hash, (session.expires_at, Arc::new(user)));
        }
    }
    if !of_keys.is_empty() {
        for (hash, key, user) in api_keys::by_hashes(&mut conn, &of_keys).await? {
            in_keys.insert(hash, (key, Arc::new(user)));
        }
    }
    let mut used = HashSet::new();
    let found = credentials.iter().map(|credential| {
        let (hash, now) = (&credential.hash.as_bytes()[..], credential.now);
        if credential.in_person {
            let (expires_at, user) = in_sessions.get(hash)?;
            return (*expires_at > now).then(|| Holder { user: user.clone(), scopes: Scope::ALL.to_vec(), key: None });
        }
        let (key, user) = in_keys.get(hash)?;
        if key.expires_at.is_some_and(|at| at <= now) {
            return None;
        }
        if key.last_used_at.is_none_or(|at| now - at >= NOTE_USE_EVERY) {
            used.insert(key.id);
        }
        Some(Holder { user: user.clone(), scopes: Scope::of_stored(&key.scopes), key: Some(key.id) })
    });
    let found = found.collect();
    note_use(&mut conn, used, credentials.iter().map(|credential| credential.now).max()).await;
    Ok(found)
}

/// Notes that keys were used, each at most once a minute: it should not cost a write with each request.
async fn note_use(conn: &mut Conn, keys: HashSet<Uuid>, at: Option<DateTime<Utc>>) {
    let Some(at) = at.filter(|_| !keys.is_empty()) else { return };
    if let Err(error) = api_keys::touch(conn, &keys.into_iter().collect::<Vec<_>>(), at).await {
        tracing::warn!(%error, "the use of API keys could not be noted");
    }
}
