//! The cache: moka in this process, Redis behind it. Failure means miss, never an error.
//!
//! May be imported by `services`, `graphql`, `jobs`, `http` and `app`; imports no other room.
//! `events` uses [`Remote`] for its own connections. To cache one more kind of thing: choose a
//! kind name and its id, call [`Cache::get_or_load`] (or [`Cache::get_or_load_many`] in a batch
//! function), and add the key to what the event tailer invalidates for the events that change it.
//!
//! # Staleness
//! What a reader may see, and why. "Old" means read before an invalidation of its key.
//!
//! 1. **This process.** [`Cache::invalidate`] moves the key's generation on. Entries and loads
//!    carry the generation they began under, so an old value is neither served nor shared with
//!    later callers, whenever its load ends (`local`, `flight`). This takes effect before the
//!    call first waits: read-your-writes on this server, whatever Redis does.
//! 2. **Redis.** An invalidation replaces the value by a tombstone that lives longer than any
//!    fill that began before it: a fill is refused by the server itself, on the server's clock,
//!    once `load_timeout` and a second have passed since its read. So even a fill that lay in a
//!    socket while the server hung cannot outlive the tombstone. A read that sees a tombstone
//!    loads and does not fill.
//! 3. **Redis away.** A key is *pending* from before its generation moves until Redis has
//!    confirmed the tombstone; this process does not read pending keys from Redis. At most
//!    10,000 keys are kept; beyond that everything counts as pending until the namespace has a new
//!    *epoch*. Each value in Redis carries its epoch, and another epoch is a miss, for every
//!    server at once and in the same round trip.
//! 4. **Redis restarted** from a snapshot, or a replica promoted: it may hold values from before
//!    an invalidation. The epoch names the server process (`run_id`); another process means a
//!    new epoch, made before the link is used. A restart so costs a cold cache, never a stale one.
//! 5. **Other servers** hear of a change through the event log. The tailer calls
//!    [`Cache::invalidate_in_background`]: it drops the key here and also writes the tombstone,
//!    in case the server that made the change could not (it crashed between commit and
//!    invalidation, or only it had lost Redis). [`Cache::invalidate_local`] leaves Redis alone
//!    and trusts the other server with that.
//!
//! The bound: on the server that made a change none; on others the lag of their tailer. A server
//! whose tailer is stuck serves an old value for at most `local_ttl` once Redis has the
//! tombstone. If *every* server stops while Redis is away and owes it tombstones, those are
//! forgotten, and the bound is `remote_ttl`, unless `app` calls [`Cache::clear`] at start (at
//! the price of a cold cache).
//!
//! # Waiting
//! A read or an invalidation waits for Redis at most `command_timeout`. The first command that
//! does not come back closes the circuit for everybody; a background probe opens it again at once
//! if that was a hiccup, else with back-off (`redis`). So a request of many sequential reads pays
//! one timeout, not one each. Fills are not waited for.
//!
//! A caller that waits for somebody else's load does not fail when that one is cancelled: it
//! loads itself. A loader must not ask for its own key: it would wait for itself, until
//! `load_timeout`.

mod claims;
mod connection;
mod flight;
mod key;
mod limiter;
mod local;
mod pending;
mod redis;
mod stats;
#[cfg(test)]
mod tests;
mod through;
mod tier;
mod wire;

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use claims::Claims;
use flight::Flights;
pub use key::CacheKey;
pub use limiter::{Limiter, Quota, Taken};
use local::Local;
pub use redis::{Remote, RemoteError};
pub use stats::CacheStats;
use stats::Counters;
use tier::{Tier, TierSettings};

/// How the cache is sized and how long it waits.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Bytes of serialized values (and their keys) held in this process.
    pub local_capacity_bytes: u64,
    /// Longest life of a value in this process; of an absence, at most 5 s of it.
    pub local_ttl: Duration,
    /// Life of a value in Redis.
    pub remote_ttl: Duration,
    /// Longest wait for Redis per call. 50 ms is a good value.
    pub command_timeout: Duration,
    /// Longest load. 5 s is a good value.
    pub load_timeout: Duration,
    /// Sets sites that share one Redis apart; without a colon.
    pub namespace: String,
}

/// A load took longer than `load_timeout`; loaders' errors are made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("loading a value of kind {kind:?} for the cache took longer than {limit_ms} ms: look at the database")]
pub struct CacheLoadTimeout {
    /// The key's kind.
    pub kind: &'static str,
    /// The limit, ms.
    pub limit_ms: u64,
}

/// The two-tier cache. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    local: Local,
    flights: Flights,
    claims: Claims,
    tier: Option<Arc<Tier>>,
    worker: Option<JoinHandle<()>>,
    counters: Counters,
    load_timeout: Duration,
    /// Bounds the wait for somebody else's load, should that one not be polled any more.
    patience: Duration,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.abort();
        }
    }
}

