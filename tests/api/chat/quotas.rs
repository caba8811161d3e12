//! How much one may ask: in a day, and at a time.

use super::*;
use crate::support::live::{Socket, Sse};

const CHAT: &str = "subscription($input: ChatInput!) { chat(input: $input) {
    __typename ... on ChatToken { text } ... on ChatFailed { code }
} }";

async fn ask_from(app: &TestApp, address: &str) -> Value {
    let body = json!({ "query": ASK, "variables": { "input": { "question": QUESTION } } });
    let asked = app.http.post(format!("{}/graphql", app.base)).header("x-forwarded-for", address).json(&body);
    asked.send().await.expect("an answer").json().await.expect("JSON")
}

#[tokio::test]
async fn who_has_not_signed_in_is_counted_by_address() {
    let own = [("anonymous_tokens_per_day", "12"), ("trusted_proxies", "127.0.0.1")];
    let (app, heard) = site(&own).await;
    data(ask_from(&app, "198.51.100.7").await);
    let before = heard.count();
    let refused = ask_from(&app, "198.51.100.7").await;
    assert_eq!(code(&refused), "RATE_LIMITED", "12 tokens were used");
    let message = refused["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("the 12 tokens of this day are used up"), "{message}");
    assert_eq!(heard.count(), before, "no model was asked");
    data(ask_from(&app, "198.51.100.8").await);
    data(ask_from(&app, "2001:db8:1:2::1").await);
    assert_eq!(code(&ask_from(&app, "2001:db8:1:2:ffff::9").await), "RATE_LIMITED", "of the same customer");
    let reader = app.tokens.reader.clone();
    ask(&app, Some(&reader), json!({ "question": QUESTION })).await;
    let stored = stored_subjects(&app).await;
    assert!(!stored.is_empty() && stored.iter().all(|subject| !subject.contains("198.51")), "{stored:?}");
}

/// The subjects that are counted, as the database has them.
async fn stored_subjects(app: &TestApp) -> Vec<String> {
    use inkstone::services::allowance::Account;
    let now = chrono::Utc::now();
    let of = |address: &str| {
        let address = Some(address.parse().expect("an address"));
        Account::of(&app.services, &inkstone::auth::Viewer::anonymous(), address, now).person().to_owned()
    };
    let mut used = Vec::new();
    for subject in ["198.51.100.7", "198.51.100.8", "2001:db8:1:2::1"].map(of) {
        let mut conn = app.services.db.conn().await.expect("a connection");
        let total = inkstone::store::token_usage::total(&mut conn, now.date_naive(), &subject).await;
        assert_eq!(total.expect("a number"), 12, "{subject}");
        used.push(subject);
    }
    used
}

#[tokio::test]
async fn members_have_their_tokens_of_the_day() {
    let (app, _) = site(&[("tokens_per_day", "12")]).await;
    let (reader, editor) = (app.tokens.reader.clone(), app.tokens.editor.clone());
    ask(&app, Some(&reader), json!({ "question": QUESTION })).await;
    let refused = app.ask_as(Some(&reader), ASK, json!({ "input": { "question": QUESTION } })).await;
    assert_eq!(code(&refused), "RATE_LIMITED");
    ask(&app, Some(&editor), json!({ "question": QUESTION })).await;
    ask(&app, None, json!({ "question": QUESTION })).await;
    let asked = app.http.post(format!("{}/api/v1/chat", app.base)).bearer_auth(&reader).json(&json!({
        "messages": [{ "role": "user", "parts": [{ "type": "text", "text": QUESTION }] }],
    }));
    let refused = asked.send().await.expect("an answer");
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=86_400).contains(&wait), "until midnight: {wait}");
    assert_eq!(refused.json::<Value>().await.expect("JSON")["code"], "RATE_LIMITED");
}

async fn key_of_the_reader(app: &TestApp) -> String {
    let make = "mutation { createApiKey(input: { name: \"k\", scopes: [READ] }) { secret } }";
    let made = data(app.ask_as(Some(&app.tokens.reader), make, json!({})).await);
    made["createApiKey"]["secret"].as_str().expect("a key").to_owned()
}

