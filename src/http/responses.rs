//! Answers that are the same for many, kept until something changes: those to anonymous queries, and documents.
//!
//! Such an answer depends on nothing but what was asked, so it is found before any of it is read: that of a
//! GET by its address, in front of all routes (`keeping.rs`); that of a POST by the body as it was sent. Both
//! are kept packed, as they went out. It is as old as [`Services::version`] tells: the event that makes a row
//! stale makes every answer stale, on each replica as soon as it reads the event. Who asks with
//! `Cache-Control: no-cache` has the answer to a query made anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, ETAG, LAST_MODIFIED, UPGRADE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use moka::sync::Cache;

use super::{conditional, graphql, viewer};
use crate::services::Services;
use crate::services::digest::digits;
use crate::telemetry::metrics::AnsweredQuery;

mod keeping;

pub use keeping::Keeping;

/// Answers that are larger are made anew each time.
const MAX_ANSWER_BYTES: usize = 2 << 20;
/// What a kept answer costs besides: its headers, links, counters.
const OVERHEAD_BYTES: usize = 1536;
/// Longest address or body that an answer is kept for.
const MAX_ASKED_BYTES: usize = 8 << 10;
/// Longest list of packings that an answer is kept for; those of browsers have 25.
const MAX_PACKINGS_BYTES: usize = 64;

/// What of the request the answer depends on, besides the address and who asks.
const VARIES: HeaderValue = HeaderValue::from_static("accept, authorization, cookie");
/// For what is not to be found in anybody's cache.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-store");

/// What bounds the answers that are kept.
#[derive(Clone, Copy, Debug)]
pub struct KeptAnswers {
    pub capacity_bytes: u64,
    /// For browsers and proxies: how long they need not ask.
    pub max_age: Duration,
    /// For what is kept here, should a change come without an event.
    pub ttl: Duration,
}

/// The answers that are kept.
pub struct Responses {
    kept: Cache<Key, Arc<Kept>>,
    services: Services,
    caching: HeaderValue,
}

/// What anybody would get the same answer to, in one piece.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(Box<[u8]>);

struct Kept {
    offer: Offer,
    /// Which route it came from, for the metrics; who asks with a body has come to it already.
    route: Option<MatchedPath>,
    /// What is said of the body, the same each time.
    described: HeaderMap,
    body: Bytes,
}

/// On an answer of a route: it may be given out again, until the version has passed.
#[derive(Clone)]
pub struct Offer {
    version: u64,
    of: Offered,
}

#[derive(Clone)]
enum Offered {
    /// What a query found: for all who show no credentials.
    Query(Arc<AnsweredQuery>),
    /// For all. Its date, if it has one, is when what it is made of changed.
    Document { changed_at: Option<DateTime<Utc>> },
}

impl Offer {
    /// The answer to the query of this name, which was found in the content of `version`.
    pub fn of_query(version: u64, name: Option<&str>) -> Self {
        Self { version, of: Offered::Query(Arc::new(AnsweredQuery::new(name))) }
    }

    /// A document that says how long it may be kept elsewhere, made from the content of `version`.
    pub fn of_document(version: u64, changed_at: Option<DateTime<Utc>>) -> Self {
        Self { version, of: Offered::Document { changed_at } }
    }

    fn is_for(&self, headers: &HeaderMap) -> bool {
        matches!(self.of, Offered::Document { .. }) || is_anonymous(headers)
    }

    /// When what a document is made of changed, where that is known.
    fn changed_at(&self) -> Option<DateTime<Utc>> {
        match self.of {
            Offered::Document { changed_at } => changed_at,
            Offered::Query(_) => None,
        }
    }

    /// Whether who asks has what is described.
    fn is_known(&self, headers: &HeaderMap, described: &HeaderMap) -> bool {
        let etag = described.get(ETAG).and_then(|etag| etag.to_str().ok());
        etag.is_some_and(|etag| conditional::knows(headers, etag, self.changed_at()))
    }

    /// Tells the date of what has one, which is not the same at any time.
    fn date(&self, described: &mut HeaderMap) {
        let told = self.changed_at().map(|changed_at| conditional::last_modified(changed_at, Utc::now()));
        if let Some(told) = told.and_then(|told| HeaderValue::from_str(&told).ok()) {
            described.insert(LAST_MODIFIED, told);
        }
    }

    fn count(&self, elapsed: Duration) {
        if let Offered::Query(query) = &self.of {
            query.count(elapsed);
        }
    }
}

