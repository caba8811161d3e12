//! What has to do with each published post, as it was last made.
//!
//! A list is out of date from the transaction on that changed it ([`outdate`]), and is made anew by a job
//! that holds it meanwhile ([`take_outdated`]): a change either waits for the job and puts the list out of
//! date again, or is seen by it. The job waits for nobody.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Jsonb, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::sql::Sql;
use super::{Conn, DbError};

/// The list of a post.
#[derive(Clone, Debug, PartialEq)]
pub struct NewList {
    pub post_id: Uuid,
    /// As readers see it.
    pub related: Value,
    /// Who is on it.
    pub related_ids: Vec<Uuid>,
}

/// The lists that are up to date and were made with the vectors of `model`; empty for none.
pub async fn of_posts(conn: &mut Conn, model: &str, post_ids: &[Uuid]) -> Result<Vec<(Uuid, Value)>, DbError> {
    let sql = Sql::<(SqlUuid, Jsonb)>::new("SELECT post_id, related FROM post_related WHERE post_id = ANY(")
        .bind::<Array<SqlUuid>, _>(post_ids.to_vec())
        .push(") AND made_at IS NOT NULL AND model = ")
        .bind::<Text, _>(model.to_owned());
    Ok(sql.load(conn).await?)
}

/// Says that `changed` are other posts than they were: their lists, those that they are on, and those of
/// `beside` are to be made anew. Once in a transaction, so that all take the lists in one order.
pub async fn outdate(conn: &mut Conn, changed: &[Uuid], beside: Vec<Uuid>) -> Result<(), DbError> {
    Sql::<Text>::new(
        "UPDATE post_related SET made_at = NULL WHERE post_id IN (SELECT post_id FROM post_related WHERE post_id = ANY(",
    )
    .bind::<Array<SqlUuid>, _>([changed, &beside].concat())
    .push(") OR related_ids && ")
    .bind::<Array<SqlUuid>, _>(changed.to_vec())
    // Also those that are out of date: the job may hold one, and have looked before this change.
    .push("::uuid[] ORDER BY post_id FOR UPDATE)")
    .execute(conn)
    .await?;
    Ok(())
}

/// Has lists made for published posts that have none.
pub async fn expect(conn: &mut Conn, post_ids: &[Uuid]) -> Result<(), DbError> {
    Sql::<Text>::new(
        "INSERT INTO post_related (post_id) SELECT id FROM posts WHERE status = 'PUBLISHED' AND id = ANY(",
    )
    .bind::<Array<SqlUuid>, _>(post_ids.to_vec())
    .push(") ON CONFLICT (post_id) DO NOTHING")
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets the lists of posts, not where else they are on.
pub async fn forget(conn: &mut Conn, post_ids: &[Uuid]) -> Result<(), DbError> {
    Sql::<Text>::new("DELETE FROM post_related WHERE post_id = ANY(")
        .bind::<Array<SqlUuid>, _>(post_ids.to_vec())
        .push(")")
        .execute(conn)
        .await?;
    Ok(())
}

/// Puts out of date what was made with the vectors of another model.
pub async fn outdate_other_models(conn: &mut Conn, model: &str) -> Result<usize, DbError> {
    let sql = Sql::<Text>::new(
        "UPDATE post_related SET made_at = NULL WHERE post_id IN \
         (SELECT post_id FROM post_related WHERE made_at IS NOT NULL AND model <> ",
    )
    .bind::<Text, _>(model.to_owned())
    .push(" FOR UPDATE SKIP LOCKED)");
    Ok(sql.execute(conn).await?)
}

/// How many lists are out of date or were made before `old`.
pub async fn outdated(conn: &mut Conn, old: DateTime<Utc>) -> Result<i64, DbError> {
    let sql = Sql::<BigInt>::new("SELECT count(*) FROM post_related WHERE made_at IS NULL OR made_at < ")
        .bind::<Timestamptz, _>(old);
    Ok(sql.get_result(conn).await?)
}

/// Posts with their languages whose lists are out of date or were made before `old`, the oldest first; nobody
/// else changes these until the transaction ends. Leaves out what somebody is changing now.
pub async fn take_outdated(conn: &mut Conn, old: DateTime<Utc>, limit: i64) -> Result<Vec<(Uuid, String)>, DbError> {
    let sql = Sql::<(SqlUuid, Text)>::new(
        "SELECT list.post_id, posts.language FROM post_related AS list JOIN posts ON posts.id = list.post_id \
         WHERE list.made_at IS NULL OR list.made_at < ",
    )
    .bind::<Timestamptz, _>(old)
    .push(" ORDER BY list.made_at NULLS FIRST LIMIT ")
    .bind::<BigInt, _>(limit)
    .push(" FOR UPDATE OF list SKIP LOCKED");
    Ok(sql.load(conn).await?)
}

/// Keeps lists that were made with the vectors of `model`.
pub async fn put(conn: &mut Conn, model: &str, lists: Vec<NewList>, now: DateTime<Utc>) -> Result<(), DbError> {
    for list in lists {
        Sql::<Text>::new("UPDATE post_related SET model = ")
            .bind::<Text, _>(model.to_owned())
            .push(", related = ")
            .bind::<Jsonb, _>(list.related)
            .push(", related_ids = ")
            .bind::<Array<SqlUuid>, _>(list.related_ids)
            .push(", made_at = ")
            .bind::<Timestamptz, _>(now)
            .push(" WHERE post_id = ")
            .bind::<SqlUuid, _>(list.post_id)
            .execute(conn)
            .await?;
    }
    Ok(())
}
