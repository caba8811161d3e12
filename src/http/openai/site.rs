//! `POST /v1/chat/completions` with the model `site`: the chat over the site, for any client of
//! OpenAI's API. The last message is the question, those before it are what was said; what a client
//! would tell a model otherwise (`system`) is left out. Citations stand in a field of their own.

use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use super::chat::Chat;
use super::fields::Fields;
use super::options::{self, Streaming};
use super::refusal::Refusal;
use super::stream::shown;
use super::{Call, Wish, messages, price_of};
use crate::error::ApiError;
use crate::http::places::Place;
use crate::http::telling::{self, Teller};
use crate::inference::{GenerateOptions, Message, Role};
use crate::services::chatting::{
    self, Asker, ChatEvent, ChatFailure, Chats, Citation, Done, MAX_ANSWER_TOKENS, Question, Thread, Turn,
};
use crate::services::{Actor, ServiceError};
use crate::store::messages::Finish;
use crate::store::posts::PostFilter;

/// The model's name.
pub const SITE: &str = "site";

/// A chat with a model, or with the site.
pub enum ChatOrSite {
    Chat(Box<Chat>),
    Site(Box<AskSite>),
}

impl Wish for ChatOrSite {
    fn read(fields: Fields) -> Result<Self, Refusal> {
        match fields.peek("model").and_then(Value::as_str) {
            Some(SITE) => AskSite::read(fields).map(Box::new).map(Self::Site),
            _ => Chat::read(fields).map(Box::new).map(Self::Chat),
        }
    }

    fn cost(&self) -> u64 {
        match self {
            Self::Chat(chat) => chat.cost(),
            Self::Site(site) => site.cost(),
        }
    }

    async fn run(self, call: Call) -> Result<Response, Refusal> {
        match self {
            Self::Chat(chat) => chat.run(call).await,
            Self::Site(site) => site.run(call).await,
        }
    }
}

pub struct AskSite {
    before: Vec<Turn>,
    question: String,
    options: GenerateOptions,
    streaming: Streaming,
}

impl AskSite {
    fn read(mut fields: Fields) -> Result<Self, Refusal> {
        for name in ["tools", "functions", "logprobs"] {
            if fields.peek(name).is_some_and(|value| *value != json!(false) && *value != json!([])) {
                return Err(Refusal::invalid(name, format!("the model `{SITE}` knows no `{name}`: leave it out")));
            }
        }
        if options::constraint(&mut fields)?.is_some() {
            let message = format!("the model `{SITE}` answers in plain text: leave `response_format` out");
            return Err(Refusal::invalid("response_format", message));
        }
        let mut said = messages::read(&mut fields)?;
        let Some(last) = said.pop().filter(|last| last.role == Role::User) else {
            let message = "the last of `messages` is the question to the site: it has to be of the role \"user\"";
            return Err(Refusal::invalid("messages", message));
        };
        let options = options::read(&mut fields)?;
        let streaming = Streaming::read(&mut fields)?;
        Ok(Self { before: turns(said), question: last.content, options, streaming })
    }

    fn cost(&self) -> u64 {
        let most = self.options.max_tokens.unwrap_or(MAX_ANSWER_TOKENS).min(MAX_ANSWER_TOKENS);
        let options = GenerateOptions { max_tokens: Some(most), ..GenerateOptions::default() };
        price_of([&self.question]).saturating_add(options::price(&options))
    }

    async fn run(self, call: Call) -> Result<Response, Refusal> {
        let place = self.streaming.place(&call)?;
        let question = Question {
            text: self.question,
            thread: Thread::Told(self.before),
            filter: PostFilter::default(),
            options: Some(self.options),
        };
        let asker = Asker { actor: Actor { viewer: call.viewer.clone(), now: call.now }, address: None };
        let asked = Box::pin(chatting::ask(&call.state.services, asker, question));
        let events = asked.await.map_err(refused)?;
        let reply = Reply::new(&call, self.streaming.include_usage);
        match place {
            Some(place) => Ok(stream(call, events, reply, place)),
            None => whole(events, reply).await,
        }
    }
}

/// Questions with their answers; what stands alone says nothing.
fn turns(said: Vec<Message>) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut question = None;
    for message in said {
        match message.role {
            Role::User => question = Some(message.content),
            Role::Assistant => {
                turns.extend(question.take().map(|question| Turn { question, answer: message.content }));
            }
            Role::System | Role::Tool => {}
        }
    }
    turns
}

fn refused(error: ServiceError) -> Refusal {
    match error {
        ServiceError::Refused(_) => Refusal::invalid("messages", ApiError::from(error).message),
        ServiceError::UsedUp(used_up) => used_up.into(),
        other => ApiError::from(other).into(),
    }
}

