//! SSE in single-connection mode: many operations on one reserved stream.

use std::time::Duration;

use inkstone::auth::Scope;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::live::{Sse, SseEvent};
use crate::support::{TestApp, code};
use crate::watch::now;
use crate::writing::{COMMENT_ADDED, comment, post_id};

const TOKEN: &str = "x-graphql-event-stream-token";

fn request(app: &TestApp, method: Method, token: &str, query: &str) -> RequestBuilder {
    app.http.request(method, format!("{}/graphql/stream{query}", app.base)).header(TOKEN, token)
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("the server answers").status().as_u16()
}

async fn reserve(app: &TestApp, by: Option<&str>) -> String {
    let mut request = app.http.put(format!("{}/graphql/stream", app.base));
    if let Some(by) = by {
        request = request.bearer_auth(by);
    }
    let response = request.send().await.expect("the server answers");
    assert_eq!(response.status(), 201);
    response.text().await.expect("a token")
}

async fn open(app: &TestApp, token: &str) -> Sse {
    let response = request(app, Method::GET, token, "").send().await.expect("the server answers");
    assert_eq!(response.status(), 200, "the stream opens");
    Sse::of(response)
}

async fn begin(app: &TestApp, token: &str, id: &str, query: &str, variables: Value) -> u16 {
    let body = json!({ "query": query, "variables": variables, "extensions": { "operationId": id } });
    status(request(app, Method::POST, token, "").json(&body)).await
}

async fn next(sse: &mut Sse) -> (String, String, Value) {
    let SseEvent { event, mut data, .. } = sse.next().await.expect("the stream goes on");
    let id = data["id"].as_str().expect("an operation's id").to_owned();
    (event, id, data["payload"].take())
}

#[tokio::test]
async fn many_operations_share_a_stream() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let token = reserve(&app, None).await;
    let mut sse = open(&app, &token).await;
    assert_eq!(begin(&app, &token, "q", "{ site { title } }", json!({})).await, 202);
    let (event, id, payload) = next(&mut sse).await;
    assert_eq!((event.as_str(), id.as_str()), ("next", "q"));
    assert!(payload["data"]["site"]["title"].is_string(), "{payload:#}");
    assert_eq!(next(&mut sse).await, ("complete".into(), "q".into(), Value::Null));

    let variables = json!({ "post": post, "after": now(&app).await });
    assert_eq!(begin(&app, &token, "s", COMMENT_ADDED, variables.clone()).await, 202);
    assert_eq!(begin(&app, &token, "s", COMMENT_ADDED, variables.clone()).await, 409, "an id is in use while it runs");
    comment(&app, &app.tokens.editor, &post, "one").await;
    let (event, id, payload) = next(&mut sse).await;
    assert_eq!((event.as_str(), id.as_str()), ("next", "s"));
    assert_eq!(payload["data"]["commentAdded"]["comment"]["markdown"], "one");

    assert_eq!(status(request(&app, Method::DELETE, &token, "?operationId=s")).await, 200);
    comment(&app, &app.tokens.editor, &post, "two").await;
    assert_eq!(begin(&app, &token, "bad", "{ nothing }", json!({})).await, 202);
    let (event, id, payload) = next(&mut sse).await;
    assert_eq!((event.as_str(), id.as_str()), ("next", "bad"), "what was ended says no more: {payload:#}");
    assert_eq!(code(&payload), "BAD_USER_INPUT");
    assert_eq!(next(&mut sse).await.0, "complete");
}

#[tokio::test]
async fn a_stream_is_its_reservers_and_is_opened_once() {
    let app = TestApp::start().await;
    let token = reserve(&app, Some(&app.tokens.reader)).await;
    let _sse = open(&app, &token).await;
    assert_eq!(status(request(&app, Method::GET, &token, "")).await, 409, "it is open already");
    assert_eq!(begin(&app, &token, "q", "{ site { title } }", json!({})).await, 403, "nobody in particular");
    let by_editor = request(&app, Method::POST, &token, "").bearer_auth(&app.tokens.editor);
    let body = json!({ "query": "{ viewer { handle } }", "extensions": { "operationId": "q" } });
    assert_eq!(status(by_editor.json(&body)).await, 403, "somebody else");
    let by_reader = request(&app, Method::POST, &token, "").bearer_auth(&app.tokens.reader);
    assert_eq!(status(by_reader.json(&body)).await, 202);
}

