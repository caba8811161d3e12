//! Jobs that come again and again, by the clock.
//!
//! The times of a schedule are the same for all processes. Each process tries to take the last one
//! (`store::cron::take`) and one of them gets it and asks for the job, in the same transaction. What was
//! missed while no process ran is made up for once; a job that is new comes at its next time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::HOUSEKEEPING_JOB;
use crate::config::{Config, Schedule};
use crate::services::Services;
use crate::services::connecting;
use crate::store::jobs::{self, NewJob, Priority};
use crate::store::{DbError, cron};
use crate::telemetry::metrics;

/// A kind of job and when it is done.
#[derive(Clone, Debug)]
pub struct Periodic {
    pub kind: &'static str,
    pub schedule: Schedule,
    /// What the job has to know, by the time when it is asked for.
    pub payload: fn(DateTime<Utc>) -> Value,
}

impl Periodic {
    pub fn new(kind: &'static str, schedule: Schedule) -> Self {
        Self { kind, schedule, payload: |_| json!({}) }
    }
}

/// Everything that is done by the clock.
pub fn periodic(config: &Config) -> Vec<Periodic> {
    let housekeeping = Periodic::new(HOUSEKEEPING_JOB, config.housekeeping_schedule.clone());
    let graph = config
        .graph_schedule
        .clone()
        .map(|schedule| Periodic { payload: connecting::since, ..Periodic::new(connecting::REBUILD_JOB, schedule) });
    std::iter::once(housekeeping).chain(graph).collect()
}

/// How often the queue is measured, and longest pause after one that could not be asked for.
const LOOK: Duration = Duration::from_secs(10);

/// Asks for jobs when it is time and measures the queue, until `stop`.
pub async fn keep_time(services: Services, periodic: Vec<Periodic>, stop: CancellationToken) {
    let mut taken = DateTime::<Utc>::MIN_UTC;
    loop {
        let now = Utc::now();
        let is_due = |job: &&Periodic| job.schedule.last(now).is_some_and(|last| last > taken);
        let due: Vec<Periodic> = periodic.iter().filter(is_due).cloned().collect();
        match tick(&services, &due, now).await {
            Ok(_) => taken = now,
            Err(error) => tracing::warn!(%error, "periodic jobs could not be asked for; trying again"),
        }
        if let Err(error) = measure(&services, now).await {
            tracing::debug!(%error, "the queue of jobs could not be measured");
        }
        let next = periodic.iter().filter_map(|job| Some(job.schedule.next(now)? - now)).min();
        let until = next.and_then(|until| until.to_std().ok()).unwrap_or(LOOK);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(until.min(LOOK)) => {}
        }
    }
}

/// Asks for the jobs whose last time before `now` nobody has taken; returns how many those were.
/// One that still waits or runs from the last time goes on.
pub async fn tick(services: &Services, periodic: &[Periodic], now: DateTime<Utc>) -> Result<usize, DbError> {
    let mut asked = 0;
    for job in periodic {
        let Some(last) = job.schedule.last(now) else { continue };
        let mut tx = services.db.begin().await?;
        if cron::take(&mut tx, job.kind, last).await? {
            let payload = (job.payload)(now);
            let new = NewJob { priority: Priority::LOW, payload, ..NewJob::new(job.kind, Uuid::nil(), now) };
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
