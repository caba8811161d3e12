//! What surrounds every route: ids, log line, metrics, the net under panics, security headers.
//!
//! Only `http` imports this. To add a layer: a middleware function in a file of `layers/`, and
//! its place in [`with_layers`].

mod context;
mod measure;
mod panics;
mod security;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::middleware::from_fn;

pub use context::RequestId;

/// Label of a request that no route answers.
const UNMATCHED: &str = "unmatched";

/// `router` with all layers around the routes it has so far, so call this last.
///
/// From the outside in: security headers, which so reach every response; the context, whose
/// span and ids are there for everything inside; metrics, which so see the status of a panic;
/// the net under panics; the route. Handlers find a [`RequestId`] and a
/// [`TraceContext`](crate::telemetry::trace_context::TraceContext) in the request's extensions.
pub fn with_layers<S>(router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    // The layer added last is the outermost.
    router
        .layer(from_fn(panics::catch))
        .layer(from_fn(measure::record))
        .layer(from_fn(context::establish))
        .layer(from_fn(security::set_headers))
}
