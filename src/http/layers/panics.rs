//! A panic in a handler becomes one failed request instead of a cut connection.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde_json::json;

use super::RequestId;

/// Marks an answer in whose place a route panicked.
#[derive(Clone)]
struct Panicked;

/// Answers 500 if the route panics, and logs what the panic said; [`tell`] writes the answer.
///
/// A response that streams has left by the time its stream panics; that one is cut.
pub(super) async fn catch<E>(answer: impl Future<Output = Result<Response, E>>) -> Result<Response, E> {
    // The request is gone after a panic, and shared state is behind locks that poison.
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(answer) => answer,
        Err(panic) => {
            tracing::error!(panic = message(&*panic), "a request handler panicked");
            let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
            response.extensions_mut().insert(Panicked);
            Ok(response)
        }
    }
}

/// Says which request panicked, in the shape of a GraphQL error, which this API's clients can read on every
/// route.
pub(super) fn tell(response: &mut Response, id: &RequestId) {
    if response.extensions_mut().remove::<Panicked>().is_none() {
        return;
    }
    let body = json!({
        "errors": [{
            "message": "internal error",
            "extensions": { "code": "INTERNAL_SERVER_ERROR", "requestId": id.as_str() },
        }],
    });
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.body_mut() = Body::from(body.to_string());
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    formatted.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a value that is not text")
}
