//! `POST /v1/completions`: text that goes on from a text, in the API's older shape.

use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::options::{self, Streaming};
use super::refusal::Refusal;
use super::stream::{self, Chunks, Head};
use super::writing::Writing;
use super::{Call, Wish, price_of};
use crate::inference::{FinishReason, GenerateOptions, GenerateRequest, Piece, Prompt, TokenLogprob, Usage};

/// They are written one after the other.
const MAX_PROMPTS: usize = 16;
/// OpenAI's default: who wants more of this shape says so.
const MAX_TOKENS: usize = 16;
const MAX_LOGPROBS: usize = 20;

pub struct Completions {
    model: Option<String>,
    prompts: Vec<String>,
    echo: bool,
    options: GenerateOptions,
    streaming: Streaming,
}

impl Wish for Completions {
    fn read(mut fields: Fields) -> Result<Self, Refusal> {
        if fields.has("suffix") {
            return Err(Refusal::invalid("suffix", "`suffix` is not for these models: they only go on from a text"));
        }
        let model = fields.model()?;
        let prompts = fields.texts("prompt", MAX_PROMPTS)?;
        let prompts = fields.required("prompt", prompts)?;
        if prompts.is_empty() || prompts.iter().any(String::is_empty) {
            return Err(Refusal::invalid(
                "prompt",
                "`prompt` is empty, or holds an empty text: send texts to go on from",
            ));
        }
        let mut options = options::read(&mut fields)?;
        options.max_tokens.get_or_insert(MAX_TOKENS);
        options.logprobs = fields.integer("logprobs", 0..=MAX_LOGPROBS)?;
        let echo = fields.flag("echo")?;
        Ok(Self { model, prompts, echo, options, streaming: Streaming::read(&mut fields)? })
    }

    fn cost(&self) -> u64 {
        let each = options::price(&self.options);
        price_of(&self.prompts).saturating_add(each.saturating_mul(self.prompts.len() as u64))
    }

    async fn run(self, call: Call) -> Result<Response, Refusal> {
        let echoed = |prompt: &String| if self.echo { prompt.clone() } else { String::new() };
        let texts = self.prompts.iter().map(|prompt| Text::after(echoed(prompt))).collect();
        let request =
            |prompt| GenerateRequest { prompt: Prompt::Text(prompt), tools: Vec::new(), options: self.options.clone() };
        let requests = self.prompts.into_iter().map(request).collect();
        let place = self.streaming.place(&call)?;
        let mut writing = call.in_time(Writing::begin(call.clone(), self.model, requests)).await?;
        let head = Head::new("cmpl", "text_completion", &call, &writing, self.streaming.include_usage);
        let mut reply = Reply { head, texts };
        if let Some(place) = place {
            return Ok(stream::respond(call, writing, reply, place));
        }
        let mut choices: Vec<_> =
            reply.texts.iter().map(|text| Choice { text: text.echoed.clone(), ..Choice::default() }).collect();
        let gathering = writing.each(|index, piece| {
            if let (Some(text), Some(choice)) = (reply.texts.get_mut(index), choices.get_mut(index)) {
                choice.add(text.part(piece));
            }
        });
        call.in_time(gathering).await?;
        let choices = choices.into_iter().enumerate().map(|(index, choice)| choice.shown(index));
        let mut answer = reply.head.answer(choices.collect());
        answer["usage"] = stream::shown(writing.finish().await);
        Ok(axum::Json(answer).into_response())
    }
}

struct Reply {
    head: Head,
    texts: Vec<Text>,
}

/// A text that is being written.
struct Text {
    /// The prompt, if it is to be told again.
    echoed: String,
    /// Characters so far, which tokens are placed by.
    length: usize,
}

/// Some of a text, or the whole of it.
#[derive(Default)]
struct Choice {
    text: String,
    logprobs: Option<Logprobs>,
    finish: Option<&'static str>,
}

#[derive(Default)]
struct Logprobs {
    tokens: Vec<Value>,
    token_logprobs: Vec<Value>,
    top_logprobs: Vec<Value>,
    text_offset: Vec<Value>,
}

impl Text {
    fn after(echoed: String) -> Self {
        Self { length: echoed.chars().count(), echoed }
    }

    fn part(&mut self, piece: Piece) -> Choice {
        match piece {
            Piece::Text { text, logprobs } => {
                let logprobs = (!logprobs.is_empty()).then(|| self.logprobs(&logprobs));
                Choice { text, logprobs, finish: None }
            }
            Piece::Done { finish, .. } => {
                let finish = match finish {
                    FinishReason::Stop => "stop",
                    FinishReason::Length => "length",
                };
                Choice { finish: Some(finish), ..Choice::default() }
            }
        }
    }

    fn logprobs(&mut self, tokens: &[(TokenLogprob, Vec<TokenLogprob>)]) -> Logprobs {
        let mut shown = Logprobs::default();
        for (token, others) in tokens {
            shown.tokens.push(json!(token.text));
            shown.token_logprobs.push(json!(stream::logprob(token)));
            let others = others.iter().map(|other| (other.text.clone(), json!(stream::logprob(other))));
            shown.top_logprobs.push(Value::Object(others.collect::<Map<_, _>>()));
            shown.text_offset.push(json!(self.length));
            self.length += token.text.chars().count();
        }
        shown
    }
}

impl Choice {
    fn add(&mut self, more: Self) {
        self.text.push_str(&more.text);
        self.finish = more.finish.or(self.finish);
        if let Some(mut more) = more.logprobs {
            let all = self.logprobs.get_or_insert_default();
            all.tokens.append(&mut more.tokens);
            all.token_logprobs.append(&mut more.token_logprobs);
            all.top_logprobs.append(&mut more.top_logprobs);
            all.text_offset.append(&mut more.text_offset);
        }
    }

    fn shown(self, index: usize) -> Value {
        let logprobs = self.logprobs.map(|of| {
            json!({
                "tokens": of.tokens,
                "token_logprobs": of.token_logprobs,
                "top_logprobs": of.top_logprobs,
                "text_offset": of.text_offset,
            })
        });
        json!({ "index": index, "text": self.text, "logprobs": logprobs, "finish_reason": self.finish })
    }
}

impl Chunks for Reply {
    fn opening(&mut self) -> Vec<Value> {
        let echoed = self.texts.iter().enumerate().filter(|(_, text)| !text.echoed.is_empty());
        let chunk = |(index, text): (usize, &Text)| {
            self.head.chunk(Choice { text: text.echoed.clone(), ..Choice::default() }.shown(index))
        };
        echoed.map(chunk).collect()
    }

    fn of(&mut self, index: usize, piece: Piece) -> Vec<Value> {
        let part = self.texts.get_mut(index).map(|text| text.part(piece).shown(index));
        part.map(|choice| self.head.chunk(choice)).into_iter().collect()
    }

    async fn closing(self, usage: Usage) -> Vec<Value> {
        self.head.usage(usage).into_iter().collect()
    }
}
