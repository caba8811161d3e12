//! Text that goes on from a text.

use super::*;

const PATH: &str = "/v1/completions";

#[tokio::test]
async fn each_prompt_has_its_choice() {
    let app = TestApp::start().await;
    let body = json!({ "model": "fake-generate", "prompt": ["wet ink", "dry"], "echo": true, "logprobs": 1 });
    let whole = steady(answer(&app, PATH, body).await, "cmpl-");
    assert_eq!(whole["object"], "text_completion");
    assert_eq!(whole["usage"]["total_tokens"], 6);
    let logprobs = json!({
        "tokens": ["wet ", "ink"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{ "wet ": -0.5 }, { "ink": -0.5 }],
        "text_offset": [7, 11],
    });
    let first = json!({ "index": 0, "text": "wet inkwet ink", "logprobs": logprobs, "finish_reason": "stop" });
    assert_eq!(whole["choices"][0], first);
    assert_eq!((&whole["choices"][1]["text"], &whole["choices"][1]["index"]), (&json!("drydry"), &json!(1)));

    let one = answer(&app, PATH, json!({ "prompt": "wet ink stone", "max_tokens": 1 })).await;
    let choice = json!({ "index": 0, "text": "wet ", "logprobs": null, "finish_reason": "length" });
    assert_eq!(one["choices"], json!([choice]), "without the prompt, unless it is asked for");
}

#[tokio::test]
async fn chunks_say_whose_they_are() {
    let app = TestApp::start().await;
    let body =
        json!({ "prompt": ["a b", "c"], "echo": true, "stream": true, "stream_options": { "include_usage": true } });
    let mut told = chunks(&app, PATH, body).await;
    assert_eq!(told.pop().expect("a chunk")["usage"]["completion_tokens"], 3);
    let mut texts = [String::new(), String::new()];
    let mut ended = Vec::new();
    for chunk in &told {
        let choice = &chunk["choices"][0];
        let index = choice["index"].as_u64().expect("an index");
        texts[usize::try_from(index).expect("small")].push_str(choice["text"].as_str().expect("a text"));
        ended.extend(choice["finish_reason"].is_string().then_some(index));
    }
    assert_eq!(texts, ["a ba b", "cc"]);
    assert_eq!(ended, [0, 1], "each ends once");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let app = TestApp::start().await;
    let cases = [
        ("prompt", "missing", json!({})),
        ("prompt", "empty", json!({ "prompt": "" })),
        ("prompt", "send texts", json!({ "prompt": [1, 2] })),
        ("prompt", "at most 16", json!({ "prompt": vec!["x"; 17] })),
        ("suffix", "only go on", json!({ "prompt": "x", "suffix": "y" })),
        ("best_of", "one answer", json!({ "prompt": "x", "best_of": 2 })),
        ("logprobs", "from 0 to 20", json!({ "prompt": "x", "logprobs": true })),
        ("echo", "true or false", json!({ "prompt": "x", "echo": 1 })),
    ];
    wrong(&app, PATH, &cases).await;
}
