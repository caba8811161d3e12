//! `/graphql`: queries and mutations over POST, queries over GET, WebSocket upgrades.

use std::sync::Arc;

use async_graphql::{Request, Response};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, State, WebSocketUpgrade};
use axum::http::header::{ACCEPT, ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::{Extension, response};
use chrono::Utc;
use futures_util::{StreamExt, stream};

use super::asked::{self, Asked};
use super::execute::{self, Admission, Asking, Refused};
use super::layers::{ClientAddress, RequestId};
use super::responses::{self, Key, Offer, Responses};
use super::{HttpState, multipart, rate, sse, viewer, websocket};
use crate::auth::Viewer;
use crate::error::{ApiError, Code};
use crate::graphql::RequestContext;
use crate::store::StatementCount;
use crate::telemetry::metrics::OperationType;

pub const PATH: &str = "/graphql";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const GRAPHQL_JSON: HeaderValue = HeaderValue::from_static("application/graphql-response+json; charset=utf-8");
const SDL: HeaderValue = HeaderValue::from_static("application/graphql; charset=utf-8");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Operations of one batch that run at the same time.
const BATCH_CONCURRENCY: usize = 2;

/// What a handler of a request knows besides the operation.
struct Call<'a> {
    state: &'a Arc<HttpState>,
    headers: &'a HeaderMap,
    request_id: &'a RequestId,
    address: ClientAddress,
    /// The newer media type, with status codes that mean something.
    modern: bool,
}

/// A query in the address, or the upgrade to a WebSocket.
pub async fn get(
    State(state): State<Arc<HttpState>>,
    Extension(request_id): Extension<RequestId>,
    Extension(address): Extension<ClientAddress>,
    request: axum::extract::Request,
) -> response::Response {
    let (mut parts, _) = request.into_parts();
    let modern = takes_modern(&parts.headers);
    let answer = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => match state.rate.spend(&Viewer::anonymous(), address, 0).await {
            Ok(_) => websocket::accept(state, upgrade, parts.headers, request_id, address),
            Err(overdrawn) => overdrawn.respond(&request_id),
        },
        Err(_) => Call::new(&state, &parts.headers, &request_id, address).answer_to_address(&parts.uri).await,
    };
    named(answer, modern)
}

/// An operation in the body, or a list of them.
pub async fn post(
    State(state): State<Arc<HttpState>>,
    Extension(request_id): Extension<RequestId>,
    Extension(address): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Body,
) -> response::Response {
    let call = Call::new(&state, &headers, &request_id, address);
    let answer = call.answer_to_body(body).await;
    named(answer, call.modern)
}

/// The schema in the GraphQL schema language.
pub async fn sdl(
    State(state): State<Arc<HttpState>>,
    Extension(request_id): Extension<RequestId>,
    Extension(address): Extension<ClientAddress>,
    headers: HeaderMap,
) -> response::Response {
    let is_for_all = execute::permit_introspection(&state, &Viewer::anonymous()).is_ok();
    let allowed = match is_for_all {
        true => Ok(Viewer::anonymous()),
        false => {
            let permit = |viewer| execute::permit_introspection(&state, &viewer).map(|()| viewer);
            viewer::of_headers(&state, &headers, Utc::now()).await.and_then(permit)
        }
    };
    let viewer = match allowed {
        Ok(viewer) => viewer,
        Err(error) => {
            let refusal = refuse(&error, status_of(error.code), &request_id);
            return state.rate.charge(address, refusal, &request_id).await;
        }
    };
    let spent = match state.rate.spend(&viewer, address, rate::DOCUMENT).await {
        Ok(spent) => spent,
        Err(overdrawn) => return overdrawn.respond(&request_id),
    };
    let described = HeaderMap::from_iter([(CONTENT_TYPE, SDL)]);
    let mut answer = match is_for_all {
        true => state.responses.document(described, state.sdl.clone()),
        false => no_cache((described, state.sdl.clone()).into_response()),
    };
    spent.tell(answer.headers_mut());
    answer
}

/// The answer to one operation of a list.
struct OneOfBatch {
    answer: Vec<u8>,
    context: Option<Arc<RequestContext>>,
    /// The headers that say how the account stands after it.
    account: HeaderMap,
}

impl<'a> Call<'a> {
    fn new(
        state: &'a Arc<HttpState>,
        headers: &'a HeaderMap,
        request_id: &'a RequestId,
        address: ClientAddress,
    ) -> Self {
        Self { state, headers, request_id, address, modern: takes_modern(headers) }
    }

