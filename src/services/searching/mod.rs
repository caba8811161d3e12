//! Finding what is published: by its words, by its meaning, and by both.
//!
//! [`search`] ranks posts by words (`query.rs`, out of `store::post_words`) and by meaning
//! (`meaning.rs`, out of `store::chunk_vectors`, each language on its own scale) and fuses the rankings
//! (`fuse.rs`). Only what is published is ever known here, see `indexing`; who loads a found post
//! looks again whether it may be seen. [`passages`] is the same for a question that a model is to
//! answer, [`suggest`] for the beginning of a word; `relating` has what is like a post.
//!
//! Where no model answers, words answer alone and the result says so (`degraded`).

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::words::Stems;
use super::{RefusalCode, ServiceError, Services};
use crate::inference::{InferenceError, Task};
use crate::store::chunk_vectors::Near;
use crate::store::chunks::{self, ChunkRow};
use crate::store::post_words;
use crate::store::posts::PostFilter;
use crate::telemetry::metrics;

pub mod fuse;
mod meaning;
pub mod passages;
mod query;
mod rerank;
mod snippet;
mod suggest;
mod survey;

pub use meaning::Meant;
pub use query::Correction;
pub use snippet::Snippet;
pub use suggest::{MAX_SUGGESTIONS, Suggestion, suggest};
pub use survey::Surveys;

use fuse::{Ranking, fuse};
use query::Query;
use survey::Survey;

/// Longest query, in characters.
pub const MAX_QUERY: usize = 500;
/// Posts that a search finds at most.
pub const MAX_HITS: usize = 100;
/// Posts with some of the words whose order is looked at.
const WORD_CANDIDATES: i64 = 100;
/// A post that has less than this share of what the best one has is not what was looked for.
const ENOUGH_WORDS: f64 = 0.5;
/// What a post has that has every word, one in three of them in its title, in shares of all words.
const ALL_WORDS: f64 = 1.3;
/// How long a search waits for a model before words answer alone.
const MODEL_WAIT: Duration = Duration::from_millis(1_500);

/// How to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    #[default]
    Hybrid,
    Words,
    Meaning,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Words => "words",
            Self::Meaning => "meaning",
        }
    }
}

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub query: String,
    pub mode: Mode,
    pub filter: PostFilter,
    /// Let a reranker order the first hits, where one is deployed.
    pub rerank: bool,
}

/// A post that was found, and the piece of it that shows why.
#[derive(Clone, Debug)]
pub struct Hit {
    pub post_id: Uuid,
    /// 0 to 1; of one search only.
    pub score: f64,
    pub by_words: bool,
    /// Cosine of the query and the nearest piece, if the post was found by meaning.
    pub similarity: Option<f64>,
    /// The reranker's logit, if it took part.
    pub relevance: Option<f32>,
    chunk: Option<Uuid>,
}

/// What was found, best first.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub hits: Vec<Hit>,
    /// Words answered alone, or other models than should.
    pub degraded: bool,
    pub corrections: Vec<Correction>,
    query: Query,
}

/// Why a search did not come about.
#[derive(Debug)]
pub enum SearchError {
    Service(ServiceError),
    /// Only where meaning alone was asked for.
    Inference(InferenceError),
}

impl From<ServiceError> for SearchError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<crate::store::DbError> for SearchError {
    fn from(error: crate::store::DbError) -> Self {
        Self::Service(error.into())
    }
}

