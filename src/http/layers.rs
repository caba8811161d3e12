//! What surrounds every route: ids, log line, metrics, the net under panics, security headers.
//!
//! Only `http` imports this. To add a layer: a middleware function in a file of `layers/`, and
//! its place in [`with_layers`].

mod client;
mod context;
mod cors;
mod measure;
mod panics;
mod security;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};

use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;

use crate::config::{Networks, Origins};

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

/// `router` with all layers around the routes it has so far, so call this last.
///
/// From the outside in: security headers, which so reach every response; the client's address; the
/// context, whose span and ids are there for everything inside; metrics, which so see the status of
/// a panic; which sites may ask; compression, of what is no stream; the net under panics; the route.
/// Handlers find a [`RequestId`], a [`ClientAddress`] and a
/// [`TraceContext`](crate::telemetry::trace_context::TraceContext) in the request's extensions.
pub fn with_layers<S>(router: Router<S>, surroundings: &Surroundings) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    // The first is the outermost. As one layer: the router copies each of its own for every request, and puts
    // what it makes of it on the heap.
    let layers = ServiceBuilder::new()
        .layer(from_fn(security::set_headers))
        .layer(from_fn_with_state(surroundings.trusted_proxies.clone(), client::find))
        .layer(from_fn(context::establish))
        .layer(from_fn(measure::record))
        .layer(cors::layer(&surroundings.origins))
        .layer(CompressionLayer::new())
        .layer(from_fn(panics::catch));
    router.layer(layers)
}
