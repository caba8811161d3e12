//! The models that run here: what they are, and what they do for those who may ask them.

use std::sync::Arc;

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};

use super::context::{ContextExt, RequestContext};
use super::payload::{UserError, outcome};
use crate::error::ApiError;
use crate::inference::{self, GenerateOptions, GenerateRequest, InferenceError, ModelStatus, Piece, Prompt, Task};
use crate::services::inferring::{self, By, InferringError};

/// Most texts of one request.
const MAX_TEXTS: usize = 100;
/// Most messages of one request.
const MAX_MESSAGES: usize = 1000;

/// What a model is for.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Task")]
pub enum ModelTask {
    /// Texts to vectors.
    Embed,
    /// How well texts answer a query.
    Rerank,
    /// Messages to more text.
    Generate,
    /// Pictures to text about them. Only a provider's models do that.
    Describe,
}

/// Where a model stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
enum ModelState {
    /// Known, and not on this machine.
    Absent,
    /// On its way to this machine.
    Fetching,
    /// On this machine, and not in memory.
    Stored,
    /// On its way into memory.
    Loading,
    /// Answers.
    Ready,
    /// Could not be fetched or loaded.
    Failed,
}

/// A model that this server knows.
pub struct Model(ModelStatus);

/// A model that this server knows.
#[Object]
impl Model {
    /// Its name with the variant, such as `multilingual-e5-small/q4_0`. Vectors of two names are
    /// never compared.
    async fn name(&self) -> String {
        self.0.card.name()
    }

    /// What it is for.
    async fn task(&self) -> ModelTask {
        self.0.card.task.into()
    }

    /// Where it stands.
    async fn state(&self) -> ModelState {
        match self.0.state {
            inference::ModelState::Absent => ModelState::Absent,
            inference::ModelState::Fetching { .. } => ModelState::Fetching,
            inference::ModelState::Stored => ModelState::Stored,
            inference::ModelState::Loading => ModelState::Loading,
            inference::ModelState::Ready => ModelState::Ready,
            inference::ModelState::Failed(_) => ModelState::Failed,
        }
    }

    /// While it is being fetched: the share that is here, from 0 to 1.
    async fn progress(&self) -> Option<f64> {
        match self.0.state {
            inference::ModelState::Fetching { bytes, of_bytes } if of_bytes > 0 => Some(bytes as f64 / of_bytes as f64),
            _ => None,
        }
    }

    /// Why it failed. For the owner.
    async fn failure(&self, ctx: &Context<'_>) -> Option<String> {
        match &self.0.state {
            inference::ModelState::Failed(why) if ctx.request().actor.viewer.may_change_site() => Some(why.clone()),
            _ => None,
        }
    }

    /// Answers requests of its task that name no model.
    async fn is_deployed(&self) -> bool {
        self.0.deployed
    }

    /// Most tokens of a text, or of a prompt and its answer together.
    async fn context_length(&self) -> usize {
        self.0.card.context
    }

    /// Of an embedding model: the length of its vectors.
    async fn dimensions(&self) -> Option<usize> {
        self.0.card.dimensions
    }

    /// An SPDX name.
    async fn licence(&self) -> &str {
        &self.0.card.licence
    }
}

/// Which prefix a text gets: some models are trained to tell a question from what answers it.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
enum TextKind {
    /// Something that is looked for.
    Query,
    /// Something that is found.
    Passage,
}

/// Texts to be turned into vectors.
#[derive(InputObject)]
struct EmbedInput {
    /// At most 100.
    texts: Vec<String>,
    /// What they are.
    #[graphql(default_with = "TextKind::Passage")]
    kind: TextKind,
    /// Leave out what does not fit into the model's context, instead of refusing it.
    #[graphql(default)]
    truncate: bool,
    /// Which model; the deployed one if absent.
    model: Option<String>,
}

/// Vectors of texts.
#[derive(SimpleObject)]
struct Embeddings {
    /// The model that made them.
    model: String,
    /// One for each text, in their order, each of length 1.
    vectors: Vec<Vec<f32>>,
    /// Tokens that were read.
    prompt_tokens: usize,
    /// Another model answered than the one that should have, because that one failed.
    degraded: bool,
}

