//! How good search is, measured on queries whose answers somebody has judged.
//!
//! A file of judgements (`examples/retrieval/demo-site.toml` is one) gives for each query the posts
//! that answer it, by slug: 2 for what is wanted, 1 for what helps. Measures are those of TREC: recall,
//! mean reciprocal rank, and normalised discounted cumulative gain (Järvelin & Kekäläinen 2002).

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde::Deserialize;
use uuid::Uuid;

use super::searching::{self, Asked, Mode, SearchError};
use super::{ServiceError, Services};
use crate::store::posts;

/// Hits that are looked at.
const DEPTH: usize = 10;

/// Queries with their answers.
#[derive(Debug, Deserialize)]
pub struct Judgements {
    pub query: Vec<Judged>,
}

/// A query and the posts that answer it.
#[derive(Debug, Deserialize)]
pub struct Judged {
    pub text: String,
    /// What it is an example of.
    #[serde(default)]
    pub group: String,
    /// Slug to grade.
    pub posts: HashMap<String, u32>,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    #[error("the judgements cannot be read: {0}")]
    Unreadable(#[from] toml::de::Error),
    #[error("there is no query in the file: give some as [[query]] with text and posts")]
    Empty,
    #[error("{0} is judged, and there is no such post: were the judgements made for another site?")]
    UnknownPost(String),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("the query {query:?} was not answered: {reason}")]
    Unanswered { query: String, reason: String },
}

/// Means over queries, each from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measures {
    pub queries: usize,
    /// Share of the posts that answer which is among the first hit, five, ten.
    pub recall: [f64; 3],
    pub reciprocal_rank: f64,
    pub ndcg: f64,
}

/// One way of searching, measured.
#[derive(Clone, Debug)]
pub struct Measured {
    pub way: &'static str,
    pub all: Measures,
    pub groups: BTreeMap<String, Measures>,
    /// Median of a query.
    pub took: Duration,
    /// Queries whose first hit is not what is wanted, with what came first.
    pub missed: Vec<(String, String)>,
    pub degraded: bool,
}

/// Reads judgements.
pub fn read(text: &str) -> Result<Judgements, EvaluationError> {
    let judgements: Judgements = toml::from_str(text)?;
    if judgements.query.is_empty() { Err(EvaluationError::Empty) } else { Ok(judgements) }
}

/// The ways of searching that are measured: what it is called, how it looks, and whether a reranker takes part.
pub const WAYS: [(&str, Mode, bool); 4] = [
    ("words", Mode::Words, false),
    ("meaning", Mode::Meaning, false),
    ("hybrid", Mode::Hybrid, false),
    ("hybrid, reranked", Mode::Hybrid, true),
];

