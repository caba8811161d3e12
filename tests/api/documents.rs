//! Operations by name: persisted queries, trusted documents, and who may look at the schema.

use reqwest::{Response, StatusCode, Url};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{TestApp, code, data, on_real_servers};

const TITLE: &str = "query Title { site { title } }";

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn persisted(hash: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

async fn send(app: &TestApp, token: Option<&str>, body: Value) -> Value {
    let mut request = app.http.post(format!("{}/graphql", app.base)).json(&body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.expect("the server answers").json().await.expect("JSON")
}

async fn by_get(app: &TestApp, parameters: &[(&str, &str)]) -> Response {
    let address = Url::parse_with_params(&format!("{}/graphql", app.base), parameters).expect("an address");
    app.http.get(address).send().await.expect("the server answers")
}

#[tokio::test]
async fn a_query_is_sent_once_and_named_from_then_on() {
    let app = TestApp::start().await;
    let named = json!({ "extensions": persisted(&hash(TITLE)) });
    let unknown = send(&app, None, named.clone()).await;
    assert_eq!(code(&unknown), "PERSISTED_QUERY_NOT_FOUND");
    assert_eq!(unknown["errors"][0]["message"], "PersistedQueryNotFound", "the clients look for this word");

    let whole = json!({ "query": TITLE, "extensions": persisted(&hash(TITLE)) });
    let first = data(send(&app, None, whole).await);
    assert_eq!(data(send(&app, None, named).await), first);
    let extensions = persisted(&hash(TITLE)).to_string();
    let got = by_get(&app, &[("extensions", &extensions)]).await;
    assert_eq!(data(got.json().await.expect("JSON")), first, "by GET");
    let got = by_get(&app, &[("documentId", &format!("sha256:{}", hash(TITLE)))]).await;
    assert_eq!(data(got.json().await.expect("JSON")), first, "by the specification's name for it");
}

#[tokio::test]
async fn another_replica_knows_what_one_was_sent() {
    if !on_real_servers() {
        return;
    }
    let namespace = format!("test-{}", uuid::Uuid::now_v7());
    let own: &[(&'static str, &str)] = &[("redis_namespace", &namespace)];
    let one = TestApp::start_with(own).await;
    let other = TestApp::replica_of(&one, own).await;
    let first = data(send(&one, None, json!({ "query": TITLE, "extensions": persisted(&hash(TITLE)) })).await);
    // Redis is filled in the background.
    let named = json!({ "extensions": persisted(&hash(TITLE)) });
    let mut answer = send(&other, None, named.clone()).await;
    for _ in 0..50 {
        if answer.get("errors").is_none() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        answer = send(&other, None, named.clone()).await;
    }
    assert_eq!(data(answer), first);
}

#[tokio::test]
async fn a_hash_that_is_not_the_texts_is_refused_and_keeps_nothing() {
    let app = TestApp::start().await;
    let other = hash("{ __typename }");
    let wrong = send(&app, None, json!({ "query": TITLE, "extensions": persisted(&other) })).await;
    assert_eq!(code(&wrong), "BAD_USER_INPUT");
    let named = send(&app, None, json!({ "extensions": persisted(&other) })).await;
    assert_eq!(code(&named), "PERSISTED_QUERY_NOT_FOUND", "the wrong text must not be found under it");
    for (broken, extensions) in [
        ("a hash alone", json!({ "persistedQuery": "x" })),
        ("another version", json!({ "persistedQuery": { "version": 2, "sha256Hash": other } })),
        ("no hash", json!({ "persistedQuery": { "version": 1 } })),
        ("a hash without end", persisted(&"a".repeat(300))),
    ] {
        assert_eq!(code(&send(&app, None, json!({ "extensions": extensions })).await), "BAD_USER_INPUT", "{broken}");
    }
    let broken = "query {";
    let refused = send(&app, None, json!({ "query": broken, "extensions": persisted(&hash(broken)) })).await;
    assert_eq!(code(&refused), "BAD_USER_INPUT");
    let named = send(&app, None, json!({ "extensions": persisted(&hash(broken)) })).await;
    assert_eq!(code(&named), "PERSISTED_QUERY_NOT_FOUND", "what is no document is not kept");
}

/// A server with a list of one document.
async fn with_list(untrusted: &'static str) -> (TestApp, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("documents.json");
    std::fs::write(&path, json!({ "title-1": TITLE }).to_string()).expect("the list is written");
    let path = path.to_str().expect("a path of text");
    let app = TestApp::start_with(&[("trusted_documents", path), ("untrusted_documents", untrusted)]).await;
    (app, folder)
}

#[tokio::test]
async fn only_trusted_documents_run_for_who_is_not_signed_in() {
    let (app, _folder) = with_list("signed_in").await;
    data(send(&app, None, json!({ "documentId": "title-1" })).await);
    data(send(&app, None, json!({ "query": TITLE })).await);
    data(send(&app, None, json!({ "extensions": persisted("title-1") })).await);
    let other = "{ site { tagline } }";
    for body in [json!({ "query": other }), json!({ "query": other, "extensions": persisted(&hash(other)) })] {
        assert_eq!(code(&send(&app, None, body).await), "FORBIDDEN");
    }
    let named = send(&app, None, json!({ "extensions": persisted(&hash(other)) })).await;
    assert_eq!(code(&named), "PERSISTED_QUERY_NOT_FOUND", "what may not run is not kept");
    data(send(&app, Some(&app.tokens.reader), json!({ "query": other })).await);
    let swapped = send(&app, None, json!({ "query": other, "documentId": "title-1" })).await;
    assert_eq!(code(&swapped), "BAD_USER_INPUT", "an id does not let another text pass");
    let response = by_get(&app, &[("query", other)]).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN, "by GET");
}

#[tokio::test]
async fn readers_too_can_be_held_to_the_list() {
    let (app, _folder) = with_list("staff").await;
    let other = json!({ "query": "{ site { tagline } }" });
    assert_eq!(code(&send(&app, Some(&app.tokens.reader), other.clone()).await), "FORBIDDEN");
    data(send(&app, Some(&app.tokens.editor), other).await);
}

#[tokio::test]
async fn the_schema_can_be_kept_to_the_sites_own_people() {
    let app = TestApp::start_with(&[("introspection", "staff")]).await;
    let look = json!({ "query": "{ __schema { queryType { name } } }" });
    let sdl = async |token: Option<&str>| {
        let mut request = app.http.get(format!("{}/schema.graphql", app.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.expect("the server answers").status()
    };
    for token in [None, Some(app.tokens.reader.as_str())] {
        assert_eq!(code(&send(&app, token, look.clone()).await), "FORBIDDEN");
        let hidden = json!({ "query": "query { ...a } fragment a on Query { __type(name: \"User\") { name } }" });
        assert_eq!(code(&send(&app, token, hidden).await), "FORBIDDEN", "in a fragment too");
        assert_eq!(sdl(token).await, 403);
    }
    data(send(&app, None, json!({ "query": "{ __typename site { __typename } }" })).await);
    data(send(&app, Some(&app.tokens.editor), look).await);
    assert_eq!(sdl(Some(&app.tokens.owner)).await, 200);
    assert_eq!(sdl(None).await, 403, "what the owner was given is kept for nobody");
    let typo = send(&app, None, json!({ "query": "{ sites { title } }" })).await;
    assert!(!typo.to_string().contains("Did you mean"), "no name is suggested: {typo:#}");
}

#[tokio::test]
async fn the_schema_can_be_had_as_text() {
    let app = TestApp::start().await;
    let response = app.http.get(format!("{}/schema.graphql", app.base)).send().await.expect("the server answers");
    assert_eq!(response.status(), 200);
    let text = response.text().await.expect("text");
    assert_eq!(text.trim(), include_str!("../../schema.graphql").trim());
    let typo = send(&app, None, json!({ "query": "{ sites { title } }" })).await;
    assert!(typo.to_string().contains("Did you mean"), "a name is suggested where the schema is open: {typo:#}");
}
