//! Posts: what the site publishes.
//!
//! [`PostRow`] is what lists need; the text itself is [`PostBodyRow`], read only when asked for.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::page::{Order, by_parent};
use super::schema::posts;
use super::sql::Sql;
use super::text_enum::text_enum;
use super::{Conn, DbError, Page, PageOf, Sight};

mod neighbours;
mod published;

pub use neighbours::{Neighbours, neighbours};
pub use published::{PostAddress, addresses, newest};

text_enum! {
    /// What a post is.
    PostKind { Article = "ARTICLE", Note = "NOTE", Page = "PAGE", Project = "PROJECT" }
}
text_enum! {
    /// Where a post is in its life.
    PostStatus { Draft = "DRAFT", Scheduled = "SCHEDULED", Published = "PUBLISHED", Archived = "ARCHIVED" }
}

/// A post without its text.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = posts, check_for_backend(Pg))]
pub struct PostRow {
    pub id: Uuid,
    pub kind: PostKind,
    pub status: PostStatus,
    pub slug: String,
    pub language: String,
    pub title: String,
    pub excerpt: String,
    pub description: Option<String>,
    pub cover: Option<String>,
    pub words: i32,
    pub custom: serde_json::Value,
    pub author_id: Uuid,
    pub series_id: Option<Uuid>,
    pub series_position: Option<i32>,
    pub version: i32,
    pub published_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub listed_at: DateTime<Utc>,
}

impl PostStatus {
    /// True if a post in this state may be shown to somebody with this sight.
    pub fn visible_to(self, sight: Sight) -> bool {
        sight == Sight::Everything || self == Self::Published
    }
}

impl PostRow {
    /// True if a post may be shown to somebody with this sight.
    pub fn visible_to(&self, sight: Sight) -> bool {
        self.status.visible_to(sight)
    }
}

/// The text of a post, as written and as rendered.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = posts, check_for_backend(Pg))]
pub struct PostBodyRow {
    pub id: Uuid,
    pub markdown: String,
    pub html: String,
    pub outline: serde_json::Value,
}

/// A new post. Every column that the database does not fill by itself.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = posts)]
pub struct NewPost {
    pub id: Uuid,
    pub kind: PostKind,
    pub status: PostStatus,
    pub slug: String,
    pub language: String,
    pub title: String,
    pub markdown: String,
    pub html: String,
    pub outline: serde_json::Value,
    pub excerpt: String,
    pub description: Option<String>,
    pub cover: Option<String>,
    pub words: i32,
    pub custom: serde_json::Value,
    pub author_id: Uuid,
    pub series_id: Option<Uuid>,
    pub series_position: Option<i32>,
    pub published_at: Option<DateTime<Utc>>,
    pub demo: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What an edit changes; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = posts)]
pub struct PostChanges {
    pub kind: Option<PostKind>,
    pub status: Option<PostStatus>,
    pub slug: Option<String>,
    pub language: Option<String>,
    pub title: Option<String>,
    pub markdown: Option<String>,
    pub html: Option<String>,
    pub outline: Option<serde_json::Value>,
    pub excerpt: Option<String>,
    pub description: Option<Option<String>>,
    pub cover: Option<Option<String>>,
    pub words: Option<i32>,
    pub custom: Option<serde_json::Value>,
    pub author_id: Option<Uuid>,
    pub series_id: Option<Option<Uuid>>,
    pub series_position: Option<Option<i32>>,
    pub published_at: Option<Option<DateTime<Utc>>>,
    pub created_at: Option<DateTime<Utc>>,
}

/// Which posts a list holds. Empty lists and `None` do not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PostFilter {
    pub kinds: Vec<PostKind>,
    pub statuses: Vec<PostStatus>,
    pub tag_slug: Option<String>,
    pub series_slug: Option<String>,
    pub author_handle: Option<String>,
    pub language: Option<String>,
    pub published_from: Option<DateTime<Utc>>,
    pub published_before: Option<DateTime<Utc>>,
}

/// Longest text of a filter, in bytes: a slug has 100 characters.
const MAX_FILTER_BYTES: usize = 400;

