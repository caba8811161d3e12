//! What could be recommended to a reader: what they did lately, and which posts there are that they
//! do not know.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Date, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::posts;
use super::readers::Reader;
use super::sql::Sql;
use super::{Conn, DbError, Sight};

/// What somebody reacted with or wrote counts more than a read, for what is popular.
const POPULAR: &str = "WITH week AS (SELECT post_id, sum(points)::float8 AS points FROM (\
     SELECT post_id, sum(reads)::float8 AS points FROM post_days WHERE day > ";
const REACTED: &str = " GROUP BY post_id UNION ALL \
     SELECT post_id, 3 * count(DISTINCT user_id) FROM reactions WHERE created_at > ";
const COMMENTED: &str = " GROUP BY post_id UNION ALL \
     SELECT post_id, 5 * count(DISTINCT author_id) FROM comments WHERE status = 'APPROVED' AND created_at > ";

/// Who somebody is to the tables of what was read and said. Nobody has neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub reader_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
}

/// What somebody can have done with a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    Read,
    Liked,
    Commented,
}

/// A deed of a reader.
#[derive(Clone, Debug, PartialEq)]
pub struct DeedRow {
    pub post_id: Uuid,
    pub language: String,
    pub deed: Deed,
    pub at: DateTime<Utc>,
}

/// A post that could be recommended.
#[derive(Clone, Debug, PartialEq, Queryable)]
pub struct CandidateRow {
    pub post_id: Uuid,
    pub language: String,
    pub series_id: Option<Uuid>,
    /// Posts of the same group are the same piece in other languages.
    pub group_key: Option<String>,
    /// What speaks for it this week, out of counts of everybody.
    pub points: f64,
    pub listed_at: DateTime<Utc>,
}

/// What a reader did with published posts, of each kind of deed the last `limit`, in no particular
/// order; `None` for a token that is not known.
pub async fn deeds(conn: &mut Conn, reader: &Reader, limit: i64) -> Result<Option<(Known, Vec<DeedRow>)>, DbError> {
    type Columns = (Nullable<SqlUuid>, Nullable<SqlUuid>, Nullable<Text>, Nullable<Text>, Nullable<Timestamptz>);
    type Row = (Option<Uuid>, Option<Uuid>, Option<String>, Option<String>, Option<DateTime<Utc>>);
    let sql = Sql::<Columns>::new("SELECT who.reader_id, deed.post_id, posts.language, deed.kind, deed.at FROM (");
    let sql = match reader {
        Reader::User(id) => sql
            .push("SELECT me.id AS user_id, readers.id AS reader_id FROM (SELECT ")
            .bind::<SqlUuid, _>(*id)
            .push(" AS id) AS me LEFT JOIN readers ON readers.user_id = me.id"),
        Reader::Token(hash) => {
            sql.push("SELECT user_id, id AS reader_id FROM readers WHERE token_hash = ").bind::<Binary, _>(hash.clone())
        }
    };
    let sql = sql
        .push(
            ") AS who LEFT JOIN LATERAL (\
             (SELECT post_id, 'READ' AS kind, read_at AS at FROM reads WHERE reads.reader_id = who.reader_id \
             ORDER BY read_at DESC LIMIT ",
        )
        .bind::<BigInt, _>(limit)
        .push(
            ") UNION ALL (SELECT post_id, 'LIKED', max(created_at) FROM reactions WHERE reactions.user_id = who.user_id \
             GROUP BY post_id ORDER BY max(created_at) DESC LIMIT ",
        )
        .bind::<BigInt, _>(limit)
        .push(
            ") UNION ALL (SELECT post_id, 'COMMENTED', max(created_at) FROM comments WHERE comments.author_id = \
             who.user_id AND status IN ('PENDING', 'APPROVED') GROUP BY post_id ORDER BY max(created_at) DESC LIMIT ",
        )
        .bind::<BigInt, _>(limit)
        .push(")) AS deed ON true LEFT JOIN posts ON posts.id = deed.post_id AND ");
    let rows: Vec<Row> = posts::visible(sql, Sight::Public).load(conn).await?;
    let user_id = match reader {
        Reader::User(id) => Some(*id),
        Reader::Token(_) => None,
    };
    let Some((reader_id, ..)) = rows.as_slice().first() else { return Ok(None) };
    let known = Known { reader_id: *reader_id, user_id };
    let deeds = rows.into_iter().filter_map(|(_, post_id, language, kind, at)| {
        let deed = match kind?.as_str() {
            "LIKED" => Deed::Liked,
            "COMMENTED" => Deed::Commented,
            _ => Deed::Read,
        };
        Some(DeedRow { post_id: post_id?, language: language?, deed, at: at? })
    });
    Ok(Some((known, deeds.collect())))
}

