//! Which posts are the same piece in other languages.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::post_translations;
use super::sql::Sql;
use super::{Conn, DbError};

/// For each post the ids of the other posts of its group, in the order of their languages.
/// The caller checks who may see them.
pub async fn siblings(conn: &mut Conn, post_ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<Uuid>>, DbError> {
    let sql = Sql::<(SqlUuid, SqlUuid)>::new(
        "SELECT own.post_id, posts.id FROM post_translations AS own \
         JOIN post_translations AS other ON other.group_key = own.group_key AND other.post_id <> own.post_id \
         JOIN posts ON posts.id = other.post_id WHERE own.post_id = ANY(",
    )
    .bind::<Array<SqlUuid>, _>(post_ids.to_vec())
    .push(") ORDER BY posts.language, posts.id");
    let rows: Vec<(Uuid, Uuid)> = sql.load(conn).await?;
    let mut groups: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for (own, other) in rows {
        groups.entry(own).or_default().push(other);
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
pub async fn set(conn: &mut Conn, post_id: Uuid, key: Option<&str>) -> Result<(), DbError> {
    let Some(key) = key else {
        diesel::delete(post_translations::table.find(post_id)).execute(conn).await?;
        return Ok(());
    };
    diesel::insert_into(post_translations::table)
        .values((post_translations::post_id.eq(post_id), post_translations::group_key.eq(key)))
        .on_conflict(post_translations::post_id)
        .do_update()
        .set(post_translations::group_key.eq(key))
        .execute(conn)
        .await?;
    Ok(())
}
