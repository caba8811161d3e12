//! When no answer can be written: the site is quoted, or what was found is told all the same.

use std::time::Duration;

use inkstone::inference::Engine;

use super::*;

/// What the kettle's post says of it.
const QUOTED: &str = "“The zorbic kettle is hot: 93 degrees, measured twice.” [";

#[tokio::test]
async fn where_no_model_can_write_the_site_is_quoted() {
    let name = || "scripted/test".to_owned();
    let cases = [
        InferenceError::Loading { model: name(), bytes: 1, of_bytes: 2 },
        InferenceError::Overloaded { retry_after: Duration::from_secs(7) },
        InferenceError::Stopping,
        InferenceError::Failed { model: name() },
    ];
    for error in cases {
        let (app, _) = site_on(Scripted::refusing(error), &[]).await;
        is_quoted(&ask(&app, None, json!({ "question": QUESTION })).await, true);
    }
    let app = TestApp::start_on(Engine::default(), &[]).await;
    kettle(&app).await;
    is_quoted(&ask(&app, None, json!({ "question": QUESTION })).await, true);
}

fn is_quoted(answer: &Value, degraded: bool) {
    assert_eq!(answer["failed"], Value::Null, "{answer:#}");
    let text = answer["text"].as_str().unwrap_or_default().trim();
    assert!(text.starts_with("The nearest to that on this site:\n\n“") && text.contains(QUOTED), "{answer:#}");
    let done = &answer["done"];
    assert_eq!((&done["finishReason"], &done["model"]), (&json!("QUOTED"), &Value::Null), "{answer:#}");
    assert_eq!(done["degraded"], degraded, "{answer:#}");
    assert_eq!(answer["citations"][0]["post"]["slug"], "zorbic-kettle");
}

#[tokio::test]
async fn a_model_that_refuses_leaves_the_citations() {
    let error = InferenceError::BadInput("the prompt is not to its taste".into());
    let (app, _) = site_on(Scripted::refusing(error), &[]).await;
    let answer = ask(&app, None, json!({ "question": QUESTION })).await;
    let failed = json!({ "code": "BAD_USER_INPUT", "message": "the prompt is not to its taste" });
    assert_eq!(answer["failed"], failed);
    assert_eq!((&answer["done"], &answer["text"]), (&Value::Null, &json!("")));
    assert_eq!(answer["citations"][0]["post"]["slug"], "zorbic-kettle", "the reader has something: {answer:#}");
}

#[tokio::test]
async fn a_model_without_words_leaves_the_sites() {
    let (app, heard) = site_on(Scripted::saying(&[" "]), &[]).await;
    let reader = app.tokens.reader.clone();
    let answer = ask(&app, Some(&reader), json!({ "question": QUESTION })).await;
    is_quoted(&answer, true);
    let asked = heard.0.lock().expect("whole").last().cloned().expect("a request");
    assert_eq!(asked.options.stop, ["<<<"], "an answer does not go on with passages of its own");
    let kept = "query($id: ID!) { conversation(id: $id) { messages { nodes { text finishReason } } } }";
    let kept = data(app.ask_as(Some(&reader), kept, json!({ "id": answer["conversationId"] })).await);
    let last = &kept["conversation"]["messages"]["nodes"][1];
    assert_eq!(last["finishReason"], "QUOTED");
    assert!(last["text"].as_str().is_some_and(|text| text.contains(QUOTED)), "{last}");
}

#[tokio::test]
async fn a_model_that_is_too_small_is_asked_only_where_the_owner_says_so() {
    let small = || {
        let mut model = Scripted::saying(&["93 degrees [1]."]);
        model.card.parameters = Some(135_000_000);
        model
    };
    let (app, heard) = site_on(small(), &[]).await;
    is_quoted(&ask(&app, None, json!({ "question": QUESTION })).await, true);
    assert_eq!(heard.count(), 0);
    let (app, heard) = site_on(small(), &[("chat_answers", "written")]).await;
    let answer = ask(&app, None, json!({ "question": QUESTION })).await;
    assert_eq!((&answer["text"], heard.count()), (&json!("93 degrees [1]."), 1));
    let (app, heard) = site_on(Scripted::saying(&["Yes."]), &[("chat_answers", "quoted")]).await;
    let answer = ask(&app, None, json!({ "question": QUESTION })).await;
    is_quoted(&answer, answer["done"]["degraded"] == true);
    assert_eq!(heard.count(), 0, "an owner may want no words but their own");
}

#[tokio::test]
async fn what_breaks_off_keeps_what_there_was() {
    let broken = InferenceError::Failed { model: "scripted/test".into() };
    let model = Scripted::new(vec![Ok(said("It has ")), Err(broken)]);
    let (app, _) = site_on(model, &[]).await;
    let reader = app.tokens.reader.clone();
    let answer = ask(&app, Some(&reader), json!({ "question": QUESTION })).await;
    assert_eq!((&answer["text"], &answer["failed"]["code"]), (&json!("It has "), &json!("INTERNAL_SERVER_ERROR")));
    let kept = "query($id: ID!) { conversation(id: $id) { messages { nodes { role text finishReason } } } }";
    let kept = data(app.ask_as(Some(&reader), kept, json!({ "id": answer["conversationId"] })).await);
    let last = &kept["conversation"]["messages"]["nodes"][1];
    assert_eq!(*last, json!({ "role": "ASSISTANT", "text": "It has ", "finishReason": "FAILED" }));
}

#[tokio::test]
async fn a_model_that_takes_too_long_is_stopped() {
    let model = Scripted { stays: true, ..Scripted::new(vec![Ok(said("It "))]) };
    let dropped = model.dropped.clone();
    let (app, _) = site_on(model, &[("inference_timeout_ms", "300")]).await;
    let asked = app.http.post(format!("{}/api/v1/chat", app.base)).json(&json!({
        "messages": [{ "role": "user", "parts": [{ "type": "text", "text": QUESTION }] }],
    }));
    let told = asked.send().await.expect("an answer").text().await.expect("a stream that ends");
    assert!(told.contains("REQUEST_TIMEOUT"), "{told}");
    dropped.notified().await;
}
