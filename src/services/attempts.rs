//! Attempts to give an account's password: a few in a row from one place, then one a minute.
//!
//! They are counted by the account's name and by the network of who tries, so that nobody is kept out by a
//! stranger's attempts; what a stranger may try from many networks is bounded by the length that passwords
//! have to have. Imported by `accounts` and `profiles`.

use std::net::IpAddr;
use std::time::Duration;

use super::digest::digits;
use super::{ServiceError, allowance};
use crate::cache::{Limiter, Quota};

/// Ten at once, and each comes back after a minute.
const ATTEMPTS: Quota = Quota { points: 10, period: Duration::from_secs(600) };

/// Counts attempts. Cheap to clone.
#[derive(Clone)]
pub struct Attempts(Limiter);

impl Attempts {
    pub fn new(limiter: Limiter) -> Self {
        Self(limiter)
    }

    /// To be called before a password is looked at.
    ///
    /// Errors: `TooManyAttempts`.
    pub(super) async fn begin(&self, login: &str, address: Option<IpAddr>) -> Result<Attempt<'_>, ServiceError> {
        // Of any length, and nobody's name stands in Redis.
        let network = allowance::network(address);
        let account = format!("password:{}", digits([login.as_bytes(), b"\n", network.as_bytes()]));
        let taken = Box::pin(self.0.take(&account, ATTEMPTS, 1)).await;
        if !taken.allowed {
            return Err(ServiceError::TooManyAttempts(taken.retry_after));
        }
        Ok(Attempt { limiter: &self.0, account })
    }
}

/// An attempt that was allowed.
pub(super) struct Attempt<'a> {
    limiter: &'a Limiter,
    account: String,
}

impl Attempt<'_> {
    /// The password was right: those before it are forgotten.
    pub(super) async fn succeeded(self) {
        Box::pin(self.limiter.give_back(&self.account)).await;
    }
}
