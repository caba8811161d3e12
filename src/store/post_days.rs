//! How often posts are read: a count for each post and day, with no person in it.

use chrono::NaiveDate;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::post_days;
use super::{Conn, DbError};

/// Counts one read of a post.
pub async fn count(conn: &mut Conn, post_id: Uuid, day: NaiveDate) -> Result<(), DbError> {
    diesel::insert_into(post_days::table)
        .values((post_days::day.eq(day), post_days::post_id.eq(post_id), post_days::reads.eq(1)))
        .on_conflict((post_days::day, post_days::post_id))
        .do_update()
        .set(post_days::reads.eq(post_days::reads + 1))
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets days before `day`; returns how many rows there were.
pub async fn forget_before(conn: &mut Conn, day: NaiveDate) -> Result<usize, DbError> {
    Ok(diesel::delete(post_days::table.filter(post_days::day.lt(day))).execute(conn).await?)
}
