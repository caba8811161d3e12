//! What means what was asked, whatever its words.

use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::SearchError;
use crate::cache::CacheKey;
use crate::inference::{EmbedRequest, InferenceError, Overlong, Task, TextKind};
use crate::services::{ServiceError, Services};
use crate::store::chunk_vectors::{self, Meaning, Near};
use crate::store::posts::PostFilter;
use crate::telemetry::metrics;

/// Pieces of each language that are looked at.
const PIECES: i64 = 60;
const QUERY_VECTOR: &str = "query_vector";

/// Pieces that mean what was asked.
#[derive(Clone, Debug, Default)]
pub struct Meant {
    /// Of each language the nearest piece of each post, nearest first.
    pub by_language: Vec<(String, Vec<Near>)>,
    /// All pieces, nearest first, for who looks for more than one of a post.
    pub pieces: Vec<Near>,
    /// Another model answered than the one that should.
    pub degraded: bool,
}

impl Meant {
    pub fn posts(&self) -> impl Iterator<Item = Uuid> {
        self.by_language.iter().flat_map(|(_, posts)| posts.iter().map(|near| near.post_id))
    }

    pub fn retain(&mut self, keep: impl Fn(&Uuid) -> bool) {
        for (_, posts) in &mut self.by_language {
            posts.retain(|near| keep(&near.post_id));
        }
        self.pieces.retain(|near| keep(&near.post_id));
    }
}

/// The pieces of each language that are nearest to a text.
pub async fn nearest(
    services: &Services,
    text: &str,
    languages: &[String],
    filter: &PostFilter,
) -> Result<Meant, SearchError> {
    let begun = Instant::now();
    let (model, vector) = vector(services, text).await?;
    metrics::search_part("embedding", begun.elapsed());
    let begun = Instant::now();
    let meaning = Meaning { model: &model, vector: &vector, languages, limit: PIECES };
    let mut pieces = chunk_vectors::nearest(&services.db, &meaning, filter).await?;
    metrics::search_part("meaning", begun.elapsed());
    pieces.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then_with(|| b.chunk_id.cmp(&a.chunk_id)));
    let mut by_language: Vec<(String, Vec<Near>)> = languages.iter().map(|l| (l.clone(), Vec::new())).collect();
    for near in &pieces {
        let Some((_, posts)) = by_language.iter_mut().find(|(language, _)| *language == near.language) else {
            continue;
        };
        if posts.iter().all(|known| known.post_id != near.post_id) {
            posts.push(near.clone());
        }
    }
    by_language.retain(|(_, posts)| !posts.is_empty());
    // A model that has read nothing yet is no help.
    let degraded = pieces.is_empty() && !languages.is_empty() && *filter == PostFilter::default();
    Ok(Meant { by_language, pieces, degraded })
}

/// The vector of a query by the model that answers now, and the model's name. What is asked again,
/// letter by letter or page by page, is computed once.
async fn vector(services: &Services, text: &str) -> Result<(String, Arc<Vec<f32>>), SearchError> {
    let card = services.engine.deployed(Task::Embed);
    let name = card.map(|card| card.name()).ok_or_else(|| match not_yet(services) {
        Some(error) => SearchError::Inference(error),
        None => SearchError::Inference(InferenceError::NoModel { task: Task::Embed }),
    })?;
    let request = EmbedRequest {
        texts: vec![text.to_owned()],
        kind: TextKind::Query,
        overlong: Overlong::Cut,
        ..EmbedRequest::default()
    };
    let key = CacheKey::new(QUERY_VECTOR, format!("{name}:{}", text.to_lowercase()));
    if let Some(held) = services.cache.held::<Vec<f32>>(&key) {
        return Ok((name, held));
    }
    let done = services.engine.embed(None, request).await.map_err(SearchError::Inference)?;
    let vector = done.vectors.into_iter().next().unwrap_or_default();
    if done.model != name {
        return Ok((done.model, Arc::new(vector)));
    }
    let load = async { Ok::<_, ServiceError>(Some(vector)) };
    let kept = services.cache.get_or_load(&key, load).await?;
    Ok((name, kept.unwrap_or_default()))
}

/// The model of the task that is on its way.
fn not_yet(services: &Services) -> Option<InferenceError> {
    use crate::inference::ModelState;
    services.engine.models().into_iter().filter(|model| model.card.task == Task::Embed).find_map(|model| {
        match model.state {
            ModelState::Fetching { bytes, of_bytes } => {
                Some(InferenceError::Loading { model: model.card.name(), bytes, of_bytes })
            }
            ModelState::Loading => Some(InferenceError::Loading { model: model.card.name(), bytes: 0, of_bytes: 0 }),
            _ => None,
        }
    })
}
