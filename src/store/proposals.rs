//! Proposals: what models have proposed for posts, and what became of it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::page::{Order, by_parent};
use super::schema::proposals;
use super::sql::Sql;
use super::text_enum::text_enum;
use super::{Conn, DbError, Key, Page, PageOf};

text_enum! {
    /// What is proposed.
    ProposalKind {
        Summary = "SUMMARY",
        Tags = "TAGS",
        Title = "TITLE",
        Translation = "TRANSLATION",
        Proofreading = "PROOFREADING",
        AltText = "ALT_TEXT",
    }
}
text_enum! {
    /// What became of it.
    ProposalStatus { Pending = "PENDING", Accepted = "ACCEPTED", Dismissed = "DISMISSED" }
}

#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = proposals, check_for_backend(Pg))]
pub struct ProposalRow {
    pub id: Uuid,
    pub post_id: Uuid,
    pub kind: ProposalKind,
    pub status: ProposalStatus,
    pub content: Value,
    pub model: Option<String>,
    /// Of the post that was read.
    pub post_version: i32,
    pub created_at: DateTime<Utc>,
    pub decided_at: Option<DateTime<Utc>>,
    pub decided_by: Option<Uuid>,
}

type ProposalColumns = SqlTypeOf<<ProposalRow as Selectable<Pg>>::SelectExpression>;
const NEWEST_FIRST: Order = Order { key: "proposals.created_at", id: "proposals.id", descending: true };
/// Translations of a post that are looked through for the one that a draft came from.
const LOOKED_THROUGH: i64 = 100;

pub async fn find(conn: &mut Conn, id: Uuid) -> Result<Option<ProposalRow>, DbError> {
    Ok(proposals::table.find(id).select(ProposalRow::as_select()).first(conn).await.optional()?)
}

/// The proposal, locked against other writers until the transaction ends.
pub async fn lock(conn: &mut Conn, id: Uuid) -> Result<Option<ProposalRow>, DbError> {
    let row = proposals::table.find(id).select(ProposalRow::as_select()).for_update();
    Ok(row.first(conn).await.optional()?)
}

/// The newest proposals for each post, in one lateral statement.
pub async fn page_by_post(
    conn: &mut Conn,
    ids: &[Uuid],
    page: &Page,
) -> Result<HashMap<Uuid, PageOf<ProposalRow>>, DbError> {
    let sql = Sql::<(ProposalColumns, SqlUuid)>::new("SELECT ")
        .columns::<ProposalRow>()
        .push(", parent.id FROM unnest(")
        .bind::<Array<SqlUuid>, _>(ids.to_vec())
        .push(") AS parent (id) CROSS JOIN LATERAL (SELECT * FROM proposals WHERE proposals.post_id = parent.id");
    let sql = NEWEST_FIRST.finish(sql, page).push(") AS proposals");
    let rows = NEWEST_FIRST.by(sql, page).load(conn).await?;
    Ok(by_parent(rows, page))
}

pub fn key(row: &ProposalRow) -> Key {
    Key::Time(row.created_at)
}

/// Puts a proposal down; one of its kind that waits for a decision about the post goes.
pub async fn insert(conn: &mut Conn, row: &ProposalRow) -> Result<(), DbError> {
    if row.status == ProposalStatus::Pending {
        let waiting = proposals::status.eq(ProposalStatus::Pending).and(proposals::kind.eq(row.kind));
        diesel::delete(proposals::table.filter(proposals::post_id.eq(row.post_id).and(waiting))).execute(conn).await?;
    }
    diesel::insert_into(proposals::table).values(row).execute(conn).await?;
    Ok(())
}

/// Writes down what became of a proposal that waits; `None` if it does not.
pub async fn decide(
    conn: &mut Conn,
    id: Uuid,
    status: ProposalStatus,
    by: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<ProposalRow>, DbError> {
    let waiting = proposals::table.find(id).filter(proposals::status.eq(ProposalStatus::Pending));
    let decided = (proposals::status.eq(status), proposals::decided_at.eq(now), proposals::decided_by.eq(by));
    let row = diesel::update(waiting).set(decided).returning(ProposalRow::as_returning());
    Ok(row.get_result(conn).await.optional()?)
}

/// Lets the proposals that wait and were made for version `from` of a post stand for version `to`.
pub async fn carry(conn: &mut Conn, post_id: Uuid, from: i32, to: i32) -> Result<(), DbError> {
    let waiting = proposals::status.eq(ProposalStatus::Pending).and(proposals::post_version.eq(from));
    diesel::update(proposals::table.filter(proposals::post_id.eq(post_id).and(waiting)))
        .set(proposals::post_version.eq(to))
        .execute(conn)
        .await?;
    Ok(())
}

/// The last translations that were made of a post, newest first.
pub async fn translations(conn: &mut Conn, post_id: Uuid) -> Result<Vec<ProposalRow>, DbError> {
    Ok(proposals::table
        .filter(proposals::post_id.eq(post_id).and(proposals::kind.eq(ProposalKind::Translation)))
        .order((proposals::created_at.desc(), proposals::id.desc()))
        .limit(LOOKED_THROUGH)
        .select(ProposalRow::as_select())
        .load(conn)
        .await?)
}

/// Forgets those that were made before `time`; returns how many there were.
pub async fn forget_before(conn: &mut Conn, time: DateTime<Utc>) -> Result<usize, DbError> {
    Ok(diesel::delete(proposals::table.filter(proposals::created_at.lt(time))).execute(conn).await?)
}
