//! Functions that a model may call, as a request says. `calls.rs` finds the calls in what the model
//! writes. When a call is required the text is bound to be one, and nothing else can come out.

use serde_json::{Value, json};

use super::fields::{Fields, wrong};
use super::price_of;
use super::refusal::Refusal;
use crate::inference::Constraint;

mod calls;

pub use calls::{Calls, Found};

pub const MAX_TOOLS: usize = 128;
const MAX_NAME_BYTES: usize = 64;

/// What `text` turns out to be, where `calls` may be found in it.
pub fn find(calls: &mut Option<Calls>, text: String) -> Vec<Found> {
    match calls {
        Some(calls) => calls.read(&text),
        None if text.is_empty() => Vec::new(),
        None => vec![Found::Text(text)],
    }
}

/// What the model may, or must, call.
#[derive(Default)]
pub struct Tools {
    /// In OpenAI's shape; empty if none may be called.
    pub offered: Vec<Value>,
    /// The text has to be a call.
    pub constraint: Option<Constraint>,
    /// No more than one call.
    single: bool,
}

impl Tools {
    pub fn read(fields: &mut Fields) -> Result<Self, Refusal> {
        let mut offered = fields.list("tools", MAX_TOOLS)?.unwrap_or_default();
        for (index, tool) in offered.iter().enumerate() {
            check(&format!("tools[{index}]"), tool.clone())?;
        }
        let several = fields.take("parallel_tool_calls");
        let several = match several {
            None => true,
            Some(Value::Bool(several)) => several,
            Some(other) => return Err(wrong("parallel_tool_calls", &other, "true or false")),
        };
        let required = match fields.take("tool_choice") {
            None => false,
            Some(Value::String(choice)) => match choice.as_str() {
                "none" => {
                    offered.clear();
                    false
                }
                "auto" => false,
                "required" => true,
                _ => return Err(wrong("tool_choice", &json!(choice), "none, auto, required or a function")),
            },
            Some(choice) => {
                let name = chosen(choice)?;
                offered.retain(|tool| name_of(tool) == name);
                if offered.is_empty() {
                    let message = format!("`tool_choice` names {name:?}, which is not in `tools`");
                    return Err(Refusal::invalid("tool_choice", message));
                }
                true
            }
        };
        if required && offered.is_empty() {
            return Err(Refusal::invalid("tool_choice", "`tool_choice` is required, and there are no `tools`"));
        }
        let constraint = required.then(|| Constraint::JsonSchema(schema(&offered)));
        Ok(Self { offered, constraint, single: required || !several })
    }

    /// What reading them costs, in points of the rate limit.
    pub fn price(&self) -> u64 {
        price_of(&self.offered.iter().map(Value::to_string).collect::<Vec<_>>())
    }

    /// What finds the calls; `None` if there can be none.
    pub fn reader(&self) -> Option<Calls> {
        let names = || self.offered.iter().map(|tool| name_of(tool).to_owned()).collect();
        (!self.offered.is_empty()).then(|| Calls::of(names(), self.constraint.is_some(), self.single))
    }
}

fn check(at: &str, tool: Value) -> Result<(), Refusal> {
    let mut tool = Fields::of(at, tool)?;
    if let Some(kind) = tool.text("type")?.filter(|kind| kind != "function") {
        return Err(wrong(&tool.name("type"), &json!(kind), "function"));
    }
    let function = tool.object("function")?;
    let mut function = tool.required("function", function)?;
    let name = function.required_text("name")?;
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(fit) {
        let expected = format!("1 to {MAX_NAME_BYTES} of a-z, A-Z, 0-9, _ - and .");
        return Err(wrong(&function.name("name"), &json!(name), &expected));
    }
    function.text("description")?;
    function.object("parameters").map(|_| ())
}

/// The name in `{"type": "function", "function": {"name": …}}`.
fn chosen(choice: Value) -> Result<String, Refusal> {
    let mut choice = Fields::of("tool_choice", choice)?;
    let function = choice.object("function")?;
    let mut function = choice.required("function", function)?;
    function.required_text("name")
}

fn name_of(tool: &Value) -> &str {
    tool["function"]["name"].as_str().unwrap_or_default()
}

/// What a call of any of these is.
fn schema(tools: &[Value]) -> Value {
    let call = |tool: &Value| {
        let parameters = &tool["function"]["parameters"];
        json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "enum": [name_of(tool)] },
                "arguments": if parameters.is_object() { parameters.clone() } else { json!({ "type": "object" }) },
            },
            "required": ["name", "arguments"],
            "additionalProperties": false,
        })
    };
    match tools {
        [one] => {
            let mut schema = call(one);
            // References begin at the root.
            for name in ["$defs", "definitions"] {
                if let Some(shared) = one["function"]["parameters"].get(name) {
                    schema[name] = shared.clone();
                }
            }
            schema
        }
        several => json!({ "anyOf": several.iter().map(call).collect::<Vec<_>>() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(choice: Value) -> Tools {
        let tool = |name: &str| json!({ "function": { "name": name, "parameters": { "type": "object" } } });
        let body = json!({ "tools": [tool("look"), tool("ask")], "tool_choice": choice });
        Tools::read(&mut Fields::of("", body).expect("an object")).expect("tools")
    }

    #[test]
    fn a_choice_bounds_what_can_be_written() {
        assert!(tools(json!("none")).reader().is_none(), "nothing may be called");
        assert!(tools(json!("auto")).constraint.is_none(), "the model may say something else");
        let one = tools(json!({ "type": "function", "function": { "name": "ask" } }));
        assert_eq!(one.offered.len(), 1);
        let Some(Constraint::JsonSchema(schema)) = one.constraint else { panic!("a constraint") };
        assert_eq!(schema["properties"]["name"]["enum"], json!(["ask"]));
        let Some(Constraint::JsonSchema(any)) = tools(json!("required")).constraint else { panic!("a constraint") };
        assert_eq!(any["anyOf"].as_array().map(Vec::len), Some(2), "either of the two");
    }
}
