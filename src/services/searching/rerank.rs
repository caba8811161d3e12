//! The first hits in the order in which a cross-encoder sees them.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use super::query::Query;
use super::{Hit, pieces};
use crate::inference::{ModelCard, Overlong, PROVIDED, RerankRequest, Task};
use crate::services::prompting::cut;
use crate::services::words::is_mostly_cjk;
use crate::services::{ServiceError, Services};
use crate::telemetry::metrics;

/// Hits that are looked at again.
const FIRST: usize = 20;
/// So much of a question is held against each text: the model reads it as often as there are texts.
const QUESTION_CHARS: usize = 200;
/// How long that may take before the order stays as it was.
const WAIT: Duration = Duration::from_secs(3);
/// What the architecture of rerankers for many languages begins with; others here know English only.
const MULTILINGUAL: &str = "xlm-roberta";

/// Puts those of the first hits that the reranker can read into its order; the others keep their
/// places. Where none answers, the order stays.
pub async fn rerank(services: &Services, text: &str, query: &Query, hits: &mut [Hit]) -> Result<(), ServiceError> {
    let Some(card) = services.engine.deployed(Task::Rerank) else { return Ok(()) };
    let reads_all = is_multilingual(&card);
    if !reads_all && is_mostly_cjk(text) {
        return Ok(());
    }
    let count = hits.len().min(FIRST);
    let first = &mut hits[..count];
    let rows = pieces(services, query, first).await?;
    let readable = |hit: &Hit| {
        let row = rows.iter().find(|row| row.post_id == hit.post_id)?;
        let text = format!("{}\n{}", row.heading_path.join(" › "), row.text);
        (reads_all || !is_mostly_cjk(&row.text)).then_some(text)
    };
    let (places, texts): (Vec<usize>, Vec<String>) =
        first.iter().enumerate().filter_map(|(n, hit)| Some((n, readable(hit)?))).unzip();
    if places.is_empty() {
        return Ok(());
    }
    let Some(logits) = logits(services, text, texts).await else { return Ok(()) };
    let mut judged: Vec<Hit> = places.iter().map(|place| first[*place].clone()).collect();
    judged.iter_mut().zip(logits).for_each(|(hit, logit)| hit.relevance = Some(logit));
    judged.sort_by(|a, b| best_first(a.relevance, b.relevance));
    for (place, hit) in places.into_iter().zip(judged) {
        first[place] = hit;
    }
    Ok(())
}

/// Whether a reranker reads more than English. What providers have does.
pub(super) fn is_multilingual(card: &ModelCard) -> bool {
    card.architecture.starts_with(MULTILINGUAL) || card.architecture == PROVIDED
}

/// What the deployed reranker gives each text as an answer to a question, if it does so in time.
pub(super) async fn logits(services: &Services, question: &str, texts: Vec<String>) -> Option<Vec<f32>> {
    let begun = Instant::now();
    let request = RerankRequest { query: cut(question, QUESTION_CHARS).to_owned(), texts, overlong: Overlong::Cut };
    match tokio::time::timeout(WAIT, services.engine.rerank(None, request)).await {
        Ok(Ok(done)) => {
            metrics::search_part("rerank", begun.elapsed());
            Some(done.logits)
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "what was found keeps its order");
            None
        }
        Err(_) => {
            tracing::debug!("the reranker took too long: what was found keeps its order");
            None
        }
    }
}

/// The order of what a reranker has looked at; what it has not comes last.
pub(super) fn best_first(a: Option<f32>, b: Option<f32>) -> Ordering {
    b.unwrap_or(f32::MIN).total_cmp(&a.unwrap_or(f32::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::catalogue::Catalogue;

    #[test]
    fn the_catalogue_says_which_rerankers_read_more_than_english() {
        let catalogue = Catalogue::built_in().expect("valid");
        for (name, reads_all) in [("bge-reranker-base", true), ("ms-marco-MiniLM-L-12-v2", false)] {
            let card = catalogue.find(name).expect("known").card();
            assert_eq!(is_multilingual(&card), reads_all, "{name} is {}", card.architecture);
        }
    }
}
