//! What is not public, asked for by every way that leads to it.
//!
//! Everything hidden carries a word of its own (`zugzwang`, with its state). A way in is a query;
//! it is tried by who may see the thing, which proves that the way leads there, and by who may
//! not, whose answer must not hold the word. Staff ask in between, so that what they warm the
//! cache with is not shown to others.

use chrono::{Duration, Utc};
use inkstone::auth::Scope;
use inkstone::store::api_keys;
use serde_json::{Value, json};

use crate::support::{TestApp, code, data};

mod comments;
mod people;
mod posts;
mod subjects;
mod threads;

/// A query, and the words that staff find in its answer.
struct Way {
    name: String,
    query: String,
    words: Vec<String>,
}

impl Way {
    fn new(name: impl Into<String>, query: impl Into<String>, words: &[&str]) -> Self {
        Self { name: name.into(), query: query.into(), words: words.iter().map(|w| (*w).to_owned()).collect() }
    }
}

/// A tag, a series and a translation group that have public posts too.
const TAG: &str = "web";
const SERIES: &str = "a-small-site";
const TRANSLATED: &str = "grinding-ink";

/// Changes something as the owner; `input` is of the type `of`.
async fn change(app: &TestApp, mutation: &str, of: &str, selection: &str, input: Value) -> Value {
    let query = format!(
        "mutation($input: {of}!) {{ change: {mutation}(input: $input) {{ {selection} userErrors {{ message }} }} }}"
    );
    let mut data = app.own(&query, json!({ "input": input })).await;
    assert_eq!(data["change"]["userErrors"], json!([]), "{mutation} should be accepted");
    data["change"].take()
}

async fn create(app: &TestApp, slug: &str, more: Value) -> String {
    let mut input = json!({ "title": slug, "slug": slug, "markdown": format!("Of {slug}.") });
    for (name, value) in more.as_object().expect("fields") {
        input[name] = value.clone();
    }
    let made = change(app, "createPost", "CreatePostInput", "post { id }", input).await;
    text(&made["post"]["id"])
}

async fn publish(app: &TestApp, id: &str) {
    change(app, "publishPost", "PostIdInput", "post { id }", json!({ "id": id })).await;
}

async fn comment(app: &TestApp, post: &str, parent: Option<&str>, markdown: &str) -> String {
    let input = json!({ "postId": post, "parentId": parent, "markdown": markdown });
    text(&change(app, "addComment", "AddCommentInput", "comment { id }", input).await["comment"]["id"])
}

async fn moderate(app: &TestApp, id: &str, decision: &str) {
    let input = json!({ "id": id, "decision": decision });
    change(app, "moderateComment", "ModerateCommentInput", "comment { id }", input).await;
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected a text, got {value}")).to_owned()
}

async fn id_of_post(app: &TestApp, slug: &str) -> String {
    text(&app.own("query($slug: String!) { post(slug: $slug) { id } }", json!({ "slug": slug })).await["post"]["id"])
}

/// A key of the owner that may do everything but read.
async fn key_without_read(app: &TestApp) -> String {
    app.key("olga", &[Scope::Write, Scope::Comment, Scope::Moderate]).await
}

/// Staff find the words of each way, others find none of them and no error either.
async fn seen_by_staff_only(app: &TestApp, ways: &[Way]) {
    let key = key_without_read(app).await;
    let askers = [
        ("nobody in particular", None, false),
        ("the owner", Some(&app.tokens.owner), true),
        ("nobody in particular, after the owner", None, false),
        ("an editor", Some(&app.tokens.editor), true),
        ("a reader", Some(&app.tokens.reader), false),
        ("a key of the owner that may not read", Some(&key), false),
    ];
    for way in ways {
        for (who, token, staff) in &askers {
            let answer = app.ask_as(token.map(String::as_str), &way.query, json!({})).await;
            assert_eq!(answer.get("errors"), None, "{who}, by {}, should get no error: {answer:#}", way.name);
            let answer = answer["data"].to_string();
            for word in &way.words {
                let seen = answer.contains(word.as_str());
                assert_eq!(seen, *staff, "{who}, by {}, sees {word:?} (wanted: {staff}): {answer}", way.name);
            }
            assert!(*staff || !answer.contains("zugzwang"), "{who}, by {}, sees something: {answer}", way.name);
        }
    }
}

fn add(counts: &mut Value, pointer: &str, more: i64) {
    let count = counts.pointer_mut(pointer).unwrap_or_else(|| panic!("there is a count at {pointer}"));
    *count = json!(count.as_i64().expect("a number") + more);
}
