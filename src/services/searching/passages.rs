//! Pieces of the site that may answer a question.

use std::collections::HashMap;

use uuid::Uuid;

use super::fuse::{Ranking, fuse};
use super::query::{self, Query};
use super::{Meant, SearchError, Survey, by_meaning, by_words, check, languages, rerank};
use crate::inference::Task;
use crate::services::words::{Stems, tokens};
use crate::services::{ServiceError, Services, caching};
use crate::store::Sight;
use crate::store::chunks::{self, ChunkRow};
use crate::store::posts::{PostFilter, PostKind, PostRow};

/// Pieces of one post among the passages.
const OF_ONE_POST: usize = 3;
/// Pieces that a reranker looks at.
const JUDGED: usize = 16;

/// A piece of a published post that may answer a question.
#[derive(Clone, Debug)]
pub struct Passage {
    pub post_id: Uuid,
    pub slug: String,
    pub kind: PostKind,
    pub title: String,
    pub language: String,
    /// Headings from the outermost in, as plain text.
    pub heading_path: Vec<String>,
    /// The `id` of the innermost heading in the post's HTML.
    pub anchor: Option<String>,
    pub text: String,
    /// Cosine of the question's vector and the passage's, where a model made both.
    pub similarity: Option<f32>,
    /// The reranker's logit, where one is deployed and took part.
    pub relevance: Option<f32>,
    /// Share of the question's words that are in it or in its title, 0 to 1.
    pub words: f32,
}

/// Passages, best first.
#[derive(Clone, Debug, Default)]
pub struct Passages {
    pub passages: Vec<Passage>,
    /// Found by words alone.
    pub degraded: bool,
}

/// The passages that answer a question best, at most `limit`. Only of posts that `sight` may see.
pub async fn passages(
    services: &Services,
    sight: Sight,
    question: &str,
    filter: &PostFilter,
    limit: usize,
) -> Result<Passages, ServiceError> {
    let question: String = question.trim().chars().take(super::MAX_QUERY).collect();
    let question = check(&question)?;
    let survey = services.surveys.now(services).await;
    let query = query::read(question, &survey, &languages(&survey, filter));
    let pieces = Box::pin(candidates(services, &query, &survey, filter)).await?;
    let ids: Vec<Uuid> = pieces.rows.values().map(|row| row.post_id).collect();
    let posts = caching::posts(services, &ids).await?;
    let terms = Terms::of(question);
    let passage = |id: &Uuid| {
        let row = pieces.rows.get(id)?;
        let post = posts.get(&row.post_id).filter(|post| post.visible_to(sight))?;
        Some(passage(row, post, pieces.similarities.get(id).map(|it| *it as f32), &terms))
    };
    let mut found: Vec<Passage> = pieces.order.iter().filter_map(passage).collect();
    judge(services, question, &mut found).await;
    Ok(Passages { passages: few_of_each(found, limit), degraded: pieces.degraded })
}

/// Pieces that may be passages.
struct Candidates {
    /// Best first.
    order: Vec<Uuid>,
    rows: HashMap<Uuid, ChunkRow>,
    /// Cosines with the question, of those found by meaning.
    similarities: HashMap<Uuid, f64>,
    degraded: bool,
}

/// The pieces that words and meaning find, fused.
async fn candidates(
    services: &Services,
    query: &Query,
    survey: &Survey,
    filter: &PostFilter,
) -> Result<Candidates, ServiceError> {
    let words = Box::pin(by_words(services, query, filter)).await.map_err(in_words)?;
    let meant = Box::pin(near(services, query, survey, filter)).await?;
    let degraded = meant.is_none();
    let near = meant.unwrap_or_default().pieces;
    let mut conn = services.db.conn().await?;
    let first = &words.posts[..words.posts.len().min(JUDGED)];
    let best = chunks::best(&mut conn, first, &query.wanted.any()).await?;
    let of_post: HashMap<Uuid, Uuid> = best.iter().map(|row| (row.post_id, row.id)).collect();
    let rankings = [
        Ranking {
            weight: words.weight(near.is_empty()),
            best_first: first.iter().filter_map(|post_id| of_post.get(post_id).copied()).collect(),
        },
        Ranking { weight: 1.0, best_first: near.iter().map(|it| it.chunk_id).take(2 * JUDGED).collect() },
    ];
    let order: Vec<Uuid> = fuse(&rankings).into_iter().map(|(id, _)| id).take(2 * JUDGED).collect();
    let mut rows: HashMap<Uuid, ChunkRow> = best.into_iter().map(|row| (row.id, row)).collect();
    let missing: Vec<Uuid> = order.iter().filter(|id| !rows.contains_key(id)).copied().collect();
    rows.extend(chunks::by_ids(&mut conn, &missing).await?.into_iter().map(|row| (row.id, row)));
    let similarities = near.iter().map(|it| (it.chunk_id, it.similarity)).collect();
    Ok(Candidates { order, rows, similarities, degraded })
}

