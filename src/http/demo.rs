//! The demo page at `/demo`: the files of `web/demo`, which show the site through the API.
//!
//! They are kept as they were written, and packed on their way. Their names stay when they change,
//! so they are asked for each time, and answered with 304 while they are the same. They load
//! nothing from anywhere else: [`POLICY`] would not allow it.

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, ETAG};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use super::graphiql::{ASK_EACH_TIME, File, answer};

// `PAGE`, `STYLE` and `SCRIPTS`, of `File`; written by build.rs.
include!(concat!(env!("OUT_DIR"), "/demo_page.rs"));

/// What the page may do: its scripts and its style are files of ours, only this server is spoken to,
/// and posts may show pictures of others over https.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: https:; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = Router::new().route("/demo", file(&PAGE)).route("/demo/style.css", file(&STYLE));
    SCRIPTS.iter().fold(page, |router, script| router.route(&format!("/demo/{}", script.name), file(script)))
}

fn file<S: Clone + Send + Sync + 'static>(file: &'static File) -> MethodRouter<S> {
    get(async move |headers: HeaderMap| -> Response {
        let mut response = answer(&headers, file, ASK_EACH_TIME);
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
        // It may be packed on its way, so its tag is a weak one.
        if let Ok(weak) = HeaderValue::from_str(&format!("W/{}", file.etag)) {
            response.headers_mut().insert(ETAG, weak);
        }
        response
    })
}
