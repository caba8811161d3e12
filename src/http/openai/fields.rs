//! The fields of a request, each of its type. What is not known is ignored, as OpenAI does: clients
//! send what other servers understand. What is known and wrong is named.

use std::ops::RangeInclusive;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::refusal::Refusal;

/// An object of a request.
pub struct Fields {
    /// What stands before a field's name, such as `stream_options.`.
    at: String,
    map: Map<String, Value>,
}

impl Fields {
    /// The body of a request.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let refuse = |why: String| Refusal::bad_body(StatusCode::BAD_REQUEST, format!("the body is {why}"));
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self { at: String::new(), map }),
            Ok(other) => Err(refuse(format!("{}: expected a JSON object", kind(&other)))),
            Err(error) => Err(refuse(format!("no JSON: {error}"))),
        }
    }

    /// `value`, which stands at `at`.
    pub fn of(at: &str, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Object(map) => Ok(Self { at: format!("{at}."), map }),
            other => Err(wrong(at, &other, "an object")),
        }
    }

    /// A field's name as errors call it.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.at)
    }

    pub fn has(&self, name: &str) -> bool {
        self.peek(name).is_some()
    }

    /// Whatever it is, left where it is; null is as good as nothing.
    pub fn peek(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Instead of what is there.
    pub fn put(&mut self, name: &str, value: Value) {
        self.map.insert(name.to_owned(), value);
    }

    /// Whatever it is; null is as good as nothing.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        self.take(name).map(|value| text(&self.name(name), value)).transpose()
    }

    pub fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(wrong(&self.name(name), &other, "true or false")),
        }
    }

    pub fn number(&mut self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f32>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_f64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number as f32)),
            None => {
                let expected = format!("a number from {} to {}", range.start(), range.end());
                Err(wrong(&self.name(name), &value, &expected))
            }
        }
    }

    pub fn integer(&mut self, name: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                Err(wrong(&self.name(name), &value, &expected))
            }
        }
    }

    pub fn list(&mut self, name: &str, most: usize) -> Result<Option<Vec<Value>>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) if list.len() <= most => Ok(Some(list)),
            Some(Value::Array(list)) => Err(too_many(&self.name(name), list.len(), most)),
            Some(other) => Err(wrong(&self.name(name), &other, "a list")),
        }
    }

    pub fn object(&mut self, name: &str) -> Result<Option<Self>, Refusal> {
        self.take(name).map(|value| Self::of(&self.name(name), value)).transpose()
    }

    /// A text, or a list of texts.
    pub fn texts(&mut self, name: &str, most: usize) -> Result<Option<Vec<String>>, Refusal> {
        let at = self.name(name);
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) if list.len() > most => Err(too_many(&at, list.len(), most)),
            Some(Value::Array(list)) => {
                let each = |(index, value)| match value {
                    Value::Number(_) | Value::Array(_) => {
                        let message = format!("`{at}` holds numbers of tokens, and those of models differ: send texts");
                        Err(Refusal::invalid(at.clone(), message))
                    }
                    other => text(&format!("{at}[{index}]"), other),
                };
                list.into_iter().enumerate().map(each).collect::<Result<_, _>>().map(Some)
            }
            Some(Value::String(one)) => Ok(Some(vec![one])),
            Some(other) => Err(wrong(&at, &other, "a text, or a list of texts")),
        }
    }

    /// A field that has to be there.
    pub fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Refusal> {
        let at = self.name(name);
        value.ok_or_else(|| Refusal::invalid(at.clone(), format!("`{at}` is missing")))
    }

    /// A text that has to be there.
    pub fn required_text(&mut self, name: &str) -> Result<String, Refusal> {
        let value = self.text(name)?;
        self.required(name, value)
    }

    /// The model that is asked for; none: the one that is there for this.
    pub fn model(&mut self) -> Result<Option<String>, Refusal> {
        self.text("model")
    }
}

/// `value`, which stands at `at`, as text.
pub fn text(at: &str, value: Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong(at, &other, "a text")),
    }
}

/// `at` is not what it should be.
pub fn wrong(at: &str, found: &Value, expected: &str) -> Refusal {
    let found = match found {
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::String(text) if text.len() <= 64 => format!("{text:?}"),
        other => kind(other).to_owned(),
    };
    Refusal::invalid(at, format!("`{at}` is {found}: expected {expected}"))
}

fn too_many(at: &str, found: usize, most: usize) -> Refusal {
    Refusal::invalid(at, format!("`{at}` has {found} entries: send at most {most} at once"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
