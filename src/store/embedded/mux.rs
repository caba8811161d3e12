//! Many clients on one backend: each gets the turn from its first batch until ReadyForQuery says
//! that no transaction is open.
//!
//! All share one session. Statement names are told apart by tokio-postgres itself (one counter
//! for the process); whatever a client prepared and did not close is closed when it leaves.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::backend::{Answer, Request};
use super::frames::{FrameError, Inbox, MAX_BATCH, Unit, frames};
use super::messages::{self, Statement};

/// Read from a client at once, and written to it between two looks at the clock.
const CHUNK: usize = 64 << 10;

/// What all connections have in common.
pub(super) struct Shared {
    pub requests: mpsc::Sender<Request>,
    /// One permit, given out in the order of asking.
    pub turn: Arc<Semaphore>,
    pub greeting: Vec<u8>,
    /// How long a client may hold the turn in a transaction without sending anything.
    pub idle_in_transaction: Duration,
    /// Set first on shutdown: no new connections, no new transactions.
    pub closing: AtomicBool,
    /// Cancelled when the backend has stopped.
    pub gone: CancellationToken,
    /// Cancelled when what still runs has had its time.
    pub kill: CancellationToken,
    /// Batches of clients so far, for maintenance to tell an idle database.
    pub batches: AtomicU64,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the client left")]
    Left,
    #[error(transparent)]
    Frames(#[from] FrameError),
    #[error("terminating connection due to idle-in-transaction timeout")]
    Idle,
    #[error("terminating connection because the embedded database is shutting down")]
    Closing,
    #[error("terminating connection because the embedded database failed")]
    Gone,
}

impl End {
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Left => None,
            Self::Frames(_) => Some("08P01"),
            Self::Idle => Some("25P03"),
            Self::Closing => Some("57P01"),
            Self::Gone => Some("57P02"),
        }
    }
}

/// The right to use the backend. Dropping it passes it on; a transaction still open is rolled
/// back before the next batch.
pub(super) struct Turn {
    requests: mpsc::Sender<Request>,
    first: bool,
    _permit: OwnedSemaphorePermit,
}

impl Turn {
    /// Waits for the backend. Refused once the database is closing.
    pub async fn take(shared: &Shared) -> Result<Self, End> {
        let turn = Self::take_even_closing(shared).await?;
        if shared.closing.load(Ordering::Acquire) {
            return Err(End::Closing);
        }
        Ok(turn)
    }

    /// The same for shutdown itself and for tidying up.
    pub async fn take_even_closing(shared: &Shared) -> Result<Self, End> {
        let permit = shared.turn.clone().acquire_owned().await.map_err(|_| End::Gone)?;
        Ok(Self { requests: shared.requests.clone(), first: true, _permit: permit })
    }

    pub async fn run(&mut self, packet: Vec<u8>) -> Result<Answer, End> {
        let (reply, answer) = oneshot::channel();
        let first = std::mem::replace(&mut self.first, false);
        self.requests.send(Request::Batch { packet, first, reply }).await.map_err(|_| End::Gone)?;
        answer.await.map_err(|_| End::Gone)
    }
}

/// Serves one client until it leaves or has to go, and leaves the session clean.
pub(super) async fn serve(shared: Arc<Shared>, stream: DuplexStream) {
    let mut connection =
        Connection { shared, stream, inbox: Inbox::new(MAX_BATCH), statements: HashSet::new(), turn: None };
    let end = match connection.run().await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    connection.finish(end).await;
}

struct Connection {
    shared: Arc<Shared>,
    stream: DuplexStream,
    inbox: Inbox,
    /// Prepared by this client and not closed by it.
    statements: HashSet<Vec<u8>>,
    /// Held while a transaction is open.
    turn: Option<Turn>,
}

