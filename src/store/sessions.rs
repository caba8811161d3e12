//! Sessions: signed-in browsers and programs. Only the hash of a token is kept.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::page::{Order, by_parent};
use super::schema::{sessions, users};
use super::sql::Sql;
use super::users::UserRow;
use super::{Conn, DbError, Key, Page, PageOf};

#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = sessions, check_for_backend(Pg))]
pub struct SessionRow {
    pub id: Uuid,
    pub user_id: Uuid,
    pub token_hash: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

type SessionColumns = SqlTypeOf<<SessionRow as Selectable<Pg>>::SelectExpression>;
const NEWEST_FIRST: Order = Order { key: "sessions.created_at", id: "sessions.id", descending: true };

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

/// The sessions with these hashes, expired ones too, each with its user.
pub async fn by_hashes(conn: &mut Conn, token_hashes: &[&[u8]]) -> Result<Vec<(SessionRow, UserRow)>, DbError> {
    Ok(sessions::table
        .inner_join(users::table)
        .filter(sessions::token_hash.eq_any(token_hashes))
        .select((SessionRow::as_select(), UserRow::as_select()))
        .load(conn)
        .await?)
}

/// The newest sessions of each user that have not expired, in one lateral statement.
pub async fn page_by_user(
    conn: &mut Conn,
    ids: &[Uuid],
    page: &Page,
    now: DateTime<Utc>,
) -> Result<HashMap<Uuid, PageOf<SessionRow>>, DbError> {
    let sql = Sql::<(SessionColumns, SqlUuid)>::new("SELECT ")
        .columns::<SessionRow>()
        .push(", parent.id FROM unnest(")
        .bind::<Array<SqlUuid>, _>(ids.to_vec())
        .push(
            ") AS parent (id) CROSS JOIN LATERAL (SELECT * FROM sessions \
             WHERE sessions.user_id = parent.id AND sessions.expires_at > ",
        )
        .bind::<Timestamptz, _>(now);
    let sql = NEWEST_FIRST.finish(sql, page).push(") AS sessions");
    Ok(by_parent(NEWEST_FIRST.by(sql, page).load(conn).await?, page))
}

pub fn key(row: &SessionRow) -> Key {
    Key::Time(row.created_at)
}

/// True if there was such a session.
pub async fn delete(conn: &mut Conn, token_hash: &[u8]) -> Result<bool, DbError> {
    Ok(diesel::delete(sessions::table.filter(sessions::token_hash.eq(token_hash))).execute(conn).await? > 0)
}

/// Signs a user out everywhere, for instance after a new password; except here, if `kept` is the
/// hash of a session's token.
pub async fn delete_of_user(conn: &mut Conn, user_id: Uuid, kept: Option<&[u8]>) -> Result<usize, DbError> {
    let of_user = sessions::table.filter(sessions::user_id.eq(user_id));
    Ok(match kept {
        Some(kept) => diesel::delete(of_user.filter(sessions::token_hash.ne(kept))).execute(conn).await?,
        None => diesel::delete(of_user).execute(conn).await?,
    })
}

/// Forgets sessions that have expired.
pub async fn delete_expired(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, DbError> {
    Ok(diesel::delete(sessions::table.filter(sessions::expires_at.le(now))).execute(conn).await?)
}
