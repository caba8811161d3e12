//! The thread that owns the backend. The only file that knows which library runs Postgres.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use oliphaunt_wasix::DatabaseStorage;
use oliphaunt_wasix::session::{
    PostgresConfig, PreparedDatabase, ProtocolSession, StartupConfig, default_catalog_profile,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::EmbeddedError;
use super::directory::{self, DataDir};
use super::frames::frames;
use super::messages::{self, Statement};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Address space, not memory: pages are only used when Postgres recurses deeply.
const STACK_BYTES: usize = 64 << 20;
/// With this much, JSON or expressions that nest too deep end in an error of Postgres (54001)
/// before the runtime's own stack runs out, which would cost the session.
const WASM_STACK_BYTES: usize = 32 << 20;
/// Whoever has the turn sends one request at a time, so a short queue never fills in practice.
const QUEUE: usize = 8;

/// Errors after which the session is replaced between two transactions, which takes a fraction of
/// a second. The runtime does not give back the stack of a statement that failed: about 800 bytes
/// for a constraint violation, some kilobytes for an error in PL/pgSQL, out of two megabytes.
const MAX_ERRORS: u32 = 200;
/// Faults of the runtime itself that are recovered from before giving up.
const MAX_BREAKDOWNS: u32 = 2;

/// Settings of the server. The backend writes a checkpoint itself when `max_wal_size` is reached;
/// `maintenance` adds those that are due by time.
const SETTINGS: [(&str, &str); 9] = [
    ("shared_buffers", "64MB"),
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("max_wal_size", "128MB"),
    ("min_wal_size", "32MB"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("track_counts", "on"),
];

/// What the backend thread is asked to do.
pub(super) enum Request {
    /// Run a batch. `first` of a turn: a transaction that a lost client left open is rolled back before.
    Batch { packet: Vec<u8>, first: bool, reply: oneshot::Sender<Answer> },
    /// Shut down and end the thread.
    Stop { reply: oneshot::Sender<Result<(), String>> },
}

/// The backend's answer to one batch.
pub(super) struct Answer {
    /// Whole frames, without notifications.
    pub bytes: Vec<u8>,
    /// Of the last ReadyForQuery: `I` idle, `T` in a transaction, `E` in a failed one.
    pub status: u8,
}

/// A backend that has started.
pub(super) struct Started {
    pub requests: mpsc::Sender<Request>,
    /// What a client is told after its start-up packet.
    pub greeting: Vec<u8>,
    /// Cancelled when the thread ends, in whichever way.
    pub gone: CancellationToken,
    pub vacuumed: PathBuf,
}

/// Opens `dir` and starts its backend on a thread of its own.
pub(super) async fn start(dir: &Path) -> Result<Started, EmbeddedError> {
    let (send, ready) = oneshot::channel();
    let dir = dir.to_owned();
    let thread = std::thread::Builder::new().name("postgres".into()).stack_size(STACK_BYTES);
    wasmer_vm::set_stack_size(WASM_STACK_BYTES);
    let spawned = thread.spawn(move || match Backend::open(&dir) {
        Ok((backend, greeting)) => {
            let (requests, queue) = mpsc::channel(QUEUE);
            let gone = CancellationToken::new();
            let _ended = gone.clone().drop_guard();
            let started = Started { requests, greeting, gone, vacuumed: backend.dir.vacuumed() };
            if send.send(Ok(started)).is_ok() {
                backend.serve(queue);
            } else {
                backend.stop().ok();
            }
        }
        Err(error) => drop(send.send(Err(error))),
    });
    spawned.map_err(|error| EmbeddedError::Start(error.into()))?;
    ready.await.unwrap_or_else(|_| Err(EmbeddedError::Start("the backend's thread panicked".into())))
}

struct Backend {
    /// `None` only while one is replaced by the next.
    session: Option<ProtocolSession>,
    database: PreparedDatabase,
    dir: DataDir,
    status: u8,
    /// Errors since the session was opened. Each leaves some of its stack behind.
    errors: u32,
    /// Sessions that broke down. The memory of each is lost.
    breakdowns: u32,
    /// The Parse messages of all prepared statements by name, to be repeated in the next session.
    statements: HashMap<Vec<u8>, Vec<u8>>,
}

impl Backend {
    fn open(dir: &Path) -> Result<(Self, Vec<u8>), EmbeddedError> {
        let dir = DataDir::open(dir)?;
        directory::check_cache()?;
        let (database, session, greeting) = prepare(&dir).map_err(EmbeddedError::Start)?;
        let statements = HashMap::new();
        let backend =
            Self { session: Some(session), database, dir, status: b'I', errors: 0, breakdowns: 0, statements };
        Ok((backend, greeting))
    }

    fn serve(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(request) = queue.blocking_recv() {
            let done = match request {
                Request::Batch { packet, first, reply } => self.answer(&packet, first, reply),
                Request::Stop { reply } => return drop(reply.send(self.stop())),
            };
            if let Err(error) = done {
                return tracing::error!(%error, "the embedded database has stopped");
            }
        }
        if let Err(error) = self.stop() {
            tracing::warn!(error, "the embedded database did not shut down cleanly; the next start recovers it");
        }
    }

    /// Answers a batch; whoever sent the one that breaks the session gets no answer.
    fn answer(&mut self, packet: &[u8], first: bool, reply: oneshot::Sender<Answer>) -> Result<(), Failure> {
        match self.batch(packet, first) {
            // A client that left does not care for its answer.
            Ok(answer) => drop(reply.send(answer)),
            Err(error) => {
                self.breakdowns += 1;
                tracing::error!(%error, breakdowns = self.breakdowns, "the embedded database failed; recovering");
                if self.breakdowns > MAX_BREAKDOWNS {
                    return Err("it failed too often".into());
                }
                // Not shut down: nothing can be asked of it any more. The next one recovers from the log.
                drop(self.session.take());
                self.renew()?;
            }
        }
        Ok(())
    }

    /// Runs one batch. An error means that the session is lost.
    fn batch(&mut self, packet: &[u8], first: bool) -> Result<Answer, Failure> {
        if first && self.status != b'I' {
            self.send(&messages::query("ROLLBACK"))?;
        }
        if first && self.errors >= MAX_ERRORS {
            self.session()?.shutdown()?;
            drop(self.session.take());
            self.renew()?;
        }
        let mut bytes = self.send(packet)?;
        if !ends_ready(&bytes) {
            // After some errors the runtime swallows ReadyForQuery; a Sync brings it back.
            bytes.extend(self.send(&messages::sync())?);
        }
        if !ends_ready(&bytes) {
            return Err("the backend no longer says that it is ready".into());
        }
        Ok(Answer { bytes, status: self.status })
    }

    /// Opens the next session and prepares in it what was prepared in the last one.
    fn renew(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        let (session, _) = open_session(&self.database)?;
        (self.session, self.status, self.errors) = (Some(session), b'I', 0);
        for parse in self.statements.values().cloned().collect::<Vec<_>>() {
            // One whose table has gone fails here, as it would have when used.
            self.send(&[parse, messages::sync()].concat())?;
        }
        tracing::debug!(
            took_ms = began.elapsed().as_millis(),
            statements = self.statements.len(),
            "opened a new session"
        );
        Ok(())
    }

    fn session(&mut self) -> Result<&mut ProtocolSession, Failure> {
        self.session.as_mut().ok_or_else(|| "there is no session".into())
    }

    fn send(&mut self, packet: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut bytes = self.session()?.send_buffered(packet)?;
        let (mut notified, mut parsed) = (false, 0);
        for frame in frames(&bytes) {
            let frame = frame?;
            match frame.tag {
                b'Z' => self.status = frame.body().first().copied().unwrap_or(b'I'),
                b'A' => notified = true,
                b'1' => parsed += 1,
                b'E' => self.errors = self.errors.saturating_add(messages::error_weight(&frame, MAX_ERRORS)),
                _ => {}
            }
        }
        self.note_statements(packet, parsed);
        if notified {
            let kept = frames(&bytes).flatten().filter(|frame| frame.tag != b'A');
            bytes = kept.flat_map(|frame| frame.whole).copied().collect();
        }
        Ok(bytes)
    }

    /// Keeps the first `parsed` statements of `packet` (after an error the rest is skipped), and
    /// forgets those that it closes.
    fn note_statements(&mut self, packet: &[u8], parsed: usize) {
        let mut parses = 0;
        for frame in frames(packet).flatten() {
            parses += usize::from(frame.tag == b'P');
            match messages::statement(&frame) {
                Some(Statement::Parsed(name)) if parses <= parsed => {
                    self.statements.insert(name.to_owned(), frame.whole.to_owned());
                }
                Some(Statement::Closed(name)) => drop(self.statements.remove(name)),
                _ => {}
            }
        }
    }

    /// Shuts down; the session writes its own last checkpoint. The lock goes with `self`.
    fn stop(mut self) -> Result<(), String> {
        let mut last = || -> Result<(), Failure> {
            self.session()?.shutdown()?;
            drop(self.session.take());
            if self.breakdowns == 0 {
                self.database.release()?;
            }
            Ok(())
        };
        last().map_err(|error| error.to_string())
    }
}

/// True if the last frame is a ReadyForQuery, which is always six bytes long.
fn ends_ready(bytes: &[u8]) -> bool {
    bytes.last_chunk::<6>().is_some_and(|last| last.starts_with(&[b'Z', 0, 0, 0, 5]))
}

fn prepare(dir: &DataDir) -> Result<(PreparedDatabase, ProtocolSession, Vec<u8>), Failure> {
    let storage = DatabaseStorage::Directory(dir.cluster());
    let database = PreparedDatabase::prepare(storage, default_catalog_profile(), "postgres")?;
    let (session, greeting) = open_session(&database)?;
    Ok((database, session, greeting))
}

/// A new session, and what it greets clients with.
fn open_session(database: &PreparedDatabase) -> Result<(ProtocolSession, Vec<u8>), Failure> {
    let mut config = PostgresConfig::default();
    for (name, value) in SETTINGS {
        config.insert(name, value);
    }
    let extensions = [oliphaunt_extension_vector::wasix::VECTOR];
    let mut session = database.runtime()?.open_with_extensions(config, StartupConfig::default(), &extensions)?;
    let answer = session.startup_with_packet(&messages::startup())?;
    if answer.accepted {
        return Ok((session, answer.output));
    }
    Err(messages::first_column(&answer.output).err().unwrap_or_else(|| "the start-up packet was refused".into()).into())
}
