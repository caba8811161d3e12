//! Tags, and which posts carry them.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::page::Order;
use super::schema::{post_tags, tags};
use super::sql::{self, Sql};
use super::{Conn, DbError, Key, Page, PageOf, Sight};

#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, Serialize, Deserialize)]
#[diesel(table_name = tags, check_for_backend(Pg))]
pub struct TagRow {
    pub id: Uuid,
    pub slug: String,
    pub name: String,
    pub description: String,
    pub demo: bool,
    pub created_at: DateTime<Utc>,
}

/// What an edit changes; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = tags)]
pub struct TagChanges {
    pub slug: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
}

type TagColumns = SqlTypeOf<<TagRow as Selectable<Pg>>::SelectExpression>;
const BY_SLUG: Order = Order { key: "tags.slug", id: "tags.id", descending: false };

pub async fn by_ids(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<TagRow>, DbError> {
    Ok(tags::table.filter(tags::id.eq_any(ids)).select(TagRow::as_select()).load(conn).await?)
}

pub async fn by_slugs(conn: &mut Conn, slugs: &[String]) -> Result<Vec<TagRow>, DbError> {
    Ok(tags::table.filter(tags::slug.eq_any(slugs)).select(TagRow::as_select()).load(conn).await?)
}

/// The tag with this slug, if it may be seen.
pub async fn by_slug(conn: &mut Conn, slug: String, sight: Sight) -> Result<Option<TagRow>, DbError> {
    let sql = Sql::<TagColumns>::new("SELECT ").columns::<TagRow>().push(" FROM tags WHERE tags.slug = ");
    let sql = sql.bind::<Text, _>(slug).push(" AND ").push(visible(sight));
    Ok(sql.get_result(conn).await.optional()?)
}

/// One page of the tags that may be seen, by slug.
pub async fn page(conn: &mut Conn, page: &Page, sight: Sight) -> Result<PageOf<TagRow>, DbError> {
    let sql = Sql::<TagColumns>::new("SELECT ").columns::<TagRow>().push(" FROM tags WHERE ").push(visible(sight));
    Ok(PageOf::new(BY_SLUG.finish(sql, page).load(conn).await?, page))
}

/// Which of these tags may be seen.
pub async fn visible_ids(conn: &mut Conn, ids: &[Uuid], sight: Sight) -> Result<HashSet<Uuid>, DbError> {
    sql::ids_among(conn, "SELECT tags.id FROM tags WHERE tags.id = ANY(", ids, visible(sight)).await
}

/// A tag tells the public of the posts that carry it: without a published one it tells of drafts.
fn visible(sight: Sight) -> &'static str {
    match sight {
        Sight::Public => {
            "EXISTS (SELECT 1 FROM post_tags JOIN posts ON posts.id = post_tags.post_id \
             WHERE post_tags.tag_id = tags.id AND posts.status = 'PUBLISHED')"
        }
        Sight::Everything => "true",
    }
}

/// Tags of published posts whose names begin so, the most used first.
pub async fn beginning(conn: &mut Conn, prefix: &str, limit: i64) -> Result<Vec<TagRow>, DbError> {
    let sql = Sql::<TagColumns>::new("SELECT ")
        .columns::<TagRow>()
        .push(" FROM tags WHERE starts_with(lower(tags.name), lower(")
        .bind::<Text, _>(prefix.to_owned())
        .push(")) AND ")
        .push(visible(Sight::Public))
        .push(" ORDER BY (SELECT count(*) FROM post_tags WHERE tag_id = tags.id) DESC, tags.slug LIMIT ")
        .bind::<BigInt, _>(limit);
    Ok(sql.load(conn).await?)
}

/// The posts that carry a tag.
pub async fn post_ids(conn: &mut Conn, tag_id: Uuid) -> Result<Vec<Uuid>, DbError> {
    Ok(post_tags::table.filter(post_tags::tag_id.eq(tag_id)).select(post_tags::post_id).load(conn).await?)
}