/// Looks for posts.
///
/// Errors: `Refused` for a query that is empty or too long; of the model where nothing but meaning
/// was asked for.
pub async fn search(services: &Services, asked: &Asked) -> Result<Found, SearchError> {
    let begun = Instant::now();
    let typed = check(&asked.query)?;
    let survey = services.surveys.now(services).await;
    let query = query::read(typed, &survey, &languages(&survey, &asked.filter));
    // On the heap, so that who searches need not hold the whole way to the database and the model.
    let by_words = Box::pin(by_words(services, &query, &asked.filter));
    let by_meaning = Box::pin(by_meaning(services, &query, &survey, &asked.filter));
    let (words, meant) = tokio::join!(
        async { if asked.mode == Mode::Meaning { Ok(ByWords::default()) } else { by_words.await } },
        async { if asked.mode == Mode::Words { None } else { Some(by_meaning.await) } },
    );
    let words = words?;
    let (near, mut degraded) = match meant {
        None => (Meant::default(), false),
        Some(Ok(near)) => (near, false),
        Some(Err(SearchError::Inference(error))) if asked.mode == Mode::Hybrid => {
            tracing::debug!(%error, "words answer a search alone");
            (Meant::default(), true)
        }
        Some(Err(error)) => return Err(error),
    };
    degraded |= near.degraded;
    // What a model has not read yet stands last by its meaning, however well it fits.
    let near = match asked.mode {
        Mode::Hybrid if !is_read(services) => {
            degraded = true;
            if words.posts.is_empty() { near } else { Meant::default() }
        }
        _ => near,
    };
    let mut hits = rank(words, &near);
    hits.truncate(MAX_HITS);
    if asked.rerank {
        Box::pin(rerank::rerank(services, &query.text, &query, &mut hits)).await?;
    }
    metrics::search(asked.mode.as_str(), degraded);
    metrics::search_part("all", begun.elapsed());
    Ok(Found { hits, degraded, corrections: query.corrections.clone(), query })
}

/// Whether the model that answers has read nearly all.
fn is_read(services: &Services) -> bool {
    services.engine.deployed(Task::Embed).is_none_or(|card| services.surveys.is_read_by(&card.name()))
}

/// A query without the space around it.
pub(super) fn check(typed: &str) -> Result<&str, ServiceError> {
    let typed = typed.trim_start();
    let length = typed.chars().count();
    if typed.trim().is_empty() {
        return Err(ServiceError::refuse(RefusalCode::Invalid, "query", "`query` is empty: say what to look for"));
    }
    if length > MAX_QUERY {
        let message = format!("`query` has {length} characters: at most {MAX_QUERY} are looked for");
        return Err(ServiceError::refuse(RefusalCode::TooLong, "query", message));
    }
    if typed.contains('\0') {
        let message = "`query` holds a NUL character, which no text has: take it out";
        return Err(ServiceError::refuse(RefusalCode::Invalid, "query", message));
    }
    Ok(typed)
}

/// The languages to look in: those of the site, because each has statements of its own.
fn languages(survey: &Survey, filter: &PostFilter) -> Vec<String> {
    let wanted = |language: &&String| filter.language.as_ref().is_none_or(|wanted| wanted == *language);
    survey.languages.iter().filter(wanted).cloned().collect()
}

/// Posts that have the words, best first.
#[derive(Debug, Default)]
struct ByWords {
    posts: Vec<Uuid>,
    /// How much of what was looked for the best one has, 0 to 1.
    confidence: f64,
}

impl ByWords {
    /// What their order counts beside that of meaning: a few common words of a long question are a poor
    /// reason, so that it is the square of how much of the words the best post has.
    fn weight(&self, alone: bool) -> f64 {
        if alone { 1.0 } else { self.confidence.powi(2) }
    }
}

async fn by_words(services: &Services, query: &Query, filter: &PostFilter) -> Result<ByWords, SearchError> {
    if query.wanted.terms.is_empty() {
        return Ok(ByWords::default());
    }
    let begun = Instant::now();
    let mut conn = services.db.conn().await?;
    let mut found = post_words::matching(&mut conn, &query.wanted, filter, WORD_CANDIDATES, ENOUGH_WORDS).await?;
    metrics::search_part("words", begun.elapsed());
    let score = |it: &post_words::WordMatch| it.coverage * (1.0 + f64::from(it.rank));
    let most = found.iter().map(|it| it.coverage).fold(0.0, f64::max);
    let all: f64 = query.wanted.terms.iter().map(|term| term.weight).sum();
    found.sort_by(|a, b| score(b).total_cmp(&score(a)).then_with(|| b.post_id.cmp(&a.post_id)));
    let confidence = (most / (ALL_WORDS * all.max(f64::MIN_POSITIVE))).min(1.0);
    Ok(ByWords { posts: found.into_iter().map(|it| it.post_id).collect(), confidence })
}

