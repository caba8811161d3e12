//! The words of what is published, for search.
//!
//! `tsvector` and `tsquery` are written by `services::words` and go through as text: diesel knows
//! neither, and the database parses both.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Float, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::posts::{self, PostFilter};
use super::schema::post_words;
use super::sql::Sql;
use super::{Conn, DbError, Sight};

/// What a term counts in a post's head; elsewhere it counts once.
const IN_HEAD: f64 = 2.0;

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
    /// Which terms are looked for first. A post that has none of them, and all others in its head, has less than
    /// `share` of what any post has that has one: the others need not be looked for anywhere else. This is what
    /// makes a common word beside a rare one cheap.
    fn deciding(&self, share: f64) -> Vec<bool> {
        let mut order: Vec<usize> = (0..self.terms.len()).collect();
        order.sort_by(|&a, &b| self.terms[a].weight.total_cmp(&self.terms[b].weight));
        let (mut sum, mut others) = (0.0, 0);
        for n in 1..order.len() {
            sum += self.terms[order[n - 1]].weight;
            if IN_HEAD * sum < share * self.terms[order[n]].weight {
                others = n;
            }
        }
        let mut first = vec![true; self.terms.len()];
        for &n in &order[..others] {
            first[n] = false;
        }
        first
    }

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

/// The posts that have most of what is wanted, at most `limit`, without those that have less than
/// `share` of what the best one has.
///
/// In steps: which posts have terms that decide, and which of those have the others too, both out of the
/// index alone; the order of the words only for those that are left.
pub async fn matching(
    conn: &mut Conn,
    wanted: &Wanted,
    filter: &PostFilter,
    limit: i64,
    share: f64,
) -> Result<Vec<WordMatch>, DbError> {
    let first = wanted.deciding(share);
    let all_decide = !first.contains(&false);
    let found = matching_first(conn, wanted, filter, limit, share, first).await?;
    if found.is_empty() && !all_decide {
        // What decides may be nowhere.
        return matching_first(conn, wanted, filter, limit, share, vec![true; wanted.terms.len()]).await;
    }
    Ok(found)
}

async fn matching_first(
    conn: &mut Conn,
    wanted: &Wanted,
    filter: &PostFilter,
    limit: i64,
    share: f64,
    first: Vec<bool>,
) -> Result<Vec<WordMatch>, DbError> {
    let queries: Vec<String> = wanted.terms.iter().map(|term| term.query.clone()).collect();
    let weights: Vec<f64> = wanted.terms.iter().map(|term| term.weight).collect();
    let sql = Sql::<(SqlUuid, Double, Float)>::new("WITH terms AS (SELECT q::tsquery AS query, weight, weight * (")
        .bind::<Double, _>(IN_HEAD)
        .push(" - 1) AS more, decides FROM unnest(")
        .bind::<Array<Text>, _>(queries)
        .push(", ")
        .bind::<Array<Double>, _>(weights)
        .push(", ")
        .bind::<Array<Bool>, _>(first)
        .push(
            ") AS t (q, weight, decides)), first AS MATERIALIZED (SELECT known.post_id, \
         sum(terms.weight + CASE WHEN known.head @@ terms.query THEN terms.more ELSE 0 END) AS coverage \
         FROM terms JOIN post_words AS known ON known.words @@ terms.query ",
        );
    let sql = if *filter == PostFilter::default() {
        sql.push("WHERE decides")
    } else {
        let sql = sql.push("JOIN posts ON posts.id = known.post_id WHERE decides AND ");
        posts::matching(posts::visible(sql, Sight::Public), filter)
    };
    let sql = sql
        .when(wanted.required.clone(), |sql, query| {
            sql.push(" AND known.words @@ ").bind::<Text, _>(query).push("::text::tsquery")
        })
        .when(wanted.excluded.clone(), |sql, query| {
            sql.push(" AND NOT known.words @@ ").bind::<Text, _>(query).push("::text::tsquery")
        })
        // `IS TRUE` has the ids hashed once, and not joined one by one.
        .push(
            " GROUP BY known.post_id), also AS MATERIALIZED (SELECT known.post_id, \
             sum(terms.weight + CASE WHEN known.head @@ terms.query THEN terms.more ELSE 0 END) AS coverage \
             FROM terms JOIN post_words AS known ON known.words @@ terms.query \
             WHERE NOT decides AND (known.post_id IN (SELECT post_id FROM first)) IS TRUE GROUP BY known.post_id), \
             found AS MATERIALIZED (SELECT post_id, first.coverage + COALESCE(also.coverage, 0) AS coverage \
             FROM first LEFT JOIN also USING (post_id) ORDER BY 2 DESC, post_id DESC LIMIT ",
        )
        .bind::<BigInt, _>(limit)
        .push(") SELECT found.post_id, found.coverage, ts_rank_cd('{0.1, 0.4, 0.6, 1}', known.words, ")
        .bind::<Text, _>(wanted.any())
        // Divided by the logarithm of the length, and brought below 1.
        .push(
            "::text::tsquery, 1 | 32) FROM found JOIN post_words AS known ON known.post_id = found.post_id \
             WHERE found.coverage >= (SELECT max(coverage) FROM found) * ",
        )
        .bind::<Double, _>(share);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn first(weights: &[f64]) -> Vec<bool> {
        let term = |&weight| Term { query: String::new(), weight };
        Wanted { terms: weights.iter().map(term).collect(), ..Wanted::default() }.deciding(0.5)
    }

    #[test]
    fn what_is_common_does_not_decide_beside_what_is_rare() {
        assert_eq!(first(&[4.6, 2.5, 0.4]), [true, true, false]);
        // In its head, the second is worth more than half of the first.
        assert_eq!(first(&[4.6, 2.5]), [true, true]);
        assert_eq!(first(&[0.3, 9.0, 0.4]), [false, true, false]);
        // Each is little, but together they are not.
        assert_eq!(first(&[2.0, 0.3, 0.3]), [true, true, true]);
        assert_eq!(first(&[0.1]), [true]);
        assert!(first(&[]).is_empty());
    }
}
