//! Telling a text while it is written, as server-sent events.
//!
//! Each event is a chunk in JSON, the last one is `[DONE]`. What goes wrong on the way is told as
//! `{"error": …}`, and nothing after it. A task of its own reads the model: it notices that the
//! client has gone, the time is up or the rights have ended, whatever it waits for.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::Instrument;
use uuid::Uuid;

use super::Call;
use super::refusal::Refusal;
use super::writing::Writing;
use crate::http::viewer;
use crate::inference::{Piece, TokenLogprob, Usage};

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Chunks that a client may be behind before the model waits.
const AHEAD: usize = 64;
/// How long a client that is behind may take to make room for the word that it was the end.
const LAST_WORD: Duration = Duration::from_secs(5);

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

/// `permit` is held until the stream ends.
pub fn respond<C: Chunks>(call: Call, writing: Writing, chunks: C, permit: OwnedSemaphorePermit) -> Response {
    let (sender, mut told) = mpsc::channel(AHEAD);
    let telling = async move {
        tell(call, writing, chunks, sender).await;
        drop(permit);
    };
    tokio::spawn(telling.in_current_span());
    let events = stream::poll_fn(move |context| told.poll_recv(context));
    let events = events.map(Ok::<_, Infallible>);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

async fn tell<C: Chunks>(call: Call, writing: Writing, chunks: C, sender: mpsc::Sender<Event>) {
    let limit = call.state.limits.inference_timeout;
    // Whatever comes first, the text is dropped then, and the model stops.
    let ended = tokio::select! {
        ended = write(writing, chunks, &sender) => ended,
        () = sender.closed() => return,
        end = viewer::answer_ends(call.state.clone(), call.viewer.clone()) => Err(end.into()),
        () = tokio::time::sleep(limit) => Err(Refusal::timed_out(limit)),
    };
    if let Err(refusal) = ended {
        // Who does not make room hears the end of the connection.
        let _ = sender.send_timeout(event(&C::failed(&refusal)), LAST_WORD).await;
    }
}

/// All of it. A client that has gone is found out about elsewhere.
async fn write<C: Chunks>(mut writing: Writing, mut chunks: C, sender: &mpsc::Sender<Event>) -> Result<(), Refusal> {
    let send = async |chunks: Vec<Value>| {
        for chunk in chunks {
            let _ = sender.send(event(&chunk)).await;
        }
    };
    send(chunks.opening()).await;
    while let Some((index, piece)) = writing.next().await? {
        send(chunks.of(index, piece)).await;
    }
    let usage = writing.finish().await;
    send(chunks.closing(usage).await).await;
    if let Some(end) = C::END {
        let _ = sender.send(Event::default().data(end)).await;
    }
    Ok(())
}

fn event(chunk: &Value) -> Event {
    let named = chunk["type"].as_str().map(|name| Event::default().event(name));
    named.unwrap_or_default().data(chunk.to_string())
}
