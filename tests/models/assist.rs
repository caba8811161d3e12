//! Help with writing by real models: small ones write badly, so only the form is looked at.

use serde_json::{Value, json};

use super::support::TestApp;
use super::support::data;
use super::support::live::Sse;
use super::{WRITE, engine};

/// What comes last of a subscription.
async fn last(app: &TestApp, field: &str, post: &Value) -> Value {
    let query = format!(
        "subscription($id: ID!) {{ it: {field}(postId: $id) {{ __typename
            ... on AssistDone {{ model degraded promptTokens completionTokens result {{
                ... on SummarySuggestion {{ text }}
                ... on TagSuggestions {{ tags {{ name similarity tag {{ slug }} }} }}
                ... on TitleSuggestions {{ titles }}
                ... on ProofreadingSuggestion {{ skippedParts corrections {{ start end original }} }}
            }} }}
            ... on AssistFailed {{ code message }}
        }} }}"
    );
    let mut stream = Sse::open(app, Some(&app.tokens.owner), None, &query, json!({ "id": post })).await;
    let mut last = Value::Null;
    while let Some(event) = stream.next().await.filter(|event| event.event == "next") {
        last = data(event.data)["it"].take();
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_model_keeps_to_the_form() {
    let app = TestApp::start_on(engine().await, &[]).await;
    let found = app.own("{ post(slug: \"two-clocks\") { id markdown } }", json!({})).await;
    let (id, markdown) = (&found["post"]["id"], found["post"]["markdown"].as_str().expect("a text"));

    let tags = last(&app, "suggestTags", id).await;
    for tag in tags["result"]["tags"].as_array().unwrap_or_else(|| panic!("tags: {tags:#}")) {
        assert!(
            tag["tag"].is_null() || tag["similarity"].as_f64().is_some_and(|it| (-1.0..=1.0).contains(&it)),
            "{tag}"
        );
    }
    let titles = last(&app, "suggestTitle", id).await;
    let some = titles["result"]["titles"].as_array().map(Vec::len);
    assert!(some.is_some_and(|some| (1..=3).contains(&some)) || titles["code"] == "BAD_MODEL_OUTPUT", "{titles:#}");

    let summary = last(&app, "summarize", id).await;
    if summary["code"] != "BAD_MODEL_OUTPUT" {
        let text = summary["result"]["text"].as_str().unwrap_or_else(|| panic!("a summary: {summary:#}"));
        assert!((1..=300).contains(&text.chars().count()), "{text}");
        assert_eq!(summary["model"], WRITE);
    }

    let proof = last(&app, "proofread", id).await;
    if proof["code"] != "BAD_MODEL_OUTPUT" {
        let units: Vec<u16> = markdown.encode_utf16().collect();
        for it in proof["result"]["corrections"].as_array().unwrap_or_else(|| panic!("corrections: {proof:#}")) {
            let place = |name: &str| it[name].as_u64().and_then(|n| usize::try_from(n).ok()).expect("a place");
            let there = String::from_utf16(&units[place("start")..place("end")]).expect("a text");
            assert_eq!(json!(there), it["original"], "it stands where it is said to stand");
        }
    }
    app.stop().await;
}
