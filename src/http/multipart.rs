//! Subscriptions as the parts of one long answer to POST: what Apollo's clients take where a
//! WebSocket is not to be had.
//!
//! Source: Apollo's "multipart protocol for GraphQL subscriptions", `subscriptionSpec=1.0`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Request;
use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, interval_at};

use super::HttpState;
use super::execute::{self, Admission, Asking};
use super::graphql::{refuse, status_of};
use super::layers::RequestId;
use super::viewer::{self, StreamEnd};
use crate::error::{ApiError, Code};

/// The protocol's own interval: a client that hears nothing for longer may give up.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
const TYPE: HeaderValue = HeaderValue::from_static("multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0");
const NEVER_KEPT: HeaderValue = HeaderValue::from_static("no-cache");

/// True if the client takes subscriptions in parts.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|media_type| {
        let mut parts = media_type.split(';').map(|part| part.trim().to_ascii_lowercase().replace([' ', '"'], ""));
        parts.next().as_deref() == Some("multipart/mixed") && parts.any(|part| part == "subscriptionspec=1.0")
    })
}

/// Answers with a subscription's events as they come.
pub fn open(
    state: Arc<HttpState>,
    asking: Asking,
    request: Request,
    admission: Admission,
    request_id: &RequestId,
) -> Response {
    let place = match state.subscribers.take(asking.address) {
        Ok(place) => place,
        Err(error) => return refuse(&error, status_of(error.code), request_id),
    };
    let ends = ends(state.clone(), asking.viewer.clone(), request_id.as_str().to_owned());
    let parts = execute::stream(state, asking, request, admission)
        .map(|told| part(&format!("{{\"payload\":{}}}", told.answer)));
    let beats = stream::unfold(interval_at(Instant::now() + HEARTBEAT_EVERY, HEARTBEAT_EVERY), |mut interval| async {
        interval.tick().await;
        Some((part("{}"), interval))
    });
    // The events' end is the stream's; heartbeats never do.
    let events = parts.map(Some).chain(stream::once(async { None }));
    let ended = stream::once(ends).map(Some).chain(stream::once(async { None }));
    let all =
        stream::select(stream::select(events, ended), beats.map(Some)).scan((), |(), part| std::future::ready(part));
    // The boundary follows a part at once: who reads looks for it to know that the part is whole.
    let body = stream::once(async { "--graphql".to_owned() })
        .chain(all)
        .chain(stream::once(async { "--\r\n".to_owned() }))
        .map(move |text| {
            let _held = &place;
            Ok::<_, Infallible>(text)
        });
    (StatusCode::OK, [(CONTENT_TYPE, TYPE), (CACHE_CONTROL, NEVER_KEPT)], Body::from_stream(body)).into_response()
}

fn part(json: &str) -> String {
    format!("\r\nContent-Type: application/json\r\n\r\n{json}\r\n--graphql")
}

/// Waits until the server stops, or who asked has not the same rights any more; the part that tells it.
async fn ends(state: Arc<HttpState>, viewer: crate::auth::Viewer, request_id: String) -> String {
    let error = match viewer::stream_ends(state, viewer).await {
        StreamEnd::Stopping => ApiError::new(Code::Overloaded, "the server is stopping: connect again"),
        StreamEnd::Rights => viewer::rights_ended(),
    };
    part(&serde_json::json!({ "payload": null, "errors": [error.to_json(&request_id)] }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_say_that_they_take_parts() {
        for (accept, wanted) in [
            ("multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0,application/json", true),
            ("multipart/mixed; subscriptionSpec=\"1.0\", application/json", true),
            ("application/json, Multipart/Mixed;SUBSCRIPTIONSPEC=1.0", true),
            ("multipart/mixed;deferSpec=20220824,application/json", false),
            ("application/json;subscriptionSpec=1.0", false),
            ("*/*", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(is_wanted(&headers), wanted, "{accept}");
        }
    }
}