impl PostFilter {
    /// What is wrong with a text of it, which can be of no row.
    pub fn fault(&self) -> Option<String> {
        let texts = [
            ("tag", &self.tag_slug),
            ("series", &self.series_slug),
            ("author", &self.author_handle),
            ("language", &self.language),
        ];
        let is_unfit = |text: &String| text.len() > MAX_FILTER_BYTES || text.contains('\0');
        let (name, _) = texts.into_iter().find(|(_, text)| text.as_ref().is_some_and(is_unfit))?;
        Some(format!("`filter.{name}` holds a NUL character or more than {MAX_FILTER_BYTES} bytes"))
    }
}

/// The order of a list of posts; ids break ties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PostOrder {
    /// By date of publication; drafts stand where they were begun.
    #[default]
    NewestFirst,
    OldestFirst,
    RecentlyUpdatedFirst,
}

impl PostOrder {
    fn columns(self) -> Order {
        let (key, descending) = match self {
            Self::NewestFirst => ("posts.listed_at", true),
            Self::OldestFirst => ("posts.listed_at", false),
            Self::RecentlyUpdatedFirst => ("posts.updated_at", true),
        };
        Order { key, id: "posts.id", descending }
    }
}

/// What a post can be listed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PostParent {
    Author,
    Tag,
    Series,
    /// What is published and names an entity.
    Entity,
}

pub(super) type PostColumns = SqlTypeOf<<PostRow as Selectable<Pg>>::SelectExpression>;

