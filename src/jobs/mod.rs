//! Work that is done later, once, by whichever process is free.
//!
//! A job is a row of `jobs`, put there by a service in the transaction of the change that asks for
//! it. The worker of each process (`worker.rs`) claims what is due (`SKIP LOCKED`), the most
//! important first, and runs its handler; `cron.rs` asks for what is to be done again and again.
//! Imports `services`, `store`, `events`; imported by `app`.
//!
//! To add one: a line in `KINDS` and an arm in `run_one` whose handler can be run twice without
//! harm, and stopped wherever it waits. If it comes again and again, a setting and a line in
//! `cron::periodic`.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::Utc;

use crate::services::assisting::{self, ASSIST_JOB};
use crate::services::connecting::{self, CONNECT_JOB, REBUILD_JOB};
use crate::services::indexing::{self, INDEX_JOB, READ_JOB};
use crate::services::jobs::{Outcome, Progress};
use crate::services::publishing::{self, PUBLISH_JOB};
use crate::services::relating::{self, RELATE_JOB};
use crate::services::{ServiceError, Services};
use crate::store::jobs::Claimed;
use crate::telemetry::metrics;

pub mod cron;
mod housekeeping;
mod worker;

pub use worker::{WorkerSettings, run_due, work};

/// The job that forgets what has outlived its use.
pub const HOUSEKEEPING_JOB: &str = "housekeeping";

/// What this version can do, and how long each may take.
const KINDS: &[(&str, Duration)] = &[
    (PUBLISH_JOB, Duration::from_secs(60)),
    (INDEX_JOB, Duration::from_secs(120)),
    (READ_JOB, Duration::from_secs(1800)),
    (RELATE_JOB, Duration::from_secs(600)),
    (ASSIST_JOB, Duration::from_secs(1800)),
    (CONNECT_JOB, Duration::from_secs(120)),
    (REBUILD_JOB, Duration::from_secs(900)),
    (connecting::READ_JOB, Duration::from_secs(1800)),
    (HOUSEKEEPING_JOB, Duration::from_secs(600)),
];

/// Those of them that may take minutes.
static LONG: LazyLock<Vec<&str>> =
    LazyLock::new(|| KINDS.iter().filter(|(_, limit)| *limit > QUICK).map(|(kind, _)| *kind).collect());
/// What may not take longer than this holds nobody up.
const QUICK: Duration = Duration::from_secs(120);

async fn run_one(services: &Services, job: &Claimed, progress: &Progress) -> Result<Outcome, ServiceError> {
    match job.kind.as_str() {
        PUBLISH_JOB => publishing::publish_due(services, job.subject, Utc::now()).await?,
        INDEX_JOB => {
            indexing::index_post(services, job.subject, Utc::now()).await?;
            metrics::search_lag((Utc::now() - job.created_at).to_std().unwrap_or_default());
        }
        READ_JOB => return indexing::read_chunks(services, progress).await,
        RELATE_JOB => return relating::relate(services, progress).await,
        ASSIST_JOB => return Box::pin(assisting::run(services, job.subject, &job.payload, progress)).await,
        CONNECT_JOB => connecting::connect_post(services, job.subject, Utc::now()).await?,
        REBUILD_JOB => return connecting::rebuild(services, &job.payload, progress).await,
        connecting::READ_JOB => return connecting::read_entities(services, progress).await,
        HOUSEKEEPING_JOB => housekeeping::tidy(services, Utc::now()).await?,
        other => return Err(ServiceError::Internal(format!("this version does not know jobs of the kind {other:?}"))),
    }
    Ok(Outcome::Done)
}

/// Who does the work: [`Kinds`] in the program, stand-ins in tests.
pub trait Handlers: Send + Sync + 'static {
    /// Does a job. The future is dropped when the job is taken back, or its time is up.
    fn run(
        &self,
        services: &Services,
        job: &Claimed,
        progress: &Progress,
    ) -> impl Future<Output = Result<Outcome, ServiceError>> + Send;

    /// How long a job of this kind may take.
    fn time_limit(&self, kind: &str) -> Duration;

    /// Kinds of jobs that may take minutes.
    fn long_kinds(&self) -> &[&str] {
        &[]
    }
}

/// The kinds of jobs that there are.
pub struct Kinds;

impl Handlers for Kinds {
    async fn run(&self, services: &Services, job: &Claimed, progress: &Progress) -> Result<Outcome, ServiceError> {
        run_one(services, job, progress).await
    }

    fn time_limit(&self, kind: &str) -> Duration {
        known(kind).map_or(Duration::from_secs(60), |(_, limit)| *limit)
    }

    fn long_kinds(&self) -> &[&str] {
        &LONG
    }
}

fn known(kind: &str) -> Option<&'static (&'static str, Duration)> {
    KINDS.iter().find(|(name, _)| *name == kind)
}

/// A kind as a label of metrics, which are a small closed set.
fn label(kind: &str) -> &'static str {
    known(kind).map_or("other", |(name, _)| name)
}
