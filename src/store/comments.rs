//! Comments: threads under posts.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::sight::{PARENT_IS_PUBLIC, THEIR_REPLIES, THREADS, listable, visible};
use super::events::{self, NewEvent};
use super::page::{Order, by_parent};
use super::schema::comments;
use super::sql::{Sql, each};
use super::text_enum::text_enum;
use super::{Conn, DbError, Key, Page, PageOf, Sight};

mod sight;

text_enum! {
    /// What has been decided about a comment.
    CommentStatus {
        /// Waits for an editor.
        Pending = "PENDING",
        /// Seen by all.
        Approved = "APPROVED",
        /// Judged to be spam.
        Spam = "SPAM",
        /// Taken back; its text is gone, its place in the thread stays.
        Deleted = "DELETED",
    }
}

/// How deep a thread may be; a reply to the deepest comment is refused.
pub const MAX_DEPTH: i32 = 16;

#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, Serialize, Deserialize)]
#[diesel(table_name = comments, check_for_backend(Pg))]
pub struct CommentRow {
    pub id: Uuid,
    pub post_id: Uuid,
    pub author_id: Uuid,
    pub parent_id: Option<Uuid>,
    /// 0 for a comment on the post itself.
    pub depth: i32,
    pub status: CommentStatus,
    pub markdown: String,
    pub html: String,
    pub import_key: Option<String>,
    pub created_at: DateTime<Utc>,
    pub edited_at: Option<DateTime<Utc>>,
    /// When it was first approved; nothing for a deleted one that readers did not see any more.
    pub approved_at: Option<DateTime<Utc>>,
}

impl CommentRow {
    /// What the comment is called in the files of an export, and of the import that it came with.
    pub fn key_in_files(&self) -> String {
        self.import_key.clone().unwrap_or_else(|| self.id.to_string())
    }

    /// True if a comment may by itself be shown to somebody with this sight; to the public it is
    /// only shown if those above it may be, too ([`is_public`]). A deleted one is shown as a place
    /// holder, so that its replies keep their thread, unless it was never approved.
    pub fn visible_to(&self, sight: Sight) -> bool {
        sight == Sight::Everything
            || match self.status {
                CommentStatus::Approved => true,
                CommentStatus::Deleted => self.approved_at.is_some(),
                CommentStatus::Pending | CommentStatus::Spam => false,
            }
    }
}

/// What an edit or a decision changes; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = comments)]
pub struct CommentChanges {
    pub status: Option<CommentStatus>,
    pub markdown: Option<String>,
    pub html: Option<String>,
    pub edited_at: Option<Option<DateTime<Utc>>>,
    pub approved_at: Option<Option<DateTime<Utc>>>,
}

/// What comments are listed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommentParent {
    /// Comments on a post itself; their replies hang below them.
    Post,
    /// Replies to a comment.
    Comment,
}

/// The order of a list of comments; ids break ties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CommentOrder {
    #[default]
    OldestFirst,
    NewestFirst,
}

impl CommentOrder {
    fn columns(self) -> Order {
        Order { key: "comments.created_at", id: "comments.id", descending: self == Self::NewestFirst }
    }
}

type CommentColumns = SqlTypeOf<<CommentRow as Selectable<Pg>>::SelectExpression>;

