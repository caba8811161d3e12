//! Single flight: of all callers that miss one key at one generation, one loads.
//!
//! The others wait for its outcome, error included. The generation is part of the flight's
//! name, so a caller that comes after an invalidation never joins a load that began before it.
//! When the loading caller is cancelled, one of the waiting ones loads instead with its own
//! future; nobody fails because somebody else left.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::key::CacheKey;
use super::local::Generation;

#[derive(Clone, PartialEq, Eq, Hash)]
struct FlightKey {
    key: CacheKey,
    generation: Generation,
    /// Callers with another value or error type cannot share an outcome.
    outcome: TypeId,
}

type Map = HashMap<FlightKey, Arc<dyn Any + Send + Sync>>;

#[derive(Default)]
pub(super) struct Flights {
    map: Mutex<Map>,
}

impl Flights {
    /// The outcome of `work`, or of the same key's work that is already under way.
    pub async fn run<O, F>(&self, key: &CacheKey, generation: Generation, work: F) -> O
    where
        O: Clone + Send + Sync + 'static,
        F: Future<Output = O>,
    {
        let seat = self.join::<O>(key, generation);
        let cell = seat.cell();
        let outcome = cell.get_or_init(|| async {
            let outcome = work.await;
            // Nobody joins a finished flight: a late caller looks into the cache again.
            seat.close();
            outcome
        });
        outcome.await.clone()
    }

    fn join<O: Send + Sync + 'static>(&self, key: &CacheKey, generation: Generation) -> Seat<'_, O> {
        let flight = FlightKey { key: key.clone(), generation, outcome: TypeId::of::<O>() };
        let mut map = self.lock();
        let shared = map.entry(flight.clone()).or_insert_with(|| Arc::new(OnceCell::<O>::new()));
        // The type is part of the map's key, so the cell always is of type O.
        let cell = Arc::clone(shared).downcast().unwrap_or_default();
        Seat { flights: self, flight, cell: Some(cell) }
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        // The map is never left half changed, so a panic elsewhere does not spoil it.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().len()
    }
}

/// One caller's part in a flight; the last one to leave takes the flight out of the map.
struct Seat<'a, O: Send + Sync + 'static> {
    flights: &'a Flights,
    flight: FlightKey,
    /// `Some` until dropped.
    cell: Option<Arc<OnceCell<O>>>,
}

impl<O: Send + Sync + 'static> Seat<'_, O> {
    fn cell(&self) -> Arc<OnceCell<O>> {
        self.cell.clone().unwrap_or_default()
    }

    fn close(&self) {
        let mut map = self.flights.lock();
        if self.is_mine(&map) {
            map.remove(&self.flight);
        }
    }

    fn is_mine(&self, map: &Map) -> bool {
        match (map.get(&self.flight), &self.cell) {
            (Some(shared), Some(mine)) => std::ptr::addr_eq(Arc::as_ptr(shared), Arc::as_ptr(mine)),
            _ => false,
        }
    }
}

impl<O: Send + Sync + 'static> Drop for Seat<'_, O> {
    fn drop(&mut self) {
        let mut map = self.flights.lock();
        let mine = self.is_mine(&map);
        // Dropped under the lock, so that of two leaving at once one sees itself as the last.
        self.cell = None;
        if mine && map.get(&self.flight).is_some_and(|shared| Arc::strong_count(shared) == 1) {
            map.remove(&self.flight);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::{join_all, pending, ready};
    use futures_util::poll;

    use super::super::local::Local;
    use super::*;

    fn at(key: &CacheKey) -> Generation {
        Local::new(0, Duration::ZERO).generation(key)
    }

    #[tokio::test]
    async fn one_works_and_all_get_its_outcome() {
        let flights = Flights::default();
        let key = CacheKey::new("post", 1);
        let runs = (0..10_u32).map(|n| {
            flights.run(&key, at(&key), async move {
                tokio::task::yield_now().await;
                n
            })
        });
        assert_eq!(join_all(runs).await, vec![0; 10]);
        assert_eq!(flights.len(), 0, "a finished flight stays in the map");
    }

    #[tokio::test]
    async fn when_the_worker_is_cancelled_a_waiting_caller_takes_over() {
        let flights = Flights::default();
        let key = CacheKey::new("post", 1);
        let mut first = Box::pin(flights.run(&key, at(&key), pending::<u32>()));
        let mut second = Box::pin(flights.run(&key, at(&key), ready(2_u32)));
        let mut third = Box::pin(flights.run(&key, at(&key), ready(3_u32)));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        assert!(poll!(&mut third).is_pending());
        drop(first);
        assert_eq!(second.await, 2);
        assert_eq!(third.await, 2);
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn when_a_waiting_caller_is_cancelled_the_others_go_on() {
        let flights = Flights::default();
        let key = CacheKey::new("post", 1);
        let (finish, finished) = tokio::sync::oneshot::channel::<u32>();
        let mut first = Box::pin(flights.run(&key, at(&key), async { finished.await.ok() }));
        let mut second = Box::pin(flights.run(&key, at(&key), pending::<Option<u32>>()));
        let mut third = Box::pin(flights.run(&key, at(&key), pending::<Option<u32>>()));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        assert!(poll!(&mut third).is_pending());
        drop(second);
        finish.send(7).expect("the first caller is still there");
        assert_eq!(first.await, Some(7));
        assert_eq!(third.await, Some(7));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn if_everybody_leaves_nothing_stays() {
        let flights = Flights::default();
        let key = CacheKey::new("post", 1);
        let mut first = Box::pin(flights.run(&key, at(&key), pending::<u32>()));
        let mut second = Box::pin(flights.run(&key, at(&key), pending::<u32>()));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        drop(first);
        drop(second);
        assert_eq!(flights.len(), 0);
    }
}
