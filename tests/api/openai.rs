//! `/v1`: the models, as tools for OpenAI's API and for rerankers ask for them.

use std::sync::{Arc, Mutex};

use inkstone::inference::{Engine, FinishReason, GenerateRequest, InferenceError, SharedBackend, Task};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::scripted::{Scripted, done, said, said_with};

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