impl Key {
    /// Of a GET; `None` for what is not kept.
    fn of_address(request: &Request) -> Option<Self> {
        let headers = request.headers();
        let address = request.uri().path_and_query()?.as_str().as_bytes();
        let kind = if graphql::takes_modern(headers) { b"GET modern\n" } else { b"GET  older\n" };
        if headers.contains_key(UPGRADE) { None } else { Self::of(kind, headers, address) }
    }

    /// The same of a POST to `/graphql`.
    pub fn of_body(headers: &HeaderMap, body: &[u8], modern: bool) -> Option<Self> {
        let kind = if modern { b"POST modern\n" } else { b"POST  older\n" };
        if is_anonymous(headers) { Self::of(kind, headers, body) } else { None }
    }

    fn of(kind: &[u8], headers: &HeaderMap, asked: &[u8]) -> Option<Self> {
        let mut packings = headers.get_all(ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes);
        let (packings, None) = (packings.next().unwrap_or_default(), packings.next()) else { return None };
        let is_short = asked.len() <= MAX_ASKED_BYTES && packings.len() <= MAX_PACKINGS_BYTES;
        is_short.then(|| Self([kind, packings, b"\n", asked].concat().into()))
    }
}

fn is_anonymous(headers: &HeaderMap) -> bool {
    !headers.contains_key(AUTHORIZATION) && !viewer::is_by_cookie(headers)
}

impl Responses {
    pub fn new(services: Services, bounds: KeptAnswers) -> Self {
        let KeptAnswers { capacity_bytes, max_age, ttl } = bounds;
        let weigh = |key: &Key, kept: &Arc<Kept>| {
            u32::try_from(key.0.len() + kept.body.len() + OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        let kept = Cache::builder().max_capacity(capacity_bytes).time_to_live(ttl).weigher(weigh).build();
        let caching = HeaderValue::from_str(&format!("public, max-age={}", max_age.as_secs())).unwrap_or(PRIVATE);
        Self { kept, services, caching }
    }

    /// The state of the content, to be asked for before an answer is made.
    pub fn version(&self) -> u64 {
        self.services.version.now()
    }

    /// The answer that was given to this, packed already, if nothing has changed.
    pub fn find(&self, key: &Key, headers: &HeaderMap) -> Option<Response> {
        let asked_at = Instant::now();
        let kept = self.kept(key, headers)?;
        let answer = (kept.described.clone(), kept.body.clone()).into_response();
        kept.offer.count(asked_at.elapsed());
        Some(answer)
    }

    fn kept(&self, key: &Key, headers: &HeaderMap) -> Option<Arc<Kept>> {
        let is_current = |offer: &Offer| offer.version == self.version() && offer.is_for(headers);
        let is_wanted = |offer: &Offer| matches!(offer.of, Offered::Document { .. }) || !wants_it_anew(headers);
        self.kept.get(key).filter(|kept| is_current(&kept.offer) && is_wanted(&kept.offer))
    }

    fn insert(&self, key: Key, kept: Kept) {
        if kept.body.len() <= MAX_ANSWER_BYTES {
            self.kept.insert(key, Arc::new(kept));
        }
    }

    /// The answer to a query in a body: `Keeping` keeps it on its way out. No proxy does, so it has no tag.
    pub fn offer_again(key: Key, offer: Offer, described: HeaderMap, body: Bytes) -> Response {
        let mut answer = (described, body).into_response();
        answer.extensions_mut().insert(key);
        answer.extensions_mut().insert(offer);
        answer
    }

    /// The answer to a query in an address: `Keeping` keeps it on its way out, if it is for who asks.
    pub fn offer(&self, offer: Offer, mut described: HeaderMap, body: Bytes) -> Response {
        described.insert(VARY, VARIES);
        self.tagged(offer, described, body)
    }

    /// A document of this program, the same for all and each time, which is kept packed.
    pub fn document(&self, described: HeaderMap, body: Bytes) -> Response {
        self.tagged(Offer::of_document(self.version(), None), described, body)
    }

    fn tagged(&self, offer: Offer, mut described: HeaderMap, body: Bytes) -> Response {
        let etag = etag(&described, &body);
        described.extend([(CACHE_CONTROL, self.caching.clone()), (ETAG, etag)]);
        let mut answer = (described, body).into_response();
        answer.extensions_mut().insert(offer);
        answer
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
pub fn keep_out(answer: &mut Response) {
    answer.headers_mut().remove(ETAG);
    answer.headers_mut().insert(CACHE_CONTROL, PRIVATE);
}
