//! HTTP: routes, and how requests become GraphQL operations.
//!
//! `body.rs` and `asked.rs` read requests, `documents.rs` finds what they name, `graphql.rs` answers them,
//! `responses.rs` keeps what anybody may have; `sse.rs`, `websocket.rs` and `multipart.rs` carry
//! subscriptions, `operations.rs` those of one connection, `places.rs` how many there may be, `shared.rs` those that many have in common, `execute.rs` runs each. `viewer.rs` finds
//! out who asks, `graphiql.rs` serves the explorer, `demo.rs` the demo page, `feeds.rs` what programs read, `rest/` plain
//! JSON for scripts, `chat/` the chat for the AI SDK, `openai/` the models in the shapes of OpenAI. Imports `graphql`, `services`, `auth`, `inference`, `telemetry`; imported by `app`. To add a route: a
//! handler in the file of its subject, a line in `router`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::get;
use axum::{BoxError, Extension, Router};
use tokio_util::sync::CancellationToken;

use self::layers::RequestId;
use self::responses::Keeping;
use crate::auth::Authenticator;
use crate::config::Introspection;
use crate::error::{ApiError, Code};
use crate::graphql::{Guard, Schemas};
use crate::services::Services;
use crate::services::feeds::Addresses;
use crate::telemetry::Telemetry;

mod asked;
mod body;
mod chat;
mod conditional;
mod demo;
mod documents;
mod execute;
mod feeds;
mod graphiql;
mod graphql;
mod health;
mod layers;
mod multipart;
mod openai;
mod operations;
mod places;
mod rate;
mod responses;
mod rest;
pub mod server;
mod shared;
mod sse;
mod telling;
mod viewer;
mod websocket;

pub use body::Room as BodyRoom;
pub use documents::{Documents, Trusted};
pub use health::Told as ToldOperations;
pub use layers::{HttpService, Surroundings};
pub use places::Places;
pub use rate::RateLimit;
pub use responses::{KeptAnswers, Responses};
pub use rest::{Described as RestDescription, described_by as rest_described_by};
pub use shared::Shared;
pub use sse::Streams;

/// What handlers work with.
pub struct HttpState {
    pub services: Services,
    pub authenticator: Authenticator,
    pub schemas: Schemas,
    /// It in the schema language.
    pub sdl: Bytes,
    /// What `/api/v1` offers.
    pub rest: RestDescription,
    pub guard: Guard,
    pub documents: Documents,
    pub responses: Responses,
    pub telemetry: Telemetry,
    pub limits: Limits,
    pub rate: RateLimit,
    /// What `/readyz` and `/metrics` told last.
    pub told: ToldOperations,
    /// What links in feeds are made from.
    pub addresses: Addresses,
    /// Cancelled when the server stops: subscriptions end.
    pub stopping: CancellationToken,
    /// One place a connection that subscribes.
    pub subscribers: Places,
    /// Subscriptions that run for several.
    pub shared: Shared,
    /// SSE streams of many operations.
    pub streams: Streams,
}

/// Bounds of requests and connections.
#[derive(Clone, Debug)]
pub struct Limits {
    pub query_timeout: Duration,
    /// How long a model may take to answer one request.
    pub inference_timeout: Duration,
    /// How long an answer that is being told may take to its end when the server stops.
    pub answer_grace: Duration,
    pub max_body_bytes: usize,
    /// For the bodies that are being read.
    pub body_room: BodyRoom,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// Operations in one request.
    pub max_batch: usize,
    /// Who may look at the schema.
    pub introspection: Introspection,
    pub max_subscriptions_per_socket: usize,
    /// How often a connection that stays open is asked for its rights again.
    pub recheck: Duration,
    /// Scheme and authority of each site whose pages may use a reader's cookie.
    pub own_origins: Vec<String>,
    /// The session cookie is marked Secure.
    pub secure_cookies: bool,
    /// Tell the number of SQL statements in `Server-Timing`.
    pub statement_counts: bool,
}

/// All routes, with what stands around them.
pub fn service<B>(state: Arc<HttpState>, surroundings: &Surroundings) -> impl HttpService<B> + use<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    layers::around(Keeping::new(state.clone(), layers::packed(router(state))), surroundings)
}

fn router(state: Arc<HttpState>) -> Router {
    Router::new()
        .merge(graphiql::routes())
        .merge(demo::routes())
        .merge(feeds::routes())
        .merge(rest::routes())
        .merge(chat::routes())
        .merge(openai::routes())
        .merge(
            Router::new()
                .route("/graphql/stream", get(sse::get).post(sse::post).put(sse::put).delete(sse::delete))
                .route_layer(from_fn(graphql::say_what_it_is)),
        )
        .route(graphql::PATH, get(graphql::get).post(graphql::post))
        .route("/schema.graphql", get(graphql::sdl))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(unknown_address)
        .method_not_allowed_fallback(wrong_method)
        .with_state(state)
}

async fn unknown_address(Extension(request_id): Extension<RequestId>) -> Response {
    let message = "there is nothing at this address: the API is at /graphql, and what explores it at /";
    graphql::refuse(&ApiError::new(Code::NotFound, message), StatusCode::NOT_FOUND, &request_id)
}

/// The header `Allow` comes with the route.
async fn wrong_method(Extension(request_id): Extension<RequestId>) -> Response {
    let error =
        ApiError::bad_input("this address does not take this method: `Allow` in the answer names those it does");
    graphql::refuse(&error, StatusCode::METHOD_NOT_ALLOWED, &request_id)
}
