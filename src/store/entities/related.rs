//! Which entities have to do with one another: by the posts that name both, and by posts that link
//! to each other.

use std::collections::HashMap;

use diesel::sql_types::{Array, BigInt, Double, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{COLUMNS, EntityColumns, EntityRow, KNOWN, visible};
use crate::store::sql::Sql;
use crate::store::{Conn, DbError, Sight};

/// Of an entity the newest posts only: a tag may be on thousands.
const POSTS: i64 = 200;
/// Posts of it whose links are followed, and links of each.
const LINKING: i64 = 50;

/// An entity that has to do with another.
#[derive(Clone, Debug, PartialEq)]
pub struct RelatedEntity {
    pub entity: EntityRow,
    /// 0 to 1: all that is published of either is of both.
    pub weight: f64,
    /// Posts that name both.
    pub shared_posts: i64,
}

/// For each entity those that it shares posts with, or whose posts link to its own; the nearest
/// first, at most `limit` of each. One statement, for everybody alike.
pub async fn related(
    conn: &mut Conn,
    ids: &[Uuid],
    limit: usize,
) -> Result<HashMap<Uuid, Vec<RelatedEntity>>, DbError> {
    let sql = Sql::<(EntityColumns, SqlUuid, Double, BigInt)>::new("SELECT ")
        .push(COLUMNS)
        .push(
            ", here.id, LEAST(1, near.worth / sqrt(GREATEST(1, here.posts * known.posts)))::float8 AS weight, \
             near.shared FROM (SELECT wanted.id, (SELECT count(*) FROM post_entities JOIN posts \
             ON posts.id = post_entities.post_id WHERE post_entities.entity_id = wanted.id \
             AND posts.status = 'PUBLISHED') AS posts FROM unnest(",
        )
        .bind::<Array<SqlUuid>, _>(ids.to_vec())
        .push(") AS wanted (id)) AS here CROSS JOIN LATERAL (");
    let sql = near(sql, i64::try_from(limit).unwrap_or(i64::MAX).saturating_mul(2))
        .push(") AS near JOIN entities ON entities.id = near.entity_id")
        .push(KNOWN)
        .push(" WHERE ");
    let sql =
        visible(sql, Sight::Public).push(" ORDER BY here.id, weight DESC, near.shared DESC, entities.key, entities.id");
    let rows: Vec<(EntityRow, Uuid, f64, i64)> = sql.load(conn).await?;
    let mut found: HashMap<Uuid, Vec<RelatedEntity>> = HashMap::new();
    for (entity, here, weight, shared_posts) in rows {
        let near = found.entry(here).or_default();
        if near.len() < limit {
            near.push(RelatedEntity { entity, weight, shared_posts });
        }
    }
    Ok(found)
}

/// What is near `here`: a post that names both counts 1, two posts that link to each other a quarter.
fn near<ST>(sql: Sql<ST>, limit: i64) -> Sql<ST> {
    let sql = sql.push(
        "SELECT both_sides.entity_id, sum(both_sides.worth)::float8 AS worth, sum(both_sides.shared)::bigint AS shared \
         FROM (SELECT other.entity_id, 1.0 AS worth, 1 AS shared FROM ",
    );
    let sql = own(sql, POSTS).push(
        " JOIN post_entities AS other ON other.post_id = own.post_id UNION ALL \
             SELECT other.entity_id, 0.25 AS worth, 0 AS shared FROM ",
    );
    own(sql, LINKING)
        .push(
            " CROSS JOIN LATERAL ((SELECT target.id FROM post_links JOIN posts AS target ON target.slug = post_links.slug \
             WHERE post_links.post_id = own.post_id LIMIT ",
        )
        .bind::<BigInt, _>(LINKING)
        .push(
            ") UNION (SELECT post_links.post_id FROM posts AS itself JOIN post_links ON post_links.slug = itself.slug \
             WHERE itself.id = own.post_id LIMIT ",
        )
        .bind::<BigInt, _>(LINKING)
        .push(
            ")) AS linked (post_id) JOIN post_entities AS other ON other.post_id = linked.post_id \
             WHERE linked.post_id <> own.post_id) AS both_sides WHERE both_sides.entity_id <> here.id \
             GROUP BY both_sides.entity_id ORDER BY worth DESC, both_sides.entity_id LIMIT ",
        )
        .bind::<BigInt, _>(limit)
}

/// The newest posts that name `here`.
fn own<ST>(sql: Sql<ST>, limit: i64) -> Sql<ST> {
    sql.push(
        "(SELECT post_entities.post_id FROM post_entities JOIN posts ON posts.id = post_entities.post_id \
         WHERE post_entities.entity_id = here.id AND posts.status = 'PUBLISHED' \
         ORDER BY post_entities.post_id DESC LIMIT ",
    )
    .bind::<BigInt, _>(limit)
    .push(") AS own")
}
