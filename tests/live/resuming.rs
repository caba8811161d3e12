//! Coming back with a cursor: nothing is missed, nothing comes twice.

use serde_json::json;

use crate::support::live::{Socket, Sse};
use crate::support::{TestApp, code, on_real_servers};
use crate::writing::{COMMENT_ADDED, comment, post_id};

fn text(event: &serde_json::Value) -> String {
    event["commentAdded"]["comment"]["markdown"].as_str().expect("a comment").to_owned()
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed_in_order_and_once() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let mut socket = Socket::connect(&app, None).await;
    socket.subscribe("1", COMMENT_ADDED, json!({ "post": post })).await;
    socket.subscribe("ready", "{ __typename }", json!({})).await;
    socket.event().await;
    socket.receive().await;
    comment(&app, &app.tokens.editor, &post, "seen").await;
    let seen = socket.event().await;
    drop(socket);
    for n in 0..5 {
        comment(&app, &app.tokens.editor, &post, &format!("missed {n}")).await;
    }

    let after = seen["commentAdded"]["cursor"].clone();
    let mut socket = Socket::connect(&app, None).await;
    socket.subscribe("1", COMMENT_ADDED, json!({ "post": post, "after": after })).await;
    for n in 0..5 {
        assert_eq!(text(&socket.event().await), format!("missed {n}"));
    }
    comment(&app, &app.tokens.editor, &post, "live again").await;
    assert_eq!(text(&socket.event().await), "live again", "after the missed ones come the new ones");
}

#[tokio::test]
async fn a_browser_that_sends_last_event_id_goes_on_from_there() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let mut sse = Sse::open(&app, None, None, COMMENT_ADDED, json!({ "post": post })).await;
    comment(&app, &app.tokens.editor, &post, "seen").await;
    let id = sse.next().await.expect("an event").id.expect("its id");
    drop(sse);
    comment(&app, &app.tokens.editor, &post, "missed").await;
    let mut sse = Sse::open(&app, None, Some(&id), COMMENT_ADDED, json!({ "post": post })).await;
    let event = sse.next().await.expect("the missed event");
    assert_eq!(text(&event.data["data"]), "missed");
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_loses_nothing() {
    const MORE_THAN_A_CHANNEL_HOLDS: usize = 300;
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let mut sse = Sse::open(&app, None, None, COMMENT_ADDED, json!({ "post": post })).await;
    for n in 0..MORE_THAN_A_CHANNEL_HOLDS {
        comment(&app, &app.tokens.editor, &post, &n.to_string()).await;
    }
    for n in 0..MORE_THAN_A_CHANNEL_HOLDS {
        let event = sse.next().await.expect("an event");
        assert_eq!(text(&event.data["data"]), n.to_string(), "in order, each once");
    }
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused() {
    let app = TestApp::start().await;
    let variables = json!({ "post": post_id(&app).await, "after": "garbage" });
    let mut sse = Sse::open(&app, None, None, COMMENT_ADDED, variables).await;
    let answer = sse.next().await.expect("an answer");
    assert_eq!(code(&answer.data), "BAD_USER_INPUT");
}

/// The case that ids of a sequence cannot handle: the event with the lower id commits last.
#[tokio::test]
async fn a_transaction_that_commits_late_is_not_skipped() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let url = app.database.url().expect("a server's database");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let early = comment(&app, &app.tokens.editor, &post, "already there").await;
    let mut sse = Sse::open(&app, None, None, COMMENT_ADDED, json!({ "post": post })).await;

    // A second announcement of the first comment, by a transaction that stays open for a while.
    client.batch_execute("BEGIN").await.expect("a transaction");
    let again = "INSERT INTO events (topic, kind, subject, payload, at) \
        SELECT topic, kind, subject, payload, now() FROM events WHERE kind = 'comment.added' ORDER BY id DESC LIMIT 1";
    client.batch_execute(again).await.expect("its event");
    comment(&app, &app.tokens.editor, &post, "committed first").await;
    client.batch_execute("COMMIT").await.expect("the commit");

    let first = text(&sse.next().await.expect("an event").data["data"]);
    let second = text(&sse.next().await.expect("another").data["data"]);
    assert_eq!([first.as_str(), second.as_str()], ["already there", "committed first"], "{early:#}");
}
