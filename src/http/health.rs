//! What operations asks: is it ready, and how is it doing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::HttpState;
use crate::telemetry::metrics;

const PATIENCE: Duration = Duration::from_secs(1);

/// 200 when requests can be answered; 503 with the reason when they cannot.
pub async fn ready(State(state): State<Arc<HttpState>>) -> Response {
    if state.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response();
    }
    match state.services.db.ping(PATIENCE).await {
        Ok(()) => "ready".into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer").into_response()
        }
    }
}

/// All metrics in the Prometheus text format.
pub async fn metrics(State(state): State<Arc<HttpState>>) -> Response {
    let pool = state.services.db.pool_state();
    metrics::db_connections(pool.connections - pool.idle, pool.idle);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], state.telemetry.render()).into_response()
}
