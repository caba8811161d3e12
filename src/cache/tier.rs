//! The tier behind the link: reads, fills and tombstones, and the worker that keeps its word.
//!
//! The worker (one task per [`super::Cache`]) is the only writer of tombstones and epochs. It
//! wakes when the link comes up and when an invalidation is added, makes sure that the namespace
//! has an epoch of the server process that answers, and sends what [`Pending`] owes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fred::error::{Error as FredError, ErrorKind};
use fred::types::{FromValue, Value};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::key::CacheKey;
use super::pending::{Owed, Pending, Ticket};
use super::redis::{Backoff, Link, Remote};
use super::wire::{self, Held};

/// Invalidations remembered while Redis is away; more change the epoch instead.
const MAX_PENDING: usize = 10_000;
/// Keys in one command: keeps Redis free for others, and within what Lua can unpack.
const KEYS_PER_COMMAND: usize = 500;
/// Fills under way at once; beyond it a value is not put into Redis this time.
pub(super) const MAX_FILLS: usize = 64;
/// Larger values stay in this process: they would hold up other commands.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// How long after the longest load a fill is still taken.
const FENCE_SLACK: Duration = Duration::from_secs(1);
/// How much longer than that a tombstone stays.
const TOMBSTONE_SLACK: Duration = Duration::from_secs(1);
/// No link has this serial number.
const NEVER: u64 = u64::MAX;

/// Leave to fill, given by a read that found nothing.
#[derive(Clone)]
pub(super) struct Leave {
    serial: u64,
    pub epoch: Arc<str>,
    /// By the clock of Redis, ms.
    pub until_ms: i64,
}

/// What a read found for one key.
pub(super) enum Found {
    /// JSON.
    Value(Vec<u8>, Leave),
    Nothing(Leave),
    /// Lately invalidated: load, and do not fill.
    Tombstone,
}

/// Why a read found nothing out.
pub(super) enum Unread {
    /// Nobody asked: the link is down, or the key's invalidation is still on its way.
    Skipped,
    /// No answer within the command timeout, or an error.
    Failed,
}

pub(super) struct TierSettings {
    pub namespace: String,
    pub ttl: Duration,
    pub command_timeout: Duration,
    pub load_timeout: Duration,
}

pub(super) struct Tier {
    pub remote: Remote,
    settings: TierSettings,
    pub pending: Pending,
    /// The link whose server process the namespace's epoch is known to belong to.
    ready: AtomicU64,
    work: Notify,
    /// [`MAX_FILLS`] permits.
    pub fills: Arc<Semaphore>,
}

impl Tier {
    pub fn new(remote: Remote, settings: TierSettings) -> Arc<Self> {
        Arc::new(Self {
            remote,
            settings,
            pending: Pending::new(MAX_PENDING),
            ready: AtomicU64::new(NEVER),
            work: Notify::new(),
            fills: Arc::new(Semaphore::new(MAX_FILLS)),
        })
    }

    /// Whether a command may be sent: a link that is up, to a server whose epoch is known.
    pub fn usable(&self) -> Option<Link> {
        let link = self.remote.link();
        let ready = self.ready.load(Ordering::SeqCst);
        (link.serial != 0 && link.serial == ready).then_some(link)
    }

    fn key(&self, key: &CacheKey) -> String {
        format!("ink:{}:{key}", self.settings.namespace)
    }

    fn epoch_key(&self) -> String {
        format!("ink:{}:epoch", self.settings.namespace)
    }

    async fn eval<R: FromValue>(&self, script: &str, keys: Vec<String>, args: Vec<Value>) -> Result<R, FredError> {
        self.remote.eval(script, keys, args, self.settings.command_timeout).await
    }

    /// Reads keys that are not pending, all within one command timeout.
    pub async fn read(&self, keys: &[CacheKey]) -> Result<Vec<Found>, Unread> {
        let link = self.usable().ok_or(Unread::Skipped)?;
        let reading = async {
            let mut found = Vec::with_capacity(keys.len());
            for portion in keys.chunks(KEYS_PER_COMMAND) {
                found.extend(self.read_portion(portion, link.serial).await?);
            }
            Ok(found)
        };
        let outcome = timeout(self.settings.command_timeout, reading).await;
        let outcome = outcome.unwrap_or_else(|_| Err(timed_out()));
        let found = outcome.map_err(|error| {
            self.note_failure(link.serial, "read", &error);
            Unread::Failed
        })?;
        // The command may have been sent on a later connection, to a server restarted since.
        if self.remote.link().serial == link.serial { Ok(found) } else { Err(Unread::Failed) }
    }

    async fn read_portion(&self, keys: &[CacheKey], serial: u64) -> Result<Vec<Found>, FredError> {
        let mut names = vec![self.epoch_key()];
        names.extend(keys.iter().map(|key| self.key(key)));
        let answer = self.eval::<Value>(wire::READ, names, Vec::new()).await?;
        let answer = wire::parse_answer(answer, keys.len())
            .ok_or_else(|| FredError::new(ErrorKind::Parse, "unexpected answer to a cache read"))?;
        let Some(epoch) = answer.epoch else {
            // Flushed or evicted: the worker makes a new one.
            self.ready.store(NEVER, Ordering::SeqCst);
            self.work.notify_one();
            return Ok(keys.iter().map(|_| Found::Tombstone).collect());
        };
        let leave = Leave { serial, epoch: epoch.into(), until_ms: answer.clock_ms + millis(self.fence()) };
        let found = answer.held.into_iter().map(|held| match held {
            Held::Value(json) => Found::Value(json, leave.clone()),
            Held::Nothing => Found::Nothing(leave.clone()),
            Held::Tombstone => Found::Tombstone,
        });
        Ok(found.collect())
    }

