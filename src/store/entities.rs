//! The things that the site is about: what its published posts name.
//!
//! Shown is what some published post names in a way that means something, or what somebody has said
//! to be one. `writing.rs` is for who reads posts and for who edits; `related.rs` has what is near.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Float, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use self::saying::{NAME_SAID, SAID};
use super::page::Order;
use super::post_entities::MentionSource;
use super::sql::Sql;
use super::text_enum::text_enum;
use super::{Conn, DbError, Key, Page, PageOf, Sight};

mod related;
mod saying;
mod writing;

pub use related::{RelatedEntity, related};
pub use saying::{
    call_by_what_is_said, delete_unsaid, give_names, give_own_name, say, say_by_model, say_nothing, unsay,
};
pub use writing::{
    EntityChanges, Held, NewEntity, NewName, absorb, add_names, change, delete_unused, edited, forget_mentions, insert,
    lock, named, of_tags,
};

text_enum! {
    /// What an entity is.
    EntityKind {
        Person = "PERSON",
        Project = "PROJECT",
        Place = "PLACE",
        Technology = "TECHNOLOGY",
        Tag = "TAG",
        Concept = "CONCEPT",
    }
}

/// An entity as it is shown.
#[derive(Clone, Debug, PartialEq, Queryable)]
pub struct EntityRow {
    pub id: Uuid,
    pub kind: EntityKind,
    pub name: String,
    pub key: String,
    pub tag_id: Option<Uuid>,
    /// Published posts that name it.
    pub post_count: i64,
}

/// An entity and how a post names it.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityOfPost {
    pub entity: EntityRow,
    pub weight: f32,
    pub source: MentionSource,
    pub anchor: Option<String>,
}

/// Which entities a list holds. `None` does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityFilter {
    pub kind: Option<EntityKind>,
    /// How one of its names begins, as names are compared.
    pub prefix: Option<String>,
}

type EntityColumns = (SqlUuid, Text, Text, Text, Nullable<SqlUuid>, BigInt);
const COLUMNS: &str = "entities.id, entities.kind, entities.name, entities.key, entities.tag_id, known.posts";
/// How many published posts name each of `entities`, and how well.
const KNOWN: &str = " CROSS JOIN LATERAL (SELECT count(*) AS posts, COALESCE(sum(post_entities.weight), 0) AS strength \
                     FROM post_entities JOIN posts ON posts.id = post_entities.post_id \
                     WHERE post_entities.entity_id = entities.id AND posts.status = 'PUBLISHED') AS known";
const BY_KEY: Order = Order { key: "entities.key", id: "entities.id", descending: false };

/// The condition that leaves what may be seen: a name that one post holds once may be none. What somebody
/// said to be an entity is one as soon as a post names it, and for those who write before.
fn visible<ST>(sql: Sql<ST>, sight: Sight) -> Sql<ST> {
    match sight {
        Sight::Public => sql
            .push("NOT entities.deleted AND known.posts > 0 AND (entities.edited OR (known.strength >= 1 AND ")
            .push(NAME_SAID)
            .push("))"),
        Sight::Everything => sql.push("NOT entities.deleted AND (entities.edited OR known.strength >= 1)"),
    }
}

fn shown(sight: Sight) -> Sql<EntityColumns> {
    visible(Sql::new("SELECT ").push(COLUMNS).push(" FROM entities").push(KNOWN).push(" WHERE "), sight)
}

/// The condition that leaves the names, of entities that may be seen, that may be seen as well.
fn name_visible(sight: Sight) -> &'static str {
    match sight {
        Sight::Public => SAID,
        Sight::Everything => "true",
    }
}

/// The entities with these ids that may be seen.
pub async fn by_ids(conn: &mut Conn, ids: &[Uuid], sight: Sight) -> Result<Vec<EntityRow>, DbError> {
    let sql = shown(sight).push(" AND entities.id = ANY(").bind::<Array<SqlUuid>, _>(ids.to_vec()).push(")");
    Ok(sql.load(conn).await?)
}

