//! Cross-origin resource sharing: the sites whose pages may use the API from a browser.

use std::time::Duration;

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, USER_AGENT};
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{Any, CorsLayer};

use crate::config::Origins;

/// How long a browser keeps the answer to its question.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Headers that clients of GraphQL and of OpenAI's API send and a page may not send without being allowed to.
const ASKED: [HeaderName; 27] = [
    ACCEPT,
    AUTHORIZATION,
    CONTENT_TYPE,
    IF_NONE_MATCH,
    USER_AGENT,
    HeaderName::from_static("apollo-require-preflight"),
    HeaderName::from_static("apollographql-client-name"),
    HeaderName::from_static("apollographql-client-version"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-apollo-operation-name"),
    HeaderName::from_static("x-graphql-event-stream-token"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-stainless-arch"),
    HeaderName::from_static("x-stainless-custom-poll-interval"),
    HeaderName::from_static("x-stainless-helper-method"),
    HeaderName::from_static("x-stainless-lang"),
    HeaderName::from_static("x-stainless-os"),
    HeaderName::from_static("x-stainless-package-version"),
    HeaderName::from_static("x-stainless-poll-helper"),
    HeaderName::from_static("x-stainless-retry-count"),
    HeaderName::from_static("x-stainless-runtime"),
    HeaderName::from_static("x-stainless-runtime-version"),
    HeaderName::from_static("x-stainless-timeout"),
];

/// Headers of answers that a page may read.
const TOLD: [HeaderName; 7] = [
    ETAG,
    LINK,
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("retry-after"),
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("x-request-id"),
];

/// Without an origin no header is set, and browsers keep pages of other sites out.
pub fn layer(origins: &Origins) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(ASKED)
        .expose_headers(TOLD)
        .max_age(MAX_AGE);
    match origins {
        Origins::Any => layer.allow_origin(Any),
        Origins::Listed(_) => {
            let listed: Vec<HeaderValue> =
                origins.listed().iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
            if listed.is_empty() { CorsLayer::new() } else { layer.allow_origin(listed).allow_credentials(true) }
        }
    }
}
