//! Conditional requests, RFC 9110 section 13: whether who asks has it already.

use axum::http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};
use chrono::{DateTime, Utc};

/// True if the client has the representation with this entity tag, in the weak comparison. What is
/// packed on its way has a weak tag: packed otherwise it is not the same to the byte (8.8.3.3).
pub fn knows_tag(headers: &HeaderMap, etag: &str) -> bool {
    let own = etag.trim_start_matches("W/");
    let is_own = |tag: &str| tag.trim().trim_start_matches("W/") == own;
    texts(headers, IF_NONE_MATCH).any(|value| value.trim() == "*" || value.split(',').any(is_own))
}

/// The same by tag or by date: the date counts only where no tag is given (13.2.2).
pub fn knows(headers: &HeaderMap, etag: &str, changed_at: DateTime<Utc>) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        return knows_tag(headers, etag);
    }
    let since = texts(headers, IF_MODIFIED_SINCE).next().and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    since.is_some_and(|since| since.timestamp() >= changed_at.timestamp())
}

fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}
