//! A provider's text, read while it is written: server-sent events with OpenAI's chunks.

use std::collections::{BTreeMap, VecDeque};

use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use super::connection::{Answer, why};
use crate::inference::{FinishReason, InferenceError, Piece, TokenLogprob, Usage};

/// Longest event.
const MAX_EVENT_BYTES: usize = 1 << 20;
/// Longest text.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// The pieces of an answer. `read` is how many tokens the prompt has, about.
pub fn pieces(
    answer: Answer,
    model: String,
    read: usize,
) -> impl Stream<Item = Result<Piece, InferenceError>> + Send + 'static {
    let reading = Reading { answer, model, text: Text::new(read), ended: false };
    stream::unfold(reading, |mut reading| async { Some((reading.next().await?, reading)) })
}

struct Reading {
    answer: Answer,
    model: String,
    text: Text,
    ended: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Piece, InferenceError>> {
        loop {
            if let Some(piece) = self.text.ready.pop_front() {
                self.ended = matches!(piece, Piece::Done { .. });
                return Some(Ok(piece));
            }
            if self.ended {
                return None;
            }
            if let Err(reason) = self.more().await {
                self.ended = true;
                let model = self.model.clone();
                return Some(Err(InferenceError::Provider { model, reason, retry_after: None }));
            }
        }
    }

    /// Reads on.
    ///
    /// Errors: why there is no more, in words.
    async fn more(&mut self) -> Result<(), String> {
        let chunk = tokio::time::timeout(self.answer.timeout, self.answer.response.chunk()).await;
        match chunk {
            Err(_) => Err("it was silent for too long".to_owned()),
            Ok(Err(error)) => Err(why(&error).to_owned()),
            Ok(Ok(Some(bytes))) => self.text.add(&bytes),
            Ok(Ok(None)) => self.text.end(),
        }
    }
}

/// What came so far.
struct Text {
    /// An event that is not whole yet.
    held: Vec<u8>,
    ready: VecDeque<Piece>,
    /// Names and arguments of calls, by their places.
    calls: BTreeMap<usize, (String, String)>,
    finish: Option<FinishReason>,
    usage: Usage,
    /// Whether the provider told what it took; until it does it is counted.
    told: bool,
    bytes: usize,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Used>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    /// Of what is no chat.
    text: Option<String>,
    finish_reason: Option<String>,
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    index: usize,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
    bytes: Option<Vec<u8>>,
    logprob: f32,
    #[serde(default)]
    top_logprobs: Vec<Token>,
}

#[derive(Deserialize)]
struct Used {
    prompt_tokens: usize,
    #[serde(default)]
    completion_tokens: usize,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<usize>,
}

impl Text {
    fn new(read: usize) -> Self {
        let usage = Usage { prompt_tokens: read, ..Usage::default() };
        let (held, ready, calls) = (Vec::new(), VecDeque::new(), BTreeMap::new());
        Self { held, ready, calls, finish: None, usage, told: false, bytes: 0 }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.held);
                    self.line(line.strip_suffix(b"\r").unwrap_or(&line))?;
                }
                byte if self.held.len() < MAX_EVENT_BYTES => self.held.push(*byte),
                _ => return Err("one of its events is longer than 1 MB".to_owned()),
            }
        }
        Ok(())
    }

    /// Comments, names of events and empty lines say nothing here.
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else { return Ok(()) };
        if data == b"[DONE]" {
            return self.end();
        }
        let chunk: Chunk = serde_json::from_slice(data).map_err(|_| "it sent what is no chunk".to_owned())?;
        if chunk.error.is_some() {
            return Err("it failed while it was writing".to_owned());
        }
        if let Some(used) = chunk.usage {
            let cached_tokens = used.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
            let (prompt_tokens, completion_tokens) = (used.prompt_tokens, used.completion_tokens);
            (self.usage, self.told) = (Usage { prompt_tokens, cached_tokens, completion_tokens }, true);
        }
        chunk.choices.into_iter().take(1).try_for_each(|choice| self.choice(choice))
    }

    fn choice(&mut self, choice: Choice) -> Result<(), String> {
        let Choice { delta, text, finish_reason, logprobs } = choice;
        let (said, calls) = delta.map_or((text, None), |delta| (delta.content, delta.tool_calls));
        for Call { index, function } in calls.into_iter().flatten() {
            let Some(Function { name, arguments }) = function else { continue };
            let call = self.calls.entry(index).or_default();
            call.0.push_str(&name.unwrap_or_default());
            self.bytes += arguments.as_ref().map_or(0, String::len);
            call.1.push_str(&arguments.unwrap_or_default());
        }
        let text = said.unwrap_or_default();
        self.bytes += text.len();
        if self.bytes > MAX_TEXT_BYTES {
            return Err("its text is longer than 16 MB".to_owned());
        }
        let tokens = logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
        let logprobs: Vec<_> = tokens.into_iter().map(Token::with_others).collect();
        if !text.is_empty() || !logprobs.is_empty() {
            self.usage.completion_tokens += if self.told { 0 } else { logprobs.len().max(1) };
            self.ready.push_back(Piece::Text { text, logprobs });
        }
        if let Some(reason) = finish_reason {
            self.finish = Some(if reason == "length" { FinishReason::Length } else { FinishReason::Stop });
        }
        Ok(())
    }

    /// Calls are told as models write them, with tags around them.
    fn end(&mut self) -> Result<(), String> {
        let Some(finish) = self.finish.take() else { return Err("its text broke off".to_owned()) };
        for (name, arguments) in std::mem::take(&mut self.calls).into_values() {
            let arguments: Value = serde_json::from_str(&arguments).unwrap_or_else(|_| json!({}));
            let text = format!("<tool_call>{}</tool_call>", json!({ "name": name, "arguments": arguments }));
            self.ready.push_back(Piece::Text { text, logprobs: Vec::new() });
        }
        self.ready.push_back(Piece::Done { finish, usage: self.usage });
        Ok(())
    }
}

