//! Models of a provider elsewhere, which here is another server of the same program, or one that
//! does what a provider should not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post as route;
use inkstone::inference::{ProviderSettings, fake};

use super::*;

const TASKS: [(Task, &str); 3] =
    [(Task::Embed, "fake-embed"), (Task::Rerank, "fake-rerank"), (Task::Generate, "fake-generate")];

fn provider(base: &str, key: &str) -> ProviderSettings {
    ProviderSettings {
        url: format!("{base}/v1"),
        key: Some(key.to_owned()),
        timeout: Duration::from_millis(1500),
        models: TASKS.map(|(task, model)| (task, model.to_owned())).into(),
    }
}

fn fakes() -> Engine {
    Engine::of(fake::all().into_iter().map(|model| Arc::new(model) as SharedBackend))
}

/// A server that asks this provider, and has models of its own or not.
async fn asking(engine: Engine, provider: ProviderSettings) -> TestApp {
    // Nobody reads the site meanwhile: the provider's requests are counted.
    let engine = engine.with_provider(&provider).expect("a provider");
    TestApp::start_on(engine, &[("job_workers", "0")]).await
}

/// A server that answers whatever is posted with `answers`, one after the other, and then the last.
async fn answering(answers: Vec<(StatusCode, String)>) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = move || async move {
        let nth = count.fetch_add(1, Ordering::SeqCst);
        answers.get(nth).or(answers.last()).cloned().expect("an answer")
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/{*path}", route(answer))).await });
    (base, asked)
}

fn chat() -> Value {
    json!({ "messages": [{ "role": "user", "content": "wet ink dries" }], "max_tokens": 2 })
}

#[tokio::test]
async fn its_models_answer_as_their_own_server_does() {
    let there = TestApp::start_on(fakes(), &[]).await;
    let here = asking(Engine::of([]), provider(&there.base, &there.tokens.editor)).await;
    for (path, body) in [
        ("/v1/embeddings", json!({ "input": ["wet ink", "dry stone"], "encoding_format": "float" })),
        ("/v1/rerank", json!({ "query": "wet ink", "documents": ["dry stone", "wet ink", "ink"] })),
        ("/v1/chat/completions", chat()),
        ("/v1/completions", json!({ "prompt": "wet ink dries" })),
    ] {
        let (mut one, mut other) = (answer(&there, path, body.clone()).await, answer(&here, path, body.clone()).await);
        let model = other["model"].as_str().expect("a name").to_owned();
        assert!(model.starts_with("fake-") && model.ends_with("/provider"), "{path} should name its model: {model}");
        for answer in [&mut one, &mut other] {
            for own in ["id", "created", "model"] {
                answer.as_object_mut().expect("an object").remove(own);
            }
        }
        close(path, &one, &other);
    }
    let listed: Value = send(&here, None, Method::GET, "/v1/models", None).await.json().await.expect("JSON");
    let deployed = listed["data"].as_array().expect("a list").iter().all(|model| model["deployed"] == json!(true));
    assert!(deployed && listed["data"].as_array().map(Vec::len) == Some(4), "three, and the site: {listed}");
    here.stop().await;
    there.stop().await;
}

/// The same, but for the last digits of numbers.
fn close(at: &str, one: &Value, other: &Value) {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap_or(f64::NAN), other.as_f64().unwrap_or(f64::NAN));
            assert!((one - other).abs() < 1e-5, "{at}: {one} and {other}");
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).for_each(|(one, other)| close(at, one, other));
        }
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            one.iter().for_each(|(key, one)| close(&format!("{at} {key}"), one, &other[key]));
        }
        _ => assert_eq!(one, other, "{at}"),
    }
}

#[tokio::test]
async fn where_it_fails_a_model_here_answers_and_says_so() {
    // Nobody listens there.
    let here = asking(fakes(), provider("http://127.0.0.1:9", "sk-secret")).await;
    for (path, body) in [
        ("/v1/embeddings", json!({ "input": "wet ink" })),
        ("/v1/rerank", json!({ "query": "ink", "documents": ["wet ink"] })),
        ("/v1/chat/completions", chat()),
    ] {
        let answered = answer(&here, path, body).await;
        assert_eq!(answered["degraded"], json!(true), "{answered}");
        assert!(answered["model"].as_str().is_some_and(|name| name.ends_with("/test")), "{answered}");
    }
    const EMBED: &str = "{ embed(input: { texts: [\"ink\"] }) { model degraded } }";
    let done = here.own(EMBED, json!({})).await;
    assert_eq!(done["embed"], json!({ "model": "fake-embed/test", "degraded": true }));
    here.stop().await;
}

