//! API keys through the API: made, listed, used and taken back by the one whose they are.

use chrono::{DateTime, Duration, Utc};
use inkstone::auth::Scope;
use serde_json::{Value, json};

use super::viewer;
use crate::deeds::{attempt, done, picture, refused, text};
use crate::support::live::{Socket, Sse};
use crate::support::stored_text;
use crate::support::{TestApp, code, data, on_real_servers};

const MADE: &str = "apiKey { id name hint scopes createdAt expiresAt lastUsedAt user { handle } } secret";
const KEYS: &str =
    "{ viewer { apiKeys(first: 10) { nodes { id name hint scopes lastUsedAt } pageInfo { hasNextPage } } } }";
const WATCH: &str = "subscription { postPublished { post { id } } }";

async fn make(app: &TestApp, token: &str, name: &str) -> Value {
    let input = json!({ "name": name, "scopes": ["READ", "COMMENT"] });
    done(app, token, "createApiKey", MADE, input).await
}

async fn listed(app: &TestApp, token: &str) -> Value {
    data(app.ask_as(Some(token), KEYS, json!({})).await)["viewer"]["apiKeys"].take()
}

async fn is_refused(app: &TestApp, token: &str) -> bool {
    let answer = app.ask_as(Some(token), "{ viewer { handle } }", json!({})).await;
    answer["data"]["viewer"]["handle"].is_null() && code(&answer) == "UNAUTHENTICATED"
}

#[tokio::test]
async fn a_key_is_made_listed_used_and_taken_back() {
    let app = TestApp::start().await;
    let rita = &app.tokens.reader;
    let expires_at = Utc::now() + Duration::days(30);
    let input = json!({ "name": " feed reader ", "scopes": ["COMMENT", "READ", "READ"], "expiresAt": expires_at });
    let made = done(&app, rita, "createApiKey", MADE, input).await;
    let (id, secret) = (text(&made["apiKey"]["id"]), text(&made["secret"]));
    assert!(secret.ends_with(&text(&made["apiKey"]["hint"])), "the hint is the key's end");
    assert_eq!(made["apiKey"]["name"], "feed reader");
    assert_eq!(made["apiKey"]["scopes"], json!(["READ", "COMMENT"]), "each scope once");
    assert_eq!(made["apiKey"]["user"]["handle"], "rita");
    let told: DateTime<Utc> = text(&made["apiKey"]["expiresAt"]).parse().expect("a time");
    assert!((told - expires_at).abs() < Duration::milliseconds(1), "it ends when it was asked to");
    let stored = stored_text(&app.services, "(SELECT string_agg(k::text, ' ') FROM api_keys k)").await;
    assert!(!stored.contains(&secret) && !stored.contains(&secret["ink_key_".len()..]), "only a hash is kept");

    let second = make(&app, rita, "second").await;
    let list = listed(&app, rita).await;
    assert_eq!(list["nodes"][0]["id"], second["apiKey"]["id"], "the newest comes first");
    assert_eq!(list["nodes"][1]["lastUsedAt"], Value::Null, "it was not used yet");
    assert!(!list.to_string().contains(&secret), "a list shows no key");

    let before = Utc::now();
    assert_eq!(viewer(&app, &secret).await, "rita", "the key works");
    let used: DateTime<Utc> = text(&listed(&app, rita).await["nodes"][1]["lastUsedAt"]).parse().expect("a time");
    assert!(used >= before - Duration::milliseconds(1) && used <= Utc::now(), "its use is noted: {used}");
    viewer(&app, &secret).await;
    let again = listed(&app, rita).await["nodes"][1]["lastUsedAt"].take();
    assert_eq!(text(&again).parse::<DateTime<Utc>>().expect("a time"), used, "but not with each request");

    let gone = done(&app, rita, "revokeApiKey", "revokedId", json!({ "id": id })).await;
    assert_eq!(gone["revokedId"], json!(id));
    assert!(is_refused(&app, &secret).await, "it stops working at once");
    let list = listed(&app, rita).await;
    assert_eq!(list["nodes"].as_array().map(Vec::len), Some(1), "and is not listed: {list}");
    assert_eq!(viewer(&app, &text(&second["secret"])).await, "rita", "the other one goes on");
    let answer = refused(&app, Some(rita), "revokeApiKey", json!({ "id": id })).await;
    assert_eq!(answer, json!([["NOT_FOUND", "id"]]), "there is nothing to take back a second time");
}

