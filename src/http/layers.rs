//! What surrounds every route: ids, log line, metrics, the net under panics, security headers.
//!
//! Only `http` imports this. To add a layer: a function in a file of `layers/`, and its place in
//! [`Surround`] or [`with_layers`].

mod client;
mod context;
mod cors;
mod panics;
mod security;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use tower::layer::layer_fn;
use tower::{Service, ServiceBuilder};
use tower_http::compression::CompressionLayer;
use tracing::Instrument;

use crate::config::{Networks, Origins};
use crate::telemetry::metrics::HttpRequests;

pub use client::ClientAddress;
pub use context::RequestId;

use context::Context;

/// What stands around the server.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub origins: Origins,
    pub trusted_proxies: Networks,
}

/// Label of a request that no route answers.
const UNMATCHED: &str = "unmatched";

/// What [`Surround`] works with.
struct Around {
    trusted_proxies: Networks,
    requests: HttpRequests,
}

/// `router` with all layers around the routes it has so far, so call this last.
///
/// From the outside in: what [`Surround`] does; which sites may ask; compression, of what is no stream;
/// the net under panics; the route. Handlers find a [`RequestId`] and a [`ClientAddress`] in the
/// request's extensions.
pub fn with_layers<S>(router: Router<S>, surroundings: &Surroundings) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let trusted_proxies = surroundings.trusted_proxies.clone();
    let around = Arc::new(Around { trusted_proxies, requests: HttpRequests::default() });
    // The first is the outermost. As one layer: the router copies each of its own for every request, and puts
    // what it makes of it on the heap.
    let layers = ServiceBuilder::new()
        .layer(layer_fn(move |inner| Surround { inner, around: around.clone() }))
        .layer(cors::layer(&surroundings.origins))
        .layer(CompressionLayer::new())
        .map_future(panics::catch);
    router.layer(layers)
}

/// Security headers, which so reach every response; the client's address; the context, whose span and ids
/// are there for everything inside; metrics, which so see the status of a panic. One service, and none of
/// `axum::middleware`, which copies all that is inside of it for every request.
#[derive(Clone)]
struct Surround<S> {
    inner: S,
    around: Arc<Around>,
}

impl<S> Service<Request> for Surround<S>
where
    S: Service<Request, Response: IntoResponse, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let address = client::find(&request, &self.around.trusted_proxies);
        request.extensions_mut().insert(address);
        let (context, span) = Context::establish(&mut request, address);
        let (answer, around) = (self.inner.call(request).instrument(span), self.around.clone());
        Box::pin(async move {
            let mut answer = pin!(answer);
            let Ok(response) = answer.as_mut().await;
            let mut response = response.into_response();
            answer.span().in_scope(|| context.finish(&around.requests, &mut response));
            security::set_headers(response.headers_mut());
            Ok(response)
        })
    }
}
