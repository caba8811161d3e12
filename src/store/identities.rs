//! Identities: ways for a user to prove who they are. Today passwords.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::{identities, users};
use super::users::{Role, UserRow};
use super::{Conn, DbError};

const PASSWORD: &str = "password";

/// The user with this handle or e-mail address, and the hash of their password if they have one.
pub async fn by_login(conn: &mut Conn, login: &str) -> Result<Option<(UserRow, Option<String>)>, DbError> {
    Ok(users::table
        .left_join(identities::table.on(identities::user_id.eq(users::id).and(identities::provider.eq(PASSWORD))))
        .filter(users::handle.eq(login).or(users::email.eq(login)))
        .select((UserRow::as_select(), identities::secret.nullable()))
        .first(conn)
        .await
        .optional()?)
}

/// The first owner who has a password, with its hash; if none has, the first owner.
pub async fn owner(conn: &mut Conn) -> Result<Option<(UserRow, Option<String>)>, DbError> {
    Ok(users::table
        .left_join(identities::table.on(identities::user_id.eq(users::id).and(identities::provider.eq(PASSWORD))))
        .filter(users::role.eq(Role::Owner))
        .order((identities::secret.is_null(), users::created_at, users::id))
        .select((UserRow::as_select(), identities::secret.nullable()))
        .first(conn)
        .await
        .optional()?)
}

/// The hash of a user's password, if they have one.
pub async fn password(conn: &mut Conn, user_id: Uuid) -> Result<Option<String>, DbError> {
    Ok(identities::table
        .filter(identities::user_id.eq(user_id))
        .filter(identities::provider.eq(PASSWORD))
        .select(identities::secret)
        .first(conn)
        .await
        .optional()?)
}

/// Sets or replaces a user's password.
pub async fn set_password(conn: &mut Conn, user_id: Uuid, hash: &str, now: DateTime<Utc>) -> Result<(), DbError> {
    diesel::insert_into(identities::table)
        .values((
            identities::id.eq(Uuid::now_v7()),
            identities::user_id.eq(user_id),
            identities::provider.eq(PASSWORD),
            identities::subject.eq(user_id.to_string()),
            identities::secret.eq(hash),
            identities::created_at.eq(now),
            identities::updated_at.eq(now),
        ))
        .on_conflict((identities::provider, identities::subject))
        .do_update()
        .set((identities::secret.eq(hash), identities::updated_at.eq(now)))
        .execute(conn)
        .await?;
    Ok(())
}
