//! Answers of `/v1/responses` that a later request may go on from.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::schema::responses;
use super::{Conn, DbError};

/// An answer, and the conversation up to it.
#[derive(Clone, Debug, Insertable, Queryable, Selectable)]
#[diesel(table_name = responses, check_for_backend(diesel::pg::Pg))]
pub struct ResponseRow {
    pub id: Uuid,
    pub subject: String,
    pub created_at: DateTime<Utc>,
    pub messages: Value,
    pub body: Value,
}

pub async fn insert(conn: &mut Conn, row: &ResponseRow) -> Result<(), DbError> {
    diesel::insert_into(responses::table).values(row).execute(conn).await?;
    Ok(())
}

/// Only what is this subject's.
pub async fn find(conn: &mut Conn, subject: &str, id: Uuid) -> Result<Option<ResponseRow>, DbError> {
    let own = responses::table.find(id).filter(responses::subject.eq(subject));
    Ok(own.select(ResponseRow::as_select()).first(conn).await.optional()?)
}

/// True if there was one of this subject.
pub async fn delete(conn: &mut Conn, subject: &str, id: Uuid) -> Result<bool, DbError> {
    let own = responses::table.find(id).filter(responses::subject.eq(subject));
    Ok(diesel::delete(own).execute(conn).await? > 0)
}

/// Forgets what is older than `time`; returns how many there were.
pub async fn forget_before(conn: &mut Conn, time: DateTime<Utc>) -> Result<usize, DbError> {
    Ok(diesel::delete(responses::table.filter(responses::created_at.lt(time))).execute(conn).await?)
}
