//! Single flight for batches: of all batches that miss a key at one generation, one loads it.
//!
//! A batch claims the keys that it will load. Others wait until the claim ends and look into the
//! cache again: they need not know what was loaded, so batches of any shape can share. A batch
//! loads its own keys before it waits for those of others, so that no two wait for each other. A
//! claim ends when it is dropped, also by an error or because its caller left.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::key::CacheKey;
use super::local::Generation;

/// A key at a generation: a caller that comes after an invalidation waits for no load that began
/// before it.
type Place = (CacheKey, Generation);

#[derive(Default)]
pub(super) struct Claims(Mutex<HashMap<Place, CancellationToken>>);

/// Who loads a key.
pub(super) enum Claimed<'a> {
    /// The caller, as long as it holds this.
    Mine(Claim<'a>),
    /// Somebody else, until this is cancelled.
    Theirs(CancellationToken),
}

pub(super) struct Claim<'a> {
    claims: &'a Claims,
    place: Place,
}

impl Claims {
    pub fn claim(&self, key: &CacheKey, generation: Generation) -> Claimed<'_> {
        let place = (key.clone(), generation);
        match self.lock().entry(place.clone()) {
            Entry::Occupied(held) => Claimed::Theirs(held.get().clone()),
            Entry::Vacant(free) => {
                free.insert(CancellationToken::new());
                Claimed::Mine(Claim { claims: self, place })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, CancellationToken>> {
        // Every change leaves the map whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let ended = self.claims.lock().remove(&self.place);
        if let Some(ended) = ended {
            ended.cancel();
        }
    }
}
