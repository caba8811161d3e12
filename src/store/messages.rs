//! What was said in conversations with the site.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::page::{Order, by_parent};
use super::schema::{conversations, messages};
use super::sql::Sql;
use super::text_enum::text_enum;
use super::{Conn, DbError, Key, Page, PageOf};

text_enum! {
    /// Who says it.
    Speaker { User = "USER", Assistant = "ASSISTANT" }
}
text_enum! {
    /// How an answer ended.
    Finish {
        Stop = "STOP",
        /// As long as an answer may be.
        Length = "LENGTH",
        /// In the site's own words: no model wrote it.
        Quoted = "QUOTED",
        /// The site says nothing of it, and no model was asked.
        NotCovered = "NOT_COVERED",
        /// Who asked did not wait for the end.
        Left = "LEFT",
        Failed = "FAILED",
    }
}

/// A question or an answer.
#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable)]
#[diesel(table_name = messages, check_for_backend(Pg))]
pub struct MessageRow {
    pub id: Uuid,
    pub conversation_id: Uuid,
    pub role: Speaker,
    pub content: String,
    /// A JSON array, in the order of the numbers.
    pub citations: serde_json::Value,
    pub finish: Option<Finish>,
    pub model: Option<String>,
    pub prompt_tokens: i32,
    pub completion_tokens: i32,
    pub created_at: DateTime<Utc>,
}

type MessageColumns = SqlTypeOf<<MessageRow as Selectable<Pg>>::SelectExpression>;
const AS_SAID: Order = Order { key: "messages.created_at", id: "messages.id", descending: false };

/// Errors: constraint `messages_conversation_id_fkey` when the conversation is gone.
pub async fn insert(conn: &mut Conn, row: &MessageRow) -> Result<(), DbError> {
    diesel::insert_into(messages::table).values(row).execute(conn).await?;
    Ok(())
}

/// How many there are in a conversation.
pub async fn count(conn: &mut Conn, conversation_id: Uuid) -> Result<i64, DbError> {
    let said = messages::table.filter(messages::conversation_id.eq(conversation_id));
    Ok(said.count().get_result(conn).await?)
}

/// The last ones of a conversation, in the order in which they were said.
pub async fn last(conn: &mut Conn, conversation_id: Uuid, most: i64) -> Result<Vec<MessageRow>, DbError> {
    let said = messages::table.filter(messages::conversation_id.eq(conversation_id));
    let newest = said.order((messages::created_at.desc(), messages::id.desc())).limit(most);
    let mut rows: Vec<MessageRow> = newest.select(MessageRow::as_select()).load(conn).await?;
    rows.reverse();
    Ok(rows)
}

/// A message of a conversation of this user.
pub async fn find(conn: &mut Conn, user_id: Uuid, id: Uuid) -> Result<Option<MessageRow>, DbError> {
    let own = messages::table.inner_join(conversations::table).filter(conversations::user_id.eq(user_id));
    Ok(own.filter(messages::id.eq(id)).select(MessageRow::as_select()).first(conn).await.optional()?)
}

/// One page of what was said in each of these conversations of this user, in one lateral statement.
pub async fn page_by_conversation(
    conn: &mut Conn,
    user_id: Uuid,
    ids: &[Uuid],
    page: &Page,
) -> Result<HashMap<Uuid, PageOf<MessageRow>>, DbError> {
    let sql = Sql::<(MessageColumns, SqlUuid)>::new("SELECT ")
        .columns::<MessageRow>()
        .push(", parent.id FROM unnest(")
        .bind::<Array<SqlUuid>, _>(ids.to_vec())
        .push(
            ") AS parent (id) CROSS JOIN LATERAL (SELECT messages.* FROM messages \
             JOIN conversations ON conversations.id = messages.conversation_id \
             WHERE messages.conversation_id = parent.id AND conversations.user_id = ",
        )
        .bind::<SqlUuid, _>(user_id);
    let sql = AS_SAID.finish(sql, page).push(") AS messages");
    Ok(by_parent(AS_SAID.by(sql, page).load(conn).await?, page))
}

/// The order key of a message in its conversation.
pub fn key(row: &MessageRow) -> Key {
    Key::Time(row.created_at)
}