/// The tags that most posts carry, drafts too.
pub async fn most_used(conn: &mut Conn, limit: i64) -> Result<Vec<TagRow>, DbError> {
    let sql = Sql::<TagColumns>::new("SELECT ")
        .columns::<TagRow>()
        .push(
            " FROM tags LEFT JOIN (SELECT tag_id, count(*) AS posts FROM post_tags GROUP BY tag_id) AS used \
             ON used.tag_id = tags.id ORDER BY used.posts DESC NULLS LAST, tags.slug LIMIT ",
        )
        .bind::<BigInt, _>(limit);
    Ok(sql.load(conn).await?)
}

/// Every tag, by slug, for export.
pub async fn all(conn: &mut Conn) -> Result<Vec<TagRow>, DbError> {
    Ok(tags::table.order(tags::slug).select(TagRow::as_select()).load(conn).await?)
}

pub fn key(row: &TagRow) -> Key {
    Key::Text(row.slug.clone())
}

/// How many tags [`page`] goes through in all.
pub async fn count(conn: &mut Conn, sight: Sight) -> Result<i64, DbError> {
    Ok(Sql::<BigInt>::new("SELECT count(*) FROM tags WHERE ").push(visible(sight)).get_result(conn).await?)
}

/// The tags of each post, in the order its author gave them.
pub async fn by_posts(conn: &mut Conn, post_ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<TagRow>>, DbError> {
    let rows: Vec<(Uuid, TagRow)> = post_tags::table
        .inner_join(tags::table)
        .filter(post_tags::post_id.eq_any(post_ids))
        .order((post_tags::post_id, post_tags::position))
        .select((post_tags::post_id, TagRow::as_select()))
        .load(conn)
        .await?;
    let mut groups: HashMap<Uuid, Vec<TagRow>> = HashMap::new();
    for (post, tag) in rows {
        groups.entry(post).or_default().push(tag);
    }
    Ok(groups)
}

/// Errors: constraint `tags_slug_key` when the slug is taken.
pub async fn insert(conn: &mut Conn, tag: &TagRow) -> Result<(), DbError> {
    diesel::insert_into(tags::table).values(tag).execute(conn).await?;
    Ok(())
}

/// Inserts those whose slugs are new, and says how many were; the others stay as they are.
pub async fn insert_missing(conn: &mut Conn, rows: &[TagRow]) -> Result<usize, DbError> {
    Ok(diesel::insert_into(tags::table).values(rows).on_conflict(tags::slug).do_nothing().execute(conn).await?)
}

/// `None` if there is no such tag.
pub async fn update(conn: &mut Conn, id: Uuid, changes: &TagChanges) -> Result<Option<TagRow>, DbError> {
    Ok(diesel::update(tags::table.find(id))
        .set(changes)
        .returning(TagRow::as_returning())
        .get_result(conn)
        .await
        .optional()?)
}

/// True if there was such a tag.
pub async fn delete(conn: &mut Conn, id: Uuid) -> Result<bool, DbError> {
    Ok(diesel::delete(tags::table.find(id)).execute(conn).await? > 0)
}

/// Gives a post exactly these tags, in this order.
pub async fn set_of_post(conn: &mut Conn, post_id: Uuid, tag_ids: &[Uuid]) -> Result<(), DbError> {
    diesel::delete(post_tags::table.filter(post_tags::post_id.eq(post_id))).execute(conn).await?;
    let rows: Vec<_> = (0i32..)
        .zip(tag_ids)
        .map(|(position, tag)| {
            (post_tags::post_id.eq(post_id), post_tags::tag_id.eq(*tag), post_tags::position.eq(position))
        })
        .collect();
    diesel::insert_into(post_tags::table).values(rows).execute(conn).await?;
    Ok(())
}

/// Removes the demo site's tags that no post carries any more.
pub async fn delete_demo(conn: &mut Conn) -> Result<Vec<Uuid>, DbError> {
    let unused = tags::id.ne_all(post_tags::table.select(post_tags::tag_id));
    Ok(diesel::delete(tags::table.filter(tags::demo).filter(unused)).returning(tags::id).get_results(conn).await?)
}
