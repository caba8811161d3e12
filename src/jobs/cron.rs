//! Jobs that come again and again, by the clock.
//!
//! A tick is a multiple of a job's interval since 1970, so all processes agree on it. Each process
//! tries to take it (`store::cron::take`) and one of them gets it and asks for the job, in the same
//! transaction. What was missed while no process ran is made up for once; a job that is new comes
//! at its next tick.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::HOUSEKEEPING_JOB;
use crate::services::Services;
use crate::store::jobs::{self, NewJob, Priority};
use crate::store::{DbError, cron};
use crate::telemetry::metrics;

/// A kind of job and how often it is done.
#[derive(Clone, Copy, Debug)]
pub struct Periodic {
    pub kind: &'static str,
    pub every: TimeDelta,
    /// How long after a multiple of `every`, such as three hours for 03:00 UTC of each day.
    pub offset: TimeDelta,
}

/// Everything that is done by the clock.
pub const PERIODIC: &[Periodic] =
    &[Periodic { kind: HOUSEKEEPING_JOB, every: TimeDelta::hours(1), offset: TimeDelta::zero() }];

/// How often the queue is measured, and longest pause after a tick that could not be taken.
const LOOK: Duration = Duration::from_secs(10);

impl Periodic {
    /// The last tick at or before `now`.
    fn last_tick(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let since = now.timestamp() - self.offset.num_seconds();
        let behind = since.rem_euclid(self.every.num_seconds().max(1));
        DateTime::from_timestamp(now.timestamp() - behind, 0).unwrap_or(now)
    }
}

/// Takes ticks and measures the queue until `stop`.
pub async fn keep_time(services: Services, stop: CancellationToken) {
    let mut taken = DateTime::<Utc>::MIN_UTC;
    loop {
        let now = Utc::now();
        let due: Vec<Periodic> = PERIODIC.iter().copied().filter(|job| job.last_tick(now) > taken).collect();
        match tick(&services, &due, now).await {
            Ok(_) => taken = now,
            Err(error) => tracing::warn!(%error, "periodic jobs could not be asked for; trying again"),
        }
        if let Err(error) = measure(&services, now).await {
            tracing::debug!(%error, "the queue of jobs could not be measured");
        }
        let next = PERIODIC.iter().map(|job| job.last_tick(now) + job.every - now).min();
        let until = next.and_then(|until| until.to_std().ok()).unwrap_or(LOOK);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(until.min(LOOK)) => {}
        }
    }
}

/// Asks for the jobs whose last tick before `now` nobody has taken; returns how many those were.
/// One that still waits or runs from the last time goes on.
pub async fn tick(services: &Services, periodic: &[Periodic], now: DateTime<Utc>) -> Result<usize, DbError> {
    let mut asked = 0;
    for job in periodic {
        let mut tx = services.db.begin().await?;
        if cron::take(&mut tx, job.kind, job.last_tick(now)).await? {
            let new = NewJob { priority: Priority::LOW, ..NewJob::new(job.kind, Uuid::nil(), now) };
            asked += usize::from(jobs::enqueue_unless_open(&mut tx, &new, now).await?.is_some());
        }
        services.commit(tx, &[]).await?;
    }
    Ok(asked)
}

async fn measure(services: &Services, now: DateTime<Utc>) -> Result<(), DbError> {
    let open = jobs::overview(&mut *services.db.conn().await?, now).await?;
    let oldest = open.oldest_due.and_then(|at| (now - at).to_std().ok()).unwrap_or_default();
    metrics::jobs_open(open.due, open.planned, open.running, oldest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_the_same_for_everybody() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let nightly = Periodic { kind: "nightly", every: TimeDelta::days(1), offset: TimeDelta::hours(3) };
        for (now, tick) in [
            ("2026-11-28T02:59:59.999Z", "2026-11-27T03:00:00Z"),
            ("2026-11-28T03:00:00Z", "2026-11-28T03:00:00Z"),
            ("2026-11-28T23:00:00.5Z", "2026-11-28T03:00:00Z"),
            ("1969-12-31T23:00:00Z", "1969-12-31T03:00:00Z"),
        ] {
            assert_eq!(nightly.last_tick(at(now)), at(tick), "at {now}");
        }
    }
}
