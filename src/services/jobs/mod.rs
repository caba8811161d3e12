//! The queue of jobs as the owner sees it. What its worker and the handlers tell one another is in
//! `signals.rs`; the worker itself is the room `jobs`.

use uuid::Uuid;

use super::{Actor, RefusalCode, ServiceError, Services};
use crate::store::jobs::{self, JobFilter, JobRow, JobState};
use crate::store::{DbError, Page, PageOf};

mod signals;

pub use signals::{Bell, Outcome, Progress, TakenBack};

/// One page of the jobs, newest first.
///
/// Errors: for others than the owner.
pub async fn page(
    services: &Services,
    actor: &Actor,
    filter: &JobFilter,
    page: &Page,
) -> Result<PageOf<JobRow>, ServiceError> {
    actor.require(actor.viewer.may_see_jobs(), SEE)?;
    Ok(jobs::page(&mut *services.db.conn().await?, filter, page).await?)
}

/// A job by its id; none for others than the owner.
pub async fn find(services: &Services, actor: &Actor, id: Uuid) -> Result<Option<JobRow>, ServiceError> {
    if !actor.viewer.may_see_jobs() {
        return Ok(None);
    }
    Ok(jobs::find(&mut *services.db.conn().await?, id).await?)
}

/// Lets the owner pass.
pub fn may_watch(actor: &Actor) -> Result<(), ServiceError> {
    actor.require(actor.viewer.may_see_jobs(), SEE).map(drop)
}

const SEE: &str = "see jobs";

/// Has a job that has ended done once more, now and with all its attempts.
pub async fn retry(services: &Services, actor: &Actor, id: Uuid) -> Result<JobRow, ServiceError> {
    let owner = actor.require(actor.viewer.may_change_jobs(), "repeat jobs")?;
    let mut tx = services.db.begin().await?;
    let Some(row) = jobs::retry(&mut tx, id, actor.now).await.map_err(same_is_open)? else {
        return Err(wrong_state(jobs::find(&mut tx, id).await?, "only a job that has ended can be repeated"));
    };
    services.commit(tx, &[jobs::changed(id, row.state, Some(owner), actor.now)]).await?;
    Ok(row)
}

/// Ends a job that waits, or that runs: its worker stops at the next thing that it waits for.
pub async fn cancel(services: &Services, actor: &Actor, id: Uuid) -> Result<JobRow, ServiceError> {
    let owner = actor.require(actor.viewer.may_change_jobs(), "cancel jobs")?;
    let mut tx = services.db.begin().await?;
    let Some(row) = jobs::cancel_one(&mut tx, id, actor.now).await? else {
        return Err(wrong_state(jobs::find(&mut tx, id).await?, "only a job that waits or runs can be cancelled"));
    };
    services.commit(tx, &[jobs::changed(id, row.state, Some(owner), actor.now)]).await?;
    Ok(row)
}

fn wrong_state(found: Option<JobRow>, rule: &str) -> ServiceError {
    let Some(row) = found else { return ServiceError::not_found("id", "job") };
    let is = match row.state {
        JobState::Queued => "is in the queue",
        JobState::Running => "is running",
        JobState::Done => "is done",
        JobState::Dead => "has failed for good",
        JobState::Cancelled => "was cancelled",
    };
    ServiceError::refuse(RefusalCode::WrongState, "id", format!("the job {is}: {rule}"))
}

fn same_is_open(error: DbError) -> ServiceError {
    if error.is_constraint(jobs::ONE_OPEN) {
        let message = "another job that does the same waits or runs already: there is nothing to repeat";
        return ServiceError::refuse(RefusalCode::WrongState, "id", message);
    }
    error.into()
}
