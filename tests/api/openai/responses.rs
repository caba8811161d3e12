//! `/v1/responses`: answers that the server keeps, and goes on from.

use inkstone::inference::{Constraint, Prompt, Role};

use super::*;

const PATH: &str = "/v1/responses";

/// What the model was asked for last, each message as its role and text.
fn asked(asked: &Arc<Mutex<Vec<GenerateRequest>>>) -> (Vec<(Role, String)>, GenerateRequest) {
    let request = asked.lock().expect("no test panics with it").last().expect("a request").clone();
    let Prompt::Messages(messages) = &request.prompt else { panic!("a conversation") };
    (messages.iter().map(|message| (message.role, message.content.clone())).collect(), request)
}

/// The events of a stream, each by its name and its data.
async fn told(app: &TestApp, body: Value) -> Vec<(String, Value)> {
    let response = post(app, PATH, body).await;
    assert_eq!(response.status(), 200);
    let text = response.text().await.expect("a stream that ends");
    let event = |event: &str| {
        let (name, data) = event.split_once('\n').expect("two lines");
        let name = name.strip_prefix("event: ").expect("a name").to_owned();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        assert_eq!(data["type"], json!(name), "both say what it is");
        (name, data)
    };
    text.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(':')).map(event).collect()
}

#[tokio::test]
async fn an_answer_is_told_whole_and_kept() {
    let app = TestApp::start().await;
    let body = json!({ "model": "fake-generate", "input": "grind the ink", "instructions": "Be brief.", "metadata": { "a": "b" } });
    let done = answer(&app, PATH, body).await;
    let id = done["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("resp_"), "{id}");
    for (name, expected) in [
        ("object", json!("response")),
        ("status", json!("completed")),
        ("instructions", json!("Be brief.")),
        ("metadata", json!({ "a": "b" })),
        ("store", json!(true)),
        ("model", json!("fake-generate/test")),
        ("previous_response_id", Value::Null),
    ] {
        assert_eq!(done[name], expected, "{name} of {done}");
    }
    assert_eq!(done["output"][0]["content"][0]["text"], "grind the ink");
    assert_eq!(done["output"][0]["role"], "assistant");
    assert_eq!(done["usage"]["input_tokens"], json!(3));
    assert_eq!(done["usage"]["total_tokens"], json!(6));

    let one = format!("{PATH}/{id}");
    let editor = Some(app.tokens.editor.as_str());
    let again = send(&app, editor, Method::GET, &one, None).await;
    assert_eq!(again.headers()["cache-control"], "private, no-store", "what was said is not for caches");
    assert_eq!(again.json::<Value>().await.expect("JSON"), done, "it can be asked for again");
    for nothing in ["resp_x", "%FF", "resp_00000000000000000000000000000000"] {
        let nothing = send(&app, editor, Method::GET, &format!("{PATH}/{nothing}"), None).await;
        let code = json!("previous_response_not_found");
        refusal(nothing, 404, "invalid_request_error", code, json!("previous_response_id")).await;
    }
    let other = send(&app, Some(&app.tokens.owner), Method::GET, &one, None).await;
    let code = json!("previous_response_not_found");
    refusal(other, 404, "invalid_request_error", code.clone(), json!("previous_response_id")).await;
    let reader = send(&app, Some(&app.tokens.reader), Method::GET, &one, None).await;
    assert_eq!(reader.status(), 403);
    assert_eq!(send(&app, None, Method::GET, &one, None).await.status(), 401);
    let gone: Value = send(&app, editor, Method::DELETE, &one, None).await.json().await.expect("JSON");
    assert_eq!(gone, json!({ "id": id, "object": "response", "deleted": true }));
    let gone = send(&app, editor, Method::GET, &one, None).await;
    refusal(gone, 404, "invalid_request_error", code, json!("previous_response_id")).await;
    assert_eq!(send(&app, editor, Method::PUT, &one, None).await.headers()["allow"], "GET, DELETE");
    app.stop().await;
}

#[tokio::test]
async fn the_next_request_goes_on_from_it() {
    let model = Scripted::saying(&["Black."]);
    let heard = model.asked.clone();
    let app = model.start(&[]).await;
    let first = answer(&app, PATH, json!({ "input": "Which ink?", "instructions": "Be brief." })).await;
    let body = json!({ "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "Why?" }] }], "previous_response_id": first["id"] });
    let second = answer(&app, PATH, body).await;
    assert_eq!(second["previous_response_id"], first["id"]);
    let said = |role, text: &str| (role, text.to_owned());
    let whole = vec![said(Role::User, "Which ink?"), said(Role::Assistant, "Black."), said(Role::User, "Why?")];
    assert_eq!(asked(&heard).0, whole, "instructions are of one request alone");

    let body = json!({ "input": "And?", "previous_response_id": second["id"], "store": false });
    let third = answer(&app, PATH, body).await;
    assert_eq!((asked(&heard).0.len(), &third["store"]), (5, &json!(false)));
    let body = json!({ "input": "x", "previous_response_id": third["id"] });
    let code = json!("previous_response_not_found");
    let lost = post(&app, PATH, body).await;
    refusal(lost, 404, "invalid_request_error", code.clone(), json!("previous_response_id")).await;
    let foreign = json!({ "input": "x", "previous_response_id": first["id"] });
    let foreign = send(&app, Some(&app.tokens.owner), Method::POST, PATH, Some(foreign)).await;
    refusal(foreign, 404, "invalid_request_error", code, json!("previous_response_id")).await;
    app.stop().await;
}

#[tokio::test]
async fn an_answer_is_told_in_events() {
    let app = Scripted::saying(&["wet ", "", "墨"]).start(&[]).await;
    let events = told(&app, json!({ "input": "ink", "stream": true })).await;
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    for (n, (_, data)) in events.iter().enumerate() {
        assert_eq!(data["sequence_number"], json!(n));
    }
    let whole = &events.last().expect("events").1["response"];
    assert_eq!(whole["output"][0]["content"][0]["text"], "wet 墨");
    assert_eq!(whole["output"][0]["id"], events[4].1["item_id"], "all events mean the same message");
    assert_eq!(whole["usage"]["input_tokens_details"]["cached_tokens"], json!(2));
    let one = format!("{PATH}/{}", whole["id"].as_str().expect("an id"));
    let kept: Value = send(&app, Some(&app.tokens.editor), Method::GET, &one, None).await.json().await.expect("JSON");
    assert_eq!(&kept, whole, "it is kept when its last event comes");
    app.stop().await;
}

#[tokio::test]
async fn functions_are_called_and_answered() {
    let call = "<tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Suzhou\"}}</tool_call>";
    let model = Scripted::saying(&["I look.", call]);
    let heard = model.asked.clone();
    let app = model.start(&[]).await;
    let tool = json!({ "type": "function", "name": "weather", "parameters": { "type": "object" }, "strict": true });
    let body = json!({ "input": "Rain?", "tools": [tool], "stream": true });
    let events = told(&app, body).await;
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"response.function_call_arguments.done"), "{names:?}");
    let whole = &events.last().expect("events").1["response"];
    assert_eq!(whole["tools"], json!([tool]), "told as it was sent");
    assert_eq!(whole["output"][0]["content"][0]["text"], "I look.");
    let made = &whole["output"][1];
    assert_eq!((&made["type"], &made["name"]), (&json!("function_call"), &json!("weather")));
    assert_eq!(made["arguments"], json!("{\"city\":\"Suzhou\"}"));

    let output = json!({ "type": "function_call_output", "call_id": made["call_id"], "output": "Yes." });
    answer(&app, PATH, json!({ "input": [output], "previous_response_id": whole["id"] })).await;
    let (said, request) = asked(&heard);
    let roles: Vec<_> = said.iter().map(|(role, _)| *role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool]);
    let Prompt::Messages(messages) = request.prompt else { panic!("a conversation") };
    assert_eq!(messages[1].tool_calls[0]["function"]["name"], "weather");
    assert_eq!(Some(messages[2].tool_call_id.as_deref()), Some(made["call_id"].as_str()));
    app.stop().await;
}

