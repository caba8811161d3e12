//! What the explorer offers on the first visit works on the demo site.

use serde_json::{Value, json};

use crate::support::live::Socket;
use crate::support::{TestApp, data};

const LATEST_POSTS: &str = include_str!("../../web/graphiql/src/examples/latest_posts.graphql");
const ADD_COMMENT: &str = include_str!("../../web/graphiql/src/examples/add_comment.graphql");
const COMMENT_ADDED: &str = include_str!("../../web/graphiql/src/examples/comment_added.graphql");
/// What `main.jsx` asks for, to fill the variables in.
const LATEST_POST: &str =
    "{ viewer { name handle role } posts(first: 1, filter: { kind: [ARTICLE] }) { nodes { id } } }";

async fn latest_post(app: &TestApp) -> Value {
    data(app.ask(LATEST_POST, json!({})).await)["posts"]["nodes"][0]["id"].take()
}

#[tokio::test]
async fn the_first_tab_shows_posts() {
    let app = TestApp::start().await;
    let found = data(app.ask(LATEST_POSTS, json!({})).await);
    let posts = found["posts"]["nodes"].as_array().expect("a list of posts");
    assert_eq!(posts.len(), 3, "there are more than three posts: {found:#}");
    assert!(posts.iter().all(|post| post["author"]["name"].is_string()), "each has an author: {found:#}");
}

#[tokio::test]
async fn the_other_tabs_write_a_comment_and_see_it_arrive() {
    let app = TestApp::start().await;
    let post = latest_post(&app).await;
    let mut socket = Socket::connect(&app, Some(&app.tokens.owner)).await;
    socket.subscribe("tab", COMMENT_ADDED, json!({ "postId": post })).await;
    // A subscription stands when a later query on the same socket has been answered.
    socket.subscribe("ready", "{ __typename }", json!({})).await;
    assert_eq!(socket.event().await["__typename"], "Query");
    assert_eq!(socket.receive().await["type"], "complete");

    let input = json!({ "input": { "postId": post, "markdown": "Written in *GraphiQL*." } });
    let written = data(app.ask_as(Some(&app.tokens.owner), ADD_COMMENT, input).await)["addComment"].take();
    assert_eq!(written["userErrors"], json!([]), "{written:#}");
    assert_eq!(written["comment"]["status"], "APPROVED", "an owner's comment does not wait: {written:#}");
    let seen = socket.event().await["commentAdded"]["comment"].take();
    assert_eq!(seen["html"], written["comment"]["html"], "{seen:#}");
}
