//! Reads: which posts a reader has read, each once with the last time. Whoever asks says whose, so
//! that nobody is told of another's.

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::page::Order;
use super::posts;
use super::schema::reads;
use super::sql::Sql;
use super::{Conn, DbError, Key, Page, PageOf, Sight};

/// A post that somebody has read.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = reads, check_for_backend(Pg))]
pub struct ReadRow {
    pub post_id: Uuid,
    pub read_at: DateTime<Utc>,
    pub times: i32,
}

type ReadColumns = SqlTypeOf<<ReadRow as Selectable<Pg>>::SelectExpression>;
const LAST_READ_FIRST: Order = Order { key: "reads.read_at", id: "reads.post_id", descending: true };

/// Counts a read, unless there was one of this post after `again_from`; how often it was read by
/// now, or `None` if it does not count.
pub async fn count(
    conn: &mut Conn,
    reader_id: Uuid,
    post_id: Uuid,
    now: DateTime<Utc>,
    again_from: DateTime<Utc>,
) -> Result<Option<i32>, DbError> {
    let sql = Sql::<Integer>::new("INSERT INTO reads (reader_id, post_id, read_at) VALUES (")
        .bind::<SqlUuid, _>(reader_id)
        .push(", ")
        .bind::<SqlUuid, _>(post_id)
        .push(", ")
        .bind::<Timestamptz, _>(now)
        .push(
            ") ON CONFLICT (reader_id, post_id) DO UPDATE SET read_at = EXCLUDED.read_at, times = reads.times + 1 \
             WHERE reads.read_at <= ",
        )
        .bind::<Timestamptz, _>(again_from)
        .push(" RETURNING times");
    Ok(sql.get_result(conn).await.optional()?)
}

/// Forgets all but the posts that a reader read last.
pub async fn keep_last(conn: &mut Conn, reader_id: Uuid, most: i64) -> Result<(), DbError> {
    let sql = Sql::<SqlUuid>::new("DELETE FROM reads WHERE reader_id = ")
        .bind::<SqlUuid, _>(reader_id)
        .push(
            " AND (read_at, post_id) < (SELECT read_at, post_id FROM \
             (SELECT read_at, post_id FROM reads WHERE reader_id = ",
        )
        .bind::<SqlUuid, _>(reader_id)
        .push(" ORDER BY read_at DESC, post_id DESC LIMIT ")
        .bind::<BigInt, _>(most)
        .push(") AS last ORDER BY read_at, post_id LIMIT 1)");
    sql.execute(conn).await?;
    Ok(())
}

/// One page of what a reader has read and everybody may see, the last read first.
pub async fn page(conn: &mut Conn, reader_id: Uuid, page: &Page) -> Result<PageOf<ReadRow>, DbError> {
    let sql = Sql::<ReadColumns>::new("SELECT ")
        .columns::<ReadRow>()
        .push(" FROM reads JOIN posts ON posts.id = reads.post_id WHERE reads.reader_id = ")
        .bind::<SqlUuid, _>(reader_id)
        .push(" AND ");
    Ok(PageOf::new(LAST_READ_FIRST.finish(posts::visible(sql, Sight::Public), page).load(conn).await?, page))
}

/// Forgets all that a reader has read; returns how many posts that were.
pub async fn delete_all(conn: &mut Conn, reader_id: Uuid) -> Result<usize, DbError> {
    Ok(diesel::delete(reads::table.filter(reads::reader_id.eq(reader_id))).execute(conn).await?)
}

/// Forgets what was last read before `before`; returns how many rows that were.
pub async fn forget_before(conn: &mut Conn, before: DateTime<Utc>) -> Result<usize, DbError> {
    Ok(diesel::delete(reads::table.filter(reads::read_at.lt(before))).execute(conn).await?)
}

/// The order key of a post in its reader's history.
pub fn key(row: &ReadRow) -> Key {
    Key::Time(row.read_at)
}
