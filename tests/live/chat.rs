//! An answer as it is written, over each kind of stream, and what happens when nobody waits for it.

use inkstone::inference::{FinishReason, InferenceError, Piece};
use inkstone::services::allowance::Account;
use serde_json::{Value, json};

use crate::support::asking::{QUESTION, kettle};
use crate::support::live::{PATIENCE, Socket, Sse};
use crate::support::scripted::{Scripted, done, said};
use crate::support::{TestApp, code, data};

const CHAT: &str = "subscription($input: ChatInput!) { chat(input: $input) {
    __typename
    ... on ChatStarted { conversationId messageId }
    ... on ChatCitations { degraded citations { index title headingPath excerpt url post { slug } } }
    ... on ChatToken { text }
    ... on ChatDone { finishReason promptTokens completionTokens durationMs model degraded }
    ... on ChatFailed { code message }
} }";

fn input(question: &str) -> Value {
    json!({ "input": { "question": question } })
}

async fn site(model: Scripted) -> TestApp {
    let app = model.start(&[]).await;
    kettle(&app).await;
    app
}

/// Says two words and then nothing for ever.
fn endless() -> Scripted {
    Scripted { stays: true, ..Scripted::new(vec![Ok(said("It ")), Ok(said("has "))]) }
}

fn check(events: &[Value]) {
    let kinds: Vec<&str> = events.iter().map(|event| event["__typename"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["ChatStarted", "ChatCitations", "ChatToken", "ChatToken", "ChatDone"]);
    assert!(events[0]["conversationId"].is_string() && events[0]["messageId"].is_string(), "{events:#?}");
    assert_eq!(events[1]["citations"][0]["index"], 1);
    assert_eq!(events[1]["citations"][0]["post"]["slug"], "zorbic-kettle");
    assert_eq!((&events[2]["text"], &events[3]["text"]), (&json!("It has "), &json!("93 degrees [1].")));
    let end = &events[4];
    assert_eq!((&end["finishReason"], &end["model"]), (&json!("STOP"), &json!("scripted/test")));
    assert_eq!((&end["promptTokens"], &end["completionTokens"]), (&json!(7), &json!(5)));
    assert!(end["durationMs"].is_u64(), "{end}");
}

#[tokio::test]
async fn an_answer_comes_as_it_is_written() {
    let app = site(Scripted::saying(&["It has ", "93 degrees [1]."])).await;
    for token in [None, Some(app.tokens.reader.as_str())] {
        let mut socket = Socket::connect(&app, token).await;
        socket.subscribe("1", CHAT, input(QUESTION)).await;
        let mut events = Vec::new();
        for _ in 0..5 {
            events.push(socket.event().await["chat"].take());
        }
        check(&events);
        assert_eq!(socket.receive().await["type"], "complete");

        let mut stream = Sse::open(&app, token, None, CHAT, input(QUESTION)).await;
        let mut events = Vec::new();
        for _ in 0..5 {
            events.push(data(stream.next().await.expect("an event").data)["chat"].take());
        }
        check(&events);
        assert_eq!(stream.next().await.expect("the end").event, "complete");
    }
}

#[tokio::test]
async fn two_who_ask_the_same_have_two_conversations() {
    let app = site(Scripted::saying(&["Hot."])).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut stream = Sse::open(&app, None, None, CHAT, input(QUESTION)).await;
        ids.push(data(stream.next().await.expect("an event").data)["chat"]["conversationId"].take());
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn what_will_not_do_is_refused_before_it_begins() {
    let app = site(Scripted::saying(&["Hot."])).await;
    let mut socket = Socket::connect(&app, None).await;
    for (id, question) in [("1", String::new()), ("2", "x".repeat(2001))] {
        socket.subscribe(id, CHAT, input(&question)).await;
        let refused = socket.receive().await;
        assert_eq!(refused["type"], "error", "{refused:#}");
        assert_eq!(refused["payload"][0]["extensions"]["code"], "BAD_USER_INPUT");
    }
    let two = "subscription($input: ChatInput!) { a: chat(input: $input) { __typename } b: chat(input: $input) { __typename } }";
    socket.subscribe("3", two, input(QUESTION)).await;
    assert_eq!(socket.receive().await["type"], "error", "one question a subscription");
}

#[tokio::test]
async fn a_model_that_breaks_off_is_the_last_event() {
    let broken = InferenceError::Failed { model: "scripted/test".into() };
    let app = site(Scripted::new(vec![Ok(said("It ")), Err(broken)])).await;
    let mut socket = Socket::connect(&app, None).await;
    socket.subscribe("1", CHAT, input(QUESTION)).await;
    let mut kinds = Vec::new();
    loop {
        let message = socket.receive().await;
        if message["type"] == "complete" {
            break;
        }
        kinds.push(data(message["payload"].clone())["chat"]["__typename"].take());
    }
    assert_eq!(kinds, ["ChatStarted", "ChatCitations", "ChatToken", "ChatFailed"]);
}

#[tokio::test]
async fn who_leaves_stops_the_model_and_finds_what_there_was() {
    for by in ["complete", "closing the socket", "closing the stream"] {
        let model = endless();
        let dropped = model.dropped.clone();
        let app = site(model).await;
        let reader = app.tokens.reader.clone();
        let id = match by {
            "closing the stream" => {
                let mut stream = Sse::open(&app, Some(&reader), None, CHAT, input(QUESTION)).await;
                let id = data(stream.next().await.expect("an event").data)["chat"]["conversationId"].take();
                while data(stream.next().await.expect("an event").data)["chat"]["text"] != "has " {}
                id
            }
            _ => {
                let mut socket = Socket::connect(&app, Some(&reader)).await;
                socket.subscribe("1", CHAT, input(QUESTION)).await;
                let id = socket.event().await["chat"]["conversationId"].take();
                while socket.event().await["chat"]["text"] != "has " {}
                if by == "complete" {
                    socket.send(json!({ "type": "complete", "id": "1" })).await;
                }
                id
            }
        };
        tokio::time::timeout(PATIENCE, dropped.notified()).await.unwrap_or_else(|_| panic!("{by} stops the model"));
        let left = kept(&app, &reader, &id).await;
        assert_eq!(left, json!({ "role": "ASSISTANT", "text": "It has ", "finishReason": "LEFT" }), "{by}");
    }
}

/// The answer of a conversation, once it is kept.
async fn kept(app: &TestApp, token: &str, id: &Value) -> Value {
    let query = "query($id: ID!) { conversation(id: $id) { messages { nodes { role text finishReason } } } }";
    let begun = std::time::Instant::now();
    loop {
        let found = data(app.ask_as(Some(token), query, json!({ "id": id })).await);
        if let Some(answer) = found["conversation"]["messages"]["nodes"].get(1) {
            return answer.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "the answer should be kept");
    }
}

#[tokio::test]
async fn who_leaves_pays_for_what_was_read_and_written() {
    let model = endless();
    let dropped = model.dropped.clone();
    let app = site(model).await;
    let url = format!("{}/api/v1/chat", app.base);
    let body = json!({ "messages": [{ "role": "user", "parts": [{ "type": "text", "text": QUESTION }] }] });
    let mut response = app.http.post(url).json(&body).send().await.expect("an answer");
    let mut heard = String::new();
    while !heard.contains("\"has \"") {
        heard.push_str(&String::from_utf8_lossy(&response.chunk().await.expect("a stream").expect("it goes on")));
    }
    drop(response);
    tokio::time::timeout(PATIENCE, dropped.notified()).await.expect("leaving stops the model");
    let now = chrono::Utc::now();
    let address = Some([127, 0, 0, 1].into());
    let account = Account::of(&app.services, &inkstone::auth::Viewer::anonymous(), address, now);
    let begun = std::time::Instant::now();
    loop {
        let mut conn = app.services.db.conn().await.expect("a connection");
        let used = inkstone::store::token_usage::total(&mut conn, now.date_naive(), account.person()).await;
        let used = used.expect("a number");
        // Two that were written, and a prompt of several hundred letters.
        if used > 50 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{used} tokens are noted");
    }
}

#[tokio::test]
async fn a_length_that_is_reached_is_told() {
    let pieces: Vec<Result<Piece, InferenceError>> = vec![Ok(said("It ")), Ok(done(FinishReason::Length))];
    let app = site(Scripted::new(pieces)).await;
    let mut stream = Sse::open(&app, None, None, CHAT, input(QUESTION)).await;
    let mut last = Value::Null;
    while let Some(event) = stream.next().await.filter(|event| event.event == "next") {
        last = data(event.data)["chat"].take();
    }
    assert_eq!(last["finishReason"], "LENGTH");
}

#[tokio::test]
async fn a_conversation_that_is_not_ones_own_is_refused() {
    let app = site(Scripted::saying(&["Hot."])).await;
    let mut stream = Sse::open(&app, Some(&app.tokens.reader), None, CHAT, input(QUESTION)).await;
    let id = data(stream.next().await.expect("an event").data)["chat"]["conversationId"].take();
    let theirs = json!({ "input": { "question": QUESTION, "conversationId": id } });
    let mut stream = Sse::open(&app, Some(&app.tokens.owner), None, CHAT, theirs).await;
    assert_eq!(code(&stream.next().await.expect("an answer").data), "BAD_USER_INPUT");
}
