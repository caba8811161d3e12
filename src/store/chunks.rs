//! Pieces of what is published: where something stands in a post.

use diesel::prelude::*;
use diesel::sql_types::{Array, Binary, Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::schema::chunks;
use super::sql::Sql;
use super::{Conn, DbError};

/// A piece to be kept.
#[derive(Clone, Debug)]
pub struct NewChunk {
    pub id: Uuid,
    pub heading_path: Vec<String>,
    pub anchor: Option<String>,
    pub text: String,
    /// A `tsvector`.
    pub words: String,
    pub hash: [u8; 32],
}

/// A piece as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkRow {
    pub id: Uuid,
    pub post_id: Uuid,
    pub ordinal: i32,
    pub language: String,
    pub heading_path: Vec<String>,
    pub anchor: Option<String>,
    pub text: String,
}

type ChunkColumns = (SqlUuid, SqlUuid, Integer, Text, Jsonb, Nullable<Text>, Text);
type ChunkTuple = (Uuid, Uuid, i32, String, serde_json::Value, Option<String>, String);

fn row((id, post_id, ordinal, language, path, anchor, text): ChunkTuple) -> ChunkRow {
    let heading_path = serde_json::from_value(path).unwrap_or_default();
    ChunkRow { id, post_id, ordinal, language, heading_path, anchor, text }
}

/// The ids and hashes of a post's pieces.
pub async fn known(conn: &mut Conn, post_id: Uuid) -> Result<Vec<(Uuid, Vec<u8>)>, DbError> {
    let found = chunks::table.filter(chunks::post_id.eq(post_id)).order(chunks::ordinal);
    Ok(found.select((chunks::id, chunks::hash)).load(conn).await?)
}

/// Gives a post exactly these pieces, in this order. Those that it had by the same id stay, with
/// their vectors.
pub async fn replace(conn: &mut Conn, post_id: Uuid, language: &str, pieces: Vec<NewChunk>) -> Result<(), DbError> {
    let ids: Vec<Uuid> = pieces.iter().map(|piece| piece.id).collect();
    let gone = chunks::table.filter(chunks::post_id.eq(post_id)).filter(chunks::id.ne_all(&ids));
    diesel::delete(gone).execute(conn).await?;
    if ids.is_empty() {
        return Ok(());
    }
    let ordinals: Vec<i32> = (0..).take(ids.len()).collect();
    let paths: Vec<String> = pieces.iter().map(|piece| serde_json::json!(piece.heading_path).to_string()).collect();
    let anchors: Vec<Option<String>> = pieces.iter().map(|piece| piece.anchor.clone()).collect();
    let hashes: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.hash.to_vec()).collect();
    let (texts, words): (Vec<String>, Vec<String>) = pieces.into_iter().map(|piece| (piece.text, piece.words)).unzip();
    Sql::<Text>::new(
        "INSERT INTO chunks (id, post_id, ordinal, language, heading_path, anchor, text, words, hash) SELECT id, ",
    )
    .bind::<SqlUuid, _>(post_id)
    .push(", ordinal, ")
    .bind::<Text, _>(language.to_owned())
    .push(", path::jsonb, anchor, text, words::tsvector, hash FROM unnest(")
    .bind::<Array<SqlUuid>, _>(ids)
    .push(", ")
    .bind::<Array<Integer>, _>(ordinals)
    .push(", ")
    .bind::<Array<Text>, _>(paths)
    .push(", ")
    .bind::<Array<Nullable<Text>>, _>(anchors)
    .push(", ")
    .bind::<Array<Text>, _>(texts)
    .push(", ")
    .bind::<Array<Text>, _>(words)
    .push(", ")
    .bind::<Array<Binary>, _>(hashes)
    .push(
        ") AS piece (id, ordinal, path, anchor, text, words, hash) ON CONFLICT (id) DO UPDATE SET \
         ordinal = EXCLUDED.ordinal, language = EXCLUDED.language, heading_path = EXCLUDED.heading_path, \
         anchor = EXCLUDED.anchor, text = EXCLUDED.text, words = EXCLUDED.words",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets the pieces of posts.
pub async fn forget(conn: &mut Conn, post_ids: &[Uuid]) -> Result<(), DbError> {
    diesel::delete(chunks::table.filter(chunks::post_id.eq_any(post_ids))).execute(conn).await?;
    Ok(())
}

/// The pieces with these ids.
pub async fn by_ids(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<ChunkRow>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = chunks::table.filter(chunks::id.eq_any(ids));
    let rows: Vec<ChunkTuple> = found
        .select((
            chunks::id,
            chunks::post_id,
            chunks::ordinal,
            chunks::language,
            chunks::heading_path,
            chunks::anchor,
            chunks::text,
        ))
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(row).collect())
}

/// Of each post the piece that has the words of `query` (a `tsquery`) best; of a post whose pieces
/// have none of them, the first.
pub async fn best(conn: &mut Conn, post_ids: &[Uuid], query: &str) -> Result<Vec<ChunkRow>, DbError> {
    if post_ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = Sql::<ChunkColumns>::new(
        "SELECT best.id, best.post_id, best.ordinal, best.language, best.heading_path, best.anchor, best.text \
         FROM unnest(",
    )
    .bind::<Array<SqlUuid>, _>(post_ids.to_vec())
    .push(") AS post (id) CROSS JOIN LATERAL (SELECT * FROM chunks WHERE chunks.post_id = post.id ORDER BY ts_rank(words, ")
    .bind::<Text, _>(query.to_owned())
    .push("::text::tsquery) DESC, ordinal LIMIT 1) AS best");
    Ok(sql.load(conn).await?.into_iter().map(row).collect())
}
