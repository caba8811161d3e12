//! How much one may have models do: in a minute, and in a day.

use inkstone::auth::Scope;

use super::*;

fn header(response: &Response, name: &str) -> u64 {
    let value = response.headers().get(name).unwrap_or_else(|| panic!("the header {name}"));
    value.to_str().expect("text").parse().expect("a number")
}

#[tokio::test]
async fn each_key_has_its_tokens_of_the_day() {
    let app = TestApp::start_with(&[("tokens_per_day", "5")]).await;
    let (one, other) = (app.key("olga", &[Scope::Infer]).await, app.key("olga", &[Scope::Infer]).await);
    let embed = async |token: &str, input: &str| {
        send(&app, Some(token), Method::POST, "/v1/embeddings", Some(json!({ "input": input }))).await
    };
    assert_eq!(embed(&one, "four words of ink").await.status(), 200);
    assert_eq!(embed(&one, "and then two").await.status(), 200, "who has something left may go over it");
    let refused = embed(&one, "x").await;
    let wait = header(&refused, "retry-after");
    assert!((1..=86_400).contains(&wait), "until midnight: {wait}");
    let kind = "insufficient_quota";
    let message = refusal(refused, 429, kind, json!(kind), Value::Null).await;
    assert!(message.contains("all 5 tokens"), "{message}");
    assert_eq!(embed(&other, "x").await.status(), 200, "another key has its own");
    assert_eq!(embed(&app.tokens.owner, "x").await.status(), 200, "so has who signed in with a password");
}

#[tokio::test]
async fn every_way_to_the_models_is_counted() {
    let app = TestApp::start_with(&[("tokens_per_day", "2")]).await;
    let chat = json!({ "messages": [{ "role": "user", "content": "x" }] });
    let mut streamed = chat.clone();
    streamed["stream"] = json!(true);
    let wishes = [
        ("/v1/embeddings", json!({ "input": "x y" })),
        ("/v1/rerank", json!({ "query": "x", "texts": ["x"] })),
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", streamed),
        ("/v1/completions", json!({ "prompt": "x" })),
    ];
    for (path, body) in wishes {
        let key = app.key("olga", &[Scope::Infer]).await;
        let ask = async || send(&app, Some(&key), Method::POST, path, Some(body.clone())).await;
        let first = ask().await;
        assert_eq!(first.status(), 200, "{path}");
        first.bytes().await.expect("all of it");
        let kind = "insufficient_quota";
        refusal(ask().await, 429, kind, json!(kind), Value::Null).await;
    }
}

#[tokio::test]
async fn what_is_asked_for_is_paid() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "1000")]).await;
    let chat = |tokens: usize| json!({ "messages": [{ "role": "user", "content": "x" }], "max_tokens": tokens });
    let first = post(&app, "/v1/chat/completions", chat(50)).await;
    assert_eq!(first.status(), 200);
    let left = first.headers()["ratelimit"].to_str().expect("text").to_owned();
    assert!(left.starts_with("\"cost\";r=489;"), "10 for the request, 1 for the text, 500 for 50 tokens: {left}");
    let refused = post(&app, "/v1/chat/completions", chat(60)).await;
    assert!((1..=60).contains(&header(&refused, "retry-after")));
    let code = json!("rate_limit_exceeded");
    refusal(refused, 429, "rate_limit_error", code, Value::Null).await;
}

#[tokio::test]
async fn what_is_refused_is_not_free() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "100")]).await;
    for token in [None, Some(app.tokens.reader.as_str()), Some(app.tokens.editor.as_str())] {
        let mut statuses = Vec::new();
        while statuses.len() < 30 && !statuses.contains(&429) {
            let refused = send(&app, token, Method::POST, "/v1/embeddings", Some(json!({}))).await;
            statuses.push(refused.status().as_u16());
        }
        assert!(statuses.len() > 9, "ten of 10 points are within 100: {statuses:?}");
        assert!(statuses.contains(&429), "30 are not: {statuses:?}");
    }
}

#[tokio::test]
async fn what_has_no_bound_is_written_down_together() {
    let app = TestApp::start_with(&[("reader_tokens_per_day", "1000"), ("tokens_per_day", "0")]).await;
    let subject = {
        let mut conn = app.services.db.conn().await.expect("a connection");
        let olga = inkstone::store::users::by_handle(&mut conn, "olga").await.expect("an answer").expect("olga");
        inkstone::auth::Viewer::trusted(olga).account().expect("she is signed in")
    };
    let noted = async || {
        let mut conn = app.services.db.conn().await.expect("a connection");
        let today = chrono::Utc::now().date_naive();
        inkstone::store::token_usage::total(&mut conn, today, &subject).await.expect("a number")
    };
    let mut used = 0;
    let mut embed = async || {
        let body = json!({ "input": "four words of ink" });
        let answer = send(&app, Some(&app.tokens.owner), Method::POST, "/v1/embeddings", Some(body)).await;
        used += answer.json::<Value>().await.expect("JSON")["usage"]["total_tokens"].as_i64().expect("a number");
        used
    };
    embed().await;
    let both = embed().await;
    let begun = std::time::Instant::now();
    while noted().await < both {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{} of {both} tokens", noted().await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let all = embed().await;
    app.services.ledger.write(&app.services.db).await;
    assert_eq!(noted().await, all, "a server that stops does not wait for the second to be over");
}
