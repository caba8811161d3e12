//! Presence: how many look at a post right now, over all server processes.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::presence;
use super::sql::Sql;
use super::{Conn, DbError};

/// Says that `replica` has `viewers` on a post.
pub async fn set(
    conn: &mut Conn,
    replica: Uuid,
    post_id: Uuid,
    viewers: i32,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    diesel::insert_into(presence::table)
        .values((
            presence::replica.eq(replica),
            presence::post_id.eq(post_id),
            presence::viewers.eq(viewers),
            presence::seen_at.eq(now),
        ))
        .on_conflict((presence::replica, presence::post_id))
        .do_update()
        .set((presence::viewers.eq(viewers), presence::seen_at.eq(now)))
        .execute(conn)
        .await?;
    Ok(())
}

/// Everybody on a post, counting only processes seen since `alive_since`.
pub async fn total(conn: &mut Conn, post_id: Uuid, alive_since: DateTime<Utc>) -> Result<i64, DbError> {
    let sql = Sql::<BigInt>::new("SELECT COALESCE(sum(viewers), 0)::bigint FROM presence WHERE post_id = ")
        .bind::<SqlUuid, _>(post_id)
        .push(" AND seen_at >= ")
        .bind::<Timestamptz, _>(alive_since);
    Ok(sql.get_result(conn).await?)
}

/// Says that a process is alive.
pub async fn refresh(conn: &mut Conn, replica: Uuid, now: DateTime<Utc>) -> Result<(), DbError> {
    diesel::update(presence::table.filter(presence::replica.eq(replica)))
        .set(presence::seen_at.eq(now))
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets a process; returns the posts that it had viewers on.
pub async fn forget(conn: &mut Conn, replica: Uuid) -> Result<Vec<Uuid>, DbError> {
    Ok(diesel::delete(presence::table.filter(presence::replica.eq(replica)))
        .returning(presence::post_id)
        .get_results(conn)
        .await?)
}

/// Forgets processes not seen since `alive_since`; returns the posts that they had viewers on.
pub async fn forget_dead(conn: &mut Conn, alive_since: DateTime<Utc>) -> Result<Vec<Uuid>, DbError> {
    Ok(diesel::delete(presence::table.filter(presence::seen_at.lt(alive_since)))
        .returning(presence::post_id)
        .get_results(conn)
        .await?)
}
