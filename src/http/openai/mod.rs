//! `/v1`: the models, as tools for OpenAI's API ask for them; `/v1/rerank` as those for Cohere's,
//! Jina's and text-embeddings-inference's do.
//!
//! A request is a [`Wish`]: read out of its [`Fields`], priced, granted. `refusal.rs` is how refusals
//! look. `options.rs`, `messages.rs` and `tools.rs` read what texts are written from, `writing.rs`
//! has them written, `stream.rs` tells them as they are. To add an address: a file with a `Wish` and
//! a line in [`routes`].

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use chrono::{DateTime, Utc};

use super::layers::ClientAddress;
use super::{HttpState, body, rate, viewer};
use crate::auth::Viewer;
use crate::error::ApiError;
use crate::services::{ServiceError, allowance};

mod chat;
mod completions;
mod embeddings;
mod fields;
mod messages;
mod models;
mod options;
mod refusal;
mod rerank;
mod responses;
mod site;
mod stream;
mod tools;
mod writing;

use completions::Completions;
use embeddings::Embed;
use fields::Fields;
use refusal::Refusal;
use rerank::Rerank;
use responses::Respond;
use site::ChatOrSite;

pub fn routes() -> Router<Arc<HttpState>> {
    let only_get = async |method: Method, uri: Uri| refusal::wrong_method(&method, &uri, "GET");
    let only_post = async |method: Method, uri: Uri| refusal::wrong_method(&method, &uri, "POST");
    let only_kept = async |method: Method, uri: Uri| refusal::wrong_method(&method, &uri, "GET, DELETE");
    Router::new()
        .route("/v1/models", get(models::list).fallback(only_get))
        .route("/v1/models/{*id}", get(models::one).fallback(only_get))
        .route("/v1/embeddings", post(grant::<Embed>).fallback(only_post))
        .route("/v1/rerank", post(grant::<Rerank>).fallback(only_post))
        .route("/v1/chat/completions", post(grant::<ChatOrSite>).fallback(only_post))
        .route("/v1/completions", post(grant::<Completions>).fallback(only_post))
        .route("/v1/responses", post(grant::<Respond>).fallback(only_post))
        .route("/v1/responses/{id}", get(responses::find).delete(responses::forget).fallback(only_kept))
        .route("/v1", any(refusal::unknown))
        .route("/v1/", any(refusal::unknown))
        .route("/v1/{*path}", any(refusal::unknown))
}

/// Something that is asked of a model.
trait Wish: Sized + Send {
    fn read(fields: Fields) -> Result<Self, Refusal>;

    /// In points of the rate limit, besides those of any request.
    fn cost(&self) -> u64;

    fn run(self, call: Call) -> impl Future<Output = Result<Response, Refusal>> + Send;
}

/// Who asks, and when.
#[derive(Clone)]
struct Call {
    state: Arc<HttpState>,
    viewer: Viewer,
    /// To whose account tokens go.
    account: String,
    address: ClientAddress,
    now: DateTime<Utc>,
}

impl Call {
    /// Writes down what the models have read and written.
    async fn note(&self, prompt_tokens: usize, completion_tokens: usize) {
        allowance::note(&self.state.services, &self.account, prompt_tokens, completion_tokens, self.now).await;
    }

    /// What `asking` gives, if it does within the time that an answer may take.
    async fn in_time<T>(&self, asking: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let limit = self.state.limits.inference_timeout;
        tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| Err(Refusal::timed_out(limit)))
    }
}

/// A request, but for its body.
#[derive(FromRequestParts)]
#[from_request(state(Arc<HttpState>))]
struct Asked {
    #[from_request(via(State))]
    state: Arc<HttpState>,
    #[from_request(via(Extension))]
    address: ClientAddress,
    headers: HeaderMap,
}

async fn grant<W: Wish>(asked: Asked, body: Body) -> Response {
    asked.answer::<W>(body).await.unwrap_or_else(Refusal::into_response)
}

impl Asked {
    async fn answer<W: Wish>(self, body: Body) -> Result<Response, Refusal> {
        let now = Utc::now();
        let mut viewer = Viewer::anonymous();
        let wish = match self.read::<W>(body, &mut viewer, now).await {
            Ok(wish) => wish,
            // What is refused is not free.
            Err(refusal) => {
                self.pay(&viewer, 0).await?;
                return Err(refusal);
            }
        };
        let spent = self.pay(&viewer, wish.cost()).await?;
        let mut response = self.run(wish, viewer, now).await.unwrap_or_else(Refusal::into_response);
        spent.tell(response.headers_mut());
        Ok(response)
    }

    /// The wish of one who may have wishes, and in `viewer` who that is.
    async fn read<W: Wish>(&self, body: Body, viewer: &mut Viewer, now: DateTime<Utc>) -> Result<W, Refusal> {
        let media_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // A form of another site could send other types with the reader's cookie.
        if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let message = format!("the body is {media_type:?}: send JSON, with Content-Type: application/json");
            return Err(Refusal::bad_body(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let held = body::read(&self.state.limits, body).await;
        let held = held.map_err(|(status, error)| Refusal::unread(status, error))?;
        *viewer = self.viewer(now).await?;
        may_infer(viewer)?;
        W::read(Fields::read(held.bytes())?)
    }

    async fn run<W: Wish>(self, wish: W, viewer: Viewer, now: DateTime<Utc>) -> Result<Response, Refusal> {
        let account = viewer.account().ok_or(ApiError::from(ServiceError::Unauthenticated))?;
        let used_up = allowance::used_up(&self.state.services, &account, now).await.map_err(ApiError::from)?;
        match used_up {
            Some(used_up) => Err(used_up.into()),
            None => wish.run(Call { state: self.state, viewer, account, address: self.address, now }).await,
        }
    }

    async fn viewer(&self, now: DateTime<Utc>) -> Result<Viewer, Refusal> {
        Ok(viewer::of_headers(&self.state, &self.headers, now).await?)
    }

    async fn pay(&self, viewer: &Viewer, cost: u64) -> Result<rate::Spent, Refusal> {
        Ok(self.state.rate.spend(viewer, self.address, cost).await?)
    }
}

/// Errors: who asks may not ask models.
fn may_infer(viewer: &Viewer) -> Result<(), Refusal> {
    let refused = match viewer.user() {
        _ if viewer.may_infer() => return Ok(()),
        Some(_) => ServiceError::Forbidden("have models read and write (owner and editors, scope `infer`)"),
        None => ServiceError::Unauthenticated,
    };
    Err(ApiError::from(refused).into())
}

/// What reading these texts costs: a point for each and for every four bytes, which is about a token.
fn price_of<'a>(texts: impl IntoIterator<Item = &'a String>) -> u64 {
    texts.into_iter().map(|text| 1 + text.len() as u64 / 4).sum()
}
