//! API keys: what programs sign in with. Only the hash of a key is kept.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::{api_keys, users};
use super::users::UserRow;
use super::{Conn, DbError};

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

pub async fn insert(conn: &mut Conn, key: &NewApiKey) -> Result<(), DbError> {
    diesel::insert_into(api_keys::table).values(key).execute(conn).await?;
    Ok(())
}

/// The user and the scopes of a key that is neither expired nor revoked.
pub async fn find(
    conn: &mut Conn,
    token_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<(UserRow, serde_json::Value)>, DbError> {
    Ok(api_keys::table
        .inner_join(users::table)
        .filter(api_keys::token_hash.eq(token_hash))
        .filter(api_keys::revoked_at.is_null())
        .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(now)))
        .select((UserRow::as_select(), api_keys::scopes))
        .first(conn)
        .await
        .optional()?)
}
