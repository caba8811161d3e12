//! A worker's side of the queue: claims, and how they end.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{JobState, tell};
use crate::store::schema::jobs;
use crate::store::sql::Sql;
use crate::store::{Conn, DbError};

/// A job that this process has claimed.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    pub id: Uuid,
    pub kind: String,
    pub subject: Uuid,
    pub payload: Value,
    /// Counting this one.
    pub attempts: i32,
    pub max_attempts: i32,
    /// When it was first asked for.
    pub created_at: DateTime<Utc>,
    /// This claim and no other one, also not of the same job at another time.
    claim: Uuid,
}

type ClaimedColumns = (SqlUuid, Text, SqlUuid, Jsonb, Integer, Integer, Timestamptz);
type ClaimedTuple = (Uuid, String, Uuid, Value, i32, i32, DateTime<Utc>);

/// Claims the most important of the jobs that are due, and of those the one that has been due
/// longest: one queued, or one whose worker let its lock run out. None of the kinds `but`.
pub async fn claim(
    conn: &mut Conn,
    now: DateTime<Utc>,
    locked_until: DateTime<Utc>,
    but: &[&str],
) -> Result<Option<Claimed>, DbError> {
    let claim = Uuid::now_v7();
    let sql = Sql::<ClaimedColumns>::new(
        "UPDATE jobs SET state = 'RUNNING', attempts = attempts + 1, progress_done = NULL, progress_total = NULL, \
         claim = ",
    )
    .bind::<SqlUuid, _>(claim)
    .push(", locked_until = ")
    .bind::<Timestamptz, _>(locked_until)
    .push(" WHERE id = (SELECT id FROM jobs WHERE state IN ('QUEUED', 'RUNNING') AND run_at <= ")
    .bind::<Timestamptz, _>(now)
    .push(" AND (state = 'QUEUED' OR locked_until < ")
    .bind::<Timestamptz, _>(now)
    .push(") AND kind <> ALL(")
    .bind::<Array<Text>, _>(owned(but))
    .push(
        ") ORDER BY priority DESC, run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) \
         RETURNING id, kind, subject, payload, attempts, max_attempts, created_at",
    );
    let row: Option<ClaimedTuple> = sql.get_result(conn).await.optional()?;
    let Some((id, kind, subject, payload, attempts, max_attempts, created_at)) = row else { return Ok(None) };
    tell(conn, id, JobState::Running, now).await?;
    Ok(Some(Claimed { id, kind, subject, payload, attempts, max_attempts, created_at, claim }))
}

/// Says that the worker is alive, and how far it is. False if the claim has ended: the job was
/// cancelled or asked for again since, or another worker claimed it when the lock ran out.
pub async fn beat(
    conn: &mut Conn,
    job: &Claimed,
    locked_until: DateTime<Utc>,
    progress: Option<(i64, i64)>,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let sql = Sql::<Text>::new("UPDATE jobs SET locked_until = ").bind::<Timestamptz, _>(locked_until);
    let held = still_held(reached(sql, progress).push(" WHERE "), job).execute(conn).await? == 1;
    if held && progress.is_some() {
        tell(conn, job.id, JobState::Running, now).await?;
    }
    Ok(held)
}

/// Marks a job as done, unless the claim has ended.
pub async fn finish(
    conn: &mut Conn,
    job: &Claimed,
    progress: Option<(i64, i64)>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let sql = Sql::<Text>::new("UPDATE jobs SET state = 'DONE', last_error = NULL, finished_at = ")
        .bind::<Timestamptz, _>(now);
    release(conn, reached(sql, progress), job, JobState::Done, now).await
}

/// Puts a failed job back to be tried at `retry_at`, or aside for good when there is none; unless
/// the claim has ended.
pub async fn fail(
    conn: &mut Conn,
    job: &Claimed,
    error: &str,
    retry_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let (state, sql) = match retry_at {
        Some(at) => (
            JobState::Queued,
            Sql::<Text>::new("UPDATE jobs SET state = 'QUEUED', run_at = ").bind::<Timestamptz, _>(at),
        ),
        None => {
            (JobState::Dead, Sql::new("UPDATE jobs SET state = 'DEAD', finished_at = ").bind::<Timestamptz, _>(now))
        }
    };
    let sql = sql.push(", last_error = ").bind::<Text, _>(error.to_owned());
    release(conn, sql, job, state, now).await
}

/// Gives a job back to be done at `at`, as if this attempt had not been; unless the claim has ended.
pub async fn put_back(conn: &mut Conn, job: &Claimed, at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), DbError> {
    let sql = Sql::<Text>::new("UPDATE jobs SET state = 'QUEUED', attempts = GREATEST(attempts - 1, 0), run_at = ")
        .bind::<Timestamptz, _>(at);
    release(conn, sql, job, JobState::Queued, now).await
}

fn reached(sql: Sql<Text>, progress: Option<(i64, i64)>) -> Sql<Text> {
    sql.when(progress, |sql, (done, total)| {
        sql.push(", progress_done = ").bind::<BigInt, _>(done).push(", progress_total = ").bind::<BigInt, _>(total)
    })
}

async fn release(
    conn: &mut Conn,
    sql: Sql<Text>,
    job: &Claimed,
    state: JobState,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let sql = sql.push(", locked_until = NULL, claim = NULL WHERE ");
    if still_held(sql, job).execute(conn).await? == 1 {
        tell(conn, job.id, state, now).await?;
    }
    Ok(())
}

/// The number of attempts would not do: it begins anew when a job is asked for again, so that a
/// later claim can have the number of an earlier one.
fn still_held(sql: Sql<Text>, job: &Claimed) -> Sql<Text> {
    sql.push("state = 'RUNNING' AND id = ")
        .bind::<SqlUuid, _>(job.id)
        .push(" AND claim = ")
        .bind::<SqlUuid, _>(job.claim)
}

fn owned(kinds: &[&str]) -> Vec<String> {
    kinds.iter().map(|&kind| kind.to_owned()).collect()
}

/// When the next job is due, if any waits that is none of the kinds `but`.
pub async fn next_due(conn: &mut Conn, but: &[&str]) -> Result<Option<DateTime<Utc>>, DbError> {
    Ok(jobs::table
        .filter(jobs::state.eq(JobState::Queued))
        .filter(jobs::kind.ne_all(owned(but)))
        .order(jobs::run_at)
        .select(jobs::run_at)
        .first(conn)
        .await
        .optional()?)
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Jobs that could be done now.
    pub due: i64,
    /// Jobs whose time is to come.
    pub planned: i64,
    pub running: i64,
    /// Since when the oldest of those that are due has been.
    pub oldest_due: Option<DateTime<Utc>>,
}

pub async fn overview(conn: &mut Conn, now: DateTime<Utc>) -> Result<Overview, DbError> {
    let sql = Sql::<(BigInt, BigInt, BigInt, Nullable<Timestamptz>)>::new(
        "SELECT count(*) FILTER (WHERE state = 'QUEUED' AND due), count(*) FILTER (WHERE state = 'QUEUED' AND NOT due), \
         count(*) FILTER (WHERE state = 'RUNNING'), min(run_at) FILTER (WHERE state = 'QUEUED' AND due) \
         FROM (SELECT state, run_at, run_at <= ",
    )
    .bind::<Timestamptz, _>(now)
    .push(" AS due FROM jobs WHERE state IN ('QUEUED', 'RUNNING')) AS open");
    let (due, planned, running, oldest_due) = sql.get_result(conn).await?;
    Ok(Overview { due, planned, running, oldest_due })
}
