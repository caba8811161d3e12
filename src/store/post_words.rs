//! The words of what is published, for search.
//!
//! `tsvector` and `tsquery` are written by `services::words` and go through as text: diesel knows
//! neither, and the database parses both.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Double, Float, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::posts::{self, PostFilter};
use super::schema::post_words;
use super::sql::Sql;
use super::{Conn, DbError, Sight};

/// What search knows of a post.
#[derive(Clone, Debug)]
pub struct NewPostWords {
    pub post_id: Uuid,
    pub version: i32,
    pub analysis: i32,
    /// A `tsvector` of title, tags and headings.
    pub head: String,
    /// A `tsvector` of all.
    pub words: String,
}

/// One thing that is looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// A `tsquery`.
    pub query: String,
    /// What finding it is worth.
    pub weight: f64,
}

/// What a post must have and must not have to be found by its words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    pub terms: Vec<Term>,
    /// A `tsquery` that has to match.
    pub required: Option<String>,
    /// A `tsquery` that must not match.
    pub excluded: Option<String>,
}

impl Wanted {
    /// A `tsquery` that any of the terms matches.
    pub fn any(&self) -> String {
        self.terms.iter().map(|term| format!("({})", term.query)).collect::<Vec<_>>().join(" | ")
    }
}

/// A post that was found by its words.
#[derive(Clone, Debug)]
pub struct WordMatch {
    pub post_id: Uuid,
    /// Weight of the terms that it has; those in its head count twice.
    pub coverage: f64,
    /// How close together and how often, 0 to 1.
    pub rank: f32,
}