/// The comments with these ids, whoever may see them: the caller checks [`CommentRow::visible_to`].
pub async fn by_ids(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<CommentRow>, DbError> {
    Ok(comments::table.filter(comments::id.eq_any(ids)).select(CommentRow::as_select()).load(conn).await?)
}

/// The first comments of each parent, in one lateral statement.
pub async fn page_by_parent(
    conn: &mut Conn,
    parent: CommentParent,
    ids: &[Uuid],
    order: CommentOrder,
    page: &Page,
    sight: Sight,
) -> Result<HashMap<Uuid, PageOf<CommentRow>>, DbError> {
    let order = order.columns();
    let sql = Sql::<(CommentColumns, SqlUuid)>::new("SELECT ")
        .columns::<CommentRow>()
        .push(", parent.id FROM unnest(")
        .bind::<Array<SqlUuid>, _>(ids.to_vec())
        .push(") AS parent (id) CROSS JOIN LATERAL (SELECT comments.* FROM comments WHERE ")
        .push(under(parent))
        .push(" = parent.id AND ");
    let sql = order.finish(visible(sql, sight), page).push(") AS comments");
    let sql = match (parent, sight) {
        (CommentParent::Comment, Sight::Public) => sql.push(" WHERE ").push(PARENT_IS_PUBLIC),
        _ => sql,
    };
    let rows = order.by(sql, page).load(conn).await?;
    Ok(by_parent(rows, page))
}

/// How many comments each parent has: for a post the whole threads, for a comment its replies.
pub async fn count_by_parent(
    conn: &mut Conn,
    parent: CommentParent,
    ids: &[Uuid],
    sight: Sight,
) -> Result<HashMap<Uuid, i64>, DbError> {
    let (column, condition) = match parent {
        CommentParent::Post => ("post_id", "comments.post_id = ANY("),
        CommentParent::Comment => ("parent_id", "comments.parent_id = ANY("),
    };
    let of_parents = |sql: Sql<(SqlUuid, BigInt)>| sql.push(condition).bind::<Array<SqlUuid>, _>(ids.to_vec());
    let begin = |sql: &'static str| Sql::<(SqlUuid, BigInt)>::new(sql);
    let sql = match (parent, sight) {
        (CommentParent::Post, Sight::Public) => of_parents(begin(THREADS).push(" WHERE "))
            .push(")")
            .push(THEIR_REPLIES)
            .push("SELECT post_id, count(*) FROM shown WHERE status <> 'DELETED' GROUP BY 1"),
        _ => {
            let sql = begin("SELECT ").push(column).push(", count(*) FROM comments WHERE ");
            of_parents(listable(sql, sight).push(" AND comments.status <> 'DELETED' AND ")).push(") GROUP BY 1")
        }
    };
    let rows: Vec<(Uuid, i64)> = sql.load(conn).await?;
    Ok(rows.into_iter().collect())
}

/// One page of the comments of the whole site, newest first, for moderation and "latest comments".
/// Those under posts that are not published are left out for the public.
pub async fn page(
    conn: &mut Conn,
    status: Option<CommentStatus>,
    page: &Page,
    sight: Sight,
) -> Result<PageOf<CommentRow>, DbError> {
    let sql = Sql::<CommentColumns>::new("SELECT ").columns::<CommentRow>().push(" FROM comments WHERE ");
    let sql = CommentOrder::NewestFirst.columns().finish(listed(sql, status, sight), page);
    Ok(PageOf::new(sql.load(conn).await?, page))
}

/// How many comments [`page`] goes through in all.
pub async fn count(conn: &mut Conn, status: Option<CommentStatus>, sight: Sight) -> Result<i64, DbError> {
    let sql = match sight {
        // Down from the top, each comment once, instead of up from each.
        Sight::Public => Sql::<BigInt>::new(THREADS)
            .push(" JOIN posts ON posts.id = comments.post_id AND posts.status = 'PUBLISHED' WHERE true")
            .push(THEIR_REPLIES)
            .push("SELECT count(*) FROM shown WHERE status = 'APPROVED'")
            .when(status, |sql, status| sql.push(" AND status = ").bind::<Text, _>(status)),
        Sight::Everything => listed(Sql::new("SELECT count(*) FROM comments WHERE "), status, sight),
    };
    Ok(sql.get_result(conn).await?)
}

/// True if everybody may see the comment: it may be shown, and so may all above it and the post.
pub async fn is_public(conn: &mut Conn, id: Uuid) -> Result<bool, DbError> {
    let sql = listable(Sql::<SqlUuid>::new("SELECT comments.id FROM comments WHERE "), Sight::Public)
        .push(" AND comments.id = ")
        .bind::<SqlUuid, _>(id);
    Ok(sql.get_result::<Uuid>(conn).await.optional()?.is_some())
}

pub fn key(row: &CommentRow) -> Key {
    Key::Time(row.created_at)
}

/// Inserts comments, all or none.
pub async fn insert(conn: &mut Conn, comments: &[CommentRow]) -> Result<(), DbError> {
    inserting(Sql::<Text>::new(""), comments).execute(conn).await?;
    Ok(())
}

/// Inserts comments and their events, all or none, in one statement, which needs no transaction around it:
/// [`Db::committed`] is to be told.
///
/// [`Db::committed`]: super::Db::committed
pub async fn insert_with(conn: &mut Conn, comments: &[CommentRow], events: &[NewEvent]) -> Result<(), DbError> {
    let sql = events::appending(Sql::<Text>::new("WITH told AS ("), events).push(") ");
    inserting(sql, comments).execute(conn).await?;
    Ok(())
}

fn inserting<ST>(sql: Sql<ST>, comments: &[CommentRow]) -> Sql<ST> {
    sql.push(
        "INSERT INTO comments (id, post_id, author_id, parent_id, depth, status, markdown, html, import_key, \
         created_at, edited_at, approved_at) SELECT * FROM unnest(",
    )
    .bind::<Array<SqlUuid>, _>(each(comments, |row| row.id))
    .push(", ")
    .bind::<Array<SqlUuid>, _>(each(comments, |row| row.post_id))
    .push(", ")
    .bind::<Array<SqlUuid>, _>(each(comments, |row| row.author_id))
    .push(", ")
    .bind::<Array<Nullable<SqlUuid>>, _>(each(comments, |row| row.parent_id))
    .push(", ")
    .bind::<Array<Integer>, _>(each(comments, |row| row.depth))
    .push(", ")
    .bind::<Array<Text>, _>(each(comments, |row| row.status.as_str()))
    .push(", ")
    .bind::<Array<Text>, _>(each(comments, |row| row.markdown.clone()))
    .push(", ")
    .bind::<Array<Text>, _>(each(comments, |row| row.html.clone()))
    .push(", ")
    .bind::<Array<Nullable<Text>>, _>(each(comments, |row| row.import_key.clone()))
    .push(", ")
    .bind::<Array<Timestamptz>, _>(each(comments, |row| row.created_at))
    .push(", ")
    .bind::<Array<Nullable<Timestamptz>>, _>(each(comments, |row| row.edited_at))
    .push(", ")
    .bind::<Array<Nullable<Timestamptz>>, _>(each(comments, |row| row.approved_at))
    .push(")")
}

/// The comment, locked against other writers until the transaction ends.
pub async fn lock(conn: &mut Conn, id: Uuid) -> Result<Option<CommentRow>, DbError> {
    Ok(comments::table.find(id).select(CommentRow::as_select()).for_update().first(conn).await.optional()?)
}

pub async fn update(conn: &mut Conn, id: Uuid, changes: &CommentChanges) -> Result<CommentRow, DbError> {
    Ok(diesel::update(comments::table.find(id))
        .set(changes)
        .returning(CommentRow::as_returning())
        .get_result(conn)
        .await?)
}

/// Those of these users who have had a comment approved before.
pub async fn known_authors(conn: &mut Conn, user_ids: &[Uuid]) -> Result<HashSet<Uuid>, DbError> {
    let sql = Sql::<SqlUuid>::new("SELECT users.id FROM users WHERE users.id = ANY(")
        .bind::<Array<SqlUuid>, _>(user_ids.to_vec())
        .push(
            ") AND EXISTS (SELECT 1 FROM comments \
             WHERE comments.author_id = users.id AND comments.status = 'APPROVED')",
        );
    Ok(sql.load(conn).await?.into_iter().collect())
}

/// Import key to comment, for those already here.
pub async fn by_import_keys(conn: &mut Conn, keys: &[String]) -> Result<Vec<CommentRow>, DbError> {
    Ok(comments::table.filter(comments::import_key.eq_any(keys)).select(CommentRow::as_select()).load(conn).await?)
}

/// Every comment of these posts, deleted ones too, oldest first, for export.
pub async fn all_of_posts(conn: &mut Conn, post_ids: &[Uuid]) -> Result<Vec<CommentRow>, DbError> {
    Ok(comments::table
        .filter(comments::post_id.eq_any(post_ids))
        .order((comments::created_at, comments::id))
        .select(CommentRow::as_select())
        .load(conn)
        .await?)
}

fn under(parent: CommentParent) -> &'static str {
    match parent {
        CommentParent::Post => "comments.parent_id IS NULL AND comments.post_id",
        CommentParent::Comment => "comments.parent_id",
    }
}

fn listed<ST>(sql: Sql<ST>, status: Option<CommentStatus>, sight: Sight) -> Sql<ST> {
    let sql = listable(sql, sight).push(match sight {
        Sight::Public => " AND comments.status = 'APPROVED'",
        Sight::Everything => "",
    });
    sql.when(status, |sql, status| sql.push(" AND comments.status = ").bind::<Text, _>(status))
}
