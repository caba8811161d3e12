//! What means what was asked, whatever its words.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::SearchError;
use crate::cache::CacheKey;
use crate::inference::{EmbedRequest, InferenceError, Overlong, Task, TextKind};
use crate::services::words::is_mostly_cjk;
use crate::services::{ServiceError, Services};
use crate::store::chunk_vectors::{self, Meaning, Near};
use crate::store::posts::PostFilter;
use crate::telemetry::metrics;

/// Pieces of each language that are looked at.
const PIECES: i64 = 60;
/// What standing out in another language than the query's counts less, in standard scores.
const OTHER_LANGUAGE: f64 = 0.3;
/// A post that stands out less, in standard scores, means something else.
const STANDS_OUT: f64 = 0.25;
/// Among fewer there is nothing to stand out from.
const ENOUGH: usize = 8;
const QUERY_VECTOR: &str = "query_vector";

/// Pieces that mean what was asked.
#[derive(Clone, Debug, Default)]
pub struct Meant {
    /// The nearest piece of each post, nearest first.
    pub posts: Vec<Near>,
    /// All pieces, nearest first, for who looks for more than one of a post.
    pub pieces: Vec<Near>,
    /// Another model answered than the one that should.
    pub degraded: bool,
}

impl Meant {
    pub fn retain(&mut self, keep: impl Fn(&Uuid) -> bool) {
        self.posts.retain(|near| keep(&near.post_id));
        self.pieces.retain(|near| keep(&near.post_id));
    }
}

/// How near the texts of a language are to a query.
struct Scale {
    mean: f64,
    spread: f64,
    least: f64,
}

/// Neighbours of several languages in one order.
///
/// Models see a text in the query's own language nearer than the same text in another, so cosines of
/// two languages cannot be compared. How far each stands out among its language's can: by standard
/// score. What is in the query's language is taken for a little better.
///
/// What stands out less than `least` is left out, where there is enough to stand out among.
fn in_one_order(near: Vec<Near>, in_cjk: bool, least: f64) -> Vec<Near> {
    let mut languages: HashMap<&str, Vec<f64>> = HashMap::new();
    for one in &near {
        languages.entry(&one.language).or_default().push(one.similarity);
    }
    let scales: HashMap<String, Scale> = languages
        .into_iter()
        .map(|(language, all)| {
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let spread = (all.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
            let least = if all.len() < ENOUGH { f64::MIN } else { least };
            (language.to_owned(), Scale { mean, spread: if spread > 0.0 { spread } else { 1.0 }, least })
        })
        .collect();
    let score = |one: Near| {
        let scale = scales.get(&one.language)?;
        let score = (one.similarity - scale.mean) / scale.spread;
        let is_own = in_cjk == matches!(one.language.split('-').next(), Some("zh" | "ja"));
        (score >= scale.least).then_some((score - if is_own { 0.0 } else { OTHER_LANGUAGE }, one))
    };
    let mut scored: Vec<(f64, Near)> = near.into_iter().filter_map(score).collect();
    scored.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| y.chunk_id.cmp(&x.chunk_id)));
    scored.into_iter().map(|(_, one)| one).collect()
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
    let mut pieces = chunk_vectors::nearest(&mut *services.db.conn().await?, &meaning, filter).await?;
    metrics::search_part("meaning", begun.elapsed());
    // A model that has read nothing yet is no help.
    let degraded = pieces.is_empty() && !languages.is_empty() && *filter == PostFilter::default();
    pieces.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then_with(|| b.chunk_id.cmp(&a.chunk_id)));
    let in_cjk = is_mostly_cjk(text);
    let mut seen = HashSet::new();
    let posts = pieces.iter().filter(|near| seen.insert(near.post_id)).cloned().collect();
    Ok(Meant {
        posts: in_one_order(posts, in_cjk, STANDS_OUT),
        // Who answers from them has a bound of its own.
        pieces: in_one_order(pieces, in_cjk, f64::MIN),
        degraded,
    })
}

/// The vector of a query by the model that answers now, and the model's name. What is asked again,
/// letter by letter or page by page, is computed once.
async fn vector(services: &Services, text: &str) -> Result<(String, Arc<Vec<f32>>), SearchError> {
    let card = services.engine.deployed(Task::Embed);
    let name = card.map(|card| card.name()).ok_or_else(|| match not_yet(services) {
        Some(error) => SearchError::Inference(error),
        None => SearchError::Inference(services.engine.no_model(Task::Embed)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_out_in_its_language_comes_first() {
        let near = |id, language: &str, similarity| Near {
            chunk_id: Uuid::from_u128(id),
            post_id: Uuid::from_u128(id),
            language: language.to_owned(),
            similarity,
        };
        // In English nothing stands out, in Chinese one does, though it is farther.
        let all = vec![
            near(1, "en", 0.85),
            near(2, "en", 0.84),
            near(3, "en", 0.84),
            near(4, "zh", 0.80),
            near(5, "zh", 0.70),
            near(6, "zh", 0.70),
            near(7, "zh", 0.70),
        ];
        let ids: Vec<u128> =
            in_one_order(all.clone(), false, f64::MIN).iter().map(|near| near.chunk_id.as_u128()).collect();
        assert_eq!(ids[..2], [4, 1]);
        assert_eq!(in_one_order(all, false, STANDS_OUT).len(), 7, "there is too little to stand out from");
        assert!(in_one_order(Vec::new(), true, STANDS_OUT).is_empty());
        let many = (0..10).map(|n| near(n, "en", if n < 2 { 0.9 } else { 0.7 })).collect();
        assert_eq!(in_one_order(many, false, STANDS_OUT).len(), 2);
    }
}
