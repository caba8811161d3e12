//! PostgreSQL 18 with pgvector in this process, so that nothing has to be installed.
//!
//! One backend, one session, any number of clients that take turns by transaction. What that
//! means for the SQL of this crate: settings only with `SET LOCAL`, advisory locks only those of
//! a transaction, no `LISTEN` (notifications are dropped; the product wakes in process), no
//! `COPY … FROM STDIN`, no `DISCARD ALL`, no cursor `WITH HOLD`; a running statement cannot be
//! cancelled and `statement_timeout` does nothing. Never wait for a second connection while a
//! transaction is open: it waits for the turn that the first one holds.
//!
//! May be imported by `store` and `app`. To change the server's settings see `backend`, to add a
//! periodic task see `maintenance`. `frames` and `messages` are the protocol as pure code, `mux`
//! hands out the turns, `directory` owns the files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

mod backend;
mod directory;
mod frames;
mod maintenance;
mod messages;
mod mux;
#[cfg(test)]
mod tests;

pub use directory::copy_template;

use backend::Request;
use mux::{End, Shared, Turn};

/// A client that says nothing for so long inside a transaction is rolled back and disconnected,
/// since everybody else waits for it.
pub const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);
/// Bytes in flight in each direction of a connection.
const STREAM_BUFFER: usize = 256 << 10;
/// For rollbacks and the last checkpoint after the grace of a shutdown.
const LAST_STEPS: Duration = Duration::from_secs(30);

/// Why the embedded database does not start or does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("the data directory {} is in use by another process; stop that one, or give this one another directory with --data-dir", dir.display())]
    InUse { dir: PathBuf },
    #[error("the data directory {} cannot be written; make it writable for this user, or choose another one with --data-dir", dir.display())]
    NotWritable {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the embedded database needs about 50 MB of cache in {}, which cannot be written; set XDG_CACHE_HOME to a folder that can", dir.display())]
    CacheNotWritable {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the embedded database could not be started")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the embedded database refused a statement: {0}")]
    Statement(String),
    #[error(
        "the embedded database did not shut down cleanly ({0}); nothing committed is lost, the next start recovers it"
    )]
    Shutdown(String),
    #[error(
        "the embedded database still runs a statement after {0:?}; nothing committed is lost, the next start recovers it"
    )]
    Busy(Duration),
    #[error("the embedded database is shutting down")]
    Closing,
    #[error("the embedded database has stopped; the log says why; start the program again")]
    Stopped,
}

impl From<End> for EmbeddedError {
    fn from(end: End) -> Self {
        match end {
            End::Closing => Self::Closing,
            _ => Self::Stopped,
        }
    }
}

/// A running embedded database. Dropping it stops it too, without waiting.
pub struct Embedded {
    shared: Arc<Shared>,
    runtime: Handle,
    _kill: DropGuard,
}

impl Embedded {
    /// Opens the data directory `dir`, or creates it (mode 0700), and starts the backend.
    ///
    /// Takes about a second for a new directory and half a second for an old one. To be called
    /// in a tokio runtime, which then drives all connections.
    /// Errors: [`EmbeddedError::InUse`], `NotWritable`, `CacheNotWritable`, `Start`.
    pub async fn start(dir: &Path) -> Result<Self, EmbeddedError> {
        Self::start_with(dir, IDLE_IN_TRANSACTION).await
    }

    async fn start_with(dir: &Path, idle_in_transaction: Duration) -> Result<Self, EmbeddedError> {
        let started = backend::start(dir).await?;
        let kill = CancellationToken::new();
        let shared = Arc::new(Shared {
            requests: started.requests,
            turn: Arc::new(Semaphore::new(1)),
            greeting: started.greeting,
            idle_in_transaction,
            closing: AtomicBool::new(false),
            gone: started.gone,
            kill: kill.clone(),
            batches: AtomicU64::new(0),
        });
        let (kept, vacuumed) = (shared.clone(), started.vacuumed);
        tokio::spawn(async move { maintenance::run(kept, &vacuumed).await });
        Ok(Self { shared, runtime: Handle::current(), _kill: kill.drop_guard() })
    }

    /// A way to open connections, to be cloned and kept anywhere.
    pub fn connector(&self) -> Connector {
        Connector { shared: self.shared.clone(), runtime: self.runtime.clone() }
    }

    /// Vacuums and analyses every table and writes a checkpoint, now.
    ///
    /// Each table is a turn of its own: clients are served in between.
    pub async fn maintain(&self) -> Result<(), EmbeddedError> {
        maintenance::everything(&self.shared).await
    }

    /// Returns when the backend has stopped by itself, which only a fault makes it do.
    pub async fn stopped(&self) {
        self.shared.gone.cancelled().await;
    }

    /// Refuses new transactions, waits up to `grace` for the one that runs, rolls back what is
    /// still open, writes a checkpoint, and releases the directory.
    ///
    /// Errors: [`EmbeddedError::Busy`] if a statement runs on and on; end the process then.
    pub async fn shutdown(self, grace: Duration) -> Result<(), EmbeddedError> {
        self.shared.closing.store(true, Ordering::Release);
        let taken = tokio::time::timeout(grace, Turn::take_even_closing(&self.shared)).await;
        self.shared.kill.cancel();
        let mut turn = match taken {
            Ok(turn) => turn?,
            // Now the open transaction is being rolled back, unless a statement is running.
            Err(_) => tokio::time::timeout(LAST_STEPS.min(grace), Turn::take_even_closing(&self.shared))
                .await
                .map_err(|_| EmbeddedError::Busy(grace))??,
        };
        let (reply, stopped) = oneshot::channel();
        let last = async {
            turn.run(messages::query("CHECKPOINT")).await?;
            self.shared.requests.send(Request::Stop { reply }).await.map_err(|_| EmbeddedError::Stopped)?;
            stopped.await.map_err(|_| EmbeddedError::Stopped)?.map_err(EmbeddedError::Shutdown)
        };
        tokio::time::timeout(LAST_STEPS, last).await.map_err(|_| EmbeddedError::Busy(LAST_STEPS))??;
        self.shared.gone.cancelled().await;
        Ok(())
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        // Connectors that outlive this keep the queue open, so the thread has to be told. If the
        // queue is full or gone, it is either about to end or ends with the process.
        let (reply, _) = oneshot::channel();
        self.shared.requests.try_send(Request::Stop { reply }).ok();
    }
}

/// Opens connections to a running [`Embedded`].
#[derive(Clone)]
pub struct Connector {
    shared: Arc<Shared>,
    runtime: Handle,
}

impl Connector {
    /// A new client connection that speaks the Postgres protocol: user and database `postgres`,
    /// no password.
    ///
    /// Errors: `ConnectionRefused` once the database has stopped or is shutting down.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        if self.shared.closing.load(Ordering::Acquire) || self.shared.gone.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the embedded database has stopped"));
        }
        let (client, server) = tokio::io::duplex(STREAM_BUFFER);
        // On the database's own runtime, so that a client's runtime going away cannot cut off
        // the tidying up after it.
        self.runtime.spawn(mux::serve(self.shared.clone(), server));
        Ok(client)
    }
}
