//! Reactions: what readers feel about a post, one of each kind a reader.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::schema::{reactions, users};
use super::text_enum::text_enum;
use super::{Conn, DbError};

text_enum! {
    /// What a reader can say without words.
    ReactionKind { Like = "LIKE", Love = "LOVE", Celebrate = "CELEBRATE", Insightful = "INSIGHTFUL", Curious = "CURIOUS" }
}

/// How many readers reacted in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionCount {
    pub kind: ReactionKind,
    pub count: i64,
}

/// The counts of each post, only of kinds that occur, in the order of the kinds.
pub async fn counts(conn: &mut Conn, post_ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<ReactionCount>>, DbError> {
    let rows: Vec<(Uuid, ReactionKind, i64)> = reactions::table
        .filter(reactions::post_id.eq_any(post_ids))
        .group_by((reactions::post_id, reactions::kind))
        .select((reactions::post_id, reactions::kind, count_star()))
        .load(conn)
        .await?;
    let mut groups: HashMap<Uuid, Vec<ReactionCount>> = HashMap::new();
    for (post, kind, count) in rows {
        groups.entry(post).or_default().push(ReactionCount { kind, count });
    }
    for counts in groups.values_mut() {
        counts.sort_by_key(|c| c.kind);
    }
    Ok(groups)
}

/// What one user said to each of these posts.
pub async fn of_user(
    conn: &mut Conn,
    user_id: Uuid,
    post_ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<ReactionKind>>, DbError> {
    let rows: Vec<(Uuid, ReactionKind)> = reactions::table
        .filter(reactions::user_id.eq(user_id))
        .filter(reactions::post_id.eq_any(post_ids))
        .order(reactions::kind)
        .select((reactions::post_id, reactions::kind))
        .load(conn)
        .await?;
    let mut groups: HashMap<Uuid, Vec<ReactionKind>> = HashMap::new();
    for (post, kind) in rows {
        groups.entry(post).or_default().push(kind);
    }
    Ok(groups)
}

/// True if it is new.
pub async fn insert(
    conn: &mut Conn,
    post_id: Uuid,
    user_id: Uuid,
    kind: ReactionKind,
    now: DateTime<Utc>,
) -> Result<bool, DbError> {
    let row = (
        reactions::post_id.eq(post_id),
        reactions::user_id.eq(user_id),
        reactions::kind.eq(kind),
        reactions::created_at.eq(now),
    );
    Ok(diesel::insert_into(reactions::table).values(row).on_conflict_do_nothing().execute(conn).await? > 0)
}

/// True if there was one.
pub async fn delete(conn: &mut Conn, post_id: Uuid, user_id: Uuid, kind: ReactionKind) -> Result<bool, DbError> {
    Ok(diesel::delete(reactions::table.find((post_id, user_id, kind))).execute(conn).await? > 0)
}

/// Every reaction to these posts with the handle of who gave it, for export.
pub async fn all_of_posts(
    conn: &mut Conn,
    post_ids: &[Uuid],
) -> Result<Vec<(Uuid, ReactionKind, String, DateTime<Utc>)>, DbError> {
    Ok(reactions::table
        .inner_join(users::table)
        .filter(reactions::post_id.eq_any(post_ids))
        .order((reactions::post_id, reactions::kind, users::handle))
        .select((reactions::post_id, reactions::kind, users::handle, reactions::created_at))
        .load(conn)
        .await?)
}
