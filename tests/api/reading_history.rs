//! What readers read: whose history it is, how it is forgotten, and what is recommended out of it.

use chrono::{TimeDelta, Utc};
use diesel_async::RunQueryDsl;
use inkstone::auth::{Scope, Viewer};
use inkstone::services::{Actor, reading};
use inkstone::store::{post_days, users};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestApp, code, data};

mod forgetting;
mod recommending;

const RECORD: &str = "mutation($input: RecordReadInput!) { recordRead(input: $input) {
    post { slug } userErrors { code field message }
} }";
const HISTORY: &str = "query($token: String, $first: Int, $after: String) {
    readingHistory(readingToken: $token, first: $first, after: $after) {
        isKept nodes { post { slug } times readAt } pageInfo { hasNextPage endCursor }
} }";
const FORGET: &str = "mutation($input: ForgetReadingInput) { forgetReading(input: $input) {
    forgotten userErrors { code field message }
} }";
const SET: &str = "mutation($keep: Boolean!) { setReadingHistory(input: { keep: $keep }) {
    isKept userErrors { code field message }
} }";

/// A server whose worker rests, so that nothing is forgotten by the clock.
async fn start() -> TestApp {
    TestApp::start_with(&[("job_workers", "0")]).await
}

async fn id_of(app: &TestApp, slug: &str) -> String {
    let query = "query($slug: String!) { post(slug: $slug) { id } }";
    let found = app.own(query, json!({ "slug": slug })).await;
    found["post"]["id"].as_str().unwrap_or_else(|| panic!("there should be a post {slug}")).to_owned()
}

/// Says that a post is read; it must be accepted.
async fn read(app: &TestApp, who: Option<&str>, slug: &str, reading_token: Option<&str>) {
    let input = json!({ "postId": id_of(app, slug).await, "readingToken": reading_token });
    let done = data(app.ask_as(who, RECORD, json!({ "input": input })).await);
    assert_eq!(done["recordRead"], json!({ "post": { "slug": slug }, "userErrors": [] }));
}

async fn begin(app: &TestApp) -> String {
    let begun = data(app.ask("mutation { startReading { readingToken userErrors { code } } }", json!({})).await);
    begun["startReading"]["readingToken"].as_str().expect("a token").to_owned()
}

/// The slugs of a history, the last read first.
async fn history(app: &TestApp, who: Option<&str>, token: Option<&str>) -> Vec<String> {
    let found = data(app.ask_as(who, HISTORY, json!({ "token": token })).await);
    slugs(&found["readingHistory"])
}

fn slugs(list: &Value) -> Vec<String> {
    let nodes = list["nodes"].as_array().expect("a list");
    nodes.iter().map(|node| node["post"]["slug"].as_str().expect("a slug").to_owned()).collect()
}

/// The rows of a table.
async fn count(app: &TestApp, table: &str) -> i64 {
    let mut conn = app.services.db.conn().await.expect("a connection");
    let sql = diesel::dsl::sql::<diesel::sql_types::BigInt>(&format!("(SELECT count(*) FROM {table})"));
    diesel::select(sql).get_result(&mut *conn).await.expect("a number")
}

/// How often posts were read in all, by whomever.
async fn reads_in_all(app: &TestApp) -> i64 {
    let mut conn = app.services.db.conn().await.expect("a connection");
    let sql = "(SELECT coalesce(sum(reads), 0)::bigint FROM post_days)";
    diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(sql)).get_result(&mut *conn).await.expect("a number")
}

#[tokio::test]
async fn what_a_member_reads_is_their_own() {
    let app = start().await;
    let rita = app.tokens.reader.clone();
    for slug in ["grinding-ink", "two-clocks", "grinding-ink"] {
        read(&app, Some(&rita), slug, None).await;
    }
    let found = data(app.ask_as(Some(&rita), HISTORY, json!({})).await)["readingHistory"].take();
    assert_eq!(found["isKept"], true);
    assert_eq!(slugs(&found), ["two-clocks", "grinding-ink"], "what is read again at once was read once");
    assert_eq!(found["nodes"][1]["times"], 1);
    assert_eq!(reads_in_all(&app).await, 2);

    let page = data(app.ask_as(Some(&rita), HISTORY, json!({ "first": 1 })).await)["readingHistory"].take();
    assert_eq!((slugs(&page), &page["pageInfo"]["hasNextPage"]), (vec!["two-clocks".to_owned()], &json!(true)));
    let next = json!({ "first": 1, "after": page["pageInfo"]["endCursor"] });
    let next = data(app.ask_as(Some(&rita), HISTORY, next).await)["readingHistory"].take();
    assert_eq!((slugs(&next), &next["pageInfo"]["hasNextPage"]), (vec!["grinding-ink".to_owned()], &json!(false)));

    for other in [&app.tokens.owner, &app.tokens.editor] {
        assert!(history(&app, Some(other), None).await.is_empty(), "nobody else sees it, nor does the owner");
    }
    assert_eq!(code(&app.ask(HISTORY, json!({})).await), "UNAUTHENTICATED");
    let key = app.key("rita", &Scope::ALL).await;
    assert_eq!(code(&app.ask_as(Some(&key), HISTORY, json!({})).await), "FORBIDDEN", "a key reads nothing itself");
    read(&app, Some(&key), "wet-stone", None).await;
    assert_eq!(history(&app, Some(&rita), None).await.len(), 2);
}

