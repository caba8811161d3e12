//! The WebSocket protocol, said right and said wrong.

use futures_util::StreamExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::live::{PATIENCE, Socket, Sse};
use crate::support::{TestApp, code};
use crate::upgrade::upgrade;
use crate::watch::now;
use crate::writing::{COMMENT_ADDED, comment, post_id};

const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");

async fn closes_with(socket: Socket, code: u16) {
    let frame = socket.closed().await.unwrap_or_else(|| panic!("a close frame with {code} was expected"));
    assert_eq!(u16::from(frame.code), code, "{}", frame.reason);
}

#[tokio::test]
async fn another_protocol_or_none_is_not_spoken() {
    let app = TestApp::start().await;
    for headers in [&[][..], &[("sec-websocket-protocol", "graphql-ws")][..]] {
        let answer = upgrade(&app, headers).await;
        assert_eq!(answer.status, 101, "the code can only be told over a WebSocket");
        assert!(!answer.head.contains("sec-websocket-protocol"), "no protocol was agreed on: {}", answer.head);
        let mut socket = answer.socket().await;
        let first = tokio::time::timeout(PATIENCE, socket.next()).await.expect("a frame should have come by now");
        let Some(Ok(Message::Close(Some(frame)))) = first else { panic!("a close frame was expected: {first:?}") };
        assert_eq!(u16::from(frame.code), 4406, "{}", frame.reason);
    }
    let several = upgrade(&app, &[("sec-websocket-protocol", "graphql-ws, graphql-transport-ws")]).await;
    assert!(several.head.contains("sec-websocket-protocol: graphql-transport-ws"), "the right one is chosen");
}

#[tokio::test]
async fn before_it_is_initialised_nothing_is_run() {
    let app = TestApp::start().await;
    let mut early = Socket::open(&app).await;
    early.subscribe("1", "{ __typename }", json!({})).await;
    closes_with(early, 4401).await;

    let mut impatient = Socket::open(&app).await;
    impatient.send(json!({ "type": "ping" })).await;
    assert_eq!(impatient.receive().await, json!({ "type": "pong" }), "a ping is answered at any time");

    let mut twice = Socket::connect(&app, None).await;
    twice.send(json!({ "type": "connection_init" })).await;
    closes_with(twice, 4429).await;
}