impl Token {
    fn with_others(self) -> (TokenLogprob, Vec<TokenLogprob>) {
        let (token, others) = self.split();
        (token, others.into_iter().map(|other| other.split().0).collect())
    }

    fn split(self) -> (TokenLogprob, Vec<Self>) {
        let bytes = self.bytes.unwrap_or_else(|| self.token.clone().into_bytes());
        (TokenLogprob { text: self.token, bytes, logprob: self.logprob }, self.top_logprobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: &[&str]) -> (Vec<Piece>, Result<(), String>) {
        let mut text = Text::new(7);
        let added = parts.iter().try_for_each(|part| text.add(part.as_bytes()));
        (text.ready.into(), added)
    }

    fn said(text: &str) -> Piece {
        Piece::Text { text: text.to_owned(), logprobs: Vec::new() }
    }

    #[test]
    fn events_that_come_in_parts_are_read_whole() {
        let (pieces, added) = read(&[
            ": a comment\r\n\r\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n",
            "data: {\"choices\":[{\"delta\":{\"cont",
            "ent\":\"wet \"}}]}\n\ndata:{\"choices\":[{\"delta\":{\"content\":\"墨\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
        ]);
        assert_eq!(added, Ok(()));
        let usage = Usage { prompt_tokens: 3, cached_tokens: 0, completion_tokens: 2 };
        assert_eq!(pieces, [said("wet "), said("墨"), Piece::Done { finish: FinishReason::Length, usage }]);
    }

    #[test]
    fn what_is_not_told_is_counted() {
        let chunk = "data: {\"choices\":[{\"text\":\"ink\"}]}\n\n";
        let (pieces, _) =
            read(&[chunk, chunk, "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\ndata: [DONE]\n"]);
        let usage = Usage { prompt_tokens: 7, cached_tokens: 0, completion_tokens: 2 };
        assert_eq!(pieces.last(), Some(&Piece::Done { finish: FinishReason::Stop, usage }));
    }

    #[test]
    fn calls_are_put_together() {
        let (pieces, _) = read(&[
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"find\",\"arguments\":\"\"}}]}}]}\n",
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}]}}]}\n",
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n",
            "data: [DONE]\n",
        ]);
        let Piece::Text { text, .. } = &pieces[0] else { panic!("a call is text: {pieces:?}") };
        let call = text.strip_prefix("<tool_call>").and_then(|text| text.strip_suffix("</tool_call>"));
        let call: Value = serde_json::from_str(call.expect("with tags around it")).expect("JSON");
        assert_eq!(call, json!({ "name": "find", "arguments": { "a": 1 } }));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (parts, says) in [
            (vec!["data: [DONE]\n"], "broke off"),
            (vec!["data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\ndata: <html>\n"], "no chunk"),
            (vec!["data: {\"error\":{\"message\":\"the key sk-1 is bad\"}}\n"], "failed while"),
        ] {
            let (_, added) = read(&parts);
            let why = added.expect_err("this is no answer");
            assert!(why.contains(says) && !why.contains("sk-1"), "expected {says:?} in {why:?}");
        }
        let endless = "x".repeat(MAX_EVENT_BYTES + 1);
        assert!(read(&[&endless]).1.is_err(), "an event has an end");
    }
}
