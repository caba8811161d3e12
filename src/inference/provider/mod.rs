//! Models of a provider elsewhere, which speaks OpenAI's API.
//!
//! `connection.rs` asks: with a time limit, again after what may pass, and not at all for a while
//! where nothing comes back (`breaker.rs`). `asked.rs` says what is sent, `reading.rs` reads a text
//! while it is written. What a provider says goes no further than it is needed: its error messages
//! may hold a part of the key.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::fetch::FetchError;
use super::{
    Backend, EmbedRequest, Embeddings, GenerateRequest, Generation, InferenceError, ModelCard, Ranking, RerankRequest,
    SharedBackend, Task,
};

mod asked;
mod breaker;
mod connection;
mod reading;

use connection::{Connection, Fault};

/// The architecture that is told of a provider's models.
pub const PROVIDED: &str = "openai";
/// Most texts of one request to a provider; more are sent one request after the other.
const TEXTS: usize = 96;
/// What is told of a provider's models, about which nothing is known.
const CONTEXT: usize = 1_000_000;

/// A provider, and which of its models answers what.
#[derive(Clone)]
pub struct ProviderSettings {
    /// What stands before `/embeddings` and `/chat/completions`, such as `https://api.example.org/v1`.
    pub url: String,
    pub key: Option<String>,
    /// Until an answer begins, and between two parts of one.
    pub timeout: Duration,
    /// As the provider calls them.
    pub models: BTreeMap<Task, String>,
}

impl fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderSettings").field("models", &self.models).finish_non_exhaustive()
    }
}

/// The provider's models, ready to be asked.
///
/// Errors: the URL or the key cannot be sent as they are.
pub(super) fn open(settings: &ProviderSettings) -> Result<BTreeMap<Task, SharedBackend>, FetchError> {
    let connection = Arc::new(Connection::new(settings)?);
    let model = |(task, name): (&Task, &String)| {
        let model: SharedBackend = Arc::new(Remote { card: card(*task, name), connection: connection.clone() });
        (*task, model)
    };
    Ok(settings.models.iter().map(model).collect())
}

fn card(task: Task, name: &str) -> ModelCard {
    ModelCard {
        id: name.to_owned(),
        variant: "provider".to_owned(),
        task,
        architecture: PROVIDED.to_owned(),
        licence: "see the provider".to_owned(),
        context: CONTEXT,
        dimensions: None,
        parameters: None,
        bytes: 0,
    }
}

/// One model of the provider.
struct Remote {
    card: ModelCard,
    connection: Arc<Connection>,
}

#[derive(Deserialize)]
struct Vectors {
    data: Vec<Vector>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Vector {
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Ranked {
    results: Vec<Scored>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Scored {
    index: usize,
    relevance_score: f64,
}

/// Providers tell one or both.
#[derive(Clone, Copy, Deserialize)]
struct Tokens {
    prompt_tokens: Option<usize>,
    total_tokens: Option<usize>,
}

impl Tokens {
    fn read(self) -> Option<usize> {
        self.prompt_tokens.or(self.total_tokens)
    }
}

impl Remote {
    fn error(&self, fault: Fault) -> InferenceError {
        let model = self.card.name();
        match fault {
            Fault::Refused(why) => InferenceError::BadInput(format!("the provider of {model} refuses this: {why}")),
            Fault::Away { reason, retry_after } => InferenceError::Provider { model, reason, retry_after },
        }
    }

    fn senseless(&self, what: &str) -> InferenceError {
        let reason = format!("it answered {what}");
        InferenceError::Provider { model: self.card.name(), reason, retry_after: None }
    }

    async fn vectors(&self, texts: &[String], dimensions: Option<usize>) -> Result<Vectors, InferenceError> {
        let body = asked::embeddings(&self.card.id, texts, dimensions);
        let mut answer: Vectors =
            self.connection.json("/embeddings", &body).await.map_err(|fault| self.error(fault))?;
        answer.data.sort_by_key(|vector| vector.index);
        if !answer.data.iter().map(|vector| vector.index).eq(0..texts.len()) {
            return Err(self.senseless("with another number of vectors than it got texts"));
        }
        Ok(answer)
    }
}

impl Backend for Remote {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn embed(&self, request: EmbedRequest) -> BoxFuture<'_, Result<Embeddings, InferenceError>> {
        Box::pin(async move {
            let (mut vectors, mut prompt_tokens) = (Vec::with_capacity(request.texts.len()), 0);
            for texts in request.texts.chunks(TEXTS) {
                let answer = self.vectors(texts, request.dimensions).await?;
                prompt_tokens += answer.usage.and_then(Tokens::read).unwrap_or_else(|| about_tokens(texts));
                vectors.extend(answer.data.into_iter().map(|vector| vector.embedding));
            }
            let length = vectors.first().map_or(0, Vec::len);
            if vectors.iter_mut().any(|vector| vector.len() != length || !normalise(vector)) {
                return Err(self.senseless("with vectors that are none"));
            }
            Ok(Embeddings { model: self.card.name(), vectors, prompt_tokens, degraded: false })
        })
    }

    /// Providers tell shares of 1, whose logits these are.
    fn rerank(&self, request: RerankRequest) -> BoxFuture<'_, Result<Ranking, InferenceError>> {
        Box::pin(async move {
            let RerankRequest { query, texts, .. } = request;
            let body = asked::ranking(&self.card.id, &query, &texts);
            let answer: Ranked = self.connection.json("/rerank", &body).await.map_err(|fault| self.error(fault))?;
            let mut logits = vec![f32::NAN; texts.len()];
            for Scored { index, relevance_score } in &answer.results {
                if let Some(logit) = logits.get_mut(*index) {
                    let share = relevance_score.clamp(1e-7, 1.0 - 1e-7);
                    *logit = (share / (1.0 - share)).ln() as f32;
                }
            }
            if logits.iter().any(|logit| logit.is_nan()) {
                return Err(self.senseless("without a score for each text"));
            }
            let read = || about_tokens(&texts) + texts.len() * about_tokens(std::slice::from_ref(&query));
            let prompt_tokens = answer.usage.and_then(Tokens::read).unwrap_or_else(read);
            Ok(Ranking { model: self.card.name(), logits, prompt_tokens, degraded: false })
        })
    }

    fn generate(&self, request: GenerateRequest) -> BoxFuture<'_, Result<Generation, InferenceError>> {
        Box::pin(async move {
            let (path, body) = asked::text(&self.card.id, &request)?;
            let read = request.prompt.about_tokens();
            let answer = self.connection.post(path, &body).await.map_err(|fault| self.error(fault))?;
            Ok(Generation::new(self.card.name(), reading::pieces(answer, self.card.name(), read)))
        })
    }
}

/// A token is about four bytes. Only where the provider does not tell.
fn about_tokens(texts: &[String]) -> usize {
    texts.iter().map(|text| text.len().div_ceil(4)).sum()
}

/// Makes it of length 1. False if it has no length.
fn normalise(vector: &mut [f32]) -> bool {
    let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if !norm.is_finite() || norm <= 0.0 {
        return false;
    }
    vector.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
    true
}