#[tokio::test]
async fn without_consent_only_a_number_is_kept() {
    let app = start().await;
    for _ in 0..3 {
        read(&app, None, "grinding-ink", None).await;
    }
    read(&app, None, "two-clocks", None).await;
    assert_eq!((count(&app, "readers").await, count(&app, "reads").await), (0, 0));
    assert_eq!(reads_in_all(&app).await, 2, "one of each post, as it is one address");
    assert_eq!(count(&app, "events WHERE topic LIKE '%read%' OR kind LIKE '%read%'").await, 0);
}

#[tokio::test]
async fn a_reading_token_opens_its_own_history_and_no_other() {
    let app = start().await;
    let (one, other) = (begin(&app).await, begin(&app).await);
    read(&app, None, "grinding-ink", Some(&one)).await;
    read(&app, None, "two-clocks", Some(&other)).await;
    // A program with a key tells whom it reads for.
    read(&app, Some(&app.key("olga", &Scope::ALL).await), "wet-stone", Some(&other)).await;
    assert_eq!(history(&app, None, Some(&one)).await, ["grinding-ink"]);
    assert_eq!(history(&app, None, Some(&other)).await, ["wet-stone", "two-clocks"]);
    assert_eq!(reads_in_all(&app).await, 3);
    let third = begin(&app).await;
    read(&app, None, "grinding-ink", Some(&third)).await;
    assert_eq!(history(&app, None, Some(&third)).await, ["grinding-ink"]);
    assert_eq!(reads_in_all(&app).await, 3, "more tokens of one address make nothing more popular");
    read(&app, Some(&app.tokens.reader), "the-24-bus", Some(&one)).await;
    assert_eq!(history(&app, None, Some(&one)).await, ["grinding-ink"], "who is signed in has a history of their own");
    assert_eq!(history(&app, Some(&app.tokens.reader), None).await, ["the-24-bus"]);
    let mut conn = app.services.db.conn().await.expect("a connection");
    let told = format!("(SELECT count(*) FROM readers WHERE encode(token_hash, 'escape') LIKE '%{}%')", &one[8..]);
    let told: i64 = diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(&told))
        .get_result(&mut *conn)
        .await
        .expect("a count");
    assert_eq!(told, 0, "only hashes are stored");
}

#[tokio::test]
async fn what_is_no_read_is_refused() {
    let app = start().await;
    let draft = "mutation { createPost(input: { title: \"Draft\", markdown: \"x\" }) { post { id slug } } }";
    let draft = app.own(draft, json!({})).await["createPost"]["post"]["id"].take();
    let post = id_of(&app, "grinding-ink").await;
    let session = app.tokens.reader.clone();
    let unknown = "ink_rdr_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let long = "x".repeat(100_000);
    let with = |token: &str| json!({ "postId": post, "readingToken": token });
    for (input, fault) in [
        (json!({ "postId": draft }), ["NOT_FOUND", "postId"]),
        (with(""), ["INVALID", "readingToken"]),
        (with(&session), ["INVALID", "readingToken"]),
        (with(&long), ["INVALID", "readingToken"]),
        (with("ink_rdr_\0"), ["INVALID", "readingToken"]),
        (with(unknown), ["NOT_FOUND", "readingToken"]),
    ] {
        let done = data(app.ask(RECORD, json!({ "input": input })).await)["recordRead"].take();
        let said = &done["userErrors"][0];
        assert_eq!([&said["code"], &said["field"]], [&json!(fault[0]), &json!(fault[1])], "{done}");
        assert!(!said["message"].as_str().unwrap_or_default().contains("ink_"), "no token is told: {said}");
        assert_eq!(done["post"], Value::Null);
    }
    let owner = app.ask_as(Some(&app.tokens.owner), RECORD, json!({ "input": { "postId": draft } })).await;
    assert_eq!(data(owner)["recordRead"]["userErrors"][0]["code"], "NOT_FOUND", "a draft is not read, it is written");
    for id in ["", "nonsense", "VXNlcjowMWEyMDcyODA4MDM3NDQxYjJmNDgyZjc3OTFlYzMzMg"] {
        assert_eq!(code(&app.ask(RECORD, json!({ "input": { "postId": id } })).await), "BAD_USER_INPUT", "{id:?}");
    }
    for token in ["", &session, unknown] {
        assert_eq!(code(&app.ask(HISTORY, json!({ "token": token })).await), "BAD_USER_INPUT");
    }
    for (name, value) in [("first", json!(0)), ("first", json!(101)), ("after", json!("nonsense"))] {
        let mut variables = json!({});
        variables[name] = value;
        let answer = app.ask_as(Some(&app.tokens.reader), HISTORY, variables).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{name}");
    }
    assert_eq!((count(&app, "reads").await, reads_in_all(&app).await), (0, 0));
}
