//! In front of all routes: gives out the answers to GET that are kept, keeps what routes offer, and answers HEAD.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, ETAG, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LINK, UPGRADE, VARY,
};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::{BoxFuture, Either};
use tower::Service;

use super::{Kept, Key, Offer, is_anonymous, keep_out};
use crate::auth::Viewer;
use crate::http::HttpState;
use crate::http::layers::{AnsweringRoute, ClientAddress};

/// What is told of a body, and only with it.
const OF_BODY: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH, LINK];
/// What is told of an answer that somebody has already. Source: RFC 9110, section 15.4.5.
const OF_NO_BODY: [HeaderName; 3] = [CACHE_CONTROL, ETAG, VARY];
/// What tells whether an answer to GET is for who asks, and known already.
const OF_ASKER: [HeaderName; 4] = [AUTHORIZATION, COOKIE, IF_NONE_MATCH, IF_MODIFIED_SINCE];

/// The routes, packing included, and what was kept of their answers.
#[derive(Clone)]
pub struct Keeping<S> {
    state: Arc<HttpState>,
    routes: S,
}

impl<S> Keeping<S> {
    pub fn new(state: Arc<HttpState>, routes: S) -> Self {
        Self { state, routes }
    }
}

impl<S> Service<Request> for Keeping<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<BoxFuture<'static, Result<Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.routes.poll_ready(task)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (is_post, is_head) = (request.method() == Method::POST, request.method() == Method::HEAD);
        let has_offers = !is_post || is_anonymous(request.headers());
        if !(has_offers && (is_post || is_head || request.method() == Method::GET)) {
            return Either::Right(self.routes.call(request));
        }
        let (state, mut routes) = (self.state.clone(), self.routes.clone());
        Either::Left(Box::pin(async move {
            // The route of a body tells what its answer is kept as.
            let key = if is_post { None } else { Key::of_address(&request) };
            let found = match &key {
                Some(key) => find(&state, key, request).await,
                None => Err(request),
            };
            let answer = match found {
                Ok(answer) => answer,
                Err(mut request) => {
                    // HEAD tells what GET would tell, so that is made and packed. It opens no WebSocket.
                    if is_head && !opens_socket(request.headers()) {
                        *request.method_mut() = Method::GET;
                    }
                    let asked = Asked::of(&request, key);
                    asked.keep(&state, routes.call(request).await?).await
                }
            };
            Ok(if is_head { without_body(answer) } else { answer })
        }))
    }
}

/// What was kept, if it can be paid for. Otherwise the request: its route answers, or says why not in its own way.
async fn find(state: &HttpState, key: &Key, request: Request) -> Result<Response, Request> {
    let asked_at = Instant::now();
    let Some(kept) = state.responses.kept(key, request.headers()) else { return Err(request) };
    let address = request.extensions().get().copied().unwrap_or(ClientAddress(None));
    let Ok(spent) = state.rate.spend(&Viewer::anonymous(), address, 0).await else { return Err(request) };
    let mut answer = kept.answer(request.headers());
    kept.offer.date(answer.headers_mut());
    spent.tell(answer.headers_mut());
    if let (Some(answering), Some(route)) = (request.extensions().get::<AnsweringRoute>(), &kept.route) {
        answering.is(route);
    }
    kept.offer.count(asked_at.elapsed());
    Ok(answer)
}

impl Kept {
    fn answer(&self, headers: &HeaderMap) -> Response {
        if self.offer.is_known(headers, &self.described) {
            return (StatusCode::NOT_MODIFIED, only(&self.described, &OF_NO_BODY)).into_response();
        }
        (self.described.clone(), self.body.clone()).into_response()
    }
}

fn opens_socket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The answer to HEAD in place of that to GET, whose length it tells where that is known. RFC 9110, 9.3.2.
fn without_body(answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}

/// What has to be known of a request once it is answered.
struct Asked {
    headers: HeaderMap,
    /// What the answer to an address is kept as, if it is kept.
    key: Option<Key>,
    route: Option<AnsweringRoute>,
}

impl Asked {
    fn of(request: &Request, key: Option<Key>) -> Self {
        Self { headers: only(request.headers(), &OF_ASKER), key, route: request.extensions().get().cloned() }
    }

    /// Keeps what is offered, and answers who has it already with that.
    async fn keep(self, state: &HttpState, mut answer: Response) -> Response {
        let Some(offer) = answer.extensions_mut().remove::<Offer>() else { return answer };
        let key = answer.extensions_mut().remove().or(self.key);
        // It may be for others only.
        if !offer.is_for(&self.headers) || answer.status() != StatusCode::OK {
            keep_out(&mut answer);
            return answer;
        }
        offer.date(answer.headers_mut());
        let (mut parts, mut body) = answer.into_parts();
        if let Some(key) = key {
            // It was in memory before it was packed, so its size is bounded.
            let bytes = match to_bytes(body, usize::MAX).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::error!(%error, "an answer could not be packed");
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
            };
            let described = only(&parts.headers, &[&OF_BODY[..], &OF_NO_BODY].concat());
            let route = self.route.as_ref().and_then(AnsweringRoute::get).cloned();
            state.responses.insert(key, Kept { offer: offer.clone(), route, described, body: bytes.clone() });
            body = Body::from(bytes);
        }
        if offer.is_known(&self.headers, &parts.headers) {
            parts.status = StatusCode::NOT_MODIFIED;
            OF_BODY.iter().for_each(|name| drop(parts.headers.remove(name)));
            body = Body::empty();
        }
        Response::from_parts(parts, body)
    }
}

/// The headers of these names.
fn only(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let each = names.iter().flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
    let mut found = HeaderMap::new();
    for (name, value) in each {
        found.append(name, value.clone());
    }
    found
}