fn failed(failure: ChatFailure) -> Refusal {
    match failure {
        ChatFailure::Inference(error) => Refusal::of_model(error, "messages"),
        ChatFailure::Service(error) => refused(error),
        ChatFailure::TimedOut(limit) => Refusal::timed_out(limit),
    }
}

/// What all chunks of an answer begin with.
struct Reply {
    chats: Chats,
    id: String,
    created: i64,
    include_usage: bool,
}

impl Reply {
    fn new(call: &Call, include_usage: bool) -> Self {
        let id = format!("chatcmpl-{}", Uuid::now_v7().simple());
        Self { chats: call.state.services.chats.clone(), id, created: call.now.timestamp(), include_usage }
    }

    fn answer(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": SITE,
            "system_fingerprint": null,
            "choices": choices,
        })
    }

    fn chunk(&self, delta: Value, finish: Option<&str>) -> Value {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish });
        let mut chunk = self.answer("chat.completion.chunk", json!([choice]));
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn citations(&self, citations: &[Citation]) -> Value {
        let shown = |citation: &Citation| {
            json!({
                "index": citation.index,
                "title": citation.title,
                "url": citation.url(&self.chats),
                "heading_path": citation.heading_path,
                "excerpt": citation.excerpt,
            })
        };
        citations.iter().map(shown).collect()
    }

    /// The data of the events that tell of this one.
    fn told(&self, event: ChatEvent) -> Vec<String> {
        let chunks = match event {
            ChatEvent::Started { .. } => vec![self.chunk(json!({ "role": "assistant", "content": "" }), None)],
            ChatEvent::Citations { citations, .. } => {
                let mut chunk = self.chunk(json!({}), None);
                chunk["citations"] = self.citations(&citations);
                vec![chunk]
            }
            ChatEvent::Token(text) => vec![self.chunk(json!({ "content": text }), None)],
            ChatEvent::Failed(failure) => return vec![failed(failure).to_json().to_string()],
            ChatEvent::Done(done) => {
                let end = self.end(&done).into_iter().map(|chunk| chunk.to_string());
                return end.chain(["[DONE]".to_owned()]).collect();
            }
        };
        chunks.iter().map(Value::to_string).collect()
    }

    fn end(&self, done: &Done) -> Vec<Value> {
        let mut last = self.chunk(json!({}), Some(finish_reason(done.finish)));
        describe(&mut last, done);
        let mut chunks = vec![last];
        if self.include_usage {
            let mut usage = self.answer("chat.completion.chunk", json!([]));
            usage["usage"] = shown(done.usage);
            chunks.push(usage);
        }
        chunks
    }
}

/// What OpenAI's answers do not have: whether the site was quoted, and whether a model was missing.
fn describe(answer: &mut Value, done: &Done) {
    if done.degraded {
        answer["degraded"] = true.into();
    }
    if done.finish == Finish::Quoted {
        answer["quoted"] = true.into();
    }
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Length => "length",
        Finish::Stop | Finish::Quoted | Finish::NotCovered | Finish::Left | Finish::Failed => "stop",
    }
}

fn stream(call: Call, events: impl Stream<Item = ChatEvent> + Send + 'static, reply: Reply, place: Place) -> Response {
    let told = events.flat_map(move |event| stream::iter(reply.told(event)));
    let ended = |error: &ApiError| vec![telling::event(Refusal::from(error.clone()).to_json().to_string())];
    telling::respond(call.state, call.viewer, |teller: Teller| teller.tell_all(told), ended, place)
}

async fn whole(events: impl Stream<Item = ChatEvent>, reply: Reply) -> Result<Response, Refusal> {
    let mut events = std::pin::pin!(events);
    let (mut text, mut cited) = (String::new(), json!([]));
    while let Some(event) = events.next().await {
        match event {
            ChatEvent::Started { .. } => {}
            ChatEvent::Citations { citations, .. } => cited = reply.citations(&citations),
            ChatEvent::Token(more) => text.push_str(&more),
            ChatEvent::Failed(failure) => return Err(failed(failure)),
            ChatEvent::Done(done) => {
                let message = json!({ "role": "assistant", "content": text, "refusal": null });
                let finish = finish_reason(done.finish);
                let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": finish });
                let mut answer = reply.answer("chat.completion", json!([choice]));
                answer["usage"] = shown(done.usage);
                answer["citations"] = cited;
                describe(&mut answer, &done);
                return Ok(axum::Json(answer).into_response());
            }
        }
    }
    Err(ApiError::from(ServiceError::Internal("an answer had no end".to_owned())).into())
}