/// Meaning was not asked for.
fn in_words(error: SearchError) -> ServiceError {
    match error {
        SearchError::Service(error) => error,
        SearchError::Inference(error) => ServiceError::Internal(error.to_string()),
    }
}

/// `None` where no model answers that has read the site.
async fn near(
    services: &Services,
    query: &Query,
    survey: &Survey,
    filter: &PostFilter,
) -> Result<Option<Meant>, ServiceError> {
    match by_meaning(services, query, survey, filter).await {
        Ok(near) => Ok(Some(near).filter(|near| !near.degraded)),
        Err(SearchError::Service(error)) => Err(error),
        Err(SearchError::Inference(error)) => {
            tracing::debug!(%error, "words alone find passages");
            Ok(None)
        }
    }
}

/// The words of a question that say something, each with its stem.
pub struct Terms(Vec<(String, String)>);

impl Terms {
    pub fn of(question: &str) -> Self {
        let stems = Stems::of("en");
        let said = tokens(question).into_iter().map(|token| token.form.text().to_owned());
        let mut terms: Vec<_> =
            said.filter(|word| query::says_something(word)).map(|word| (stems.stem(&word), word)).collect();
        terms.sort();
        terms.dedup();
        Self(terms)
    }

    /// How many of them are in a text of this language, 0 to 1.
    pub fn share_in(&self, text: &str, language: &str) -> f32 {
        if self.0.is_empty() {
            return 0.0;
        }
        let stems = Stems::of(language);
        let has: Vec<String> = tokens(text).into_iter().map(|token| token.form.text().to_owned()).collect();
        let stemmed: Vec<String> = has.iter().map(|word| stems.stem(word)).collect();
        let met = self.0.iter().filter(|(stem, word)| has.contains(word) || stemmed.contains(stem)).count();
        met as f32 / self.0.len() as f32
    }
}

fn passage(row: &ChunkRow, post: &PostRow, similarity: Option<f32>, terms: &Terms) -> Passage {
    let all = format!("{}\n{}\n{}", post.title, row.heading_path.join("\n"), row.text);
    Passage {
        post_id: post.id,
        slug: post.slug.clone(),
        kind: post.kind,
        title: post.title.clone(),
        language: row.language.clone(),
        heading_path: row.heading_path.clone(),
        anchor: row.anchor.clone(),
        text: row.text.clone(),
        similarity,
        relevance: None,
        words: terms.share_in(&all, &row.language),
    }
}

/// Has a reranker put the first passages into its order, where one is there that reads them.
async fn judge(services: &Services, question: &str, found: &mut [Passage]) {
    let Some(card) = services.engine.deployed(Task::Rerank) else { return };
    let count = found.len().min(JUDGED);
    let first = &mut found[..count];
    // One for English alone takes away as much as it gives, and refuses what answers: docs/SEARCH.md.
    if first.is_empty() || !rerank::is_multilingual(&card) {
        return;
    }
    let texts = first.iter().map(|it| format!("{} › {}\n{}", it.title, it.heading_path.join(" › "), it.text)).collect();
    if let Some(logits) = rerank::logits(services, question, texts).await {
        first.iter_mut().zip(logits).for_each(|(passage, logit)| passage.relevance = Some(logit));
        first.sort_by(|a, b| rerank::best_first(a.relevance, b.relevance));
    }
}

fn few_of_each(found: Vec<Passage>, limit: usize) -> Vec<Passage> {
    let mut counts: HashMap<Uuid, usize> = HashMap::new();
    let few = found.into_iter().filter(|passage| {
        let count = counts.entry(passage.post_id).or_default();
        *count += 1;
        *count <= OF_ONE_POST
    });
    few.take(limit).collect()
}
