//! Counting: Prometheus metrics, and the same numbers for the owner's status page.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::RandomState;

/// What the cache has done since the process started, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Requests answered in this process, remembered absences included.
    pub local_hits: u64,
    /// Requests that were not.
    pub local_misses: u64,
    /// Local misses that Redis answered.
    pub remote_hits: u64,
    /// Local misses for which Redis was asked, and held nothing of use.
    pub remote_misses: u64,
    /// Local misses for which Redis was asked, and did not answer.
    pub remote_failures: u64,
    /// Local misses for which Redis was not asked: away, or an invalidation on its way.
    pub remote_skipped: u64,
    /// Loads begun; a batch counts once.
    pub loads: u64,
    /// Loads that failed or took too long.
    pub load_failures: u64,
    /// Entries in this process.
    pub local_entries: u64,
    /// Their size, bytes.
    pub local_bytes: u64,
    /// Invalidations that Redis does not know of yet.
    pub pending_invalidations: u64,
    /// Whether Redis is in use now.
    pub remote_up: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Local {
    Hit,
    Absent,
    Miss,
}

#[derive(Clone, Copy)]
pub(super) enum Shared {
    Hit,
    Miss,
    Tombstone,
    Corrupt,
    Failed,
    Skipped,
}

#[derive(Default)]
pub(super) struct Counters {
    local_hits: AtomicU64,
    local_misses: AtomicU64,
    remote_hits: AtomicU64,
    remote_misses: AtomicU64,
    remote_failures: AtomicU64,
    remote_skipped: AtomicU64,
    loads: AtomicU64,
    load_failures: AtomicU64,
    /// By tier, kind and result. Finding a counter by its labels takes longer than finding a value.
    requests: RwLock<HashMap<[&'static str; 3], metrics::Counter, RandomState>>,
}

impl Counters {
    fn request(&self, tier: &'static str, kind: &'static str, result: &'static str) {
        let labels = [tier, kind, result];
        if let Some(counter) = self.requests.read().unwrap_or_else(PoisonError::into_inner).get(&labels) {
            return counter.increment(1);
        }
        let counter =
            metrics::counter!("inkstone_cache_requests_total", "tier" => tier, "kind" => kind, "result" => result);
        counter.increment(1);
        self.requests.write().unwrap_or_else(PoisonError::into_inner).insert(labels, counter);
    }

    pub fn local(&self, kind: &'static str, result: Local) {
        let (counter, label) = match result {
            Local::Hit => (&self.local_hits, "hit"),
            Local::Absent => (&self.local_hits, "absent"),
            Local::Miss => (&self.local_misses, "miss"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.request("local", kind, label);
    }

    pub fn shared(&self, kind: &'static str, result: Shared) {
        let (counter, label) = match result {
            Shared::Hit => (&self.remote_hits, "hit"),
            Shared::Miss => (&self.remote_misses, "miss"),
            Shared::Tombstone => (&self.remote_misses, "tombstone"),
            Shared::Corrupt => (&self.remote_misses, "corrupt"),
            Shared::Failed => (&self.remote_failures, "failed"),
            Shared::Skipped => (&self.remote_skipped, "skipped"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.request("redis", kind, label);
    }

    pub fn load_begins(&self) {
        self.loads.fetch_add(1, Ordering::Relaxed);
    }

    pub fn load_ended(&self, kind: &'static str, took: Duration, ok: bool) {
        if !ok {
            self.load_failures.fetch_add(1, Ordering::Relaxed);
        }
        let result = if ok { "ok" } else { "error" };
        metrics::histogram!("inkstone_cache_load_seconds", "kind" => kind, "result" => result)
            .record(took.as_secs_f64());
    }

    /// The counts; what is held now is for the caller to add.
    pub fn snapshot(&self) -> CacheStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            local_hits: read(&self.local_hits),
            local_misses: read(&self.local_misses),
            remote_hits: read(&self.remote_hits),
            remote_misses: read(&self.remote_misses),
            remote_failures: read(&self.remote_failures),
            remote_skipped: read(&self.remote_skipped),
            loads: read(&self.loads),
            load_failures: read(&self.load_failures),
            ..CacheStats::default()
        }
    }
}