    async fn answer_to_address(&self, address: &Uri) -> response::Response {
        match asked::from_address(address) {
            Ok(request) => Box::pin(self.get(request)).await,
            Err(error) => self.at_a_price(refuse(&error, StatusCode::BAD_REQUEST, self.request_id)).await,
        }
    }

    async fn answer_to_body(&self, body: Body) -> response::Response {
        let body = match asked::read(&self.state.limits, self.headers, body).await {
            Ok(body) => body,
            Err((status, error)) => return self.at_a_price(unread(&error, status, self.request_id)).await,
        };
        let key = Key::of_body(self.headers, body.bytes(), self.modern);
        if let Some(kept) = key.as_ref().and_then(|key| self.state.responses.find(key, self.headers)) {
            return self.at_a_price(kept).await;
        }
        let asked = asked::from_bytes(&self.state.limits, body.bytes());
        drop(body);
        match asked {
            Ok(Asked::One(request)) => Box::pin(self.post(*request, key)).await,
            Ok(Asked::Several(requests)) => Box::pin(self.batch(requests)).await,
            Err((status, error)) => self.at_a_price(refuse(&error, status, self.request_id)).await,
        }
    }

    async fn get(&self, mut request: Request) -> response::Response {
        let version = self.state.responses.version();
        let (asking, admission, spent) = match self.enter(&mut request, true).await {
            Ok(entered) => entered,
            Err(refusal) => return no_cache(*refusal),
        };
        let offer = |name: Option<&str>, described, body| {
            self.state.responses.offer(Offer::of_query(version, name), described, body)
        };
        let (offered, made) = self.answer(&asking, request, admission, spent, Some(offer)).await;
        if offered { made } else { no_cache(made) }
    }

    async fn post(&self, mut request: Request, key: Option<Key>) -> response::Response {
        let version = self.state.responses.version();
        let (asking, admission, spent) = match self.enter(&mut request, false).await {
            Ok(entered) => entered,
            Err(refusal) => return *refusal,
        };
        if admission.operation.kind == OperationType::Subscription {
            let open = if multipart::is_wanted(self.headers) { multipart::open } else { sse::answer_with_events };
            let mut answer = open(self.state.clone(), asking, request, admission, self.request_id);
            spent.tell(answer.headers_mut());
            return answer;
        }
        let key = key.filter(|_| admission.operation.kind == OperationType::Query);
        let keep = key.map(|key| {
            move |name: Option<&str>, described, body| {
                Responses::offer_again(key, Offer::of_query(version, name), described, body)
            }
        });
        self.answer(&asking, request, admission, spent, keep).await.1
    }

    /// Runs a query or a mutation. True if anybody may have the answer, which is then given out by `share`: from the
    /// operation's name, what is said of the body, and the body.
    async fn answer(
        &self,
        asking: &Asking,
        request: Request,
        admission: Admission,
        spent: rate::Spent,
        share: Option<impl FnOnce(Option<&str>, HeaderMap, Bytes) -> response::Response>,
    ) -> (bool, response::Response) {
        let name = admission.operation.name.clone().filter(|_| share.is_some());
        let (response, context) = execute::once(self.state, asking, request, admission).await;
        let share = share.filter(|_| response.is_ok() && !context.is_for_one());
        let shared = share.is_some();
        let body = body(&response);
        let spent = self.state.rate.add_size(spent, &asking.viewer, self.address, body.len()).await;
        let mut answer = match share {
            Some(share) => {
                let described = HeaderMap::from_iter([(CONTENT_TYPE, self.media_type())]);
                share(name.as_deref(), described, body)
            }
            None => self.respond_with(&response, body),
        };
        spent.tell(answer.headers_mut());
        add_context(&mut answer, self.state, &context, asking.now);
        (shared, answer)
    }

