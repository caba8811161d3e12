//! A vector for each post and model: what a post is about, and which posts are about the same.

use std::collections::{BTreeMap, HashMap};

use diesel::sql_types::{Array, BigInt, Bool, Double, Float, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::posts;
use super::sql::Sql;
use super::{Conn, DbError, Sight};

/// Neighbours that are looked at for each post, by each way of being near.
const CANDIDATES: u32 = 16;
/// Of an index of vectors: among so many near ones the nearest are found.
const LOOKED_AT: u32 = CANDIDATES + 4;

/// A post that has something to do with another.
#[derive(Clone, Debug, PartialEq)]
pub struct RelatedRow {
    pub post_id: Uuid,
    pub series_id: Option<Uuid>,
    /// Cosine of the posts' vectors, if it is among the nearest.
    pub similarity: Option<f64>,
    pub shared_tags: i64,
    pub same_series: bool,
}

/// Makes the vectors of posts anew, each the mean of its pieces'.
pub async fn refresh(conn: &mut Conn, model: &str, post_ids: &[Uuid]) -> Result<(), DbError> {
    Sql::<Text>::new(
        "INSERT INTO post_vectors (post_id, model, language, embedding) \
         SELECT post_id, model, min(language), avg(embedding) FROM chunk_vectors WHERE model = ",
    )
    .bind::<Text, _>(model.to_owned())
    .push(" AND post_id = ANY(")
    .bind::<Array<SqlUuid>, _>(post_ids.to_vec())
    .push(
        ") GROUP BY post_id, model ON CONFLICT (post_id, model) DO UPDATE SET \
         embedding = EXCLUDED.embedding, language = EXCLUDED.language",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets posts.
pub async fn forget(conn: &mut Conn, post_ids: &[Uuid]) -> Result<(), DbError> {
    Sql::<Text>::new("DELETE FROM post_vectors WHERE post_id = ANY(")
        .bind::<Array<SqlUuid>, _>(post_ids.to_vec())
        .push(")")
        .execute(conn)
        .await?;
    Ok(())
}

/// What a model has read of a post, if it has.
pub async fn of_post(conn: &mut Conn, model: &str, post_id: Uuid) -> Result<Option<Vec<f32>>, DbError> {
    use diesel::OptionalExtension;
    let sql = Sql::<Array<Float>>::new("SELECT embedding::real[] FROM post_vectors WHERE post_id = ")
        .bind::<SqlUuid, _>(post_id)
        .push(" AND model = ")
        .bind::<Text, _>(model.to_owned());
    Ok(sql.get_result(conn).await.optional()?)
}

/// The model that has read most posts, and the length of its vectors.
pub async fn best_model(conn: &mut Conn) -> Result<Option<(String, i32)>, DbError> {
    use diesel::OptionalExtension;
    let sql = Sql::<(Text, diesel::sql_types::Integer)>::new(
        "SELECT model, (SELECT vector_dims(embedding) FROM post_vectors AS one WHERE one.model = most.model LIMIT 1) \
         FROM (SELECT model FROM post_vectors GROUP BY model ORDER BY count(*) DESC, model LIMIT 1) AS most",
    );
    Ok(sql.get_result(conn).await.optional()?)
}

/// For each post those published ones of its language that are near it, share tags with it or are of
/// its series, in no particular order, without its translations and pages such as "About". `posts` are
/// ids with their languages.
pub async fn related(
    conn: &mut Conn,
    model: Option<&(String, i32)>,
    posts: &[(Uuid, String)],
) -> Result<HashMap<Uuid, Vec<RelatedRow>>, DbError> {
    // In order, so that the statement is the same each time.
    let mut languages: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    for (id, language) in posts {
        languages.entry(language).or_default().push(*id);
    }
    let mut sql = Sql::<(SqlUuid, SqlUuid, Nullable<SqlUuid>, Nullable<Double>, BigInt, Bool)>::new("");
    for (n, (language, ids)) in languages.into_iter().enumerate() {
        sql = sql.push(if n == 0 { "" } else { " UNION ALL " });
        sql = sql.push(
            "(SELECT here.id, found.id, posts.series_id, max(found.similarity), sum(found.tags)::bigint, \
             bool_or(found.series) FROM unnest(CASE WHEN set_config('hnsw.ef_search', '",
        );
        // In force for the statement, before the first of them is looked for.
        sql = sql.number(LOOKED_AT).push("', true) <> '' THEN ");
        sql = sql.bind::<Array<SqlUuid>, _>(ids).push("::uuid[] END) AS here (id) CROSS JOIN LATERAL (");
        if let Some((model, dimensions)) = model {
            sql = near(sql, model, u32::try_from(*dimensions).unwrap_or_default(), language).push(" UNION ALL ");
        }
        sql = by_tags_and_series(sql, language).push(
            ") AS found (id, similarity, tags, series) JOIN posts ON posts.id = found.id WHERE found.id <> here.id \
             AND posts.language = ",
        );
        sql = sql.known(language).push(" AND ");
        sql = posts::visible(sql, Sight::Public).push(
            " AND posts.kind <> 'PAGE' AND NOT EXISTS (SELECT 1 FROM post_translations AS own \
             JOIN post_translations AS other ON other.group_key = own.group_key WHERE own.post_id = here.id AND other.post_id = found.id) \
             GROUP BY here.id, found.id, posts.series_id)",
        );
    }
    type Row = (Uuid, Uuid, Option<Uuid>, Option<f64>, i64, bool);
    let rows: Vec<Row> = sql.load(conn).await?;
    let mut found: HashMap<Uuid, Vec<RelatedRow>> = HashMap::new();
    for (here, post_id, series_id, similarity, shared_tags, same_series) in rows {
        let row = RelatedRow { post_id, series_id, similarity, shared_tags, same_series };
        found.entry(here).or_default().push(row);
    }
    Ok(found)
}

fn near<ST>(sql: Sql<ST>, model: &str, dimensions: u32, language: &str) -> Sql<ST> {
    sql.push("(SELECT near.id, near.similarity, 0, false FROM (SELECT embedding::vector(")
        .number(dimensions)
        .push(") AS embedding FROM post_vectors WHERE post_id = here.id AND model = ")
        .known(model)
        .push(") AS own CROSS JOIN LATERAL (SELECT known.post_id AS id, 1 - (known.embedding::vector(")
        .number(dimensions)
        .push(") <=> own.embedding) AS similarity FROM post_vectors AS known WHERE known.model = ")
        .known(model)
        .push(" AND known.language = ")
        .known(language)
        .push(" ORDER BY known.embedding::vector(")
        .number(dimensions)
        .push(") <=> own.embedding LIMIT ")
        .number(CANDIDATES + 1)
        .push(") AS near)")
}

/// Of each tag the newest posts only: a tag may be on thousands. What readers do not see takes nobody's place.
fn by_tags_and_series<ST>(sql: Sql<ST>, language: &str) -> Sql<ST> {
    let shown = |sql: Sql<ST>| posts::visible(sql.known(language).push(" AND "), Sight::Public);
    let sql = sql.push(
        "(SELECT other.post_id, NULL::float8, 1, false FROM post_tags AS own CROSS JOIN LATERAL \
         (SELECT tagged.post_id FROM post_tags AS tagged JOIN posts ON posts.id = tagged.post_id \
         WHERE tagged.tag_id = own.tag_id AND posts.language = ",
    );
    let sql = shown(sql).push(" ORDER BY tagged.post_id DESC LIMIT ").number(CANDIDATES).push(
        ") AS other WHERE own.post_id = here.id) UNION ALL \
         (SELECT posts.id, NULL::float8, 0, true FROM posts AS own JOIN posts ON posts.series_id = own.series_id \
         WHERE own.id = here.id AND posts.language = ",
    );
    shown(sql).push(" LIMIT ").number(CANDIDATES).push(")")
}
