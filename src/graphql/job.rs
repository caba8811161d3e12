//! Work in the background: what waits, what runs, what failed. For the owner only.

use std::collections::VecDeque;
use std::sync::Arc;

use async_graphql::connection::EmptyFields;
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject, Subscription};
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt, stream};
use uuid::Uuid;

use super::connection::Rows;
use super::context::{ContextExt, RequestContext};
use super::node::NodeType;
use super::page::Args;
use super::payload::{UserError, outcome};
use super::post;
use crate::error::{ApiError, Code};
use crate::events::EventKind;
use crate::services::jobs as verbs;
use crate::store::jobs::{self as store, JobFilter, JobRow};

/// Jobs of which a subscription to all of them remembers what it told.
const REMEMBERED: usize = 64;

/// How far a job is.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "store::JobState")]
pub enum JobState {
    /// Waits for its time, or for a worker.
    Queued,
    /// Is being worked on.
    Running,
    /// Is done.
    Done,
    /// Failed as often as it may; `retryJob` has it tried again.
    Dead,
    /// Was ended by the owner.
    Cancelled,
}

/// How far a job that runs is.
#[derive(SimpleObject)]
struct JobProgress {
    /// So much is done.
    done: i64,
    /// Of so much.
    total: i64,
}

/// Work that is done in the background, such as publishing a post at its time.
#[derive(Clone, PartialEq)]
pub struct Job(pub JobRow);

/// Work that is done in the background, such as publishing a post at its time.
#[Object]
impl Job {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::Job.id(self.0.id)
    }

    /// What is to be done, such as `publish_post`.
    async fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The id of what it is about; null if it is about nothing in particular.
    async fn subject_id(&self) -> Option<ID> {
        // A kind says at its end what it is about.
        (self.0.kind.ends_with("_post") && !self.0.subject.is_nil()).then(|| NodeType::Post.id(self.0.subject))
    }

    /// How far it is.
    async fn state(&self) -> JobState {
        self.0.state.into()
    }

    /// Of the jobs that are due, the one with the highest number comes first.
    async fn priority(&self) -> i32 {
        self.0.priority.into()
    }

    /// When it is, or was, to be done.
    async fn run_at(&self) -> DateTime<Utc> {
        self.0.run_at
    }

    /// How often it was tried since it was asked for, the running attempt included.
    async fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// How often it is tried before it is given up.
    async fn max_attempts(&self) -> i32 {
        self.0.max_attempts
    }

    /// Why the last attempt failed; null if none did.
    async fn last_error(&self) -> Option<&str> {
        self.0.last_error.as_deref()
    }

    /// How far it is, or was at its end; null if it does not tell.
    async fn progress(&self) -> Option<JobProgress> {
        Some(JobProgress { done: self.0.progress_done?, total: self.0.progress_total? })
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was done, given up or cancelled; null as long as it is not.
    async fn finished_at(&self) -> Option<DateTime<Utc>> {
        self.0.finished_at
    }
}

/// A job by its id; nothing for others than the owner.
pub async fn find(request: &RequestContext, id: Uuid) -> Result<Option<Job>, ApiError> {
    Ok(verbs::find(&request.services, &request.actor, id).await?.map(Job))
}

#[derive(Default)]
pub struct JobQuery;

#[Object]
impl JobQuery {
    /// A job by its id; null if it does not exist, or not for you. For the owner.
    async fn job(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Job, ApiError>> {
        let find = async { find(ctx.request(), NodeType::Job.row_id(&id)?).await };
        Box::pin(find).await.transpose()
    }

    /// What is done in the background, newest first. For the owner.
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn jobs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that are as far as one of these.")] state: Option<Vec<JobState>>,
        #[graphql(desc = "Only those that do this, such as `publish_post`.")] kind: Option<String>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Job>, ApiError> {
        let request = ctx.request();
        let page = Args { first, after, last, before }.check("jobs")?;
        let states = state.into_iter().flatten().map(store::JobState::from).collect();
        let filter = JobFilter { states, kind };
        let rows = Box::pin(verbs::page(&request.services, &request.actor, &filter, &page)).await?;
        Ok(Rows::new("jobs", rows, EmptyFields, |row| (store::key(row), row.id), Job))
    }
}

/// Which job to repeat.
#[derive(InputObject)]
struct RetryJobInput {
    /// A job that is done, was given up or cancelled.
    id: ID,
}

/// Which job to cancel.
#[derive(InputObject)]
struct CancelJobInput {
    /// A job that waits or runs.
    id: ID,
}

/// The job, or what was wrong.
#[derive(SimpleObject)]
struct JobPayload {
    /// The job as it is now; null when the input was refused.
    job: Option<Job>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct JobMutation;

#[Object]
impl JobMutation {
    /// Has a job that has ended done once more, now and with all its attempts. For the owner.
    async fn retry_job(&self, ctx: &Context<'_>, input: RetryJobInput) -> Result<JobPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Job.row_id(&input.id)?;
        let (row, user_errors) = outcome(verbs::retry(&request.services, &request.actor, id).await)?;
        request.renew_loaders();
        Ok(JobPayload { job: row.map(Job), user_errors })
    }

