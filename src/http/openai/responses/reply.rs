//! An answer in the shape of OpenAI's responses: whole, or as events while it is written.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::openai::Call;
use crate::http::openai::fields::Fields;
use crate::http::openai::refusal::Refusal;
use crate::http::openai::stream::Chunks;
use crate::http::openai::tools::{self, Calls, Found};
use crate::http::openai::writing::Writing;
use crate::inference::{FinishReason, Message, Piece, Role, Usage};
use crate::services::responses::{self, Kept};

/// What the answer says again of the request.
#[derive(Default)]
pub struct Echo {
    pub instructions: Option<String>,
    pub previous: Option<Uuid>,
    pub temperature: f32,
    pub top_p: f32,
    pub max_tokens: Option<usize>,
    store: bool,
    /// As they were sent.
    sent: Vec<(&'static str, Value)>,
}

impl Echo {
    /// The fields in `sent` are left there, to be read for what they mean.
    pub fn read(fields: &mut Fields) -> Result<Self, Refusal> {
        let instructions = fields.text("instructions")?;
        let previous = fields.text("previous_response_id")?;
        let previous = previous.map(|id| super::number(&id).ok_or_else(|| super::unknown(&id))).transpose()?;
        let store = !fields.has("store") || fields.flag("store")?;
        let defaults = [
            ("metadata", json!({})),
            ("parallel_tool_calls", json!(true)),
            ("text", json!({ "format": { "type": "text" } })),
            ("tool_choice", json!("auto")),
            ("tools", json!([])),
        ];
        let sent = defaults.map(|(name, default)| (name, fields.peek(name).cloned().unwrap_or(default)));
        Ok(Self { instructions, previous, store, sent: sent.into(), ..Self::default() })
    }
}

/// The answer so far.
pub struct Reply {
    call: Call,
    id: Uuid,
    model: String,
    degraded: bool,
    echo: Echo,
    /// `None` if no function may be called.
    calls: Option<Calls>,
    /// The conversation before it.
    said: Vec<Message>,
    /// What is written of the message that is being written.
    text: Option<String>,
    output: Vec<Value>,
    made: Vec<Value>,
    finish: FinishReason,
    sequence: u64,
}

impl Reply {
    pub fn new(call: Call, writing: &Writing, echo: Echo, calls: Option<Calls>, said: Vec<Message>) -> Self {
        Self {
            call,
            id: Uuid::now_v7(),
            model: writing.name.clone(),
            degraded: writing.degraded,
            echo,
            calls,
            said,
            text: None,
            output: Vec::new(),
            made: Vec::new(),
            finish: FinishReason::Stop,
            sequence: 0,
        }
    }

    /// The answer as it stands.
    fn object(&self, status: &str, usage: Option<Usage>) -> Value {
        let incomplete = (status == "incomplete").then(|| json!({ "reason": "max_output_tokens" }));
        let mut object = json!({
            "id": super::name(self.id),
            "object": "response",
            "created_at": self.call.now.timestamp(),
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": incomplete,
            "instructions": self.echo.instructions,
            "max_output_tokens": self.echo.max_tokens,
            "model": self.model,
            "output": self.output,
            "previous_response_id": self.echo.previous.map(super::name),
            "reasoning": { "effort": null, "summary": null },
            "store": self.echo.store,
            "temperature": self.echo.temperature,
            "top_p": self.echo.top_p,
            "truncation": "disabled",
            "usage": usage.map(shown),
            "user": null,
        });
        for (name, value) in &self.echo.sent {
            object[name] = value.clone();
        }
        if self.degraded {
            object["degraded"] = true.into();
        }
        object
    }

    fn status(&self) -> &'static str {
        match self.finish {
            FinishReason::Stop => "completed",
            FinishReason::Length => "incomplete",
        }
    }

    fn event(&mut self, kind: &str, fields: Value) -> Value {
        let mut event = json!({ "type": kind, "sequence_number": self.sequence });
        self.sequence += 1;
        if let Value::Object(fields) = fields {
            fields.into_iter().for_each(|(name, value)| event[name] = value);
        }
        event
    }

    fn message_id(&self) -> String {
        format!("msg_{}_{}", self.id.simple(), self.output.len())
    }

    fn add(&mut self, found: Found) -> Vec<Value> {
        match found {
            Found::Text(text) => {
                let mut events = if self.text.is_none() { self.begin_message() } else { Vec::new() };
                let (id, at) = (self.message_id(), self.output.len());
                self.text.get_or_insert_default().push_str(&text);
                let delta =
                    json!({ "item_id": id, "output_index": at, "content_index": 0, "delta": text, "logprobs": [] });
                events.push(self.event("response.output_text.delta", delta));
                events
            }
            Found::Call(call) => {
                let mut events = self.end_message();
                events.extend(self.call(call));
                events
            }
        }
    }

