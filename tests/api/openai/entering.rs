//! Who may ask, and how what is no proper request is refused.

use std::time::Duration;

use inkstone::auth::Scope;

use super::*;

const INVALID: &str = "invalid_request_error";

/// A request to each address that is granted to who may make it.
fn wishes() -> [(&'static str, Value); 4] {
    [
        ("/v1/embeddings", json!({ "input": "x" })),
        ("/v1/rerank", json!({ "query": "x", "texts": ["x"] })),
        ("/v1/chat/completions", json!({ "messages": [{ "role": "user", "content": "x" }] })),
        ("/v1/completions", json!({ "prompt": "x" })),
    ]
}

#[tokio::test]
async fn models_are_for_staff_and_their_keys() {
    let app = TestApp::start().await;
    let others = [Scope::Read, Scope::Write, Scope::Comment, Scope::Moderate];
    let forbidden = (403, "permission_error", json!("insufficient_permissions"));
    let nobody = (401, INVALID, json!("invalid_api_key"));
    let askers = [
        ("nobody", None, Some(nobody.clone())),
        ("a key that is none", Some("sk-1234".to_owned()), Some(nobody)),
        ("a reader", Some(app.tokens.reader.clone()), Some(forbidden.clone())),
        ("a reader's key", Some(app.key("rita", &Scope::ALL).await), Some(forbidden.clone())),
        ("a key for other things", Some(app.key("olga", &others).await), Some(forbidden)),
        ("the owner", Some(app.tokens.owner.clone()), None),
        ("an editor's key", Some(app.key("edgar", &[Scope::Infer]).await), None),
    ];
    for (path, body) in wishes() {
        for (who, token, refused) in &askers {
            let response = send(&app, token.as_deref(), Method::POST, path, Some(body.clone())).await;
            match refused {
                None => assert_eq!(response.status(), 200, "{who} may ask {path}"),
                Some((status, kind, code)) => {
                    let told = response.headers().get("www-authenticate").is_some();
                    assert_eq!(told, *status == 401, "{who} at {path} is told how to sign in");
                    refusal(response, *status, kind, code.clone(), Value::Null).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn anybody_sees_which_models_there_are() {
    let app = TestApp::start().await;
    let list: Value = send(&app, None, Method::GET, "/v1/models", None).await.json().await.expect("JSON");
    assert_eq!(list["object"], "list");
    let expected = json!({
        "id": "fake-embed/test",
        "object": "model",
        "created": 0,
        "owned_by": "inkstone",
        "task": "embed",
        "state": "ready",
        "deployed": true,
        "architecture": "fake",
        "license": "MIT OR Apache-2.0",
        "context": 512,
        "dimensions": 16,
    });
    assert_eq!(list["data"][0], expected);
    assert_eq!(list["data"].as_array().map(Vec::len), Some(4), "three, and the site itself");
    assert_eq!((&list["data"][3]["id"], &list["data"][3]["state"]), (&json!("site"), &json!("ready")));
    for id in ["fake-embed/test", "fake-embed%2Ftest", "fake-embed"] {
        let one = send(&app, None, Method::GET, &format!("/v1/models/{id}"), None).await;
        assert_eq!(one.json::<Value>().await.expect("JSON"), expected, "{id}");
    }
    for id in ["fake-embed/other", "gpt-5"] {
        let none = send(&app, None, Method::GET, &format!("/v1/models/{id}"), None).await;
        refusal(none, 404, INVALID, json!("model_not_found"), json!("model")).await;
    }
    let liar = send(&app, Some("sk-1234"), Method::GET, "/v1/models", None).await;
    refusal(liar, 401, INVALID, json!("invalid_api_key"), Value::Null).await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_the_same_shape() {
    let app = TestApp::start_with(&[("max_body_bytes", "2048")]).await;
    let at = |path: &str| format!("{}{path}", app.base);
    let raw = async |media_type: &str, body: &'static str| {
        let request = app.http.post(at("/v1/embeddings")).bearer_auth(&app.tokens.editor);
        request.header("content-type", media_type).body(body).send().await.expect("an answer")
    };
    let none = Value::Null;
    for body in ["{", "[]", "\"x\"", ""] {
        refusal(raw("application/json", body).await, 400, INVALID, none.clone(), none.clone()).await;
    }
    let form = raw("application/x-www-form-urlencoded", "input=x").await;
    refusal(form, 415, INVALID, none.clone(), none.clone()).await;
    let large = post(&app, "/v1/embeddings", json!({ "input": "x".repeat(3000) })).await;
    assert!(refusal(large, 413, INVALID, none.clone(), none.clone()).await.contains("2048 bytes"));
    for path in ["/v1", "/v1/", "/v1/images/generations", "/v1/embeddings/", "/v1/chat"] {
        let nowhere = post(&app, path, json!({})).await;
        refusal(nowhere, 404, INVALID, json!("unknown_url"), none.clone()).await;
    }
    for (path, method, right) in [
        ("/v1/models", Method::POST, "GET"),
        ("/v1/models/x", Method::DELETE, "GET"),
        ("/v1/embeddings", Method::GET, "POST"),
        ("/v1/chat/completions", Method::PUT, "POST"),
    ] {
        let response = send(&app, None, method, path, None).await;
        assert_eq!(response.headers()["allow"], right, "{path}");
        refusal(response, 405, INVALID, json!("method_not_allowed"), none.clone()).await;
    }
}

#[tokio::test]
async fn a_model_that_cannot_now_says_when() {
    let body = || json!({ "messages": [{ "role": "user", "content": "x" }] });
    let retry_after = Duration::from_millis(7500);
    let loading = InferenceError::Loading { model: "scripted/test".into(), bytes: 1, of_bytes: 2 };
    let provider = |retry_after| {
        let (model, reason) = ("gpt-9/provider".into(), "it answered with status 502".into());
        InferenceError::Provider { model, reason, retry_after }
    };
    let cases = [
        (InferenceError::Overloaded { retry_after }, 503, "overloaded", Some("8")),
        (loading, 503, "model_loading", Some("5")),
        (InferenceError::Stopping, 503, "overloaded", Some("1")),
        (InferenceError::Failed { model: "scripted/test".into() }, 500, "internal_error", None),
        (provider(None), 503, "overloaded", Some("1")),
        (provider(Some(Duration::from_secs(20))), 503, "overloaded", Some("20")),
    ];
    for (error, status, code, wait) in cases {
        let says = error.to_string();
        let app = Scripted::refusing(error).start(&[]).await;
        for stream in [false, true] {
            let mut body = body();
            body["stream"] = json!(stream);
            let response = post(&app, "/v1/chat/completions", body).await;
            let told = response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
            assert_eq!(told.as_deref(), wait, "{says}");
            assert_eq!(refusal(response, status, "server_error", json!(code), Value::Null).await, says);
        }
    }
}
