//! Who may subscribe at the same time: so many in all, and so many from one address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::layers::ClientAddress;
use crate::error::{ApiError, Code};
use crate::services::allowance;

/// The places of those who subscribe.
pub struct Places {
    all: Arc<Semaphore>,
    /// How many each network has.
    taken: Arc<Mutex<HashMap<String, usize>>>,
    most_each: usize,
}

/// A place, for as long as it is held.
pub struct Place {
    _of_all: OwnedSemaphorePermit,
    network: String,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

impl Places {
    pub fn new(all: usize, most_each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), taken: Arc::default(), most_each }
    }

    /// Errors: `OVERLOADED` when all are taken, `RATE_LIMITED` when the address has its share.
    pub fn take(&self, address: ClientAddress) -> Result<Place, ApiError> {
        let network = allowance::network(address.0);
        let of_all = self.all.clone().try_acquire_owned();
        let of_all = of_all
            .map_err(|_| ApiError::new(Code::Overloaded, "too many subscribers at the moment: try again later"))?;
        let mut taken = lock(&self.taken);
        let own = taken.entry(network.clone()).or_default();
        if *own >= self.most_each {
            let message = format!(
                "your address subscribes {own} times already, and at most {} are allowed \
                 (max_subscribers_per_address): end some first",
                self.most_each
            );
            return Err(ApiError::new(Code::RateLimited, message));
        }
        *own += 1;
        drop(taken);
        Ok(Place { _of_all: of_all, network, taken: self.taken.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(own) = taken.get_mut(&self.network) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

/// The counts are whole after every statement, so a panic elsewhere does not spoil them.
fn lock(taken: &Mutex<HashMap<String, usize>>) -> MutexGuard<'_, HashMap<String, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let places = Places::new(3, 2);
        let take = |address: &str| places.take(ClientAddress(Some(address.parse().expect("an address"))));
        let (first, second) = (take("2001:db8::1").ok(), take("2001:db8::2").ok());
        assert!(first.is_some() && second.is_some());
        assert_eq!(take("2001:db8::3").err().map(|error| error.code), Some(Code::RateLimited), "the same network");
        let other = take("198.51.100.7").ok();
        assert!(other.is_some());
        assert_eq!(take("198.51.100.8").err().map(|error| error.code), Some(Code::Overloaded));
        drop(first);
        assert!(take("2001:db8::3").is_ok());
        drop((second, other));
        assert!(lock(&places.taken).is_empty(), "who has left is forgotten");
    }
}
