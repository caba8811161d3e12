//! Models that are no models: the same text always gives the same answer, at once. For tests of
//! everything around the engine; real models are for everything else.

use futures_util::future::BoxFuture;
use futures_util::stream;
use sha2::{Digest, Sha256};

use super::{
    Backend, EmbedRequest, Embeddings, FinishReason, GenerateRequest, Generation, InferenceError, ModelCard, Piece,
    Prompt, Ranking, RerankRequest, Role, Task, TextKind, TokenLogprob, Usage,
};

/// The length of a fake's vectors.
pub const DIMENSIONS: usize = 16;

/// One for each task of texts.
pub fn all() -> Vec<Fake> {
    [Task::Embed, Task::Rerank, Task::Generate].into_iter().map(Fake::new).collect()
}

/// A model whose tokens are words.
pub struct Fake {
    card: ModelCard,
}

impl Fake {
    pub fn new(task: Task) -> Self {
        Self {
            card: ModelCard {
                id: format!("fake-{task}"),
                variant: "test".to_owned(),
                task,
                architecture: "fake".to_owned(),
                licence: "MIT OR Apache-2.0".to_owned(),
                context: 512,
                dimensions: (task == Task::Embed).then_some(DIMENSIONS),
                parameters: None,
                bytes: 0,
            },
        }
    }

    fn tokens(&self, index: usize, text: &str) -> Result<usize, InferenceError> {
        let (tokens, limit) = (words(text).len(), self.card.context);
        if tokens > limit { Err(InferenceError::TooLong { index, tokens, limit }) } else { Ok(tokens) }
    }
}

impl Backend for Fake {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Each word adds a direction of its own, so that texts with the same words are near.
    fn embed(&self, request: EmbedRequest) -> BoxFuture<'_, Result<Embeddings, InferenceError>> {
        Box::pin(async move {
            let mut prompt_tokens = 0;
            for (index, text) in request.texts.iter().enumerate() {
                prompt_tokens += self.tokens(index, text)?;
            }
            let length = request.dimensions.unwrap_or(DIMENSIONS).min(DIMENSIONS);
            let vectors = request.texts.iter().map(|text| vector(text, request.kind, length)).collect();
            Ok(Embeddings { model: self.card.name(), vectors, prompt_tokens, degraded: false })
        })
    }

    /// The number of words that a text shares with the query.
    fn rerank(&self, request: RerankRequest) -> BoxFuture<'_, Result<Ranking, InferenceError>> {
        Box::pin(async move {
            let asked = words(&request.query);
            let mut prompt_tokens = 0;
            for (index, text) in request.texts.iter().enumerate() {
                prompt_tokens += asked.len() + self.tokens(index, text)?;
            }
            let shared = |text: &String| words(text).iter().filter(|word| asked.contains(word)).count() as f32;
            let logits = request.texts.iter().map(shared).collect();
            Ok(Ranking { model: self.card.name(), logits, prompt_tokens, degraded: false })
        })
    }

    /// Says the last message again, a word at a time.
    fn generate(&self, request: GenerateRequest) -> BoxFuture<'_, Result<Generation, InferenceError>> {
        Box::pin(async move {
            let said = match &request.prompt {
                Prompt::Text(text) => text.clone(),
                Prompt::Messages(messages) => {
                    let last = messages.iter().rev().find(|message| message.role == Role::User);
                    last.map(|message| message.content.clone()).unwrap_or_default()
                }
            };
            let prompt_tokens = self.tokens(0, &said)?;
            let room = request.options.max_tokens.unwrap_or(self.card.context);
            let words = words(&said);
            let finish = if words.len() > room { FinishReason::Length } else { FinishReason::Stop };
            let wanted = request.options.logprobs;
            let mut pieces: Vec<_> = words.iter().take(room).map(|word| Ok(piece(word, wanted))).collect();
            let usage = Usage { prompt_tokens, cached_tokens: 0, completion_tokens: pieces.len() };
            pieces.push(Ok(Piece::Done { finish, usage }));
            Ok(Generation::new(self.card.name(), stream::iter(pieces)))
        })
    }
}

fn piece(word: &str, logprobs: Option<usize>) -> Piece {
    let token = TokenLogprob { text: word.to_owned(), bytes: word.as_bytes().to_vec(), logprob: -0.5 };
    let logprobs = logprobs.map(|others| (token.clone(), vec![token; others.min(1)])).into_iter().collect();
    Piece::Text { text: word.to_owned(), logprobs }
}

/// Words with the space before them.
fn words(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}

fn vector(text: &str, kind: TextKind, length: usize) -> Vec<f32> {
    let mut sum = vec![if kind == TextKind::Query { 0.02 } else { 0.01 }; length];
    for word in text.split_whitespace() {
        for (place, byte) in sum.iter_mut().zip(Sha256::digest(word.as_bytes())) {
            *place += f32::from(byte) / 127.5 - 1.0;
        }
    }
    let norm = sum.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    sum.into_iter().map(|x| x / norm).collect()
}