/// The entity of this name, as names are compared, if it may be seen.
pub async fn by_name(conn: &mut Conn, key: &str, sight: Sight) -> Result<Option<EntityRow>, DbError> {
    let sql = shown(sight)
        .push(" AND entities.id = (SELECT entity_id FROM entity_names WHERE entity_names.key = ")
        .bind::<Text, _>(key.to_owned())
        .push(" AND ")
        .push(name_visible(sight))
        .push(")");
    Ok(sql.get_result(conn).await.optional()?)
}

/// One page of the entities that match and may be seen, by name.
pub async fn page(
    conn: &mut Conn,
    filter: &EntityFilter,
    page: &Page,
    sight: Sight,
) -> Result<PageOf<EntityRow>, DbError> {
    let sql = matching(shown(sight), filter, sight);
    Ok(PageOf::new(BY_KEY.finish(sql, page).load(conn).await?, page))
}

/// How many entities [`page`] goes through in all.
pub async fn count(conn: &mut Conn, filter: &EntityFilter, sight: Sight) -> Result<i64, DbError> {
    let sql = Sql::<BigInt>::new("SELECT count(*) FROM entities").push(KNOWN).push(" WHERE ");
    Ok(matching(visible(sql, sight), filter, sight).get_result(conn).await?)
}

fn matching<ST>(sql: Sql<ST>, filter: &EntityFilter, sight: Sight) -> Sql<ST> {
    sql.when(filter.kind, |sql, kind| sql.push(" AND entities.kind = ").bind::<Text, _>(kind)).when(
        filter.prefix.clone(),
        |sql, prefix| {
            sql.push(
                " AND EXISTS (SELECT 1 FROM entity_names WHERE entity_names.entity_id = entities.id \
                 AND starts_with(entity_names.key, ",
            )
            .bind::<Text, _>(prefix)
            .push(") AND ")
            .push(name_visible(sight))
            .push(")")
        },
    )
}

pub fn key(row: &EntityRow) -> Key {
    Key::Text(row.key.clone())
}

/// Another name of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    pub name: String,
    /// By an editor, and not only read out of posts.
    pub given: bool,
}

/// The other names of each entity that may be seen, in order.
pub async fn aliases(conn: &mut Conn, ids: &[Uuid], sight: Sight) -> Result<HashMap<Uuid, Vec<Alias>>, DbError> {
    let sql = Sql::<(SqlUuid, Text, Bool)>::new(
        "SELECT entities.id, entity_names.name, entity_names.given FROM entity_names \
         JOIN entities ON entities.id = entity_names.entity_id \
         WHERE entity_names.key <> entities.key AND entities.id = ANY(",
    )
    .bind::<Array<SqlUuid>, _>(ids.to_vec())
    .push(") AND ")
    .push(name_visible(sight))
    .push(" ORDER BY entity_names.key");
    let rows: Vec<(Uuid, String, bool)> = sql.load(conn).await?;
    let mut found: HashMap<Uuid, Vec<Alias>> = HashMap::new();
    for (id, name, given) in rows {
        found.entry(id).or_default().push(Alias { name, given });
    }
    Ok(found)
}

/// What each of these posts names, the weightiest first; nothing of a post that is not published.
pub async fn of_posts(conn: &mut Conn, post_ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<EntityOfPost>>, DbError> {
    let sql = Sql::<(EntityColumns, SqlUuid, Float, Text, Nullable<Text>)>::new("SELECT ")
        .push(COLUMNS)
        .push(
            ", mention.post_id, mention.weight, mention.source, mention.anchor FROM post_entities AS mention \
             JOIN posts AS of_it ON of_it.id = mention.post_id AND of_it.status = 'PUBLISHED' \
             JOIN entities ON entities.id = mention.entity_id",
        )
        .push(KNOWN)
        .push(" WHERE ");
    let sql = visible(sql, Sight::Public)
        .push(" AND mention.post_id = ANY(")
        .bind::<Array<SqlUuid>, _>(post_ids.to_vec())
        .push(") ORDER BY mention.post_id, mention.weight DESC, entities.key, entities.id");
    let rows: Vec<(EntityRow, Uuid, f32, MentionSource, Option<String>)> = sql.load(conn).await?;
    let mut found: HashMap<Uuid, Vec<EntityOfPost>> = HashMap::new();
    for (entity, post_id, weight, source, anchor) in rows {
        found.entry(post_id).or_default().push(EntityOfPost { entity, weight, source, anchor });
    }
    Ok(found)
}
