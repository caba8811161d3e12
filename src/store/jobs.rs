//! Jobs: work that is done later, once, by whichever process is free.
//!
//! Here they are asked for, listed, and what the owner does to them; `claims.rs` is the worker's
//! side. Each change appends its event ([`EventKind::JobChanged`]), which wakes the workers and
//! tells those who watch: call these functions on a transaction.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, Integer, Jsonb, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use uuid::Uuid;

use super::events::{self, EventKind, NewEvent};
use super::page::Order;
use super::schema::jobs;
use super::sql::Sql;
use super::text_enum::text_enum;
use super::{Conn, DbError, Key, Page, PageOf};

mod claims;

pub use claims::{Claimed, Overview, beat, claim, fail, finish, next_due, overview, put_back};

text_enum! {
    /// How far a job is.
    JobState {
        /// Waits for its time, or for a worker.
        Queued = "QUEUED",
        Running = "RUNNING",
        Done = "DONE",
        /// Failed as often as it may.
        Dead = "DEAD",
        Cancelled = "CANCELLED",
    }
}

/// Which of the jobs that are due comes first: the higher one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(pub i16);

impl Priority {
    /// For what can wait until nothing else is to be done.
    pub const LOW: Self = Self(-10);
    pub const NORMAL: Self = Self(0);
    /// For what readers wait for.
    pub const HIGH: Self = Self(10);
}

/// How often a job is tried unless it says something else.
pub const MAX_ATTEMPTS: i32 = 10;

/// A job to be done.
#[derive(Clone, Debug)]
pub struct NewJob<'a> {
    pub kind: &'a str,
    /// One open job of a kind for each subject; [`Uuid::nil`] if it is about nothing in particular.
    pub subject: Uuid,
    pub run_at: DateTime<Utc>,
    pub priority: Priority,
    /// What else the handler has to know: an object.
    pub payload: Value,
    pub max_attempts: i32,
}

impl<'a> NewJob<'a> {
    /// With the usual priority and attempts.
    pub fn new(kind: &'a str, subject: Uuid, run_at: DateTime<Utc>) -> Self {
        Self { kind, subject, run_at, priority: Priority::NORMAL, payload: json!({}), max_attempts: MAX_ATTEMPTS }
    }
}

/// A job as it is shown.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = jobs, check_for_backend(Pg))]
pub struct JobRow {
    pub id: Uuid,
    pub kind: String,
    pub subject: Uuid,
    pub state: JobState,
    pub priority: i16,
    pub run_at: DateTime<Utc>,
    pub attempts: i32,
    pub max_attempts: i32,
    pub last_error: Option<String>,
    pub progress_done: Option<i64>,
    pub progress_total: Option<i64>,
    pub created_at: DateTime<Utc>,
    /// When it was done, died or was cancelled.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Which jobs to list. What is empty does not restrict.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    pub states: Vec<JobState>,
    pub kind: Option<String>,
}

type JobColumns = SqlTypeOf<<JobRow as Selectable<Pg>>::SelectExpression>;
const NEWEST_FIRST: Order = Order { key: "jobs.created_at", id: "jobs.id", descending: true };

/// Asks for a job on the caller's transaction. An open job of the same kind and subject is moved
/// to the new time instead of a second one being made.
pub async fn enqueue(
    conn: &mut Conn,
    kind: &str,
    subject: Uuid,
    run_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    enqueue_with(conn, &NewJob::new(kind, subject, run_at), now).await?;
    Ok(())
}

/// Asks for jobs of one kind now.
pub async fn enqueue_many(
    conn: &mut Conn,
    kind: &str,
    priority: Priority,
    subjects: &[Uuid],
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    // In one order, so that two who ask for the same wait for each other; each once.
    let subjects: BTreeSet<&Uuid> = subjects.iter().collect();
    for subject in subjects {
        enqueue_with(conn, &NewJob { priority, ..NewJob::new(kind, *subject, now) }, now).await?;
    }
    Ok(())
}

/// The same with everything that can be said of a job; its id. An open job takes over all of it
/// and begins anew, with the higher of both priorities.
pub async fn enqueue_with(conn: &mut Conn, job: &NewJob<'_>, now: DateTime<Utc>) -> Result<Uuid, DbError> {
    let sql = insert(job, now).push(
        " DO UPDATE SET run_at = EXCLUDED.run_at, priority = GREATEST(jobs.priority, EXCLUDED.priority), \
         payload = EXCLUDED.payload, max_attempts = EXCLUDED.max_attempts, state = 'QUEUED', attempts = 0, \
         locked_until = NULL, claim = NULL, last_error = NULL, progress_done = NULL, progress_total = NULL \
         RETURNING id",
    );
    let id: Uuid = sql.get_result(conn).await?;
    tell(conn, id, JobState::Queued, now).await?;
    Ok(id)
}

