//! Invalidations that Redis has not confirmed yet.
//!
//! A key is added before its local generation moves on, and leaves when Redis has the
//! tombstone; in between, this process does not read the key from Redis. The set is bounded:
//! when it overflows it is emptied, and a change of the namespace's epoch, which invalidates
//! everything there, stands for all of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::key::CacheKey;

/// The order of invalidations: a confirmation covers its own ticket and all before.
pub(super) type Ticket = u64;

#[derive(Default)]
struct Inner {
    keys: HashMap<CacheKey, Ticket>,
    last: Ticket,
    /// Set while everything in Redis is in doubt.
    overflow: Option<Ticket>,
}

pub(super) struct Pending {
    inner: Mutex<Inner>,
    capacity: usize,
    /// Wakes those who wait in [`confirmed`](Self::confirmed).
    changed: Notify,
}

/// What Redis still has to be told.
#[derive(Debug, PartialEq)]
pub(super) enum Owed {
    Nothing,
    Epoch(Ticket),
    Tombstones(Vec<CacheKey>, Ticket),
}

impl Pending {
    pub fn new(capacity: usize) -> Self {
        Self { inner: Mutex::default(), capacity, changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below leaves the set whole, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, keys: &[CacheKey]) -> Ticket {
        let mut inner = self.lock();
        inner.last += 1;
        let ticket = inner.last;
        inner.keys.extend(keys.iter().map(|key| (key.clone(), ticket)));
        if inner.keys.len() > self.capacity {
            inner.keys.clear();
            inner.overflow = Some(ticket);
        }
        ticket
    }

    /// Puts everything in Redis in doubt, as an overflow does.
    pub fn add_everything(&self) -> Ticket {
        let mut inner = self.lock();
        inner.last += 1;
        inner.keys.clear();
        inner.overflow = Some(inner.last);
        inner.last
    }

    /// Whether what Redis holds under this key may be older than an invalidation made here.
    pub fn doubts(&self, key: &CacheKey) -> bool {
        let inner = self.lock();
        inner.overflow.is_some() || inner.keys.contains_key(key)
    }

    /// The next thing to tell Redis, with at most `limit` keys.
    pub fn owed(&self, limit: usize) -> Owed {
        let inner = self.lock();
        if let Some(ticket) = inner.overflow {
            return Owed::Epoch(ticket);
        }
        if inner.keys.is_empty() {
            return Owed::Nothing;
        }
        Owed::Tombstones(inner.keys.keys().take(limit).cloned().collect(), inner.last)
    }

    /// Redis has tombstones for these keys, sent after `ticket` was given out.
    pub fn confirm(&self, keys: &[CacheKey], ticket: Ticket) {
        let mut inner = self.lock();
        for key in keys {
            if inner.keys.get(key).is_some_and(|added| *added <= ticket) {
                inner.keys.remove(key);
            }
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Redis has a new epoch, sent after `ticket` was given out.
    pub fn confirm_epoch(&self, ticket: Ticket) {
        let mut inner = self.lock();
        if inner.overflow.is_some_and(|added| added <= ticket) {
            inner.overflow = None;
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Waits until Redis has confirmed these keys up to `ticket`.
    pub async fn confirmed(&self, keys: &[CacheKey], ticket: Ticket) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.is_owed(keys, ticket) {
                return;
            }
            changed.await;
        }
    }

    fn is_owed(&self, keys: &[CacheKey], ticket: Ticket) -> bool {
        let inner = self.lock();
        let owed = |added: &Ticket| *added <= ticket;
        inner.overflow.as_ref().is_some_and(owed) || keys.iter().any(|key| inner.keys.get(key).is_some_and(owed))
    }

    pub fn len(&self) -> usize {
        self.lock().keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ids: std::ops::Range<u32>) -> Vec<CacheKey> {
        ids.map(|id| CacheKey::new("post", id)).collect()
    }

    #[test]
    fn a_later_invalidation_survives_an_earlier_confirmation() {
        let pending = Pending::new(10);
        let first = pending.add(&keys(0..2));
        let second = pending.add(&keys(1..2));
        pending.confirm(&keys(0..2), first);
        assert!(!pending.doubts(&CacheKey::new("post", 0)));
        assert!(pending.doubts(&CacheKey::new("post", 1)));
        pending.confirm(&keys(1..2), second);
        assert_eq!(pending.owed(10), Owed::Nothing);
    }

    #[test]
    fn overflow_doubts_everything_until_the_epoch_has_changed() {
        let pending = Pending::new(3);
        let ticket = pending.add(&keys(0..4));
        assert_eq!(pending.len(), 0);
        assert!(pending.doubts(&CacheKey::new("user", 99)));
        assert_eq!(pending.owed(10), Owed::Epoch(ticket));

        // Added while the epoch is on its way: it may have arrived before this change.
        pending.add(&keys(7..8));
        pending.confirm_epoch(ticket);
        assert!(!pending.doubts(&CacheKey::new("user", 99)));
        assert!(pending.doubts(&CacheKey::new("post", 7)));
    }

    #[test]
    fn a_second_overflow_needs_a_second_epoch() {
        let pending = Pending::new(1);
        let first = pending.add(&keys(0..2));
        let second = pending.add(&keys(0..2));
        pending.confirm_epoch(first);
        assert_eq!(pending.owed(10), Owed::Epoch(second));
    }

    #[test]
    fn owed_keys_come_in_portions() {
        let pending = Pending::new(100);
        pending.add(&keys(0..25));
        let Owed::Tombstones(portion, ticket) = pending.owed(10) else {
            panic!("25 keys are owed");
        };
        assert_eq!(portion.len(), 10);
        pending.confirm(&portion, ticket);
        assert_eq!(pending.len(), 15);
    }
}
