//! The chat with a real model: it answers something, and cites what it was given.

use serde_json::{Value, json};

use super::support::TestApp;
use super::support::asking::{QUESTION, ask, kettle};
use super::{WRITE, engine};

#[tokio::test(flavor = "multi_thread")]
async fn a_small_model_answers_from_the_site() {
    let app = TestApp::start_on(engine().await, &[("chat_answers", "written")]).await;
    kettle(&app).await;
    let answer = ask(&app, Some(&app.tokens.reader), json!({ "question": QUESTION })).await;
    assert_eq!(answer["failed"], Value::Null, "{answer:#}");
    assert!(answer["text"].as_str().is_some_and(|text| !text.trim().is_empty()), "{answer:#}");
    assert!(
        answer["citations"]
            .as_array()
            .is_some_and(|cited| cited.iter().any(|one| one["post"]["slug"] == "zorbic-kettle"))
    );
    let done = &answer["done"];
    // A model as small as this one now and then ends before its first word; then the site is quoted.
    let model = if done["finishReason"] == "QUOTED" { Value::Null } else { json!(WRITE) };
    assert_eq!(done["model"], model, "{answer:#}");
    assert!(done["promptTokens"].as_u64().is_some_and(|tokens| (50..4096).contains(&tokens)), "{done}");
    assert!(done["completionTokens"].as_u64().is_some_and(|tokens| (0..=512).contains(&tokens)), "{done}");
    let input = json!({ "question": "And who measured it?", "conversationId": answer["conversationId"] });
    let second = ask(&app, Some(&app.tokens.reader), input).await;
    assert_eq!(second["failed"], Value::Null, "{second:#}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_model_is_too_small_the_site_answers_in_its_own_words() {
    let app = TestApp::start_on(engine().await, &[]).await;
    kettle(&app).await;
    let answer = ask(&app, None, json!({ "question": QUESTION })).await;
    let done = &answer["done"];
    assert_eq!((&done["finishReason"], &done["model"]), (&json!("QUOTED"), &Value::Null), "{answer:#}");
    assert!(answer["text"].as_str().is_some_and(|text| text.contains("93 degrees")), "{answer:#}");
    app.stop().await;
}
