//! Revisions: what a post said before each edit.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::page::{Order, by_parent};
use super::schema::post_revisions;
use super::sql::Sql;
use super::{Conn, DbError, Key, Page, PageOf};

#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = post_revisions, check_for_backend(Pg))]
pub struct RevisionRow {
    pub id: Uuid,
    pub post_id: Uuid,
    /// The post's version that said this.
    pub version: i32,
    pub title: String,
    pub markdown: String,
    pub editor_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
}

type RevisionColumns = SqlTypeOf<<RevisionRow as Selectable<Pg>>::SelectExpression>;
const NEWEST_FIRST: Order = Order { key: "post_revisions.version", id: "post_revisions.id", descending: true };

pub async fn by_ids(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<RevisionRow>, DbError> {
    Ok(post_revisions::table.filter(post_revisions::id.eq_any(ids)).select(RevisionRow::as_select()).load(conn).await?)
}

/// The newest revisions of each post, in one lateral statement.
pub async fn page_by_post(
    conn: &mut Conn,
    ids: &[Uuid],
    page: &Page,
) -> Result<HashMap<Uuid, PageOf<RevisionRow>>, DbError> {
    let sql = Sql::<(RevisionColumns, SqlUuid)>::new("SELECT ")
        .columns::<RevisionRow>()
        .push(", parent.id FROM unnest(")
        .bind::<Array<SqlUuid>, _>(ids.to_vec())
        .push(") AS parent (id) CROSS JOIN LATERAL (SELECT * FROM post_revisions WHERE post_revisions.post_id = parent.id");
    let sql = NEWEST_FIRST.finish(sql, page).push(") AS post_revisions");
    let rows = NEWEST_FIRST.by(sql, page).load(conn).await?;
    Ok(by_parent(rows, page))
}

pub fn key(row: &RevisionRow) -> Key {
    Key::Int(row.version)
}

pub async fn insert(conn: &mut Conn, revision: &RevisionRow) -> Result<(), DbError> {
    diesel::insert_into(post_revisions::table).values(revision).execute(conn).await?;
    Ok(())
}
