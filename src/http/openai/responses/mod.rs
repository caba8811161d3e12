//! `POST /v1/responses`: OpenAI's newer shape of a conversation, of which the server keeps what was
//! said, so that the next request sends only what is new. `input.rs` reads what is said, `reply.rs`
//! tells the answer.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use super::fields::Fields;
use super::options::{self, Streaming};
use super::refusal::Refusal;
use super::stream::{self, Chunks};
use super::tools::Tools;
use super::writing::Writing;
use super::{Asked, Call, Wish, price_of};
use crate::error::ApiError;
use crate::http::responses::keep_out;
use crate::inference::{GenerateOptions, GenerateRequest, Message, Prompt, Role};
use crate::services::responses::{self, Kept};
use crate::services::{ServiceError, Services};

mod input;
mod reply;

use reply::{Echo, Reply};

/// A conversation that is longer has to begin anew.
const MAX_MESSAGES: usize = 1000;

pub struct Respond {
    model: Option<String>,
    /// What is new.
    messages: Vec<Message>,
    tools: Tools,
    options: GenerateOptions,
    streaming: Streaming,
    echo: Echo,
}

impl Wish for Respond {
    fn read(mut fields: Fields) -> Result<Self, Refusal> {
        for name in ["conversation", "prompt", "background"] {
            if fields.has(name) && fields.take(name) != Some(json!(false)) {
                let message = format!("`{name}` is not to be had here: send `input` and `previous_response_id`");
                return Err(Refusal::invalid(name, message));
            }
        }
        let model = fields.model()?;
        let mut echo = Echo::read(&mut fields)?;
        let messages = input::read(&mut fields)?;
        let max_tokens = fields.integer("max_output_tokens", 1..=options::MAX_TOKENS)?;
        let mut options = GenerateOptions { max_tokens, ..options::read(&mut fields)? };
        input::flat_tools(&mut fields)?;
        let tools = Tools::read(&mut fields)?;
        let format = input::format(&mut fields)?;
        if format.is_some() && !tools.offered.is_empty() {
            let message = "`text.format` binds the text to be an answer, so that it can be no call: leave it out, or \
                           send `tool_choice: \"none\"`";
            return Err(Refusal::invalid("text.format", message));
        }
        options.constraint = tools.constraint.clone().or(format);
        echo.temperature = options.temperature;
        echo.top_p = options.top_p;
        echo.max_tokens = max_tokens;
        let streaming = Streaming { wanted: fields.flag("stream")?, include_usage: false };
        Ok(Self { model, messages, tools, options, streaming, echo })
    }

    fn cost(&self) -> u64 {
        let said = self.messages.iter().map(|message| &message.content);
        let said = price_of(said.chain(&self.echo.instructions));
        said.saturating_add(self.tools.price()).saturating_add(options::price(&self.options))
    }

    async fn run(self, call: Call) -> Result<Response, Refusal> {
        let mut said = before(&call, self.echo.previous).await?;
        said.extend(self.messages);
        if said.len() > MAX_MESSAGES {
            let message = format!("the conversation has {} messages: at most {MAX_MESSAGES} are read", said.len());
            return Err(Refusal::invalid("input", message));
        }
        let system = self.echo.instructions.as_ref().map(|text| Message::new(Role::System, text.clone()));
        let prompt = Prompt::Messages(system.into_iter().chain(said.iter().cloned()).collect());
        let calls = self.tools.reader();
        let request = GenerateRequest { prompt, tools: self.tools.offered, options: self.options };
        let place = self.streaming.place(&call)?;
        let mut writing = call.in_time(Writing::begin(call.clone(), self.model, vec![request])).await?;
        let mut reply = Reply::new(call.clone(), &writing, self.echo, calls, said);
        if let Some(place) = place {
            return Ok(stream::respond(call, writing, reply, place));
        }
        let gathering = writing.each(|index, piece| drop(reply.of(index, piece)));
        call.in_time(gathering).await?;
        reply.finish();
        Ok(axum::Json(reply.keep(writing.finish().await).await).into_response())
    }
}

/// The conversation that is gone on with.
async fn before(call: &Call, previous: Option<Uuid>) -> Result<Vec<Message>, Refusal> {
    let Some(id) = previous else { return Ok(Vec::new()) };
    let kept = responses::recall(&call.state.services, &call.account, id).await.map_err(ApiError::from)?;
    kept.map(|kept| kept.messages).ok_or_else(|| unknown(&name(id)))
}

/// `GET /v1/responses/{id}`.
pub async fn find(path: Named, asked: Asked) -> Response {
    let found = asked.of_response(path, async |services, account, id| {
        Ok(responses::recall(services, account, id).await?.map(|Kept { body, .. }| body))
    });
    found.await.unwrap_or_else(Refusal::into_response)
}

/// `DELETE /v1/responses/{id}`.
pub async fn forget(path: Named, asked: Asked) -> Response {
    let forgotten = asked.of_response(path, async |services, account, id| {
        let done = responses::forget(services, account, id).await?;
        Ok(done.then(|| json!({ "id": name(id), "object": "response", "deleted": true })))
    });
    forgotten.await.unwrap_or_else(Refusal::into_response)
}

/// The id in an address, if that is text.
type Named = Result<Path<String>, PathRejection>;

impl Asked {
    /// What `look` finds for the account of who asks, if they may ask models at all.
    async fn of_response(
        self,
        path: Named,
        look: impl AsyncFnOnce(&Services, &str, Uuid) -> Result<Option<Value>, ServiceError>,
    ) -> Result<Response, Refusal> {
        let viewer = self.viewer(Utc::now()).await;
        let spent = self.pay(viewer.as_ref().unwrap_or(&Default::default()), 0).await?;
        let viewer = viewer?;
        super::may_infer(&viewer)?;
        let account = viewer.account().ok_or(ApiError::from(ServiceError::Unauthenticated))?;
        let id = path.map(|Path(id)| id).unwrap_or_default();
        let number = number(&id).ok_or_else(|| unknown(&id))?;
        let found = look(&self.state.services, &account, number).await.map_err(ApiError::from)?;
        let mut response = axum::Json(found.ok_or_else(|| unknown(&id))?).into_response();
        spent.tell(response.headers_mut());
        keep_out(&mut response);
        Ok(response)
    }
}

fn name(id: Uuid) -> String {
    format!("resp_{}", id.simple())
}

fn number(name: &str) -> Option<Uuid> {
    Uuid::try_parse(name.strip_prefix("resp_")?).ok()
}

fn unknown(id: &str) -> Refusal {
    let id: String = id.chars().take(100).collect();
    Refusal::no_response(format!("{id:?} is no response that was kept for you: they are kept for 30 days"))
}