/// Measures each way of searching on the same queries; `progress` is told how many were asked, and of how many.
pub async fn retrieval(
    services: &Services,
    judgements: &Judgements,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Vec<Measured>, EvaluationError> {
    let slugs: Vec<String> = judgements.query.iter().flat_map(|judged| judged.posts.keys().cloned()).collect();
    let mut conn = services.db.conn().await.map_err(ServiceError::from)?;
    let ids: HashMap<String, Uuid> =
        posts::ids_by_slugs(&mut conn, &slugs).await.map_err(ServiceError::from)?.into_iter().collect();
    drop(conn);
    if let Some(unknown) = slugs.iter().find(|slug| !ids.contains_key(*slug)) {
        return Err(EvaluationError::UnknownPost(unknown.clone()));
    }
    let mut measured = Vec::new();
    let (mut asked, of) = (0, (judgements.query.len() * WAYS.len()) as u64);
    progress(asked, of);
    let mut next = || {
        asked += 1;
        progress(asked, of);
    };
    for way in WAYS {
        measured.push(measure(services, judgements, &ids, way, &mut next).await?);
    }
    Ok(measured)
}

async fn measure(
    services: &Services,
    judgements: &Judgements,
    ids: &HashMap<String, Uuid>,
    (way, mode, rerank): (&'static str, Mode, bool),
    done: &mut (dyn FnMut() + Send),
) -> Result<Measured, EvaluationError> {
    let slugs: HashMap<Uuid, &str> = ids.iter().map(|(slug, id)| (*id, slug.as_str())).collect();
    let (mut all, mut groups) = (Vec::new(), BTreeMap::<String, Vec<Measures>>::new());
    let (mut times, mut missed, mut degraded) = (Vec::new(), Vec::new(), false);
    for judged in &judgements.query {
        // As one who has finished typing.
        let asked = Asked { query: format!("{} ", judged.text), mode, rerank, ..Asked::default() };
        let begun = Instant::now();
        let found =
            Box::pin(searching::search(services, &asked)).await.map_err(|error| unanswered(&judged.text, error))?;
        times.push(begun.elapsed());
        done();
        degraded |= found.degraded;
        let grades: HashMap<Uuid, u32> = judged.posts.iter().map(|(slug, grade)| (ids[slug], *grade)).collect();
        let hits: Vec<Uuid> = found.hits.iter().map(|hit| hit.post_id).take(DEPTH).collect();
        let measures = of_one(&hits, &grades);
        if measures.reciprocal_rank < 1.0 {
            let first =
                hits.first().map_or("nothing", |id| slugs.get(id).copied().unwrap_or("a post that nobody judged"));
            missed.push((judged.text.clone(), first.to_owned()));
        }
        groups.entry(judged.group.clone()).or_default().push(measures);
        all.push(measures);
    }
    times.sort_unstable();
    Ok(Measured {
        way,
        all: mean(&all),
        groups: groups.into_iter().map(|(group, each)| (group, mean(&each))).collect(),
        took: times[times.len() / 2],
        missed,
        degraded,
    })
}

fn unanswered(query: &str, error: SearchError) -> EvaluationError {
    let reason = match error {
        SearchError::Service(error) => error.to_string(),
        SearchError::Inference(error) => error.to_string(),
    };
    EvaluationError::Unanswered { query: query.to_owned(), reason }
}

/// The measures of one ranking; its reciprocal rank is that of the first hit with the highest grade.
fn of_one(hits: &[Uuid], grades: &HashMap<Uuid, u32>) -> Measures {
    let best = grades.values().max().copied().unwrap_or(0);
    let among = |first: usize| {
        let met = hits.iter().take(first).filter(|id| grades.contains_key(id)).count();
        met as f64 / grades.len().clamp(1, first) as f64
    };
    let wanted = hits.iter().position(|id| grades.get(id) == Some(&best));
    let gain = |grade: u32, rank: usize| (f64::from(1u32 << grade.min(16)) - 1.0) / (rank as f64 + 2.0).log2();
    let sum = |grades: &[u32]| grades.iter().enumerate().map(|(rank, grade)| gain(*grade, rank)).sum::<f64>();
    let reached: Vec<u32> = hits.iter().map(|id| grades.get(id).copied().unwrap_or(0)).take(DEPTH).collect();
    let mut ideal: Vec<u32> = grades.values().copied().collect();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    ideal.truncate(DEPTH);
    Measures {
        queries: 1,
        recall: [among(1), among(5), among(10)],
        reciprocal_rank: wanted.map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0)),
        ndcg: sum(&reached) / sum(&ideal).max(f64::MIN_POSITIVE),
    }
}

fn mean(each: &[Measures]) -> Measures {
    let of = |value: fn(&Measures) -> f64| each.iter().map(value).sum::<f64>() / each.len().max(1) as f64;
    Measures {
        queries: each.len(),
        recall: [of(|it| it.recall[0]), of(|it| it.recall[1]), of(|it| it.recall[2])],
        reciprocal_rank: of(|it| it.reciprocal_rank),
        ndcg: of(|it| it.ndcg),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<const N: usize>(ids: [u128; N]) -> Vec<Uuid> {
        ids.into_iter().map(Uuid::from_u128).collect()
    }

    #[test]
    fn measures_are_those_of_the_books() {
        let grades = HashMap::from([(Uuid::from_u128(1), 2), (Uuid::from_u128(2), 1)]);
        let best = of_one(&ids([1, 2, 3]), &grades);
        assert_eq!((best.recall, best.reciprocal_rank, best.ndcg), ([1.0, 1.0, 1.0], 1.0, 1.0));
        let worse = of_one(&ids([3, 2, 1]), &grades);
        assert_eq!((worse.recall, worse.reciprocal_rank), ([0.0, 1.0, 1.0], 1.0 / 3.0));
        // (1 / log2 3 + 3 / log2 4) / (3 / log2 2 + 1 / log2 3)
        assert!((worse.ndcg - 0.5868).abs() < 1e-3, "{}", worse.ndcg);
        assert_eq!(of_one(&[], &grades).ndcg, 0.0);
    }

    #[test]
    fn the_judgements_of_the_demo_site_can_be_read() {
        let judgements = read(include_str!("../../examples/retrieval/demo-site.toml")).expect("they can be read");
        assert!(judgements.query.len() >= 60);
        assert!(matches!(read("query = []"), Err(EvaluationError::Empty)));
        assert!(read("[[query]]\ntext = 1").is_err_and(|error| error.to_string().contains("line 2")));
    }
}
