//! `/graphql/stream`: GraphQL over Server-Sent Events, one operation a connection, or many on a
//! stream that was reserved for them (`single.rs`).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{ACCEPT, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::oneshot;

use super::execute::{self, Admission, Asking, Refused, Told};
use super::graphql::{refuse, status_of, unread};
use super::layers::{ClientAddress, RequestId};
use super::places::Place;
use super::viewer::{self, StreamEnd};
use super::{HttpState, asked};
use crate::auth::Viewer;
use crate::error::ApiError;
use crate::events::Cursor;
use crate::telemetry::metrics::OperationType;

mod single;

pub use single::Streams;

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A subscription in the address; or the opening of a stream that was reserved.
pub async fn get(
    State(state): State<Arc<HttpState>>,
    Extension(request_id): Extension<RequestId>,
    Extension(address): Extension<ClientAddress>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let answer = match single::token(&headers, &uri) {
        Some(token) => single::open(&state, token, &request_id),
        None => match asked::from_address(&uri) {
            Ok(request) => open(&state, headers, request, &request_id, address, true).await,
            Err(error) => refuse(&error, StatusCode::BAD_REQUEST, &request_id),
        },
    };
    at_a_price(&state, answer, address, &request_id).await
}

/// An operation in the body, with a stream of its own or on one that was reserved.
pub async fn post(
    State(state): State<Arc<HttpState>>,
    Extension(request_id): Extension<RequestId>,
    Extension(address): Extension<ClientAddress>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = match (asked::one_from_body(&state.limits, &headers, body).await, single::token(&headers, &uri)) {
        (Err((status, error)), _) => unread(&error, status, &request_id),
        (Ok(request), Some(token)) => single::begin(&state, headers, request, token, &request_id, address).await,
        (Ok(request), None) => open(&state, headers, request, &request_id, address, false).await,
    };
    at_a_price(&state, answer, address, &request_id).await
}

/// What came to nothing is not free; the rest was paid for where it began.
async fn at_a_price(state: &HttpState, answer: Response, address: ClientAddress, request_id: &RequestId) -> Response {
    if answer.status().is_success() || answer.headers().contains_key(RETRY_AFTER) {
        return answer;
    }
    state.rate.charge(address, answer, request_id).await
}

/// Reserves a stream for many operations.
pub async fn put(
    State(state): State<Arc<HttpState>>,
    Extension(request_id): Extension<RequestId>,
    Extension(address): Extension<ClientAddress>,
    headers: HeaderMap,
) -> Response {
    let answer = single::reserve(&state, headers, &request_id, address).await;
    at_a_price(&state, answer, address, &request_id).await
}

/// Ends an operation on a reserved stream.
pub async fn delete(
    State(state): State<Arc<HttpState>>,
    Extension(request_id): Extension<RequestId>,
    Extension(address): Extension<ClientAddress>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let answer = match single::token(&headers, &uri) {
        Some(token) => single::end(&state, &token, &uri, &request_id),
        None => {
            let error = ApiError::bad_input("the stream's token is missing: send it as x-graphql-event-stream-token");
            refuse(&error, StatusCode::BAD_REQUEST, &request_id)
        }
    };
    at_a_price(&state, answer, address, &request_id).await
}

async fn open(
    state: &Arc<HttpState>,
    headers: HeaderMap,
    mut request: async_graphql::Request,
    request_id: &RequestId,
    address: ClientAddress,
    by_get: bool,
) -> Response {
    let place = match state.subscribers.take(address) {
        Ok(place) => place,
        Err(error) => return refuse(&error, status_of(error.code), request_id),
    };
    let admitted = execute::admit(state, &mut request, request_id.as_str()).await;
    if by_get && admitted.as_ref().is_ok_and(|admission| admission.operation.kind == OperationType::Mutation) {
        let error = ApiError::bad_input("GET is for queries and subscriptions: send mutations with POST");
        return refuse(&error, StatusCode::METHOD_NOT_ALLOWED, request_id);
    }
    let asking = match asking(state, &headers, request_id, address).await {
        Ok(asking) => asking,
        Err(error) => return refuse(&error, status_of(error.code), request_id),
    };
    let mut account = HeaderMap::new();
    let entered = execute::enter_admitted(state, &asking.viewer, address, &request, admitted).await;
    let entered = match entered {
        Err(Refused::Overdrawn(overdrawn)) => return overdrawn.respond(request_id),
        Err(Refused::Forbidden(error)) => return refuse(&error, status_of(error.code), request_id),
        Err(Refused::Document(refused)) => Err(refused),
        Ok((admission, spent)) => {
            spent.tell(&mut account);
            Ok(admission)
        }
    };
    let viewer = asking.viewer.clone();
    let responses = match entered {
        Ok(admission) => execute::stream(state.clone(), asking, request, admission),
        Err(refused) => stream::once(std::future::ready(Told::new(&refused, None))).boxed(),
    };
    let mut answer = events(state.clone(), viewer, responses, place, request_id.clone());
    answer.headers_mut().extend(account);
    answer
}

