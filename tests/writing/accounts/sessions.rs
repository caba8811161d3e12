//! Sessions: how they are carried, and how they end.

use chrono::{Duration, Utc};
use inkstone::auth::SessionToken;
use inkstone::store::{sessions, users};
use serde_json::{Value, json};

use super::{sign_in, viewer};
use crate::deeds::text;
use crate::support::{PASSWORD, TestApp, code, data};

const SIGN_IN: &str = "mutation($input: SignInInput!) { signIn(input: $input) { token } }";

/// Asks with a cookie; the answer and the cookie that is set, with its attributes.
async fn ask(app: &TestApp, cookie: Option<&str>, query: &str, variables: Value) -> (Value, Option<String>) {
    let body = json!({ "query": query, "variables": variables });
    let mut request = app.http.post(format!("{}/graphql", app.base)).json(&body);
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let response = request.send().await.expect("the server answers");
    let set = response.headers().get("set-cookie").map(|v| v.to_str().expect("a text").to_owned());
    (response.json().await.expect("JSON"), set)
}

async fn viewer_by_cookie(app: &TestApp, cookie: &str) -> Value {
    data(ask(app, Some(cookie), "{ viewer { handle } }", json!({})).await.0)["viewer"].take()
}

#[tokio::test]
async fn signing_in_sets_a_cookie_that_scripts_cannot_read_and_signing_out_ends_it() {
    let app = TestApp::start().await;
    let input = json!({ "input": { "login": "rita", "password": PASSWORD } });
    let (answer, set) = ask(&app, None, SIGN_IN, input).await;
    let (token, set) = (text(&data(answer)["signIn"]["token"]), set.expect("a cookie is set"));
    let mut parts = set.split("; ");
    let pair = parts.next().expect("a pair");
    let attributes: Vec<_> = parts.collect();
    assert!(pair.ends_with(&token), "the cookie carries the session: {pair}");
    for wanted in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(attributes.contains(&wanted), "expected {wanted} in {set}");
    }
    let age = attributes.iter().find_map(|a| a.strip_prefix("Max-Age=")).and_then(|a| a.parse::<i64>().ok());
    assert!(age.is_some_and(|age| age > 3600), "the cookie lasts as long as the session: {set}");
    let with_others = format!("theme=dark; {pair}; x=y");
    assert_eq!(viewer_by_cookie(&app, &with_others).await["handle"], "rita", "the next request is hers");

    let (answer, set) =
        ask(&app, Some(pair), "mutation { signOut { signedOut userErrors { code } } }", json!({})).await;
    assert_eq!(data(answer)["signOut"], json!({ "signedOut": true, "userErrors": [] }));
    let set = set.expect("the cookie is taken back");
    assert!(set.contains("Max-Age=0") && !set.contains(&token), "the browser forgets it: {set}");
    assert_eq!(viewer_by_cookie(&app, pair).await, Value::Null, "an ended session's cookie is nobody's");
    assert_eq!(code(&app.ask_as(Some(&token), "{ viewer { handle } }", json!({})).await), "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_wrong_password_sets_no_cookie_and_a_bearer_token_goes_before_a_cookie() {
    let app = TestApp::start().await;
    let input = json!({ "input": { "login": "rita", "password": "not her password" } });
    assert_eq!(ask(&app, None, SIGN_IN, input).await.1, None);
    let (_, set) = ask(&app, None, SIGN_IN, json!({ "input": { "login": "rita", "password": PASSWORD } })).await;
    let set = set.expect("a cookie is set");
    let request = app.http.post(format!("{}/graphql", app.base)).bearer_auth(&app.tokens.editor);
    let request = request.header("cookie", set.split(';').next().expect("a pair"));
    let answer = request.json(&json!({ "query": "{ viewer { handle } }" })).send().await.expect("an answer");
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(data(answer)["viewer"]["handle"], "edgar", "what is said aloud counts");
}

#[tokio::test]
async fn signing_out_ends_this_session_only() {
    let app = TestApp::start().await;
    let other = text(&sign_in(&app, "rita", PASSWORD).await["token"]);
    let out = "mutation { signOut { signedOut } }";
    assert_eq!(data(app.ask_as(Some(&other), out, json!({})).await)["signOut"]["signedOut"], true);
    assert_eq!(code(&app.ask_as(Some(&other), out, json!({})).await), "UNAUTHENTICATED", "the token is no good now");
    assert_eq!(viewer(&app, &app.tokens.reader).await, "rita", "her other session goes on");
    assert_eq!(data(app.ask(out, json!({})).await)["signOut"]["signedOut"], false, "nobody has nothing to end");
}

#[tokio::test]
async fn an_expired_session_is_nobodys() {
    let app = TestApp::start().await;
    let now = Utc::now();
    let mut conn = app.services.db.conn().await.expect("a connection");
    let rita = users::by_handle(&mut conn, "rita").await.expect("the users are read").expect("there is Rita");
    let mut begin = async |expires_at| {
        let (token, hash) = SessionToken::generate();
        let made = sessions::insert(&mut conn, rita.id, hash.as_bytes(), now - Duration::days(40), expires_at).await;
        made.expect("a session");
        token.expose().to_owned()
    };
    let (live, expired) = (begin(now + Duration::hours(1)).await, begin(now - Duration::seconds(1)).await);
    drop(conn);
    assert_eq!(viewer(&app, &live).await, "rita");
    let answer = app.ask_as(Some(&expired), "{ viewer { handle } }", json!({})).await;
    assert_eq!(code(&answer), "UNAUTHENTICATED", "an expired token is told so");
    let cookie = viewer_by_cookie(&app, &format!("inkstone_session={live}")).await;
    assert_eq!(cookie["handle"], "rita");
    let cookie = viewer_by_cookie(&app, &format!("inkstone_session={expired}")).await;
    assert_eq!(cookie, Value::Null, "an expired cookie is ignored");
}
