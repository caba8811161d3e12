//! Vectors of pieces, by model. Vectors of two models are never compared.
//!
//! Up to 2,000 vectors of a model and a language are compared one by one, which is exact; for
//! more an index is made ([`index`]). Vectors go through as text, which pgvector parses.

use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Double, Text, Uuid as SqlUuid};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use uuid::Uuid;

use super::posts::{self, PostFilter};
use super::sql::Sql;
use super::{Conn, Db, DbError, Sight};

/// From how many vectors on an index is worth its memory and what it misses.
const EXACT: i64 = 2_000;
/// Vectors that the index looks at for one query. Of the 60 nearest of 50,000 that are like those of a site it
/// then finds 97 of 100, at 100 it found 91.
const LOOKED_AT: u32 = 150;

/// A piece that a model has not read.
#[derive(Clone, Debug)]
pub struct Unread {
    pub chunk_id: Uuid,
    pub post_id: Uuid,
    pub title: String,
    pub heading_path: Vec<String>,
    pub text: String,
    pub hash: Vec<u8>,
}

/// A piece near a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Near {
    pub chunk_id: Uuid,
    pub post_id: Uuid,
    pub language: String,
    /// Cosine, -1 to 1.
    pub similarity: f64,
}

/// What is looked for by its meaning.
#[derive(Clone, Debug)]
pub struct Meaning<'a> {
    pub model: &'a str,
    pub vector: &'a [f32],
    /// Each on its own: models prefer the query's language.
    pub languages: &'a [String],
    /// Of each language.
    pub limit: i64,
}

/// As pgvector reads it.
pub(super) fn written(vector: &[f32]) -> String {
    let mut text = String::with_capacity(vector.len() * 12 + 2);
    text.push('[');
    for (n, value) in vector.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        text.push_str(&value.to_string());
    }
    text.push(']');
    text
}

/// The model's vectors of a post's pieces, for those that have one: which pieces need none.
pub async fn read_of_post(conn: &mut Conn, post_id: Uuid, model: &str) -> Result<Vec<Uuid>, DbError> {
    let sql = Sql::<SqlUuid>::new("SELECT chunk_id FROM chunk_vectors WHERE post_id = ")
        .bind::<SqlUuid, _>(post_id)
        .push(" AND model = ")
        .bind::<Text, _>(model.to_owned());
    Ok(sql.load(conn).await?)
}

/// Keeps vectors of pieces that are still what the model read.
///
/// `pieces` are ids with the hash of what was read.
pub async fn put(
    conn: &mut Conn,
    model: &str,
    pieces: Vec<(Uuid, Vec<u8>)>,
    vectors: &[Vec<f32>],
) -> Result<usize, DbError> {
    let (ids, hashes): (Vec<Uuid>, Vec<Vec<u8>>) = pieces.into_iter().unzip();
    let vectors: Vec<String> = vectors.iter().map(|vector| written(vector)).collect();
    let sql = Sql::<Text>::new(
        "INSERT INTO chunk_vectors (chunk_id, model, post_id, language, embedding) SELECT chunks.id, ",
    )
    .bind::<Text, _>(model.to_owned())
    .push(", chunks.post_id, chunks.language, made.vector::vector FROM unnest(")
    .bind::<Array<SqlUuid>, _>(ids)
    .push(", ")
    .bind::<Array<Binary>, _>(hashes)
    .push(", ")
    .bind::<Array<Text>, _>(vectors)
    .push(
        ") AS made (id, hash, vector) JOIN chunks ON chunks.id = made.id AND chunks.hash = made.hash \
         ON CONFLICT (chunk_id, model) DO UPDATE SET embedding = EXCLUDED.embedding, language = EXCLUDED.language",
    );
    Ok(sql.execute(conn).await?)
}

