//! Functions that a model may call.

use inkstone::inference::Constraint;

use super::*;

const PATH: &str = "/v1/chat/completions";
const CALL: [&str; 4] =
    ["Let me see. <tool", "_call>\n{\"name\": \"look\", \"argu", "ments\": {\"at\": 1}}</tool_", "call>"];

fn asking(more: Value) -> Value {
    let parameters = json!({ "type": "object", "properties": { "at": { "type": "integer" } } });
    let mut body = json!({
        "messages": [{ "role": "user", "content": "Look." }],
        "tools": [{ "type": "function", "function": { "name": "look", "description": "Looks.", "parameters": parameters } }],
    });
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn a_call_is_found_in_what_the_model_writes() {
    let model = Scripted::saying(&CALL);
    let asked = model.asked.clone();
    let app = model.start(&[]).await;
    let whole = answer(&app, PATH, asking(json!({}))).await;
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "Let me see.");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"], json!({ "name": "look", "arguments": "{\"at\":1}" }));
    assert_eq!((&call["type"], call.get("index")), (&json!("function"), None));
    assert!(call["id"].as_str().is_some_and(|id| id.starts_with("call_")), "{call}");

    let told = chunks(&app, PATH, asking(json!({ "stream": true }))).await;
    let deltas: Vec<_> = told.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    let said: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
    assert_eq!(said, "Let me see.", "nothing of the call is told as text: {told:?}");
    let calls: Vec<_> = deltas.iter().filter_map(|delta| delta["tool_calls"].as_array()).flatten().collect();
    assert_eq!((calls.len(), &calls[0]["index"]), (1, &json!(0)), "{told:?}");
    assert_eq!(calls[0]["function"], call["function"]);
    assert_eq!(told.last().expect("chunks")["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(asked.lock().expect("no test panics with it")[0].tools[0]["function"]["name"], "look");
}

#[tokio::test]
async fn who_wants_no_calls_gets_none() {
    let model = Scripted::saying(&CALL);
    let asked = model.asked.clone();
    let app = model.start(&[]).await;
    let whole = answer(&app, PATH, asking(json!({ "tool_choice": "none" }))).await;
    assert_eq!(whole["choices"][0]["message"]["content"], json!(CALL.concat()), "it is text then");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert!(asked.lock().expect("no test panics with it")[0].tools.is_empty(), "the model hears of none");
}

#[tokio::test]
async fn a_call_that_is_required_is_bound_to_be_one() {
    let model = Scripted::saying(&["{\"name\": \"look\", ", "\"arguments\": {\"at\": 2}}"]);
    let asked = model.asked.clone();
    let app = model.start(&[]).await;
    for choice in [json!("required"), json!({ "type": "function", "function": { "name": "look" } })] {
        let whole = answer(&app, PATH, asking(json!({ "tool_choice": choice }))).await;
        let message = &whole["choices"][0]["message"];
        assert_eq!(message["content"], Value::Null, "{choice}: {whole}");
        assert_eq!(message["tool_calls"][0]["function"]["arguments"], "{\"at\":2}");
    }
    for request in asked.lock().expect("no test panics with it").iter() {
        let Some(Constraint::JsonSchema(schema)) = &request.options.constraint else { panic!("a constraint") };
        assert_eq!(schema["properties"]["name"]["enum"], json!(["look"]));
        assert_eq!(schema["properties"]["arguments"]["properties"]["at"]["type"], "integer");
    }
}

#[tokio::test]
async fn what_is_no_tool_is_named() {
    let app = Scripted::saying(&["x"]).start(&[]).await;
    let cases = [
        ("tools", "a list", asking(json!({ "tools": {} }))),
        ("tools", "at most 128", asking(json!({ "tools": vec![json!({}); 129] }))),
        ("tools[0].function", "missing", asking(json!({ "tools": [{ "type": "function" }] }))),
        ("tools[0].type", "function", asking(json!({ "tools": [{ "type": "web_search" }] }))),
        ("tools[0].function.name", "1 to 64", asking(json!({ "tools": [{ "function": { "name": "a b" } }] }))),
        ("tool_choice", "required", asking(json!({ "tool_choice": "always" }))),
        ("tool_choice", "no `tools`", asking(json!({ "tool_choice": "required", "tools": [] }))),
        ("tool_choice", "not in `tools`", asking(json!({ "tool_choice": { "function": { "name": "steal" } } }))),
        ("response_format", "no call", asking(json!({ "response_format": { "type": "json_object" } }))),
        ("parallel_tool_calls", "true or false", asking(json!({ "parallel_tool_calls": 1 }))),
    ];
    wrong(&app, PATH, &cases).await;
}

#[tokio::test]
async fn no_token_is_lost_where_text_is_held_back() {
    let pieces = [said_with("a <tool", -1.0), said_with("box", -2.0), done(FinishReason::Stop)];
    let app = Scripted::new(pieces.into_iter().map(Ok).collect()).start(&[]).await;
    let told = chunks(&app, PATH, asking(json!({ "stream": true, "logprobs": true }))).await;
    let choices: Vec<_> = told.iter().map(|chunk| &chunk["choices"][0]).collect();
    let said: String = choices.iter().filter_map(|choice| choice["delta"]["content"].as_str()).collect();
    assert_eq!(said, "a <toolbox", "what is no call after all is text");
    let tokens = choices.iter().filter_map(|choice| choice["logprobs"]["content"].as_array()).flatten();
    let tokens: Vec<_> = tokens.map(|token| (&token["token"], &token["logprob"])).collect();
    assert_eq!(tokens, [(&json!("a <tool"), &json!(-1.0)), (&json!("box"), &json!(-2.0))]);
}
