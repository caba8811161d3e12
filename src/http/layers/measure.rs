//! Metrics of each request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};

use super::UNMATCHED;
use crate::telemetry::metrics::HttpRequests;

/// A request whose time runs.
pub(super) struct Measured {
    started: Instant,
    method: Method,
    route: Option<MatchedPath>,
}

impl Measured {
    pub(super) fn begin(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { started: Instant::now(), method: request.method().clone(), route }
    }

    /// Counts the request under its route's pattern; the time ends with the head of the response.
    pub(super) fn end(self, requests: &HttpRequests, status: StatusCode) {
        let route = self.route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
        requests.count(self.method.as_str(), route, status.as_u16(), self.started.elapsed());
    }
}
