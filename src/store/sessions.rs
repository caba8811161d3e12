//! Sessions: signed-in browsers and programs. Only the hash of a token is kept.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::{sessions, users};
use super::users::UserRow;
use super::{Conn, DbError};

pub async fn insert(
    conn: &mut Conn,
    user_id: Uuid,
    token_hash: &[u8],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), DbError> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(Uuid::now_v7()),
            sessions::user_id.eq(user_id),
            sessions::token_hash.eq(token_hash),
            sessions::created_at.eq(now),
            sessions::expires_at.eq(expires_at),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// The user of a session that has not expired.
pub async fn find(conn: &mut Conn, token_hash: &[u8], now: DateTime<Utc>) -> Result<Option<UserRow>, DbError> {
    Ok(sessions::table
        .inner_join(users::table)
        .filter(sessions::token_hash.eq(token_hash))
        .filter(sessions::expires_at.gt(now))
        .select(UserRow::as_select())
        .first(conn)
        .await
        .optional()?)
}

/// True if there was such a session.
pub async fn delete(conn: &mut Conn, token_hash: &[u8]) -> Result<bool, DbError> {
    Ok(diesel::delete(sessions::table.filter(sessions::token_hash.eq(token_hash))).execute(conn).await? > 0)
}

/// Signs a user out everywhere, for instance after a new password.
pub async fn delete_of_user(conn: &mut Conn, user_id: Uuid) -> Result<usize, DbError> {
    Ok(diesel::delete(sessions::table.filter(sessions::user_id.eq(user_id))).execute(conn).await?)
}

/// Forgets sessions that have expired.
pub async fn delete_expired(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, DbError> {
    Ok(diesel::delete(sessions::table.filter(sessions::expires_at.le(now))).execute(conn).await?)
}