/// Writes what search knows of a post.
pub async fn put(conn: &mut Conn, row: NewPostWords, now: DateTime<Utc>) -> Result<(), DbError> {
    Sql::<Text>::new("INSERT INTO post_words (post_id, version, analysis, head, words, indexed_at) VALUES (")
        .bind::<SqlUuid, _>(row.post_id)
        .push(", ")
        .bind::<Integer, _>(row.version)
        .push(", ")
        .bind::<Integer, _>(row.analysis)
        .push(", ")
        .bind::<Text, _>(row.head)
        .push("::text::tsvector, ")
        .bind::<Text, _>(row.words)
        .push("::text::tsvector, ")
        .bind::<Timestamptz, _>(now)
        .push(
            ") ON CONFLICT (post_id) DO UPDATE SET version = EXCLUDED.version, analysis = EXCLUDED.analysis, \
             head = EXCLUDED.head, words = EXCLUDED.words, indexed_at = EXCLUDED.indexed_at",
        )
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets posts; true for each that was known.
pub async fn forget(conn: &mut Conn, post_ids: &[Uuid]) -> Result<usize, DbError> {
    Ok(diesel::delete(post_words::table.filter(post_words::post_id.eq_any(post_ids))).execute(conn).await?)
}

/// Published posts that are not known, or by another way of cutting words, and known ones that are
/// not published; without those that a job of the kind `job` is asked for.
pub async fn out_of_date(conn: &mut Conn, analysis: i32, job: &str, limit: i64) -> Result<Vec<Uuid>, DbError> {
    let sql = Sql::<SqlUuid>::new(
        "SELECT posts.id FROM posts LEFT JOIN post_words ON post_words.post_id = posts.id \
         WHERE CASE WHEN posts.status = 'PUBLISHED' THEN post_words.analysis IS DISTINCT FROM ",
    )
    .bind::<Integer, _>(analysis)
    .push(
        " ELSE post_words.post_id IS NOT NULL END AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.subject = posts.id \
         AND jobs.kind = ",
    )
    .bind::<Text, _>(job.to_owned())
    .push(" AND jobs.state IN ('QUEUED', 'RUNNING')) ORDER BY posts.listed_at DESC LIMIT ")
    .bind::<BigInt, _>(limit);
    Ok(sql.load(conn).await?)
}

/// The posts that have most of what is wanted, best first; at most `limit`.
///
/// In two steps: which terms each post has, out of the index alone, and the order of the words only
/// for those that may come first.
pub async fn matching(
    conn: &mut Conn,
    wanted: &Wanted,
    filter: &PostFilter,
    limit: i64,
) -> Result<Vec<WordMatch>, DbError> {
    let queries: Vec<String> = wanted.terms.iter().map(|term| term.query.clone()).collect();
    let weights: Vec<f64> = wanted.terms.iter().map(|term| term.weight).collect();
    let sql = Sql::<(SqlUuid, Double, Float)>::new("WITH terms AS (SELECT q::tsquery AS query, weight FROM unnest(")
        .bind::<Array<Text>, _>(queries)
        .push(", ")
        .bind::<Array<Double>, _>(weights)
        .push(
            ") AS t (q, weight)), found AS (SELECT known.post_id, \
         sum(terms.weight * CASE WHEN known.head @@ terms.query THEN 2 ELSE 1 END) AS coverage \
         FROM terms JOIN post_words AS known ON known.words @@ terms.query ",
        );
    let sql = if *filter == PostFilter::default() {
        sql.push("WHERE true")
    } else {
        let sql = sql.push("JOIN posts ON posts.id = known.post_id WHERE ");
        posts::matching(posts::visible(sql, Sight::Public), filter)
    };
    let sql = sql
        .when(wanted.required.clone(), |sql, query| {
            sql.push(" AND known.words @@ ").bind::<Text, _>(query).push("::text::tsquery")
        })
        .when(wanted.excluded.clone(), |sql, query| {
            sql.push(" AND NOT known.words @@ ").bind::<Text, _>(query).push("::text::tsquery")
        })
        .push(" GROUP BY known.post_id ORDER BY coverage DESC, known.post_id DESC LIMIT ")
        .bind::<BigInt, _>(limit)
        .push(") SELECT found.post_id, found.coverage, ts_rank_cd('{0.1, 0.4, 0.6, 1}', known.words, ")
        .bind::<Text, _>(wanted.any())
        // Divided by the logarithm of the length, and brought below 1.
        .push("::text::tsquery, 1 | 32) FROM found JOIN post_words AS known ON known.post_id = found.post_id");
    let rows: Vec<(Uuid, f64, f32)> = sql.load(conn).await?;
    Ok(rows.into_iter().map(|(post_id, coverage, rank)| WordMatch { post_id, coverage, rank }).collect())
}

/// Those of these posts that search may show: what is required is in them, and nothing excluded.
pub async fn allowed(conn: &mut Conn, wanted: &Wanted, post_ids: &[Uuid]) -> Result<Vec<Uuid>, DbError> {
    let sql = Sql::<SqlUuid>::new("SELECT post_id FROM post_words WHERE post_id = ANY(")
        .bind::<Array<SqlUuid>, _>(post_ids.to_vec())
        .push(")")
        .when(wanted.required.clone(), |sql, query| {
            sql.push(" AND words @@ ").bind::<Text, _>(query).push("::text::tsquery")
        })
        .when(wanted.excluded.clone(), |sql, query| {
            sql.push(" AND NOT words @@ ").bind::<Text, _>(query).push("::text::tsquery")
        });
    Ok(sql.load(conn).await?)
}

/// When something was last learnt, and how many posts are known.
pub async fn edition(conn: &mut Conn) -> Result<(Option<DateTime<Utc>>, i64), DbError> {
    let sql = Sql::<(Nullable<Timestamptz>, BigInt)>::new("SELECT max(indexed_at), count(*) FROM post_words");
    Ok(sql.get_result(conn).await?)
}

/// The words that posts have, and how many have each; the commonest `limit`.
pub async fn statistics(conn: &mut Conn, limit: i64) -> Result<Vec<(String, i32)>, DbError> {
    let sql = Sql::<(Text, Integer)>::new(
        "SELECT word, ndoc FROM ts_stat('SELECT words FROM post_words') ORDER BY ndoc DESC, word LIMIT ",
    )
    .bind::<BigInt, _>(limit);
    Ok(sql.load(conn).await?)
}

/// The languages of what is known, the commonest first.
pub async fn languages(conn: &mut Conn) -> Result<Vec<String>, DbError> {
    let sql = Sql::<Text>::new(
        "SELECT posts.language FROM post_words JOIN posts ON posts.id = post_words.post_id \
         GROUP BY posts.language ORDER BY count(*) DESC, posts.language LIMIT 20",
    );
    Ok(sql.load(conn).await?)
}
