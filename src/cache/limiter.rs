//! Rate limits: how many points a client may spend in a period, over all replicas.
//!
//! The generic cell rate algorithm (GCRA; ITU-T I.371): a client's points come back evenly, so there
//! is no window at whose edge twice as much would pass. All that is kept is the time at which the
//! client has all its points again. With Redis that time is kept there, by Redis's clock, and all
//! replicas count together; without it, or while it is away, each process counts for itself.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use moka::sync::Cache as Moka;

use super::redis::Remote;

/// Clients that a process remembers; the least active are forgotten, which gives them their points.
const CLIENTS: u64 = 200_000;

/// Keeps the time at which the client has all its points again. Arguments: the period, the time
/// that the points asked for take to come back, and 1 to take them whether they are there or not. Answers
/// whether it was allowed, and how far ahead of now the time stands. All in microseconds.
const TAKE: &str = "local t = redis.call('TIME'); local now = t[1] * 1000000 + t[2] \
    local full = tonumber(redis.call('GET', KEYS[1]) or now); if full < now then full = now end \
    local period = tonumber(ARGV[1]); local after = full + tonumber(ARGV[2]) \
    if after - now > period and ARGV[3] ~= '1' then return {0, full - now} end \
    redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1) \
    return {1, after - now}";

const GIVE_BACK: &str = "return redis.call('DEL', KEYS[1])";

/// How many points in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub points: u64,
    pub period: Duration,
}

/// When what costs points is known to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Terms {
    InAdvance,
    Afterwards,
}

/// What became of a request for points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub allowed: bool,
    /// Points that are left now.
    pub remaining: u64,
    /// Until all points are back.
    pub reset: Duration,
    /// Until the same request would be allowed; zero if it was.
    pub retry_after: Duration,
}

/// Counts points by client. Cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    local: Moka<String, Arc<AtomicI64>>,
    remote: Option<(Remote, Arc<str>)>,
    wait: Duration,
}

impl Limiter {
    /// `namespace` sets sites that share one Redis apart; `wait` is the longest wait for it.
    pub fn new(remote: Option<Remote>, namespace: &str, wait: Duration) -> Self {
        let local = Moka::builder().max_capacity(CLIENTS).time_to_idle(Duration::from_secs(3600)).build();
        Self { local, remote: remote.map(|remote| (remote, namespace.into())), wait }
    }

    /// Takes points of `quota` for `client`. More points than there are count as all of them.
    pub async fn take(&self, client: &str, quota: Quota, points: u64) -> Taken {
        self.book(client, quota, points, Terms::InAdvance).await
    }

    /// The same for what is known to cost so much only when it is done: what is not there is owed.
    pub async fn owe(&self, client: &str, quota: Quota, points: u64) -> Taken {
        self.book(client, quota, points, Terms::Afterwards).await
    }

    async fn book(&self, client: &str, quota: Quota, points: u64, terms: Terms) -> Taken {
        let cost = quota.span(points.min(quota.points));
        let (allowed, ahead) = match Box::pin(self.book_shared(client, quota, cost, terms)).await {
            Some(answer) => answer,
            None => self.book_here(client, quota, cost, terms),
        };
        quota.taken(allowed, ahead, cost)
    }

    /// Gives a client all its points back.
    pub async fn give_back(&self, client: &str) {
        self.local.invalidate(client);
        let Some((remote, _, key)) = self.shared(client) else { return };
        let asked = remote.eval::<i64>(GIVE_BACK, vec![key], vec![], self.wait);
        if let Ok(Err(error)) = tokio::time::timeout(self.wait, asked).await {
            tracing::debug!(%error, "points could not be given back");
        }
    }

    fn book_here(&self, client: &str, quota: Quota, cost: i64, terms: Terms) -> (bool, i64) {
        let full = self.local.get_with_by_ref(client, || Arc::new(AtomicI64::new(0)));
        let now = micros(EPOCH.elapsed());
        let after = |full: i64| full.max(now) + cost;
        let is_there = |full: i64| terms == Terms::Afterwards || after(full) - now <= micros(quota.period);
        let fits = |full: i64| is_there(full).then(|| after(full));
        match full.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(before) => (true, after(before) - now),
            Err(full) => (false, full.max(now) - now),
        }
    }

    /// Redis, the link to it, and the key of a client there, if it is there itself.
    fn shared(&self, client: &str) -> Option<(&Remote, u64, String)> {
        let (remote, namespace) = self.remote.as_ref()?;
        let serial = remote.link().serial;
        (serial != 0).then(|| (remote, serial, format!("ink:{namespace}:rate:{client}")))
    }

    /// `None` when Redis is away or slow: then this process counts by itself.
    async fn book_shared(&self, client: &str, quota: Quota, cost: i64, terms: Terms) -> Option<(bool, i64)> {
        let (remote, serial, key) = self.shared(client)?;
        let arguments = vec![micros(quota.period).into(), cost.into(), i64::from(terms == Terms::Afterwards).into()];
        let asked = remote.eval::<(i64, i64)>(TAKE, vec![key], arguments, self.wait);
        match tokio::time::timeout(self.wait, asked).await {
            Ok(Ok((allowed, ahead))) => Some((allowed == 1, ahead)),
            failed => {
                tracing::debug!(error = ?failed.err(), "the rate limit is counted in this process");
                remote.report_trouble(serial);
                None
            }
        }
    }
}

/// The zero of this process's clock.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

impl Quota {
    /// How long so many points take to come back, µs.
    fn span(&self, points: u64) -> i64 {
        let span = u128::from(points) * self.period.as_micros() / u128::from(self.points.max(1));
        i64::try_from(span).unwrap_or(i64::MAX / 4)
    }

    fn taken(&self, allowed: bool, ahead: i64, cost: i64) -> Taken {
        let period = micros(self.period);
        let left = u128::from((period - ahead).max(0).unsigned_abs());
        let remaining = left * u128::from(self.points) / self.period.as_micros().max(1);
        let wait = if allowed { 0 } else { (ahead + cost - period).max(1) };
        Taken {
            allowed,
            remaining: u64::try_from(remaining).unwrap_or(u64::MAX),
            reset: Duration::from_micros(ahead.max(0).unsigned_abs()),
            retry_after: Duration::from_micros(wait.unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests;
