//! What is asked of a model, and what it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::InferenceError;
use crate::telemetry::metrics;

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Texts to vectors.
    Embed,
    /// How well each of some texts answers a query.
    Rerank,
    /// Messages to more text.
    Generate,
    /// Messages with pictures to text about them.
    Describe,
}

impl Task {
    pub const ALL: [Self; 4] = [Self::Embed, Self::Rerank, Self::Generate, Self::Describe];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Rerank => "rerank",
            Self::Generate => "generate",
            Self::Describe => "describe",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which prefix a text gets: some models are trained to tell a question from what answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TextKind {
    Query,
    #[default]
    Passage,
}

/// What happens to a text that is longer than the model's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overlong {
    #[default]
    Refuse,
    /// Leave out what comes after.
    Cut,
}

/// Who waits: a reader goes ahead of what indexes the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Priority {
    #[default]
    Reader,
    Bulk,
}

/// Texts to be turned into vectors.
#[derive(Clone, Debug, Default)]
pub struct EmbedRequest {
    pub texts: Vec<String>,
    pub kind: TextKind,
    /// Keep the first so many and normalise again; only for models trained for it.
    pub dimensions: Option<usize>,
    pub overlong: Overlong,
    pub priority: Priority,
}

/// One vector for each text, in their order.
#[derive(Clone, Debug)]
pub struct Embeddings {
    /// The model and its variant, as `id/variant`: vectors of two are never compared.
    pub model: String,
    /// Each of L2 norm 1.
    pub vectors: Vec<Vec<f32>>,
    pub prompt_tokens: usize,
    /// Not the model that was deployed first, but the one to fall back on.
    pub degraded: bool,
}

/// Texts to be held against a query.
#[derive(Clone, Debug, Default)]
pub struct RerankRequest {
    pub query: String,
    pub texts: Vec<String>,
    pub overlong: Overlong,
}

/// One score for each text, in their order; higher is better.
#[derive(Clone, Debug)]
pub struct Ranking {
    pub model: String,
    /// The model's logit; `1 / (1 + exp(-logit))` is a share of 1.
    pub logits: Vec<f32>,
    pub prompt_tokens: usize,
    pub degraded: bool,
}

/// Who says a message of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

/// One message of a conversation, as a chat template sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
    /// Calls that the assistant made, in OpenAI's shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<serde_json::Value>,
    /// Of a tool's message: the call that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Pictures that go with it, each an `https`, `http` or `data` URL that the model's server fetches.
    /// Only for [`Task::Describe`]: no chat template knows of them.
    #[serde(skip)]
    pub pictures: Vec<String>,
}

impl Message {
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: None, pictures: Vec::new() }
    }
}

/// What the model goes on from.
#[derive(Clone, Debug)]
pub enum Prompt {
    /// Laid out by the model's chat template.
    Messages(Vec<Message>),
    /// As it stands.
    Text(String),
}

impl Prompt {
    /// For when nobody counts them: a token is about four bytes.
    pub fn about_tokens(&self) -> usize {
        let bytes = match self {
            Self::Text(text) => text.len(),
            Self::Messages(messages) => messages.iter().map(|message| message.content.len()).sum(),
        };
        bytes.div_ceil(4)
    }
}

/// What the text has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// Any JSON object.
    JsonObject,
    /// JSON that this schema accepts.
    JsonSchema(serde_json::Value),
    /// One of these, letter by letter.
    Choices(Vec<String>),
}

/// How the next token is chosen, and when to stop.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Most tokens to make; none: what fits into the context.
    pub max_tokens: Option<usize>,
    /// 0 takes the likeliest token.
    pub temperature: f32,
    pub top_p: f32,
    /// 0: all.
    pub top_k: usize,
    pub min_p: f32,
    /// 1: none.
    pub repetition_penalty: f32,
    pub frequency_penalty: f32,
    pub presence_penalty: f32,
    /// The same seed gives the same text.
    pub seed: Option<u64>,
    /// The text ends before the first of these.
    pub stop: Vec<String>,
    /// Tell each token's log-probability, and those of so many others; at most 20.
    pub logprobs: Option<usize>,
    pub logit_bias: BTreeMap<u32, f32>,
    pub constraint: Option<Constraint>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: None,
            temperature: 0.7,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            seed: None,
            stop: Vec::new(),
            logprobs: None,
            logit_bias: BTreeMap::new(),
            constraint: None,
        }
    }
}

/// A text to be written.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    pub prompt: Prompt,
    /// Functions that the model may call, in OpenAI's shape, for templates that know of them.
    pub tools: Vec<serde_json::Value>,
    pub options: GenerateOptions,
}

/// How likely a token was.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token's text; bytes of a part of a character are shown as U+FFFD.
    pub text: String,
    pub bytes: Vec<u8>,
    pub logprob: f32,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model said so, or a stop text came.
    Stop,
    /// As long as asked for, or as the context allows.
    Length,
}

/// A part of the text, or its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Whole characters, perhaps several tokens or none; `logprobs` of the tokens that came with it.
    Text { text: String, logprobs: Vec<(TokenLogprob, Vec<TokenLogprob>)> },
    /// The last piece.
    Done { finish: FinishReason, usage: Usage },
}

/// What a text took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    pub prompt_tokens: usize,
    /// Of the prompt's tokens, those that were still there from an earlier text.
    pub cached_tokens: usize,
    pub completion_tokens: usize,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.prompt_tokens += more.prompt_tokens;
        self.cached_tokens += more.cached_tokens;
        self.completion_tokens += more.completion_tokens;
    }
}

/// What a model answers.
pub trait Answer {
    /// Says that another model answered than the one that should have.
    fn degrade(&mut self);

    /// What was read for it, if it is known already.
    fn prompt_tokens(&self) -> usize;
}

impl Answer for Embeddings {
    fn degrade(&mut self) {
        self.degraded = true;
    }

    fn prompt_tokens(&self) -> usize {
        self.prompt_tokens
    }
}

impl Answer for Ranking {
    fn degrade(&mut self) {
        self.degraded = true;
    }

    fn prompt_tokens(&self) -> usize {
        self.prompt_tokens
    }
}

impl Answer for Generation {
    fn degrade(&mut self) {
        self.degraded = true;
    }

    /// Counted at its end.
    fn prompt_tokens(&self) -> usize {
        0
    }
}

/// A text that is being written. Dropping it stops the model at its next token.
pub struct Generation {
    pub model: String,
    pub degraded: bool,
    pieces: BoxStream<'static, Result<Piece, InferenceError>>,
}

impl Generation {
    pub fn new(model: String, pieces: impl Stream<Item = Result<Piece, InferenceError>> + Send + 'static) -> Self {
        Self { model, degraded: false, pieces: Box::pin(pieces) }
    }
}

impl Stream for Generation {
    type Item = Result<Piece, InferenceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.pieces.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(Piece::Done { usage, .. }))) = &next {
            metrics::inference_tokens(Task::Generate.as_str(), usage.prompt_tokens, usage.completion_tokens);
        }
        next
    }
}
