//! Jobs: work that is done later, once, by whichever process is free.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Integer, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::jobs;
use super::sql::Sql;
use super::{Conn, DbError};

/// A job that this process has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub id: Uuid,
    pub kind: String,
    pub subject: Uuid,
    /// Counting this one.
    pub attempts: i32,
    /// This claim and no other one, also not of the same job at another time.
    claim: Uuid,
}

/// What becomes of an open job that is asked for again.
const ASKED_AGAIN: &str = " ON CONFLICT (kind, subject) WHERE state IN ('QUEUED', 'RUNNING') \
     DO UPDATE SET run_at = EXCLUDED.run_at, state = 'QUEUED', attempts = 0, locked_until = NULL, claim = NULL";

/// Asks for a job on the caller's transaction. An open job of the same kind and subject is moved
/// to the new time instead of a second one being made.
pub async fn enqueue(
    conn: &mut Conn,
    kind: &str,
    subject: Uuid,
    run_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let sql = Sql::<Text>::new("INSERT INTO jobs (id, kind, subject, state, run_at, created_at) VALUES (")
        .bind::<SqlUuid, _>(Uuid::now_v7())
        .push(", ")
        .bind::<Text, _>(kind.to_owned())
        .push(", ")
        .bind::<SqlUuid, _>(subject)
        .push(", 'QUEUED', ")
        .bind::<Timestamptz, _>(run_at)
        .push(", ")
        .bind::<Timestamptz, _>(now)
        .push(")")
        .push(ASKED_AGAIN);
    sql.execute(conn).await?;
    Ok(())
}

/// Asks for jobs of one kind now, like [`enqueue`].
pub async fn enqueue_many(conn: &mut Conn, kind: &str, subjects: &[Uuid], now: DateTime<Utc>) -> Result<(), DbError> {
    // Sorted, so that two who ask for the same wait for each other in one order; each once.
    let mut subjects = subjects.to_vec();
    subjects.sort_unstable();
    subjects.dedup();
    if subjects.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = subjects.iter().map(|_| Uuid::now_v7()).collect();
    let sql = Sql::<Text>::new("INSERT INTO jobs (id, kind, subject, state, run_at, created_at) SELECT id, ")
        .bind::<Text, _>(kind.to_owned())
        .push(", subject, 'QUEUED', ")
        .bind::<Timestamptz, _>(now)
        .push(", ")
        .bind::<Timestamptz, _>(now)
        .push(" FROM unnest(")
        .bind::<Array<SqlUuid>, _>(ids)
        .push(", ")
        .bind::<Array<SqlUuid>, _>(subjects)
        .push(") AS asked (id, subject)")
        .push(ASKED_AGAIN);
    sql.execute(conn).await?;
    Ok(())
}

/// Withdraws an open job, if there is one.
pub async fn cancel(conn: &mut Conn, kind: &str, subject: Uuid) -> Result<(), DbError> {
    diesel::delete(
        jobs::table
            .filter(jobs::kind.eq(kind))
            .filter(jobs::subject.eq(subject))
            .filter(jobs::state.eq_any(["QUEUED", "RUNNING"])),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Claims the job that has been due longest: one queued, or one whose worker let its lock run out.
pub async fn claim(
    conn: &mut Conn,
    now: DateTime<Utc>,
    locked_until: DateTime<Utc>,
) -> Result<Option<Claimed>, DbError> {
    let claim = Uuid::now_v7();
    let sql = Sql::<(SqlUuid, Text, SqlUuid, Integer)>::new(
        "UPDATE jobs SET state = 'RUNNING', attempts = attempts + 1, claim = ",
    )
    .bind::<SqlUuid, _>(claim)
    .push(", locked_until = ")
    .bind::<Timestamptz, _>(locked_until)
    .push(" WHERE id = (SELECT id FROM jobs WHERE run_at <= ")
    .bind::<Timestamptz, _>(now)
    .push(" AND (state = 'QUEUED' OR (state = 'RUNNING' AND locked_until < ")
    .bind::<Timestamptz, _>(now)
    .push(")) ORDER BY run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, kind, subject, attempts");
    let row: Option<(Uuid, String, Uuid, i32)> = sql.get_result(conn).await.optional()?;
    Ok(row.map(|(id, kind, subject, attempts)| Claimed { id, kind, subject, attempts, claim }))
}

/// Marks a job as done, unless the claim has ended: the job was asked for again since, or another
/// worker claimed it when the lock ran out.
pub async fn finish(conn: &mut Conn, job: &Claimed) -> Result<(), DbError> {
    let sql = Sql::<Text>::new("UPDATE jobs SET state = 'DONE', locked_until = NULL, claim = NULL WHERE ");
    still_held(sql, job).execute(conn).await?;
    Ok(())
}

/// Puts a failed job back to be tried at `retry_at`, or aside for good when there is none; unless
/// the claim has ended.
pub async fn fail(conn: &mut Conn, job: &Claimed, error: &str, retry_at: Option<DateTime<Utc>>) -> Result<(), DbError> {
    let sql = match retry_at {
        Some(at) => Sql::<Text>::new("UPDATE jobs SET state = 'QUEUED', run_at = ").bind::<Timestamptz, _>(at),
        None => Sql::new("UPDATE jobs SET state = 'DEAD'"),
    };
    let sql = sql
        .push(", locked_until = NULL, claim = NULL, last_error = ")
        .bind::<Text, _>(error.to_owned())
        .push(" WHERE ");
    still_held(sql, job).execute(conn).await?;
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

/// When the next job is due, if any waits.
pub async fn next_due(conn: &mut Conn) -> Result<Option<DateTime<Utc>>, DbError> {
    Ok(jobs::table
        .filter(jobs::state.eq("QUEUED"))
        .order(jobs::run_at)
        .select(jobs::run_at)
        .first(conn)
        .await
        .optional()?)
}

/// Forgets jobs that were done before `before`.
pub async fn delete_done(conn: &mut Conn, before: DateTime<Utc>) -> Result<usize, DbError> {
    Ok(diesel::delete(jobs::table.filter(jobs::state.eq("DONE")).filter(jobs::run_at.lt(before))).execute(conn).await?)
}
