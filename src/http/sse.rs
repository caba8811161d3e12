//! `/graphql/stream`: GraphQL over Server-Sent Events, one operation a connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures_util::{StreamExt, stream};
use tokio::sync::oneshot;

use super::execute::{self, Answer, Asking};
use super::graphql::{parse_body, parse_query, refuse, status_of};
use super::layers::{ClientAddress, RequestId};
use super::{HttpState, viewer};
use crate::auth::Viewer;
use crate::error::{ApiError, Code};
use crate::events::Cursor;
use crate::telemetry::metrics::OperationType;

const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub async fn get(
    State(state): State<Arc<HttpState>>,
    Extension(request_id): Extension<RequestId>,
    Extension(address): Extension<ClientAddress>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let request = match parse_query(query.as_deref().unwrap_or_default()) {
        Ok(request) => request,
        Err(error) => return refuse(&error, StatusCode::BAD_REQUEST, &request_id),
    };
    open(state, headers, request, request_id, address, true).await
}

pub async fn post(
    State(state): State<Arc<HttpState>>,
    Extension(request_id): Extension<RequestId>,
    Extension(address): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match parse_body(&state, &headers, body) {
        Ok(request) => open(state, headers, request, request_id, address, false).await,
        Err((status, error)) => refuse(&error, status, &request_id),
    }
}

async fn open(
    state: Arc<HttpState>,
    headers: HeaderMap,
    mut request: async_graphql::Request,
    request_id: RequestId,
    address: ClientAddress,
    by_get: bool,
) -> Response {
    let Ok(permit) = state.subscribers.clone().try_acquire_owned() else {
        let error = ApiError::new(Code::Overloaded, "too many subscribers at the moment: try again later");
        return refuse(&error, StatusCode::SERVICE_UNAVAILABLE, &request_id);
    };
    let admitted = execute::admit(&state, &mut request, request_id.as_str());
    if by_get && admitted.as_ref().is_ok_and(|admitted| admitted.kind == OperationType::Mutation) {
        let error = ApiError::bad_input("GET is for queries and subscriptions: send mutations with POST");
        return refuse(&error, StatusCode::METHOD_NOT_ALLOWED, &request_id);
    }
    let asking = match asking(&state, &headers, &request_id).await {
        Ok(asking) => asking,
        Err(error) => return refuse(&error, status_of(error.code), &request_id),
    };
    let cost = admitted.as_ref().map_or(0, |admitted| admitted.cost);
    if let Err(overdrawn) = state.rate.spend(&asking.viewer, address, cost).await {
        return overdrawn.respond(&request_id);
    }
    let (told, hear) = oneshot::channel();
    let ends = ends(state.clone(), asking.viewer.clone(), told);
    let responses = match admitted {
        Ok(admitted) => execute::stream(state, asking, request, admitted),
        Err(refused) => stream::once(std::future::ready((*refused, None))).boxed(),
    };
    let events = responses
        .map(|(response, cursor)| next(&response, cursor))
        .take_until(ends)
        // Where the responses end by themselves, `told` is dropped and nothing is heard.
        .chain(
            stream::once(hear).filter_map(move |heard| std::future::ready(heard.ok().map(|()| farewell(&request_id)))),
        )
        .chain(stream::once(async { Event::default().event("complete").data("") }))
        .map(move |event| {
            let _held = &permit;
            Ok::<_, Infallible>(event)
        });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// Until the server stops, or who asked has not the same rights any more, which is told to `farewell`.
async fn ends(state: Arc<HttpState>, viewer: Viewer, farewell: oneshot::Sender<()>) {
    tokio::select! {
        () = state.stopping.cancelled() => {}
        () = viewer::rights_end(state.clone(), viewer) => drop(farewell.send(())),
    }
}

/// What is told last to whose rights have ended.
fn farewell(request_id: &RequestId) -> Event {
    let message = "what you signed in with has ended, or your rights have changed: sign in or connect again";
    let error = ApiError::new(Code::Unauthenticated, message).to_json(request_id.as_str());
    Event::default().event("next").data(serde_json::json!({ "errors": [error] }).to_string())
}

async fn asking(state: &HttpState, headers: &HeaderMap, request_id: &RequestId) -> Result<Asking, ApiError> {
    let now = Utc::now();
    let resume = match headers.get("last-event-id").and_then(|id| id.to_str().ok()) {
        Some(id) if !id.is_empty() => Some(Cursor::decode(id)?),
        _ => None,
    };
    let viewer = viewer::of_headers(state, headers, now).await?;
    Ok(Asking { viewer, now, resume, request_id: request_id.as_str().to_owned() })
}

/// The event's id is its cursor: a browser sends it back as `Last-Event-ID` by itself.
fn next(response: &async_graphql::Response, cursor: Option<Cursor>) -> Event {
    let data = serde_json::to_string(&Answer::from(response)).unwrap_or_else(|error| {
        ApiError::internal(&error);
        r#"{"errors":[{"message":"internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}"#.to_owned()
    });
    let event = Event::default().event("next").data(data);
    match cursor {
        Some(cursor) => event.id(cursor.encode()),
        None => event,
    }
}