/// Of `near`, of what is popular since `since` and of what is newest, at most `limit` each of the
/// latter, those published posts that somebody has not read, reacted to, commented on or written, nor
/// in translation; without pages such as "About". In no particular order.
pub async fn unknown(
    conn: &mut Conn,
    known: Known,
    near: &[Uuid],
    since: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<CandidateRow>, DbError> {
    let sql = Sql::<(SqlUuid, Text, Nullable<SqlUuid>, Nullable<Text>, Double, Timestamptz)>::new(POPULAR)
        .bind::<Date, _>(since.date_naive())
        .push(REACTED)
        .bind::<Timestamptz, _>(since)
        .push(COMMENTED)
        .bind::<Timestamptz, _>(since)
        .push(" GROUP BY post_id) AS each GROUP BY post_id), ");
    let sql = fitting(sql, known)
        .push(", wanted AS ((SELECT posts.id FROM unnest(")
        .bind::<Array<SqlUuid>, _>(near.to_vec())
        .push(
            ") AS near (id) JOIN fit AS posts ON posts.id = near.id) UNION \
             (SELECT posts.id FROM week JOIN fit AS posts ON posts.id = week.post_id \
             ORDER BY week.points DESC, posts.id DESC LIMIT ",
        )
        .bind::<BigInt, _>(limit)
        .push(") UNION (SELECT posts.id FROM fit AS posts ORDER BY posts.listed_at DESC, posts.id DESC LIMIT ")
        .bind::<BigInt, _>(limit)
        .push(
            ")) SELECT posts.id, posts.language, posts.series_id, post_translations.group_key, \
             COALESCE(week.points, 0), posts.listed_at FROM wanted JOIN posts ON posts.id = wanted.id \
             LEFT JOIN week ON week.post_id = posts.id \
             LEFT JOIN post_translations ON post_translations.post_id = posts.id",
        );
    Ok(sql.load(conn).await?)
}

/// `fit`: the posts that may be recommended to somebody.
fn fitting<ST>(sql: Sql<ST>, known: Known) -> Sql<ST> {
    let sql = sql
        .push("seen AS (SELECT post_id FROM reads WHERE reader_id = ")
        .bind::<Nullable<SqlUuid>, _>(known.reader_id)
        .push(" UNION SELECT post_id FROM reactions WHERE user_id = ")
        .bind::<Nullable<SqlUuid>, _>(known.user_id)
        .push(" UNION SELECT post_id FROM comments WHERE author_id = ")
        .bind::<Nullable<SqlUuid>, _>(known.user_id)
        .push(
            "), hidden AS (SELECT post_id FROM seen UNION SELECT other.post_id FROM seen \
             JOIN post_translations AS own ON own.post_id = seen.post_id \
             JOIN post_translations AS other ON other.group_key = own.group_key), \
             fit AS NOT MATERIALIZED (SELECT posts.id, posts.listed_at FROM posts WHERE ",
        );
    posts::visible(sql, Sight::Public)
        .push(" AND posts.kind <> 'PAGE' AND posts.author_id IS DISTINCT FROM ")
        .bind::<Nullable<SqlUuid>, _>(known.user_id)
        .push(" AND posts.id NOT IN (SELECT post_id FROM hidden))")
}
