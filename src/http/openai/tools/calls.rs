//! The calls in what a model writes.
//!
//! Models are trained to write `<tool_call>{"name": …, "arguments": {…}}</tool_call>` (Hermes, Qwen
//! and others). One that is bound to call a function writes the object alone.

use serde_json::{Map, Value, json};
use uuid::Uuid;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// Finds calls in text that comes in parts of any length.
#[derive(Default)]
pub struct Calls {
    names: Vec<String>,
    /// A call has no tags around it.
    bare: bool,
    single: bool,
    /// What is not told yet: blanks that may stand before a call, a tag that may go on, a call.
    held: String,
    open: bool,
    found: usize,
}

/// What the text turned out to be.
#[derive(Debug, PartialEq)]
pub enum Found {
    Text(String),
    /// In OpenAI's shape, with its place.
    Call(Value),
}

impl Calls {
    /// Calls of these functions; `bare` ones have no tags around them, and of a `single` one the
    /// next are left out.
    pub fn of(names: Vec<String>, bare: bool, single: bool) -> Self {
        Self { names, bare, single, ..Self::default() }
    }

    /// True once there was a call.
    pub fn any(&self) -> bool {
        self.found > 0
    }

    pub fn read(&mut self, text: &str) -> Vec<Found> {
        self.held.push_str(text);
        let mut found = Vec::new();
        // What has to be a call is one when it has ended.
        while !self.bare && self.step(&mut found) {}
        found
    }

    /// The rest, when there is no more text.
    pub fn end(&mut self) -> Vec<Found> {
        let rest = std::mem::take(&mut self.held);
        let mut found = Vec::new();
        let unclosed = rest.strip_prefix(OPEN).filter(|_| self.open).unwrap_or(&rest);
        if (self.open || self.bare) && self.call(unclosed, &mut found) {
            return found;
        }
        self.tell(&rest, &mut found);
        found
    }

    /// False if nothing can be said before there is more.
    fn step(&mut self, found: &mut Vec<Found>) -> bool {
        if self.open {
            let Some(end) = self.held.find(CLOSE) else { return false };
            let whole = self.held[..end + CLOSE.len()].to_owned();
            self.held.drain(..whole.len());
            self.open = false;
            if !self.call(&whole[OPEN.len()..end], found) {
                self.tell(&whole, found);
            }
            return true;
        }
        let (told, open) = match self.held.find(OPEN) {
            Some(at) => (at, true),
            None => (self.held.len() - undecided(&self.held), false),
        };
        let text: String = self.held.drain(..told).collect();
        // The line breaks around a call belong to it.
        let text = if open { text.trim_end() } else { &text };
        self.tell(text, found);
        self.open = open;
        open
    }

    /// False if this is no call of a function that there is.
    fn call(&mut self, text: &str, found: &mut Vec<Found>) -> bool {
        let text = text.trim();
        let text = text.strip_prefix(OPEN).and_then(|text| text.strip_suffix(CLOSE)).unwrap_or(text);
        let Ok(mut call) = serde_json::from_str::<Map<String, Value>>(text) else { return false };
        let Some(Value::String(name)) = call.remove("name").filter(|name| self.is_known(name)) else { return false };
        // Some models call them by OpenAI's word for a function's description of them.
        let arguments = call.remove("arguments").or_else(|| call.remove("parameters"));
        let arguments = match arguments {
            Some(Value::String(written)) => written,
            Some(arguments) => arguments.to_string(),
            None => "{}".to_owned(),
        };
        if !self.single || self.found == 0 {
            found.push(Found::Call(json!({
                "index": self.found,
                "id": format!("call_{}", Uuid::now_v7().simple()),
                "type": "function",
                "function": { "name": name, "arguments": arguments },
            })));
            self.found += 1;
        }
        true
    }

    fn is_known(&self, name: &Value) -> bool {
        self.names.iter().any(|known| name == known)
    }

    fn tell(&self, text: &str, found: &mut Vec<Found>) {
        let between_calls = self.any() && text.trim().is_empty();
        if !text.is_empty() && !between_calls {
            found.push(Found::Text(text.to_owned()));
        }
    }
}

/// How many of the last bytes may be blanks before a tag, or the beginning of one.
fn undecided(text: &str) -> usize {
    let begun = (1..OPEN.len()).rev().find(|length| text.ends_with(&OPEN[..*length])).unwrap_or(0);
    let before = &text[..text.len() - begun];
    text.len() - before.trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `text` in parts of `size` bytes: the text, and the calls.
    fn read(bare: bool, text: &str, size: usize) -> (String, Vec<(String, String)>) {
        let mut calls = Calls::of(vec!["look".into(), "ask".into()], bare, false);
        let mut found: Vec<_> = text
            .as_bytes()
            .chunks(size)
            .flat_map(|part| calls.read(std::str::from_utf8(part).expect("ASCII")))
            .collect();
        found.extend(calls.end());
        let (mut said, mut called) = (String::new(), Vec::new());
        for found in found {
            match found {
                Found::Text(text) => said.push_str(&text),
                Found::Call(call) => {
                    assert_eq!(call["index"], called.len(), "calls are counted from 0");
                    let word = |name: &str| call["function"][name].as_str().expect("a text").to_owned();
                    called.push((word("name"), word("arguments")));
                }
            }
        }
        assert_eq!(calls.any(), !called.is_empty());
        (said, called)
    }

    #[test]
    fn calls_are_found_however_the_text_is_cut() {
        let look = ("look".to_owned(), r#"{"at":"<b>"}"#.to_owned());
        let ask = ("ask".to_owned(), "{}".to_owned());
        let call = r#"<tool_call>{"name": "look", "arguments": {"at": "<b>"}}</tool_call>"#;
        let cases = [
            ("no call at all, 1 < 2 ", "no call at all, 1 < 2 ", vec![]),
            (call, "", vec![look.clone()]),
            (&format!("Let me see.\n\n{call}\n"), "Let me see.", vec![look.clone()]),
            (&format!("{call}\n<tool_call>\n{{\"name\": \"ask\"}}\n</tool_call>"), "", vec![look.clone(), ask.clone()]),
            (r#"<tool_call>{"name": "look", "arguments": "{\"at\":\"<b>\"}"}"#, "", vec![look.clone()]),
            (r#"<tool_call>{"name": "steal"}</tool_call>"#, r#"<tool_call>{"name": "steal"}</tool_call>"#, vec![]),
            ("<tool_call>{oh</tool_call> no", "<tool_call>{oh</tool_call> no", vec![]),
            ("<tool_call>{\"name\": \"loo", "<tool_call>{\"name\": \"loo", vec![]),
            ("<tool_", "<tool_", vec![]),
        ];
        for (text, said, called) in cases {
            for size in [1, 2, 3, 7, 1000] {
                let expected = (said.to_owned(), called.clone());
                assert_eq!(read(false, text, size), expected, "{text:?} in parts of {size}");
            }
        }
    }

    #[test]
    fn what_has_to_be_a_call_is_one_without_tags() {
        for size in [1, 1000] {
            let (said, called) = read(true, r#"{"name": "ask", "arguments": {"a": 1}}"#, size);
            assert_eq!((said.as_str(), called), ("", vec![("ask".to_owned(), r#"{"a":1}"#.to_owned())]));
            assert_eq!(read(true, "I would rather not", size).0, "I would rather not");
        }
    }
}
