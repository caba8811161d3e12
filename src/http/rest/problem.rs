//! Refusals as problem details, RFC 9457, with the codes that GraphQL errors have.

use axum::extract::Extension;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::DESCRIPTION_PATH;
use crate::error::{ApiError, Code};
use crate::http::graphql::status_of;
use crate::http::layers::RequestId;

/// The media type of what [`respond`] makes.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The problem of a request for `path`.
pub fn respond(error: &ApiError, path: &str, request_id: &RequestId) -> Response {
    with_status(error, status_of(error.code), path, request_id)
}

/// Its type is `about:blank`: `code` says more than a status, and is the one to compare.
pub fn with_status(error: &ApiError, status: StatusCode, path: &str, request_id: &RequestId) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": error.message,
        "instance": path,
        "code": error.code.as_str(),
        "requestId": request_id.as_str(),
    });
    let described = [
        (CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)),
        (CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    ];
    let mut response = (status, described, body.to_string()).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// No route leads here.
pub async fn unknown(Extension(request_id): Extension<RequestId>, uri: Uri) -> Response {
    let message = format!("there is nothing at this address: {DESCRIPTION_PATH} lists those that there are");
    respond(&ApiError::new(Code::NotFound, message), uri.path(), &request_id)
}

/// Most of what is here is for reading.
pub async fn only_get(Extension(request_id): Extension<RequestId>, method: Method, uri: Uri) -> Response {
    let message = format!("{method} is not for this address: read it with GET, write with GraphQL");
    wrong_method(message, "GET,HEAD", &uri, &request_id)
}

/// Asking the site.
pub async fn only_post(Extension(request_id): Extension<RequestId>, method: Method, uri: Uri) -> Response {
    let message = format!("{method} is not for this address: ask with POST");
    wrong_method(message, "POST", &uri, &request_id)
}

fn wrong_method(message: String, right: &'static str, uri: &Uri, request_id: &RequestId) -> Response {
    let error = ApiError::bad_input(message);
    let mut response = with_status(&error, StatusCode::METHOD_NOT_ALLOWED, uri.path(), request_id);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(right));
    response
}
