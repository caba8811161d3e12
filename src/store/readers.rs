//! Readers whose history is kept: members, and those without an account whose browser has a token,
//! of which only the hash is here.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Binary, Bool, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::readers;
use super::sql::Sql;
use super::{Conn, DbError};

/// Whose history it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    User(Uuid),
    /// The hash of a reading token.
    Token(Vec<u8>),
}

/// Puts down a reader without an account.
pub async fn insert(conn: &mut Conn, token_hash: &[u8], now: DateTime<Utc>) -> Result<(), DbError> {
    diesel::insert_into(readers::table)
        .values((
            readers::id.eq(Uuid::now_v7()),
            readers::token_hash.eq(token_hash),
            readers::keep.eq(true),
            readers::used_at.eq(now),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes that a reader reads: the id of the history, and whether it is to be kept. A user's begins
/// with the first read; `None` for a token that is not known. Of who keeps none, no time is noted.
pub async fn touch(conn: &mut Conn, reader: &Reader, now: DateTime<Utc>) -> Result<Option<(Uuid, bool)>, DbError> {
    let sql = Sql::<(SqlUuid, Bool)>::new("");
    let sql = match reader {
        Reader::User(user_id) => sql
            .push("INSERT INTO readers (id, user_id, used_at) VALUES (")
            .bind::<SqlUuid, _>(Uuid::now_v7())
            .push(", ")
            .bind::<SqlUuid, _>(*user_id)
            .push(", ")
            .bind::<Timestamptz, _>(now)
            .push(
                ") ON CONFLICT (user_id) DO UPDATE SET \
                 used_at = CASE WHEN readers.keep THEN EXCLUDED.used_at ELSE readers.used_at END",
            ),
        Reader::Token(hash) => sql
            .push("UPDATE readers SET used_at = ")
            .bind::<Timestamptz, _>(now)
            .push(" WHERE token_hash = ")
            .bind::<Binary, _>(hash.clone()),
    };
    Ok(sql.push(" RETURNING id, keep").get_result(conn).await.optional()?)
}

/// The id of a history, and whether it is kept; `None` where there is none.
pub async fn find(conn: &mut Conn, reader: &Reader) -> Result<Option<(Uuid, bool)>, DbError> {
    let id_and_keep = readers::table.select((readers::id, readers::keep)).into_boxed();
    let of_reader = match reader {
        Reader::User(user_id) => id_and_keep.filter(readers::user_id.eq(user_id)),
        Reader::Token(hash) => id_and_keep.filter(readers::token_hash.eq(hash)),
    };
    Ok(of_reader.first(conn).await.optional()?)
}

/// Says whether a user's history is to be kept; the id of the history.
pub async fn set_keep(conn: &mut Conn, user_id: Uuid, keep: bool, now: DateTime<Utc>) -> Result<Uuid, DbError> {
    Ok(diesel::insert_into(readers::table)
        .values((
            readers::id.eq(Uuid::now_v7()),
            readers::user_id.eq(user_id),
            readers::keep.eq(keep),
            readers::used_at.eq(now),
        ))
        .on_conflict(readers::user_id)
        .do_update()
        .set(readers::keep.eq(keep))
        .returning(readers::id)
        .get_result(conn)
        .await?)
}

/// Forgets who reads with a token, and what they have read.
pub async fn delete(conn: &mut Conn, token_hash: &[u8]) -> Result<(), DbError> {
    diesel::delete(readers::table.filter(readers::token_hash.eq(token_hash))).execute(conn).await?;
    Ok(())
}

/// Forgets who has read nothing for long, with all that they have read: with a token since
/// `tokens_since`, with an account since `users_since`. Who keeps no history stays, as that is to be
/// remembered. Returns how many that were.
pub async fn forget_unused(
    conn: &mut Conn,
    tokens_since: DateTime<Utc>,
    users_since: DateTime<Utc>,
) -> Result<usize, DbError> {
    let tokens = readers::user_id.is_null().and(readers::used_at.lt(tokens_since));
    let users = readers::user_id.is_not_null().and(readers::keep).and(readers::used_at.lt(users_since));
    Ok(diesel::delete(readers::table.filter(tokens.or(users))).execute(conn).await?)
}
