//! The messages of a conversation.

use serde_json::{Value, json};

use super::fields::{Fields, wrong};
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
    let role = match fields.required_text("role")?.as_str() {
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
    let content = content(&mut fields, "content", &["text"])?;
    // Who only calls a function says nothing.
    let content =
        if tool_calls.is_empty() { fields.required("content", content)? } else { content.unwrap_or_default() };
    let tool_call_id = match role {
        Role::Tool => Some(fields.required_text("tool_call_id")?),
        _ => None,
    };
    Ok(Message { role, content, tool_calls, tool_call_id, pictures: Vec::new() })
}

fn check_call(at: &str, call: Value) -> Result<(), Refusal> {
    let mut call = Fields::of(at, call)?;
    call.required_text("id")?;
    let function = call.object("function")?;
    let mut function = call.required("function", function)?;
    for name in ["name", "arguments"] {
        function.required_text(name)?;
    }
    Ok(())
}

/// A text, or parts that are texts: refusals, and what is of one of `kinds`.
pub fn content(fields: &mut Fields, name: &str, kinds: &[&str]) -> Result<Option<String>, Refusal> {
    let at = fields.name(name);
    let parts = match fields.take(name) {
        None => return Ok(None),
        Some(Value::String(text)) => return Ok(Some(text)),
        Some(Value::Array(parts)) if parts.len() <= MAX_PARTS => parts,
        Some(other) => return Err(wrong(&at, &other, &format!("a text, or a list of at most {MAX_PARTS} parts"))),
    };
    let mut whole = String::new();
    for (index, value) in parts.into_iter().enumerate() {
        let at = format!("{at}[{index}]");
        let mut part = Fields::of(&at, value)?;
        match part.required_text("type")?.as_str() {
            "refusal" => whole.push_str(&part.required_text("refusal")?),
            kind if kinds.contains(&kind) => whole.push_str(&part.required_text("text")?),
            kind => {
                let kind: String = kind.chars().take(40).collect();
                let message = format!("`{at}` is of type {kind:?}: the models of this server take texts only");
                return Err(Refusal::invalid(at, message));
            }
        }
    }
    Ok(Some(whole))
}
