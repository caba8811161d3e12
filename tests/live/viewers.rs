//! How many look at a post, while they come and go.

use serde_json::json;

use crate::support::TestApp;
use crate::support::live::{Socket, Sse};
use crate::watch::Watch;
use crate::writing::{done, publish};

pub const VIEWERS: &str = "subscription($post: ID!) { viewerCount(postId: $post) { count } }";

pub async fn count(watch: &mut Watch) -> i64 {
    watch.event().await["viewerCount"]["count"].as_i64().expect("a count")
}

/// Waits for a count; each event has to come within the client's patience.
pub async fn until(watch: &mut Watch, wanted: i64) {
    while count(watch).await != wanted {}
}

#[tokio::test]
async fn viewers_are_counted_while_they_look() {
    let app = TestApp::start().await;
    let post = publish(&app, "Watched").await;
    let variables = json!({ "post": post });
    let mut first = Watch::sse(&app, None, VIEWERS, variables.clone()).await;
    assert_eq!(count(&mut first).await, 1, "the first viewer counts");
    for _ in 0..2 {
        let mut second = Watch::sse(&app, None, VIEWERS, variables.clone()).await;
        until(&mut second, 2).await;
        let mut third = Watch::socket(&app, None, VIEWERS, variables.clone()).await;
        until(&mut third, 3).await;
        until(&mut first, 3).await;
        drop(third);
        until(&mut first, 2).await;
        drop(second);
        until(&mut first, 1).await;
    }
}

#[tokio::test]
async fn the_first_number_is_right_at_once() {
    let app = TestApp::start().await;
    let post = publish(&app, "Crowded").await;
    let mut crowd = Vec::new();
    for wanted in 1..=6 {
        let mut viewer = Watch::sse(&app, None, VIEWERS, json!({ "post": post })).await;
        assert_eq!(count(&mut viewer).await, wanted, "the first number that viewer {wanted} hears");
        crowd.push(viewer);
    }
    // Long after all are written down it is still right.
    until(&mut crowd[0], 6).await;
    let mut late = Watch::sse(&app, None, VIEWERS, json!({ "post": post })).await;
    assert_eq!(count(&mut late).await, 7, "the first number that a late viewer hears");
}

#[tokio::test]
async fn the_number_is_told_only_when_it_changes() {
    let app = TestApp::start().await;
    let post = publish(&app, "Quiet").await;
    let mut first = Watch::sse(&app, None, VIEWERS, json!({ "post": post })).await;
    let mut heard = vec![count(&mut first).await];
    for _ in 0..2 {
        let mut second = Watch::socket(&app, None, VIEWERS, json!({ "post": post })).await;
        assert_eq!(count(&mut second).await, 2);
        hear_until(&mut first, &mut heard, 2).await;
        drop(second);
        hear_until(&mut first, &mut heard, 1).await;
    }
    assert_eq!(heard, [1, 2, 1, 2, 1]);
}

async fn hear_until(watch: &mut Watch, heard: &mut Vec<i64>, wanted: i64) {
    while heard.last() != Some(&wanted) {
        heard.push(count(watch).await);
    }
}

#[tokio::test]
async fn a_viewer_leaves_with_complete_as_well_as_with_the_connection() {
    let app = TestApp::start().await;
    let (post, other) = (publish(&app, "Left").await, publish(&app, "Kept").await);
    let mut witness = Watch::sse(&app, None, VIEWERS, json!({ "post": post })).await;
    let mut socket = Socket::connect(&app, None).await;
    for (id, post) in [("1", &post), ("2", &other)] {
        socket.subscribe(id, VIEWERS, json!({ "post": post })).await;
        assert_eq!(socket.receive().await["id"], id, "the number at once");
    }
    until(&mut witness, 2).await;
    socket.send(json!({ "type": "complete", "id": "1" })).await;
    until(&mut witness, 1).await;
    let mut kept = Watch::sse(&app, None, VIEWERS, json!({ "post": other })).await;
    assert_eq!(count(&mut kept).await, 2, "the other subscription of the socket goes on");
    drop(socket);
    until(&mut kept, 1).await;
}

#[tokio::test]
async fn viewers_of_another_post_are_not_counted() {
    let app = TestApp::start().await;
    let (post, other) = (publish(&app, "Here").await, publish(&app, "There").await);
    let mut there = Watch::socket(&app, None, VIEWERS, json!({ "post": other })).await;
    assert_eq!(count(&mut there).await, 1);
    let mut here = Watch::sse(&app, None, VIEWERS, json!({ "post": post })).await;
    assert_eq!(count(&mut here).await, 1, "somebody looks at another post");
}

#[tokio::test]
async fn a_viewer_of_a_post_that_is_deleted_leaves_without_harm() {
    let app = TestApp::start().await;
    let (gone, stays) = (publish(&app, "Gone").await, publish(&app, "Stays").await);
    let mut watch = Watch::socket(&app, None, VIEWERS, json!({ "post": gone })).await;
    assert_eq!(count(&mut watch).await, 1);
    crate::writing::done(&app, &app.tokens.owner, "deletePost", "PostIdInput", "deletedId", json!({ "id": gone }))
        .await;
    drop(watch);
    let mut first = Watch::sse(&app, None, VIEWERS, json!({ "post": stays })).await;
    assert_eq!(count(&mut first).await, 1);
    let _second = Watch::sse(&app, None, VIEWERS, json!({ "post": stays })).await;
    until(&mut first, 2).await;
}

#[tokio::test]
async fn who_may_not_see_the_post_any_more_hears_no_more_numbers() {
    let app = TestApp::start().await;
    let post = publish(&app, "Taken back").await;
    let mut reader = Sse::open(&app, None, None, VIEWERS, json!({ "post": post })).await;
    assert_eq!(reader.next().await.expect("a number").event, "next");
    done(&app, &app.tokens.owner, "unpublishPost", "PostIdInput", "post { status }", json!({ "id": post })).await;
    let mut editor = Watch::sse(&app, Some(&app.tokens.editor), VIEWERS, json!({ "post": post })).await;
    until(&mut editor, 2).await;
    let end = reader.next().await.expect("the end of the stream");
    assert_eq!(end.event, "complete", "a draft's viewers are nothing for the public: {end:?}");
}