/// Texts to be held against a query.
#[derive(InputObject)]
struct RerankInput {
    /// What is looked for.
    query: String,
    /// At most 100.
    texts: Vec<String>,
    /// Leave out what does not fit into the model's context, instead of refusing it.
    #[graphql(default)]
    truncate: bool,
    /// Which model; the deployed one if absent.
    model: Option<String>,
}

/// How well texts answer a query.
#[derive(SimpleObject)]
struct Ranking {
    /// The model that judged.
    model: String,
    /// From 0 to 1, one for each text, in their order.
    scores: Vec<f64>,
    /// Tokens that were read.
    prompt_tokens: usize,
    /// Another model answered than the one that should have, because that one failed.
    degraded: bool,
}

/// Who says a message.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "inference::Role")]
enum MessageRole {
    /// Instructions.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
    /// What a function gave.
    Tool,
}

/// A message of a conversation.
#[derive(InputObject)]
struct MessageInput {
    /// Who says it.
    role: MessageRole,
    /// What is said.
    content: String,
}

/// A text to be written.
#[derive(InputObject)]
struct GenerateInput {
    /// The conversation so far; at most 1000.
    messages: Vec<MessageInput>,
    /// Most tokens to write.
    max_tokens: Option<usize>,
    /// From 0, which always takes the likeliest token, to 2.
    temperature: Option<f32>,
    /// The same seed gives the same text; from 0 to 2^31 - 1.
    seed: Option<u32>,
    /// The text ends before the first of these; at most 4.
    #[graphql(default)]
    stop: Vec<String>,
    /// Which model; the deployed one if absent.
    model: Option<String>,
}

/// A part of a text, or its end.
#[derive(SimpleObject)]
struct GeneratedPiece {
    /// What comes next; empty in the last piece.
    text: String,
    /// Only in the last piece.
    done: Option<GenerateDone>,
}

/// How a text ended.
#[derive(SimpleObject)]
struct GenerateDone {
    /// The model that wrote it.
    model: String,
    /// Whether the model or a stop text ended it, and not its length.
    complete: bool,
    /// Tokens of the prompt.
    prompt_tokens: usize,
    /// Tokens that were written.
    completion_tokens: usize,
    /// Another model answered than the one that should have, because that one failed.
    degraded: bool,
}

#[derive(Default)]
pub struct ModelQuery;

#[Object]
impl ModelQuery {
    /// The models that this server knows, by name.
    async fn models(&self, ctx: &Context<'_>) -> Vec<Model> {
        // They are fetched, loaded and let go without an event.
        ctx.request().keep_for_one();
        ctx.request().services.engine.models().into_iter().map(Model).collect()
    }

    /// Turns texts into vectors. For the owner and editors; a key needs the scope `infer`.
    async fn embed(&self, ctx: &Context<'_>, input: EmbedInput) -> Result<Embeddings, ApiError> {
        let request = ctx.request();
        let asked = inference::EmbedRequest {
            texts: texts(input.texts)?,
            kind: match input.kind {
                TextKind::Query => inference::TextKind::Query,
                TextKind::Passage => inference::TextKind::Passage,
            },
            overlong: overlong(input.truncate),
            ..inference::EmbedRequest::default()
        };
        let done = Box::pin(inferring::embed(&request.services, &request.actor, input.model.as_deref(), asked)).await?;
        let inference::Embeddings { model, vectors, prompt_tokens, degraded } = done;
        Ok(Embeddings { model, vectors, prompt_tokens, degraded })
    }

    /// Says how well texts answer a query. For the owner and editors; a key needs the scope `infer`.
    async fn rerank(&self, ctx: &Context<'_>, input: RerankInput) -> Result<Ranking, ApiError> {
        let request = ctx.request();
        let overlong = overlong(input.truncate);
        let asked = inference::RerankRequest { query: input.query, texts: texts(input.texts)?, overlong };
        let done =
            Box::pin(inferring::rerank(&request.services, &request.actor, input.model.as_deref(), asked)).await?;
        let scores = done.logits.into_iter().map(|logit| 1.0 / (1.0 + f64::from(-logit).exp())).collect();
        Ok(Ranking { model: done.model, scores, prompt_tokens: done.prompt_tokens, degraded: done.degraded })
    }
}

