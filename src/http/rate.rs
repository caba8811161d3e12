//! Rate limits: what an operation costs, and to whose account.
//!
//! Each key of the owner and editors has an account, each user one for all else (`Viewer::account`); who has not
//! signed in pays by address. The points of an account come back evenly over a minute (`cache::Limiter`).

use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use super::graphql::refuse;
use super::layers::{ClientAddress, RequestId};
use crate::auth::Viewer;
use crate::cache::{Limiter, Quota, Taken};
use crate::error::{ApiError, Code};
use crate::services::allowance;

/// What any request costs besides its operation.
pub const REQUEST: u64 = 10;
/// What a whole document costs where it has to be made or packed: as a page of a hundred posts.
pub const DOCUMENT: u64 = 300;
/// Answers of fewer bytes cost no more than the request.
const SMALL_BYTES: usize = 16 << 10;
const PERIOD: Duration = Duration::from_secs(60);
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The accounts, and what each may spend.
pub struct RateLimit {
    limiter: Limiter,
    /// `None`: as much as one likes.
    quota: Option<Quota>,
}

impl RateLimit {
    /// `points` a minute for each account; 0 for no limit.
    pub fn new(limiter: Limiter, points: u64) -> Self {
        Self { limiter, quota: (points > 0).then_some(Quota { points, period: PERIOD }) }
    }

    /// Takes what a request with an operation of this cost costs.
    ///
    /// Errors: the account does not hold as much.
    pub async fn spend(&self, viewer: &Viewer, address: ClientAddress, cost: u64) -> Result<Spent, Overdrawn> {
        let Some(quota) = self.quota else { return Ok(Spent(None)) };
        let cost = REQUEST.saturating_add(cost).min(quota.points);
        let taken = self.limiter.take(&account(viewer, address), quota, cost).await;
        if taken.allowed { Ok(Spent(Some((quota, taken)))) } else { Err(Overdrawn { quota, taken, cost }) }
    }

    /// Takes what an answer of so many bytes costs besides what was `spent` on its operation. It is made already,
    /// so it is given out whatever the account holds: what is missing is owed.
    pub async fn add_size(&self, spent: Spent, viewer: &Viewer, address: ClientAddress, bytes: usize) -> Spent {
        match (self.quota, of_size(bytes)) {
            (None, _) | (_, 0) => spent,
            (Some(quota), cost) => Spent(Some((quota, self.limiter.owe(&account(viewer, address), quota, cost).await))),
        }
    }

    /// What comes to no operation is not free: another answer when it cannot be paid for.
    pub async fn charge(&self, address: ClientAddress, mut answer: Response, request_id: &RequestId) -> Response {
        match self.spend(&Viewer::anonymous(), address, 0).await {
            Ok(spent) => {
                spent.tell(answer.headers_mut());
                answer
            }
            Err(overdrawn) => overdrawn.respond(request_id),
        }
    }
}

/// What an answer of so many bytes costs to pack and send: a point a KiB, and nothing for most.
fn of_size(bytes: usize) -> u64 {
    if bytes < SMALL_BYTES { 0 } else { u64::try_from(bytes / 1024).unwrap_or(u64::MAX) }
}

/// Who pays.
fn account(viewer: &Viewer, address: ClientAddress) -> String {
    viewer.account().unwrap_or_else(|| account_of(address))
}

/// Networks of one customer share an account.
fn account_of(address: ClientAddress) -> String {
    format!("address:{}", allowance::network(address.0))
}

/// What was taken, for the answer's headers.
pub struct Spent(Option<(Quota, Taken)>);

impl Spent {
    /// Tells what is left. Source: draft-ietf-httpapi-ratelimit-headers-10.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if let Some((quota, taken)) = &self.0 {
            tell(headers, quota, taken);
        }
    }
}

/// There were not enough points.
pub struct Overdrawn {
    quota: Quota,
    taken: Taken,
    cost: u64,
}

impl Overdrawn {
    pub fn error(&self) -> ApiError {
        let seconds = self.retry_after();
        let message = format!(
            "too many requests: {} points a minute are allowed, {} are left, and this one costs {}; try again in \
             {seconds} s",
            self.quota.points, self.taken.remaining, self.cost
        );
        ApiError::new(Code::RateLimited, message)
    }

    pub fn respond(&self, request_id: &RequestId) -> Response {
        let mut response = refuse(&self.error(), StatusCode::TOO_MANY_REQUESTS, request_id);
        self.tell(response.headers_mut());
        response
    }

    /// Tells what is left, and when to come back.
    pub fn tell(&self, headers: &mut HeaderMap) {
        tell(headers, &self.quota, &self.taken);
        headers.insert(RETRY_AFTER, self.retry_after().into());
    }

    fn retry_after(&self) -> u64 {
        seconds(self.taken.retry_after).max(1)
    }
}

fn tell(headers: &mut HeaderMap, quota: &Quota, taken: &Taken) {
    let policy = format!("\"cost\";q={};w={}", quota.points, quota.period.as_secs());
    let left = format!("\"cost\";r={};t={}", taken.remaining, seconds(taken.reset));
    for (name, value) in [(POLICY, policy), (LIMIT, left)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_an_address_or_a_network_of_one_customer() {
        let account = |text: &str| account_of(ClientAddress(Some(text.parse().expect("an address"))));
        assert_eq!(account("198.51.100.7"), "address:198.51.100.7");
        assert_eq!(account("2001:db8:1:2:3:4:5:6"), "address:2001:db8:1:2::/64");
        assert_eq!(account("2001:db8:1:2:ffff::1"), account("2001:db8:1:2::9"));
        assert_ne!(account("2001:db8:1:3::1"), account("2001:db8:1:2::1"));
    }
}