/// True if the client takes server-sent events as an answer.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    types.any(|media_type| media_type.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Answers a subscription that was let in already.
pub fn answer_with_events(
    state: Arc<HttpState>,
    asking: Asking,
    request: async_graphql::Request,
    admission: Admission,
    request_id: &RequestId,
) -> Response {
    let place = match state.subscribers.take(asking.address) {
        Ok(place) => place,
        Err(error) => return refuse(&error, status_of(error.code), request_id),
    };
    let viewer = asking.viewer.clone();
    let responses = execute::stream(state.clone(), asking, request, admission);
    events(state, viewer, responses, place, request_id.clone())
}

/// The responses as events, with the end of them.
fn events(
    state: Arc<HttpState>,
    viewer: Viewer,
    told: BoxStream<'static, Told>,
    place: Place,
    request_id: RequestId,
) -> Response {
    let (rights_ended, hear) = oneshot::channel();
    let ends = ends_telling(state, viewer, rights_ended);
    let events = told
        .map(|told| next(&told))
        .take_until(ends)
        // Where the answers end by themselves, `rights_ended` is dropped and nothing is heard.
        .chain(
            stream::once(hear).filter_map(move |heard| std::future::ready(heard.ok().map(|()| farewell(&request_id)))),
        )
        .chain(stream::once(async { complete() }))
        .map(move |event| {
            let _held = &place;
            Ok::<_, Infallible>(event)
        });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// Waits for the end of a stream; the end of the rights is told to `farewell`.
async fn ends_telling(state: Arc<HttpState>, viewer: Viewer, farewell: oneshot::Sender<()>) {
    if viewer::stream_ends(state, viewer).await == StreamEnd::Rights {
        // Nobody hears it when the client is gone.
        let _ = farewell.send(());
    }
}

/// The end. It needs a line of data, or browsers do not tell of it and connect again; nothing at all
/// makes no line, an empty line does.
fn complete() -> Event {
    Event::default().event("complete").data("\n")
}

/// What is told last to whose rights have ended.
fn farewell(request_id: &RequestId) -> Event {
    let error = viewer::rights_ended().to_json(request_id.as_str());
    Event::default().event("next").data(serde_json::json!({ "errors": [error] }).to_string())
}

fn query_parameter(address: &Uri, name: &str) -> Option<String> {
    let Query(mut parameters) = Query::<HashMap<String, String>>::try_from_uri(address).ok()?;
    parameters.remove(name)
}

async fn asking(
    state: &HttpState,
    headers: &HeaderMap,
    request_id: &RequestId,
    address: ClientAddress,
) -> Result<Asking, ApiError> {
    let now = Utc::now();
    let resume = match headers.get("last-event-id").and_then(|id| id.to_str().ok()) {
        Some(id) if !id.is_empty() => Some(Cursor::decode(id)?),
        _ => None,
    };
    let viewer = viewer::of_headers(state, headers, now).await?;
    Ok(Asking { viewer, now, resume, request_id: request_id.as_str().to_owned(), address })
}

/// The event's id is its cursor: a browser sends it back as `Last-Event-ID` by itself.
fn next(told: &Told) -> Event {
    let event = Event::default().event("next").data(&told.answer);
    match told.cursor {
        Some(cursor) => event.id(cursor.encode()),
        None => event,
    }
}
