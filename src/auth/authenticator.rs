//! From a token to who asks. What was revoked opens nothing from that moment on, whichever process did it:
//! where there may be several, nothing is kept, and requests that come while others are looked up share the
//! next look. The one process of an embedded database keeps what it found, until it changes rights itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use moka::sync::Cache;
use uuid::Uuid;

use super::{ApiKey, Scope, TokenHash, Viewer};
use crate::store::together::{Bounds, Together, Turn, Unanswered};
use crate::store::users::UserRow;
use crate::store::{Conn, Db, DbError, api_keys, sessions};

/// How exactly the last use of a key is known.
const NOTE_USE_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Half as long, so that a key's use is noted while it is used.
const KEPT_FOR: Duration = Duration::from_secs(30);
const MAX_KEPT: u64 = 4096;

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

/// Counts the changes of what credentials open, as far as this process knows. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct RightsVersion(Arc<AtomicU64>);

impl RightsVersion {
    /// To be called when a change has been committed, before who asked for it is answered.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Looks tokens up.
#[derive(Clone)]
pub struct Authenticator {
    db: Db,
    looks: Together<Credential, Found>,
    rights: RightsVersion,
    /// What was found of tokens, by their hash; none where other processes change rights too.
    kept: Option<Cache<[u8; 32], Arc<Kept>>>,
}

struct Kept {
    viewer: Viewer,
    expires_at: Option<DateTime<Utc>>,
    rights: u64,
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
    expires_at: Option<DateTime<Utc>>,
}

impl Authenticator {
    /// `rights` is moved on by whoever changes them in this process.
    pub fn new(db: Db, rights: RightsVersion) -> Self {
        let kept = || Cache::builder().max_capacity(MAX_KEPT).time_to_live(KEPT_FOR).build();
        Self { kept: db.backend().is_embedded().then(kept), db, looks: Together::new(BOUNDS), rights }
    }

    /// The user behind a session token or an API key.
    pub async fn viewer(&self, token: &str, now: DateTime<Utc>) -> Result<Viewer, AuthError> {
        let hash = TokenHash::of(token).ok_or(AuthError::InvalidToken)?;
        let rights = self.rights.now();
        let is_good = |kept: &Arc<Kept>| kept.rights == rights && kept.expires_at.is_none_or(|at| at > now);
        let found = self.kept.as_ref().and_then(|kept| kept.get(hash.as_bytes())).filter(is_good);
        if let Some(found) = found {
            return Ok(found.viewer.clone());
        }
        let (viewer, expires_at) =
            self.look_up(Credential { hash, in_person: !ApiKey::looks_like(token), now }).await?;
        if let Some(kept) = &self.kept {
            kept.insert(*hash.as_bytes(), Arc::new(Kept { viewer: viewer.clone(), expires_at, rights }));
        }
        Ok(viewer)
    }

    /// The same viewer with the rights of this moment; who has not signed in stays as they are.
    ///
    /// Errors: `InvalidToken` when the session or the key has ended since.
    pub async fn renew(&self, viewer: &Viewer, now: DateTime<Utc>) -> Result<Viewer, AuthError> {
        match viewer.credential {
            Some(hash) => Ok(self.look_up(Credential { hash, in_person: viewer.in_person, now }).await?.0),
            None => Ok(viewer.clone()),
        }
    }

    /// The viewer, and until when the credential is good.
    async fn look_up(&self, credential: Credential) -> Result<(Viewer, Option<DateTime<Utc>>), AuthError> {
        let found = self.looks.ask(credential, &self.db).await.unwrap_or_else(|unanswered| {
            let why = match unanswered {
                Unanswered::Full => "too many tokens are being looked up",
                Unanswered::Lost => "looking tokens up panicked",
            };
            Err(Arc::new(DbError::Unavailable(why.to_owned())))
        });
        let Holder { user, scopes, key, expires_at } = found.map_err(AuthError::Db)?.ok_or(AuthError::InvalidToken)?;
        let Credential { hash, in_person, .. } = credential;
        Ok((Viewer { user: Some(user), scopes, in_person, credential: Some(hash), key }, expires_at))
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
            let (user, scopes, until) = (user.clone(), Scope::ALL.to_vec(), Some(*expires_at));
            return (*expires_at > now).then_some(Holder { user, scopes, key: None, expires_at: until });
        }
        let (key, user) = in_keys.get(hash)?;
        if key.expires_at.is_some_and(|at| at <= now) {
            return None;
        }
        if key.last_used_at.is_none_or(|at| now - at >= NOTE_USE_EVERY) {
            used.insert(key.id);
        }
        let (user, scopes) = (user.clone(), Scope::of_stored(&key.scopes));
        Some(Holder { user, scopes, key: Some(key.id), expires_at: key.expires_at })
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
