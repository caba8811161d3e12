//! What each published post names and links to, and what the graph has read of it.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::{graph_posts, post_entities, post_links};
use super::sql::Sql;
use super::text_enum::text_enum;
use super::{Conn, DbError, entities};

text_enum! {
    /// By what a post's entity was found.
    MentionSource {
        /// A rule.
        Rule = "RULE",
        /// A link.
        Link = "LINK",
        /// A model that has read the post.
        Model = "MODEL",
    }
}

/// That a post names an entity.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = post_entities, check_for_backend(Pg))]
pub struct Mention {
    pub post_id: Uuid,
    pub entity_id: Uuid,
    pub weight: f32,
    pub source: MentionSource,
    pub anchor: Option<String>,
}

/// Something of the site that a post may name: what it is, its name, and what else it is known by.
pub type SiteName = (String, String, Option<String>);

/// Names that are looked for in every post; more of a kind would make each a little slower.
const MOST_NAMES: i64 = 5_000;

/// Titles of published projects and of series (`PROJECT`, `SERIES`, each with its slug), people who
/// write or have said something (`PERSON`, with the handle), and names of what was edited.
pub async fn site_names(conn: &mut Conn) -> Result<Vec<SiteName>, DbError> {
    let mut sql = Sql::<(Text, Text, Nullable<Text>)>::new("");
    for (n, select) in [
        "SELECT 'PROJECT'::text, title, slug FROM posts WHERE kind = 'PROJECT' AND status = 'PUBLISHED' \
         ORDER BY listed_at DESC LIMIT ",
        "SELECT 'SERIES'::text, title, slug FROM series WHERE EXISTS (SELECT 1 FROM posts \
         WHERE posts.series_id = series.id AND posts.status = 'PUBLISHED') ORDER BY created_at DESC LIMIT ",
        "SELECT 'PERSON'::text, name, handle FROM users WHERE role <> 'READER' OR EXISTS (SELECT 1 FROM comments \
         WHERE comments.author_id = users.id AND comments.status = 'APPROVED') ORDER BY created_at LIMIT ",
        "SELECT entities.kind, entity_names.name, NULL::text FROM entity_names \
         JOIN entities ON entities.id = entity_names.entity_id WHERE entities.edited AND NOT entities.deleted \
         ORDER BY entity_names.key LIMIT ",
    ]
    .into_iter()
    .enumerate()
    {
        sql = sql.push(if n == 0 { "(" } else { " UNION ALL (" }).push(select);
        sql = sql.bind::<BigInt, _>(MOST_NAMES).push(")");
    }
    Ok(sql.load(conn).await?)
}

/// How many people have published something; no more than two are counted.
pub async fn authors(conn: &mut Conn) -> Result<i64, DbError> {
    let sql = Sql::<BigInt>::new(
        "SELECT count(*) FROM (SELECT DISTINCT author_id FROM posts WHERE status = 'PUBLISHED' LIMIT 2) AS writing",
    );
    Ok(sql.get_result(conn).await?)
}

/// What a post names, by the ids of the entities.
pub async fn of_post(conn: &mut Conn, post_id: Uuid) -> Result<Vec<Mention>, DbError> {
    let found = post_entities::table.filter(post_entities::post_id.eq(post_id)).order(post_entities::entity_id);
    Ok(found.select(Mention::as_select()).load(conn).await?)
}

/// Gives a post exactly these entities.
pub async fn replace(conn: &mut Conn, post_id: Uuid, mentions: &[Mention]) -> Result<(), DbError> {
    diesel::delete(post_entities::table.filter(post_entities::post_id.eq(post_id))).execute(conn).await?;
    if !mentions.is_empty() {
        diesel::insert_into(post_entities::table).values(mentions).execute(conn).await?;
    }
    Ok(())
}

/// The slugs of the posts that a post links to, in order.
pub async fn links(conn: &mut Conn, post_id: Uuid) -> Result<Vec<String>, DbError> {
    let found = post_links::table.filter(post_links::post_id.eq(post_id)).order(post_links::slug);
    Ok(found.select(post_links::slug).load(conn).await?)
}

/// Says which posts a post links to.
pub async fn set_links(conn: &mut Conn, post_id: Uuid, slugs: &[String]) -> Result<(), DbError> {
    diesel::delete(post_links::table.filter(post_links::post_id.eq(post_id))).execute(conn).await?;
    let rows: Vec<_> = slugs.iter().map(|slug| (post_links::post_id.eq(post_id), post_links::slug.eq(slug))).collect();
    if !rows.is_empty() {
        diesel::insert_into(post_links::table).values(rows).on_conflict_do_nothing().execute(conn).await?;
    }
    Ok(())
}

