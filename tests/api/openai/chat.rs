//! Conversations, whole and as they are written.

use inkstone::inference::{Constraint, Prompt, Role};

use super::*;

const PATH: &str = "/v1/chat/completions";

fn asking(text: &str, more: Value) -> Value {
    let mut body = json!({ "model": "fake-generate", "messages": [{ "role": "user", "content": text }] });
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn an_answer_is_told_whole() {
    let app = TestApp::start().await;
    let body = json!({ "messages": [
        { "role": "developer", "content": "Be brief." },
        { "role": "user", "content": "before" },
        { "role": "assistant", "content": "Yes?" },
        { "role": "user", "content": [{ "type": "text", "text": "grind " }, { "type": "text", "text": "the ink" }], "name": "ann" },
    ], "store": false, "metadata": {} });
    let whole = steady(answer(&app, PATH, body).await, "chatcmpl-");
    let expected = json!({
        "id": null,
        "object": "chat.completion",
        "created": null,
        "model": "fake-generate/test",
        "system_fingerprint": null,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": "grind the ink", "refusal": null },
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 3,
            "total_tokens": 6,
            "prompt_tokens_details": { "cached_tokens": 0 },
        },
    });
    assert_eq!(whole, expected);
}

#[tokio::test]
async fn an_answer_is_told_as_it_is_written() {
    let app = TestApp::start().await;
    let more = json!({ "stream": true, "stream_options": { "include_usage": true }, "max_tokens": 2 });
    let mut told = chunks(&app, PATH, asking("grind the ink", more)).await;
    let last = steady(told.pop().expect("a chunk"), "chatcmpl-");
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["total_tokens"], 5, "{last}");
    let first = told[0]["id"].clone();
    let mut deltas = Vec::new();
    for chunk in &told {
        assert_eq!((&chunk["id"], &chunk["object"]), (&first, &json!("chat.completion.chunk")));
        assert_eq!((&chunk["model"], &chunk["usage"]), (&json!("fake-generate/test"), &Value::Null));
        deltas.push((chunk["choices"][0]["delta"].clone(), chunk["choices"][0]["finish_reason"].clone()));
    }
    let expected = [
        (json!({ "role": "assistant", "content": "", "refusal": null }), Value::Null),
        (json!({ "content": "grind " }), Value::Null),
        (json!({ "content": "the " }), Value::Null),
        (json!({}), json!("length")),
    ];
    assert_eq!(deltas, expected, "in this order");
    let without = chunks(&app, PATH, asking("ink", json!({ "stream": true }))).await;
    assert!(without.iter().all(|chunk| chunk.get("usage").is_none()), "nobody asked for it: {without:?}");
}

#[tokio::test]
async fn log_probabilities_come_with_their_tokens() {
    let app = TestApp::start().await;
    let more = json!({ "logprobs": true, "top_logprobs": 1 });
    let whole = answer(&app, PATH, asking("wet ink", more.clone())).await;
    let token = |text: &str| json!({ "token": text, "logprob": -0.5, "bytes": text.as_bytes() });
    let with_top = |text: &str| {
        let mut one = token(text);
        one["top_logprobs"] = json!([token(text)]);
        one
    };
    let expected = json!([with_top("wet "), with_top("ink")]);
    assert_eq!(whole["choices"][0]["logprobs"]["content"], expected);
    let mut streamed = more;
    streamed["stream"] = json!(true);
    let told = chunks(&app, PATH, asking("wet ink", streamed)).await;
    let content = told.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array()).flatten();
    assert_eq!(json!(content.collect::<Vec<_>>()), expected, "the same in chunks");
}

