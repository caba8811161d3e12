//! Refusals in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.

use std::time::Duration;

use axum::http::header::{ALLOW, CACHE_CONTROL, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::site::SITE;
use crate::error::{ApiError, Code};
use crate::http::graphql::status_of;
use crate::http::rate::Overdrawn;
use crate::inference::{InferenceError, Task};
use crate::services::allowance::UsedUp;

/// When to come back to a model that is being loaded.
const LOADING: Duration = Duration::from_secs(5);
/// When to come back to a server that has too much to do, where nobody knows better.
const BUSY: Duration = Duration::from_secs(1);

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

/// Why there is no answer.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    /// The field that is wrong.
    param: Option<String>,
    message: String,
    headers: Option<Box<HeaderMap>>,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { status, kind, code, param: None, message: message.into(), headers: None }
    }

    /// The request cannot be answered as it is; the message says what would be right.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(StatusCode::BAD_REQUEST, INVALID, None, message) }
    }

    /// The body as a whole is wrong.
    pub fn bad_body(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, INVALID, None, message)
    }

    /// A body that was not read to its end, after which a connection is of no use.
    pub fn unread(status: StatusCode, error: ApiError) -> Self {
        let given_up = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::REQUEST_TIMEOUT, StatusCode::SERVICE_UNAVAILABLE];
        let refusal = match error.code {
            Code::BadUserInput => Self::bad_body(status, error.message),
            _ => error.into(),
        };
        if given_up.contains(&status) { refusal.with(CONNECTION, HeaderValue::from_static("close")) } else { refusal }
    }

    /// The answer took longer than any may.
    pub fn timed_out(limit: Duration) -> Self {
        let message = format!("the answer was not finished within {} s: ask for less", limit.as_secs_f32());
        Self::new(StatusCode::GATEWAY_TIMEOUT, SERVER, Some("timeout"), message)
    }

    /// There is no model of this name.
    pub fn no_model(message: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::NOT_FOUND, INVALID, Some("model_not_found"), message);
        Self { param: Some("model".into()), ..refusal }
    }

    /// No such response was kept.
    pub fn no_response(message: impl Into<String>) -> Self {
        let refusal = Self::new(StatusCode::NOT_FOUND, INVALID, Some("previous_response_not_found"), message);
        Self { param: Some("previous_response_id".into()), ..refusal }
    }

    /// What the engine says; `input` is the field that the texts came from.
    pub fn of_model(error: InferenceError, input: &'static str) -> Self {
        let retry = match &error {
            InferenceError::Loading { .. } => Some(LOADING),
            InferenceError::Overloaded { retry_after } => Some(*retry_after),
            InferenceError::Provider { retry_after, .. } => *retry_after,
            _ => None,
        };
        let refusal = match &error {
            InferenceError::UnknownModel { task: Task::Generate, .. } => {
                Self::no_model(format!("{error}, and {:?} in chat/completions, which answers from the site", SITE))
            }
            InferenceError::NoModel { .. } | InferenceError::UnknownModel { .. } => Self::no_model(error.to_string()),
            InferenceError::TooLong { .. } => {
                Self { code: Some("context_length_exceeded"), ..Self::invalid(input, error.to_string()) }
            }
            InferenceError::BadInput(message) => Self::bad_body(StatusCode::BAD_REQUEST, message),
            _ => ApiError::from(error).into(),
        };
        match retry {
            Some(retry) => refusal.after(retry),
            None => refusal,
        }
    }

    fn with(mut self, name: axum::http::HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.get_or_insert_default().insert(name, value.into());
        self
    }

    fn after(self, wait: Duration) -> Self {
        let seconds: u64 = wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
        self.with(RETRY_AFTER, seconds.max(1))
    }

    /// As a program reads it.
    pub fn to_json(&self) -> Value {
        json!({ "error": {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
        } })
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let (kind, code) = match error.code {
            Code::BadUserInput | Code::PersistedQueryNotFound => (INVALID, None),
            Code::Unauthenticated => (INVALID, Some("invalid_api_key")),
            Code::Forbidden => ("permission_error", Some("insufficient_permissions")),
            Code::NotFound => (INVALID, Some("not_found")),
            Code::RateLimited => ("rate_limit_error", Some("rate_limit_exceeded")),
            Code::Overloaded => (SERVER, Some("overloaded")),
            Code::ModelLoading => (SERVER, Some("model_loading")),
            Code::BadModelOutput => (SERVER, Some("bad_model_output")),
            Code::RequestTimeout => (SERVER, Some("timeout")),
            Code::Internal => (SERVER, Some("internal_error")),
        };
        let refusal = Self::new(status_of(error.code), kind, code, error.message);
        match error.code {
            Code::Unauthenticated => refusal.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Code::Overloaded => refusal.after(BUSY),
            Code::ModelLoading => refusal.after(LOADING),
            _ => refusal,
        }
    }
}

impl From<Overdrawn> for Refusal {
    fn from(overdrawn: Overdrawn) -> Self {
        let mut refusal = Self::from(overdrawn.error());
        overdrawn.tell(refusal.headers.get_or_insert_default());
        refusal
    }
}

impl From<UsedUp> for Refusal {
    fn from(used_up: UsedUp) -> Self {
        let message = format!(
            "all {} tokens of today are used up: go on after midnight UTC, or have the owner raise tokens_per_day",
            used_up.tokens_per_day
        );
        let code = "insufficient_quota";
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, Some(code), message).after(used_up.resets_in)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.to_json())).into_response();
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        response.headers_mut().extend(self.headers.map(|headers| *headers).unwrap_or_default());
        response
    }
}

/// No route leads here.
pub async fn unknown(method: Method, uri: Uri) -> Refusal {
    let message = format!("there is nothing at {method} {}: see the README for what there is below /v1", uri.path());
    Refusal::new(StatusCode::NOT_FOUND, INVALID, Some("unknown_url"), message)
}

/// The address is for another method.
pub fn wrong_method(method: &Method, uri: &Uri, right: &'static str) -> Refusal {
    let message = format!("{method} is not for {}: use {right}", uri.path());
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, Some("method_not_allowed"), message);
    refusal.with(ALLOW, HeaderValue::from_static(right))
}
