//! What happens to a text that does not come to its end.

use inkstone::services::allowance;
use tokio::sync::Notify;

use super::*;
use crate::support::live::PATIENCE;

const PATH: &str = "/v1/chat/completions";

fn asking(stream: bool) -> Value {
    json!({ "messages": [{ "role": "user", "content": "x".repeat(4000) }], "stream": stream })
}

async fn in_time<T>(waiting: impl Future<Output = T>, what: &str) -> T {
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("{what} should have happened within {PATIENCE:?}"))
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_model_and_pays() {
    let model = Scripted { stays: true, ..Scripted::new(vec![Ok(said("first"))]) };
    let dropped = model.dropped.clone();
    let app = model.start(&[("tokens_per_day", "1000")]).await;
    let mut response = post(&app, PATH, asking(true)).await;
    let mut heard = String::new();
    while !heard.contains("first") {
        let more = response.chunk().await.expect("a stream").expect("the stream goes on");
        heard.push_str(&String::from_utf8_lossy(&more));
    }
    drop(response);
    in_time(dropped.notified(), "the model's text is dropped").await;
    let user = app.own("{ user(handle: \"edgar\") { id } }", json!({})).await;
    let account = format!("user:{}", row_id(user["user"]["id"].as_str().expect("an id")));
    let paid = async {
        while allowance::used_up(&app.services, &account, chrono::Utc::now()).await.expect("an answer").is_none() {
            tokio::task::yield_now().await;
        }
    };
    in_time(paid, "about 1001 tokens are written down").await;
}

/// A global id is `Type:uuid` in base64.
fn row_id(global: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(global).expect("base64");
    let text = String::from_utf8(bytes).expect("text");
    text.rsplit(':').next().expect("an id").replace('-', "")
}

#[tokio::test]
async fn a_client_that_does_not_wait_stops_the_model() {
    let model = Scripted { stays: true, ..Scripted::new(Vec::new()) };
    let (dropped, asked) = (model.dropped.clone(), model.asked.clone());
    let app = model.start(&[]).await;
    let mut request = Box::pin(post(&app, PATH, asking(false)));
    let begun = async {
        while asked.lock().expect("no test panics with it").is_empty() {
            tokio::select! {
                biased;
                _ = &mut request => panic!("the text has no end"),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    in_time(begun, "the model is asked").await;
    drop(request);
    in_time(dropped.notified(), "the model's text is dropped").await;
}

#[tokio::test]
async fn what_breaks_on_the_way_is_told_and_ends_the_stream() {
    let failed = InferenceError::Failed { model: "scripted/test".into() };
    let app = Scripted::new(vec![Ok(said("first")), Err(failed.clone())]).start(&[]).await;
    let told = events(post(&app, PATH, asking(true)).await).await;
    assert!(told[1].contains("first"), "what was written is told: {told:?}");
    let last: Value = serde_json::from_str(told.last().expect("events")).expect("JSON");
    let expected =
        json!({ "message": failed.to_string(), "type": "server_error", "param": null, "code": "internal_error" });
    assert_eq!(last["error"], expected, "{told:?}");
    let whole = post(&app, PATH, asking(false)).await;
    refusal(whole, 500, "server_error", json!("internal_error"), Value::Null).await;

    let app = Scripted::new(vec![Ok(said("first"))]).start(&[]).await;
    let told = events(post(&app, PATH, asking(true)).await).await;
    assert!(told.last().is_some_and(|last| last.contains("error")), "a text without an end is none: {told:?}");
}

#[tokio::test]
async fn an_answer_takes_no_longer_than_it_may() {
    let model = Scripted { stays: true, ..Scripted::new(vec![Ok(said("first"))]) };
    let app = model.start(&[("inference_timeout_ms", "200")]).await;
    let whole = post(&app, PATH, asking(false)).await;
    let message = refusal(whole, 504, "server_error", json!("timeout"), Value::Null).await;
    assert!(message.contains("0.2 s"), "{message}");
    let told = in_time(events(post(&app, PATH, asking(true)).await), "the end of the stream").await;
    assert!(told.last().is_some_and(|last| last.contains("\"timeout\"")), "{told:?}");
}

#[tokio::test]
async fn a_text_ends_with_the_rights_of_who_asked() {
    let model = Scripted { stays: true, ..Scripted::new(vec![Ok(said("first"))]) };
    let dropped = model.dropped.clone();
    let app = model.start(&[]).await;
    let response = post(&app, PATH, asking(true)).await;
    let signed_out = app.ask_as(Some(&app.tokens.editor), "mutation { signOut { __typename } }", json!({})).await;
    assert_eq!(signed_out.get("errors"), None, "{signed_out}");
    let told = in_time(events(response), "the end of the stream").await;
    assert!(told.last().is_some_and(|last| last.contains("invalid_api_key")), "{told:?}");
    in_time(dropped.notified(), "the model's text is dropped").await;
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let model = Scripted { stays: true, ..Scripted::new(vec![Ok(said("first"))]) };
    let dropped = model.dropped.clone();
    let app = model.start(&[("shutdown_grace_ms", "500")]).await;
    let response = post(&app, PATH, asking(true)).await;
    let reading = tokio::spawn(events(response));
    in_time(app.stop(), "the server's end").await;
    in_time(dropped.notified(), "the model's text is dropped").await;
    let told = in_time(reading, "the end of the stream").await.expect("events");
    assert!(told.last().is_some_and(|last| last.contains("the server is stopping")), "{told:?}");
}

#[tokio::test]
async fn an_answer_comes_to_its_end_while_the_server_stops() {
    let goes_on = Arc::new(Notify::new());
    let pieces = vec![Ok(said("first")), Ok(done(FinishReason::Stop))];
    let model = Scripted { waits: Some(goes_on.clone()), ..Scripted::new(pieces) };
    let app = model.start(&[]).await;
    let response = post(&app, PATH, asking(true)).await;
    let (client, address) = (app.http.clone(), format!("{}/healthz", app.base));
    let reading = tokio::spawn(events(response));
    let stopping = tokio::spawn(app.stop());
    let refused = async {
        while client.get(&address).header("connection", "close").send().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    in_time(refused, "nobody is let in any more").await;
    assert!(!reading.is_finished(), "the answer is waited for");
    goes_on.notify_one();
    let told = in_time(reading, "the end of the answer").await.expect("events");
    assert!(told.iter().any(|event| event.contains("\"stop\"")), "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("[DONE]"), "{told:?}");
    in_time(stopping, "the server's end").await.expect("no panic");
}
