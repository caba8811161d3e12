//! How many questions are answered at the same time: in all, and for one who asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// When a place may be free again, s: an answer takes some seconds.
const RETRY_SECONDS: u64 = 5;

/// The places there are. Clones share them.
#[derive(Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    all: usize,
    /// How many each account holds; none are not listed, so there are at most as many as places.
    held: Arc<Mutex<HashMap<String, usize>>>,
}

/// A place, until it is dropped.
pub struct Place {
    places: Places,
    account: String,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub fn new(all: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), all, held: Arc::default() }
    }

    /// A place for this account, at once.
    ///
    /// Errors: why there is none, for the one who asked.
    pub fn take(&self, account: &str) -> Result<Place, String> {
        let full = |what: String| format!("{what}: try again in {RETRY_SECONDS} s");
        let permit = self.free.clone().try_acquire_owned();
        let permit = permit.map_err(|_| full(format!("all {} places of the chat are taken", self.all)))?;
        let most = self.most_of_one();
        let mut held = self.lock();
        let of_one = held.entry(account.to_owned()).or_default();
        if *of_one >= most {
            return Err(full(format!("{most} of your questions are being answered")));
        }
        *of_one += 1;
        drop(held);
        Ok(Place { places: self.clone(), account: account.to_owned(), _permit: permit })
    }

    /// Half of all, so that nobody keeps others out alone.
    fn most_of_one(&self) -> usize {
        self.all.div_ceil(2)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // The counts are whole after every statement, so a panic elsewhere does not spoil them.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        if let Some(of_one) = held.get_mut(&self.account) {
            *of_one -= 1;
            if *of_one == 0 {
                held.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_leaves_room_for_others() {
        let places = Places::new(3);
        let mine = [places.take("a").expect("one"), places.take("a").expect("two")];
        assert!(places.take("a").is_err_and(|why| why.contains("2 of your questions")), "half, rounded up");
        let other = places.take("b").expect("there is a third");
        assert!(places.take("c").is_err_and(|why| why.contains("all 3 places")));
        drop((mine, other));
        assert!(places.lock().is_empty(), "nothing is remembered of who has none");
        places.take("a").expect("a place is free again");
    }
}
