//! The engine: texts to vectors, queries to rankings, messages to more text.
//!
//! [`Engine`] hands each request to the model that is deployed for its task, or to the one that the
//! request names. A model is a [`Backend`]: one that runs in this process, one of a provider
//! elsewhere, or for tests a [`fake`]. Knows neither GraphQL nor Postgres; the only room that
//! imports candle. Imports `config` and `telemetry`; imported by `services`, `http`, `graphql`,
//! `app` and `main`.

use std::sync::Arc;

use futures_util::future::BoxFuture;

pub mod catalogue;
pub mod decoder;
mod deployments;
mod device;
pub mod encoder;
mod engine;
mod error;
pub mod fake;
pub mod fetch;
pub mod generate;
// Open for `benches/inference.rs`.
#[doc(hidden)]
pub use inkstone_kernels as kernels;
mod laid_out;
mod local_decoder;
mod local_encoder;
mod provider;
mod queue;
mod request;

pub use device::Compute;
pub use engine::{Deployed, Engine, EngineError, EngineSettings, ModelState, ModelStatus, Removed};
pub use error::InferenceError;
pub use laid_out::LaidOut;
pub use provider::{PROVIDED, ProviderSettings};
pub use request::{
    Constraint, EmbedRequest, Embeddings, FinishReason, GenerateOptions, GenerateRequest, Generation, Message,
    Overlong, Piece, Priority, Prompt, Ranking, RerankRequest, Role, Task, TextKind, TokenLogprob, Usage,
};

/// What is known of a model before it is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCard {
    /// Such as `multilingual-e5-small`.
    pub id: String,
    /// The same model in another precision; the vectors of two are never compared.
    pub variant: String,
    pub task: Task,
    /// Such as `bert` or `llama`.
    pub architecture: String,
    pub licence: String,
    /// Most tokens of a text, or of a prompt and its answer together.
    pub context: usize,
    /// Of an embedding model: the length of its vectors.
    pub dimensions: Option<usize>,
    /// How many weights it has, where that is known.
    pub parameters: Option<u64>,
    /// Of its files, all together; 0 where that is not known.
    pub bytes: u64,
}

impl ModelCard {
    /// `id/variant`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.id, self.variant)
    }

    /// Whether this is what `name` means, which is an id or `id/variant`.
    pub fn is_named(&self, name: &str) -> bool {
        self.id == name || self.name() == name
    }
}

/// A model that can be asked. What is not its task is answered with `NoModel`.
pub trait Backend: Send + Sync + 'static {
    fn card(&self) -> &ModelCard;

    fn embed(&self, request: EmbedRequest) -> BoxFuture<'_, Result<Embeddings, InferenceError>> {
        drop(request);
        Box::pin(async { Err(InferenceError::no_model(Task::Embed)) })
    }

    fn rerank(&self, request: RerankRequest) -> BoxFuture<'_, Result<Ranking, InferenceError>> {
        drop(request);
        Box::pin(async { Err(InferenceError::no_model(Task::Rerank)) })
    }

    /// Returns when the request has its place; the text comes as it is written.
    fn generate(&self, request: GenerateRequest) -> BoxFuture<'_, Result<Generation, InferenceError>> {
        drop(request);
        Box::pin(async { Err(InferenceError::no_model(Task::Generate)) })
    }
}

/// A backend as the engine keeps it.
pub type SharedBackend = Arc<dyn Backend>;