/// Letters, digits, arrows and pictures, and no punctuation.
fn says_something(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// What meaning alone finds, within the time that a model has for it.
async fn by_meaning(
    services: &Services,
    query: &Query,
    survey: &Survey,
    filter: &PostFilter,
) -> Result<Meant, SearchError> {
    // What says nothing means nothing either.
    if !query.text.chars().any(says_something) {
        return Ok(Meant::default());
    }
    let languages = languages(survey, filter);
    let asking = meaning::nearest(services, &query.text, &languages, filter);
    let mut near = tokio::time::timeout(MODEL_WAIT, asking).await.unwrap_or_else(|_| {
        Err(SearchError::Inference(InferenceError::Overloaded { retry_after: Duration::from_secs(1) }))
    })?;
    // A model knows nothing of what has to hold and what must not.
    if query.wanted.required.is_some() || query.wanted.excluded.is_some() {
        let ids: HashSet<Uuid> = near.pieces.iter().map(|near| near.post_id).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let allowed = post_words::allowed(&mut *services.db.conn().await?, &query.wanted, &ids).await?;
        near.retain(|post_id| allowed.contains(post_id));
    }
    Ok(near)
}

/// Both ways' posts in one order.
fn rank(words: ByWords, near: &Meant) -> Vec<Hit> {
    let by_meaning = Ranking { weight: 1.0, best_first: near.posts.iter().map(|near| near.post_id).collect() };
    let weight = words.weight(by_meaning.best_first.is_empty());
    let has_words: HashSet<Uuid> = words.posts.iter().copied().collect();
    let mut rankings = vec![Ranking { weight, best_first: words.posts }, by_meaning];
    rankings.retain(|ranking| !ranking.best_first.is_empty());
    let nearest: HashMap<Uuid, &Near> = near.posts.iter().map(|near| (near.post_id, near)).collect();
    let hits = fuse(&rankings).into_iter().map(|(post_id, score)| {
        let near = nearest.get(&post_id);
        Hit {
            post_id,
            score,
            by_words: has_words.contains(&post_id),
            similarity: near.map(|near| near.similarity),
            relevance: None,
            chunk: near.map(|near| near.chunk_id),
        }
    });
    hits.collect()
}

/// The piece that shows why a post was found, as a reader sees it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub heading_path: Vec<String>,
    pub anchor: Option<String>,
    pub snippet: Snippet,
}

impl Found {
    /// What to show of some of the hits: of those found by their words the piece that has most of
    /// them, of the others the one that means most of it.
    pub async fn shown(&self, services: &Services, hits: &[Hit]) -> Result<HashMap<Uuid, Shown>, ServiceError> {
        let rows = pieces(services, &self.query, hits).await?;
        let shown = rows.into_iter().map(|row| {
            let snippet = snippet::snippet(&row.text, &self.query.marks, &Stems::of(&row.language));
            (row.post_id, Shown { heading_path: row.heading_path, anchor: row.anchor, snippet })
        });
        Ok(shown.collect())
    }

    /// A title with what was looked for marked.
    pub fn title(&self, title: &str, language: &str) -> Snippet {
        snippet::marked(title, &self.query.marks, &Stems::of(language))
    }
}

/// The piece of each hit that shows why it was found.
async fn pieces(services: &Services, query: &Query, hits: &[Hit]) -> Result<Vec<ChunkRow>, ServiceError> {
    let (by_words, others): (Vec<&Hit>, Vec<&Hit>) = hits.iter().partition(|hit| hit.by_words || hit.chunk.is_none());
    let mut conn = services.db.conn().await?;
    let ids: Vec<Uuid> = by_words.iter().map(|hit| hit.post_id).collect();
    let mut rows = chunks::best(&mut conn, &ids, &query.wanted.any()).await?;
    let ids: Vec<Uuid> = others.iter().filter_map(|hit| hit.chunk).collect();
    rows.extend(chunks::by_ids(&mut conn, &ids).await?);
    Ok(rows)
}
