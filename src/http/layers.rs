//! What surrounds every route: ids, log line, metrics, the net under panics, security headers, packing.
//!
//! Only `http` imports this. To add a layer: a function in a file of `layers/`, and its place in
//! [`Surround`], [`around`] or [`packed`].

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

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{BoxError, Router, http};
use futures_util::future::BoxFuture;
use tower::layer::layer_fn;
use tower::util::MapRequestLayer;
use tower::{Service, ServiceBuilder};
use tower_http::compression::predicate::{NotForContentType, Predicate};
use tower_http::compression::{CompressionLayer, DefaultPredicate};
use tracing::Instrument;

use super::health;
use crate::config::{Networks, Origins};
use crate::telemetry::metrics::HttpRequests;

pub use client::ClientAddress;
pub use context::{AnsweringRoute, RequestId};

use context::Context;

/// What stands around the server.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub origins: Origins,
    pub trusted_proxies: Networks,
}

/// What [`Surround`] works with.
struct Around {
    trusted_proxies: Networks,
    requests: HttpRequests,
}

/// What answers requests with bodies of this kind, and never fails.
pub trait HttpService<B>:
    Service<http::Request<B>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<B, S> HttpService<B> for S where
    S: Service<http::Request<B>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// The routes, which say who they are, and pack what is no stream.
pub fn packed(router: Router) -> impl HttpService<Body> {
    let named = router.layer(MapRequestLayer::new(context::name_route));
    // Metrics are told for nothing, and they are large.
    let packs = DefaultPredicate::new().and(NotForContentType::const_new(health::METRICS));
    ServiceBuilder::new()
        .map_response(|answer: http::Response<_>| answer_as_meant(answer.map(Body::new)))
        .layer(CompressionLayer::new().compress_when(packs))
        .map_response(|mut answer: Response| {
            let meant = Meant(answer.status());
            answer.extensions_mut().insert(meant);
            answer
        })
        .service(named)
}

/// The status that a route gave.
#[derive(Clone, Copy)]
struct Meant(StatusCode);

/// Who takes none of our packings, and does not want it unpacked either, gets it unpacked all the same: that
/// is what [`CompressionLayer`] sends too, but it makes a failure (406) of it.
fn answer_as_meant(mut answer: Response) -> Response {
    if let Some(Meant(status)) = answer.extensions_mut().remove() {
        *answer.status_mut() = status;
    }
    answer
}

/// `inner` with the other layers around it.
///
/// From the outside in: what [`Surround`] does; which sites may ask; the net under panics. Handlers find a
/// [`RequestId`] and a [`ClientAddress`] in the request's extensions. They stand outside the router, which
/// copies each layer of its own for every request, and puts what it makes of it on the heap.
pub fn around<S, B>(inner: S, surroundings: &Surroundings) -> impl HttpService<B> + use<S, B>
where
    S: HttpService<Body>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let trusted_proxies = surroundings.trusted_proxies.clone();
    let around = Arc::new(Around { trusted_proxies, requests: HttpRequests::default() });
    // The first is the outermost.
    ServiceBuilder::new()
        .layer(layer_fn(move |inner| Surround { inner, around: around.clone() }))
        .layer(cors::layer(&surroundings.origins))
        .map_future(panics::catch)
        .service(inner)
}

/// Security headers, which so reach every response; the client's address; the context, whose span and ids
/// are there for everything inside; metrics, which so see the status of a panic. One service, and none of
/// `axum::middleware`, which copies all that is inside of it for every request.
#[derive(Clone)]
struct Surround<S> {
    inner: S,
    around: Arc<Around>,
}

impl<S, B> Service<http::Request<B>> for Surround<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send + 'static>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut request = request.map(Body::new);
        let address = client::find(&request, &self.around.trusted_proxies);
        request.extensions_mut().insert(address);
        let (context, span) = Context::establish(&mut request, address);
        let (answer, around) = (self.inner.call(request).instrument(span), self.around.clone());
        Box::pin(async move {
            let mut answer = pin!(answer);
            let Ok(mut response) = answer.as_mut().await;
            answer.span().in_scope(|| context.finish(&around.requests, &mut response));
            security::set_headers(response.headers_mut());
            Ok(response)
        })
    }
}