#[tokio::test]
async fn what_is_no_message_closes_with_4400() {
    let app = TestApp::start().await;
    let wrong = [
        Message::text("{"),
        Message::text("{}"),
        Message::text(r#"{ "type": "start", "id": "1" }"#),
        Message::text(r#"{ "type": "subscribe", "payload": { "query": "{ __typename }" } }"#),
        Message::text(r#"{ "type": "subscribe", "id": "1" }"#),
        Message::binary(vec![1, 2]),
    ];
    for message in wrong {
        let mut socket = Socket::connect(&app, None).await;
        socket.send_raw(message).await;
        closes_with(socket, 4400).await;
    }
}

#[tokio::test]
async fn tokens_are_taken_in_the_payload_and_in_the_header_and_bad_ones_refused() {
    let app = TestApp::start().await;
    let token = &app.tokens.editor;
    for payload in [
        json!({ "authorization": format!("Bearer {token}") }),
        json!({ "Authorization": format!("bearer {token}") }),
        json!({ "token": token }),
    ] {
        let mut socket = Socket::open(&app).await;
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.receive().await, json!({ "type": "connection_ack" }));
        socket.subscribe("1", "{ viewer { handle } }", json!({})).await;
        assert_eq!(socket.event().await["viewer"]["handle"], "edgar");
    }
    for payload in
        [json!({ "authorization": "Bearer nonsense" }), json!({ "token": "" }), json!({ "authorization": token })]
    {
        let mut socket = Socket::open(&app).await;
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        closes_with(socket, 4403).await;
    }
}

#[tokio::test]
async fn an_id_is_in_use_until_its_operation_is_over() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let mut socket = Socket::connect(&app, None).await;
    socket.subscribe("1", "{ __typename }", json!({})).await;
    assert_eq!(socket.event().await["__typename"], "Query");
    assert_eq!(socket.receive().await, json!({ "type": "complete", "id": "1" }));
    for _ in 0..2 {
        socket.subscribe("1", COMMENT_ADDED, json!({ "post": post })).await;
        socket.send(json!({ "type": "complete", "id": "1" })).await;
    }
    for _ in 0..2 {
        socket.subscribe("1", COMMENT_ADDED, json!({ "post": post })).await;
    }
    closes_with(socket, 4409).await;
}

#[tokio::test]
async fn queries_mutations_and_pings_are_answered_too() {
    let app = TestApp::start().await;
    let mut socket = Socket::connect(&app, Some(&app.tokens.owner)).await;
    socket.send(json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(socket.receive().await, json!({ "type": "pong", "payload": { "n": 1 } }));
    socket.send(json!({ "type": "pong" })).await;
    socket.subscribe("1", "{ viewer { handle } }", json!({})).await;
    assert_eq!(socket.event().await["viewer"]["handle"], "olga");
    assert_eq!(socket.receive().await, json!({ "type": "complete", "id": "1" }));
    let query = "mutation($name: String!) { createTag(input: {name: $name}) { tag { slug } userErrors { field } } }";
    for (name, answer) in [
        ("Socket", json!({ "tag": { "slug": "socket" }, "userErrors": [] })),
        ("", json!({ "tag": null, "userErrors": [{ "field": "name" }, { "field": "slug" }] })),
    ] {
        socket.subscribe("1", query, json!({ "name": name })).await;
        assert_eq!(socket.event().await["createTag"], answer);
        assert_eq!(socket.receive().await["type"], "complete", "user errors are an answer");
    }
}

#[tokio::test]
async fn what_cannot_be_run_is_told_with_error_and_the_connection_goes_on() {
    let app = TestApp::start().await;
    let mut socket = Socket::connect(&app, None).await;
    for (query, wanted) in [
        ("{ nothing }", "BAD_USER_INPUT"),
        ("{", "BAD_USER_INPUT"),
        ("subscription { commentAdded { cursor } }", "BAD_USER_INPUT"),
        ("subscription { commentAdded(postId: \"UG9zdDox\") { cursor } }", "BAD_USER_INPUT"),
    ] {
        socket.subscribe("1", query, json!({})).await;
        let refused = socket.receive().await;
        assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("1")), "{query}");
        let errors = json!({ "errors": refused["payload"] });
        assert_eq!(code(&errors), wanted, "{query}");
        assert!(refused["payload"][0]["extensions"]["requestId"].is_string(), "it tells the request's id: {refused:#}");
    }
    socket.subscribe("1", "{ __typename }", json!({})).await;
    assert_eq!(socket.event().await["__typename"], "Query", "an `error` ends its operation, not the connection");
}

#[tokio::test]
async fn complete_stops_one_stream_and_leaves_the_others() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let variables = json!({ "post": post, "after": now(&app).await });
    let mut socket = Socket::connect(&app, None).await;
    for id in ["stopped", "kept"] {
        socket.subscribe(id, COMMENT_ADDED, variables.clone()).await;
    }
    comment(&app, &app.tokens.editor, &post, "for both").await;
    let mut told = [socket.receive().await["id"].take(), socket.receive().await["id"].take()];
    told.sort_by_key(ToString::to_string);
    assert_eq!(told, ["kept", "stopped"]);

    socket.send(json!({ "type": "complete", "id": "stopped" })).await;
    socket.send(json!({ "type": "complete", "id": "never there" })).await;
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await["type"], "pong", "messages are taken in order");
    for n in 0..3 {
        comment(&app, &app.tokens.editor, &post, &n.to_string()).await;
        let message = socket.receive().await;
        assert_eq!(message["id"], "kept", "nothing more of the one that was stopped, and no `complete`: {message:#}");
        assert_eq!(message["payload"]["data"]["commentAdded"]["comment"]["markdown"], n.to_string());
    }
}