#[tokio::test]
async fn keys_are_walked_page_by_page() {
    let app = TestApp::start().await;
    for n in 0..5 {
        make(&app, &app.tokens.reader, &format!("key {n}")).await;
    }
    let query = "query($after: String) { viewer { apiKeys(first: 2, after: $after) { \
                 nodes { name } pageInfo { hasNextPage endCursor } } } }";
    let (mut names, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = data(app.ask_as(Some(&app.tokens.reader), query, json!({ "after": after })).await);
        let page = &page["viewer"]["apiKeys"];
        names.extend(page["nodes"].as_array().expect("nodes").iter().map(|key| text(&key["name"])));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(names, ["key 4", "key 3", "key 2", "key 1", "key 0"]);
}

#[tokio::test]
async fn keys_are_for_their_user_and_the_owner() {
    let app = TestApp::start().await;
    let id = text(&make(&app, &app.tokens.reader, "hers").await["apiKey"]["id"]);
    let node = json!({ "query": "query($id: ID!) { node(id: $id) { id } }", "id": id });
    let lookup = async |token: Option<&str>| {
        let answer = app.ask_as(token, node["query"].as_str().expect("a query"), json!({ "id": id })).await;
        data(answer)["node"].take() != Value::Null
    };
    let of_rita = "{ user(handle: \"rita\") { apiKeys { nodes { name } } sessions { nodes { isCurrent } } } }";
    for (who, token, allowed) in [
        ("nobody", None, false),
        ("an editor", Some(&app.tokens.editor), false),
        ("herself", Some(&app.tokens.reader), true),
        ("the owner", Some(&app.tokens.owner), true),
    ] {
        let token = token.map(String::as_str);
        assert_eq!(lookup(token).await, allowed, "by its id, {who}");
        let answer = app.ask_as(token, of_rita, json!({})).await;
        if allowed {
            assert_eq!(data(answer)["user"]["apiKeys"]["nodes"], json!([{ "name": "hers" }]), "listed for {who}");
        } else {
            assert_eq!(code(&answer), "FORBIDDEN", "listed for {who}");
            assert!(!answer.to_string().contains("hers"), "nothing is told to {who}");
        }
    }
    let before = picture(&app).await;
    let input = json!({ "id": id });
    let answer = refused(&app, Some(&app.tokens.editor), "revokeApiKey", input.clone()).await;
    assert_eq!(answer, json!([["NOT_FOUND", "id"]]), "an editor does not learn that there is such a key");
    for (mutation, input) in
        [("createApiKey", json!({ "name": "x", "scopes": ["READ"] })), ("revokeApiKey", input.clone())]
    {
        let answer = attempt(&app, None, mutation, "userErrors { code }", input).await;
        assert_eq!(code(&answer), "UNAUTHENTICATED", "{mutation} by nobody");
    }
    assert_eq!(picture(&app).await, before, "nothing was changed");
    done(&app, &app.tokens.owner, "revokeApiKey", "revokedId", input).await;
}

#[tokio::test]
async fn a_key_neither_makes_nor_sees_nor_revokes_keys() {
    let app = TestApp::start().await;
    let id = make(&app, &app.tokens.owner, "one").await["apiKey"]["id"].clone();
    let strongest = app.key("olga", &Scope::ALL).await;
    viewer(&app, &strongest).await;
    let before = picture(&app).await;
    for (mutation, input) in [
        ("createApiKey", json!({ "name": "more", "scopes": ["READ"] })),
        ("revokeApiKey", json!({ "id": id })),
        ("updateUser", json!({ "name": "Somebody else" })),
        ("changePassword", json!({ "currentPassword": crate::support::PASSWORD, "newPassword": "a new long one" })),
        ("signOut", json!({ "everywhere": true })),
    ] {
        let selection = if mutation == "signOut" { "signedOut" } else { "__typename" };
        let answer = attempt(&app, Some(&strongest), mutation, selection, input).await;
        assert_eq!(code(&answer), "FORBIDDEN", "{mutation} by a key: {answer}");
    }
    for field in ["apiKeys { nodes { name } }", "sessions { nodes { createdAt } }"] {
        let answer = app.ask_as(Some(&strongest), &format!("{{ viewer {{ {field} }} }}"), json!({})).await;
        assert_eq!(code(&answer), "FORBIDDEN", "{field} by a key");
    }
    let node = app.ask_as(Some(&strongest), "query($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
    assert_eq!(data(node)["node"], Value::Null);
    assert_eq!(picture(&app).await, before, "nothing was changed");
}

#[tokio::test]
async fn what_is_open_with_a_key_ends_with_the_key() {
    let app = TestApp::start().await;
    let (made, other) = (make(&app, &app.tokens.reader, "one").await, make(&app, &app.tokens.reader, "two").await);
    let secret = text(&made["secret"]);
    let mut socket = Socket::connect(&app, Some(&secret)).await;
    socket.subscribe("1", WATCH, json!({})).await;
    let mut sse = Sse::open(&app, Some(&secret), None, WATCH, json!({})).await;
    let mut unharmed = Socket::connect(&app, text(&other["secret"]).as_str().into()).await;
    unharmed.subscribe("1", WATCH, json!({})).await;
    // Answered behind the subscription, which so has begun.
    for socket in [&mut socket, &mut unharmed] {
        socket.subscribe("2", "{ viewer { handle } }", json!({})).await;
        assert_eq!(socket.event().await["viewer"]["handle"], "rita");
        assert_eq!(socket.receive().await["type"], "complete");
    }
    done(&app, &app.tokens.owner, "revokeApiKey", "revokedId", json!({ "id": made["apiKey"]["id"] })).await;
    let frame = socket.closed().await.expect("a close frame");
    assert_eq!(u16::from(frame.code), 4403, "{}", frame.reason);
    let told = sse.next().await.expect("a last event");
    assert_eq!(told.data["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "over SSE too: {told:?}");
    assert_eq!(sse.next().await.expect("an end").event, "complete");

    let post = crate::deeds::published(&app, "Still watched").await;
    assert_eq!(unharmed.event().await["postPublished"]["post"]["id"], json!(post), "another key of hers goes on");
}

/// Keys are looked up with each request, so there is no moment in which another server takes one
/// that was revoked; what is open there ends as soon as the event has come.
#[tokio::test]
async fn a_key_that_is_revoked_at_one_server_is_refused_at_the_other_at_once() {
    if !on_real_servers() {
        return;
    }
    let one = TestApp::start_with(&[("cache_ttl_seconds", "3600")]).await;
    let other = TestApp::replica_of(&one, &[("cache_ttl_seconds", "3600")]).await;
    for n in 0..10 {
        let made = make(&one, &one.tokens.reader, &format!("key {n}")).await;
        let secret = text(&made["secret"]);
        let mut sse = Sse::open(&other, Some(&secret), None, WATCH, json!({})).await;
        assert_eq!(viewer(&other, &secret).await, "rita");
        done(&one, &one.tokens.reader, "revokeApiKey", "revokedId", json!({ "id": made["apiKey"]["id"] })).await;
        assert!(is_refused(&other, &secret).await && is_refused(&one, &secret).await, "it is refused at once");
        let told = sse.next().await.expect("a last event");
        assert_eq!(told.data["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{told:?}");
    }
}
