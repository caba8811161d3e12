//! What is said, and what the answer has to be.

use serde_json::{Map, Value, json};

use crate::http::openai::fields::{Fields, wrong};
use crate::http::openai::refusal::Refusal;
use crate::http::openai::{messages, options, tools};
use crate::inference::{Constraint, Message, Role};

const MAX_ITEMS: usize = 1000;

/// `input`: a text, or items of a conversation.
///
/// Errors: an item that is none, or has something besides text.
pub fn read(fields: &mut Fields) -> Result<Vec<Message>, Refusal> {
    let items = match fields.take("input") {
        Some(Value::String(text)) if !text.is_empty() => return Ok(vec![Message::new(Role::User, text)]),
        Some(Value::Array(items)) if (1..=MAX_ITEMS).contains(&items.len()) => items,
        None => return fields.required("input", None),
        Some(other) => return Err(wrong("input", &other, &format!("a text, or a list of 1 to {MAX_ITEMS} items"))),
    };
    let mut messages: Vec<Message> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let Some(message) = item_message(Fields::of(&format!("input[{index}]"), item)?)? else { continue };
        match messages.last_mut() {
            // Calls that were made together are one message.
            Some(last) if last.role == Role::Assistant && !message.tool_calls.is_empty() => {
                last.tool_calls.extend(message.tool_calls);
            }
            _ => messages.push(message),
        }
    }
    if messages.is_empty() {
        return Err(Refusal::invalid("input", "`input` holds nothing that is said"));
    }
    Ok(messages)
}

/// `None` of what says nothing to a model here.
fn item_message(mut item: Fields) -> Result<Option<Message>, Refusal> {
    let kind = item.text("type")?;
    match kind.as_deref() {
        None | Some("message") => message(item).map(Some),
        Some("function_call") => {
            let [id, name, arguments] = ["call_id", "name", "arguments"].map(|name| item.required_text(name));
            let function = json!({ "name": name?, "arguments": arguments? });
            let call = json!({ "id": id?, "type": "function", "function": function });
            Ok(Some(Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") }))
        }
        Some("function_call_output") => {
            let tool_call_id = Some(item.required_text("call_id")?);
            let output = content(&mut item, "output")?;
            Ok(Some(Message { tool_call_id, ..Message::new(Role::Tool, output) }))
        }
        Some("reasoning") => Ok(None),
        Some(other) => {
            let expected = "message, function_call, function_call_output or reasoning";
            Err(wrong(&item.name("type"), &json!(other), expected))
        }
    }
}

fn message(mut item: Fields) -> Result<Message, Refusal> {
    let role = match item.required_text("role")?.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let expected = "system, developer, user or assistant";
            return Err(wrong(&item.name("role"), &json!(other), expected));
        }
    };
    Ok(Message::new(role, content(&mut item, "content")?))
}

fn content(item: &mut Fields, name: &str) -> Result<String, Refusal> {
    let content = messages::content(item, name, &["input_text", "output_text", "text"])?;
    item.required(name, content)
}

/// Functions stand flat here, and in an object of their own in chats.
pub fn flat_tools(fields: &mut Fields) -> Result<(), Refusal> {
    if let Some(tools) = fields.list("tools", tools::MAX_TOOLS)? {
        let each = |(index, tool)| {
            let at = format!("tools[{index}]");
            match tool {
                Value::Object(tool) if tool.get("type").is_some_and(|kind| kind != "function") => {
                    Err(wrong(&format!("{at}.type"), &tool["type"], "function: nothing else can be called here"))
                }
                Value::Object(tool) => Ok(nested(tool)),
                other => Err(wrong(&at, &other, "an object")),
            }
        };
        let tools = tools.into_iter().enumerate().map(each).collect::<Result<Vec<_>, _>>()?;
        fields.put("tools", tools.into());
    }
    if let Some(choice) = fields.take("tool_choice") {
        let choice = match choice {
            Value::Object(choice) => nested(choice),
            other => other,
        };
        fields.put("tool_choice", choice);
    }
    Ok(())
}

fn nested(mut tool: Map<String, Value>) -> Value {
    tool.remove("type");
    json!({ "type": "function", "function": tool })
}

/// `text.format`.
pub fn format(fields: &mut Fields) -> Result<Option<Constraint>, Refusal> {
    let Some(mut of_text) = fields.object("text")? else { return Ok(None) };
    of_text.object("format")?.map_or(Ok(None), |format| options::form(format, Ok))
}
