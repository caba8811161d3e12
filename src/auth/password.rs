//! Passwords: which are accepted, and their hashing and checking with argon2id.
//!
//! `services` and `app` import this. Hashing takes memory and time on purpose, so it runs on
//! blocking threads, a few at a time, and callers beyond a short queue are turned away at once.
//! To add a rule for new passwords: `password/rules.rs`.
//! Source of the cost: OWASP Password Storage Cheat Sheet, argon2id.

mod rules;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::available_parallelism;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::metrics;

pub use rules::{MAX_CHARS, MIN_CHARS, Unfit, check};

/// How many callers may wait per running hashing before the next one is turned away.
const WAITING_PER_RUNNING: usize = 8;

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("too many passwords are being checked at once; try again in a few seconds")]
    Busy,
    #[error("the stored password hash cannot be read; the user needs a new password")]
    StoredHash(#[source] HashError),
    #[error("the password cannot be hashed")]
    Hashing(#[source] HashError),
    #[error("the thread that was hashing a password ended early")]
    Worker(#[source] tokio::task::JoinError),
}

/// How expensive one hashing is.
#[derive(Clone, Debug)]
pub struct Cost(Params);

impl Cost {
    /// 19 MiB, two passes, one lane.
    pub const OWASP: Self = Self::new(19 * 1024, 2, 1);

    /// The least argon2 allows: tests of anything else should not wait. Protects nothing.
    pub const LEAST: Self = Self::new(Params::MIN_M_COST, Params::MIN_T_COST, Params::MIN_P_COST);

    const fn new(memory_kib: u32, passes: u32, lanes: u32) -> Self {
        match Params::new(memory_kib, passes, lanes, None) {
            Ok(params) => Self(params),
            Err(_) => {
                panic!("the constants above are within argon2's limits, which the compiler checks")
            }
        }
    }
}

/// Hashes and checks passwords, a bounded number at once. Cloning is cheap and shares the bound.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    /// What an unknown user's password is checked against, so that both take the same time.
    dummy: Arc<str>,
    /// Places for those who run or wait.
    places: Arc<Semaphore>,
    /// Places for those who run.
    running: Arc<Semaphore>,
}

impl Passwords {
    /// For production: [`Cost::OWASP`].
    pub fn new() -> Self {
        Self::with_cost(Cost::OWASP)
    }

    /// With another cost. Runs as many hashings at once as the machine has cores.
    pub fn with_cost(cost: Cost) -> Self {
        let running = available_parallelism().map_or(1, usize::from);
        let dummy = dummy_hash(&cost.0).into();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.0);
        let (places, running) = semaphores(running, running * WAITING_PER_RUNNING);
        Self { argon2, dummy, places, running }
    }

    /// With at most `running` hashings at once (at least one) and `waiting` callers behind them.
    pub fn with_limits(mut self, running: usize, waiting: usize) -> Self {
        (self.places, self.running) = semaphores(running.max(1), waiting);
        self
    }

    /// The hash to store for a new password: a PHC string with its own random salt.
    ///
    /// Errors: [`PasswordError::Unfit`] by the rules of [`check`]; `Busy` when the queue is full.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        check(&password)?;
        let argon2 = self.argon2.clone();
        self.run(move || {
            let hash: PasswordHash = argon2.hash_password(password.as_bytes()).map_err(PasswordError::Hashing)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// True if `password` is the one `hash` was made from.
    ///
    /// With `None` (no such user, or a user without a password) the answer is false after the
    /// time a wrong password takes, so that the time does not tell who has an account.
    /// Errors: `Busy` when the queue is full; `StoredHash` if `hash` is not argon2's.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        // No hash was ever made of a longer one, whoever the user is.
        if password.chars().count() > MAX_CHARS {
            return Ok(false);
        }
        let argon2 = self.argon2.clone();
        let dummy = self.dummy.clone();
        self.run(move || {
            let stored = hash.as_deref().unwrap_or(&dummy);
            let stored = PasswordHash::new(stored).map_err(|error| PasswordError::StoredHash(error.into()))?;
            let matches = match argon2.verify_password(password.as_bytes(), &stored) {
                Ok(()) => true,
                Err(HashError::PasswordInvalid) => false,
                Err(error) => return Err(PasswordError::StoredHash(error)),
            };
            Ok(matches && hash.is_some())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let places = self.admit().await?;
        let work = move || {
            // Held here, not by the caller: a caller that leaves does not stop the thread.
            let _places = places;
            let _counted = metrics::password_hashing_started();
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(PasswordError::Worker)?
    }

    /// A place to wait, at once or not at all; then a place to run. No semaphore is ever closed.
    async fn admit(&self) -> Result<[OwnedSemaphorePermit; 2], PasswordError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        let running = self.running.clone().acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        Ok([place, running])
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

/// Places for those who run or wait, and for those who run.
fn semaphores(running: usize, waiting: usize) -> (Arc<Semaphore>, Arc<Semaphore>) {
    (Arc::new(Semaphore::new(running + waiting)), Arc::new(Semaphore::new(running)))
}

/// A well-formed hash of the given cost that no known password has.
fn dummy_hash(params: &Params) -> String {
    // Any 16-byte salt and 32-byte output do: checking a password costs the same for all.
    let salt = "A".repeat(22);
    let output = "A".repeat(43);
    format!("$argon2id$v=19$m={},t={},p={}${salt}${output}", params.m_cost(), params.t_cost(), params.p_cost())
}
