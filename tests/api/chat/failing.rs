//! When no answer can be written: what was found is told all the same.

use std::time::Duration;

use inkstone::inference::Engine;

use super::*;

#[tokio::test]
async fn a_model_that_cannot_leaves_the_citations() {
    let name = || "scripted/test".to_owned();
    let cases = [
        (InferenceError::Loading { model: name(), bytes: 1, of_bytes: 2 }, "MODEL_LOADING"),
        (InferenceError::Overloaded { retry_after: Duration::from_secs(7) }, "OVERLOADED"),
        (InferenceError::Stopping, "OVERLOADED"),
        (InferenceError::Failed { model: name() }, "INTERNAL_SERVER_ERROR"),
    ];
    for (error, code) in cases {
        let says = error.to_string();
        let (app, _) = site_on(Scripted::refusing(error), &[]).await;
        let answer = ask(&app, None, json!({ "question": QUESTION })).await;
        assert_eq!(answer["failed"], json!({ "code": code, "message": says }));
        assert_eq!((&answer["done"], &answer["text"]), (&Value::Null, &json!("")));
        assert_eq!(answer["citations"][0]["post"]["slug"], "zorbic-kettle", "the reader has something: {answer:#}");
    }
}

#[tokio::test]
async fn a_model_without_words_points_to_the_citations() {
    let (app, heard) = site_on(Scripted::saying(&[" "]), &[]).await;
    let answer = ask(&app, None, json!({ "question": QUESTION })).await;
    assert!(
        answer["text"].as_str().is_some_and(|text| text.ends_with("read the passages that are cited.")),
        "{answer:#}"
    );
    assert_eq!(answer["done"]["finishReason"], "STOP");
    let asked = heard.0.lock().expect("whole").last().cloned().expect("a request");
    assert_eq!(asked.options.stop, ["<<<"], "an answer does not go on with passages of its own");
}

#[tokio::test]
async fn without_a_model_there_are_citations() {
    let app = TestApp::start_on(Engine::default(), &[]).await;
    kettle(&app).await;
    let answer = ask(&app, None, json!({ "question": QUESTION })).await;
    assert_eq!(answer["failed"]["code"], "NOT_FOUND");
    assert_eq!(answer["citations"][0]["post"]["slug"], "zorbic-kettle");
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