#[tokio::test]
async fn what_is_asked_for_reaches_the_model() {
    let model = Scripted::new(vec![Ok(said("{}")), Ok(done(FinishReason::Length))]);
    let heard = model.asked.clone();
    let app = model.start(&[]).await;
    let format = json!({ "format": { "type": "json_schema", "name": "a", "schema": { "type": "object" } } });
    let body = json!({ "input": "x", "text": format, "max_output_tokens": 9, "temperature": 0, "top_p": 0.5 });
    let done = answer(&app, PATH, body).await;
    assert_eq!(
        (&done["status"], &done["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    assert_eq!((&done["text"], &done["max_output_tokens"]), (&format, &json!(9)));
    let options = asked(&heard).1.options;
    assert_eq!((options.max_tokens, options.temperature, options.top_p), (Some(9), 0.0, 0.5));
    assert_eq!(options.constraint, Some(Constraint::JsonSchema(json!({ "type": "object" }))));
    app.stop().await;
}

#[tokio::test]
async fn what_breaks_on_the_way_is_told() {
    let broken = InferenceError::Failed { model: "scripted/test".into() };
    let app = Scripted::new(vec![Ok(said("wet")), Err(broken)]).start(&[]).await;
    let events = told(&app, json!({ "input": "ink", "stream": true })).await;
    let (name, data) = events.last().expect("events");
    assert_eq!((name.as_str(), &data["code"]), ("error", &json!("internal_error")));
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_answered_all_the_same() {
    let app = TestApp::start().await;
    let done = answer(&app, PATH, json!({ "input": "no\u{0}text for Postgres" })).await;
    assert_eq!((&done["status"], &done["store"]), (&json!("completed"), &json!(false)));
    app.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let app = TestApp::start().await;
    let user = |content: Value| json!([{ "role": "user", "content": content }]);
    wrong(
        &app,
        PATH,
        &[
            ("input", "missing", json!({})),
            ("input", "expected a text, or a list", json!({ "input": [] })),
            ("input", "holds nothing", json!({ "input": [{ "type": "reasoning", "summary": [] }] })),
            ("input[0].role", "expected system", json!({ "input": [{ "role": "king", "content": "x" }] })),
            ("input[0].type", "function_call_output", json!({ "input": [{ "type": "file_search_call" }] })),
            ("input[0].content[0]", "texts only", json!({ "input": user(json!([{ "type": "input_image" }])) })),
            ("conversation", "previous_response_id", json!({ "input": "x", "conversation": "c" })),
            ("tools[0].type", "nothing else", json!({ "input": "x", "tools": [{ "type": "web_search" }] })),
            ("text.format.type", "json_schema", json!({ "input": "x", "text": { "format": { "type": "yaml" } } })),
            ("max_output_tokens", "whole number", json!({ "input": "x", "max_output_tokens": 0 })),
        ],
    )
    .await;
    app.stop().await;
}
