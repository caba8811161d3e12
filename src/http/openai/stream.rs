//! What the models write, in OpenAI's chunks while it is written (`http/telling.rs` tells them).
//!
//! Each event is a chunk in JSON, the last one is `[DONE]`. What goes wrong on the way is told as
//! `{"error": …}`, and nothing after it.

use axum::response::Response;
use axum::response::sse::Event;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Call;
use super::refusal::Refusal;
use super::writing::Writing;
use crate::error::ApiError;
use crate::http::places::Place;
use crate::http::telling::{self, Teller};
use crate::inference::{Piece, TokenLogprob, Usage};

/// What all chunks of an answer begin with.
pub struct Head {
    id: String,
    object: &'static str,
    created: i64,
    model: String,
    degraded: bool,
    include_usage: bool,
}

impl Head {
    pub fn new(prefix: &str, object: &'static str, call: &Call, writing: &Writing, include_usage: bool) -> Self {
        let id = format!("{prefix}-{}", Uuid::now_v7().simple());
        let (model, degraded) = (writing.name.clone(), writing.degraded);
        Self { id, object, created: call.now.timestamp(), model, degraded, include_usage }
    }

    pub fn chunk(&self, choice: Value) -> Value {
        let mut chunk = self.answer(json!([choice]));
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    /// With these choices.
    pub fn answer(&self, choices: Value) -> Value {
        let mut answer = json!({
            "id": self.id,
            "object": self.object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": null,
            "choices": choices,
        });
        // Only told where it is so: OpenAI's API has no such field.
        if self.degraded {
            answer["degraded"] = true.into();
        }
        answer
    }

    /// The last chunk, if the client wants it.
    pub fn usage(&self, usage: Usage) -> Option<Value> {
        let mut chunk = self.answer(json!([]));
        chunk["usage"] = shown(usage);
        self.include_usage.then_some(chunk)
    }
}

/// As OpenAI tells it.
pub fn shown(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens },
    })
}

/// JSON has no infinity, which stands for a token that cannot be. The number is OpenAI's.
pub fn logprob(token: &TokenLogprob) -> f32 {
    token.logprob.max(-9999.0)
}

/// How an answer is told in chunks. One with a `type` is an event of that name.
pub trait Chunks: Send + 'static {
    /// What says that it was the end.
    const END: Option<&'static str> = Some("[DONE]");

    /// Before the model has written anything.
    fn opening(&mut self) -> Vec<Value>;

    /// A piece of the text with this index.
    fn of(&mut self, index: usize, piece: Piece) -> Vec<Value>;

    /// When all is written.
    fn closing(self, usage: Usage) -> impl Future<Output = Vec<Value>> + Send;

    /// Instead of the rest, when something goes wrong.
    fn failed(refusal: &Refusal) -> Value {
        refusal.to_json()
    }
}

/// `place` is held until the stream ends.
pub fn respond<C: Chunks>(call: Call, writing: Writing, chunks: C, place: Place) -> Response {
    let limit = call.state.limits.inference_timeout;
    let tell = async move |teller: Teller| {
        let written = tokio::time::timeout(limit, write(writing, chunks, &teller)).await;
        if let Err(refusal) = written.unwrap_or_else(|_| Err(Refusal::timed_out(limit))) {
            teller.end_with([event(&C::failed(&refusal))]).await;
        }
    };
    let ended = |error: &ApiError| vec![event(&C::failed(&error.clone().into()))];
    telling::respond(call.state, call.viewer, tell, ended, place)
}

async fn write<C: Chunks>(mut writing: Writing, mut chunks: C, teller: &Teller) -> Result<(), Refusal> {
    let tell = async |chunks: Vec<Value>| {
        for chunk in chunks {
            teller.tell(event(&chunk)).await;
        }
    };
    tell(chunks.opening()).await;
    while let Some((index, piece)) = writing.next().await? {
        tell(chunks.of(index, piece)).await;
    }
    let usage = writing.finish().await;
    tell(chunks.closing(usage).await).await;
    if let Some(end) = C::END {
        teller.tell(Event::default().data(end)).await;
    }
    Ok(())
}

fn event(chunk: &Value) -> Event {
    let named = chunk["type"].as_str().map(|name| Event::default().event(name));
    named.unwrap_or_default().data(chunk.to_string())
}
