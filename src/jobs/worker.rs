//! The worker of a process: claims jobs, keeps their claims alive while their handlers run, and
//! writes down how they ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Handlers, Kinds, label};
use crate::services::Services;
use crate::services::jobs::{Outcome, Progress};
use crate::store::DbError;
use crate::store::jobs::{self, Claimed};
use crate::telemetry::{metrics, with_causes};

/// How long a claim holds without a sign of life: so late is a job of a worker that died taken over.
const LOCK: Duration = Duration::from_secs(60);
const HEARTBEAT: Duration = Duration::from_secs(20);
/// Longest pause between two looks at the queue.
const POLL: Duration = Duration::from_secs(5);
/// What a handler tells of its progress within this time is written down once.
const GATHER: Duration = Duration::from_millis(300);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(600);
/// Most characters of an error that are kept.
const MAX_ERROR_CHARS: usize = 2000;

/// How a process works.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// Jobs at the same time; with 0 it does none. Where there are two places or more, long jobs leave
    /// one to those that somebody waits for.
    pub at_once: usize,
    /// How long running jobs may go on when the process stops, before they are given back.
    pub grace: Duration,
}

/// How an attempt ended.
enum Ended {
    With(Outcome),
    Failed(String),
    /// The claim has ended: what becomes of the job is no longer this worker's business.
    Lost,
    /// The process stops.
    Stopped,
}

/// Works the queue until `stop`, and then for as long as the grace lasts on what it has begun.
pub async fn work<H: Handlers>(services: Services, handlers: H, settings: WorkerSettings, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(settings.at_once));
    let long_places = Arc::new(Semaphore::new(settings.at_once.saturating_sub(1).max(1)));
    let desk = Arc::new(Desk { services, handlers, grace: settings.grace, stop: stop.clone() });
    let mut running = JoinSet::new();
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            Ok(place) = places.clone().acquire_owned() => place,
        };
        let long_place = long_places.clone().try_acquire_owned().ok();
        let but = if long_place.is_some() { &[] } else { desk.handlers.long_kinds() };
        let pause = match desk.claim(but).await {
            Ok(Some(job)) => {
                let desk = desk.clone();
                let long_place = long_place.filter(|_| desk.handlers.long_kinds().contains(&job.kind.as_str()));
                running.spawn(async move {
                    desk.attempt(job).await;
                    drop((place, long_place));
                });
                continue;
            }
            Ok(None) => desk.until_next(but).await,
            Err(error) => {
                tracing::warn!(%error, "the job queue cannot be read");
                POLL
            }
        };
        while running.try_join_next().is_some() {}
        tokio::select! {
            () = stop.cancelled() => break,
            () = desk.services.bell.asked() => {}
            _ = long_places.acquire(), if long_place.is_none() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    while running.join_next().await.is_some() {}
}

/// Does what is due until nothing is: for commands, and for tests that begin with nothing to do.
pub async fn run_due(services: &Services) -> Result<(), DbError> {
    let desk =
        Desk { services: services.clone(), handlers: Kinds, grace: Duration::ZERO, stop: CancellationToken::new() };
    while let Some(job) = desk.claim(&[]).await? {
        desk.attempt(job).await;
    }
    Ok(())
}

struct Desk<H> {
    services: Services,
    handlers: H,
    grace: Duration,
    stop: CancellationToken,
}

impl<H: Handlers> Desk<H> {
    async fn claim(&self, but: &[&str]) -> Result<Option<Claimed>, DbError> {
        let mut tx = self.services.db.begin().await?;
        let now = Utc::now();
        let claimed = jobs::claim(&mut tx, now, now + LOCK, but).await?;
        match claimed {
            Some(_) => self.services.commit(tx, &[]).await?,
            None => tx.rollback().await?,
        }
        Ok(claimed)
    }