/// Pieces that a model has not read, those of the newest posts first.
pub async fn unread(conn: &mut Conn, model: &str, limit: i64) -> Result<Vec<Unread>, DbError> {
    type Row = (Uuid, Uuid, String, serde_json::Value, String, Vec<u8>);
    let sql = Sql::<(SqlUuid, SqlUuid, Text, diesel::sql_types::Jsonb, Text, Binary)>::new(
        "SELECT chunks.id, chunks.post_id, posts.title, chunks.heading_path, chunks.text, chunks.hash \
         FROM chunks JOIN posts ON posts.id = chunks.post_id \
         WHERE NOT EXISTS (SELECT 1 FROM chunk_vectors AS known WHERE known.chunk_id = chunks.id AND known.model = ",
    )
    .bind::<Text, _>(model.to_owned())
    .push(") ORDER BY posts.listed_at DESC, chunks.post_id, chunks.ordinal LIMIT ")
    .bind::<BigInt, _>(limit);
    let rows: Vec<Row> = sql.load(conn).await?;
    Ok(rows
        .into_iter()
        .map(|(chunk_id, post_id, title, path, text, hash)| {
            let heading_path = serde_json::from_value(path).unwrap_or_default();
            Unread { chunk_id, post_id, title, heading_path, text, hash }
        })
        .collect())
}

/// How many pieces there are, and how many of them a model has read.
pub async fn coverage(conn: &mut Conn, model: &str) -> Result<(i64, i64), DbError> {
    let sql = Sql::<(BigInt, BigInt)>::new(
        "SELECT (SELECT count(*) FROM chunks), (SELECT count(*) FROM chunk_vectors WHERE model = ",
    )
    .bind::<Text, _>(model.to_owned())
    .push(")");
    Ok(sql.get_result(conn).await?)
}

/// The pieces of each language that are nearest, in no particular order.
pub async fn nearest(conn: &mut Conn, meaning: &Meaning<'_>, filter: &PostFilter) -> Result<Vec<Near>, DbError> {
    if meaning.languages.is_empty() {
        return Ok(Vec::new());
    }
    let dimensions = u32::try_from(meaning.vector.len()).unwrap_or(u32::MAX);
    let vector = written(meaning.vector);
    // The settings hold for the statement, and are in force before it looks: a filter that leaves little
    // must not leave less than there is, so that the index is read on.
    let mut sql = Sql::<(SqlUuid, SqlUuid, Text, Double)>::new(
        "WITH asked AS MATERIALIZED (SELECT CASE WHEN set_config('hnsw.ef_search', '",
    )
    .number(LOOKED_AT)
    .push("', true) <> '' AND set_config('hnsw.iterative_scan', 'relaxed_order', true) <> '' THEN ")
    .bind::<Text, _>(vector)
    .push("::text::vector END AS vector) ");
    let filtered = *filter != PostFilter::default();
    for (n, language) in meaning.languages.iter().enumerate() {
        sql = sql
            .push(if n == 0 { "" } else { " UNION ALL " })
            .push(
                "(SELECT near.chunk_id, near.post_id, near.language, 1 - distance FROM (\
                 SELECT known.chunk_id, known.post_id, known.language, known.embedding::vector(",
            )
            .number(dimensions)
            .push(") <=> (SELECT vector FROM asked) AS distance FROM chunk_vectors AS known ")
            .push(if filtered { "JOIN posts ON posts.id = known.post_id " } else { "" })
            .push("WHERE known.model = ")
            .known(meaning.model)
            .push(" AND known.language = ")
            .known(language);
        if filtered {
            sql = posts::matching(posts::visible(sql.push(" AND "), Sight::Public), filter);
        }
        sql = sql.push(" ORDER BY distance LIMIT ").bind::<BigInt, _>(meaning.limit).push(") AS near)");
    }
    let rows: Vec<(Uuid, Uuid, String, f64)> = sql.load(conn).await?;
    let near = |(chunk_id, post_id, language, similarity)| Near { chunk_id, post_id, language, similarity };
    Ok(rows.into_iter().map(near).collect())
}

