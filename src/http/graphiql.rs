//! GraphiQL, the explorer at `/`: the files of `web/graphiql/dist`, as they were when this was built.
//!
//! The page is held as it is. What it loads lies below `/assets`, is named by its content and held
//! gzipped only, which every browser takes; so nothing is packed or unpacked here. Nothing comes
//! from anywhere else: [`POLICY`] would not allow it.

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::conditional;

/// A file of the explorer, or of the demo page.
pub(super) struct File {
    /// Without the `.gz` that it may be kept with.
    pub name: &'static str,
    /// Quoted, made from the content.
    pub etag: &'static str,
    pub content: &'static [u8],
}

// `PAGE: File` and `ASSETS: &[File]`, in the order of their names; written by build.rs.
include!(concat!(env!("OUT_DIR"), "/graphiql.rs"));

/// What the page may do. Monaco writes style elements and attributes, and has icons in data URLs;
/// scripts and workers are files of ours, and only this server is spoken to.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// An upgrade of the server brings another page, which names other assets.
pub(super) const ASK_EACH_TIME: HeaderValue = HeaderValue::from_static("no-cache");
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// The only asset whose name stays the same when its content changes.
const LICENSES: &str = "licenses.txt";

pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(page)).route("/assets/{name}", get(asset))
}

async fn page(headers: HeaderMap) -> Response {
    let mut response = answer(&headers, &PAGE, ASK_EACH_TIME);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    // It may be packed on its way, so its tag is a weak one.
    if let Ok(weak) = HeaderValue::from_str(&format!("W/{}", PAGE.etag)) {
        response.headers_mut().insert(ETAG, weak);
    }
    response
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Ok(index) = ASSETS.binary_search_by(|file| file.name.cmp(&name)) else {
        let text = "There is no such file: it may be of another version. Load the page at / again.\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    if !takes_gzip(&headers) {
        let text = "This file is kept gzipped: ask for it with Accept-Encoding: gzip.\n";
        return (StatusCode::NOT_ACCEPTABLE, [(VARY, "accept-encoding")], text).into_response();
    }
    let caching = if name == LICENSES { ASK_EACH_TIME } else { FOR_EVER };
    let mut response = answer(&headers, &ASSETS[index], caching);
    response.headers_mut().insert(CONTENT_ENCODING, GZIP);
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// The file, or 304 to who has it.
pub(super) fn answer(headers: &HeaderMap, file: &File, caching: HeaderValue) -> Response {
    let etag = HeaderValue::from_static(file.etag);
    let described = [(CACHE_CONTROL, caching), (ETAG, etag)];
    if conditional::knows_tag(headers, file.etag) {
        return (StatusCode::NOT_MODIFIED, described).into_response();
    }
    (described, [(CONTENT_TYPE, content_type(file.name))], file.content).into_response()
}

/// RFC 9110, 12.5.3: whoever does not say what it takes takes everything.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut said = headers.get_all(ACCEPT_ENCODING).iter().peekable();
    if said.peek().is_none() {
        return true;
    }
    let codings: Vec<_> = said.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(coding).collect();
    let weight = |name: &str| codings.iter().find(|(coding, _)| coding.eq_ignore_ascii_case(name)).map(|(_, q)| *q);
    weight("gzip").or_else(|| weight("x-gzip")).or_else(|| weight("*")).is_some_and(|q| q > 0.0)
}

/// The name and the weight of one entry of `Accept-Encoding`.
fn coding(entry: &str) -> (&str, f32) {
    let mut parts = entry.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, weight.map_or(1.0, |q| q.parse().unwrap_or(0.0)))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("ttf") => "font/ttf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