#[tokio::test]
async fn one_operation_too_many_is_refused_and_the_connection_goes_on() {
    let app = TestApp::start_with(&[("max_subscriptions_per_socket", "2")]).await;
    let post = post_id(&app).await;
    let after = now(&app).await;
    let mut socket = Socket::connect(&app, None).await;
    for id in ["1", "2", "3"] {
        socket.subscribe(id, COMMENT_ADDED, json!({ "post": post, "after": after })).await;
    }
    let refused = socket.receive().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("3")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    comment(&app, &app.tokens.editor, &post, "still there").await;
    for _ in 0..2 {
        let message = socket.event().await;
        assert_eq!(message["commentAdded"]["comment"]["markdown"], "still there", "the first two go on");
    }
    socket.send(json!({ "type": "complete", "id": "1" })).await;
    socket.subscribe("3", "{ __typename }", json!({})).await;
    assert_eq!(socket.event().await["__typename"], "Query", "one that ends makes room for another");
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_the_cookie() {
    let app = TestApp::start().await;
    let cookie = format!("inkstone_session={}", app.tokens.owner);
    let same = app.base.clone();
    let bearer = format!("Bearer {}", app.tokens.owner);
    let cookie = ("cookie", cookie.as_str());
    for (headers, wanted) in [
        (vec![PROTOCOL, cookie, ("origin", "https://elsewhere.example")], 403),
        (vec![PROTOCOL, cookie, ("origin", "null")], 403),
        (vec![PROTOCOL, cookie, ("origin", same.as_str())], 101),
        (vec![PROTOCOL, cookie], 101),
        (vec![PROTOCOL, ("origin", "https://elsewhere.example")], 101),
        (vec![PROTOCOL, cookie, ("authorization", bearer.as_str()), ("origin", "https://elsewhere.example")], 101),
    ] {
        let status = upgrade(&app, &headers).await.status;
        assert_eq!(status, wanted, "{:?}", headers.iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn one_subscriber_too_many_is_told_to_come_later() {
    let app = TestApp::start_with(&[("max_subscribers", "2")]).await;
    let post = post_id(&app).await;
    let variables = json!({ "post": post });
    let socket = Socket::connect(&app, None).await;
    let sse = Sse::open(&app, None, None, COMMENT_ADDED, variables.clone()).await;
    let ask = async || {
        let request = app.http.post(format!("{}/graphql/stream", app.base));
        request.json(&json!({ "query": COMMENT_ADDED, "variables": variables })).send().await.expect("an answer")
    };
    let refused = ask().await;
    assert_eq!(refused.status(), 503);
    assert_eq!(code(&refused.json().await.expect("JSON")), "OVERLOADED");
    assert_eq!(upgrade(&app, &[PROTOCOL]).await.status, 503);
    let answer = app.ask("{ __typename }", json!({})).await;
    assert_eq!(answer["data"]["__typename"], "Query", "others are served");

    // The server learns of a client that leaves in its own time.
    drop(socket);
    let come_in = async { while upgrade(&app, &[PROTOCOL]).await.status != 101 {} };
    tokio::time::timeout(PATIENCE, come_in).await.expect("a WebSocket that left makes room");
    drop(sse);
    let come_in = async { while ask().await.status() != 200 {} };
    tokio::time::timeout(PATIENCE, come_in).await.expect("an SSE stream that left makes room");
}

#[tokio::test]
async fn an_address_has_its_share_of_the_subscribers() {
    let app = TestApp::start_with(&[("max_subscribers_per_address", "1"), ("trusted_proxies", "127.0.0.1, ::1")]).await;
    let post = post_id(&app).await;
    let ask = async |from: &'static str| {
        let request = app.http.post(format!("{}/graphql/stream", app.base)).header("x-forwarded-for", from);
        let asked = json!({ "query": COMMENT_ADDED, "variables": { "post": post } });
        request.json(&asked).send().await.expect("an answer")
    };
    let first = ask("198.51.100.1").await;
    assert_eq!(first.status(), 200);
    let refused = ask("198.51.100.1").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(code(&refused.json().await.expect("JSON")), "RATE_LIMITED");
    assert_eq!(ask("198.51.100.2").await.status(), 200, "others are let in");
    drop(first);
    let come_in = async { while ask("198.51.100.1").await.status() != 200 {} };
    tokio::time::timeout(PATIENCE, come_in).await.expect("who left makes room for another of the same address");
}
