//! The tier in this process: moka, bounded by bytes, with generations instead of removals.
//!
//! Every key belongs to one of [`STRIPES`] generation counters. An entry carries the generation
//! its load began under and is served only while the counter still stands there. So one atomic
//! increment invalidates at once and for good: there is no gap between "check" and "insert" in
//! which a load that began earlier could slip its old value in. The price is that an
//! invalidation also drops the few other keys of its stripe from this tier.

use std::any::Any;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use moka::Expiry;
use moka::sync::Cache as Moka;

use super::key::CacheKey;

/// Number of generation counters (64 KiB in all). A power of two.
const STRIPES: usize = 8192;

/// What an entry costs besides its serialized value, in bytes: key, links, timers, counters, each a piece of memory
/// of its own. With 160 a site whose posts were all read held half as much again as its bound.
const ENTRY_OVERHEAD_BYTES: usize = 512;

/// How long "there is no such thing" is remembered, at most.
const ABSENT_TTL: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Entry {
    generation: u64,
    /// `None` remembers an absence.
    value: Option<Arc<dyn Any + Send + Sync>>,
    bytes: u32,
}

struct Ttl {
    present: Duration,
    absent: Duration,
}

impl Ttl {
    fn of(&self, entry: &Entry) -> Option<Duration> {
        Some(match entry.value {
            Some(_) => self.present,
            None => self.absent,
        })
    }
}

impl Expiry<CacheKey, Entry> for Ttl {
    fn expire_after_create(&self, _: &CacheKey, entry: &Entry, _: Instant) -> Option<Duration> {
        self.of(entry)
    }

    fn expire_after_update(&self, _: &CacheKey, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        self.of(entry)
    }
}

/// The generation a load began under; a value is stored with the one it was given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Generation(u64);

pub(super) struct Local {
    entries: Moka<CacheKey, Entry, RandomState>,
    generations: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Local {
    /// A tier that holds at most about `capacity_bytes` of serialized values and keys.
    pub fn new(capacity_bytes: u64, ttl: Duration) -> Self {
        let entries = Moka::builder()
            .max_capacity(capacity_bytes)
            .weigher(|_: &CacheKey, entry: &Entry| entry.bytes)
            .expire_after(Ttl { present: ttl, absent: ttl.min(ABSENT_TTL) })
            .build_with_hasher(RandomState::default());
        Self { entries, generations: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::default() }
    }

    fn counter(&self, key: &CacheKey) -> &AtomicU64 {
        let hash = self.hasher.hash_one(key);
        &self.generations[(hash as usize) & (STRIPES - 1)]
    }

    /// The key's generation now. Take it before reading anything that may grow old.
    pub fn generation(&self, key: &CacheKey) -> Generation {
        Generation(self.counter(key).load(Ordering::SeqCst))
    }

    /// The value (`Some(Some)`), a remembered absence (`Some(None)`) or nothing (`None`).
    pub fn get<T: Send + Sync + 'static>(&self, key: &CacheKey) -> Option<Option<Arc<T>>> {
        let entry = self.entries.get(key)?;
        if self.generation(key) != Generation(entry.generation) {
            return None;
        }
        match entry.value {
            None => Some(None),
            // Another type under this key: a miss, whose load then replaces it.
            Some(value) => value.downcast::<T>().ok().map(Some),
        }
    }

    /// Keeps a value that was read under `generation`; `bytes` is its serialized size.
    pub fn insert<T: Send + Sync + 'static>(
        &self,
        key: &CacheKey,
        generation: Generation,
        value: Option<Arc<T>>,
        bytes: usize,
    ) {
        // Only an economy: an entry of an old generation is never served anyway.
        if self.generation(key) != generation {
            return;
        }
        let bytes = bytes + key.id().len() + ENTRY_OVERHEAD_BYTES;
        let entry = Entry {
            generation: generation.0,
            value: value.map(|value| value as Arc<dyn Any + Send + Sync>),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        };
        self.entries.insert(key.clone(), entry);
    }

    /// From the return of this call on, no value read before it is served.
    pub fn invalidate(&self, keys: &[CacheKey]) {
        for key in keys {
            self.counter(key).fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Gives the memory of invalidated entries back early. Correctness does not need it.
    pub fn release(&self, keys: &[CacheKey]) {
        for key in keys {
            self.entries.invalidate(key);
        }
    }

    /// Invalidates everything.
    pub fn clear(&self) {
        for counter in &self.generations {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        self.entries.invalidate_all();
    }

    /// Entries and bytes held, as of moka's last housekeeping.
    pub fn size(&self) -> (u64, u64) {
        (self.entries.entry_count(), self.entries.weighted_size())
    }

    /// Brings [`size`](Self::size) up to date and evicts what is over the bound.
    #[cfg(test)]
    pub fn settle(&self) {
        self.entries.run_pending_tasks();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier() -> Local {
        Local::new(1 << 20, Duration::from_secs(60))
    }

    #[test]
    fn a_value_read_before_an_invalidation_is_never_served() {
        let local = tier();
        let key = CacheKey::new("post", 1);
        let before = local.generation(&key);
        local.invalidate(std::slice::from_ref(&key));
        local.insert(&key, before, Some(Arc::new(1_u32)), 1);
        assert!(local.get::<u32>(&key).is_none());

        let now = local.generation(&key);
        local.insert(&key, now, Some(Arc::new(2_u32)), 1);
        assert_eq!(local.get::<u32>(&key), Some(Some(Arc::new(2))));
    }

    #[test]
    fn absence_is_remembered_and_another_type_is_a_miss() {
        let local = tier();
        let key = CacheKey::new("post", 1);
        let generation = local.generation(&key);
        local.insert::<u32>(&key, generation, None, 0);
        assert_eq!(local.get::<u32>(&key), Some(None));
        local.insert(&key, generation, Some(Arc::new(2_u32)), 4);
        assert_eq!(local.get::<u64>(&key), None);
        local.clear();
        assert_eq!(local.get::<u32>(&key), None);
    }

    #[test]
    fn bytes_bound_the_tier() {
        let local = Local::new(10_000, Duration::from_secs(60));
        for id in 0..100 {
            let key = CacheKey::new("post", id);
            let generation = local.generation(&key);
            local.insert(&key, generation, Some(Arc::new(id)), 1_000);
        }
        local.settle();
        let (entries, bytes) = local.size();
        assert!(bytes <= 10_000, "{bytes} bytes held, at most 10,000 allowed");
        assert!((1..=6).contains(&entries), "{entries} entries of 1,512 bytes or more");
    }
}
