//! `POST /api/v1/chat`: the chat over the site, as the AI SDK's `useChat` asks for it and takes it.
//!
//! `wish.rs` reads what is asked, `parts.rs` tells the answer in parts of the UI message stream. What
//! is refused before it begins is a problem (RFC 9457), as everywhere below `/api/v1`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use axum::routing::post;
use chrono::Utc;
use futures_util::{StreamExt, stream};

use super::layers::{ClientAddress, RequestId};
use super::rest::problem;
use super::telling::{self, Teller};
use super::{HttpState, body, rate, responses, viewer};
use crate::auth::Viewer;
use crate::error::{ApiError, Code};
use crate::services::chatting::{self, Asker};
use crate::services::{Actor, ServiceError};

mod described;
mod parts;
mod wish;

pub use described::described;
use parts::Parts;
use wish::Wish;

const PATH: &str = "/api/v1/chat";
/// Says which protocol the stream speaks.
const PROTOCOL: HeaderName = HeaderName::from_static("x-vercel-ai-ui-message-stream");
const VERSION: HeaderValue = HeaderValue::from_static("v1");
/// When to come back to a model that is being loaded, or to a chat that is full, s.
const COME_BACK: u64 = 5;

pub fn routes() -> Router<Arc<HttpState>> {
    Router::new().route(PATH, post(ask).fallback(problem::only_post))
}

/// A request, but for its body.
#[derive(FromRequestParts)]
#[from_request(state(Arc<HttpState>))]
struct Asked {
    #[from_request(via(State))]
    state: Arc<HttpState>,
    #[from_request(via(Extension))]
    request_id: RequestId,
    #[from_request(via(Extension))]
    address: ClientAddress,
    uri: Uri,
    headers: HeaderMap,
}

/// Why there is no answer.
enum Failure {
    Unread(StatusCode, ApiError),
    Error(ApiError),
    UsedUp(ServiceError, Duration),
    Overdrawn(rate::Overdrawn),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::UsedUp(used_up) => Self::UsedUp(error, used_up.resets_in),
            other => Self::Error(other.into()),
        }
    }
}

async fn ask(asked: Asked, body: Body) -> Response {
    let mut response = asked.answer(body).await.unwrap_or_else(|failure| asked.refuse(failure));
    responses::keep_out(&mut response);
    response
}

impl Asked {
    async fn answer(&self, body: Body) -> Result<Response, Failure> {
        let now = Utc::now();
        let mut viewer = Viewer::anonymous();
        let entered = async {
            let wish = self.read(body).await?;
            viewer = viewer::of_headers(&self.state, &self.headers, now).await?;
            Ok::<_, Failure>(wish)
        };
        let wish = match entered.await {
            Ok(wish) => wish,
            // What is refused is not free.
            Err(failure) => {
                self.pay(&viewer, 0).await?;
                return Err(failure);
            }
        };
        let spent = self.pay(&viewer, wish.cost()).await?;
        let place = self.state.subscribers.take(self.address)?;
        let asker = Asker { actor: Actor { viewer: viewer.clone(), now }, address: self.address.0 };
        let events = Box::pin(chatting::ask(&self.state.services, asker, wish.into_question())).await?;
        let mut parts = Parts::new(self.state.services.chats.clone());
        let told = events.flat_map(move |event| stream::iter(parts.of(event)));
        let tell = |teller: Teller| teller.tell_all(told);
        let ended = |error: &ApiError| parts::ended(error).into_iter().map(telling::event).collect();
        let mut response = telling::respond(self.state.clone(), viewer, tell, ended, place);
        response.headers_mut().insert(PROTOCOL, VERSION);
        spent.tell(response.headers_mut());
        Ok(response)
    }

    async fn read(&self, body: Body) -> Result<Wish, Failure> {
        let media_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // A form of another site could send other types with the reader's cookie.
        if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let message = format!("the body is {media_type:?}: send JSON, with Content-Type: application/json");
            return Err(Failure::Unread(StatusCode::UNSUPPORTED_MEDIA_TYPE, ApiError::bad_input(message)));
        }
        let held = body::read(&self.state.limits, body).await;
        let held = held.map_err(|(status, error)| Failure::Unread(status, error))?;
        Ok(Wish::read(held.bytes())?)
    }

    async fn pay(&self, viewer: &Viewer, cost: u64) -> Result<rate::Spent, Failure> {
        self.state.rate.spend(viewer, self.address, cost).await.map_err(Failure::Overdrawn)
    }

    fn refuse(&self, failure: Failure) -> Response {
        let problem = |error: &ApiError| problem::respond(error, self.uri.path(), &self.request_id);
        match failure {
            Failure::Unread(status, error) => {
                let mut response = problem::with_status(&error, status, self.uri.path(), &self.request_id);
                super::graphql::give_up(&mut response, status);
                response
            }
            Failure::Error(error) => {
                let mut response = problem(&error);
                if matches!(error.code, Code::Overloaded | Code::ModelLoading) {
                    response.headers_mut().insert(RETRY_AFTER, COME_BACK.into());
                }
                response
            }
            Failure::UsedUp(error, resets_in) => {
                let mut response = problem(&error.into());
                response.headers_mut().insert(RETRY_AFTER, resets_in.as_secs().into());
                response
            }
            Failure::Overdrawn(overdrawn) => {
                let mut response = problem(&overdrawn.error());
                overdrawn.tell(response.headers_mut());
                response
            }
        }
    }
}