    /// Ends a job that waits or runs. What it has done already stays. For the owner.
    async fn cancel_job(&self, ctx: &Context<'_>, input: CancelJobInput) -> Result<JobPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Job.row_id(&input.id)?;
        let (row, user_errors) = outcome(verbs::cancel(&request.services, &request.actor, id).await)?;
        request.renew_loaders();
        Ok(JobPayload { job: row.map(Job), user_errors })
    }
}

/// A job that has changed.
#[derive(SimpleObject)]
struct JobProgressEvent {
    /// The job, as it is now.
    job: Job,
}

#[derive(Default)]
pub struct JobSubscription;

#[Subscription]
impl JobSubscription {
    /// A job as it is at once, and then each time it gets further, until it has ended; without an
    /// id, every job each time it changes, from now on. For the owner.
    async fn job_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job; all of them if absent.")] id: Option<ID>,
    ) -> Result<impl Stream<Item = Result<JobProgressEvent, ApiError>>, ApiError> {
        let request = ctx.data_unchecked::<Arc<RequestContext>>().clone();
        verbs::may_watch(&request.actor)?;
        let one = id.as_ref().map(|id| NodeType::Job.row_id(id)).transpose()?;
        // Heard before the job is read: what happens in between is told twice rather than never.
        let events = post::events(&request, vec![EventKind::JobChanged], one, None).await?;
        let first = match one {
            Some(row) => Some(find(&request, row).await?.ok_or_else(|| missing(id))?),
            None => None,
        };
        let later = events.filter_map(move |event| {
            let request = request.clone();
            async move {
                let read = async { find(&request, event?.subject).await };
                read.await.transpose()
            }
        });
        let all = stream::iter(first.map(Ok)).chain(later);
        Ok(until_it_ends(all, one.is_some()).map(|job| job.map(|job| JobProgressEvent { job })))
    }
}

fn missing(id: Option<ID>) -> ApiError {
    ApiError::new(Code::NotFound, format!("there is no job with the id {:?}", id.unwrap_or_default().0))
}

/// Leaves out what repeats the last of the same job; if it is all of one job, up to where that has ended.
fn until_it_ends(
    jobs: impl Stream<Item = Result<Job, ApiError>> + Send + 'static,
    of_one: bool,
) -> impl Stream<Item = Result<Job, ApiError>> {
    stream::unfold(Some((jobs.boxed(), VecDeque::new())), move |state| async move {
        let (mut jobs, mut told) = state?;
        loop {
            let job = jobs.next().await?;
            if job.as_ref().is_ok_and(|job| !is_news(job, &mut told)) {
                continue;
            }
            let ended = of_one && job.as_ref().is_ok_and(|job| job.0.finished_at.is_some());
            return Some((job, (!ended).then_some((jobs, told))));
        }
    })
}

/// Whether a job is not as it was told; `told` remembers it.
fn is_news(job: &Job, told: &mut VecDeque<Job>) -> bool {
    if let Some(at) = told.iter().position(|other| other.0.id == job.0.id) {
        if told[at] == *job {
            return false;
        }
        told.remove(at);
    } else if told.len() == REMEMBERED {
        told.pop_front();
    }
    told.push_back(job.clone());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u128, progress_done: i64) -> Result<Job, ApiError> {
        let at = DateTime::UNIX_EPOCH;
        Ok(Job(JobRow {
            id: Uuid::from_u128(id),
            kind: "index_post".into(),
            subject: Uuid::nil(),
            state: store::JobState::Running,
            priority: 0,
            run_at: at,
            attempts: 1,
            max_attempts: 5,
            last_error: None,
            progress_done: Some(progress_done),
            progress_total: Some(9),
            created_at: at,
            finished_at: None,
        }))
    }

    #[tokio::test]
    async fn what_is_as_it_was_told_is_not_told_again_whatever_comes_in_between() {
        let jobs = [job(1, 0), job(2, 0), job(1, 0), job(1, 1), job(2, 0), job(1, 0), job(2, 5)];
        let told: Vec<_> = until_it_ends(stream::iter(jobs), false)
            .map(|job| job.map(|Job(row)| (row.id.as_u128(), row.progress_done)).ok())
            .collect()
            .await;
        assert_eq!(told, [(1, 0), (2, 0), (1, 1), (1, 0), (2, 5)].map(|(id, done)| Some((id, Some(done)))));
    }

    #[tokio::test]
    async fn a_job_that_was_told_long_ago_is_forgotten() {
        let mut told = VecDeque::new();
        for id in 0..2 * REMEMBERED as u128 {
            assert!(is_news(&job(id, 0).expect("a job"), &mut told));
        }
        assert_eq!(told.len(), REMEMBERED);
    }
}
