//! What feeds and the sitemap are made of: published posts, whoever asks.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::RunQueryDsl;

use super::{PostColumns, PostFilter, PostKind, PostOrder, PostRow, matching, visible};
use crate::store::page::Order;
use crate::store::sql::Sql;
use crate::store::{Conn, DbError, Sight};

/// What the address of a post is made of.
#[derive(Clone, Debug, PartialEq, Queryable)]
pub struct PostAddress {
    pub kind: PostKind,
    pub slug: String,
    pub language: String,
    pub listed_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Posts of the same group are the same piece in other languages.
    pub group_key: Option<String>,
}

/// The newest published posts that match, with their html; without it where that has more than
/// `max_html_bytes`.
pub async fn newest(
    conn: &mut Conn,
    filter: &PostFilter,
    limit: u32,
    max_html_bytes: i32,
) -> Result<Vec<(PostRow, Option<String>)>, DbError> {
    let sql = Sql::<(PostColumns, Nullable<Text>)>::new("SELECT ")
        .columns::<PostRow>()
        .push(", CASE WHEN octet_length(posts.html) <= ")
        .bind::<Integer, _>(max_html_bytes)
        .push(" THEN posts.html END FROM posts WHERE ");
    Ok(first(matching(visible(sql, Sight::Public), filter), limit).load(conn).await?)
}

/// Where the newest published posts of all kinds are to be found.
pub async fn addresses(conn: &mut Conn, limit: u32) -> Result<Vec<PostAddress>, DbError> {
    let sql = Sql::<(Text, Text, Text, Timestamptz, Timestamptz, Nullable<Text>)>::new(
        "SELECT posts.kind, posts.slug, posts.language, posts.listed_at, posts.updated_at, \
         post_translations.group_key FROM posts LEFT JOIN post_translations ON post_id = posts.id WHERE ",
    );
    Ok(first(visible(sql, Sight::Public), limit).load(conn).await?)
}

fn first<ST>(sql: Sql<ST>, limit: u32) -> Sql<ST> {
    let Order { key, id, .. } = PostOrder::NewestFirst.columns();
    sql.push(" ORDER BY ").push(key).push(" DESC, ").push(id).push(" DESC LIMIT ").bind::<BigInt, _>(i64::from(limit))
}
