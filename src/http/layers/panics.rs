//! A panic in a handler becomes one failed request instead of a cut connection.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use serde_json::json;

use super::RequestId;

/// Answers 500 with the request's id if the route panics, and logs what the panic said.
///
/// A response that streams has left by the time its stream panics; that one is cut.
pub(super) async fn catch(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    // The request is gone after a panic, and shared state is behind locks that poison.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            tracing::error!(panic = message(&*panic), "a request handler panicked");
            internal_error(id.as_ref())
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    formatted.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a value that is not text")
}

/// The shape of a GraphQL error, which this API's clients can read on every route.
fn internal_error(id: Option<&RequestId>) -> Response {
    let body = json!({
        "errors": [{
            "message": "internal error",
            "extensions": { "code": "INTERNAL_SERVER_ERROR", "requestId": id.map(RequestId::as_str) },
        }],
    });
    (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
}
