//! A request's way through the tiers: this process, Redis, the loader, and back.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::claims::Claimed;
use super::key::CacheKey;
use super::local::Generation;
use super::stats;
use super::tier::{Found, Leave, Unread};
use super::{CacheLoadTimeout, Inner};

/// What a batch still misses after this process was asked, and what was found.
type Looked<K, T> = (HashMap<K, Arc<T>>, HashMap<K, (CacheKey, Generation)>);

/// One key on its way through the tiers.
struct Trip<'a> {
    key: &'a CacheKey,
    generation: Generation,
    leave: Option<Leave>,
}

impl Inner {
    pub(super) fn look<T: Send + Sync + 'static>(&self, key: &CacheKey) -> Option<Option<Arc<T>>> {
        let held = self.local.get(key);
        let result = match &held {
            Some(Some(_)) => stats::Local::Hit,
            Some(None) => stats::Local::Absent,
            None => stats::Local::Miss,
        };
        self.counters.local(key.kind(), result);
        held
    }

    pub(super) async fn load_through<T, E, F>(
        &self,
        key: &CacheKey,
        generation: Generation,
        load: F,
    ) -> Result<Option<Arc<T>>, E>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: From<CacheLoadTimeout>,
        F: Future<Output = Result<Option<T>, E>>,
    {
        // A flight may have ended between this caller's look and its start.
        if let Some(held) = self.local.get(key) {
            return Ok(held);
        }
        let keys = [(key.clone(), generation)];
        match self.fetch(&keys).await.pop() {
            Some((Some(value), _)) => Ok(Some(value)),
            Some((None, trip)) => {
                let value = self.timed(key.kind(), load).await?;
                Ok(self.keep(trip, value))
            }
            // `fetch` answers for every key; a load without a fill would be right as well.
            None => Ok(self.timed(key.kind(), load).await?.map(Arc::new)),
        }
    }

    pub(super) async fn through_many<K, T, E, F, Fut>(
        &self,
        kind: &'static str,
        ids: &[K],
        mut load: F,
    ) -> Result<HashMap<K, Arc<T>>, E>
    where
        K: Display + Clone + Eq + Hash,
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: From<CacheLoadTimeout>,
        F: FnMut(Vec<K>) -> Fut,
        Fut: Future<Output = Result<HashMap<K, T>, E>>,
    {
        let (mut found, mut missing) = self.look_many(kind, ids);
        let mut may_wait = true;
        while !missing.is_empty() {
            let (mut mine, mut claims, mut theirs) = (HashMap::new(), Vec::new(), Vec::new());
            for (id, (key, generation)) in missing {
                match self.claims.claim(&key, generation) {
                    Claimed::Theirs(ended) if may_wait => theirs.push((id, ended)),
                    Claimed::Theirs(_) => drop(mine.insert(id, (key, generation))),
                    Claimed::Mine(claim) => {
                        claims.push(claim);
                        mine.insert(id, (key, generation));
                    }
                }
            }
            if !mine.is_empty() {
                found.extend(self.load_many(kind, mine, &mut load).await?);
            }
            drop(claims);
            if theirs.is_empty() {
                break;
            }
            let (ids, ended): (Vec<K>, Vec<_>) = theirs.into_iter().unzip();
            // Others load within the same limit. Whose load failed leaves the key to everybody:
            // the second time nobody waits.
            let all = join_all(ended.iter().map(|ended| ended.cancelled()));
            drop(timeout(self.load_timeout, all).await);
            let (now_found, still_missing) = self.look_many(kind, &ids);
            found.extend(now_found);
            missing = still_missing;
            may_wait = false;
        }
        Ok(found)
    }

    /// One read of Redis, and one load of what is not there.
    async fn load_many<K, T, E, F, Fut>(
        &self,
        kind: &'static str,
        missing: HashMap<K, (CacheKey, Generation)>,
        load: &mut F,
    ) -> Result<HashMap<K, Arc<T>>, E>
    where
        K: Clone + Eq + Hash,
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
        E: From<CacheLoadTimeout>,
        F: FnMut(Vec<K>) -> Fut,
        Fut: Future<Output = Result<HashMap<K, T>, E>>,
    {
        let mut found = HashMap::with_capacity(missing.len());
        let (ids, keys): (Vec<K>, Vec<_>) = missing.into_iter().unzip();
        let mut wanted = Vec::new();
        let mut trips = Vec::new();
        for (id, (value, trip)) in ids.into_iter().zip(self.fetch(&keys).await) {
            match value {
                Some(value) => drop(found.insert(id, value)),
                None => {
                    wanted.push(id);
                    trips.push(trip);
                }
            }
        }
        if wanted.is_empty() {
            return Ok(found);
        }
        let mut loaded = self.timed(kind, load(wanted.clone())).await?;
        for (id, trip) in wanted.into_iter().zip(trips) {
            if let Some(value) = self.keep(trip, loaded.remove(&id)) {
                found.insert(id, value);
            }
        }
        Ok(found)
    }

    fn look_many<K, T>(&self, kind: &'static str, ids: &[K]) -> Looked<K, T>
    where
        K: Display + Clone + Eq + Hash,
        T: Send + Sync + 'static,
    {
        let mut found = HashMap::with_capacity(ids.len());
        let mut missing = HashMap::new();
        for id in ids {
            if found.contains_key(id) || missing.contains_key(id) {
                continue;
            }
            let key = CacheKey::new(kind, id);
            let generation = self.local.generation(&key);
            match self.look(&key) {
                Some(Some(value)) => drop(found.insert(id.clone(), value)),
                Some(None) => {}
                None => drop(missing.insert(id.clone(), (key, generation))),
            }
        }
        (found, missing)
    }

    /// Asks Redis; one answer per key, in order.
    async fn fetch<'a, T>(&self, keys: &'a [(CacheKey, Generation)]) -> Vec<(Option<Arc<T>>, Trip<'a>)>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let blank = |(key, generation): &'a (CacheKey, Generation)| {
            let trip = Trip { key, generation: *generation, leave: None };
            (None, trip)
        };
        let mut trips: Vec<(Option<Arc<T>>, Trip<'a>)> = keys.iter().map(blank).collect();
        let Some(tier) = &self.tier else {
            return trips;
        };
        // Only after the generation was taken may a key be found free of doubt.
        let (asked, doubted): (Vec<_>, Vec<_>) = trips.iter_mut().partition(|(_, trip)| !tier.pending.doubts(trip.key));
        for (_, trip) in doubted {
            self.counters.shared(trip.key.kind(), stats::Shared::Skipped);
        }
        if asked.is_empty() {
            return trips;
        }
        let names: Vec<CacheKey> = asked.iter().map(|(_, trip)| trip.key.clone()).collect();
        match tier.read(&names).await {
            Ok(found) => {
                for ((value, trip), found) in asked.into_iter().zip(found) {
                    *value = self.accept(trip, found);
                }
            }
            Err(unread) => {
                let result = match unread {
                    Unread::Skipped => stats::Shared::Skipped,
                    Unread::Failed => stats::Shared::Failed,
                };
                names.iter().for_each(|key| self.counters.shared(key.kind(), result));
            }
        }
        trips
    }

    /// Takes over what Redis held under one key.
    fn accept<T>(&self, trip: &mut Trip<'_>, found: Found) -> Option<Arc<T>>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let (result, value) = match found {
            Found::Tombstone => (stats::Shared::Tombstone, None),
            Found::Nothing(leave) => {
                trip.leave = Some(leave);
                (stats::Shared::Miss, None)
            }
            Found::Value(json, leave) => match serde_json::from_slice::<T>(&json) {
                Ok(value) => {
                    let value = Arc::new(value);
                    let copy = Some(Arc::clone(&value));
                    self.local.insert(trip.key, trip.generation, copy, json.len());
                    (stats::Shared::Hit, Some(value))
                }
                Err(error) => {
                    tracing::debug!(key = %trip.key, %error, "unreadable value in Redis");
                    trip.leave = Some(leave);
                    (stats::Shared::Corrupt, None)
                }
            },
        };
        self.counters.shared(trip.key.kind(), result);
        value
    }

    /// Puts a loaded value into both tiers.
    fn keep<T>(&self, trip: Trip<'_>, value: Option<T>) -> Option<Arc<T>>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let value = value.map(Arc::new);
        let json = match value.as_deref().map(serde_json::to_vec).transpose() {
            Ok(json) => json,
            Err(error) => {
                tracing::warn!(key = %trip.key, %error, "a value that JSON cannot hold is not cached");
                return value;
            }
        };
        let bytes = json.as_ref().map_or(0, Vec::len);
        self.local.insert(trip.key, trip.generation, value.clone(), bytes);
        if let (Some(tier), Some(leave), Some(json)) = (&self.tier, trip.leave, json) {
            tier.fill(trip.key, &json, leave);
        }
        value
    }

    /// Runs a loader within the load timeout.
    async fn timed<O, E, F>(&self, kind: &'static str, load: F) -> Result<O, E>
    where
        E: From<CacheLoadTimeout>,
        F: Future<Output = Result<O, E>>,
    {
        self.counters.load_begins();
        let begin = Instant::now();
        let outcome = timeout(self.load_timeout, load).await;
        let outcome = outcome.unwrap_or_else(|_| Err(self.too_slow(kind).into()));
        self.counters.load_ended(kind, begin.elapsed(), outcome.is_ok());
        outcome
    }

    pub(super) fn too_slow(&self, kind: &'static str) -> CacheLoadTimeout {
        let limit_ms = u64::try_from(self.load_timeout.as_millis()).unwrap_or(u64::MAX);
        CacheLoadTimeout { kind, limit_ms }
    }
}
