//! What each subscription delivers, and to whom.

use serde_json::json;

use crate::support::live::{Socket, Sse};
use crate::support::{TestApp, code};
use crate::writing::{COMMENT_ADDED, comment, post_id, publish};

#[tokio::test]
async fn a_comment_is_seen_by_editors_when_written_and_by_readers_when_approved() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let mut editor = Socket::connect(&app, Some(&app.tokens.editor)).await;
    let mut anyone = Socket::connect(&app, None).await;
    editor.subscribe("1", COMMENT_ADDED, json!({ "post": post })).await;
    anyone.subscribe("1", COMMENT_ADDED, json!({ "post": post })).await;
    ready(&mut editor).await;
    ready(&mut anyone).await;

    let pending = comment(&app, &app.tokens.reader, &post, "first words").await;
    assert_eq!(pending["status"], "PENDING", "a reader's first comment waits");
    let seen = editor.event().await;
    assert_eq!(seen["commentAdded"]["comment"]["markdown"], "first words");
    assert_eq!(seen["commentAdded"]["comment"]["author"]["handle"], "rita");

    let query =
        "mutation($id: ID!) { moderateComment(input: {id: $id, decision: APPROVE}) { userErrors { message } } }";
    app.own(query, json!({ "id": pending["id"] })).await;
    comment(&app, &app.tokens.editor, &post, "second words").await;
    let first = anyone.event().await;
    assert_eq!(first["commentAdded"]["comment"]["markdown"], "first words", "the approval makes it visible");
    assert_eq!(first["commentAdded"]["comment"]["post"]["slug"], "moshuiping-de-yu");
    let second = anyone.event().await;
    assert_eq!(second["commentAdded"]["comment"]["markdown"], "second words");
    let next = editor.event().await;
    assert_eq!(next["commentAdded"]["comment"]["markdown"], "second words", "an approval is not told twice");
}

/// A subscription stands when a later query on the same socket has been answered.
async fn ready(socket: &mut Socket) {
    socket.subscribe("ready", "{ __typename }", json!({})).await;
    assert_eq!(socket.event().await["__typename"], "Query");
    assert_eq!(socket.receive().await["type"], "complete");
}

#[tokio::test]
async fn comments_on_another_post_are_not_delivered() {
    let app = TestApp::start().await;
    let (here, elsewhere) = (post_id(&app).await, publish(&app, "Elsewhere").await);
    let mut socket = Socket::connect(&app, None).await;
    socket.subscribe("1", COMMENT_ADDED, json!({ "post": here })).await;
    ready(&mut socket).await;
    comment(&app, &app.tokens.editor, &elsewhere, "not for you").await;
    comment(&app, &app.tokens.editor, &here, "for you").await;
    assert_eq!(socket.event().await["commentAdded"]["comment"]["markdown"], "for you");
}

#[tokio::test]
async fn a_draft_cannot_be_watched_by_the_public() {
    let app = TestApp::start().await;
    let drafts = app.own("{ posts(first: 1, filter: {status: DRAFT}) { nodes { id } } }", json!({})).await;
    let draft = drafts["posts"]["nodes"][0]["id"].clone();
    for query in [
        COMMENT_ADDED,
        "subscription($post: ID!) { viewerCount(postId: $post) { count } }",
        "subscription($post: ID!) { reactionCountsChanged(postId: $post) { cursor } }",
    ] {
        let mut sse = Sse::open(&app, Some(&app.tokens.reader), None, query, json!({ "post": draft })).await;
        let answer = sse.next().await.expect("an answer");
        assert_eq!(code(&answer.data), "NOT_FOUND", "{query}");
    }
}

#[tokio::test]
async fn a_post_is_told_when_it_goes_live_over_sse() {
    let app = TestApp::start().await;
    let query = "subscription { postPublished { cursor post { title } } }";
    let mut sse = Sse::open(&app, None, None, query, json!({})).await;
    publish(&app, "Fresh").await;
    let event = sse.next().await.expect("an event");
    assert_eq!(event.event, "next");
    assert_eq!(event.data["data"]["postPublished"]["post"]["title"], "Fresh");
    assert_eq!(event.id.as_deref(), event.data["data"]["postPublished"]["cursor"].as_str());
}

#[tokio::test]
async fn reaction_counts_are_told_with_each_change() {
    let app = TestApp::start().await;
    let post = publish(&app, "Likeable").await;
    let query = "subscription($post: ID!) { reactionCountsChanged(postId: $post) { counts { kind count } } }";
    let mut sse = Sse::open(&app, None, None, query, json!({ "post": post })).await;
    for (token, count) in [(&app.tokens.reader, 1), (&app.tokens.editor, 2)] {
        let react = "mutation($post: ID!) { react(input: {postId: $post, kind: LOVE}) { userErrors { message } } }";
        app.ask_as(Some(token), react, json!({ "post": post })).await;
        let event = sse.next().await.expect("an event");
        assert_eq!(event.data["data"]["reactionCountsChanged"]["counts"], json!([{ "kind": "LOVE", "count": count }]));
    }
}

#[tokio::test]
async fn viewers_are_counted_while_they_look() {
    let app = TestApp::start().await;
    let post = publish(&app, "Watched").await;
    let query = "subscription($post: ID!) { viewerCount(postId: $post) { count } }";
    let mut first = Sse::open(&app, None, None, query, json!({ "post": post })).await;
    assert_eq!(count(&mut first).await, 1, "the first viewer counts");
    let second = Sse::open(&app, None, None, query, json!({ "post": post })).await;
    until(&mut first, 2).await;
    drop(second);
    until(&mut first, 1).await;
}

async fn count(sse: &mut Sse) -> i64 {
    let event = sse.next().await.expect("a count");
    event.data["data"]["viewerCount"]["count"].as_i64().unwrap_or_else(|| panic!("a count: {event:?}"))
}

/// Waits for a count; each event has to come within the client's patience.
async fn until(sse: &mut Sse, wanted: i64) {
    while count(sse).await != wanted {}
}
