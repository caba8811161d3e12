//! HTTP: routes, and how requests become GraphQL operations.
//!
//! `graphql.rs` answers single requests, `sse.rs` and `websocket.rs` carry subscriptions,
//! `viewer.rs` finds out who asks, `graphiql.rs` serves the explorer, `feeds.rs` what programs
//! read. Imports `graphql`, `services`, `auth`, `telemetry`; imported by `app`. To add a route: a
//! handler in the file of its subject, a line in [`router`].

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::graphql::{ApiSchema, Guard};
use crate::services::Services;
use crate::services::feeds::Addresses;
use crate::telemetry::Telemetry;

mod conditional;
mod execute;
mod feeds;
mod graphiql;
mod graphql;
mod health;
mod layers;
mod rate;
pub mod server;
mod sse;
mod viewer;
mod websocket;

pub use layers::Surroundings;
pub use rate::RateLimit;

/// What handlers work with.
pub struct HttpState {
    pub services: Services,
    pub authenticator: Authenticator,
    pub schema: ApiSchema,
    pub guard: Guard,
    pub telemetry: Telemetry,
    pub limits: Limits,
    pub rate: RateLimit,
    /// What links in feeds are made from.
    pub addresses: Addresses,
    /// Cancelled when the server stops: subscriptions end.
    pub stopping: CancellationToken,
    /// One permit a connection that subscribes.
    pub subscribers: Arc<Semaphore>,
}

/// Bounds of requests and connections.
#[derive(Clone, Debug)]
pub struct Limits {
    pub query_timeout: Duration,
    pub max_body_bytes: usize,
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

/// All routes, with the layers around them.
pub fn router(state: Arc<HttpState>, surroundings: &Surroundings) -> Router {
    let body_limit = DefaultBodyLimit::max(state.limits.max_body_bytes);
    let routes = Router::new()
        .merge(graphiql::routes())
        .merge(feeds::routes())
        .route("/graphql", get(graphql::get).post(graphql::post))
        .route("/graphql/stream", get(sse::get).post(sse::post))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .layer(body_limit)
        .with_state(state);
    layers::with_layers(routes, surroundings)
}
