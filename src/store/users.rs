//! Users: who writes, edits and reads.

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::page::Order;
use super::schema::users;
use super::sql::Sql;
use super::text_enum::text_enum;
use super::{Conn, DbError, Key, Page, PageOf, Sight};

text_enum! {
    /// What a user may do.
    Role {
        /// The one whose site it is.
        Owner = "OWNER",
        /// Writes and moderates.
        Editor = "EDITOR",
        /// Comments and reacts.
        Reader = "READER",
    }
}

#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, Serialize, Deserialize)]
#[diesel(table_name = users, check_for_backend(Pg))]
pub struct UserRow {
    pub id: Uuid,
    pub handle: String,
    pub name: String,
    pub email: Option<String>,
    pub role: Role,
    pub bio: String,
    pub url: Option<String>,
    /// Path or URL of a picture.
    pub avatar: Option<String>,
    pub demo: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What an edit changes; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = users)]
pub struct UserChanges {
    pub name: Option<String>,
    pub bio: Option<String>,
    pub url: Option<Option<String>>,
    pub avatar: Option<Option<String>>,
    pub role: Option<Role>,
    pub demo: Option<bool>,
}

type UserColumns = SqlTypeOf<<UserRow as Selectable<Pg>>::SelectExpression>;
const BY_HANDLE: Order = Order { key: "users.handle", id: "users.id", descending: false };

pub async fn by_ids(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<UserRow>, DbError> {
    Ok(users::table.filter(users::id.eq_any(ids)).select(UserRow::as_select()).load(conn).await?)
}

pub async fn by_handle(conn: &mut Conn, handle: &str) -> Result<Option<UserRow>, DbError> {
    Ok(users::table.filter(users::handle.eq(handle)).select(UserRow::as_select()).first(conn).await.optional()?)
}

pub async fn by_handles(conn: &mut Conn, handles: &[String]) -> Result<Vec<UserRow>, DbError> {
    Ok(users::table.filter(users::handle.eq_any(handles)).select(UserRow::as_select()).load(conn).await?)
}

/// One page of users, by handle, of one role or all: for the public only those who write.
pub async fn page(conn: &mut Conn, role: Option<Role>, page: &Page, sight: Sight) -> Result<PageOf<UserRow>, DbError> {
    let sql = Sql::<UserColumns>::new("SELECT ").columns::<UserRow>().push(" FROM users WHERE ");
    Ok(PageOf::new(BY_HANDLE.finish(listed(sql, role, sight), page).load(conn).await?, page))
}

/// Every user, by handle, for the command line and for export.
pub async fn all(conn: &mut Conn) -> Result<Vec<UserRow>, DbError> {
    Ok(users::table.order(users::handle).select(UserRow::as_select()).load(conn).await?)
}

pub fn key(row: &UserRow) -> Key {
    Key::Text(row.handle.clone())
}

/// How many users [`page`] goes through in all.
pub async fn count(conn: &mut Conn, role: Option<Role>, sight: Sight) -> Result<i64, DbError> {
    let sql = Sql::<BigInt>::new("SELECT count(*) FROM users WHERE ");
    Ok(listed(sql, role, sight).get_result(conn).await?)
}

fn listed<ST>(sql: Sql<ST>, role: Option<Role>, sight: Sight) -> Sql<ST> {
    let sql = sql.push(match sight {
        Sight::Public => "users.role <> 'READER'",
        Sight::Everything => "true",
    });
    sql.when(role, |sql, role| sql.push(" AND users.role = ").bind::<Text, _>(role))
}

/// `None` if there is no such user.
pub async fn update(
    conn: &mut Conn,
    id: Uuid,
    changes: &UserChanges,
    now: DateTime<Utc>,
) -> Result<Option<UserRow>, DbError> {
    Ok(diesel::update(users::table.find(id))
        .set((changes, users::updated_at.eq(now)))
        .returning(UserRow::as_returning())
        .get_result(conn)
        .await
        .optional()?)
}

/// The ids of all owners, who stay owners until the transaction ends.
pub async fn lock_owners(conn: &mut Conn) -> Result<Vec<Uuid>, DbError> {
    Ok(users::table
        .filter(users::role.eq(Role::Owner))
        .order(users::id)
        .select(users::id)
        .for_update()
        .load(conn)
        .await?)
}

/// Errors: constraints `users_handle_key` and `users_email_key` when taken.
pub async fn insert(conn: &mut Conn, user: &UserRow) -> Result<(), DbError> {
    diesel::insert_into(users::table).values(user).execute(conn).await?;
    Ok(())
}

/// The first owner, if there is one; that of the demo site only where there is no other.
pub async fn owner(conn: &mut Conn) -> Result<Option<UserRow>, DbError> {
    Ok(users::table
        .filter(users::role.eq(Role::Owner))
        .order((users::demo, users::created_at, users::id))
        .select(UserRow::as_select())
        .first(conn)
        .await
        .optional()?)
}

/// The demo site's users, by handle.
pub async fn of_demo(conn: &mut Conn) -> Result<Vec<UserRow>, DbError> {
    Ok(users::table.filter(users::demo).order(users::handle).select(UserRow::as_select()).load(conn).await?)
}

/// Whether there is an owner who did not come with the demo site.
pub async fn has_own_owner(conn: &mut Conn) -> Result<bool, DbError> {
    let own = users::table.filter(users::role.eq(Role::Owner)).filter(diesel::dsl::not(users::demo));
    Ok(diesel::select(diesel::dsl::exists(own)).get_result(conn).await?)
}

/// Removes the demo site's users; returns their ids.
///
/// Who has a post or a comment that stays, stays too, and so does the owner of a site that has no
/// other: somebody signs in with that account.
pub async fn delete_demo(conn: &mut Conn) -> Result<Vec<Uuid>, DbError> {
    let sql = Sql::<SqlUuid>::new(
        "DELETE FROM users WHERE demo \
         AND NOT EXISTS (SELECT 1 FROM posts WHERE posts.author_id = users.id) \
         AND NOT EXISTS (SELECT 1 FROM comments WHERE comments.author_id = users.id) \
         AND (role <> 'OWNER' OR EXISTS (SELECT 1 FROM users AS others WHERE others.role = 'OWNER' AND NOT others.demo)) \
         RETURNING id",
    );
    Ok(sql.load(conn).await?)
}
