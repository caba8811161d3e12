//! The WebSocket protocol, said right and said wrong.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::TestApp;
use crate::support::live::{Socket, Sse};
use crate::writing::{COMMENT_ADDED, post_id};

async fn closes_with(socket: Socket, code: u16) {
    let frame = socket.closed().await.expect("a close frame");
    assert_eq!(u16::from(frame.code), code, "{}", frame.reason);
}

#[tokio::test]
async fn what_is_said_wrong_closes_with_the_protocols_codes() {
    let app = TestApp::start().await;

    let mut early = Socket::open(&app).await;
    early.subscribe("1", "{ __typename }", json!({})).await;
    closes_with(early, 4401).await;

    let mut twice = Socket::connect(&app, None).await;
    twice.send(json!({ "type": "connection_init" })).await;
    closes_with(twice, 4429).await;

    let mut garbage = Socket::connect(&app, None).await;
    garbage.send_raw(Message::text("{")).await;
    closes_with(garbage, 4400).await;

    let mut binary = Socket::connect(&app, None).await;
    binary.send_raw(Message::binary(vec![1, 2])).await;
    closes_with(binary, 4400).await;

    let mut stranger = Socket::open(&app).await;
    stranger.send(json!({ "type": "connection_init", "payload": { "authorization": "Bearer nonsense" } })).await;
    closes_with(stranger, 4403).await;

    let mut same = Socket::connect(&app, None).await;
    for _ in 0..2 {
        same.subscribe("1", COMMENT_ADDED, json!({ "post": post_id(&app).await })).await;
    }
    closes_with(same, 4409).await;
}

#[tokio::test]
async fn queries_mutations_and_pings_are_answered_too() {
    let app = TestApp::start().await;
    let mut socket = Socket::connect(&app, Some(&app.tokens.owner)).await;
    socket.send(json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(socket.receive().await, json!({ "type": "pong", "payload": { "n": 1 } }));
    socket.subscribe("1", "{ viewer { handle } }", json!({})).await;
    assert_eq!(socket.event().await["viewer"]["handle"], "olga");
    assert_eq!(socket.receive().await, json!({ "type": "complete", "id": "1" }));
    socket.subscribe("1", "mutation { createTag(input: {name: \"Socket\"}) { tag { slug } } }", json!({})).await;
    assert_eq!(socket.event().await["createTag"]["tag"]["slug"], "socket");
    assert_eq!(socket.receive().await["type"], "complete", "an id can be used again when it is over");
    socket.subscribe("2", "{ nothing }", json!({})).await;
    let refused = socket.receive().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("2")));
}

#[tokio::test]
async fn one_operation_too_many_is_refused_and_the_connection_goes_on() {
    let app = TestApp::start_with(&[("max_subscriptions_per_socket", "2")]).await;
    let post = post_id(&app).await;
    let mut socket = Socket::connect(&app, None).await;
    for id in ["1", "2", "3"] {
        socket.subscribe(id, COMMENT_ADDED, json!({ "post": post })).await;
    }
    let refused = socket.receive().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("3")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    socket.send(json!({ "type": "complete", "id": "1" })).await;
    socket.subscribe("3", "{ __typename }", json!({})).await;
    assert_eq!(socket.event().await["__typename"], "Query");
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let mut socket = Socket::connect(&app, None).await;
    socket.subscribe("1", COMMENT_ADDED, json!({ "post": post })).await;
    let mut sse = Sse::open(&app, None, None, COMMENT_ADDED, json!({ "post": post })).await;
    let stopping = tokio::spawn(app.stop());
    closes_with(socket, 1001).await;
    assert_eq!(sse.next().await.expect("a last event").event, "complete");
    stopping.await.expect("the server stops");
}
