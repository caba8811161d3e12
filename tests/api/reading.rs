//! Reading posts, and what it costs.

use serde_json::json;

use crate::support::{TestApp, data};

/// The query that the design is measured by: 20 posts with author, tags and the first 3 comments
/// with their authors.
#[tokio::test]
async fn a_list_of_posts_takes_a_fixed_number_of_statements() {
    let app = TestApp::start().await;
    let (response, cold) = app.respond(None, include_str!("queries/post_list.graphql"), json!({})).await;
    let (_, warm) = app.respond(None, include_str!("queries/post_list.graphql"), json!({})).await;
    insta::assert_json_snapshot!("post_list", data(response));
    insta::assert_debug_snapshot!("post_list_statements", json!({ "cold": cold, "warm": warm }));
}