    /// Answers a list with a list. Each is an operation of its own, which may be refused; only what
    /// concerns the request as a whole is told as one.
    async fn batch(&self, requests: Vec<Request>) -> response::Response {
        let now = Utc::now();
        let viewer = match viewer::of_headers(self.state, self.headers, now).await {
            Ok(viewer) => viewer,
            Err(error) => return self.at_a_price(refuse(&error, status_of(error.code), self.request_id)).await,
        };
        let (request_id, address) = (self.request_id.as_str().to_owned(), self.address);
        let asking = Asking { viewer, now, resume: None, request_id, address };
        let answers: Vec<_> = stream::iter(requests)
            .map(|request| self.one_of_batch(&asking, request))
            .buffered(BATCH_CONCURRENCY)
            .collect()
            .await;
        let each: Vec<_> = answers.iter().map(|one| &one.answer[..]).collect();
        let whole = [&b"["[..], &each.join(&b","[..]), &b"]"[..]].concat();
        let mut answer = (StatusCode::OK, [(CONTENT_TYPE, JSON)], whole).into_response();
        for context in answers.iter().filter_map(|one| one.context.as_ref()) {
            add_context(&mut answer, self.state, context, now);
        }
        // How the account stands: one that could not be paid for says when to come back.
        let last = answers.iter().rfind(|one| one.account.contains_key(RETRY_AFTER)).or(answers.last());
        answer.headers_mut().extend(last.map(|one| one.account.clone()).unwrap_or_default());
        answer
    }

    async fn one_of_batch(&self, asking: &Asking, mut request: Request) -> OneOfBatch {
        let id = &asking.request_id;
        let mut account = HeaderMap::new();
        let refuse = |refused: Refused, mut account: HeaderMap| {
            if let Refused::Overdrawn(overdrawn) = &refused {
                overdrawn.tell(&mut account);
            }
            let answer = execute::answer(&Response::from_errors(refused.errors(id)));
            OneOfBatch { answer, context: None, account }
        };
        let entered = execute::enter(self.state, &asking.viewer, self.address, &mut request, id).await;
        let (admission, spent) = match entered {
            Ok(entered) => entered,
            Err(refused) => return refuse(refused, account),
        };
        spent.tell(&mut account);
        if admission.operation.kind == OperationType::Subscription {
            let error = ApiError::bad_input("a subscription cannot be part of a list: open a stream for it");
            return refuse(Refused::Forbidden(error), account);
        }
        let (response, context) = execute::once(self.state, asking, request, admission).await;
        let answer = execute::answer(&response);
        self.state.rate.add_size(spent, &asking.viewer, self.address, answer.len()).await.tell(&mut account);
        OneOfBatch { answer, context: Some(context), account }
    }

    /// Who asks, for what, and what is left to spend; or the answer that says why not.
    async fn enter(
        &self,
        request: &mut Request,
        by_get: bool,
    ) -> Result<(Asking, Admission, rate::Spent), Box<response::Response>> {
        let now = Utc::now();
        let id = self.request_id.as_str();
        let mut admission = match execute::admit(self.state, request, id).await {
            Ok(admission) => admission,
            Err(refused) => return Err(Box::new(self.at_a_price(self.respond(&refused)).await)),
        };
        if let Some(refusal) = self.refuse_kind(admission.operation.kind, by_get) {
            return Err(Box::new(self.at_a_price(refusal).await));
        }
        let viewer = match viewer::of_headers(self.state, self.headers, now).await {
            Ok(viewer) => viewer,
            Err(error) => {
                let refusal = refuse(&error, status_of(error.code), self.request_id);
                return Err(Box::new(self.at_a_price(refusal).await));
            }
        };
        match execute::permit(self.state, &viewer, self.address, request, &mut admission).await {
            Ok(spent) => {
                let (request_id, address) = (id.to_owned(), self.address);
                Ok((Asking { viewer, now, resume: None, request_id, address }, admission, spent))
            }
            Err(refused) => Err(Box::new(match refused {
                Refused::Document(response) => self.respond(&response),
                Refused::Forbidden(error) => refuse(&error, status_of(error.code), self.request_id),
                Refused::Overdrawn(overdrawn) => overdrawn.respond(self.request_id),
            })),
        }
    }

    fn refuse_kind(&self, kind: OperationType, by_get: bool) -> Option<response::Response> {
        match kind {
            OperationType::Subscription
                if by_get || !(multipart::is_wanted(self.headers) || sse::is_wanted(self.headers)) =>
            {
                let error = ApiError::bad_input(
                    "a subscription needs a stream: use /graphql/stream (SSE), a WebSocket on /graphql, or POST with Accept: text/event-stream or multipart/mixed;subscriptionSpec=1.0",
                );
                Some(refuse(&error, StatusCode::BAD_REQUEST, self.request_id))
            }
            OperationType::Mutation if by_get => {
                let error = ApiError::bad_input("GET is for queries: send mutations with POST");
                let mut refusal = refuse(&error, StatusCode::METHOD_NOT_ALLOWED, self.request_id);
                refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                Some(refusal)
            }
            _ => None,
        }
    }

