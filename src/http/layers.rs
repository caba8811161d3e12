//! What surrounds every route: ids, log line, metrics, the net under panics, security headers.
//!
//! Only `http` imports this. To add a layer: a function in a file of `layers/`, and its place in
//! [`surround`] or [`with_layers`].

mod client;
mod context;
mod cors;
mod measure;
mod panics;
mod security;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;

use crate::config::{Networks, Origins};
use crate::telemetry::metrics::HttpRequests;

pub use client::ClientAddress;
pub use context::RequestId;

/// What stands around the server.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub origins: Origins,
    pub trusted_proxies: Networks,
}

/// Label of a request that no route answers.
const UNMATCHED: &str = "unmatched";

/// What [`surround`] works with.
struct Around {
    trusted_proxies: Networks,
    requests: HttpRequests,
}

/// `router` with all layers around the routes it has so far, so call this last.
///
/// From the outside in: what [`surround`] does; which sites may ask; compression, of what is no stream;
/// the net under panics; the route. Handlers find a [`RequestId`], a [`ClientAddress`] and a
/// [`TraceContext`](crate::telemetry::trace_context::TraceContext) in the request's extensions.
pub fn with_layers<S>(router: Router<S>, surroundings: &Surroundings) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let trusted_proxies = surroundings.trusted_proxies.clone();
    let around = Arc::new(Around { trusted_proxies, requests: HttpRequests::default() });
    // The first is the outermost. As one layer: the router copies each of its own for every request, and puts
    // what it makes of it on the heap.
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(around, surround))
        .layer(cors::layer(&surroundings.origins))
        .layer(CompressionLayer::new())
        .layer(from_fn(panics::catch));
    router.layer(layers)
}

/// Security headers, which so reach every response; the client's address; the context, whose span and ids
/// are there for everything inside; metrics, which so see the status of a panic. One function, because each
/// middleware is one more service and one more future on the heap.
async fn surround(State(around): State<Arc<Around>>, mut request: Request, next: Next) -> Response {
    let address = client::find(&request, &around.trusted_proxies);
    request.extensions_mut().insert(address);
    let measured = |request| measure::record(&around.requests, request, next);
    let mut response = context::establish(request, address, measured).await;
    security::set_headers(response.headers_mut());
    response
}
