//! How many questions are answered at the same time: in all, and for one who asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::services::allowance::Account;

/// One place of so many is kept for the owner and editors.
const STAFF: usize = 4;
/// When a place may be free again, s: an answer takes some seconds.
const RETRY_SECONDS: u64 = 5;

/// The places there are. Clones share them.
#[derive(Clone)]
pub struct Places {
    all: usize,
    /// How many each person holds; none are not listed, so there are at most as many as places.
    held: Arc<Mutex<HashMap<String, usize>>>,
}

/// A place, until it is dropped.
pub struct Place {
    places: Places,
    person: String,
}

impl Places {
    pub fn new(all: usize) -> Self {
        Self { all, held: Arc::default() }
    }

    /// A place for this account, at once.
    ///
    /// Errors: why there is none, for the one who asked.
    pub fn take(&self, account: &Account) -> Result<Place, String> {
        self.take_for(account.person(), account.is_staff())
    }

    fn take_for(&self, person: &str, is_staff: bool) -> Result<Place, String> {
        let full = |what: String| format!("{what}: try again in {RETRY_SECONDS} s");
        let all_taken = || Err(full(format!("all {} places of the chat are taken", self.all)));
        let most = self.most_of_one();
        let mut held = self.lock();
        let taken: usize = held.values().sum();
        if taken >= self.all {
            return all_taken();
        }
        if held.get(person).copied().unwrap_or(0) >= most {
            return Err(full(format!("{most} of your questions are being answered")));
        }
        if !is_staff && taken >= self.all - self.all / STAFF {
            return all_taken();
        }
        *held.entry(person.to_owned()).or_default() += 1;
        Ok(Place { places: self.clone(), person: person.to_owned() })
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
        if let Some(of_one) = held.get_mut(&self.person) {
            *of_one -= 1;
            if *of_one == 0 {
                held.remove(&self.person);
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
        let mine = [places.take_for("a", false).expect("one"), places.take_for("a", false).expect("two")];
        let refused = places.take_for("a", false);
        assert!(refused.is_err_and(|why| why.contains("2 of your questions")), "half, rounded up");
        let other = places.take_for("b", false).expect("there is a third");
        assert!(places.take_for("c", false).is_err_and(|why| why.contains("all 3 places")));
        drop((mine, other));
        assert!(places.lock().is_empty(), "nothing is remembered of who has none");
        places.take_for("a", false).expect("a place is free again");
    }

    #[test]
    fn readers_leave_room_for_the_owner() {
        let places = Places::new(8);
        let take = |person: &str, is_staff| places.take_for(person, is_staff);
        let held: Vec<_> = ["a", "a", "a", "b", "b", "c"].iter().map(|it| take(it, false).expect("a place")).collect();
        assert!(take("d", false).is_err_and(|why| why.contains("all 8 places")));
        let own = (take("owner", true).expect("a place"), take("editor", true).expect("a place"));
        assert!(take("owner", true).is_err(), "there are no more");
        drop((held, own));
    }
}
