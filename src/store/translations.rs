//! Which posts are the same piece in other languages.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::posts::{self, PostColumns, PostRow};
use super::schema::post_translations;
use super::sql::Sql;
use super::{Conn, DbError, Sight};

/// What refuses a second post of one language in a group.
pub const ONE_A_LANGUAGE: &str = "post_translations_group_language_key";

/// For each post the other posts of its group that may be seen, in the order of their languages.
pub async fn siblings(
    conn: &mut Conn,
    post_ids: &[Uuid],
    sight: Sight,
) -> Result<HashMap<Uuid, Vec<PostRow>>, DbError> {
    let sql = Sql::<(PostColumns, SqlUuid)>::new("SELECT ")
        .columns::<PostRow>()
        .push(
            ", own.post_id FROM post_translations AS own \
             JOIN post_translations AS other ON other.group_key = own.group_key AND other.post_id <> own.post_id \
             JOIN posts ON posts.id = other.post_id WHERE own.post_id = ANY(",
        )
        .bind::<Array<SqlUuid>, _>(post_ids.to_vec())
        .push(") AND ");
    let sql = posts::visible(sql, sight).push(" ORDER BY posts.language, posts.id");
    let rows: Vec<(PostRow, Uuid)> = sql.load(conn).await?;
    let mut groups: HashMap<Uuid, Vec<PostRow>> = HashMap::new();
    for (row, own) in rows {
        groups.entry(own).or_default().push(row);
    }
    Ok(groups)
}

/// The group key of each post that has one.
pub async fn keys(conn: &mut Conn, post_ids: &[Uuid]) -> Result<HashMap<Uuid, String>, DbError> {
    let rows: Vec<(Uuid, String)> = post_translations::table
        .filter(post_translations::post_id.eq_any(post_ids))
        .select((post_translations::post_id, post_translations::group_key))
        .load(conn)
        .await?;
    Ok(rows.into_iter().collect())
}

/// The post that is the `language` version of the group `key`.
pub async fn version_in(conn: &mut Conn, key: &str, language: &str) -> Result<Option<PostRow>, DbError> {
    let sql = Sql::<PostColumns>::new("SELECT ")
        .columns::<PostRow>()
        .push(" FROM posts JOIN post_translations ON post_id = posts.id WHERE group_key = ")
        .bind::<Text, _>(key.to_owned())
        .push(" AND posts.language = ")
        .bind::<Text, _>(language.to_owned())
        .push(" LIMIT 1");
    Ok(sql.get_result(conn).await.optional()?)
}

/// True if a group of this key has a post.
pub async fn exists(conn: &mut Conn, key: &str) -> Result<bool, DbError> {
    let found = post_translations::table.filter(post_translations::group_key.eq(key));
    let one = found.select(post_translations::post_id).first::<Uuid>(conn).await.optional()?;
    Ok(one.is_some())
}

/// True if a post other than `post_id` is already the `language` version of the group `key`.
pub async fn is_taken(conn: &mut Conn, key: &str, language: &str, post_id: Uuid) -> Result<bool, DbError> {
    let sql = Sql::<SqlUuid>::new(
        "SELECT posts.id FROM posts JOIN post_translations ON post_id = posts.id WHERE group_key = ",
    )
    .bind::<Text, _>(key.to_owned())
    .push(" AND posts.language = ")
    .bind::<Text, _>(language.to_owned())
    .push(" AND posts.id <> ")
    .bind::<SqlUuid, _>(post_id)
    .push(" LIMIT 1");
    Ok(sql.get_result::<Uuid>(conn).await.optional()?.is_some())
}

/// Puts a post into the group `key`, or out of every group.
///
/// Errors: constraint [`ONE_A_LANGUAGE`] when the group has a post of this language. The same
/// refuses a change of the language of a post in a group.
pub async fn set(conn: &mut Conn, post_id: Uuid, key: Option<&str>) -> Result<(), DbError> {
    let Some(key) = key else {
        diesel::delete(post_translations::table.find(post_id)).execute(conn).await?;
        return Ok(());
    };
    let sql = Sql::<Text>::new("INSERT INTO post_translations (post_id, group_key, language) SELECT id, ")
        .bind::<Text, _>(key.to_owned())
        .push(", language FROM posts WHERE id = ")
        .bind::<SqlUuid, _>(post_id)
        .push(" ON CONFLICT (post_id) DO UPDATE SET group_key = EXCLUDED.group_key, language = EXCLUDED.language");
    sql.execute(conn).await?;
    Ok(())
}
