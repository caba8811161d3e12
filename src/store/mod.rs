//! All SQL, and the only room that knows diesel.
//!
//! A file per table: its row, its queries, its batch functions. Whoever writes does it inside
//! [`Db::begin`] and appends the event of the change with [`events::append`] on the same
//! connection, or in one statement with it. May be imported by `events`, `auth`, `services`,
//! `graphql` (for rows and pages), `jobs` and `app`; imports `config` only.
//!
//! To add a table: a migration under `migrations/`, `schema.rs` regenerated (CONTRIBUTING.md says
//! how), a file here with a `…Row`, and functions that take `&mut Conn` first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::{Instrumentation, InstrumentationEvent};
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection};
use diesel_async::{AsyncConnection, AsyncPgConnection, TransactionManager};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::telemetry::metrics;

pub mod api_keys;
pub mod candidates;
pub mod chunk_vectors;
pub mod chunks;
pub mod comments;
mod connect;
pub mod conversations;
pub mod cron;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod entities;
pub mod error;
pub mod events;
pub mod identities;
pub mod jobs;
pub mod messages;
pub mod migrations;
pub mod page;
pub mod post_days;
pub mod post_entities;
pub mod post_related;
pub mod post_vectors;
pub mod post_words;
pub mod posts;
pub mod presence;
pub mod proposals;
pub mod reactions;
pub mod readers;
pub mod reads;
pub mod responses;
pub mod revisions;
#[rustfmt::skip]
pub mod schema;
pub mod series;
pub mod sessions;
pub mod site;
mod sql;
pub mod tags;
mod text_enum;
pub mod together;
pub mod token_usage;
pub mod translations;
pub mod users;

pub use connect::{Backend, PoolSettings};
pub use error::DbError;
pub use page::{Key, Page, PageOf, Position};

/// One connection to Postgres, inside or outside a transaction.
pub type Conn = AsyncPgConnection;

/// A connection that goes back to the pool when dropped. A statement that still runs on it then is
/// cancelled: whoever waited for it has gone, or has no time left.
pub struct Pooled {
    conn: Option<RawPooled>,
    /// A statement has begun on it and not ended.
    runs: Arc<AtomicBool>,
    /// The embedded database cannot cancel.
    cancels: bool,
    /// The operation's own turn; see [`Db::counting`].
    _turn: Option<OwnedSemaphorePermit>,
}

/// A connection of the pool as its library knows it.
type RawPooled = PooledConnection<'static, AsyncPgConnection>;

const HELD: &str = "taken only by into_raw and drop, which end it";

impl Pooled {
    /// For what needs the library's own type.
    fn into_raw(mut self) -> RawPooled {
        self.conn.take().expect(HELD)
    }

    fn to_cancel(&self) -> bool {
        self.cancels && self.runs.load(Ordering::Relaxed)
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if !self.to_cancel() {
            return;
        }
        let (Some(mut conn), Ok(runtime)) = (self.conn.take(), Handle::try_current()) else { return };
        runtime.spawn(async move { connect::cancel(&mut conn).await });
    }
}

impl std::ops::Deref for Pooled {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        self.conn.as_ref().expect(HELD)
    }
}

impl std::ops::DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Conn {
        self.conn.as_mut().expect(HELD)
    }
}

type Transactions = <AsyncPgConnection as AsyncConnection>::TransactionManager;

/// An open transaction. Derefs to its connection.
pub struct Tx {
    conn: Option<Pooled>,
    /// Nobody waits for the end of one that writes nothing.
    committed: Option<Arc<Notify>>,
}

impl Tx {
    /// Makes everything done in it durable, and wakes the event tailer.
    pub async fn commit(mut self) -> Result<(), DbError> {
        if let Some(mut conn) = self.conn.take() {
            Transactions::commit_transaction(&mut *conn).await?;
        }
        Ok(())
    }

    /// Takes everything done in it back, and waits until that has happened.
    pub async fn rollback(mut self) -> Result<(), DbError> {
        if let Some(mut conn) = self.conn.take() {
            Transactions::rollback_transaction(&mut *conn).await?;
        }
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        // Also after a rollback: a transaction that ends may be what the tailer waits for.
        if let Some(committed) = &self.committed {
            committed.notify_one();
        }
        let Some(mut conn) = self.conn.take() else { return };
        tokio::spawn(async move {
            if conn.to_cancel() {
                connect::cancel(&mut conn).await;
            }
            if let Err(error) = Transactions::rollback_transaction(&mut *conn).await {
                tracing::warn!(%error, "a rollback failed; the connection is given up");
            }
        });
    }
}

impl std::ops::Deref for Tx {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        self.conn.as_ref().expect("taken only by commit, rollback and drop, which end the borrow")
    }
}

impl std::ops::DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("taken only by commit, rollback and drop, which end the borrow")
    }
}

/// How much of the site the one who asks may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    /// Published posts and approved comments only.
    Public,
    /// Also drafts, scheduled and archived posts, pending comments and spam.
    Everything,
}

