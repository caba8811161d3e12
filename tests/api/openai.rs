//! `/v1`: the models, as tools for OpenAI's API and for rerankers ask for them.

use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, future::BoxFuture, stream};
use inkstone::inference::{
    Backend, Engine, FinishReason, GenerateRequest, Generation, InferenceError, ModelCard, Piece, SharedBackend, Task,
    TokenLogprob, Usage,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::TestApp;

mod chat;
mod completions;
mod embeddings;
mod entering;
mod leaving;
mod provider;
mod quotas;
mod rerank;
mod responses;
mod tools;

async fn send(app: &TestApp, token: Option<&str>, method: Method, path: &str, body: Option<Value>) -> Response {
    let mut request = app.http.request(method, format!("{}{path}", app.base));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    request.send().await.expect("the server answers")
}

/// Asks as an editor.
async fn post(app: &TestApp, path: &str, body: Value) -> Response {
    send(app, Some(&app.tokens.editor), Method::POST, path, Some(body)).await
}

/// What an editor is answered.
async fn answer(app: &TestApp, path: &str, body: Value) -> Value {
    let response = post(app, path, body.clone()).await;
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert_eq!(status, 200, "{path} should take {body}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The message of a refusal, which must be of this kind: status, type, code and param.
async fn refusal(response: Response, status: u16, kind: &str, code: Value, param: Value) -> String {
    let found = response.status();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "private, no-store", "a refusal is not for caches");
    let body: Value = response.json().await.expect("a refusal is JSON");
    let error = &body["error"];
    assert_eq!(found, status, "{body}");
    assert_eq!((&error["type"], &error["code"], &error["param"]), (&json!(kind), &code, &param), "{body}");
    error["message"].as_str().filter(|message| !message.is_empty()).expect("it should say why").to_owned()
}

/// Each of `bodies` is refused for its field with a message that says so.
async fn wrong(app: &TestApp, path: &str, bodies: &[(&str, &str, Value)]) {
    for (param, says, body) in bodies {
        let response = post(app, path, body.clone()).await;
        let message = refusal(response, 400, "invalid_request_error", Value::Null, json!(param)).await;
        assert!(message.contains(says), "{body}: {message:?} should say {says:?}");
    }
}

/// The chunks of a stream, which must end with `[DONE]`.
async fn chunks(app: &TestApp, path: &str, body: Value) -> Vec<Value> {
    let mut told = events(post(app, path, body).await).await;
    assert_eq!(told.pop().as_deref(), Some("[DONE]"), "a stream says that it is whole");
    told.iter().map(|data| serde_json::from_str(data).expect("a chunk is JSON")).collect()
}

/// The data of all events.
async fn events(response: Response) -> Vec<String> {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.expect("a stream that ends");
    text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(str::to_owned).collect()
}

/// The parts of `answer` that are made anew each time, checked and taken out.
fn steady(mut answer: Value, prefix: &str) -> Value {
    let id = answer["id"].take();
    assert!(id.as_str().is_some_and(|id| id.starts_with(prefix)), "the id {id} should begin with {prefix}");
    assert!(answer["created"].take().as_i64().is_some_and(|at| at > 1_700_000_000), "it was made now");
    answer
}

/// A model that writes what a test tells it to.
struct Scripted {
    card: ModelCard,
    pieces: Vec<Result<Piece, InferenceError>>,
    refuses: Option<InferenceError>,
    /// Does not end by itself.
    stays: bool,
    asked: Arc<Mutex<Vec<GenerateRequest>>>,
    /// Told when a text is dropped.
    dropped: Arc<Notify>,
}

impl Scripted {
    fn new(pieces: Vec<Result<Piece, InferenceError>>) -> Self {
        let card = ModelCard {
            id: "scripted".into(),
            variant: "test".into(),
            task: Task::Generate,
            architecture: "none".into(),
            licence: "none".into(),
            context: 512,
            dimensions: None,
            bytes: 0,
        };
        let (asked, dropped) = Default::default();
        Self { card, pieces, refuses: None, stays: false, asked, dropped }
    }

    fn saying(texts: &[&str]) -> Self {
        let pieces = texts.iter().map(|text| Ok(said(text)));
        Self::new(pieces.chain([Ok(done(FinishReason::Stop))]).collect())
    }

    fn refusing(error: InferenceError) -> Self {
        Self { refuses: Some(error), ..Self::new(Vec::new()) }
    }

    async fn start(self, own: &[(&'static str, &str)]) -> TestApp {
        TestApp::start_on(Engine::of([Arc::new(self) as SharedBackend]), own).await
    }
}

fn said(text: &str) -> Piece {
    Piece::Text { text: text.into(), logprobs: Vec::new() }
}

fn said_with(text: &str, logprob: f32) -> Piece {
    let token = TokenLogprob { text: text.into(), bytes: text.as_bytes().to_vec(), logprob };
    Piece::Text { text: text.into(), logprobs: vec![(token.clone(), vec![token])] }
}

fn done(finish: FinishReason) -> Piece {
    Piece::Done { finish, usage: Usage { prompt_tokens: 7, cached_tokens: 2, completion_tokens: 5 } }
}

struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Backend for Scripted {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn generate(&self, request: GenerateRequest) -> BoxFuture<'_, Result<Generation, InferenceError>> {
        self.asked.lock().expect("no test panics with it").push(request);
        if let Some(error) = &self.refuses {
            let error = error.clone();
            return Box::pin(async { Err(error) });
        }
        let guard = Guard(self.dropped.clone());
        let ends = if self.stays { stream::pending().boxed() } else { stream::empty().boxed() };
        let pieces = stream::iter(self.pieces.clone()).chain(ends).map(move |piece| {
            let _held = &guard;
            piece
        });
        let name = self.card.name();
        Box::pin(async move { Ok(Generation::new(name, pieces)) })
    }
}