/// The posts with these ids, whoever may see them: the caller checks [`PostRow::visible_to`].
pub async fn by_ids(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<PostRow>, DbError> {
    Ok(posts::table.filter(posts::id.eq_any(ids)).select(PostRow::as_select()).load(conn).await?)
}

/// The states of the posts with these ids, whoever may see them.
pub async fn statuses(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<(Uuid, PostStatus)>, DbError> {
    Ok(posts::table.filter(posts::id.eq_any(ids)).select((posts::id, posts::status)).load(conn).await?)
}

/// The text of the posts with these ids, whoever may see them.
pub async fn bodies(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<PostBodyRow>, DbError> {
    Ok(posts::table.filter(posts::id.eq_any(ids)).select(PostBodyRow::as_select()).load(conn).await?)
}

/// Slug to id, for each slug that is taken.
pub async fn ids_by_slugs(conn: &mut Conn, slugs: &[String]) -> Result<Vec<(String, Uuid)>, DbError> {
    Ok(posts::table.filter(posts::slug.eq_any(slugs)).select((posts::slug, posts::id)).load(conn).await?)
}

/// Ids and titles of published posts whose titles, in lower case and with a space before them, hold
/// `part`; newest first.
pub async fn titles_with(conn: &mut Conn, part: &str, limit: i64) -> Result<Vec<(Uuid, String)>, DbError> {
    let sql = Sql::<(SqlUuid, Text)>::new("SELECT posts.id, posts.title FROM posts WHERE ");
    let sql = visible(sql, Sight::Public)
        .push(" AND strpos(' ' || lower(posts.title), ")
        .bind::<Text, _>(part.to_owned())
        .push(") > 0 ORDER BY posts.listed_at DESC, posts.id DESC LIMIT ")
        .bind::<BigInt, _>(limit);
    Ok(sql.load(conn).await?)
}

/// One page of the posts that match.
pub async fn page(
    conn: &mut Conn,
    filter: &PostFilter,
    order: PostOrder,
    page: &Page,
    sight: Sight,
) -> Result<PageOf<PostRow>, DbError> {
    Ok(PageOf::new(page_statement(filter, order, page, sight).load(conn).await?, page))
}

/// The statement of [`page`], open for `benches/api.rs`.
#[doc(hidden)]
pub fn page_statement(filter: &PostFilter, order: PostOrder, page: &Page, sight: Sight) -> Sql<PostColumns> {
    let sql = Sql::new("SELECT ").columns::<PostRow>().push(" FROM posts WHERE ");
    order.columns().finish(matching(visible(sql, sight), filter), page)
}

/// How many posts match.
pub async fn count(conn: &mut Conn, filter: &PostFilter, sight: Sight) -> Result<i64, DbError> {
    let sql = Sql::<BigInt>::new("SELECT count(*) FROM posts WHERE ");
    Ok(matching(visible(sql, sight), filter).get_result(conn).await?)
}

/// The first posts of each parent, in one lateral statement.
pub async fn page_by_parent(
    conn: &mut Conn,
    parent: PostParent,
    ids: &[Uuid],
    page: &Page,
    sight: Sight,
) -> Result<HashMap<Uuid, PageOf<PostRow>>, DbError> {
    let order = match parent {
        PostParent::Series => {
            Order { key: "COALESCE(posts.series_position, 2147483647)", id: "posts.id", descending: false }
        }
        PostParent::Author | PostParent::Tag | PostParent::Entity => PostOrder::NewestFirst.columns(),
    };
    let sql = Sql::<(PostColumns, SqlUuid)>::new("SELECT ")
        .columns::<PostRow>()
        .push(", parent.id FROM unnest(")
        .bind::<Array<SqlUuid>, _>(ids.to_vec())
        .push(") AS parent (id) CROSS JOIN LATERAL (SELECT posts.* FROM posts ")
        .push(match parent {
            PostParent::Author => "WHERE posts.author_id = parent.id AND ",
            PostParent::Series => "WHERE posts.series_id = parent.id AND ",
            PostParent::Tag => "JOIN post_tags ON post_tags.post_id = posts.id WHERE post_tags.tag_id = parent.id AND ",
            PostParent::Entity => {
                "JOIN post_entities ON post_entities.post_id = posts.id \
                 WHERE post_entities.entity_id = parent.id AND posts.status = 'PUBLISHED' AND "
            }
        });
    let sql = order.finish(visible(sql, sight), page).push(") AS posts");
    let rows = order.by(sql, page).load(conn).await?;
    Ok(by_parent(rows, page))
}

/// How many posts each parent has.
pub async fn count_by_parent(
    conn: &mut Conn,
    parent: PostParent,
    ids: &[Uuid],
    sight: Sight,
) -> Result<HashMap<Uuid, i64>, DbError> {
    let (select, condition, group) = match parent {
        PostParent::Author => {
            ("SELECT author_id, count(*) FROM posts WHERE ", " AND author_id = ANY(", ") GROUP BY author_id")
        }
        PostParent::Series => {
            ("SELECT series_id, count(*) FROM posts WHERE ", " AND series_id = ANY(", ") GROUP BY series_id")
        }
        PostParent::Tag => (
            "SELECT tag_id, count(*) FROM posts JOIN post_tags ON post_tags.post_id = posts.id WHERE ",
            " AND tag_id = ANY(",
            ") GROUP BY tag_id",
        ),
        PostParent::Entity => (
            "SELECT entity_id, count(*) FROM posts JOIN post_entities ON post_entities.post_id = posts.id \
             WHERE posts.status = 'PUBLISHED' AND ",
            " AND entity_id = ANY(",
            ") GROUP BY entity_id",
        ),
    };
    let sql = visible(Sql::<(SqlUuid, BigInt)>::new(select), sight)
        .push(condition)
        .bind::<Array<SqlUuid>, _>(ids.to_vec())
        .push(group);
    let rows: Vec<(Uuid, i64)> = sql.load(conn).await?;
    Ok(rows.into_iter().collect())
}

/// Errors: constraint `posts_slug_key` when the slug is taken.
pub async fn insert(conn: &mut Conn, post: &NewPost) -> Result<PostRow, DbError> {
    Ok(diesel::insert_into(posts::table).values(post).returning(PostRow::as_returning()).get_result(conn).await?)
}

/// Changes a post that still has the version `based_on`, and counts the version up.
///
/// `None` if there is no such post with this version.
pub async fn update(
    conn: &mut Conn,
    id: Uuid,
    based_on: i32,
    changes: &PostChanges,
    now: DateTime<Utc>,
) -> Result<Option<PostRow>, DbError> {
    Ok(diesel::update(posts::table.filter(posts::id.eq(id)).filter(posts::version.eq(based_on)))
        .set((changes, posts::version.eq(based_on + 1), posts::updated_at.eq(now)))
        .returning(PostRow::as_returning())
        .get_result(conn)
        .await
        .optional()?)
}

/// The post, locked against other writers until the transaction ends.
pub async fn lock(conn: &mut Conn, id: Uuid) -> Result<Option<PostRow>, DbError> {
    Ok(posts::table.find(id).select(PostRow::as_select()).for_update().first(conn).await.optional()?)
}

/// True if there was such a post.
pub async fn delete(conn: &mut Conn, id: Uuid) -> Result<bool, DbError> {
    Ok(diesel::delete(posts::table.find(id)).execute(conn).await? > 0)
}

/// Removes every post of the demo site; returns their ids.
pub async fn delete_demo(conn: &mut Conn) -> Result<Vec<(Uuid, String)>, DbError> {
    Ok(diesel::delete(posts::table.filter(posts::demo)).returning((posts::id, posts::slug)).get_results(conn).await?)
}

/// True if there is not a single post.
pub async fn none_exist(conn: &mut Conn) -> Result<bool, DbError> {
    Ok(posts::table.select(posts::id).limit(1).first::<Uuid>(conn).await.optional()?.is_none())
}

/// The condition that leaves the posts that may be seen.
pub(super) fn visible<ST>(sql: Sql<ST>, sight: Sight) -> Sql<ST> {
    sql.push(match sight {
        Sight::Public => "posts.status = 'PUBLISHED'",
        Sight::Everything => "true",
    })
}

/// The condition that leaves the posts that match; begins with AND.
pub(super) fn matching<ST>(sql: Sql<ST>, filter: &PostFilter) -> Sql<ST> {
    let texts = |values: Vec<&'static str>| {
        (!values.is_empty()).then(|| values.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let kinds = texts(filter.kinds.iter().map(|k| k.as_str()).collect());
    let statuses = texts(filter.statuses.iter().map(|s| s.as_str()).collect());
    sql.when(kinds, |sql, kinds| sql.push(" AND posts.kind = ANY(").bind::<Array<Text>, _>(kinds).push(")"))
        .when(statuses, |sql, all| sql.push(" AND posts.status = ANY(").bind::<Array<Text>, _>(all).push(")"))
        .when(filter.language.clone(), |sql, language| sql.push(" AND posts.language = ").bind::<Text, _>(language))
        .when(filter.published_from, |sql, at| sql.push(" AND posts.published_at >= ").bind::<Timestamptz, _>(at))
        .when(filter.published_before, |sql, at| sql.push(" AND posts.published_at < ").bind::<Timestamptz, _>(at))
        .when(filter.author_handle.clone(), |sql, handle| {
            sql.push(" AND posts.author_id = (SELECT id FROM users WHERE handle = ").bind::<Text, _>(handle).push(")")
        })
        .when(filter.series_slug.clone(), |sql, slug| {
            sql.push(" AND posts.series_id = (SELECT id FROM series WHERE slug = ").bind::<Text, _>(slug).push(")")
        })
        .when(filter.tag_slug.clone(), |sql, slug| {
            sql.push(" AND posts.id IN (SELECT post_id FROM post_tags JOIN tags ON tags.id = tag_id WHERE tags.slug = ")
                .bind::<Text, _>(slug)
                .push(")")
        })
}

/// The order key of a post in a list, for its cursor.
pub fn key(row: &PostRow, order: PostOrder) -> super::Key {
    super::Key::Time(match order {
        PostOrder::NewestFirst | PostOrder::OldestFirst => row.listed_at,
        PostOrder::RecentlyUpdatedFirst => row.updated_at,
    })
}

/// The order key of a post under a parent, for its cursor.
pub fn key_under(row: &PostRow, parent: PostParent) -> super::Key {
    match parent {
        PostParent::Series => super::Key::Int(row.series_position.unwrap_or(i32::MAX)),
        PostParent::Author | PostParent::Tag | PostParent::Entity => super::Key::Time(row.listed_at),
    }
}
