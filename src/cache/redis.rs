//! The link to Redis (or Valkey): one client that reconnects for ever, and whether it is up.
//!
//! *Up* means that a probe has been answered since the last sign of trouble: a lost connection,
//! or a command that did not come back in time ([`Remote::report_trouble`]). While the link is
//! down nobody waits for Redis; only the watcher task here probes it, with capped back-off and
//! jitter. Each time the link comes up it has a new serial number and tells which server process
//! answered (`run_id`), because a restarted or promoted server may hold older data than the one
//! before (see the staleness rules in the parent module).
//!
//! The order is safe because fred announces a lost connection before it waits
//! (`connection::RECONNECT_MIN_MS`) to connect anew: the watcher marks the link as down in that
//! pause.
//!
//! `cache` and `events` may use the client; `events` takes [`Remote::publisher`] and
//! [`Remote::subscriber`].

use std::sync::Arc;
use std::time::Duration;

use fred::clients::{Client, SubscriberClient};
use fred::error::{Error as FredError, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::Options;
use fred::types::{Builder, ClusterHash, ConnectHandle, CustomCommand, FromValue, InfoKind, Value};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::connection::{builder, server_name};

const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Failed attempts between two warnings in the log.
const WARN_EVERY: u32 = 20;

/// Why there is no link to Redis and waiting would not help.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The URL cannot be read; the cause does not repeat it, because it may hold a password.
    #[error(
        "the Redis URL is not valid: expected redis://[user:password@]host[:port][/database], or rediss:// for TLS"
    )]
    Url(#[source] FredError),
    /// No scheme, or another one.
    #[error("the Redis URL has no scheme that Redis is reached by: begin it with redis:// or rediss://")]
    Scheme,
    /// Cluster and Sentinel URLs.
    #[error("the Redis URL names a cluster or Sentinel: give the URL of a single primary")]
    Topology,
    /// The system's certificates cannot be used.
    #[error("TLS for Redis cannot be set up: check the system's root certificates")]
    Tls(#[source] rustls::Error),
    /// The server refused the credentials, or the client's settings are impossible.
    #[error("Redis at {server} refused the connection: check user, password and database number")]
    Refused {
        /// Host and port, without credentials.
        server: String,
        /// What the server said.
        #[source]
        source: FredError,
    },
    /// A further connection could not be made.
    #[error("a further connection to Redis could not be made")]
    Connect(#[source] FredError),
}

/// One period of the link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Link {
    /// 0 while down, else a number that no other period has.
    pub serial: u64,
    /// Which server process answered; `-` if the server does not say.
    pub run_id: Arc<str>,
}

struct State {
    link: watch::Sender<Link>,
    trouble: Notify,
}

struct Shared {
    client: Client,
    builder: Builder,
    state: Arc<State>,
    watcher: JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// A link to Redis that heals itself. Cheap to clone.
#[derive(Clone)]
pub struct Remote {
    shared: Arc<Shared>,
}

impl Remote {
    /// Connects, waiting with back-off (and saying so in the log) while the server is away.
    ///
    /// Errors: at once, where waiting cannot help (URL, TLS setup, refused credentials).
    /// Otherwise it waits for ever; a caller with less patience drops the future.
    pub async fn connect(url: &str) -> Result<Remote, RemoteError> {
        let builder = builder(url)?;
        let (client, connection) = first_connection(&builder).await?;
        let state = Arc::new(State { link: watch::Sender::new(Link::default()), trouble: Notify::new() });
        let mut link = state.link.subscribe();
        let watcher = Watcher { client: client.clone(), connection, state: Arc::clone(&state) };
        let remote =
            Remote { shared: Arc::new(Shared { client, builder, state, watcher: tokio::spawn(watcher.run()) }) };
        // The sender lives in `remote`, so this cannot fail.
        let _ = link.wait_for(|link| link.serial != 0).await;
        Ok(remote)
    }

    /// Whether Redis has answered since the last sign of trouble.
    pub fn is_up(&self) -> bool {
        self.link().serial != 0
    }

    /// The client, for `PUBLISH` and other commands of one second at most.
    ///
    /// Commands fail at once while the connection is away, and are never sent twice.
    pub fn publisher(&self) -> Client {
        self.shared.client.clone()
    }

    /// A new connection that receives: `subscribe` on it, then `manage_subscriptions` to
    /// subscribe again after each reconnect. The connection ends with `quit`.
    pub async fn subscriber(&self) -> Result<SubscriberClient, RemoteError> {
        let client = self.shared.builder.build_subscriber_client();
        let client = client.map_err(RemoteError::Connect)?;
        client.init().await.map_err(RemoteError::Connect)?;
        Ok(client)
    }

    /// Ends the connection in good order. Further commands fail.
    pub async fn close(&self) {
        self.shared.watcher.abort();
        self.shared.state.link.send_replace(Link::default());
        if let Err(error) = self.shared.client.quit().await {
            tracing::debug!(%error, "Redis connection did not end in good order");
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.shared.client
    }

    /// Runs a script once: nothing waits for a link that is down, and nothing is sent again.
    ///
    /// Errors: also when there is no answer within `wait`.
    pub(super) async fn eval<R: FromValue>(
        &self,
        script: &str,
        keys: Vec<String>,
        args: Vec<Value>,
        wait: Duration,
    ) -> Result<R, FredError> {
        let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        let mut all: Vec<Value> = vec![script.into(), count.into()];
        all.extend(keys.into_iter().map(Value::from));
        all.extend(args);
        let options = Options { timeout: Some(wait), max_attempts: Some(1), fail_fast: true, ..Options::default() };
        let command = CustomCommand::new_static("EVAL", ClusterHash::Random, false);
        self.client().with_options(&options).custom(command, all).await
    }

    pub(super) fn link(&self) -> Link {
        self.shared.state.link.borrow().clone()
    }

    pub(super) fn subscribe_link(&self) -> watch::Receiver<Link> {
        self.shared.state.link.subscribe()
    }

    /// A command of this period did not come back: the link is down until a probe does.
    pub(super) fn report_trouble(&self, serial: u64) {
        let changed = self.shared.state.link.send_if_modified(|link| {
            let current = serial != 0 && link.serial == serial;
            if current {
                link.serial = 0;
            }
            current
        });
        if changed {
            self.shared.state.trouble.notify_one();
        }
    }
}

struct Watcher {
    client: Client,
    connection: ConnectHandle,
    state: Arc<State>,
}

impl Watcher {
    async fn run(mut self) {
        // Subscribed once and for all: an error between a probe's answer and the wait below is
        // kept in the channel and seen there.
        let mut errors = self.client.error_rx();
        for serial in 1_u64.. {
            let run_id = loop_until_answer(&mut self, &mut errors).await;
            self.state.link.send_replace(Link { serial, run_id });
            tracing::info!("Redis is up");
            tokio::select! {
                // A lagging receiver has missed errors: trouble as well.
                _ = errors.recv() => {}
                () = self.state.trouble.notified() => {}
            }
            self.state.link.send_modify(|link| link.serial = 0);
            tracing::warn!("Redis is away; it is probed until it answers");
        }
    }

    async fn probe(&self) -> Option<Arc<str>> {
        if !self.client.is_connected() {
            return None;
        }
        let info = self.client.info::<String>(Some(InfoKind::Server));
        let info = timeout(PROBE_TIMEOUT, info).await.ok()?.ok()?;
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        Some(run_id.unwrap_or("-").trim().into())
    }
}

type Errors = tokio::sync::broadcast::Receiver<(FredError, Option<fred::types::config::Server>)>;

async fn loop_until_answer(watcher: &mut Watcher, errors: &mut Errors) -> Arc<str> {
    let mut backoff = Backoff::default();
    loop {
        // Old news: the probe below tells the present.
        *errors = errors.resubscribe();
        if let Some(run_id) = watcher.probe().await {
            return run_id;
        }
        if watcher.connection.is_finished() {
            watcher.connection = watcher.client.connect();
        }
        backoff.wait("Redis does not answer", None).await;
    }
}

/// Growing pauses with jitter, and a warning now and then.
#[derive(Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub async fn wait(&mut self, what: &str, error: Option<&FredError>) {
        if self.attempts.is_multiple_of(WARN_EVERY) {
            let error = error.map(tracing::field::display);
            tracing::warn!(attempts = self.attempts, error, "{what}; trying again");
        }
        let pause = BACKOFF_MIN * 2_u32.pow(self.attempts.min(10));
        self.attempts += 1;
        sleep(pause.min(BACKOFF_MAX).mul_f64(rand::random_range(0.75..1.25))).await;
    }
}

async fn first_connection(builder: &Builder) -> Result<(Client, ConnectHandle), RemoteError> {
    let mut backoff = Backoff::default();
    loop {
        let client = builder.build().map_err(RemoteError::Connect)?;
        let source = match client.init().await {
            Ok(connection) => return Ok((client, connection)),
            Err(error) => error,
        };
        if matches!(source.kind(), ErrorKind::Auth | ErrorKind::Config | ErrorKind::InvalidArgument) {
            let server = builder.get_config().map(server_name).unwrap_or_default();
            return Err(RemoteError::Refused { server, source });
        }
        backoff.wait("Redis cannot be reached", Some(&source)).await;
    }
}
