//! The passages that an answer is written from, or that there are none.

use super::Question;
use super::answering::are_written;
use super::follow_up;
use super::language::Language;
use super::prompt::MAX_PASSAGES;
use super::threads::Turn;
use crate::inference::{Engine, ModelState, ModelStatus, Task, Usage};
use crate::services::searching::passages::{self, Passage};
use crate::services::{ServiceError, Services};
use crate::store::Sight;

/// Passages that are looked at: some will say too little.
const LOOKED_AT: usize = 2 * MAX_PASSAGES;

/// A reranker's logit above which a passage answers the question more likely than not.
const ANSWERS: f32 = 0.0;
/// A logit below which it does not, whatever else speaks for it: MS MARCO cross-encoders give about
/// -11 to what has nothing to do with a question, and -5 is where a human begins to see why it was found.
const NO_ANSWER: f32 = -5.0;
/// The e5 models were trained with a temperature of 0.01, which draws all their cosines together:
/// unrelated texts have about 0.75, and what has to do with each other 0.82 and more.
const SIMILAR_E5: f32 = 0.82;
/// What answers a question has more than what has only to do with it (docs/CHAT.md).
const ANSWERS_E5: f32 = 0.84;
/// Two Chinese texts are nearer to each other, whatever they are about: unrelated ones have up to 0.87.
const ANSWERS_E5_HAN: f32 = 0.875;
/// What all of the question's words in a passage are worth, in cosines.
const WORDS: f32 = 0.05;
/// Other models use the whole scale: unrelated texts have about 0.1, what answers a question 0.4 and more.
const SIMILAR: f32 = 0.35;
/// Half of the question's words: with fewer the passage is about something else that shares a word.
const SHARED_WORDS: f32 = 0.5;
/// Of a question that is looked for together with the one before it, and so has twice as many.
const SHARED_WORDS_OF_TWO: f32 = 0.25;
/// A smaller model does not say a question better than its reader did.
const LEAST_CONTEXT: usize = 1024;

/// What was found.
pub struct Found {
    /// Best first; none where the site says nothing of it.
    pub passages: Vec<Passage>,
    pub degraded: bool,
}

/// How much speaks for a passage at least.
#[derive(Clone, Copy)]
struct Least {
    similarity: f32,
    words: f32,
    /// Of a Chinese passage, if the question is Chinese too.
    similarity_han: f32,
}

/// Looks for what answers a question. Only what is published is found, whoever asks. `spent` is what a
/// model that writes took for it so far.
pub async fn find(
    services: &Services,
    question: &Question,
    before: &[Turn],
    spent: &mut Usage,
) -> Result<Found, ServiceError> {
    let last = follow_up::last_asked(before);
    let leans = last.is_some() && follow_up::is_follow_up(&question.text);
    let words = if leans { SHARED_WORDS_OF_TWO } else { SHARED_WORDS };
    let models = services.engine.models();
    let is_chinese = Language::of(&question.text) == Language::Chinese;
    let (similarity, similarity_han) = match is_e5(&models) {
        false => (SIMILAR, SIMILAR),
        true => (ANSWERS_E5, if is_chinese { ANSWERS_E5_HAN } else { ANSWERS_E5 }),
    };
    let least = Least { similarity, words, similarity_han };
    let query = follow_up::query(&question.text, last);
    let mut found = look(services, question, &query, least).await?;
    let is_able = are_written(services.chats.settings().answers, &services.engine);
    if leans && is_able && found.passages.is_empty() && can_say_in_full(&services.engine) {
        let line = follow_up::in_full(&services.engine, &question.text, before, spent).await;
        if let Some(line) = line {
            found = look(services, question, &line, Least { words: SHARED_WORDS, ..least }).await?;
        }
    }
    Ok(found)
}

async fn look(services: &Services, question: &Question, query: &str, least: Least) -> Result<Found, ServiceError> {
    let looked = passages::passages(services, Sight::Public, query, &question.filter, LOOKED_AT);
    let passages::Passages { mut passages, degraded } = Box::pin(looked).await?;
    passages.retain(|passage| answers(passage, least));
    Ok(Found { passages, degraded })
}

/// Whether a passage may answer the question. A reranker has read both; where it is not sure, or there
/// is none, meaning and words decide.
fn answers(passage: &Passage, least: Least) -> bool {
    let is_han = passage.language.starts_with("zh");
    let least_similarity = if is_han { least.similarity_han } else { least.similarity };
    let near = passage.similarity.is_some_and(|similarity| similarity + WORDS * passage.words >= least_similarity);
    let likely = near || passage.words >= least.words;
    match passage.relevance {
        Some(logit) => logit > ANSWERS || (logit > NO_ANSWER && likely),
        None => likely,
    }
}

/// From which cosine on two texts have to do with each other, for the model that reads here.
pub fn least_similarity(models: &[ModelStatus]) -> f32 {
    if is_e5(models) { SIMILAR_E5 } else { SIMILAR }
}

/// Whether the model that reads is one of the e5 family.
fn is_e5(models: &[ModelStatus]) -> bool {
    let embed = models.iter().find(|model| model.deployed && model.card.task == Task::Embed);
    embed.is_some_and(|model| model.card.id.to_lowercase().contains("e5"))
}

fn can_say_in_full(engine: &Engine) -> bool {
    engine.models().iter().any(|model| {
        let card = &model.card;
        let writes = model.deployed && card.task == Task::Generate && model.state == ModelState::Ready;
        writes && card.context >= LEAST_CONTEXT
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::posts::PostKind;

    fn passage(similarity: Option<f32>, relevance: Option<f32>, words: f32) -> Passage {
        Passage {
            post_id: Uuid::nil(),
            slug: String::new(),
            kind: PostKind::Note,
            title: String::new(),
            language: "en".into(),
            heading_path: Vec::new(),
            anchor: None,
            text: String::new(),
            similarity,
            relevance,
            words,
        }
    }

    #[test]
    fn what_says_too_little_is_no_answer() {
        let least = |similarity_han| Least { similarity: ANSWERS_E5, words: SHARED_WORDS, similarity_han };
        for (similarity, relevance, words, expected) in [
            (None, None, 0.6, true),
            (None, None, 0.4, false),
            (Some(0.9), None, 0.0, true),
            (Some(0.82), None, 0.0, false),
            (Some(0.83), None, 0.3, true),
            (Some(0.78), None, 0.2, false),
            (Some(0.7), Some(3.0), 0.0, true),
            (Some(0.9), Some(-9.0), 1.0, false),
            (Some(0.9), Some(-2.0), 0.0, true),
            (Some(0.7), Some(-2.0), 0.1, false),
        ] {
            let found = answers(&passage(similarity, relevance, words), least(ANSWERS_E5_HAN));
            assert_eq!(found, expected, "similarity {similarity:?}, relevance {relevance:?}, words {words}");
        }
        let chinese = Passage { language: "zh".into(), ..passage(Some(0.86), None, 0.0) };
        assert!(!answers(&chinese, least(ANSWERS_E5_HAN)), "a Chinese question on something else");
        assert!(answers(&chinese, least(ANSWERS_E5)), "an English question");
    }
}