/// Makes the indexes that the model's vectors are too many to do without; returns how many were made.
///
/// On a server while others go on writing, and however the caller ends: one process at a time, and where
/// another is at it already, none are made.
pub async fn index(db: &Db, model: &str) -> Result<usize, DbError> {
    if !db.backend().is_embedded() {
        let (db, model) = (db.clone(), model.to_owned());
        let making = tokio::spawn(async move { index_beside_others(&db, &model).await });
        return making.await.unwrap_or_else(|error| Err(DbError::Other(DieselError::QueryBuilderError(error.into()))));
    }
    let missing = missing_indexes(&mut *db.conn().await?, model, "").await?;
    for statements in &missing {
        let mut tx = db.begin().await?;
        tx.batch_execute("SET LOCAL maintenance_work_mem = '256MB'").await?;
        make_index(&mut tx, model, statements).await?;
        tx.commit().await?;
    }
    Ok(missing.len())
}

async fn index_beside_others(db: &Db, model: &str) -> Result<usize, DbError> {
    let mut conn = db.conn().await?;
    let lock =
        Sql::<(Bool, Text)>::new("SELECT pg_try_advisory_lock(4726157303), current_setting('statement_timeout')");
    let (held, limit): (bool, String) = lock.get_result(&mut conn).await?;
    if !held {
        return Ok(0);
    }
    // The connection goes back into the pool as it was, also after an error.
    let made = with_lock(&mut conn, model).await;
    let back =
        format!("SET statement_timeout = '{limit}'; RESET maintenance_work_mem; SELECT pg_advisory_unlock(4726157303)");
    conn.batch_execute(&back).await?;
    made
}

async fn with_lock(conn: &mut Conn, model: &str) -> Result<usize, DbError> {
    conn.batch_execute("SET statement_timeout = '1h'; SET maintenance_work_mem = '256MB'").await?;
    let missing = missing_indexes(conn, model, "CONCURRENTLY ").await?;
    for statements in &missing {
        make_index(conn, model, statements).await?;
    }
    Ok(missing.len())
}

/// One that was not finished is of no use and goes first.
async fn make_index(conn: &mut Conn, model: &str, (drop, create): &(String, String)) -> Result<(), DbError> {
    tracing::info!(model, "vectors are indexed");
    conn.batch_execute(drop).await?;
    Ok(conn.batch_execute(create).await?)
}

/// The statements that take what is left of each away, and make it: one for each table and language.
/// Postgres quotes the names in them.
async fn missing_indexes(conn: &mut Conn, model: &str, how: &'static str) -> Result<Vec<(String, String)>, DbError> {
    let mut missing = Vec::new();
    for (table, exact) in [("chunk_vectors", EXACT), ("post_vectors", EXACT / 4)] {
        let sql = Sql::<(Text, Text)>::new("SELECT format('DROP INDEX ")
            .push(how)
            .push("IF EXISTS %I', name), format('CREATE INDEX ")
            .push(how)
            .push(
                "%I ON %I USING hnsw ((embedding::vector(%s)) vector_cosine_ops) WHERE model = %L AND language = %L', \
                 name, ",
            )
            .known(table)
            .push(", dimensions, model, language) FROM (SELECT ")
            .known(table)
            .push(
                " || '_near_' || left(md5(model || ' ' || language), 12) AS name, model, language, \
                 max(vector_dims(embedding)) AS dimensions FROM ",
            )
            .push(table)
            .push(" WHERE model = ")
            .bind::<Text, _>(model.to_owned())
            .push(" GROUP BY model, language HAVING count(*) > ")
            .bind::<BigInt, _>(exact)
            .push(
                ") AS many WHERE NOT EXISTS (SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
                 WHERE relname = name AND indisvalid)",
            );
        missing.extend(sql.load::<(String, String)>(conn).await?);
    }
    Ok(missing)
}
