//! Single-connection mode: one SSE stream carries the events of many operations, each of which is
//! sent with a request of its own. What HTTP/1.1 needs, where a browser has six connections.
//!
//! A client reserves a stream and gets a token (PUT), opens it (GET), begins operations (POST) and
//! ends them (DELETE). The stream is in this process only: with several replicas, the requests of a
//! client have to reach the same one.
//!
//! Source: the PROTOCOL.md of the `graphql-sse` package.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_graphql::{Request, Value};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures_util::{StreamExt, stream};
use rand::RngExt;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{KEEP_ALIVE, asking, query_parameter};
use crate::auth::Viewer;
use crate::error::{ApiError, Code};
use crate::http::graphql::{refuse, status_of};
use crate::http::layers::{ClientAddress, RequestId};
use crate::http::operations::{NotBegun, Operations, Said, What};
use crate::http::places::Place;
use crate::http::{HttpState, viewer};

const TOKEN: &str = "x-graphql-event-stream-token";
/// How long a reserved stream waits to be opened.
const OPEN_WITHIN: Duration = Duration::from_secs(30);

/// The streams that are reserved or open.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<HashMap<String, Stream>>>);

struct Stream {
    viewer: Viewer,
    operations: Operations,
    /// `None` while a client listens.
    said: Option<mpsc::Receiver<Said>>,
    _place: Place,
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Stream>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream that a request is for, in its header or its address.
pub fn token(headers: &HeaderMap, address: &Uri) -> Option<String> {
    let told = headers.get(TOKEN).and_then(|token| token.to_str().ok()).map(str::to_owned);
    told.or_else(|| query_parameter(address, "token"))
}

/// Reserves a stream; its token.
pub async fn reserve(
    state: &Arc<HttpState>,
    headers: HeaderMap,
    request_id: &RequestId,
    address: ClientAddress,
) -> Response {
    let viewer = match viewer::of_headers(state, &headers, Utc::now()).await {
        Ok(viewer) => viewer,
        Err(error) => return refuse(&error, status_of(error.code), request_id),
    };
    let spent = match state.rate.spend(&viewer, address, 0).await {
        Ok(spent) => spent,
        Err(overdrawn) => return overdrawn.respond(request_id),
    };
    let place = match state.subscribers.take(address) {
        Ok(place) => place,
        Err(error) => return refuse(&error, status_of(error.code), request_id),
    };
    let token = Uuid::from_u128(rand::rng().random()).simple().to_string();
    let (operations, said) = Operations::new(state.limits.max_subscriptions_per_socket);
    state.streams.lock().insert(token.clone(), Stream { viewer, operations, said: Some(said), _place: place });
    let (streams, reserved) = (state.streams.clone(), token.clone());
    tokio::spawn(async move {
        tokio::time::sleep(OPEN_WITHIN).await;
        let mut streams = streams.lock();
        if streams.get(&reserved).is_some_and(|stream| stream.said.is_some()) {
            streams.remove(&reserved);
        }
    });
    let mut answer = (StatusCode::CREATED, [("content-type", "text/plain; charset=utf-8")], token).into_response();
    spent.tell(answer.headers_mut());
    answer
}

/// Opens a reserved stream.
pub fn open(state: &Arc<HttpState>, token: String, request_id: &RequestId) -> Response {
    let taken = state.streams.lock().get_mut(&token).map(|stream| (stream.said.take(), stream.viewer.clone()));
    let (mut said, viewer) = match taken {
        Some((Some(said), viewer)) => (said, viewer),
        Some((None, _)) => return conflict("this stream is open already: reserve another one with PUT", request_id),
        None => return not_found(request_id),
    };
    let open = Open { streams: state.streams.clone(), token };
    let events = stream::poll_fn(move |context| said.poll_recv(context)).map(move |said| {
        let is_heard = open.streams.lock().get_mut(&open.token).is_some_and(|it| it.operations.hear(&said));
        stream::iter(if is_heard { spell(said) } else { Vec::new() })
    });
    let events = events.flatten().take_until(viewer::stream_ends(state.clone(), viewer));
    Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// Lets go of a stream, and all that runs on it, when its client is gone.
struct Open {
    streams: Streams,
    token: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.streams.lock().remove(&self.token);
    }
}

/// Begins an operation, whose events the stream will carry.
pub async fn begin(
    state: &Arc<HttpState>,
    headers: HeaderMap,
    mut request: Request,
    token: String,
    request_id: &RequestId,
    address: ClientAddress,
) -> Response {
    let Some(Value::String(id)) = request.extensions.remove("operationId") else {
        let error = ApiError::bad_input("extensions.operationId is missing: give each operation of a stream a name");
        return refuse(&error, StatusCode::BAD_REQUEST, request_id);
    };
    let asking = match asking(state, &headers, request_id, address).await {
        Ok(asking) => asking,
        Err(error) => return refuse(&error, status_of(error.code), request_id),
    };
    let mut streams = state.streams.lock();
    let Some(stream) = streams.get_mut(&token) else { return not_found(request_id) };
    // The stream ends with the rights of what it was reserved with, and so has to be what it carries.
    if !stream.viewer.has_credential_of(&asking.viewer) {
        let message = "this stream was not reserved with what you show: reserve one of your own with PUT";
        let error = ApiError::new(Code::Forbidden, message);
        return refuse(&error, StatusCode::FORBIDDEN, request_id);
    }
    match stream.operations.begin(state, asking, address, request, id) {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(NotBegun::InUse) => {
            conflict("an operation of this operationId runs on the stream: choose another", request_id)
        }
        Err(NotBegun::TooMany(error)) => refuse(&error, status_of(error.code), request_id),
    }
}

/// Ends an operation.
pub fn end(state: &HttpState, token: &str, address: &Uri, request_id: &RequestId) -> Response {
    let Some(id) = query_parameter(address, "operationId") else {
        let error = ApiError::bad_input("operationId is missing in the address: say which operation is to end");
        return refuse(&error, StatusCode::BAD_REQUEST, request_id);
    };
    match state.streams.lock().get_mut(token) {
        Some(stream) => {
            // One that is over already is as much ended as it can be.
            stream.operations.stop(&id);
            StatusCode::OK.into_response()
        }
        None => not_found(request_id),
    }
}

fn not_found(request_id: &RequestId) -> Response {
    let error = ApiError::new(
        Code::NotFound,
        "there is no stream of this token here: reserve one with PUT, and open it within 30 s",
    );
    refuse(&error, StatusCode::NOT_FOUND, request_id)
}

fn conflict(message: &str, request_id: &RequestId) -> Response {
    refuse(&ApiError::bad_input(message), StatusCode::CONFLICT, request_id)
}

/// What an operation said, in the protocol's words. The payload is JSON already.
fn spell(said: Said) -> Vec<Event> {
    let id = serde_json::Value::from(said.id);
    let next = |payload: Arc<str>| Event::default().event("next").data(format!(r#"{{"id":{id},"payload":{payload}}}"#));
    let complete = || Event::default().event("complete").data(format!(r#"{{"id":{id}}}"#));
    match said.what {
        What::Next(payload, None) => vec![next(payload)],
        What::Next(payload, Some(cursor)) => vec![next(payload).id(cursor.encode())],
        What::Refused(errors) => vec![next(format!(r#"{{"errors":{errors}}}"#).into()), complete()],
        What::Complete => vec![complete()],
    }
}
