//! Metrics of each request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

use super::UNMATCHED;
use crate::telemetry::metrics::HttpRequests;

/// Counts the request under its route's pattern; the time ends with the head of the response.
pub(super) async fn record(requests: &HttpRequests, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    requests.count(method.as_str(), route, response.status().as_u16(), started.elapsed());
    response
}
