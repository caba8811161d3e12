//! Conversations with the site: each is its user's alone, so every function asks whose it is.

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::page::Order;
use super::schema::conversations;
use super::sql::Sql;
use super::{Conn, DbError, Key, Page, PageOf};

/// A conversation without what was said in it.
#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable)]
#[diesel(table_name = conversations, check_for_backend(Pg))]
pub struct ConversationRow {
    pub id: Uuid,
    pub user_id: Uuid,
    pub title: String,
    pub created_at: DateTime<Utc>,
    /// When something was last said in it.
    pub updated_at: DateTime<Utc>,
}

type ConversationColumns = SqlTypeOf<<ConversationRow as Selectable<Pg>>::SelectExpression>;
const LAST_USED_FIRST: Order = Order { key: "conversations.updated_at", id: "conversations.id", descending: true };

/// Puts a conversation down unless there is one with its id.
pub async fn insert(conn: &mut Conn, row: &ConversationRow) -> Result<(), DbError> {
    diesel::insert_into(conversations::table).values(row).on_conflict_do_nothing().execute(conn).await?;
    Ok(())
}

/// Only what is this user's.
pub async fn find(conn: &mut Conn, user_id: Uuid, id: Uuid) -> Result<Option<ConversationRow>, DbError> {
    let own = conversations::table.find(id).filter(conversations::user_id.eq(user_id));
    Ok(own.select(ConversationRow::as_select()).first(conn).await.optional()?)
}

/// One page of a user's conversations, the last used first.
pub async fn page(conn: &mut Conn, user_id: Uuid, page: &Page) -> Result<PageOf<ConversationRow>, DbError> {
    let sql = Sql::<ConversationColumns>::new("SELECT ")
        .columns::<ConversationRow>()
        .push(" FROM conversations WHERE conversations.user_id = ")
        .bind::<SqlUuid, _>(user_id);
    Ok(PageOf::new(LAST_USED_FIRST.finish(sql, page).load(conn).await?, page))
}

/// `None` if there is no such conversation of this user.
pub async fn rename(conn: &mut Conn, user_id: Uuid, id: Uuid, title: &str) -> Result<Option<ConversationRow>, DbError> {
    let own = conversations::table.find(id).filter(conversations::user_id.eq(user_id));
    let renamed = diesel::update(own).set(conversations::title.eq(title)).returning(ConversationRow::as_returning());
    Ok(renamed.get_result(conn).await.optional()?)
}

/// Notes that something was said.
pub async fn touch(conn: &mut Conn, id: Uuid, now: DateTime<Utc>) -> Result<(), DbError> {
    diesel::update(conversations::table.find(id)).set(conversations::updated_at.eq(now)).execute(conn).await?;
    Ok(())
}

/// True if there was one of this user.
pub async fn delete(conn: &mut Conn, user_id: Uuid, id: Uuid) -> Result<bool, DbError> {
    let own = conversations::table.find(id).filter(conversations::user_id.eq(user_id));
    Ok(diesel::delete(own).execute(conn).await? > 0)
}

/// Forgets all but the last used of a user; returns how many that were.
pub async fn keep_last(conn: &mut Conn, user_id: Uuid, most: i64) -> Result<usize, DbError> {
    let own = conversations::table.filter(conversations::user_id.eq(user_id));
    let last = own.order((conversations::updated_at.desc(), conversations::id.desc())).limit(most);
    let kept: Vec<Uuid> = last.select(conversations::id).load(conn).await?;
    let rest = conversations::table.filter(conversations::user_id.eq(user_id));
    Ok(diesel::delete(rest.filter(conversations::id.ne_all(kept))).execute(conn).await?)
}

/// The order key of a conversation in its user's list.
pub fn key(row: &ConversationRow) -> Key {
    Key::Time(row.updated_at)
}
