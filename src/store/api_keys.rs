//! API keys: what programs sign in with. Only the hash of a key is kept.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::page::{Order, by_parent};
use super::schema::{api_keys, users};
use super::sql::Sql;
use super::users::UserRow;
use super::{Conn, DbError, Key, Page, PageOf};

#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = api_keys)]
pub struct NewApiKey {
    pub id: Uuid,
    pub user_id: Uuid,
    pub name: String,
    /// The last characters of the key, to tell keys apart in a list.
    pub hint: String,
    pub token_hash: Vec<u8>,
    /// A JSON array of scope names.
    pub scopes: serde_json::Value,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key as it is shown: without its hash.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = api_keys, check_for_backend(Pg))]
pub struct ApiKeyRow {
    pub id: Uuid,
    pub user_id: Uuid,
    pub name: String,
    pub hint: String,
    pub scopes: serde_json::Value,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    /// To the minute: see [`touch`].
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

type ApiKeyColumns = SqlTypeOf<<ApiKeyRow as Selectable<Pg>>::SelectExpression>;
const NEWEST_FIRST: Order = Order { key: "api_keys.created_at", id: "api_keys.id", descending: true };

pub async fn insert(conn: &mut Conn, key: &NewApiKey) -> Result<ApiKeyRow, DbError> {
    let inserted = diesel::insert_into(api_keys::table).values(key).returning(ApiKeyRow::as_returning());
    Ok(inserted.get_result(conn).await?)
}

/// The keys with these hashes that were not revoked, expired ones too, each with its hash and its user.
pub async fn by_hashes(conn: &mut Conn, token_hashes: &[&[u8]]) -> Result<Vec<(Vec<u8>, ApiKeyRow, UserRow)>, DbError> {
    Ok(api_keys::table
        .inner_join(users::table)
        .filter(api_keys::token_hash.eq_any(token_hashes))
        .filter(api_keys::revoked_at.is_null())
        .select((api_keys::token_hash, ApiKeyRow::as_select(), UserRow::as_select()))
        .load(conn)
        .await?)
}

/// Those of these keys that were not revoked.
pub async fn by_ids(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<ApiKeyRow>, DbError> {
    Ok(api_keys::table
        .filter(api_keys::id.eq_any(ids))
        .filter(api_keys::revoked_at.is_null())
        .select(ApiKeyRow::as_select())
        .load(conn)
        .await?)
}

/// How many keys a user has that were not revoked.
pub async fn count_of(conn: &mut Conn, user_id: Uuid) -> Result<i64, DbError> {
    let own = api_keys::table.filter(api_keys::user_id.eq(user_id).and(api_keys::revoked_at.is_null()));
    Ok(own.count().get_result(conn).await?)
}

/// The newest keys of each user that were not revoked, in one lateral statement.
pub async fn page_by_user(
    conn: &mut Conn,
    ids: &[Uuid],
    page: &Page,
) -> Result<HashMap<Uuid, PageOf<ApiKeyRow>>, DbError> {
    let sql = Sql::<(ApiKeyColumns, SqlUuid)>::new("SELECT ")
        .columns::<ApiKeyRow>()
        .push(", parent.id FROM unnest(")
        .bind::<Array<SqlUuid>, _>(ids.to_vec())
        .push(
            ") AS parent (id) CROSS JOIN LATERAL (SELECT * FROM api_keys \
             WHERE api_keys.user_id = parent.id AND api_keys.revoked_at IS NULL",
        );
    let sql = NEWEST_FIRST.finish(sql, page).push(") AS api_keys");
    Ok(by_parent(NEWEST_FIRST.by(sql, page).load(conn).await?, page))
}

pub fn key(row: &ApiKeyRow) -> Key {
    Key::Time(row.created_at)
}

/// Every key that was not revoked, with its user's handle: oldest first, for the command line.
pub async fn all(conn: &mut Conn) -> Result<Vec<(ApiKeyRow, String)>, DbError> {
    Ok(api_keys::table
        .inner_join(users::table)
        .filter(api_keys::revoked_at.is_null())
        .order((api_keys::created_at, api_keys::id))
        .select((ApiKeyRow::as_select(), users::handle))
        .load(conn)
        .await?)
}

/// Takes a key back. `None` if there is no such key, or it was revoked before.
pub async fn revoke(conn: &mut Conn, id: Uuid, now: DateTime<Utc>) -> Result<Option<ApiKeyRow>, DbError> {
    Ok(diesel::update(api_keys::table.find(id).filter(api_keys::revoked_at.is_null()))
        .set(api_keys::revoked_at.eq(now))
        .returning(ApiKeyRow::as_returning())
        .get_result(conn)
        .await
        .optional()?)
}

/// Notes when keys were used, and passes over those that somebody is changing: nobody who signs in waits
/// for that.
pub async fn touch(conn: &mut Conn, ids: &[Uuid], now: DateTime<Utc>) -> Result<(), DbError> {
    Sql::<SqlUuid>::new("UPDATE api_keys SET last_used_at = ")
        .bind::<Timestamptz, _>(now)
        .push(" WHERE id IN (SELECT id FROM api_keys WHERE id = ANY(")
        .bind::<Array<SqlUuid>, _>(ids.to_vec())
        .push(") FOR NO KEY UPDATE SKIP LOCKED)")
        .execute(conn)
        .await?;
    Ok(())
}
