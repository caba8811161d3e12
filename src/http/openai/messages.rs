//! The messages of a conversation.

use serde_json::{Value, json};

use super::fields::{Fields, text, wrong};
use super::refusal::Refusal;
use crate::inference::{Message, Role};

const MAX_MESSAGES: usize = 1000;
const MAX_PARTS: usize = 1000;
const MAX_CALLS: usize = 128;

/// Errors: a message that is none, or has something besides text.
pub fn read(fields: &mut Fields) -> Result<Vec<Message>, Refusal> {
    let list = fields.list("messages", MAX_MESSAGES)?;
    let list = fields.required("messages", list)?;
    if list.is_empty() {
        return Err(Refusal::invalid("messages", "`messages` is empty: send at least one"));
    }
    let each = |(index, value)| message(Fields::of(&format!("messages[{index}]"), value)?);
    list.into_iter().enumerate().map(each).collect()
}

fn message(mut fields: Fields) -> Result<Message, Refusal> {
    let role = fields.text("role")?;
    let role = match fields.required("role", role)?.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => {
            let expected = "system, developer, user, assistant or tool";
            return Err(wrong(&fields.name("role"), &json!(other), expected));
        }
    };
    let tool_calls = match role {
        Role::Assistant => fields.list("tool_calls", MAX_CALLS)?.unwrap_or_default(),
        _ => Vec::new(),
    };
    for (index, call) in tool_calls.iter().enumerate() {
        check_call(&format!("{}[{index}]", fields.name("tool_calls")), call.clone())?;
    }
    let content = content(&mut fields)?;
    // Who only calls a function says nothing.
    let content =
        if tool_calls.is_empty() { fields.required("content", content)? } else { content.unwrap_or_default() };
    let tool_call_id = match role {
        Role::Tool => {
            let id = fields.text("tool_call_id")?;
            Some(fields.required("tool_call_id", id)?)
        }
        _ => None,
    };
    Ok(Message { role, content, tool_calls, tool_call_id })
}

fn check_call(at: &str, call: Value) -> Result<(), Refusal> {
    let mut call = Fields::of(at, call)?;
    let id = call.text("id")?;
    call.required("id", id)?;
    let function = call.object("function")?;
    let mut function = call.required("function", function)?;
    for name in ["name", "arguments"] {
        let value = function.text(name)?;
        function.required(name, value)?;
    }
    Ok(())
}

/// A text, or parts that are texts.
fn content(fields: &mut Fields) -> Result<Option<String>, Refusal> {
    let at = fields.name("content");
    let parts = match fields.take("content") {
        None => return Ok(None),
        Some(Value::String(text)) => return Ok(Some(text)),
        Some(Value::Array(parts)) if parts.len() <= MAX_PARTS => parts,
        Some(other) => return Err(wrong(&at, &other, &format!("a text, or a list of at most {MAX_PARTS} parts"))),
    };
    let mut whole = String::new();
    for (index, value) in parts.into_iter().enumerate() {
        let at = format!("{at}[{index}]");
        let mut part = Fields::of(&at, value)?;
        let kind = part.text("type")?;
        match part.required("type", kind)?.as_str() {
            kind @ ("text" | "refusal") => {
                let value = part.take(kind);
                whole.push_str(&text(&part.name(kind), part.required(kind, value)?)?);
            }
            kind => {
                let kind: String = kind.chars().take(40).collect();
                let message = format!("`{at}` is of type {kind:?}: the models of this server take texts only");
                return Err(Refusal::invalid(at, message));
            }
        }
    }
    Ok(Some(whole))
}