#[tokio::test]
async fn who_names_its_model_gets_no_other() {
    let here = asking(fakes(), provider("http://127.0.0.1:9", "sk-secret")).await;
    let body = json!({ "input": "ink", "model": "fake-embed/provider" });
    let refused = post(&here, "/v1/embeddings", body).await;
    let said = refusal(refused, 503, "server_error", json!("overloaded"), json!(null)).await;
    assert!(said.contains("cannot be reached") && !said.contains("sk-secret") && !said.contains("127.0.0.1"), "{said}");
    let own = answer(&here, "/v1/embeddings", json!({ "input": "ink", "model": "fake-embed/test" })).await;
    assert_eq!(own["degraded"], json!(null), "the model here was wanted");
    here.stop().await;
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_left_alone() {
    let vectors = json!({ "data": [{ "index": 0, "embedding": [3.0, 4.0] }] }).to_string();
    let busy = (StatusCode::SERVICE_UNAVAILABLE, String::new());
    let (base, asked) = answering(vec![busy.clone(), (StatusCode::OK, vectors)]).await;
    let here = asking(Engine::of([]), provider(&base, "k")).await;
    let embed = json!({ "input": "ink", "encoding_format": "float" });
    let answered = answer(&here, "/v1/embeddings", embed.clone()).await;
    close("the vector", &answered["data"][0]["embedding"], &json!([0.6, 0.8]));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "once more than it failed");
    here.stop().await;

    let (base, asked) = answering(vec![busy]).await;
    let here = asking(Engine::of([]), provider(&base, "k")).await;
    for _ in 0..3 {
        let refused = post(&here, "/v1/embeddings", embed.clone()).await;
        refusal(refused, 503, "server_error", json!("overloaded"), json!(null)).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 5, "after five failures nobody asks");
    here.stop().await;
}

#[tokio::test]
async fn a_refusal_is_passed_on_without_the_key() {
    let told = json!({ "error": { "message": "the key sk-secret is wrong" } }).to_string();
    for (status, answered, code, says) in [
        (StatusCode::UNAUTHORIZED, 503, json!("overloaded"), "does not take the key (401)"),
        (StatusCode::FOUND, 503, json!("overloaded"), "status 302"),
    ] {
        let (base, asked) = answering(vec![(status, told.clone())]).await;
        let here = asking(Engine::of([]), provider(&base, "sk-secret")).await;
        let refused = post(&here, "/v1/chat/completions", chat()).await;
        let said = refusal(refused, answered, "server_error", code, json!(null)).await;
        assert!(said.contains(says) && !said.contains("sk-"), "expected {says:?} in {said:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "what does not pass is not tried again");
        here.stop().await;
    }
    let told = json!({ "error": { "message": "max_tokens is too large" } }).to_string();
    let (base, _) = answering(vec![(StatusCode::BAD_REQUEST, told)]).await;
    let here = asking(fakes(), provider(&base, "k")).await;
    let refused = post(&here, "/v1/chat/completions", chat()).await;
    let said = refusal(refused, 400, "invalid_request_error", json!(null), json!(null)).await;
    assert!(said.contains("max_tokens is too large"), "what was asked is wrong for any model: {said}");
    here.stop().await;
}

#[tokio::test]
async fn what_is_no_answer_does_no_harm() {
    let broken = "data: {\"choices\":[{\"delta\":{\"content\":\"wet\"}}]}\n\n".to_owned();
    for (path, body, answered, says) in [
        ("/v1/embeddings", json!({ "input": "ink" }), "<html>".to_owned(), "not the form"),
        ("/v1/embeddings", json!({ "input": "ink" }), json!({ "data": [] }).to_string(), "another number"),
        (
            "/v1/embeddings",
            json!({ "input": "ink" }),
            json!({ "data": [{ "index": 0, "embedding": [0.0] }] }).to_string(),
            "vectors that are none",
        ),
        (
            "/v1/rerank",
            json!({ "query": "a", "documents": ["b"] }),
            json!({ "results": [] }).to_string(),
            "without a score",
        ),
        ("/v1/chat/completions", chat(), broken, "broke off"),
    ] {
        let (base, _) = answering(vec![(StatusCode::OK, answered)]).await;
        let here = asking(Engine::of([]), provider(&base, "k")).await;
        let said = refusal(post(&here, path, body).await, 503, "server_error", json!("overloaded"), json!(null)).await;
        assert!(said.contains(says), "expected {says:?} in {said:?}");
        here.stop().await;
    }
}

#[tokio::test]
async fn a_provider_that_is_silent_is_not_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let here = asking(fakes(), provider(&base, "k")).await;
    let answered = answer(&here, "/v1/embeddings", json!({ "input": "ink" })).await;
    assert_eq!(answered["degraded"], json!(true), "a model here answers then");
    drop(listener);
    here.stop().await;
}