#[tokio::test]
async fn what_is_no_stream_is_told() {
    let app = TestApp::start().await;
    for token in ["", "nonsense", "00000000000000000000000000000000"] {
        assert_eq!(status(request(&app, Method::GET, token, "")).await, 404, "{token:?}");
        assert_eq!(begin(&app, token, "q", "{ __typename }", json!({})).await, 404, "{token:?}");
        assert_eq!(status(request(&app, Method::DELETE, token, "?operationId=q")).await, 404, "{token:?}");
    }
    let token = reserve(&app, None).await;
    let nameless = request(&app, Method::POST, &token, "").json(&json!({ "query": "{ __typename }" }));
    assert_eq!(status(nameless).await, 400, "an operation needs an id");
    assert_eq!(status(request(&app, Method::DELETE, &token, "")).await, 400, "so does its end");
    let bare = app.http.delete(format!("{}/graphql/stream", app.base));
    assert_eq!(status(bare).await, 400, "no token at all");
}

#[tokio::test]
async fn a_stream_that_is_closed_is_gone() {
    let app = TestApp::start().await;
    let token = reserve(&app, None).await;
    let sse = open(&app, &token).await;
    assert_eq!(begin(&app, &token, "s", "subscription { postPublished { cursor } }", json!({})).await, 202);
    drop(sse);
    let gone = async {
        while status(request(&app, Method::DELETE, &token, "?operationId=s")).await != 404 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::live::PATIENCE, gone).await.expect("the server notices");
}

#[tokio::test]
async fn an_operation_of_a_stream_goes_on_behind_the_last_event() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let last = now(&app).await;
    comment(&app, &app.tokens.editor, &post, "while away").await;
    let token = reserve(&app, None).await;
    let mut sse = open(&app, &token).await;
    let extensions = json!({ "operationId": "s" });
    let body = json!({ "query": COMMENT_ADDED, "variables": { "post": post }, "extensions": extensions });
    let begun = request(&app, Method::POST, &token, "").header("last-event-id", last).json(&body);
    assert_eq!(status(begun).await, 202);
    let (event, id, payload) = next(&mut sse).await;
    assert_eq!((event.as_str(), id.as_str()), ("next", "s"));
    assert_eq!(payload["data"]["commentAdded"]["comment"]["markdown"], "while away", "{payload:#}");
}

/// The last word of an operation that was stopped is not that of another which has its name by now.
#[tokio::test]
async fn an_operation_with_the_name_of_one_that_was_stopped_is_another() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let token = reserve(&app, None).await;
    assert_eq!(begin(&app, &token, "x", "{ site { title } }", json!({})).await, 202);
    // Its answer waits for the stream to be opened.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(status(request(&app, Method::DELETE, &token, "?operationId=x")).await, 200);
    let variables = json!({ "post": post, "after": now(&app).await });
    assert_eq!(begin(&app, &token, "x", COMMENT_ADDED, variables.clone()).await, 202);
    let mut sse = open(&app, &token).await;
    comment(&app, &app.tokens.editor, &post, "one").await;
    let (event, id, payload) = next(&mut sse).await;
    assert_eq!((event.as_str(), id.as_str()), ("next", "x"));
    assert_eq!(payload["data"]["commentAdded"]["comment"]["markdown"], "one", "nothing of the first: {payload:#}");
    assert_eq!(begin(&app, &token, "x", COMMENT_ADDED, variables).await, 409, "it still runs");
    assert_eq!(status(request(&app, Method::DELETE, &token, "?operationId=x")).await, 200);
    drop(sse);
    let ended = async {
        loop {
            let metrics = app.metrics().await;
            let open = metrics.lines().find(|line| line.starts_with("inkstone_subscriptions_open"));
            if open.is_some_and(|line| line.ends_with(" 0")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("nothing goes on when all has ended");
}

#[tokio::test]
async fn a_stream_carries_nothing_that_other_credentials_opened() {
    let app = TestApp::start().await;
    let token = reserve(&app, Some(&app.key("rita", &[Scope::Read]).await)).await;
    let body = json!({ "query": "{ site { title } }", "extensions": { "operationId": "x" } });
    let other = app.key("rita", &[Scope::Read]).await;
    assert_eq!(status(request(&app, Method::POST, &token, "").bearer_auth(other).json(&body)).await, 403);
}

#[tokio::test]
async fn what_comes_to_nothing_is_not_free_here_either() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "60")]).await;
    let mut last = 0;
    for n in 0..8 {
        let method = [Method::GET, Method::DELETE][n % 2].clone();
        last = status(request(&app, method, "nobody", "?operationId=x")).await;
    }
    assert_eq!(last, 429);
}