/// The database: a bounded pool of connections, and the signal that a transaction committed.
///
/// Cloning is cheap. A clone made by [`Db::counting`] counts the statements sent through it.
#[derive(Clone)]
pub struct Db {
    pool: Pool<AsyncPgConnection>,
    trouble: connect::Trouble,
    backend: Backend,
    committed: Arc<Notify>,
    operation: Option<Operation>,
}

/// What one operation has of the database.
#[derive(Clone)]
struct Operation {
    statements: Arc<StatementCount>,
    turns: Arc<Semaphore>,
}

/// Connections that one operation may hold at a time, however many fields it has: the pool is for
/// everybody.
const CONNECTIONS_PER_OPERATION: usize = 4;

/// How many SQL statements one request sent.
#[derive(Debug, Default)]
pub struct StatementCount(AtomicU32);

impl StatementCount {
    /// Statements started so far; BEGIN and COMMIT do not count.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Connections of the pool, for metrics and readiness.
#[derive(Clone, Copy, Debug)]
pub struct PoolState {
    pub connections: u32,
    pub idle: u32,
}

impl Db {
    /// A pool over `backend`. Connects lazily; [`Db::ping`] tells whether the database answers.
    pub async fn open(backend: Backend, settings: &PoolSettings) -> Result<Self, DbError> {
        let (pool, trouble) = connect::pool(&backend, settings).await?;
        Ok(Self { pool, trouble, backend, committed: Arc::new(Notify::new()), operation: None })
    }

    /// The same database for one operation: its statements are counted in `statements`, and it
    /// holds at most four connections at a time.
    pub fn counting(&self, statements: Arc<StatementCount>) -> Self {
        let turns = Arc::new(Semaphore::new(CONNECTIONS_PER_OPERATION));
        Self { operation: Some(Operation { statements, turns }), ..self.clone() }
    }

    /// A connection out of the pool, for reading or a single statement.
    ///
    /// Errors: [`DbError::Unavailable`] when none is free or none can be made in the acquire time.
    /// In embedded mode never ask for a second one while a transaction is open: transactions
    /// take turns, and the second would wait for the first.
    pub async fn conn(&self) -> Result<Pooled, DbError> {
        let turn = match &self.operation {
            // It is never closed; an operation without a turn would be right as well.
            Some(operation) => operation.turns.clone().acquire_owned().await.ok(),
            None => None,
        };
        let asked = Instant::now();
        let mut conn = Box::pin(self.pool.get_owned()).await.map_err(|error| self.trouble.explain(error))?;
        metrics::db_connection_wait(asked.elapsed());
        let count = self.operation.as_ref().map(|operation| operation.statements.clone());
        let runs = Arc::new(AtomicBool::new(false));
        conn.set_instrumentation(Meter { count, started: None, runs: runs.clone() });
        Ok(Pooled { conn: Some(conn), runs, cancels: !self.backend.is_embedded(), _turn: turn })
    }

    /// A connection with a transaction open on it.
    ///
    /// Dropped without [`Tx::commit`], everything it did is rolled back.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        let mut conn = self.conn().await?;
        Transactions::begin_transaction(&mut *conn).await?;
        Ok(Tx { conn: Some(conn), committed: Some(self.committed.clone()) })
    }

    /// A transaction for reading that sees the database as it is now, whatever others write.
    pub async fn snapshot(&self) -> Result<Tx, DbError> {
        use diesel_async::SimpleAsyncConnection;
        let mut tx = self.begin().await?;
        tx.committed = None;
        tx.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        Ok(tx)
    }

    /// Told once after commits of this process; the event tailer waits on it.
    pub fn committed(&self) -> Arc<Notify> {
        self.committed.clone()
    }

    /// Asks the database for a sign of life within `limit`.
    pub async fn ping(&self, limit: Duration) -> Result<(), DbError> {
        use diesel_async::SimpleAsyncConnection;
        let ask = async {
            let mut conn = self.conn().await?;
            conn.batch_execute("SELECT 1").await.map_err(DbError::from)
        };
        tokio::time::timeout(limit, ask).await.map_err(|_| DbError::TimedOut)?
    }

    /// Where the database is.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// How many connections there are and how many of them rest.
    pub fn pool_state(&self) -> PoolState {
        let state = self.pool.state();
        PoolState { connections: state.connections, idle: state.idle_connections }
    }
}

/// Counts and times statements, for the process's metrics and for the request that sent them.
struct Meter {
    count: Option<Arc<StatementCount>>,
    started: Option<Instant>,
    runs: Arc<AtomicBool>,
}

impl Instrumentation for Meter {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { .. } => {
                metrics::sql_statement_started();
                self.started = Some(Instant::now());
                self.runs.store(true, Ordering::Relaxed);
                if let Some(count) = &self.count {
                    count.0.fetch_add(1, Ordering::Relaxed);
                }
            }
            InstrumentationEvent::FinishQuery { error, .. } => {
                self.runs.store(false, Ordering::Relaxed);
                if let Some(started) = self.started.take() {
                    metrics::sql_statement_finished(error.is_none(), started.elapsed());
                }
            }
            _ => {}
        }
    }
}