    /// How long there is nothing to do, as far as it is known.
    async fn until_next(&self, but: &[&str]) -> Duration {
        let next = async { jobs::next_due(&mut *self.services.db.conn().await?, but).await };
        let due = next.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the job queue cannot be read");
            None
        });
        let until = due.and_then(|at| (at - Utc::now()).to_std().ok());
        until.unwrap_or(POLL).clamp(Duration::from_millis(10), POLL)
    }

    async fn attempt(&self, job: Claimed) {
        let (begun, progress) = (Instant::now(), Progress::default());
        let ended = if job.attempts > job.max_attempts {
            // Claimed once too often: each time before, the worker died of it or was killed.
            Ended::Failed(format!("no worker has lived to the end of its {} attempts", job.max_attempts))
        } else {
            self.run(&job, &progress).await
        };
        let outcome = outcome(&ended, &job);
        metrics::job(label(&job.kind), outcome, begun.elapsed());
        if let Err(error) = self.write_down(&job, &progress, ended).await {
            tracing::warn!(%error, job = %job.kind, subject = %job.subject, "how a job ended could not be written down");
        }
    }

    /// Runs the handler, at most until it may not go on.
    async fn run(&self, job: &Claimed, progress: &Progress) -> Ended {
        let limit = self.handlers.time_limit(&job.kind);
        let handling = AssertUnwindSafe(self.handlers.run(&self.services, job, progress)).catch_unwind();
        // The handler and what keeps its claim are polled side by side: in the embedded database one
        // may have to wait for the other's transaction.
        tokio::select! {
            done = handling => match done {
                Ok(Ok(outcome)) => Ended::With(outcome),
                Ok(Err(error)) => Ended::Failed(whole(&error)),
                Err(_) => Ended::Failed("its handler panicked: the log has the message".into()),
            },
            () = self.keep(job, progress) => Ended::Lost,
            () = tokio::time::sleep(limit) => Ended::Failed(format!("it took longer than {} s", limit.as_secs())),
            () = self.grace_is_over() => Ended::Stopped,
        }
    }

    /// Keeps the claim alive and writes progress down; returns when the claim is lost.
    async fn keep(&self, job: &Claimed, progress: &Progress) {
        let mut reached = progress.watch();
        let mut taken_back = self.services.bell.watch(job.id);
        let (mut held_until, mut written) = (Instant::now() + LOCK, None);
        loop {
            tokio::select! {
                () = tokio::time::sleep(HEARTBEAT) => {}
                () = taken_back.perhaps() => {}
                Ok(()) = reached.changed() => tokio::time::sleep(GATHER).await,
            }
            let now = *reached.borrow_and_update();
            match self.beat(job, now.filter(|_| now != written)).await {
                Ok(true) => (held_until, written) = (Instant::now() + LOCK, now),
                Ok(false) => return,
                Err(_) if Instant::now() >= held_until => return,
                Err(error) => tracing::warn!(%error, job = %job.kind, "a job's claim could not be renewed"),
            }
        }
    }

    async fn beat(&self, job: &Claimed, progress: Option<(i64, i64)>) -> Result<bool, DbError> {
        let mut tx = self.services.db.begin().await?;
        let now = Utc::now();
        let held = jobs::beat(&mut tx, job, now + LOCK, progress, now).await?;
        self.services.commit(tx, &[]).await?;
        Ok(held)
    }

    async fn grace_is_over(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(self.grace).await;
    }

    async fn write_down(&self, job: &Claimed, progress: &Progress, ended: Ended) -> Result<(), DbError> {
        let mut tx = self.services.db.begin().await?;
        let now = Utc::now();
        match ended {
            Ended::With(Outcome::Done) => jobs::finish(&mut tx, job, progress.reached(), now).await?,
            Ended::With(Outcome::Later(at)) => jobs::put_back(&mut tx, job, at, now).await?,
            Ended::Stopped => jobs::put_back(&mut tx, job, now, now).await?,
            Ended::Lost => {}
            Ended::Failed(error) => {
                tracing::warn!(job = %job.kind, subject = %job.subject, attempt = job.attempts, %error, "a job failed");
                let again = job.attempts < job.max_attempts;
                let retry_at = again.then(|| now + back_off(job.attempts, rand::random()));
                jobs::fail(&mut tx, job, &error, retry_at, now).await?;
            }
        }
        self.services.commit(tx, &[]).await
    }
}

/// A word for the metrics.
fn outcome(ended: &Ended, job: &Claimed) -> &'static str {
    match ended {
        Ended::With(Outcome::Done) => "done",
        Ended::With(Outcome::Later(_)) => "later",
        Ended::Failed(_) if job.attempts < job.max_attempts => "failed",
        Ended::Failed(_) => "dead",
        Ended::Lost => "lost",
        Ended::Stopped => "given_back",
    }
}

/// An error with its causes, within bounds and fit for the database.
fn whole(error: &dyn std::error::Error) -> String {
    with_causes(error).chars().filter(|c| *c != '\0').take(MAX_ERROR_CHARS).collect()
}

/// 1 s, 2 s, 4 s … at most 10 minutes, and up to half of it less: `jitter`, from 0 to 1, keeps jobs
/// that failed together from coming back together.
fn back_off(attempts: i32, jitter: f64) -> Duration {
    let doubled = Duration::from_secs(1 << (attempts - 1).clamp(0, 10));
    doubled.min(LONGEST_BACK_OFF).mul_f64(1.0 - jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        let ms = |attempts, jitter| back_off(attempts, jitter).as_millis();
        assert_eq!(
            [ms(1, 0.0), ms(2, 0.0), ms(5, 0.0), ms(10, 0.0), ms(1000, 0.0)],
            [1000, 2000, 16_000, 512_000, 600_000]
        );
        assert_eq!([ms(1, 1.0), ms(2, 0.5), ms(1000, 1.0)], [500, 1500, 300_000]);
    }
}
