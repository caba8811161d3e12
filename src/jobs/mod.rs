//! Work that is done later, once, by whichever process is free.
//!
//! A job is a row of `jobs`, put there by a service in the transaction of the change that asks for
//! it. One worker per process claims what is due (`SKIP LOCKED`), runs its handler, and puts it
//! back with a growing delay when it failed; a worker that dies loses its claim after
//! `LOCK`. Imports `services`, `store`, `events`; imported by `app`.
//!
//! To add one: a kind and an arm in `run_one` whose handler can be run twice without harm.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::events;
use crate::services::allowance;
use crate::services::publishing::{self, PUBLISH_JOB};
use crate::services::{ServiceError, Services};
use crate::store::jobs::{self, Claimed};
use crate::store::{self, DbError, responses, sessions, token_usage};

/// How long a claim holds. A handler has to be done by then.
const LOCK: Duration = Duration::from_secs(60);
/// Longest pause between two looks at the queue.
const POLL: Duration = Duration::from_secs(5);
const MAX_ATTEMPTS: i32 = 10;
const HOUSEKEEPING: Duration = Duration::from_secs(3600);
/// How long it is known who used how many tokens of the models.
const USAGE_KEPT: chrono::TimeDelta = chrono::TimeDelta::days(400);
/// The same of addresses, which is needed for the day only.
const ADDRESSES_KEPT: chrono::TimeDelta = chrono::TimeDelta::days(1);

/// How long an answer of `/v1/responses` can be gone on from.
const RESPONSES_KEPT: chrono::TimeDelta = chrono::TimeDelta::days(30);

/// Works the queue until `stop`; `woken` ends a pause early. The job in hand is finished first.
pub async fn work(services: Services, woken: Arc<Notify>, stop: CancellationToken) {
    loop {
        let pause = match next(&services).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "the job queue cannot be read");
                POLL
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = woken.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Runs what is due, then says how long to wait.
async fn next(services: &Services) -> Result<Duration, DbError> {
    loop {
        let now = Utc::now();
        let claimed = jobs::claim(&mut *services.db.conn().await?, now, now + LOCK).await?;
        let Some(job) = claimed else { break };
        finish(services, job).await?;
    }
    let due = jobs::next_due(&mut *services.db.conn().await?).await?;
    let until = due.and_then(|at| (at - Utc::now()).to_std().ok());
    Ok(until.unwrap_or(POLL).clamp(Duration::from_millis(10), POLL))
}

async fn finish(services: &Services, job: Claimed) -> Result<(), DbError> {
    let done = tokio::time::timeout(LOCK, run_one(services, &job)).await;
    let done =
        done.unwrap_or_else(|_| Err(ServiceError::Internal(format!("it took longer than {} s", LOCK.as_secs()))));
    let mut conn = services.db.conn().await?;
    match done {
        Ok(()) => jobs::finish(&mut conn, &job).await,
        Err(error) => {
            let retry_at = (job.attempts < MAX_ATTEMPTS).then(|| Utc::now() + back_off(job.attempts));
            tracing::warn!(job = %job.kind, subject = %job.subject, attempt = job.attempts, %error, "a job failed");
            jobs::fail(&mut conn, &job, &error.to_string(), retry_at).await
        }
    }
}

async fn run_one(services: &Services, job: &Claimed) -> Result<(), ServiceError> {
    match job.kind.as_str() {
        PUBLISH_JOB => publishing::publish_due(services, job.subject, Utc::now()).await,
        other => Err(ServiceError::Internal(format!("this version does not know jobs of the kind {other:?}"))),
    }
}

/// 1 s, 2 s, 4 s … at most 10 minutes.
fn back_off(attempts: i32) -> Duration {
    Duration::from_secs(1 << attempts.clamp(1, 10)).min(Duration::from_secs(600)) / 2
}

/// Forgets what has outlived its use: old events, expired sessions, finished jobs.
pub async fn keep_house(services: Services, stop: CancellationToken) {
    let mut hourly = tokio::time::interval(HOUSEKEEPING);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hourly.tick() => {}
        }
        if let Err(error) = tidy(&services).await {
            tracing::warn!(%error, "housekeeping failed; it is tried again in an hour");
        }
    }
}

async fn tidy(services: &Services) -> Result<(), DbError> {
    let now = Utc::now();
    let mut tx = services.db.begin().await?;
    let pruned = store::events::prune(&mut tx, now - events::RETENTION).await?;
    let sessions = sessions::delete_expired(&mut tx, now).await?;
    let jobs = jobs::delete_done(&mut tx, now - chrono::Duration::days(7)).await?;
    let usage = token_usage::forget_before(&mut tx, (now - USAGE_KEPT).date_naive()).await?;
    let subject = allowance::ADDRESS;
    let usage =
        usage + token_usage::forget_subjects_before(&mut tx, (now - ADDRESSES_KEPT).date_naive(), subject).await?;
    let responses = responses::forget_before(&mut tx, now - RESPONSES_KEPT).await?;
    tx.commit().await?;
    tracing::debug!(pruned, sessions, jobs, usage, responses, "housekeeping");
    Ok(())
}