    fn begin_message(&mut self) -> Vec<Value> {
        let (id, at) = (self.message_id(), self.output.len());
        let item = message(&id, "in_progress", json!([]));
        let added = json!({ "output_index": at, "item": item });
        let part = json!({ "item_id": id, "output_index": at, "content_index": 0, "part": part("") });
        vec![self.event("response.output_item.added", added), self.event("response.content_part.added", part)]
    }

    fn end_message(&mut self) -> Vec<Value> {
        let Some(text) = self.text.take() else { return Vec::new() };
        let (id, at) = (self.message_id(), self.output.len());
        let item = message(&id, self.status(), json!([part(&text)]));
        let place = json!({ "item_id": id, "output_index": at, "content_index": 0 });
        let with = |name: &str, value: Value| {
            let mut fields = place.clone();
            fields[name] = value;
            fields
        };
        let mut done = with("text", json!(text));
        done["logprobs"] = json!([]);
        let events = vec![
            self.event("response.output_text.done", done),
            self.event("response.content_part.done", with("part", part(&text))),
            self.event("response.output_item.done", json!({ "output_index": at, "item": item })),
        ];
        self.output.push(item);
        events
    }

    /// `call` is in the shape of chats.
    fn call(&mut self, mut call: Value) -> Vec<Value> {
        call.as_object_mut().and_then(|call| call.remove("index"));
        let (at, id) = (self.output.len(), format!("fc_{}", Uuid::now_v7().simple()));
        let (name, arguments) = (call["function"]["name"].clone(), call["function"]["arguments"].clone());
        let item = |status: &str, arguments: &Value| {
            json!({
                "type": "function_call", "id": id, "status": status, "call_id": call["id"],
                "name": name, "arguments": arguments,
            })
        };
        let (begun, done) = (item("in_progress", &json!("")), item("completed", &arguments));
        let events = vec![
            self.event("response.output_item.added", json!({ "output_index": at, "item": begun })),
            self.event(
                "response.function_call_arguments.delta",
                json!({ "item_id": id, "output_index": at, "delta": arguments }),
            ),
            self.event(
                "response.function_call_arguments.done",
                json!({ "item_id": id, "output_index": at, "name": name, "arguments": arguments }),
            ),
            self.event("response.output_item.done", json!({ "output_index": at, "item": done })),
        ];
        self.output.push(done);
        self.made.push(call);
        events
    }

    /// What is left when there is no more text. An answer of nothing is an empty message.
    pub fn finish(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        if self.text.is_none() && self.output.is_empty() {
            events.extend(self.begin_message());
            self.text = Some(String::new());
        }
        events.extend(self.end_message());
        events
    }

    /// The whole answer, kept first if it should be.
    pub async fn keep(&mut self, usage: Usage) -> Value {
        let body = self.object(self.status(), Some(usage));
        if !self.echo.store {
            return body;
        }
        let mut messages = std::mem::take(&mut self.said);
        let texts = self.output.iter().filter_map(|item| item["content"][0]["text"].as_str());
        let answer = Message::new(Role::Assistant, texts.collect::<Vec<_>>().join("\n"));
        messages.push(Message { tool_calls: std::mem::take(&mut self.made), ..answer });
        let (call, kept) = (&self.call, Kept { messages, body: body.clone() });
        let done = responses::keep(&call.state.services, &call.account, self.id, kept, call.now).await;
        if let Err(error) = done {
            tracing::warn!(%error, "a response is not kept");
            self.echo.store = false;
            return self.object(self.status(), Some(usage));
        }
        body
    }
}

impl Chunks for Reply {
    const END: Option<&'static str> = None;

    fn opening(&mut self) -> Vec<Value> {
        let object = json!({ "response": self.object("in_progress", None) });
        vec![self.event("response.created", object.clone()), self.event("response.in_progress", object)]
    }

    fn of(&mut self, _: usize, piece: Piece) -> Vec<Value> {
        let found = match piece {
            Piece::Text { text, .. } => tools::find(&mut self.calls, text),
            Piece::Done { finish, .. } => {
                self.finish = finish;
                self.calls.as_mut().map(Calls::end).unwrap_or_default()
            }
        };
        found.into_iter().flat_map(|found| self.add(found)).collect()
    }

    async fn closing(mut self, usage: Usage) -> Vec<Value> {
        let mut events = self.finish();
        let kind = format!("response.{}", self.status());
        let whole = self.keep(usage).await;
        events.push(self.event(&kind, json!({ "response": whole })));
        events
    }

    fn failed(refusal: &Refusal) -> Value {
        let mut event = refusal.to_json()["error"].take();
        event["type"] = json!("error");
        event
    }
}

fn message(id: &str, status: &str, content: Value) -> Value {
    json!({ "type": "message", "id": id, "status": status, "role": "assistant", "content": content })
}

fn part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

fn shown(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": { "cached_tokens": usage.cached_tokens },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    })
}
