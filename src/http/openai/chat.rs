//! `POST /v1/chat/completions`.

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::fields::Fields;
use super::options::{self, Streaming};
use super::refusal::Refusal;
use super::stream::{self, Chunks, Head};
use super::tools::{self, Calls, Found, Tools};
use super::writing::Writing;
use super::{Call, Wish, messages, price_of};
use crate::inference::{FinishReason, GenerateRequest, Message, Piece, Prompt, TokenLogprob, Usage};

const MAX_TOP_LOGPROBS: usize = 20;

pub struct Chat {
    model: Option<String>,
    messages: Vec<Message>,
    tools: Tools,
    options: crate::inference::GenerateOptions,
    streaming: Streaming,
}

impl Wish for Chat {
    fn read(mut fields: Fields) -> Result<Self, Refusal> {
        if let Some(old) = ["functions", "function_call"].into_iter().find(|name| fields.has(name)) {
            return Err(Refusal::invalid(old, format!("`{old}` is gone from the API: send `tools` and `tool_choice`")));
        }
        let model = fields.model()?;
        let messages = messages::read(&mut fields)?;
        let mut options = options::read(&mut fields)?;
        options.logprobs = logprobs(&mut fields)?;
        let tools = Tools::read(&mut fields)?;
        let format = options::constraint(&mut fields)?;
        if format.is_some() && !tools.offered.is_empty() {
            let message = "`response_format` binds the text to be an answer, so that it can be no call: leave it out, \
                           or send `tool_choice: \"none\"`";
            return Err(Refusal::invalid("response_format", message));
        }
        options.constraint = tools.constraint.clone().or(format);
        Ok(Self { model, messages, tools, options, streaming: Streaming::read(&mut fields)? })
    }

    fn cost(&self) -> u64 {
        let said = price_of(self.messages.iter().map(|message| &message.content));
        said.saturating_add(self.tools.price()).saturating_add(options::price(&self.options))
    }

    async fn run(self, call: Call) -> Result<Response, Refusal> {
        let calls = self.tools.reader();
        let (prompt, tools, options) = (Prompt::Messages(self.messages), self.tools.offered, self.options);
        let request = GenerateRequest { prompt, tools, options };
        let place = self.streaming.place(&call)?;
        let mut writing = call.in_time(Writing::begin(call.clone(), self.model, vec![request])).await?;
        let object = if self.streaming.wanted { "chat.completion.chunk" } else { "chat.completion" };
        let head = Head::new("chatcmpl", object, &call, &writing, self.streaming.include_usage);
        let mut reply = Reply { head, calls };
        if let Some(place) = place {
            return Ok(stream::respond(call, writing, reply, place));
        }
        let mut whole = Whole::default();
        let gathering = writing.each(|_, piece| reply.parts(piece).into_iter().for_each(|part| whole.add(part)));
        call.in_time(gathering).await?;
        let mut answer = reply.head.answer(json!([whole.choice()]));
        answer["usage"] = stream::shown(writing.finish().await);
        Ok(axum::Json(answer).into_response())
    }
}

fn logprobs(fields: &mut Fields) -> Result<Option<usize>, Refusal> {
    let wanted = fields.flag("logprobs")?;
    match fields.integer("top_logprobs", 0..=MAX_TOP_LOGPROBS)? {
        Some(_) if !wanted => {
            let message = "`top_logprobs` tells of others than the tokens of `logprobs`: send that too";
            Err(Refusal::invalid("top_logprobs", message))
        }
        top => Ok(wanted.then_some(top.unwrap_or(0))),
    }
}

/// What the assistant says, as it comes.
struct Reply {
    head: Head,
    /// `None` if no function may be called.
    calls: Option<Calls>,
}

/// A step of the answer.
enum Part {
    Found(Found),
    Logprobs(Vec<Value>),
    End(&'static str),
}

impl Reply {
    fn parts(&mut self, piece: Piece) -> Vec<Part> {
        match piece {
            Piece::Text { text, logprobs } => {
                let found = tools::find(&mut self.calls, text);
                let logprobs = (!logprobs.is_empty()).then(|| Part::Logprobs(logprobs.iter().map(token).collect()));
                logprobs.into_iter().chain(found.into_iter().map(Part::Found)).collect()
            }
            Piece::Done { finish, .. } => {
                let rest = self.calls.as_mut().map(Calls::end).unwrap_or_default();
                let called = self.calls.as_ref().is_some_and(Calls::any);
                let reason = match finish {
                    FinishReason::Length => "length",
                    FinishReason::Stop if called => "tool_calls",
                    FinishReason::Stop => "stop",
                };
                rest.into_iter().map(Part::Found).chain([Part::End(reason)]).collect()
            }
        }
    }

    fn chunk(&self, delta: Value, logprobs: Option<Vec<Value>>, finish: Option<&str>) -> Value {
        let logprobs = logprobs.map(|content| json!({ "content": content, "refusal": null }));
        self.head.chunk(json!({ "index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish }))
    }
}

impl Chunks for Reply {
    fn opening(&mut self) -> Vec<Value> {
        vec![self.chunk(json!({ "role": "assistant", "content": "", "refusal": null }), None, None)]
    }

    /// Log-probabilities go with the text that they came with; where that is held back, alone.
    fn of(&mut self, _: usize, piece: Piece) -> Vec<Value> {
        let (mut chunks, mut waiting) = (Vec::new(), None);
        for part in self.parts(piece) {
            match part {
                Part::Logprobs(tokens) => waiting = Some(tokens),
                Part::Found(Found::Text(text)) => {
                    chunks.push(self.chunk(json!({ "content": text }), waiting.take(), None))
                }
                Part::Found(Found::Call(call)) => chunks.push(self.chunk(json!({ "tool_calls": [call] }), None, None)),
                Part::End(reason) => chunks.push(self.chunk(json!({}), None, Some(reason))),
            }
        }
        if waiting.is_some() {
            chunks.push(self.chunk(json!({}), waiting, None));
        }
        chunks
    }

    async fn closing(self, usage: Usage) -> Vec<Value> {
        self.head.usage(usage).into_iter().collect()
    }
}

/// An answer that is told when it is done.
#[derive(Default)]
struct Whole {
    content: String,
    calls: Vec<Value>,
    logprobs: Option<Vec<Value>>,
    finish: Option<&'static str>,
}

impl Whole {
    fn add(&mut self, part: Part) {
        match part {
            Part::Found(Found::Text(text)) => self.content.push_str(&text),
            Part::Found(Found::Call(mut call)) => {
                // Only chunks have to be counted.
                call.as_object_mut().and_then(|call| call.remove("index"));
                self.calls.push(call);
            }
            Part::Logprobs(tokens) => self.logprobs.get_or_insert_default().extend(tokens),
            Part::End(reason) => self.finish = Some(reason),
        }
    }

    fn choice(self) -> Value {
        let content = (self.calls.is_empty() || !self.content.is_empty()).then_some(self.content);
        let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
        if !self.calls.is_empty() {
            message["tool_calls"] = json!(self.calls);
        }
        let logprobs = self.logprobs.map(|content| json!({ "content": content, "refusal": null }));
        json!({ "index": 0, "message": message, "logprobs": logprobs, "finish_reason": self.finish })
    }
}

fn token((token, others): &(TokenLogprob, Vec<TokenLogprob>)) -> Value {
    let shown =
        |token: &TokenLogprob| json!({ "token": token.text, "logprob": stream::logprob(token), "bytes": token.bytes });
    let mut one = shown(token);
    one["top_logprobs"] = others.iter().map(shown).collect();
    one
}
