//! Request bodies: lists of operations, and those that are too large or too slow.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::live::PATIENCE;
use crate::support::{TestApp, code, data};

async fn post(app: &TestApp, body: String) -> (u16, Value) {
    let request = app.http.post(format!("{}/graphql", app.base)).header("content-type", "application/json").body(body);
    let response = request.send().await.expect("the server answers");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

#[tokio::test]
async fn a_list_is_answered_with_a_list_in_its_order() {
    let app = TestApp::start_with(&[("max_batch_size", "4")]).await;
    let list = json!([
        { "query": "{ site { title } }" },
        { "query": "{ nothing }" },
        { "query": "query($slug: String!) { post(slug: $slug) { slug } }", "variables": { "slug": "about" } },
        { "query": "subscription { postPublished { cursor } }" },
    ]);
    let (status, answers) = post(&app, list.to_string()).await;
    assert_eq!(status, 200);
    assert_eq!(answers.as_array().map(Vec::len), Some(4), "{answers:#}");
    assert!(data(answers[0].clone())["site"]["title"].is_string());
    assert_eq!(code(&answers[1]), "BAD_USER_INPUT", "one that is wrong does not spoil the others");
    assert_eq!(data(answers[2].clone())["post"]["slug"], "about");
    assert_eq!(code(&answers[3]), "BAD_USER_INPUT", "a subscription needs a stream");

    let (status, refused) = post(&app, json!(vec![json!({ "query": "{ __typename }" }); 5]).to_string()).await;
    assert_eq!((status, code(&refused)), (400, "BAD_USER_INPUT"));
    let told = refused["errors"][0]["message"].as_str().expect("a message");
    assert!(told.contains('5') && told.contains('4'), "it tells the number and the limit: {told}");
    assert_eq!(post(&app, "[]".into()).await.0, 400);
}

#[tokio::test]
async fn a_list_pays_for_each() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "1000")]).await;
    let dear = json!({ "query": "{ posts(first: 100) { nodes { title slug excerpt } } }" });
    let (_, answers) = post(&app, json!(vec![dear; 5]).to_string()).await;
    let refused = answers.as_array().expect("a list").iter().filter(|answer| answer.get("errors").is_some()).count();
    assert_eq!(refused, 2, "three of about 320 points are within 1000: {answers:#}");
}

#[tokio::test]
async fn a_client_that_sends_far_too_much_is_told_so() {
    let app = TestApp::start_with(&[("max_body_bytes", "65536")]).await;
    for bytes in [70_000, 10 << 20] {
        let (status, refused) = post(&app, json!({ "query": "x".repeat(bytes) }).to_string()).await;
        assert_eq!((status, code(&refused)), (413, "BAD_USER_INPUT"), "{bytes} bytes");
        assert!(refused.to_string().contains("65536 bytes"), "it tells the limit: {refused:#}");
    }
    assert_eq!(post(&app, json!({ "query": "{ __typename }" }).to_string()).await.0, 200, "the next one is served");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let app = TestApp::start_with(&[("body_timeout_ms", "300")]).await;
    let mut slow = TcpStream::connect(app.base.trim_start_matches("http://")).await.expect("a connection");
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.expect("the head is sent");
    let begun = Instant::now();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(20), slow.read_to_string(&mut answer));
    read.await.expect("an answer should come").expect("text");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("300 ms"), "it tells the limit: {answer}");
    assert!(begun.elapsed() >= Duration::from_millis(290), "it was waited for");
}

#[tokio::test]
async fn bodies_that_never_end_take_no_more_room_than_there_is() {
    // Room for 128 of them.
    let app = TestApp::start_with(&[("max_body_bytes", "65536"), ("body_timeout_ms", "60000")]).await;
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 65536\r\n\r\n";
    let begun = format!("{head}{}", " ".repeat(65_535));
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut slow = TcpStream::connect(app.base.trim_start_matches("http://")).await.expect("a connection");
        // One that is refused may be cut while it sends.
        let _ = slow.write_all(begun.as_bytes()).await;
        held.push(slow);
    }
    let refused = async {
        loop {
            let (status, answer) = post(&app, json!({ "query": "x".repeat(60_000) }).to_string()).await;
            if status == 503 {
                return answer;
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refused).await.expect("there should be no room for one more");
    assert_eq!(code(&refused), "OVERLOADED");
    assert_eq!(post(&app, json!({ "query": "{ __typename }" }).to_string()).await.0, 200, "a small one needs no room");
    drop(held);
    let served = async {
        while post(&app, json!({ "query": "{ __typename }", "x": "x".repeat(60_000) }).to_string()).await.0 != 200 {}
    };
    tokio::time::timeout(PATIENCE, served).await.expect("the room comes back when the clients are gone");
}

#[tokio::test]
async fn what_is_no_request_is_not_free() {
    for (path, body) in [
        ("/graphql", Some("{")),
        ("/graphql/stream", Some("{")),
        ("/graphql?query=", None),
        ("/graphql/stream?query=", None),
    ] {
        let app = TestApp::start_with(&[("rate_limit_per_minute", "100")]).await;
        let address = format!("{}{path}", app.base);
        let mut told = Vec::new();
        // Ten of ten points are within a hundred, and points come back slowly.
        while !told.contains(&429) && told.len() < 100 {
            let request = match body {
                Some(body) => app.http.post(&address).header("content-type", "application/json").body(body),
                None => app.http.get(&address),
            };
            told.push(request.send().await.expect("the server answers").status().as_u16());
        }
        assert_eq!(told[..10], [400; 10], "{path} is refused for what it is first");
        assert_eq!(told.last(), Some(&429), "{path} costs as any other request does");
    }
}
