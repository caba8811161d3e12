//! `/graphql`: queries and mutations over POST, queries over GET, WebSocket upgrades.

use std::sync::Arc;

use async_graphql::{Request, Response};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, RawQuery, State, WebSocketUpgrade};
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::{Extension, response};
use chrono::Utc;

use super::execute::{self, Answer, Asking};
use super::layers::{ClientAddress, RequestId};
use super::{HttpState, viewer, websocket};
use crate::auth::Viewer;
use crate::error::{ApiError, Code};
use crate::graphql::RequestContext;
use crate::store::StatementCount;
use crate::telemetry::metrics::OperationType;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const GRAPHQL_JSON: HeaderValue = HeaderValue::from_static("application/graphql-response+json; charset=utf-8");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A query in the address, or the upgrade to a WebSocket.
pub async fn get(
    State(state): State<Arc<HttpState>>,
    Extension(request_id): Extension<RequestId>,
    Extension(address): Extension<ClientAddress>,
    RawQuery(query): RawQuery,
    request: axum::extract::Request,
) -> response::Response {
    let (mut parts, _) = request.into_parts();
    if let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        return websocket::accept(state, upgrade, parts.headers, request_id, address);
    }
    let parsed = match parse_query(query.as_deref().unwrap_or_default()) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error, StatusCode::BAD_REQUEST, &request_id),
    };
    answer(&state, &parts.headers, parsed, &request_id, address, true).await
}

/// An operation in the body.
pub async fn post(
    State(state): State<Arc<HttpState>>,
    Extension(request_id): Extension<RequestId>,
    Extension(address): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> response::Response {
    match parse_body(&state, &headers, body) {
        Ok(request) => answer(&state, &headers, request, &request_id, address, false).await,
        Err((status, error)) => refuse(&error, status, &request_id),
    }
}

/// An operation out of the query string of an address.
pub fn parse_query(query: &str) -> Result<Request, ApiError> {
    // The library calls this parameter by another name than the rest of the world.
    let named = |pair: &str| match pair.strip_prefix("operationName=") {
        Some(name) => format!("operation_name={name}"),
        None => pair.to_owned(),
    };
    let query = query.split('&').map(named).collect::<Vec<_>>().join("&");
    let parsed = async_graphql::http::parse_query_string(&query).map_err(|error| error.to_string());
    parsed.and_then(with_query).map_err(|error| {
        ApiError::bad_input(format!("the address holds no GraphQL request ({error}): expected ?query=… with optional operationName, variables and extensions"))
    })
}

fn with_query(request: Request) -> Result<Request, String> {
    if request.query.trim().is_empty() { Err("`query` is missing or empty".into()) } else { Ok(request) }
}

/// An operation out of a JSON body. Other media types are refused: a form of another site could
/// send them with the reader's cookie.
pub fn parse_body(
    state: &HttpState,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Request, (StatusCode, ApiError)> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let message = format!("the body is {media_type:?}: send JSON, with Content-Type: application/json");
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, ApiError::bad_input(message)));
    }
    let body = body.map_err(|rejection| unread(state, &rejection))?;
    serde_json::from_slice(&body).map_err(|error| error.to_string()).and_then(with_query).map_err(|error| {
        let message =
            format!("the body is no GraphQL request ({error}): expected {{\"query\": \"…\", \"variables\": {{…}}}}");
        (StatusCode::BAD_REQUEST, ApiError::bad_input(message))
    })
}

fn unread(state: &HttpState, rejection: &BytesRejection) -> (StatusCode, ApiError) {
    let message = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            format!("the body is larger than {} bytes: send less at once", state.limits.max_body_bytes)
        }
        _ => "the body did not arrive whole: send it again".to_owned(),
    };
    (rejection.status(), ApiError::bad_input(message))
}