impl Connection {
    async fn run(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            while let Some(unit) = self.inbox.next()? {
                match unit {
                    // Nothing leaves the process, so there is nothing to encrypt.
                    Unit::Encryption => self.write(b"N").await?,
                    Unit::Startup => self.write(&self.shared.greeting.clone()).await?,
                    Unit::Batch(batch) => self.batch(batch).await?,
                    Unit::Cancel | Unit::Terminate => return Err(End::Left),
                }
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), End> {
        let limit = self.turn.is_some().then_some(self.shared.idle_in_transaction);
        self.inbox.buffer().reserve(CHUNK);
        tokio::select! {
            biased;
            () = self.shared.kill.cancelled() => Err(End::Closing),
            read = self.stream.read_buf(self.inbox.buffer()) => match read {
                Ok(0) | Err(_) => Err(End::Left),
                Ok(_) => Ok(()),
            },
            () = elapsed(limit) => Err(End::Idle),
        }
    }

    async fn batch(&mut self, batch: Vec<u8>) -> Result<(), End> {
        if frames(&batch).flatten().any(|frame| messages::copies_in(&frame)) {
            return self.refuse_copy().await;
        }
        // Noted before it runs: closing one that failed to be made is no error, forgetting one is.
        self.note_statements(&batch);
        let mut turn = match self.turn.take() {
            Some(turn) => turn,
            None => Turn::take(&self.shared).await?,
        };
        self.shared.batches.fetch_add(1, Ordering::Relaxed);
        let answer = turn.run(batch).await?;
        // Passed on before the answer is written, so that a slow reader delays nobody.
        self.turn = (answer.status != b'I').then_some(turn);
        self.write(&answer.bytes).await
    }

    fn note_statements(&mut self, batch: &[u8]) {
        for frame in frames(batch).flatten() {
            match messages::statement(&frame) {
                Some(Statement::Parsed(name)) => drop(self.statements.insert(name.to_owned())),
                Some(Statement::Closed(name)) => drop(self.statements.remove(name)),
                None => {}
            }
        }
    }

    /// The backend reads a batch at a time and cannot wait for the rows of a COPY.
    async fn refuse_copy(&mut self) -> Result<(), End> {
        let text = "the embedded database does not support COPY FROM STDIN; use INSERT";
        let status = if self.turn.is_some() { b'T' } else { b'I' };
        let answer = [messages::error("ERROR", "0A000", text), messages::ready(status)].concat();
        self.write(&answer).await
    }

    /// Writes in pieces; a client that takes none of them counts as idle.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        for piece in bytes.chunks(CHUNK) {
            let limit = self.turn.is_some().then_some(self.shared.idle_in_transaction);
            tokio::select! {
                biased;
                written = self.stream.write_all(piece) => written.map_err(|_| End::Left)?,
                () = self.shared.kill.cancelled() => return Err(End::Closing),
                () = elapsed(limit) => return Err(End::Idle),
            }
        }
        Ok(())
    }

    /// Rolls back what is open, closes the client's statements, tells it why it has to go.
    async fn finish(mut self, end: End) {
        // Fails only if the backend has stopped, and with it the session.
        self.leave_clean().await.ok();
        if let Some(code) = end.code() {
            tracing::debug!(reason = %end, "closing a connection to the embedded database");
            let goodbye = messages::error("FATAL", code, &end.to_string());
            // Whoever does not read will find the closed stream.
            tokio::time::timeout(Duration::from_secs(1), self.stream.write_all(&goodbye)).await.ok();
        }
    }

    async fn leave_clean(&mut self) -> Result<(), End> {
        let open = self.turn.take();
        if open.is_none() && self.statements.is_empty() {
            return Ok(());
        }
        let mut turn = match open {
            Some(mut turn) => {
                turn.run(messages::query("ROLLBACK")).await?;
                turn
            }
            None => Turn::take_even_closing(&self.shared).await?,
        };
        if !self.statements.is_empty() {
            turn.run(messages::close_statements(self.statements.iter().map(Vec::as_slice))).await?;
        }
        Ok(())
    }
}

/// Never, without a limit.
async fn elapsed(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
