//! The event log: one ordered stream of changes that everything live is driven by.
//!
//! Services append to it in the transaction of the change. One tailer per process reads it in
//! order, tells the observers (cache invalidation first), and fans out to the subscribers.
//! Imports `store` and `config`; imported by `services`, `graphql`, `jobs` and `app`.
//!
//! To add an event: a variant of [`EventKind`], appended by the service that makes the change.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::events::LogPosition;
use crate::store::{self, Conn, Db, DbError};

mod bus;
mod cursor;
mod hub;
mod subscribe;
mod tail;

pub use bus::Bus;
pub use cursor::{Cursor, CursorError};
pub use subscribe::{EventStream, SubscribeError};
pub use tail::Observer;

pub use crate::store::events::{EventFilter, EventKind, EventRow, NewEvent};

/// How long an event stays in the log, and so how long a client may be away and miss nothing.
pub const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// The log of one process: appends, tails and fans out. Cloning is cheap.
#[derive(Clone)]
pub struct EventLog {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    bus: Bus,
    hub: hub::Hub,
    /// What this process is called by those that wake one another.
    process: String,
    /// Something was committed that the others have not been told of.
    announced: Notify,
    /// The last event that was fanned out here.
    told: watch::Sender<LogPosition>,
}

impl EventLog {
    /// A log over `db` whose other processes are woken through `bus`.
    ///
    /// Errors: the database cannot be read.
    pub async fn open(db: Db, bus: Bus) -> Result<Self, DbError> {
        let mut tx = db.begin().await?;
        let foreign = store::events::bring_home(&mut tx).await?;
        tx.commit().await?;
        if foreign > 0 {
            tracing::warn!(events = foreign, "the event log came from another database server; clients begin anew");
        }
        let end = store::events::settled_end(&mut *db.conn().await?).await?;
        Ok(Self::new(db, bus, end))
    }

    /// A log that appends and is never tailed, for the time before the schema is there.
    pub fn detached(db: Db) -> Self {
        Self::new(db, Bus::Alone, LogPosition::default())
    }

    fn new(db: Db, bus: Bus, end: LogPosition) -> Self {
        let (told, _) = watch::channel(end);
        let (hub, process, announced) = (hub::Hub::default(), Uuid::now_v7().to_string(), Notify::new());
        Self { inner: Arc::new(Inner { db, bus, hub, process, announced, told }) }
    }

    /// Appends events on the caller's transaction.
    pub async fn append(&self, conn: &mut Conn, events: &[NewEvent]) -> Result<(), DbError> {
        store::events::append(conn, events).await
    }

    /// Has the other processes told that something was committed, as soon as [`run`](Self::run) gets
    /// to it. Never fails: they poll as well.
    pub fn announce(&self) {
        self.inner.announced.notify_one();
    }

    /// Tells them at once, for a process that does not run the log.
    pub async fn announce_now(&self) {
        self.inner.bus.wake_others(&self.inner.db, &self.inner.process).await;
    }

    /// Tails the log until `stop`; runs for the life of the process.
    pub async fn run(self, observers: Vec<Observer>, stop: CancellationToken) {
        tail::run(self.inner, observers, stop).await;
    }

    /// The events that match, from now on, or from behind `after`: in order, each once.
    pub async fn subscribe(&self, filter: EventFilter, after: Option<Cursor>) -> Result<EventStream, SubscribeError> {
        subscribe::subscribe(self.inner.clone(), filter, after).await
    }

    /// How many channels have subscribers.
    pub fn channels(&self) -> usize {
        self.inner.hub.channels()
    }
}
