//! How a server stops, and what is there when the next one starts.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::live::{PATIENCE, Socket, Sse};
use crate::support::{TestApp, data, on_real_servers};
use crate::upgrade::{connect, head};
use crate::viewers::{VIEWERS, count};
use crate::watch::{Watch, now};
use crate::writing::{COMMENT_ADDED, comment, post_id, publish};

async fn says_goodbye(socket: Socket) {
    let frame = socket.closed().await.expect("a close frame");
    assert_eq!(u16::from(frame.code), 1001, "{}", frame.reason);
}

#[tokio::test]
async fn subscriptions_are_told_that_the_server_goes_away() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let mut busy = Socket::connect(&app, None).await;
    busy.subscribe("1", COMMENT_ADDED, json!({ "post": post, "after": now(&app).await })).await;
    comment(&app, &app.tokens.editor, &post, "the last").await;
    busy.event().await;
    let idle = Socket::connect(&app, None).await;
    let silent = Socket::open(&app).await;
    let mut sse = Sse::open(&app, None, None, VIEWERS, json!({ "post": post })).await;
    assert_eq!(sse.next().await.expect("the number at once").event, "next");

    let stopping = tokio::spawn(app.stop());
    for socket in [busy, idle, silent] {
        says_goodbye(socket).await;
    }
    let mut last = sse.next().await.expect("a last event");
    while last.event == "next" {
        last = sse.next().await.expect("a last event");
    }
    assert_eq!(last.event, "complete");
    assert_eq!(sse.next().await, None, "the stream ends behind it");
    let stopped = tokio::time::timeout(PATIENCE, stopping).await;
    stopped.expect("nobody is waited for any more").expect("the server stops in good order");
}

/// The request is on its way in when the stop begins: its head has been read, its body not yet.
#[tokio::test]
async fn a_running_request_finishes_and_the_next_server_has_everything() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let start = now(&app).await;
    comment(&app, &app.tokens.editor, &post, "before the stop").await;
    let witness = Socket::connect(&app, None).await;
    let body = json!({
        "query": "mutation($post: ID!) { addComment(input: {postId: $post, markdown: \"while it stops\"}) { comment { status } } }",
        "variables": { "post": post },
    })
    .to_string();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        app.tokens.editor,
        body.len()
    );
    let mut stream = connect(&app).await;
    stream.write_all(request.as_bytes()).await.expect("the server takes the head");
    let go_on = head(&mut stream).await;
    assert!(go_on.starts_with("HTTP/1.1 100"), "the server asks for the body: {go_on}");

    let restarting = tokio::spawn(app.restart(&[]));
    says_goodbye(witness).await;
    stream.write_all(body.as_bytes()).await.expect("the server takes the body");
    let mut answer = String::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    reading.expect("an answer should have come by now").expect("an answer and the end of the connection");
    assert!(answer.starts_with("HTTP/1.1 200"), "the request is answered: {answer}");
    assert!(answer.contains("APPROVED"), "the comment is there: {answer}");

    let app = restarting.await.expect("the server starts again");
    let read = "query($post: ID!) { post(id: $post) { comments(first: 100) { nodes { markdown } } } }";
    let found = data(app.ask(read, json!({ "post": post })).await);
    let texts: Vec<&Value> =
        found["post"]["comments"]["nodes"].as_array().expect("nodes").iter().map(|node| &node["markdown"]).collect();
    for wanted in ["before the stop", "while it stops"] {
        assert!(texts.contains(&&json!(wanted)), "{wanted:?} is among {texts:?}");
    }
    for mut watch in Watch::both(&app, None, COMMENT_ADDED, json!({ "post": post, "after": start })).await {
        for wanted in ["before the stop", "while it stops"] {
            let event = watch.event().await;
            let transport = watch.transport();
            assert_eq!(
                event["commentAdded"]["comment"]["markdown"], wanted,
                "cursors outlive servers, over {transport}"
            );
        }
    }
}

#[tokio::test]
async fn viewers_of_a_server_that_stopped_are_gone() {
    let app = TestApp::start().await;
    let post = publish(&app, "Watched to the end").await;
    let mut first = Watch::sse(&app, None, VIEWERS, json!({ "post": post })).await;
    let mut second = Watch::socket(&app, None, VIEWERS, json!({ "post": post })).await;
    while count(&mut first).await != 2 {}
    while count(&mut second).await != 2 {}
    let app = app.restart(&[]).await;
    let mut again = Watch::sse(&app, None, VIEWERS, json!({ "post": post })).await;
    assert_eq!(count(&mut again).await, 1, "nobody but this one");
}

#[tokio::test]
async fn viewers_of_a_replica_that_stops_leave_the_sum() {
    if !on_real_servers() {
        return;
    }
    let one = TestApp::start().await;
    let other = TestApp::replica_of(&one, &[]).await;
    let post = publish(&one, "Watched from two").await;
    let mut here = Watch::sse(&one, None, VIEWERS, json!({ "post": post })).await;
    let mut there = Watch::sse(&other, None, VIEWERS, json!({ "post": post })).await;
    while count(&mut here).await != 2 {}
    while count(&mut there).await != 2 {}
    other.stop().await;
    while count(&mut here).await != 1 {}
}