/// Forgets all that these posts name, say and link to.
pub async fn forget(conn: &mut Conn, post_ids: &[Uuid]) -> Result<(), DbError> {
    diesel::delete(post_entities::table.filter(post_entities::post_id.eq_any(post_ids))).execute(conn).await?;
    diesel::delete(post_links::table.filter(post_links::post_id.eq_any(post_ids))).execute(conn).await?;
    entities::say_nothing(conn, post_ids).await?;
    diesel::delete(graph_posts::table.filter(graph_posts::post_id.eq_any(post_ids))).execute(conn).await?;
    Ok(())
}

/// What the graph was last made of for a post: its version, and the one that a model has read.
pub async fn noted(conn: &mut Conn, post_id: Uuid) -> Result<Option<(i32, Option<i32>)>, DbError> {
    let found = graph_posts::table.find(post_id).select((graph_posts::version, graph_posts::read_version));
    Ok(found.first(conn).await.optional()?)
}

/// Notes which version of a post was read by which rules.
pub async fn note(conn: &mut Conn, post_id: Uuid, version: i32, rules: i32, now: DateTime<Utc>) -> Result<(), DbError> {
    let read = (graph_posts::version.eq(version), graph_posts::rules.eq(rules), graph_posts::connected_at.eq(now));
    diesel::insert_into(graph_posts::table)
        .values((graph_posts::post_id.eq(post_id), read))
        .on_conflict(graph_posts::post_id)
        .do_update()
        .set(read)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes which version of a post a model has read.
pub async fn note_read(conn: &mut Conn, post_id: Uuid, version: i32) -> Result<(), DbError> {
    diesel::update(graph_posts::table.find(post_id)).set(graph_posts::read_version.eq(version)).execute(conn).await?;
    Ok(())
}

/// Published posts that were not read by these rules since then, oldest first, and how many there
/// are and how many published posts in all.
pub async fn stale(
    conn: &mut Conn,
    rules: i32,
    since: DateTime<Utc>,
    limit: i64,
) -> Result<(Vec<Uuid>, i64, i64), DbError> {
    let sql = Sql::<(Nullable<Array<SqlUuid>>, BigInt, BigInt)>::new(
        "WITH published AS (SELECT posts.id, (graph_posts.rules IS DISTINCT FROM ",
    )
    .bind::<Integer, _>(rules)
    .push(" OR graph_posts.connected_at < ")
    .bind::<Timestamptz, _>(since)
    .push(
        ") AS stale FROM posts LEFT JOIN graph_posts ON graph_posts.post_id = posts.id \
         WHERE posts.status = 'PUBLISHED') SELECT (SELECT array_agg(first.id) FROM (SELECT id FROM published \
         WHERE stale ORDER BY id LIMIT ",
    )
    .bind::<BigInt, _>(limit)
    .push(") AS first), (SELECT count(*) FROM published WHERE stale), (SELECT count(*) FROM published)");
    let (ids, stale, all): (Option<Vec<Uuid>>, i64, i64) = sql.get_result(conn).await?;
    Ok((ids.unwrap_or_default(), stale, all))
}

/// True if there is a published post that no rules, or others, have read.
pub async fn any_stale(conn: &mut Conn, rules: i32) -> Result<bool, DbError> {
    let sql = Sql::<Bool>::new(
        "SELECT EXISTS (SELECT 1 FROM posts LEFT JOIN graph_posts ON graph_posts.post_id = posts.id \
         WHERE posts.status = 'PUBLISHED' AND graph_posts.rules IS DISTINCT FROM ",
    );
    Ok(sql.bind::<Integer, _>(rules).push(")").get_result(conn).await?)
}

/// The newest post that the graph knows and no model has read as it is, and how many such posts
/// there are and how many in all.
pub async fn unread(conn: &mut Conn) -> Result<(Option<Uuid>, i64, i64), DbError> {
    let sql = Sql::<(Nullable<SqlUuid>, BigInt, BigInt)>::new(
        "WITH known AS (SELECT post_id, graph_posts.version IS DISTINCT FROM read_version AS unread FROM graph_posts \
         JOIN posts ON posts.id = graph_posts.post_id AND posts.version = graph_posts.version) \
         SELECT (SELECT post_id FROM known WHERE unread ORDER BY post_id DESC LIMIT 1), \
         (SELECT count(*) FROM known WHERE unread), (SELECT count(*) FROM known)",
    );
    Ok(sql.get_result(conn).await?)
}