    /// How long after its read a fill is taken.
    fn fence(&self) -> Duration {
        self.settings.load_timeout + 2 * self.settings.command_timeout + FENCE_SLACK
    }

    /// Puts a loaded value into Redis in the background; the caller does not wait for it.
    pub fn fill(self: &Arc<Self>, key: &CacheKey, json: &[u8], leave: Leave) {
        if json.len() > MAX_VALUE_BYTES {
            return;
        }
        let Ok(permit) = Arc::clone(&self.fills).try_acquire_owned() else {
            return;
        };
        let value = wire::encode(&leave.epoch, json);
        let (tier, key) = (Arc::clone(self), key.clone());
        tokio::spawn(async move {
            if let Err(error) = tier.fill_now(&key, value, &leave).await {
                tier.note_failure(leave.serial, "fill", &error);
            }
            drop(permit);
        });
    }

    /// Whether Redis took the value.
    pub async fn fill_now(&self, key: &CacheKey, value: Vec<u8>, leave: &Leave) -> Result<bool, FredError> {
        let args = vec![
            leave.until_ms.into(),
            Value::from(&*leave.epoch),
            Value::Bytes(value.into()),
            millis(self.settings.ttl).max(1).into(),
        ];
        let keys = vec![self.epoch_key(), self.key(key)];
        self.eval::<i64>(wire::FILL, keys, args).await.map(|taken| taken == 1)
    }

    /// Hands invalidations that are in [`Tier::pending`] to the worker.
    pub fn wake(&self) {
        self.work.notify_one();
    }

    /// Waits for the worker to confirm them, no longer than a command may take.
    ///
    /// Does not wait at all while Redis is away: the keys stay pending.
    pub async fn confirmed(&self, keys: &[CacheKey], ticket: Ticket) {
        if self.remote.is_up() {
            let confirmed = self.pending.confirmed(keys, ticket);
            // In time or not makes no difference here: the worker goes on.
            let _ = timeout(self.settings.command_timeout, confirmed).await;
        }
    }

    fn note_failure(&self, serial: u64, what: &str, error: &FredError) {
        tracing::debug!(what, %error, "cache command failed in Redis");
        // Anything else is an answer, so the link works.
        if matches!(error.kind(), ErrorKind::Timeout | ErrorKind::IO | ErrorKind::Canceled) {
            self.remote.report_trouble(serial);
        }
    }

    /// The worker; runs until its task is aborted.
    pub async fn work(self: Arc<Self>) {
        let mut links = self.remote.subscribe_link();
        let mut backoff = Backoff::default();
        // Fails only when the link's owner is gone, and `self` holds one.
        loop {
            let up = links.wait_for(|link| link.serial != 0).await;
            let Ok(link) = up.map(|link| link.clone()) else {
                return;
            };
            if let Err(error) = self.catch_up(&link).await {
                self.note_failure(link.serial, "catch up", &error);
                backoff.wait("cache invalidations wait for Redis", Some(&error)).await;
                continue;
            }
            backoff = Backoff::default();
            tokio::select! {
                _ = links.changed() => {}
                () = self.work.notified() => {}
            }
        }
    }

    async fn catch_up(&self, link: &Link) -> Result<(), FredError> {
        if self.ready.load(Ordering::SeqCst) != link.serial {
            let args = vec![format!("{}:", link.run_id).into(), wire::new_epoch(&link.run_id).into()];
            let changed = self.eval::<i64>(wire::ENSURE_EPOCH, vec![self.epoch_key()], args).await?;
            if changed == 1 {
                tracing::info!(namespace = self.settings.namespace, "new cache epoch");
            }
            self.ready.store(link.serial, Ordering::SeqCst);
        }
        loop {
            match self.pending.owed(KEYS_PER_COMMAND) {
                Owed::Nothing => return Ok(()),
                Owed::Epoch(ticket) => {
                    // An empty beginning fits no rule but this one: always replace.
                    let args = vec![":".into(), wire::new_epoch(&link.run_id).into()];
                    let keys = vec![self.epoch_key()];
                    self.eval::<i64>(wire::ENSURE_EPOCH, keys, args).await?;
                    self.pending.confirm_epoch(ticket);
                }
                Owed::Tombstones(keys, ticket) => {
                    let ttl = millis(self.fence() + TOMBSTONE_SLACK);
                    let args = vec![wire::TOMBSTONE_VALUE.into(), ttl.into()];
                    let names = keys.iter().map(|key| self.key(key)).collect();
                    self.eval::<i64>(wire::TOMBSTONE, names, args).await?;
                    self.pending.confirm(&keys, ticket);
                }
            }
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn timed_out() -> FredError {
    FredError::new(ErrorKind::Timeout, "Redis did not answer in time")
}
