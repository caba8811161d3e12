//! Reading posts, and what it costs.

use serde_json::{Value, json};

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

#[tokio::test]
async fn a_field_that_fails_is_null_and_the_rest_stands() {
    let app = TestApp::start().await;
    let found = data(app.ask("{ post(slug: \"about\") { id } }", json!({})).await);
    let query = "query($id: ID!) { site { title } node(id: \"nonsense\") { id } post { id } nodes(ids: [\"nonsense\", $id]) { id } }";
    let answer = app.ask(query, json!({ "id": found["post"]["id"] })).await;
    let errors = answer["errors"].as_array().expect("errors");
    let mut paths: Vec<_> = errors.iter().map(|error| error["path"].to_string()).collect();
    paths.sort();
    assert_eq!(paths, [r#"["node"]"#, r#"["nodes",0]"#, r#"["post"]"#], "{answer:#}");
    assert!(answer["data"]["site"]["title"].is_string(), "the rest stands: {answer:#}");
    assert_eq!((&answer["data"]["node"], &answer["data"]["post"]), (&Value::Null, &Value::Null));
    assert_eq!(answer["data"]["nodes"], json!([null, found["post"]]), "a list keeps its other entries");
}
