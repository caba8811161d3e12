//! What a resolver gets: who asks, the services, and the request's own loaders.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use async_graphql::Context;
use chrono::{DateTime, Utc};

use super::loaders::Loaders;
use crate::error::ApiError;
use crate::events::Cursor;
use crate::services::{Actor, Services};
use crate::store::{Sight, StatementCount};

/// The state of one request, or of one running subscription.
pub struct RequestContext {
    pub services: Services,
    pub actor: Actor,
    pub statements: Arc<StatementCount>,
    /// Objects are selected in several places, whose parts have to be put together.
    pub merges: bool,
    /// Where the request comes from, for what is counted by it.
    pub address: Option<IpAddr>,
    /// Where an SSE client says it was (`Last-Event-ID`).
    pub resume: Option<Cursor>,
    /// The cursor of the event that is being delivered.
    delivered: Mutex<Option<Cursor>>,
    session: Mutex<SessionChange>,
    /// Bytes of long texts that the answer may still hold.
    text_left: AtomicI64,
    password_asked: AtomicBool,
    /// The answer is somebody's own, though nobody has signed in.
    own: AtomicBool,
    /// Made when the first of them is asked.
    loaders: RwLock<OnceLock<Arc<Loaders>>>,
}

/// Most bytes of long texts in one answer. Costs bound the number of fields, not what is in them.
const MAX_TEXT_BYTES: i64 = 16 << 20;

/// What a request did to the browser's session: nothing, ended it, or began one that lasts until
/// a time.
pub type SessionChange = Option<Option<(String, DateTime<Utc>)>>;

impl RequestContext {
    pub fn new(services: &Services, actor: Actor, resume: Option<Cursor>, merges: bool) -> Self {
        let statements = Arc::new(StatementCount::default());
        let mut services = services.clone();
        services.db = services.db.counting(statements.clone());
        Self {
            services,
            actor,
            statements,
            merges,
            address: None,
            resume,
            delivered: Mutex::new(None),
            session: Mutex::new(None),
            text_left: AtomicI64::new(MAX_TEXT_BYTES),
            password_asked: AtomicBool::new(false),
            own: AtomicBool::new(false),
            loaders: RwLock::default(),
        }
    }

    pub fn sight(&self) -> Sight {
        self.actor.viewer.sight()
    }

    pub fn loaders(&self) -> Arc<Loaders> {
        let loaders = self.loaders.read().unwrap_or_else(PoisonError::into_inner);
        loaders.get_or_init(|| Arc::new(Loaders::new(&self.services, &self.actor))).clone()
    }

    /// Forgets what was loaded: after a mutation, and before each event of a subscription.
    pub fn renew_loaders(&self) {
        *self.loaders.write().unwrap_or_else(PoisonError::into_inner) = OnceLock::new();
    }

    /// Lets a long text into the answer.
    ///
    /// Errors: `BAD_USER_INPUT` once the answer holds too much text.
    pub fn text(&self, text: String) -> Result<String, ApiError> {
        let bytes = i64::try_from(text.len()).unwrap_or(i64::MAX);
        if self.text_left.fetch_sub(bytes, Ordering::Relaxed) < bytes {
            let limit = MAX_TEXT_BYTES >> 20;
            let message = format!("the answer would hold more than {limit} MiB of text: ask for fewer rows at once");
            return Err(ApiError::bad_input(message));
        }
        Ok(text)
    }

    /// Begins the answer to the next event of a subscription.
    pub fn renew(&self) {
        self.text_left.store(MAX_TEXT_BYTES, Ordering::Relaxed);
        self.renew_loaders();
    }

    /// Lets the first of an operation's fields pass that has a password checked or hashed. With
    /// aliases one request could otherwise try many, past what counts requests.
    ///
    /// Errors: `BAD_USER_INPUT` for every further one.
    pub fn one_password(&self) -> Result<(), ApiError> {
        if self.password_asked.swap(true, Ordering::Relaxed) {
            return Err(ApiError::bad_input(
                "an operation can sign in, sign up or change a password once: send the others on their own",
            ));
        }
        Ok(())
    }

    /// Keeps the answer out of what is kept for everybody: it came of a secret in the operation, or is as it
    /// is for this moment only.
    pub fn keep_for_one(&self) {
        self.own.store(true, Ordering::Relaxed);
    }

    /// True for an answer that nobody else may have.
    pub fn is_for_one(&self) -> bool {
        self.own.load(Ordering::Relaxed)
    }

    /// Notes that the browser's session cookie has to change.
    pub fn set_session(&self, change: SessionChange) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = change;
    }

    /// How the browser's session cookie has to change.
    pub fn session_change(&self) -> SessionChange {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes which event is on its way, so that the transport can label it. Not before it has been
    /// read: a client must not go on behind an event that it never got.
    pub fn deliver(&self, cursor: Cursor) {
        *self.delivered.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor);
    }

    /// The cursor of the last event that was delivered.
    pub fn delivered(&self) -> Option<Cursor> {
        *self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Short ways from a resolver's context to the request's.
pub trait ContextExt {
    fn request(&self) -> &RequestContext;

    fn loaders(&self) -> Arc<Loaders> {
        self.request().loaders()
    }
}

impl ContextExt for Context<'_> {
    fn request(&self) -> &RequestContext {
        self.data_unchecked::<Arc<RequestContext>>()
    }
}