    async fn at_a_price(&self, answer: response::Response) -> response::Response {
        self.state.rate.charge(self.address, answer, self.request_id).await
    }

    fn respond(&self, response: &Response) -> response::Response {
        self.respond_with(response, body(response))
    }

    fn respond_with(&self, response: &Response, body: Bytes) -> response::Response {
        // What did not begin is somebody's error; the older media type knows only 200.
        let status = match execute::server_error(response) {
            _ if !self.modern || !execute::never_ran(response) => StatusCode::OK,
            Some(code) => status_of(code),
            None => StatusCode::BAD_REQUEST,
        };
        (status, [(CONTENT_TYPE, self.media_type())], body).into_response()
    }

    fn media_type(&self) -> HeaderValue {
        if self.modern { GRAPHQL_JSON } else { JSON }
    }
}

fn no_cache(mut answer: response::Response) -> response::Response {
    responses::keep_out(&mut answer);
    answer
}

/// [`named`] around a route.
pub async fn say_what_it_is(request: axum::extract::Request, next: Next) -> response::Response {
    let modern = takes_modern(request.headers());
    named(next.run(request).await, modern)
}

/// A refusal is a GraphQL answer too, and clients of the newer media type believe it by that name
/// only: plain JSON with such a status could be of any machine on the way.
fn named(mut answer: response::Response, modern: bool) -> response::Response {
    if modern && !answer.status().is_success() && answer.headers().get(CONTENT_TYPE) == Some(&JSON) {
        answer.headers_mut().insert(CONTENT_TYPE, GRAPHQL_JSON);
    }
    answer
}

/// Whether a client takes the newer media type.
pub fn takes_modern(headers: &HeaderMap) -> bool {
    let accepts = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    accepts.contains("application/graphql-response+json")
}

/// What the operation did besides answering: a session that began or ended, statements.
fn add_context(
    answer: &mut response::Response,
    state: &HttpState,
    context: &RequestContext,
    now: chrono::DateTime<Utc>,
) {
    let headers = answer.headers_mut();
    if let Some(cookie) = viewer::set_cookie(&context.session_change(), state.limits.secure_cookies, now) {
        headers.insert(SET_COOKIE, cookie);
    }
    add_statement_count(headers, state, &context.statements);
}

/// Tells how many statements it took, where that is wanted.
pub fn add_statement_count(headers: &mut HeaderMap, state: &HttpState, statements: &StatementCount) {
    if state.limits.statement_counts
        && let Ok(value) = HeaderValue::from_str(&format!("sql;desc=\"{} statements\"", statements.get()))
    {
        headers.insert(SERVER_TIMING, value);
    }
}

fn body(response: &Response) -> Bytes {
    execute::answer(response).into()
}

/// An answer to a request that did not get as far as an operation.
pub fn refuse(error: &ApiError, status: StatusCode, request_id: &RequestId) -> response::Response {
    let body = serde_json::json!({ "errors": [error.to_json(request_id.as_str())] });
    no_cache((status, axum::Json(body)).into_response())
}

/// The same for a body that was not read to its end, after which a connection is of no use.
pub fn unread(error: &ApiError, status: StatusCode, request_id: &RequestId) -> response::Response {
    let mut refusal = refuse(error, status, request_id);
    give_up(&mut refusal, status);
    refusal
}

/// Closes the connection of a body that was not read to its end.
pub fn give_up(refusal: &mut response::Response, status: StatusCode) {
    let given_up = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::REQUEST_TIMEOUT, StatusCode::SERVICE_UNAVAILABLE];
    if given_up.contains(&status) {
        refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The status of a request that failed before its operation.
pub fn status_of(code: Code) -> StatusCode {
    match code {
        Code::BadUserInput | Code::PersistedQueryNotFound => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Overloaded | Code::ModelLoading => StatusCode::SERVICE_UNAVAILABLE,
        Code::BadModelOutput => StatusCode::BAD_GATEWAY,
        Code::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the future of a handler. Each layer around it copies it with each request.
    fn size<A, B, C, D, E, F>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_futures_of_handlers_are_small() {
        let get = |state, id, address, request, ()| get(state, id, address, request);
        let sizes = [size(post), size(get)];
        assert!(sizes.into_iter().all(|bytes| bytes < 4 * 1024), "box what these await: {sizes:?}");
    }
}