#[tokio::test]
async fn the_model_is_asked_for_what_the_request_says() {
    let model = Scripted::saying(&["{}"]);
    let asked = model.asked.clone();
    let app = model.start(&[]).await;
    let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
    let body = json!({
        "messages": [
            { "role": "system", "content": "S" },
            { "role": "user", "content": "U" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{}" } }] },
            { "role": "tool", "tool_call_id": "c1", "content": "seen" },
        ],
        "max_tokens": 9, "max_completion_tokens": 8, "temperature": 0, "top_p": 0.5, "top_k": 3, "min_p": 0.25,
        "frequency_penalty": -1.5, "presence_penalty": 1.5, "seed": -1, "stop": "END", "logit_bias": { "42": -100 },
        "response_format": { "type": "json_schema", "json_schema": { "name": "a", "strict": true, "schema": schema } },
        "n": 1, "stream": null, "service_tier": "auto",
    });
    answer(&app, PATH, body).await;
    let bodies = json!([{ "response_format": { "type": "json_object" }, "stop": ["a", "b"] }, { "response_format": { "type": "text" } }]);
    for more in bodies.as_array().expect("a list") {
        let mut body = asking("U", more.clone());
        body["model"] = json!("scripted");
        answer(&app, PATH, body).await;
    }
    let asked = asked.lock().expect("no test panics with it");
    let Prompt::Messages(messages) = &asked[0].prompt else { panic!("messages") };
    assert_eq!(
        messages.iter().map(|m| m.role).collect::<Vec<_>>(),
        [Role::System, Role::User, Role::Assistant, Role::Tool]
    );
    assert_eq!(messages[2].tool_calls[0]["function"]["name"], "look");
    assert_eq!((messages[3].content.as_str(), messages[3].tool_call_id.as_deref()), ("seen", Some("c1")));
    let options = &asked[0].options;
    let numbers =
        [options.temperature, options.top_p, options.min_p, options.frequency_penalty, options.presence_penalty];
    assert_eq!(numbers, [0.0, 0.5, 0.25, -1.5, 1.5]);
    assert_eq!((options.max_tokens, options.top_k, options.seed), (Some(8), 3, Some(u64::MAX)));
    assert_eq!((options.stop.as_slice(), options.logit_bias.get(&42)), (["END".to_owned()].as_slice(), Some(&-100.0)));
    assert_eq!(options.constraint, Some(Constraint::JsonSchema(schema)));
    assert_eq!(asked[1].options.constraint, Some(Constraint::JsonObject));
    assert_eq!(asked[1].options.stop, ["a", "b"]);
    assert_eq!(asked[2].options.constraint, None);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let app = TestApp::start().await;
    let image = json!([{ "type": "image_url", "image_url": { "url": "data:," } }]);
    let messages = |messages: Value| json!({ "messages": messages });
    let one = |field: &str, value: Value| asking("x", json!({ field: value }));
    let cases = [
        ("messages", "missing", json!({})),
        ("messages", "empty", messages(json!([]))),
        ("messages", "a list", messages(json!("hello"))),
        ("messages", "at most 1000", messages(json!(vec![json!({ "role": "user", "content": "x" }); 1001]))),
        ("messages[0]", "an object", messages(json!(["hello"]))),
        ("messages[0].role", "missing", messages(json!([{ "content": "x" }]))),
        ("messages[0].role", "system, developer", messages(json!([{ "role": "god", "content": "x" }]))),
        ("messages[0].content", "missing", messages(json!([{ "role": "user" }]))),
        ("messages[0].content", "a text", messages(json!([{ "role": "user", "content": 1 }]))),
        ("messages[0].content[0]", "texts only", messages(json!([{ "role": "user", "content": image }]))),
        ("messages[0].tool_call_id", "missing", messages(json!([{ "role": "tool", "content": "x" }]))),
        ("messages[0].tool_calls[0].id", "missing", messages(json!([{ "role": "assistant", "tool_calls": [{}] }]))),
        ("n", "one answer", one("n", json!(2))),
        ("n", "a whole number", one("n", json!("1"))),
        ("temperature", "from 0 to 2", one("temperature", json!(2.5))),
        ("temperature", "a number", one("temperature", json!("hot"))),
        ("top_p", "from 0 to 1", one("top_p", json!(-1))),
        ("max_tokens", "a whole number from 1", one("max_tokens", json!(0))),
        ("max_completion_tokens", "a whole number", one("max_completion_tokens", json!(1.5))),
        ("presence_penalty", "from -2 to 2", one("presence_penalty", json!(3))),
        ("seed", "a whole number", one("seed", json!(0.5))),
        ("stop", "at most 4", one("stop", json!(["a", "b", "c", "d", "e"]))),
        ("stop", "empty", one("stop", json!(""))),
        ("logit_bias.x", "no token", one("logit_bias", json!({ "x": 1 }))),
        ("logit_bias.5", "from -100", one("logit_bias", json!({ "5": 101 }))),
        ("top_logprobs", "`logprobs`", one("top_logprobs", json!(1))),
        ("top_logprobs", "from 0 to 20", asking("x", json!({ "logprobs": true, "top_logprobs": 21 }))),
        ("stream", "true or false", one("stream", json!("yes"))),
        ("stream_options", "for streams", one("stream_options", json!({ "include_usage": true }))),
        (
            "stream_options.include_usage",
            "true or false",
            asking("x", json!({ "stream": true, "stream_options": { "include_usage": 1 } })),
        ),
        ("response_format.type", "json_schema", one("response_format", json!({ "type": "xml" }))),
        ("response_format.json_schema", "missing", one("response_format", json!({ "type": "json_schema" }))),
        (
            "response_format.json_schema.schema",
            "missing",
            one("response_format", json!({ "type": "json_schema", "json_schema": {} })),
        ),
        ("functions", "`tools`", one("functions", json!([]))),
    ];
    wrong(&app, PATH, &cases).await;
    for stream in [true, false] {
        let unknown = asking("x", json!({ "model": "gpt-5", "stream": stream }));
        let response = post(&app, PATH, unknown).await;
        refusal(response, 404, "invalid_request_error", json!("model_not_found"), json!("model")).await;
    }
}
