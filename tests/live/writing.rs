//! The changes that the other modules watch.

use serde_json::{Value, json};

use crate::support::{TestApp, data};

pub const COMMENT_ADDED: &str = "subscription($post: ID!, $after: String) {
    commentAdded(postId: $post, after: $after) { cursor comment { markdown author { handle } post { slug } } }
}";

/// The id of a published post that has no comments of its own to get in the way.
pub async fn post_id(app: &TestApp) -> String {
    let found = data(app.ask("{ post(slug: \"moshuiping-de-yu\") { id } }", json!({})).await);
    found["post"]["id"].as_str().expect("the demo has this post").to_owned()
}

/// Adds a comment; the whole payload.
pub async fn comment(app: &TestApp, token: &str, post: &str, markdown: &str) -> Value {
    let query = "mutation($input: AddCommentInput!) {
        addComment(input: $input) { comment { id status } userErrors { message } }
    }";
    let input = json!({ "input": { "postId": post, "markdown": markdown } });
    let mut payload = data(app.ask_as(Some(token), query, input).await)["addComment"].take();
    assert_eq!(payload["userErrors"], json!([]));
    payload["comment"].take()
}

/// Makes and publishes a post; its id.
pub async fn publish(app: &TestApp, title: &str) -> String {
    let query = "mutation($t: String!) { createPost(input: {title: $t, markdown: \"text\"}) { post { id } userErrors { message } } }";
    let made = app.own(query, json!({ "t": title })).await;
    let id = made["createPost"]["post"]["id"].as_str().unwrap_or_else(|| panic!("a draft: {made:#}")).to_owned();
    let query = "mutation($id: ID!) { publishPost(input: {id: $id}) { post { status } } }";
    let published = app.own(query, json!({ "id": id })).await;
    assert_eq!(published["publishPost"]["post"]["status"], "PUBLISHED");
    id
}
