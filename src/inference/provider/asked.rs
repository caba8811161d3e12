//! What is sent to a provider, in OpenAI's shapes; `/rerank` in Cohere's and Jina's.

use serde_json::{Value, json};

use crate::inference::{Constraint, GenerateOptions, GenerateRequest, InferenceError, Message, Prompt};

pub fn embeddings(model: &str, texts: &[String], dimensions: Option<usize>) -> Value {
    let mut body = json!({ "model": model, "input": texts, "encoding_format": "float" });
    if let Some(dimensions) = dimensions {
        body["dimensions"] = dimensions.into();
    }
    body
}

pub fn ranking(model: &str, query: &str, texts: &[String]) -> Value {
    json!({ "model": model, "query": query, "documents": texts, "top_n": texts.len(), "return_documents": false })
}

/// Where to send it, and what.
///
/// Errors: `BadInput` for what OpenAI's API has no words for.
pub fn text(model: &str, request: &GenerateRequest) -> Result<(&'static str, Value), InferenceError> {
    let options = &request.options;
    let mut body = json!({
        "model": model,
        "stream": true,
        "stream_options": { "include_usage": true },
        "temperature": options.temperature,
        "top_p": options.top_p,
    });
    // Many providers refuse what they do not know, so that only what was asked for is sent.
    let unset = GenerateOptions::default();
    let mut set = |name: &str, is_set: bool, value: Value| {
        if is_set {
            body[name] = value;
        }
    };
    set("max_tokens", options.max_tokens.is_some(), json!(options.max_tokens));
    set("top_k", options.top_k != unset.top_k, json!(options.top_k));
    set("min_p", options.min_p != unset.min_p, json!(options.min_p));
    set(
        "repetition_penalty",
        options.repetition_penalty != unset.repetition_penalty,
        json!(options.repetition_penalty),
    );
    set("frequency_penalty", options.frequency_penalty != unset.frequency_penalty, json!(options.frequency_penalty));
    set("presence_penalty", options.presence_penalty != unset.presence_penalty, json!(options.presence_penalty));
    set("seed", options.seed.is_some(), json!(options.seed));
    set("stop", !options.stop.is_empty(), json!(options.stop));
    set("logit_bias", !options.logit_bias.is_empty(), json!(options.logit_bias));
    set("response_format", options.constraint.is_some(), options.constraint.as_ref().map_or(Ok(Value::Null), format)?);
    match &request.prompt {
        Prompt::Text(text) => {
            set("prompt", true, json!(text));
            set("logprobs", options.logprobs.is_some(), json!(options.logprobs));
            Ok(("/completions", body))
        }
        Prompt::Messages(messages) => {
            set("messages", true, messages.iter().map(message).collect());
            set("tools", !request.tools.is_empty(), json!(request.tools));
            set("logprobs", options.logprobs.is_some(), json!(true));
            set("top_logprobs", options.logprobs.is_some_and(|others| others > 0), json!(options.logprobs));
            Ok(("/chat/completions", body))
        }
    }
}

/// Who only calls a function says nothing. Pictures stand behind the words.
fn message(message: &Message) -> Value {
    let mut said = json!(message);
    if !message.pictures.is_empty() {
        let text = json!({ "type": "text", "text": message.content });
        let pictures = message.pictures.iter().map(|url| json!({ "type": "image_url", "image_url": { "url": url } }));
        said["content"] = std::iter::once(text).chain(pictures).collect();
    }
    if message.content.is_empty() && !message.tool_calls.is_empty() {
        said["content"] = Value::Null;
    }
    said
}

fn format(constraint: &Constraint) -> Result<Value, InferenceError> {
    match constraint {
        Constraint::JsonObject => Ok(json!({ "type": "json_object" })),
        Constraint::JsonSchema(schema) => Ok(json!({
            "type": "json_schema",
            "json_schema": { "name": "answer", "schema": schema },
        })),
        Constraint::Choices(_) => {
            let message = "a provider's model cannot be held to a list of choices: name a model of this server, or \
                           send a JSON schema with `enum`";
            Err(InferenceError::BadInput(message.to_owned()))
        }
    }
}