async fn answer(
    state: &HttpState,
    headers: &HeaderMap,
    mut request: Request,
    request_id: &RequestId,
    address: ClientAddress,
    by_get: bool,
) -> response::Response {
    let now = Utc::now();
    let admitted = match execute::admit(state, &mut request, request_id.as_str()) {
        Ok(admitted) => admitted,
        Err(refused) => return at_a_price(state, address, request_id, respond(headers, &refused)).await,
    };
    match admitted.kind {
        OperationType::Subscription => {
            let error = ApiError::bad_input(
                "a subscription needs a stream: use /graphql/stream (SSE) or a WebSocket on /graphql",
            );
            return refuse(&error, StatusCode::BAD_REQUEST, request_id);
        }
        OperationType::Mutation if by_get => {
            let error = ApiError::bad_input("GET is for queries: send mutations with POST");
            let mut refusal = refuse(&error, StatusCode::METHOD_NOT_ALLOWED, request_id);
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return refusal;
        }
        _ => {}
    }
    let viewer = match viewer::of_headers(state, headers, now).await {
        Ok(viewer) => viewer,
        Err(error) => {
            let refusal = refuse(&error, status_of(error.code), request_id);
            return at_a_price(state, address, request_id, refusal).await;
        }
    };
    let spent = match state.rate.spend(&viewer, address, admitted.cost).await {
        Ok(spent) => spent,
        Err(overdrawn) => return overdrawn.respond(request_id),
    };
    let asking = Asking { viewer, now, resume: None, request_id: request_id.as_str().to_owned() };
    let (response, context) = execute::once(state, &asking, request, admitted).await;
    let mut answer = respond(headers, &response);
    spent.tell(answer.headers_mut());
    add_context(&mut answer, state, &context, now);
    answer
}

/// The refusal of a request that comes to nothing, which is not free: another one when it cannot be
/// paid for.
async fn at_a_price(
    state: &HttpState,
    address: ClientAddress,
    request_id: &RequestId,
    refusal: response::Response,
) -> response::Response {
    match state.rate.spend(&Viewer::anonymous(), address, 0).await {
        Ok(_) => refusal,
        Err(overdrawn) => overdrawn.respond(request_id),
    }
}

/// What the operation did besides answering: a session that began or ended, statements.
fn add_context(
    answer: &mut response::Response,
    state: &HttpState,
    context: &RequestContext,
    now: chrono::DateTime<Utc>,
) {
    let headers = answer.headers_mut();
    if let Some(cookie) = viewer::set_cookie(&context.session_change(), state.limits.secure_cookies, now) {
        headers.insert(SET_COOKIE, cookie);
    }
    add_statement_count(headers, state, &context.statements);
}

/// Tells how many statements it took, where that is wanted.
pub fn add_statement_count(headers: &mut HeaderMap, state: &HttpState, statements: &StatementCount) {
    if state.limits.statement_counts
        && let Ok(value) = HeaderValue::from_str(&format!("sql;desc=\"{} statements\"", statements.get()))
    {
        headers.insert(SERVER_TIMING, value);
    }
}

fn respond(headers: &HeaderMap, response: &Response) -> response::Response {
    let accepts = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let modern = accepts.contains("application/graphql-response+json");
    // What did not begin is somebody's error; the older media type knows only 200.
    let status = match execute::server_error(response) {
        _ if !modern || !execute::never_ran(response) => StatusCode::OK,
        Some(code) => status_of(code),
        None => StatusCode::BAD_REQUEST,
    };
    let body = match serde_json::to_vec(&Answer::from(response)) {
        Ok(body) => body,
        Err(error) => {
            ApiError::internal(&error);
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let media_type = if modern { GRAPHQL_JSON } else { JSON };
    (status, [(CONTENT_TYPE, media_type)], body).into_response()
}

/// An answer to a request that did not get as far as an operation.
pub fn refuse(error: &ApiError, status: StatusCode, request_id: &RequestId) -> response::Response {
    let body = serde_json::json!({ "errors": [error.to_json(request_id.as_str())] });
    (status, axum::Json(body)).into_response()
}

/// The status of a request that failed before its operation.
pub fn status_of(code: Code) -> StatusCode {
    match code {
        Code::BadUserInput => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        Code::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