impl Cache {
    /// An empty cache, in this process only or with Redis behind it. Call within the runtime.
    pub fn new(settings: CacheSettings, remote: Option<Remote>) -> Cache {
        let tier_settings = TierSettings {
            namespace: settings.namespace.clone(),
            ttl: settings.remote_ttl,
            command_timeout: settings.command_timeout,
            load_timeout: settings.load_timeout,
        };
        let tier = remote.map(|remote| Tier::new(remote, tier_settings));
        let worker = tier.clone().map(|tier| tokio::spawn(tier.work()));
        Cache {
            inner: Arc::new(Inner {
                local: Local::new(settings.local_capacity_bytes, settings.local_ttl),
                flights: Flights::default(),
                claims: Claims::default(),
                tier,
                worker,
                counters: Counters::default(),
                load_timeout: settings.load_timeout,
                patience: settings.load_timeout + 2 * settings.command_timeout,
            }),
        }
    }

    /// The value under this key: from this process, from Redis, or from `load`.
    ///
    /// Of concurrent misses one loads and all get its outcome, an error included. An error is
    /// not cached. An absence (`None`) is, in this process, for 5 s at most.
    /// Errors: the loader's, or one made from [`CacheLoadTimeout`].
    pub async fn get_or_load<T, E, F>(&self, key: &CacheKey, load: F) -> Result<Option<Arc<T>>, E>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: From<CacheLoadTimeout> + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Option<T>, E>> + Send,
    {
        let inner = &*self.inner;
        let generation = inner.local.generation(key);
        if let Some(held) = inner.look(key) {
            return Ok(held);
        }
        // Whoever awaits this carries room for it, also where it was held: it is on the heap.
        let work = Box::pin(inner.load_through(key, generation, load));
        let outcome = Box::pin(timeout(inner.patience, inner.flights.run(key, generation, work))).await;
        outcome.unwrap_or_else(|_| Err(inner.too_slow(key.kind()).into()))
    }

    /// What this process holds under this key, at once; `None` where [`get_or_load`](Self::get_or_load)
    /// would have to ask elsewhere.
    pub fn held<T: Send + Sync + 'static>(&self, key: &CacheKey) -> Option<Arc<T>> {
        let held = self.inner.local.get(key).flatten()?;
        self.inner.counters.local(key.kind(), stats::Local::Hit);
        Some(held)
    }

    /// The values under many ids of one kind; absent ones are left out.
    ///
    /// One read of Redis for all that this process does not hold, then one `load` of what is
    /// still missing. Of concurrent batches that miss the same key, one loads it; the others load
    /// it themselves only if that fails. Errors: as [`get_or_load`](Self::get_or_load).
    pub async fn get_or_load_many<K, T, E, F, Fut>(
        &self,
        kind: &'static str,
        ids: &[K],
        load: F,
    ) -> Result<HashMap<K, Arc<T>>, E>
    where
        K: Display + Clone + Eq + Hash,
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: From<CacheLoadTimeout>,
        F: FnMut(Vec<K>) -> Fut,
        Fut: Future<Output = Result<HashMap<K, T>, E>>,
    {
        Box::pin(self.inner.through_many(kind, ids, load)).await
    }

    /// Drops these keys in both tiers. Call it after the change is committed.
    ///
    /// In this process they are gone when the call first waits; then it waits for Redis for at
    /// most `command_timeout`. What Redis has not confirmed is sent again in the background, also
    /// when this future is dropped.
    pub async fn invalidate(&self, keys: &[CacheKey]) {
        let ticket = self.forget(keys);
        self.inner.local.release(keys);
        if let (Some(tier), Some(ticket)) = (&self.inner.tier, ticket) {
            tier.confirmed(keys, ticket).await;
        }
    }

    /// Drops these keys here at once, and in Redis in the background. For the event tailer.
    pub fn invalidate_in_background(&self, keys: &[CacheKey]) {
        self.forget(keys);
    }

    /// Drops these keys here at once and leaves Redis alone (see the module on who may do that).
    pub fn invalidate_local(&self, keys: &[CacheKey]) {
        self.inner.local.invalidate(keys);
    }

    /// Drops everything of this namespace, here and (by a new epoch) in Redis for all servers.
    ///
    /// Other servers keep what they hold in process for up to `local_ttl`. Waits like
    /// [`invalidate`](Self::invalidate).
    pub async fn clear(&self) {
        let ticket = self.inner.tier.as_ref().map(|tier| tier.pending.add_everything());
        self.inner.local.clear();
        if let (Some(tier), Some(ticket)) = (&self.inner.tier, ticket) {
            tier.wake();
            tier.confirmed(&[], ticket).await;
        }
    }

    /// What the cache has done and holds.
    pub fn stats(&self) -> CacheStats {
        let (local_entries, local_bytes) = self.inner.local.size();
        let tier = self.inner.tier.as_ref();
        CacheStats {
            local_entries,
            local_bytes,
            pending_invalidations: tier.map_or(0, |tier| tier.pending.len() as u64),
            remote_up: tier.is_some_and(|tier| tier.usable().is_some()),
            ..self.inner.counters.snapshot()
        }
    }

    fn forget(&self, keys: &[CacheKey]) -> Option<pending::Ticket> {
        // Pending first: whoever sees the new generation must already see the doubt.
        let tier = self.inner.tier.as_ref();
        let ticket = tier.map(|tier| tier.pending.add(keys));
        self.inner.local.invalidate(keys);
        if let Some(tier) = tier {
            tier.wake();
        }
        ticket
    }
}