fn texts(texts: Vec<String>) -> Result<Vec<String>, ApiError> {
    match texts.len() {
        1..=MAX_TEXTS => Ok(texts),
        count => Err(ApiError::bad_input(format!("`texts` has {count} entries: send 1 to {MAX_TEXTS}"))),
    }
}

fn overlong(truncate: bool) -> inference::Overlong {
    if truncate { inference::Overlong::Cut } else { inference::Overlong::Refuse }
}

impl From<InferringError> for ApiError {
    fn from(error: InferringError) -> Self {
        match error {
            InferringError::Service(error) => error.into(),
            InferringError::Inference(error) => error.into(),
        }
    }
}

/// Which model.
#[derive(InputObject)]
struct DeployModelInput {
    /// Its name, such as `multilingual-e5-small/q4_0`.
    model: String,
}

/// The model that was chosen, or what was wrong.
#[derive(SimpleObject)]
struct DeployModelPayload {
    /// The model; null when the input was refused.
    model: Option<Model>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ModelMutation;

#[Object]
impl ModelMutation {
    /// Lets a model answer for its task from now on; the one before goes on until it is fetched and
    /// loaded. For the owner.
    async fn deploy_model(&self, ctx: &Context<'_>, input: DeployModelInput) -> Result<DeployModelPayload, ApiError> {
        let request = ctx.request();
        let done = inferring::deploy(&request.services, &request.actor, &input.model);
        let (name, user_errors) = outcome(done)?;
        let mut models = request.services.engine.models().into_iter();
        let model = name.and_then(|name| models.find(|model| model.card.name() == name)).map(Model);
        Ok(DeployModelPayload { model, user_errors })
    }
}

#[derive(Default)]
pub struct ModelSubscription;

#[Subscription]
impl ModelSubscription {
    /// Goes on from a conversation, a piece at a time. Who ends the subscription stops the model.
    /// For the owner and editors; a key needs the scope `infer`.
    async fn generate(
        &self,
        ctx: &Context<'_>,
        input: GenerateInput,
    ) -> Result<impl Stream<Item = Result<GeneratedPiece, ApiError>>, ApiError> {
        let request = ctx.data_unchecked::<Arc<RequestContext>>().clone();
        let model = input.model.clone();
        let asked = input.into_request()?;
        let begun = inferring::generate(&request.services, &request.actor, model.as_deref(), asked);
        let (by, pieces) = Box::pin(begun).await?;
        Ok(pieces.map(move |piece| generated(&by, piece)))
    }
}

impl GenerateInput {
    fn into_request(self) -> Result<GenerateRequest, ApiError> {
        let messages = self.messages.len();
        if !(1..=MAX_MESSAGES).contains(&messages) {
            let message = format!("`messages` has {messages} entries: send 1 to {MAX_MESSAGES}");
            return Err(ApiError::bad_input(message));
        }
        let temperature = self.temperature.unwrap_or(GenerateOptions::default().temperature);
        if !(0.0..=2.0).contains(&temperature) {
            return Err(ApiError::bad_input(format!("`temperature` is {temperature}: expected 0 to 2")));
        }
        if self.stop.len() > 4 || self.stop.iter().any(|stop| stop.is_empty() || stop.len() > 256) {
            return Err(ApiError::bad_input("`stop` takes up to 4 texts of 1 to 256 bytes"));
        }
        let message = |message: MessageInput| inference::Message::new(message.role.into(), message.content);
        Ok(GenerateRequest {
            prompt: Prompt::Messages(self.messages.into_iter().map(message).collect()),
            tools: Vec::new(),
            options: GenerateOptions {
                max_tokens: self.max_tokens,
                temperature,
                seed: self.seed.map(u64::from),
                stop: self.stop,
                ..GenerateOptions::default()
            },
        })
    }
}

fn generated(by: &By, piece: Result<Piece, InferenceError>) -> Result<GeneratedPiece, ApiError> {
    Ok(match piece? {
        Piece::Text { text, .. } => GeneratedPiece { text, done: None },
        Piece::Done { finish, usage } => GeneratedPiece {
            text: String::new(),
            done: Some(GenerateDone {
                model: by.model.clone(),
                complete: finish == inference::FinishReason::Stop,
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
                degraded: by.degraded,
            }),
        },
    })
}
