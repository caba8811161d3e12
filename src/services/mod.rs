//! Verbs that touch more than one store: publishing, commenting, reacting, signing in.
//!
//! Each function checks what the viewer may do, validates, and makes its change in one
//! transaction with the event that tells of it (`Services::commit`). Imports `store`, `cache`,
//! `events`, `auth`, `inference`; imported by `graphql`, `http`, `jobs` and `app`.
//!
//! To add a verb: a function in the file of its noun that takes `&Services`, an [`Actor`] and an
//! input struct, and returns a row or a [`ServiceError`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::attempts::Attempts;
use crate::auth::{Passwords, RightsVersion, Viewer};
use crate::cache::Cache;
use crate::events::{EventKind, EventLog, NewEvent};
use crate::inference::Engine;
use crate::store::{Db, DbError, Tx};

pub mod accounts;
pub mod allowance;
pub mod assisting;
pub mod attempts;
pub mod caching;
pub mod chatting;
pub mod commenting;
pub mod connecting;
pub mod content_folder;
pub mod dates;
pub mod demo;
pub mod digest;
mod error;
pub mod evaluating;
pub mod exporting;
pub mod feeds;
pub mod importing;
pub mod indexing;
pub mod inferring;
pub mod jobs;
pub mod keys;
pub mod ledger;
pub mod markdown;
pub mod organising;
pub mod presence;
pub mod profiles;
mod prompting;
pub mod publishing;
pub mod reacting;
pub mod reading;
pub mod recommending;
pub mod relating;
pub mod responses;
pub mod revising;
pub mod searching;
mod slug;
mod validate;
pub mod words;

pub use chatting::Chats;
pub use error::{Refusal, RefusalCode, ServiceError};
pub use jobs::Bell;
pub use presence::Presence;

/// Everything the verbs work with. Cloning is cheap.
#[derive(Clone)]
pub struct Services {
    pub db: Db,
    pub cache: Cache,
    pub events: EventLog,
    pub passwords: Passwords,
    pub presence: Presence,
    /// Wakes the worker of jobs.
    pub bell: Bell,
    pub policy: Arc<Policy>,
    pub version: Version,
    /// The models.
    pub engine: Engine,
    pub attempts: Attempts,
    /// The words of the site, for search.
    pub surveys: searching::Surveys,
    pub chats: Chats,
    pub new_comments: commenting::NewComments,
    /// What was read of late, so that it counts once.
    pub lately: reading::Lately,
    /// What is used of the models and not written down yet.
    pub ledger: ledger::Ledger,
}

/// Counts what has happened to the content, as far as this process knows: what was made of it is
/// as it is now while the count is the same.
#[derive(Clone, Debug, Default)]
pub struct Version {
    content: Arc<AtomicU64>,
    /// What credentials open.
    pub rights: RightsVersion,
}

impl Version {
    pub fn now(&self) -> u64 {
        self.content.load(Ordering::Acquire)
    }

    /// To be called when the cache has let go of what the event made stale.
    pub fn count(&self, kind: EventKind) {
        // Who is looking, what is worked on and what is proposed is no content.
        if !matches!(kind, EventKind::ViewersChanged | EventKind::JobChanged | EventKind::ProposalChanged) {
            self.content.fetch_add(1, Ordering::AcqRel);
        }
        if kind == EventKind::UserChanged {
            self.rights.advance();
        }
    }
}

/// What the owner has decided about accounts, comments and models.
#[derive(Clone, Debug)]
pub struct Policy {
    pub session_ttl: chrono::Duration,
    /// False: only the owner makes accounts.
    pub sign_up_open: bool,
    pub moderation: Moderation,
    /// For each API key; 0 for as many as it likes.
    pub tokens_per_day: u64,
    /// For each address of who has not signed in, in the chat; 0 for as many as it likes.
    pub reader_tokens_per_day: u64,
    pub anonymous_tokens_per_day: u64,
    /// A model reads what posts name, beside the rules.
    pub graph_by_model: bool,
}

/// Which comments wait for an editor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moderation {
    All,
    /// Those of readers who never had one approved.
    First,
    None,
}

/// Who does it, and when.
#[derive(Clone, Debug)]
pub struct Actor {
    pub viewer: Viewer,
    pub now: DateTime<Utc>,
}

impl Actor {
    /// Nobody in particular: what the command line does is done in no user's name.
    pub fn unnamed(now: DateTime<Utc>) -> Self {
        Self { viewer: Viewer::anonymous(), now }
    }

    /// The signed-in user's id.
    ///
    /// Errors: `Unauthenticated` when nobody is signed in.
    pub fn user_id(&self) -> Result<Uuid, ServiceError> {
        self.viewer.user().map(|user| user.id).ok_or(ServiceError::Unauthenticated)
    }

    /// Lets pass whom `allowed` names; tells others to sign in, or that they may not.
    pub(crate) fn require(&self, allowed: bool, deed: &'static str) -> Result<Uuid, ServiceError> {
        let id = self.user_id()?;
        if allowed { Ok(id) } else { Err(ServiceError::Forbidden(deed)) }
    }

    /// Lets pass whom signed in with a password, for what nobody may do with a key.
    pub(crate) fn require_in_person(&self, deed: &'static str) -> Result<Uuid, ServiceError> {
        let id = self.user_id()?;
        if self.viewer.is_in_person() { Ok(id) } else { Err(ServiceError::NotInPerson(deed)) }
    }
}

impl Services {
    /// Commits a change together with its events, and drops what they made stale from the cache,
    /// so that whoever made the change reads the new state.
    pub(crate) async fn commit(&self, mut tx: Tx, events: &[NewEvent]) -> Result<(), DbError> {
        if !events.is_empty() {
            self.events.append(&mut tx, events).await?;
            // On the heap: every verb ends here, and its future would hold all of this.
            Box::pin(indexing::ask_for(&mut tx, events)).await?;
        }
        tx.commit().await?;
        self.after_commit(events).await;
        Ok(())
    }

    /// What comes after the commit of a change whose events are in the log.
    async fn after_commit(&self, events: &[NewEvent]) {
        events.iter().for_each(|event| self.surveys.hear(event.kind));
        let keys: Vec<_> = events.iter().flat_map(|e| caching::stale_keys(e.kind, e.subject, &e.payload)).collect();
        self.cache.invalidate(&keys).await;
        events.iter().for_each(|event| self.version.count(event.kind));
        self.events.announce();
    }
}
