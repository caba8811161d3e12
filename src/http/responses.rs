//! Answers to anonymous GET requests, kept until something changes.
//!
//! Such an answer depends on nothing but the address, so it is found by the address as it was
//! sent, before any of it is read. It is as old as [`Services::version`] tells: the event that
//! makes a row stale makes every answer stale, on each replica as soon as it reads the event.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::Response;
use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, ETAG, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{self, IntoResponse};
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::{conditional, viewer};
use crate::services::Services;

/// Memory for answers.
const CAPACITY_BYTES: u64 = 32 << 20;
/// Answers that are larger are made anew each time.
const MAX_ANSWER_BYTES: usize = 2 << 20;
const MAX_ADDRESS_BYTES: usize = 8 << 10;

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

/// An address that anybody would get the same answer from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    address: Box<str>,
    modern: bool,
}

struct Kept {
    version: u64,
    etag: HeaderValue,
    /// What is said of the body besides: its type, links.
    described: HeaderMap,
    body: Bytes,
}

impl Key {
    /// `None` for who says who they are, and for an address that is too long to be kept.
    pub fn of(headers: &HeaderMap, address: &Uri, modern: bool) -> Option<Self> {
        let address = address.path_and_query()?.as_str();
        if address.len() > MAX_ADDRESS_BYTES {
            return None;
        }
        let anonymous = !headers.contains_key(AUTHORIZATION) && !viewer::is_by_cookie(headers);
        anonymous.then(|| Self { address: address.into(), modern })
    }
}

impl Responses {
    /// `max_age` is for browsers and proxies: how long they need not ask; `ttl` bounds what is kept
    /// here, should a change come without an event.
    pub fn new(services: Services, max_age: Duration, ttl: Duration) -> Self {
        let weigh =
            |key: &Key, kept: &Arc<Kept>| u32::try_from(key.address.len() + kept.body.len() + 256).unwrap_or(u32::MAX);
        let kept = Cache::builder().max_capacity(CAPACITY_BYTES).time_to_live(ttl).weigher(weigh).build();
        let caching = HeaderValue::from_str(&format!("public, max-age={}", max_age.as_secs())).unwrap_or(PRIVATE);
        Self { kept, services, caching }
    }

    /// The state of the content, to be asked for before an answer is made.
    pub fn version(&self) -> u64 {
        self.services.version.now()
    }

    /// The answer that this address had, if nothing has changed.
    pub fn find(&self, key: &Key, headers: &HeaderMap) -> Option<response::Response> {
        let kept = self.kept.get(key).filter(|kept| kept.version == self.version())?;
        Some(self.respond(&kept, headers))
    }

    /// Keeps an answer that was made from the content of `version`, and gives it out.
    pub fn keep(
        &self,
        key: Key,
        version: u64,
        headers: &HeaderMap,
        described: HeaderMap,
        body: Bytes,
    ) -> response::Response {
        // Weak, because the answer may be packed on its way, each time in another way.
        let mut hash = Sha256::new();
        for value in described.values() {
            hash.update(value.as_bytes());
        }
        hash.update(&body);
        let digits: String = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let etag = HeaderValue::from_str(&format!("W/\"{digits}\"")).unwrap_or(HeaderValue::from_static("W/\"\""));
        let kept = Arc::new(Kept { version, etag, described, body });
        if kept.body.len() <= MAX_ANSWER_BYTES {
            self.kept.insert(key, kept.clone());
        }
        self.respond(&kept, headers)
    }

    fn respond(&self, kept: &Kept, headers: &HeaderMap) -> response::Response {
        let described = [(CACHE_CONTROL, self.caching.clone()), (ETAG, kept.etag.clone()), (VARY, VARIES)];
        if conditional::knows_tag(headers, kept.etag.to_str().unwrap_or_default()) {
            return (StatusCode::NOT_MODIFIED, described).into_response();
        }
        (kept.described.clone(), described, kept.body.clone()).into_response()
    }
}

/// Keeps an answer to GET out of all caches: it is somebody's own, or failed.
pub fn keep_out(answer: &mut response::Response) {
    answer.headers_mut().insert(CACHE_CONTROL, PRIVATE);
}

/// True for an answer that another who asks may have as well.
pub fn is_for_all(response: &Response, answer: &response::Response) -> bool {
    response.is_ok()
        && answer.status() == StatusCode::OK
        && !answer.headers().contains_key(axum::http::header::SET_COOKIE)
}