/// Asks for a job unless one of the same kind and subject is open, which goes on undisturbed.
pub async fn enqueue_unless_open(
    conn: &mut Conn,
    job: &NewJob<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Uuid>, DbError> {
    let id: Option<Uuid> = insert(job, now).push(" DO NOTHING RETURNING id").get_result(conn).await.optional()?;
    if let Some(id) = id {
        tell(conn, id, JobState::Queued, now).await?;
    }
    Ok(id)
}

/// The job of a kind for a subject that waits or runs, and its payload; nobody else asks for it
/// until the transaction ends.
pub async fn lock_open(conn: &mut Conn, kind: &str, subject: Uuid) -> Result<Option<(Uuid, Value)>, DbError> {
    let open = jobs::state.eq_any([JobState::Queued, JobState::Running]);
    Ok(jobs::table
        .filter(jobs::kind.eq(kind).and(jobs::subject.eq(subject)).and(open))
        .select((jobs::id, jobs::payload))
        .for_update()
        .first(conn)
        .await
        .optional()?)
}

/// Changes what a job has to know.
pub async fn set_payload(conn: &mut Conn, id: Uuid, payload: &Value) -> Result<(), DbError> {
    diesel::update(jobs::table.find(id)).set(jobs::payload.eq(payload)).execute(conn).await?;
    Ok(())
}

/// Up to what happens if there is an open one.
fn insert(job: &NewJob<'_>, now: DateTime<Utc>) -> Sql<SqlUuid> {
    Sql::new(
        "INSERT INTO jobs (id, kind, subject, state, priority, payload, max_attempts, run_at, created_at) VALUES (",
    )
    .bind::<SqlUuid, _>(Uuid::now_v7())
    .push(", ")
    .bind::<Text, _>(job.kind.to_owned())
    .push(", ")
    .bind::<SqlUuid, _>(job.subject)
    .push(", 'QUEUED', ")
    .bind::<SmallInt, _>(job.priority.0)
    .push(", ")
    .bind::<Jsonb, _>(job.payload.clone())
    .push(", ")
    .bind::<Integer, _>(job.max_attempts)
    .push(", ")
    .bind::<Timestamptz, _>(job.run_at)
    .push(", ")
    .bind::<Timestamptz, _>(now)
    .push(") ON CONFLICT (kind, subject) WHERE state IN ('QUEUED', 'RUNNING')")
}

/// Withdraws an open job, if there is one.
pub async fn cancel(conn: &mut Conn, kind: &str, subject: Uuid) -> Result<(), DbError> {
    diesel::delete(
        jobs::table
            .filter(jobs::kind.eq(kind))
            .filter(jobs::subject.eq(subject))
            .filter(jobs::state.eq_any([JobState::Queued, JobState::Running])),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends a job that waits or runs. `None` if it is neither.
pub async fn cancel_one(conn: &mut Conn, id: Uuid, now: DateTime<Utc>) -> Result<Option<JobRow>, DbError> {
    Ok(diesel::update(jobs::table.find(id).filter(jobs::state.eq_any([JobState::Queued, JobState::Running])))
        .set((
            jobs::state.eq(JobState::Cancelled),
            jobs::finished_at.eq(now),
            jobs::locked_until.eq(None::<DateTime<Utc>>),
            jobs::claim.eq(None::<Uuid>),
        ))
        .returning(JobRow::as_returning())
        .get_result(conn)
        .await
        .optional()?)
}

/// Puts a job that has ended back into the queue, as if it was new. `None` if it has not ended.
///
/// Errors: a constraint, [`ONE_OPEN`], if an open job does the same.
pub async fn retry(conn: &mut Conn, id: Uuid, now: DateTime<Utc>) -> Result<Option<JobRow>, DbError> {
    let ended = [JobState::Done, JobState::Dead, JobState::Cancelled];
    Ok(diesel::update(jobs::table.find(id).filter(jobs::state.eq_any(ended)))
        .set((
            jobs::state.eq(JobState::Queued),
            jobs::run_at.eq(now),
            jobs::attempts.eq(0),
            jobs::finished_at.eq(None::<DateTime<Utc>>),
            jobs::progress_done.eq(None::<i64>),
            jobs::progress_total.eq(None::<i64>),
        ))
        .returning(JobRow::as_returning())
        .get_result(conn)
        .await
        .optional()?)
}

/// The constraint that a kind has one open job for each subject.
pub const ONE_OPEN: &str = "jobs_open_key";

pub async fn find(conn: &mut Conn, id: Uuid) -> Result<Option<JobRow>, DbError> {
    Ok(jobs::table.find(id).select(JobRow::as_select()).first(conn).await.optional()?)
}

/// One page, newest first.
pub async fn page(conn: &mut Conn, filter: &JobFilter, page: &Page) -> Result<PageOf<JobRow>, DbError> {
    let states =
        (!filter.states.is_empty()).then(|| filter.states.iter().map(|s| s.as_str().to_owned()).collect::<Vec<_>>());
    let sql = Sql::<JobColumns>::new("SELECT ")
        .columns::<JobRow>()
        .push(" FROM jobs WHERE true")
        .when(states, |sql, states| sql.push(" AND jobs.state = ANY(").bind::<Array<Text>, _>(states).push(")"))
        .when(filter.kind.clone(), |sql, kind| sql.push(" AND jobs.kind = ").bind::<Text, _>(kind));
    Ok(PageOf::new(NEWEST_FIRST.finish(sql, page).load(conn).await?, page))
}

pub fn key(row: &JobRow) -> Key {
    Key::Time(row.created_at)
}

/// Forgets jobs that were done or cancelled before `done_before`, and those that died before
/// `dead_before`.
pub async fn forget_ended(
    conn: &mut Conn,
    done_before: DateTime<Utc>,
    dead_before: DateTime<Utc>,
) -> Result<usize, DbError> {
    let done = jobs::state.eq_any([JobState::Done, JobState::Cancelled]).and(jobs::finished_at.lt(done_before));
    let dead = jobs::state.eq(JobState::Dead).and(jobs::finished_at.lt(dead_before));
    Ok(diesel::delete(jobs::table.filter(done.or(dead))).execute(conn).await?)
}

/// What tells of a change of a job.
pub fn changed(id: Uuid, state: JobState, actor: Option<Uuid>, now: DateTime<Utc>) -> NewEvent {
    NewEvent { kind: EventKind::JobChanged, subject: id, payload: json!({ "state": state }), actor, at: now }
}

async fn tell(conn: &mut Conn, id: Uuid, state: JobState, now: DateTime<Utc>) -> Result<(), DbError> {
    events::append(conn, &[changed(id, state, None, now)]).await
}
