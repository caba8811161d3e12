//! Not asking where nothing comes back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many failures one after the other open it.
const FAILURES: u32 = 5;
/// How long nobody is let through then; after that one is, to see.
const PAUSE: Duration = Duration::from_secs(30);

/// A circuit breaker.
#[derive(Default)]
pub struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    closed_until: Option<Instant>,
}

impl Breaker {
    /// Whether to ask.
    ///
    /// Errors: the time until somebody may.
    pub fn enter(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.lock();
        match state.closed_until {
            Some(until) if now < until => Err(until - now),
            // The others wait for what becomes of this one.
            Some(_) => {
                state.closed_until = Some(now + PAUSE);
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub fn succeeded(&self) {
        *self.lock() = State::default();
    }

    pub fn failed(&self, now: Instant) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            if state.failures == FAILURES {
                tracing::warn!(pause_seconds = PAUSE.as_secs(), "the provider of models fails: it is left alone");
            }
            state.closed_until = Some(now + PAUSE);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_failures_nobody_asks_and_then_one_does() {
        let (breaker, begun) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES {
            assert_eq!(breaker.enter(begun), Ok(()), "a few failures are none");
            breaker.failed(begun);
        }
        assert_eq!(breaker.enter(begun + PAUSE / 2), Err(PAUSE / 2), "it is left alone for a while");
        assert_eq!(breaker.enter(begun + PAUSE), Ok(()), "and then one may try");
        assert!(breaker.enter(begun + PAUSE).is_err(), "and only one");
        breaker.failed(begun + PAUSE);
        assert!(breaker.enter(begun + PAUSE + PAUSE / 2).is_err(), "who failed closes it again at once");
        breaker.succeeded();
        assert_eq!(breaker.enter(begun + PAUSE + PAUSE / 2), Ok(()), "a success opens it for all");
    }
}
