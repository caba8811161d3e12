//! Answers to anonymous queries, kept until something changes.
//!
//! Such an answer depends on nothing but what was asked, so it is found by the address of a GET or the
//! body of a POST as it was sent, before any of it is read. It is as old as [`Services::version`] tells:
//! the event that makes a row stale makes every answer stale, on each replica as soon as it reads the
//! event. Who asks with `Cache-Control: no-cache` has it made anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, ETAG, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{self, IntoResponse};
use moka::sync::Cache;

use super::{conditional, viewer};
use crate::services::Services;
use crate::services::digest::digits;
use crate::telemetry::metrics::AnsweredQuery;

/// Memory for answers.
const CAPACITY_BYTES: u64 = 32 << 20;
/// Answers that are larger are made anew each time.
const MAX_ANSWER_BYTES: usize = 2 << 20;
/// Longest address or body that an answer is kept for.
const MAX_ASKED_BYTES: usize = 8 << 10;

/// What of the request the answer depends on, besides the address and who asks.
const VARIES: HeaderValue = HeaderValue::from_static("accept, authorization, cookie");
/// For what is not to be found in anybody's cache.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-store");

/// The answers that are kept.
pub struct Responses {
    kept: Cache<Key, Arc<Kept>>,
    services: Services,
    caching: HeaderValue,
}

/// What anybody would get the same answer to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    asked: Asked,
    modern: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Asked {
    Address(Box<[u8]>),
    Body(Box<[u8]>),
}

struct Kept {
    version: u64,
    /// Of an address: what a browser or a proxy has it by.
    etag: Option<HeaderValue>,
    operation: AnsweredQuery,
    /// What is said of the body besides: its type, links.
    described: HeaderMap,
    body: Bytes,
}

impl Key {
    /// Of a GET; `None` for who says who they are, and for an address that is too long to be kept.
    pub fn of_address(headers: &HeaderMap, address: &Uri, modern: bool) -> Option<Self> {
        Self::of(headers, address.path_and_query()?.as_str().as_bytes(), Asked::Address, modern)
    }

    /// The same of a POST.
    pub fn of_body(headers: &HeaderMap, body: &[u8], modern: bool) -> Option<Self> {
        Self::of(headers, body, Asked::Body, modern)
    }

    fn of(headers: &HeaderMap, asked: &[u8], kind: fn(Box<[u8]>) -> Asked, modern: bool) -> Option<Self> {
        let anonymous = !headers.contains_key(AUTHORIZATION) && !viewer::is_by_cookie(headers);
        (anonymous && asked.len() <= MAX_ASKED_BYTES).then(|| Self { asked: kind(asked.into()), modern })
    }

    fn bytes(&self) -> &[u8] {
        let (Asked::Address(bytes) | Asked::Body(bytes)) = &self.asked;
        bytes
    }
}

impl Responses {
    /// `max_age` is for browsers and proxies: how long they need not ask; `ttl` bounds what is kept
    /// here, should a change come without an event.
    pub fn new(services: Services, max_age: Duration, ttl: Duration) -> Self {
        let weigh =
            |key: &Key, kept: &Arc<Kept>| u32::try_from(key.bytes().len() + kept.body.len() + 256).unwrap_or(u32::MAX);
        let kept = Cache::builder().max_capacity(CAPACITY_BYTES).time_to_live(ttl).weigher(weigh).build();
        let caching = HeaderValue::from_str(&format!("public, max-age={}", max_age.as_secs())).unwrap_or(PRIVATE);
        Self { kept, services, caching }
    }

    /// The state of the content, to be asked for before an answer is made.
    pub fn version(&self) -> u64 {
        self.services.version.now()
    }

    /// The answer that was given to this, if nothing has changed.
    pub fn find(&self, key: &Key, headers: &HeaderMap) -> Option<response::Response> {
        let asked_at = Instant::now();
        let kept = self.kept.get(key).filter(|kept| kept.version == self.version() && !wants_it_anew(headers))?;
        let answer = self.respond(&kept, headers);
        kept.operation.count(asked_at.elapsed());
        Some(answer)
    }

    /// Keeps an answer that was made from the content of `version` by the operation `name`, and gives it out.
    pub fn keep(
        &self,
        (key, version): (Key, u64),
        name: Option<&str>,
        headers: &HeaderMap,
        described: HeaderMap,
        body: Bytes,
    ) -> response::Response {
        let etag = matches!(key.asked, Asked::Address(_)).then(|| etag(&described, &body));
        let kept = Arc::new(Kept { version, etag, operation: AnsweredQuery::new(name), described, body });
        if kept.body.len() <= MAX_ANSWER_BYTES {
            self.kept.insert(key, kept.clone());
        }
        self.respond(&kept, headers)
    }

    fn respond(&self, kept: &Kept, headers: &HeaderMap) -> response::Response {
        let Some(etag) = &kept.etag else {
            return (kept.described.clone(), kept.body.clone()).into_response();
        };
        let described = [(CACHE_CONTROL, self.caching.clone()), (ETAG, etag.clone()), (VARY, VARIES)];
        if conditional::knows_tag(headers, etag.to_str().unwrap_or_default()) {
            return (StatusCode::NOT_MODIFIED, described).into_response();
        }
        (kept.described.clone(), described, kept.body.clone()).into_response()
    }
}

/// Weak, because the answer may be packed on its way, each time in another way.
fn etag(described: &HeaderMap, body: &[u8]) -> HeaderValue {
    let digits = digits(described.values().map(HeaderValue::as_bytes).chain([body]));
    HeaderValue::from_str(&format!("W/\"{digits}\"")).unwrap_or(HeaderValue::from_static("W/\"\""))
}

/// Source: RFC 9111, section 5.2.1.4.
fn wants_it_anew(headers: &HeaderMap) -> bool {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    directives.flat_map(|value| value.split(',')).any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

/// Keeps an answer to GET out of all caches: it is somebody's own, or failed.
pub fn keep_out(answer: &mut response::Response) {
    answer.headers_mut().insert(CACHE_CONTROL, PRIVATE);
}
