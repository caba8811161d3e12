//! The model `site` of `/v1/chat/completions`.

use reqwest::Response;

use super::*;

async fn post(app: &TestApp, token: Option<&str>, body: Value) -> Response {
    let mut request = app.http.post(format!("{}/v1/chat/completions", app.base)).json(&body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.expect("the server answers")
}

fn asking(more: Value) -> Value {
    let mut body = json!({ "model": "site", "messages": [{ "role": "user", "content": QUESTION }] });
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn any_client_of_openai_asks_the_site() {
    let (app, heard) = site(&[("public_url", "https://ink.example")]).await;
    let messages = json!([
        { "role": "system", "content": "Speak like a pirate." },
        { "role": "user", "content": QUESTION },
        { "role": "assistant", "content": "93 degrees." },
        { "role": "user", "content": "And who measured it?" },
    ]);
    let response = post(&app, Some(&app.tokens.editor), asking(json!({ "messages": messages, "max_tokens": 5 }))).await;
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.expect("JSON");
    assert_eq!((&answer["object"], &answer["model"]), (&json!("chat.completion"), &json!("site")));
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], "It has 93 degrees [1].");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(answer["usage"]["total_tokens"], 12);
    assert_eq!(answer["citations"][0]["index"], 1);
    assert!(answer["citations"][0]["url"].as_str().is_some_and(|url| url.contains("/posts/zorbic-kettle")), "{answer}");
    let said = heard.last();
    assert!(said.iter().all(|(_, text)| !text.contains("pirate")), "the site keeps its own prompt");
    assert_eq!(said.len(), 4, "what was said before is known");
    let asked = heard.0.lock().expect("whole").last().cloned().expect("a request");
    assert_eq!(asked.options.max_tokens, Some(5), "no more than the client wants");
}

#[tokio::test]
async fn the_answer_is_streamed_too() {
    let (app, _) = site(&[]).await;
    let more = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let response = post(&app, Some(&app.tokens.owner), asking(more)).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.expect("a stream that ends");
    let mut told: Vec<_> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    assert_eq!(told.pop(), Some("[DONE]"), "{text}");
    let told: Vec<Value> = told.into_iter().map(|chunk| serde_json::from_str(chunk).expect("JSON")).collect();
    assert!(told.iter().all(|chunk| chunk["id"] == told[0]["id"] && chunk["model"] == "site"), "{text}");
    assert_eq!(told[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(told[1]["citations"][0]["index"], 1, "before the first token");
    let said = told.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    assert_eq!(said.collect::<String>(), "It has 93 degrees [1].");
    assert_eq!(told[told.len() - 2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(told[told.len() - 1]["usage"]["completion_tokens"], 5);
}

#[tokio::test]
async fn it_is_for_those_who_may_ask_models() {
    let (app, heard) = site(&[]).await;
    for (token, status) in [(None, 401), (Some(app.tokens.reader.as_str()), 403)] {
        assert_eq!(post(&app, token, asking(json!({}))).await.status(), status);
    }
    assert_eq!(heard.count(), 0);
    let one = app.http.get(format!("{}/v1/models/site", app.base)).send().await.expect("an answer");
    let one: Value = one.json().await.expect("JSON");
    assert_eq!((&one["id"], &one["task"], &one["state"]), (&json!("site"), &json!("chat"), &json!("ready")));
}

#[tokio::test]
async fn what_the_site_cannot_is_refused() {
    let (app, heard) = site(&[]).await;
    let assistant = json!([{ "role": "assistant", "content": "x" }]);
    let question = |text: &str| json!([{ "role": "user", "content": text }]);
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    for (param, more) in [
        ("tools", json!({ "tools": tool })),
        ("response_format", json!({ "response_format": { "type": "json_object" } })),
        ("logprobs", json!({ "logprobs": true })),
        ("messages", json!({ "messages": assistant })),
        ("messages", json!({ "messages": [] })),
        ("messages", json!({ "messages": question("") })),
        ("messages", json!({ "messages": question(&"x".repeat(2001)) })),
        ("n", json!({ "n": 2 })),
    ] {
        let response = post(&app, Some(&app.tokens.owner), asking(more.clone())).await;
        let (status, refused) = (response.status(), response.json::<Value>().await.expect("JSON"));
        assert_eq!((status.as_u16(), &refused["error"]["param"]), (400, &json!(param)), "{more:.200} {refused}");
    }
    assert_eq!(heard.count(), 0, "no model was asked");
    let (app, _) = site_on(Scripted::refusing(InferenceError::BadInput("not to its taste".into())), &[]).await;
    let response = post(&app, Some(&app.tokens.owner), asking(json!({}))).await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.json::<Value>().await.expect("JSON")["error"]["message"], "not to its taste");
    let response = post(&app, Some(&app.tokens.owner), asking(json!({ "stream": true }))).await;
    let text = response.text().await.expect("a stream that ends");
    assert!(text.contains("\"citations\":[{") && text.contains("not to its taste"), "{text}");
}

#[tokio::test]
async fn where_no_model_can_write_the_site_is_quoted() {
    let (app, _) = site_on(Scripted::refusing(InferenceError::Stopping), &[]).await;
    let response = post(&app, Some(&app.tokens.owner), asking(json!({}))).await;
    assert_eq!(response.status(), 200);
    let told = response.json::<Value>().await.expect("JSON");
    let (choice, degraded) = (&told["choices"][0], &told["degraded"]);
    assert_eq!(told["quoted"], true, "{told:#}");
    assert_eq!((&choice["finish_reason"], degraded), (&json!("stop"), &json!(true)), "{told:#}");
    assert!(choice["message"]["content"].as_str().is_some_and(|text| text.contains("93 degrees")), "{told:#}");
}
