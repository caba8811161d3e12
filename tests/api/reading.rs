//! Reading posts, and what it costs.

use serde_json::{Value, json};

use crate::support::{TestApp, data};

mod kept;

/// The query that the design is measured by: 20 posts with author, tags and the first 3 comments
/// with their authors.
#[tokio::test]
async fn a_list_of_posts_takes_a_fixed_number_of_statements() {
    let app = TestApp::start().await;
    let (response, cold) = app.respond(None, include_str!("queries/post_list.graphql"), json!({})).await;
    let (_, warm) = app.respond(None, include_str!("queries/post_list.graphql"), json!({})).await;
    insta::assert_snapshot!("post_list", format!("{:#}", data(response)));
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

/// Front ends are put together from fragments, of which several may want something of the same object.
#[tokio::test]
async fn an_object_that_is_selected_in_several_places_is_one() {
    let app = TestApp::start().await;
    let apart = "query($id: ID!) {
        posts(first: 2) { nodes { id ...Author } ...Titles nodes { tags { slug } } }
        node(id: $id) { ... on Node { id } ... on Post { author { name } ...Author title } }
      }
      fragment Author on Post { author { handle } author { id } title }
      fragment Titles on PostConnection { nodes { title tags { name } } pageInfo { hasNextPage } }";
    let together = "query($id: ID!) {
        posts(first: 2) { nodes { id author { handle id } title tags { name slug } } pageInfo { hasNextPage } }
        node(id: $id) { id ... on Post { author { name handle id } title } }
      }";
    let id = data(app.ask("{ posts(first: 1) { nodes { id } } }", json!({})).await)["posts"]["nodes"][0]["id"].take();
    let found = data(app.ask(apart, json!({ "id": id })).await);
    assert_eq!(found, data(app.ask(together, json!({ "id": id })).await));
    assert!(found["posts"]["nodes"][1]["author"]["handle"].is_string(), "it should hold something: {found:#}");
}

/// Order is what a reader of the text sees; the specification asks for that of the selection.
#[tokio::test]
async fn fields_come_in_the_order_of_the_selection() {
    let app = TestApp::start().await;
    let query = "{ posts(first: 1) { nodes { version author { name id } ... on Post { slug } id title: slug __typename slug } } }";
    let response = app.http.post(format!("{}/graphql", app.base)).json(&json!({ "query": query })).send().await;
    let text = response.expect("the server answers").text().await.expect("a body");
    let names = ["\"version\"", "\"author\"", "\"name\"", "\"slug\"", "\"id\":\"UG9zd", "\"title\"", "\"__typename\""];
    let places: Vec<_> =
        names.iter().map(|name| text.find(name).unwrap_or_else(|| panic!("{name} in {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
    assert_eq!(text.matches("\"slug\":").count(), 1, "what is selected twice is told once: {text}");
}
