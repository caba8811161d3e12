//! `POST /api/v1/chat` as OpenAPI describes it.

use serde_json::{Value, json};

use super::super::rest::refused_with;
use super::wish::{MAX_ID_CHARS, MAX_MESSAGES};
use super::{PATH, PROTOCOL, VERSION};

/// The path and what can be done there.
pub fn described() -> (String, Value) {
    let mut responses = json!({
        "200": {
            "description": "The parts of the answer, each the data of an event: `start`, a `source-url` for each citation, `text-start`, `text-delta` and `text-end`, `finish`; at the very end `[DONE]`. What breaks off ends with `data-failure` and `error`.",
            "headers": {
                (PROTOCOL.as_str()): {
                    "description": "Which version of the AI SDK's UI message stream it is.",
                    "schema": { "type": "string", "const": VERSION.to_str().unwrap_or_default() },
                },
                "RateLimit": { "$ref": "#/components/headers/RateLimit" },
            },
            "content": { "text/event-stream": { "schema": { "type": "string" } } },
        },
    });
    let refusals = refused_with(&["400", "401", "403", "404", "408", "413", "415", "429", "503", "504"]);
    responses.as_object_mut().into_iter().for_each(|all| all.extend(refusals.clone()));
    let operation = json!({
        "operationId": "Chat",
        "summary": "The chat over the site, as the AI SDK's `useChat` asks for it and takes it.",
        "requestBody": { "required": true, "content": { "application/json": { "schema": request() } } },
        "responses": responses,
    });
    (PATH.to_owned(), json!({ "post": operation }))
}

fn request() -> Value {
    let text = |description: &str| json!({ "type": ["string", "null"], "description": description });
    json!({
        "type": "object",
        "required": ["messages"],
        "properties": {
            "id": {
                "type": ["string", "null"],
                "maxLength": MAX_ID_CHARS,
                "description": "The page's name for the conversation.",
            },
            "messages": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_MESSAGES,
                "description": "What was said; the last one, of the role `user`, is the question.",
                "items": message(),
            },
            "filter": {
                "type": "object",
                "description": "Which posts may answer.",
                "additionalProperties": false,
                "properties": {
                    "kind": { "type": "array", "items": { "$ref": "#/components/schemas/PostKind" } },
                    "tag": text("The slug of a tag."),
                    "series": text("The slug of a series."),
                    "author": text("The handle of an author."),
                    "language": text("A language, such as `en`."),
                },
            },
        },
    })
}

fn message() -> Value {
    json!({
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": { "type": "string", "description": "`user` or `assistant`; others are not read." },
            "parts": {
                "type": "array",
                "description": "Those of the type `text` are read.",
                "items": {
                    "type": "object",
                    "required": ["type"],
                    "properties": { "type": { "type": "string" }, "text": { "type": ["string", "null"] } },
                },
            },
        },
    })
}
