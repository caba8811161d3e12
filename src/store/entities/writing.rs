//! What changes entities: reading posts, and those who edit. All of it on a transaction that holds
//! [`lock`], so that no two make one thing out of the same name.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::EntityKind;
use crate::store::schema::{entities, entity_names, post_entities};
use crate::store::sql::Sql;
use crate::store::{Conn, DbError};

/// An entity whoever may see it.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = entities, check_for_backend(Pg))]
pub struct Held {
    pub id: Uuid,
    pub kind: EntityKind,
    pub name: String,
    pub tag_id: Option<Uuid>,
    pub edited: bool,
    pub deleted: bool,
    pub created_at: DateTime<Utc>,
}

/// A new entity. Its names come with [`add_names`].
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = entities)]
pub struct NewEntity {
    pub id: Uuid,
    pub kind: EntityKind,
    pub name: String,
    pub key: String,
    pub tag_id: Option<Uuid>,
    pub edited: bool,
    pub created_at: DateTime<Utc>,
}

/// A name of an entity.
#[derive(Clone, Debug, PartialEq, Insertable)]
#[diesel(table_name = entity_names)]
pub struct NewName {
    /// As names are compared.
    pub key: String,
    pub entity_id: Uuid,
    /// As it is written.
    pub name: String,
}

/// What changes; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, PartialEq, AsChangeset)]
#[diesel(table_name = entities)]
pub struct EntityChanges {
    pub kind: Option<EntityKind>,
    pub name: Option<String>,
    pub key: Option<String>,
    pub tag_id: Option<Uuid>,
    pub edited: Option<bool>,
    pub deleted: Option<bool>,
}

/// Lets one at a time write to the graph, until the transaction ends.
///
/// Take it before a post is locked, never afterwards.
pub async fn lock(conn: &mut Conn) -> Result<(), DbError> {
    Sql::<Bool>::new("SELECT pg_advisory_xact_lock(4726157302)").execute(conn).await?;
    Ok(())
}

/// What each of these names means, if it means something.
pub async fn named(conn: &mut Conn, keys: &[String]) -> Result<Vec<(String, Held)>, DbError> {
    Ok(entity_names::table
        .inner_join(entities::table)
        .filter(entity_names::key.eq_any(keys))
        .select((entity_names::key, Held::as_select()))
        .load(conn)
        .await?)
}

/// All that somebody has edited, be it deleted.
pub async fn edited(conn: &mut Conn) -> Result<Vec<Held>, DbError> {
    Ok(entities::table.filter(entities::edited).select(Held::as_select()).load(conn).await?)
}

/// The entities of tags.
pub async fn of_tags(conn: &mut Conn, tag_ids: &[Uuid]) -> Result<Vec<Held>, DbError> {
    Ok(entities::table.filter(entities::tag_id.eq_any(tag_ids)).select(Held::as_select()).load(conn).await?)
}

pub async fn insert(conn: &mut Conn, rows: &[NewEntity]) -> Result<(), DbError> {
    if !rows.is_empty() {
        diesel::insert_into(entities::table).values(rows).execute(conn).await?;
    }
    Ok(())
}

/// Adds those names that mean nothing yet.
pub async fn add_names(conn: &mut Conn, rows: &[NewName]) -> Result<(), DbError> {
    // A statement has room for 65,535 values.
    for rows in rows.chunks(10_000) {
        let new = diesel::insert_into(entity_names::table).values(rows);
        new.on_conflict(entity_names::key).do_nothing().execute(conn).await?;
    }
    Ok(())
}

/// Changes an entity. At least one column has to change.
pub async fn change(conn: &mut Conn, id: Uuid, changes: &EntityChanges) -> Result<(), DbError> {
    diesel::update(entities::table.find(id)).set(changes).execute(conn).await?;
    Ok(())
}

/// Makes one of several: `into` gets the names, the posts and, if it has none, the tag of the others.
pub async fn absorb(conn: &mut Conn, others: &[Uuid], into: Uuid) -> Result<(), DbError> {
    diesel::update(entity_names::table.filter(entity_names::entity_id.eq_any(others)))
        .set(entity_names::entity_id.eq(into))
        .execute(conn)
        .await?;
    Sql::<Bool>::new(
        "INSERT INTO post_entities (post_id, entity_id, weight, source, anchor) \
         SELECT DISTINCT ON (theirs.post_id) theirs.post_id, ",
    )
    .bind::<SqlUuid, _>(into)
    .push("::uuid, theirs.weight, theirs.source, theirs.anchor FROM post_entities AS theirs WHERE theirs.entity_id = ANY(")
    .bind::<Array<SqlUuid>, _>(others.to_vec())
    .push(
        ") ORDER BY theirs.post_id, theirs.weight DESC ON CONFLICT (post_id, entity_id) \
         DO UPDATE SET weight = GREATEST(post_entities.weight, EXCLUDED.weight)",
    )
    .execute(conn)
    .await?;
    let gone = diesel::delete(entities::table.filter(entities::id.eq_any(others))).returning(entities::tag_id);
    let tags: Vec<Option<Uuid>> = gone.get_results(conn).await?;
    if let Some(tag_id) = tags.into_iter().flatten().min() {
        let without = entities::table.filter(entities::id.eq(into)).filter(entities::tag_id.is_null());
        diesel::update(without).set(entities::tag_id.eq(tag_id)).execute(conn).await?;
    }
    Ok(())
}

/// Takes an entity away from all posts; it stays, with its names.
pub async fn forget_mentions(conn: &mut Conn, id: Uuid) -> Result<(), DbError> {
    diesel::delete(post_entities::table.filter(post_entities::entity_id.eq(id))).execute(conn).await?;
    Ok(())
}

/// Forgets what no post names and nobody has edited.
pub async fn delete_unused(conn: &mut Conn) -> Result<usize, DbError> {
    let named = post_entities::table.filter(post_entities::entity_id.eq(entities::id));
    let unused = diesel::dsl::not(diesel::dsl::exists(named));
    Ok(diesel::delete(entities::table.filter(entities::edited.eq(false)).filter(unused)).execute(conn).await?)
}
