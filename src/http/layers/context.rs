//! A request's id and trace, in its extensions, its span, its log lines and its response; its metrics.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use chrono::Utc;
use uuid::Uuid;

use super::client::ClientAddress;
use super::panics;
use crate::telemetry::metrics::HttpRequests;
use crate::telemetry::trace_context::{TRACE_ID, TRACEPARENT, TraceContext};

/// The header that carries a request's id, in both directions.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id a client may choose, in bytes.
const MAX_ID_BYTES: usize = 64;

/// Routes that machines ask every few seconds; their log lines would bury the others.
const QUIET_ROUTES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What a client, the logs and an error message call one request by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// An id chosen by a client: 1 to 64 of `A-Z a-z 0-9 . _ -`, otherwise `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let fit = (1..=MAX_ID_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        fit.then(|| Self(text.into()))
    }

    /// An id of our own, a UUID in the order of time. Its random part is the thread's: `Uuid::now_v7` asks the
    /// kernel for it each time.
    fn new() -> Self {
        let millis = Utc::now().timestamp_millis().unsigned_abs();
        let id: Uuid = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
        Self(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Label of a request that no route answers.
const UNMATCHED: &str = "unmatched";
/// Label of a browser's question before it asks from another site, which is answered in front of all routes.
const PREFLIGHT: &str = "preflight";

/// The route that answers a request, which is known only inside of the router.
#[derive(Clone, Default)]
pub struct AnsweringRoute(Arc<OnceLock<MatchedPath>>);

impl AnsweringRoute {
    pub fn is(&self, route: &MatchedPath) {
        self.0.get_or_init(|| route.clone());
    }

    pub fn get(&self) -> Option<&MatchedPath> {
        self.0.get()
    }
}

/// Tells what stands around the router which of its routes answers.
pub(super) fn name_route(request: Request) -> Request {
    let extensions = request.extensions();
    if let (Some(answering), Some(route)) = (extensions.get::<AnsweringRoute>(), extensions.get()) {
        answering.is(route);
    }
    request
}

/// What one request is called by, while it is answered.
pub(super) struct Context {
    id: RequestId,
    /// The answer's own position in the trace, as its header tells it.
    traceparent: String,
    method: Method,
    route: AnsweringRoute,
    started: Instant,
}

impl Context {
    /// Gives the request its id and trace, and a span for all that answers it.
    ///
    /// The path is logged without the query string, which can hold secrets.
    pub(super) fn establish(request: &mut Request, client: ClientAddress) -> (Self, tracing::Span) {
        let started = Instant::now();
        let id = request_id(request.headers());
        let trace = trace_context(request.headers());
        let traceparent = trace.header();
        let route = AnsweringRoute::default();
        // Error level: a span below the log filter's level would leave warnings without ids.
        let span = tracing::error_span!(
            "request",
            request_id = id.as_str(),
            trace_id = &traceparent[TRACE_ID],
            method = request.method().as_str(),
            path = request.uri().path(),
            client = client.0.map(tracing::field::display),
        );
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(route.clone());
        (Self { id, traceparent, method: request.method().clone(), route, started }, span)
    }

    /// Gives the answer both ids; logs its end, and counts the request under its route's pattern. The time
    /// ends with the head of the response.
    pub(super) fn finish(self, requests: &HttpRequests, response: &mut Response) {
        let is_preflight = self.method == Method::OPTIONS && response.status().is_success();
        let elsewhere = if is_preflight { PREFLIGHT } else { UNMATCHED };
        let route = self.route.get().map_or(elsewhere, MatchedPath::as_str);
        panics::tell(response, &self.id);
        let (status, took) = (response.status().as_u16(), self.started.elapsed());
        requests.count(self.method.as_str(), route, status, took);
        log_end(route, status, took);
        let id = HeaderValue::from_str(self.id.as_str());
        response.headers_mut().insert(X_REQUEST_ID, id.expect(VISIBLE));
        response.headers_mut().insert(TRACEPARENT, self.traceparent.try_into().expect(VISIBLE));
    }
}

const VISIBLE: &str = "ids are made of ASCII letters, digits and '.', '_', '-' only";

/// The method is in the span, and so on the line already.
fn log_end(route: &str, status: u16, took: Duration) {
    let duration_ms = took.as_micros() as f64 / 1000.0;
    if QUIET_ROUTES.contains(&route) {
        tracing::debug!(route, status, duration_ms, "request finished");
    } else {
        tracing::info!(route, status, duration_ms, "request finished");
    }
}

fn request_id(headers: &HeaderMap) -> RequestId {
    let chosen = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    chosen.and_then(RequestId::parse).unwrap_or_else(RequestId::new)
}

/// Our position in the client's trace, or a new trace. Two headers contradict each other.
fn trace_context(headers: &HeaderMap) -> TraceContext {
    let mut random = rand::rng();
    let mut sent = headers.get_all(TRACEPARENT).iter();
    let parent = match (sent.next(), sent.next()) {
        (Some(only), None) => only.to_str().ok().and_then(TraceContext::parse),
        _ => None,
    };
    match parent {
        Some(parent) => parent.child(&mut random),
        None => TraceContext::generate(&mut random),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_choose_only_harmless_ids() {
        let longest = "x".repeat(MAX_ID_BYTES);
        for text in ["a", "A.b_c-9", &longest] {
            assert_eq!(RequestId::parse(text).as_ref().map(RequestId::as_str), Some(text));
        }
        let too_long = "x".repeat(MAX_ID_BYTES + 1);
        for text in ["", " ", "a b", "a\"b", "é", "a/b", "a\nb", &too_long] {
            assert_eq!(RequestId::parse(text), None, "{text:?}");
        }
    }
}
