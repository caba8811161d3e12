//! The changes that the other modules watch.

use serde_json::{Value, json};

use crate::support::{TestApp, data};

pub const COMMENT_ADDED: &str = "subscription($post: ID!, $after: String) {
    commentAdded(postId: $post, after: $after) { cursor comment { markdown author { handle } post { slug title } } }
}";

/// The id of a published post that has no comments of its own to get in the way.
pub async fn post_id(app: &TestApp) -> String {
    let found = data(app.ask("{ post(slug: \"moshuiping-de-yu\") { id } }", json!({})).await);
    found["post"]["id"].as_str().expect("the demo has this post").to_owned()
}

/// Sends a mutation that must be accepted; its payload.
pub async fn done(app: &TestApp, token: &str, mutation: &str, of: &str, selection: &str, input: Value) -> Value {
    let query = format!(
        "mutation($input: {of}!) {{ done: {mutation}(input: $input) {{ {selection} userErrors {{ message }} }} }}"
    );
    let mut payload = data(app.ask_as(Some(token), &query, json!({ "input": input })).await)["done"].take();
    assert_eq!(payload["userErrors"], json!([]), "{mutation} should be accepted");
    payload.take()
}

/// Adds a comment; its id and status.
pub async fn comment(app: &TestApp, token: &str, post: &str, markdown: &str) -> Value {
    let input = json!({ "postId": post, "markdown": markdown });
    done(app, token, "addComment", "AddCommentInput", "comment { id status }", input).await["comment"].take()
}

/// Decides about a comment, as the editor.
pub async fn moderate(app: &TestApp, comment: &Value, decision: &str) {
    let input = json!({ "id": comment["id"], "decision": decision });
    done(app, &app.tokens.editor, "moderateComment", "ModerateCommentInput", "comment { id }", input).await;
}

/// Makes and publishes a post; its id.
pub async fn publish(app: &TestApp, title: &str) -> String {
    let input = json!({ "title": title, "markdown": "text" });
    let made = done(app, &app.tokens.owner, "createPost", "CreatePostInput", "post { id }", input).await;
    let id = made["post"]["id"].as_str().expect("a draft has an id").to_owned();
    let published = done(app, &app.tokens.owner, "publishPost", "PostIdInput", "post { status }", json!({ "id": id }));
    assert_eq!(published.await["post"]["status"], "PUBLISHED");
    id
}

/// Gives a post another title.
pub async fn rename(app: &TestApp, post: &str, title: &str) {
    let read = app.own("query($id: ID!) { post(id: $id) { version } }", json!({ "id": post })).await;
    let input = json!({ "id": post, "basedOnVersion": read["post"]["version"], "title": title });
    done(app, &app.tokens.owner, "updatePost", "UpdatePostInput", "post { id }", input).await;
}

/// Reacts to a post with love, or takes that back.
pub async fn love(app: &TestApp, token: &str, post: &str, on: bool) {
    let input = json!({ "postId": post, "kind": "LOVE" });
    done(app, token, if on { "react" } else { "unreact" }, "ReactInput", "post { id }", input).await;
}
