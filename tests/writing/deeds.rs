//! Mutations in short, and what the tests ask before and after them.

use serde_json::{Value, json};

use crate::support::{TestApp, data, stored_text};

/// The fields that tests select of what a mutation answers.
pub const POST: &str = "post { id slug title version status publishedAt }";
pub const COMMENT: &str = "comment { id status markdown html depth }";

/// Sends a mutation with its input; the whole response.
pub async fn attempt(app: &TestApp, token: Option<&str>, mutation: &str, selection: &str, input: Value) -> Value {
    let input_type = match mutation {
        "publishPost" | "deletePost" => "PostIdInput".to_owned(),
        "react" | "unreact" => "ReactInput".to_owned(),
        "askSite" => "ChatInput".to_owned(),
        other => format!("{}{}Input", other[..1].to_uppercase(), &other[1..]),
    };
    let query = format!(
        "mutation($input: {input_type}!) {{ \
         done: {mutation}(input: $input) {{ {selection} userErrors {{ code field message }} }} }}"
    );
    app.ask_as(token, &query, json!({ "input": input })).await
}

/// Sends a mutation that must be accepted; its payload.
pub async fn done(app: &TestApp, token: &str, mutation: &str, selection: &str, input: Value) -> Value {
    let mut data = data(attempt(app, Some(token), mutation, selection, input).await);
    assert_eq!(data["done"]["userErrors"], json!([]), "{mutation} should be accepted");
    data["done"].take()
}

/// Sends a mutation that must be refused as a user error and change nothing; code and field of
/// each fault.
pub async fn refused(app: &TestApp, token: Option<&str>, mutation: &str, input: Value) -> Value {
    let selection = match mutation {
        "signUp" | "signIn" => "user { id } token expiresAt",
        "updateSite" => "site { title }",
        "deployModel" => "model { name }",
        "updateUser" | "changePassword" => "user { id }",
        "createApiKey" => "apiKey { id } secret",
        "revokeApiKey" => "revokedId",
        "retryJob" | "cancelJob" => "job { id }",
        "askSite" => "answer { text }",
        "forgetReading" => "forgotten",
        "assistPosts" => "jobIds",
        "acceptProposal" | "dismissProposal" => "proposal { id }",
        "renameConversation" => "conversation { id }",
        "addEntity" | "renameEntity" | "mergeEntities" => "entity { id }",
        name if name.starts_with("delete") && name != "deleteComment" => "deletedId",
        name if name.ends_with("Comment") => "comment { id }",
        name if name.ends_with("Tag") => "tag { id }",
        name if name.ends_with("Series") => "series { id }",
        _ => "post { id }",
    };
    let before = picture(app).await;
    let data = data(attempt(app, token, mutation, selection, input).await);
    let payload = data["done"].as_object().expect("a payload");
    for (name, value) in payload.iter().filter(|(name, _)| *name != "userErrors") {
        assert_eq!(*value, Value::Null, "{name} of a refused {mutation} should be null");
    }
    let faults = payload["userErrors"].as_array().expect("a list");
    assert!(!faults.is_empty(), "{mutation} should be refused");
    for fault in faults {
        let message = fault["message"].as_str().expect("a message");
        assert!(message.len() > 10, "a refusal should say something useful: {message:?}");
    }
    assert_eq!(picture(app).await, before, "a refused {mutation} should change nothing");
    faults.iter().map(|fault| json!([fault["code"], fault["field"]])).collect()
}

/// A digest of everything that is stored, events included: equal when nothing was changed. That a
/// key was used, be it in vain, is noted and no change; nor is what the server does by the clock.
pub async fn picture(app: &TestApp) -> String {
    let tables = [
        "posts",
        "post_revisions",
        "post_tags",
        "post_translations",
        "tags",
        "series",
        "site",
        "comments",
        "reactions",
        "proposals",
        "jobs",
        "events",
        "users",
        "identities",
        "sessions",
        "api_keys",
        "readers",
        "reads",
        "post_days",
        "entities",
    ];
    let digest = |table| {
        let row = "(to_jsonb(t) - 'last_used_at')::text";
        let rows = match table {
            "jobs" => {
                "t.kind NOT IN ('housekeeping', 'index_post', 'read_chunks', 'relate_posts', 'connect_post', 'rebuild_graph', \
                 'read_entities')"
            }
            "events" => "t.kind NOT IN ('job.changed', 'search.changed', 'graph.changed')",
            // What is read out of posts comes when it comes.
            "entities" => "t.edited",
            _ => "true",
        };
        format!(
            "'{table} ' || (SELECT count(*) || md5(string_agg({row}, ',' ORDER BY {row})) FROM {table} t WHERE {rows})"
        )
    };
    stored_text(
        &app.services,
        &tables.map(|table| format!("coalesce({}, '{table} none')", digest(table))).join(" || ' ' || "),
    )
    .await
}

/// Makes a draft as the owner; its id.
pub async fn draft(app: &TestApp, title: &str) -> String {
    let input = json!({ "title": title, "markdown": format!("It says *{title}*.") });
    text(&done(app, &app.tokens.owner, "createPost", POST, input).await["post"]["id"])
}

/// Makes a post as the owner and publishes it; its id.
pub async fn published(app: &TestApp, title: &str) -> String {
    let id = draft(app, title).await;
    done(app, &app.tokens.owner, "publishPost", POST, json!({ "id": id })).await;
    id
}

/// Adds a comment; the comment.
pub async fn comment(app: &TestApp, token: &str, post: &str, parent: Option<&str>, markdown: &str) -> Value {
    let input = json!({ "postId": post, "parentId": parent, "markdown": markdown });
    done(app, token, "addComment", COMMENT, input).await["comment"].take()
}

/// Decides about a comment as the editor.
pub async fn decide(app: &TestApp, id: &str, decision: &str) -> Value {
    let input = json!({ "id": id, "decision": decision });
    done(app, &app.tokens.editor, "moderateComment", COMMENT, input).await["comment"].take()
}

/// The fields of a post, as somebody sees them; null when it is not there for them.
pub async fn post(app: &TestApp, token: Option<&str>, id: &str, fields: &str) -> Value {
    let query = format!("query($id: ID!) {{ post(id: $id) {{ {fields} }} }}");
    data(app.ask_as(token, &query, json!({ "id": id })).await)["post"].take()
}

/// The same by its slug.
pub async fn post_at(app: &TestApp, token: Option<&str>, slug: &str, fields: &str) -> Value {
    let query = format!("query($slug: String!) {{ post(slug: $slug) {{ {fields} }} }}");
    data(app.ask_as(token, &query, json!({ "slug": slug })).await)["post"].take()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected a text, got {value}")).to_owned()
}
