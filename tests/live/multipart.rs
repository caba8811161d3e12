//! Subscriptions as parts of one answer, as Apollo's clients take them.

use serde_json::{Value, json};

use crate::support::live::PATIENCE;
use crate::support::{TestApp, code};
use crate::watch::now;
use crate::writing::{COMMENT_ADDED, comment, post_id};

struct Parts {
    response: reqwest::Response,
    buffer: String,
}

impl Parts {
    async fn open(app: &TestApp, token: Option<&str>, query: &str, variables: Value) -> Self {
        let mut request = app.http.post(format!("{}/graphql", app.base));
        request =
            request.header("accept", "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0,application/json");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response =
            request.json(&json!({ "query": query, "variables": variables })).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().expect("text");
        assert_eq!(kind, "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0");
        Self { response, buffer: String::new() }
    }

    /// The next part that is no heartbeat; `None` at the end. Read as the clients do: a part is
    /// whole when the boundary behind it has come.
    async fn next(&mut self) -> Option<Value> {
        let reading = async {
            loop {
                if let Some((part, rest)) = self.buffer.split_once("\r\n--graphql") {
                    let (part, rest) = (part.to_owned(), rest.to_owned());
                    self.buffer = rest;
                    let Some((_, json)) = part.split_once("\r\n\r\n") else { continue };
                    let value: Value = serde_json::from_str(json).expect("a part is JSON");
                    if value != json!({}) {
                        return Some(value);
                    }
                } else if let Ok(Some(bytes)) = self.response.chunk().await {
                    self.buffer.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
                } else {
                    assert_eq!(self.buffer, "--\r\n", "the answer ends as multipart does");
                    return None;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("a part should have come by now")
    }
}

#[tokio::test]
async fn events_come_as_parts() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let variables = json!({ "post": post, "after": now(&app).await });
    let mut parts = Parts::open(&app, None, COMMENT_ADDED, variables).await;
    for text in ["one", "two"] {
        comment(&app, &app.tokens.editor, &post, text).await;
        let part = parts.next().await.expect("a part");
        assert_eq!(part["payload"]["data"]["commentAdded"]["comment"]["markdown"], text, "{part:#}");
    }
    app.stop().await;
    let last = parts.next().await.expect("the server says why it ends");
    assert_eq!((code(&last), &last["payload"]), ("OVERLOADED", &Value::Null), "{last:#}");
    assert_eq!(parts.next().await, None);
}

#[tokio::test]
async fn what_cannot_begin_is_told_in_a_part_or_in_the_answer() {
    let app = TestApp::start().await;
    let mut parts = Parts::open(&app, None, COMMENT_ADDED, json!({ "post": "nonsense" })).await;
    let told = parts.next().await.expect("a part");
    assert_eq!(code(&told["payload"]), "BAD_USER_INPUT", "{told:#}");
    assert_eq!(parts.next().await, None);
    let answer = app.ask("subscription { nothing }", json!({})).await;
    assert_eq!(code(&answer), "BAD_USER_INPUT");
}

#[tokio::test]
async fn a_query_is_answered_as_always() {
    let app = TestApp::start().await;
    let request = app
        .http
        .post(format!("{}/graphql", app.base))
        .header("accept", "multipart/mixed;subscriptionSpec=1.0, application/json");
    let response = request.json(&json!({ "query": "{ site { title } }" })).send().await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn who_signs_out_hears_no_more() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let token = app.tokens.reader.clone();
    let mut parts =
        Parts::open(&app, Some(&token), COMMENT_ADDED, json!({ "post": post, "after": now(&app).await })).await;
    app.ask_as(Some(&token), "mutation { signOut { userErrors { message } } }", json!({})).await;
    let last = parts.next().await.expect("it is told why");
    assert_eq!(code(&last), "UNAUTHENTICATED");
    assert_eq!(parts.next().await, None);
}