#[tokio::test]
async fn keys_make_no_second_reader_of_one() {
    let (app, _) = site(&[("reader_tokens_per_day", "12")]).await;
    let key = key_of_the_reader(&app).await;
    ask(&app, Some(&key), json!({ "question": QUESTION })).await;
    for token in [&app.tokens.reader, &key, &key_of_the_reader(&app).await] {
        let refused = app.ask_as(Some(token), ASK, json!({ "input": { "question": QUESTION } })).await;
        assert_eq!(code(&refused), "RATE_LIMITED", "12 tokens were used");
    }
    ask(&app, Some(&app.tokens.editor), json!({ "question": QUESTION })).await;
    let model = Scripted { stays: true, ..Scripted::new(vec![Ok(said("It "))]) };
    let (app, _) = site_on(model, &[("max_chats", "2")]).await;
    let mut socket = Socket::connect(&app, Some(&app.tokens.reader)).await;
    socket.subscribe("1", CHAT, json!({ "input": { "question": QUESTION } })).await;
    while socket.event().await["chat"]["__typename"] != "ChatToken" {}
    let key = key_of_the_reader(&app).await;
    let refused = app.ask_as(Some(&key), ASK, json!({ "input": { "question": QUESTION } })).await;
    let message = refused["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("1 of your questions"), "{message}");
}

#[tokio::test]
async fn a_full_chat_says_so_at_once() {
    let model = Scripted { stays: true, ..Scripted::new(vec![Ok(said("It "))]) };
    let dropped = model.dropped.clone();
    let (app, _) = site_on(model, &[("max_chats", "1")]).await;
    let input = json!({ "input": { "question": QUESTION } });
    let mut socket = Socket::connect(&app, None).await;
    socket.subscribe("1", CHAT, input.clone()).await;
    while socket.event().await["chat"]["__typename"] != "ChatToken" {}
    let refused = app.ask_as(Some(&app.tokens.reader), ASK, input.clone()).await;
    assert_eq!(code(&refused), "OVERLOADED");
    let message = refused["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("all 1 places of the chat are taken: try again in 5 s"), "{message}");
    let asked = app.http.post(format!("{}/api/v1/chat", app.base)).json(&json!({
        "messages": [{ "role": "user", "parts": [{ "type": "text", "text": QUESTION }] }],
    }));
    let refused = asked.send().await.expect("an answer");
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"5".parse().expect("text")));

    socket.send(json!({ "type": "complete", "id": "1" })).await;
    dropped.notified().await;
    // The place is given back behind the model's end, so the next question may still be too early.
    loop {
        let mut next = Sse::open(&app, Some(&app.tokens.reader), None, CHAT, input.clone()).await;
        let told = next.next().await.expect("an answer").data;
        if told["errors"] == Value::Null {
            assert_eq!(told["data"]["chat"]["__typename"], "ChatStarted");
            break;
        }
        assert_eq!(code(&told), "OVERLOADED");
    }
}

#[tokio::test]
async fn nobody_takes_all_places_alone() {
    let model = Scripted { stays: true, ..Scripted::new(vec![Ok(said("It "))]) };
    let (app, _) = site_on(model, &[("max_chats", "2")]).await;
    let input = json!({ "input": { "question": QUESTION } });
    let mut mine = Socket::connect(&app, None).await;
    mine.subscribe("1", CHAT, input.clone()).await;
    while mine.event().await["chat"]["__typename"] != "ChatToken" {}
    let refused = app.ask(ASK, input.clone()).await;
    assert_eq!(code(&refused), "OVERLOADED");
    assert!(refused.to_string().contains("1 of your questions are being answered"), "{refused}");
    let mut other = Socket::connect(&app, Some(&app.tokens.reader)).await;
    other.subscribe("1", CHAT, input).await;
    assert_eq!(other.event().await["chat"]["__typename"], "ChatStarted");
}

#[tokio::test]
async fn what_a_model_took_counts_also_where_the_reader_left() {
    use inkstone::store::token_usage::total;

    let mut model = Scripted { stays: true, ..Scripted::new(vec![Ok(said("It "))]) };
    model.card.context = 4096;
    let (app, heard) = site_on(model, &[]).await;
    let mut conn = app.services.db.conn().await.expect("a connection");
    let reader = inkstone::store::users::by_handle(&mut conn, "rita").await.expect("an answer");
    let viewer = inkstone::auth::Viewer::trusted(reader.expect("rita"));
    let account = inkstone::services::allowance::Account::of(&app.services, &viewer, None, chrono::Utc::now());
    let subject = account.person().to_owned();
    drop(conn);
    let used = async || {
        let mut conn = app.services.db.conn().await.expect("a connection");
        let all = total(&mut conn, chrono::Utc::now().date_naive(), &subject).await;
        all.expect("a number")
    };
    let more_than = async |before: i64| {
        let begun = std::time::Instant::now();
        loop {
            match used().await {
                now if now > before => return now,
                _ => assert!(begun.elapsed() < PATIENCE, "it should count more than {before}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let query = "subscription($input: ChatInput!) { chat(input: $input) {
        __typename ... on ChatStarted { conversationId } } }";
    let mut socket = Socket::connect(&app, Some(&app.tokens.reader)).await;
    socket.subscribe("1", query, json!({ "input": { "question": QUESTION } })).await;
    let id = socket.event().await["chat"]["conversationId"].take();
    while socket.event().await["chat"]["__typename"] != "ChatToken" {}
    socket.send(json!({ "type": "complete", "id": "1" })).await;
    let before = more_than(0).await;

    // Nothing is found, so that the model is to say the question in full, and has not said it yet.
    let input = json!({ "question": "And it?", "conversationId": id, "filter": { "tag": "none-such" } });
    let asked = heard.count();
    let begun = std::time::Instant::now();
    socket.subscribe("2", query, json!({ "input": input })).await;
    while heard.count() == asked {
        assert!(begun.elapsed() < PATIENCE, "the model should be asked");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    socket.send(json!({ "type": "complete", "id": "2" })).await;
    more_than(before).await;
}
