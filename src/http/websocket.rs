//! The `graphql-transport-ws` protocol on `/graphql`.
//!
//! Source: the PROTOCOL.md of the `graphql-ws` package; the close codes are its own. One task per
//! connection; what a slow client has not read holds its subscriptions back, nothing piles up.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Request;
use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::Utc;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::asked::Wire;
use super::execute::Asking;
use super::graphql::{refuse, status_of};
use super::layers::{ClientAddress, RequestId};
use super::operations::{NotBegun, Operations, Said, What};
use super::{HttpState, viewer};
use crate::auth::Viewer;
use crate::error::{ApiError, Code};

const PROTOCOL: &str = "graphql-transport-ws";
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(20);
/// A client that reads nothing for this long is let go.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of a connection may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Messages that go out in one write where so many wait: it costs more than a message.
const TOGETHER: usize = 16;
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// Memory that each connection holds even when it is silent, and that is cleared each time before something is read
/// into it; the library's own measure is 128 KiB.
const READ_BUFFER_BYTES: usize = 2 * 1024;

/// What clients send.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Incoming {
    ConnectionInit { payload: Option<serde_json::Value> },
    Subscribe { id: String, payload: Box<Wire> },
    Complete { id: String },
    Ping { payload: Option<serde_json::Value> },
    Pong {},
}

/// Why a connection ends.
struct Close(u16, String);

/// Answers an upgrade.
pub fn accept(
    state: Arc<HttpState>,
    upgrade: WebSocketUpgrade,
    headers: HeaderMap,
    request_id: RequestId,
    address: ClientAddress,
) -> Response {
    let place = match state.subscribers.take(address) {
        Ok(place) => place,
        Err(error) => return refuse(&error, status_of(error.code), &request_id),
    };
    if viewer::is_by_cookie(&headers) && !is_same_origin(&headers, &state.limits.own_origins) {
        let error = ApiError::new(
            Code::Forbidden,
            "a page of another site cannot use this site's cookie: send a token in connection_init",
        );
        return refuse(&error, StatusCode::FORBIDDEN, &request_id);
    }
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES);
    upgrade.on_upgrade(move |socket| async move {
        let spoken = socket.protocol().is_some_and(|protocol| protocol == PROTOCOL);
        let (sink, stream) = socket.split();
        let (operations, said) = Operations::new(state.limits.max_subscriptions_per_socket);
        let connection =
            Connection { state, headers, request_id, address, viewer: None, initialised: false, operations };
        connection.run(sink, stream, said, spoken).await;
        drop(place);
    })
}

/// Browsers send cookies with WebSocket upgrades of any page; the `Origin` tells whose it is: this
/// host's, or one that the settings name. What is no browser sends none.
fn is_same_origin(headers: &HeaderMap, own_origins: &[String]) -> bool {
    let Some(origin) = headers.get("origin") else { return true };
    let (Ok(origin), host) = (origin.to_str(), headers.get("host").and_then(|host| host.to_str().ok())) else {
        return false;
    };
    let is_host = |host: &str| origin.split_once("://").is_some_and(|(_, own)| own.eq_ignore_ascii_case(host));
    host.is_some_and(is_host) || own_origins.iter().any(|own| origin.eq_ignore_ascii_case(own))
}

struct Connection {
    state: Arc<HttpState>,
    headers: HeaderMap,
    request_id: RequestId,
    address: ClientAddress,
    viewer: Option<Viewer>,
    initialised: bool,
    operations: Operations,
}

impl Connection {
    async fn run(
        mut self,
        mut sink: SplitSink<WebSocket, Message>,
        mut stream: SplitStream<WebSocket>,
        mut said: mpsc::Receiver<Said>,
        spoken: bool,
    ) {
        let close = if spoken {
            self.talk(&mut sink, &mut stream, &mut said).await
        } else {
            Some(Close(4406, format!("Subprotocol not acceptable: use {PROTOCOL}")))
        };
        if let Some(Close(code, reason)) = close {
            // The reason of a close frame has room for 123 bytes.
            let cut = reason.floor_char_boundary(120);
            let frame = CloseFrame { code, reason: Utf8Bytes::from(&reason[..cut]) };
            let goodbye = async {
                let sent = sink.send(Message::Close(Some(frame))).await;
                // The other side's close frame, or whatever it still says, up to a point.
                while sent.is_ok()
                    && matches!(stream.next().await, Some(Ok(message)) if !matches!(message, Message::Close(_)))
                {
                }
            };
            let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        } else {
            // What answers the client's own close frame is queued: it has to be sent.
            let _ = tokio::time::timeout(GOODBYE, sink.close()).await;
        }
    }

    /// Speaks until one side ends it; `None` when the client is gone already.
    async fn talk(
        &mut self,
        sink: &mut SplitSink<WebSocket, Message>,
        stream: &mut SplitStream<WebSocket>,
        said: &mut mpsc::Receiver<Said>,
    ) -> Option<Close> {
        let stopping = self.state.stopping.clone();
        // Once a connection and not once a message: all that wait for it share a lock.
        let stopped = stopping.cancelled();
        tokio::pin!(stopped);
        let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
        let mut rights_end = std::future::pending().boxed();
        let init_deadline = tokio::time::sleep(INIT_TIMEOUT);
        tokio::pin!(init_deadline);
        let mut unanswered = 0;
        let mut together = Vec::new();
        loop {
            tokio::select! {
                () = &mut stopped => return Some(Close(1001, "the server is stopping".into())),
                () = &mut init_deadline, if !self.initialised => return Some(Close(4408, "Connection initialisation timeout".into())),
                message = stream.next() => {
                    unanswered = 0;
                    match message {
                        // The library answers it by itself, and keeps what is not taken.
                        Some(Ok(Message::Ping(_))) => sent(sink.flush()).await?,
                        Some(Ok(message)) => {
                            let known = self.viewer.is_some();
                            match self.receive(message).await {
                                ControlFlow::Continue(Some(text)) => send(sink, text).await?,
                                ControlFlow::Continue(None) => {}
                                ControlFlow::Break(close) => return close,
                            }
                            if let Some(viewer) = self.viewer.clone().filter(|_| !known) {
                                rights_end = viewer::rights_end(self.state.clone(), viewer).boxed();
                            }
                        }
                        Some(Err(error)) => {
                            tracing::debug!(%error, "a WebSocket broke");
                            return Some(Close(1009, "a message is too big, or no WebSocket message".into()));
                        }
                        None => return None,
                    }
                }
                1.. = said.recv_many(&mut together, TOGETHER) => {
                    together.retain(|said| self.operations.hear(said));
                    let many = together.len();
                    for (n, said) in together.drain(..).enumerate() {
                        put(sink, spell(said), n + 1 == many).await?;
                    }
                }
                () = &mut rights_end => {
                    return Some(Close(4403, "Forbidden: the session has ended, or its rights have changed: connect again".into()));
                }
                _ = ping.tick() => {
                    unanswered += 1;
                    if unanswered > 3 {
                        return Some(Close(4408, "no answer to pings".into()));
                    }
                    send(sink, json!({ "type": "ping" }).to_string()).await?;
                }
            }
        }
    }

    async fn receive(&mut self, message: Message) -> ControlFlow<Option<Close>, Option<String>> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return ControlFlow::Break(None),
            Message::Ping(_) | Message::Pong(_) => return ControlFlow::Continue(None),
            Message::Binary(_) => {
                return ControlFlow::Break(Some(Close(4400, "Invalid message: expected text".into())));
            }
        };
        let incoming = match serde_json::from_str(&text) {
            Ok(incoming) => incoming,
            Err(error) => return ControlFlow::Break(Some(Close(4400, format!("Invalid message: {error}")))),
        };
        match incoming {
            Incoming::ConnectionInit { payload } => self.initialise(payload).await,
            Incoming::Subscribe { id, payload } => self.subscribe(id, Request::from(*payload)),
            Incoming::Complete { id } => {
                self.operations.stop(&id);
                ControlFlow::Continue(None)
            }
            Incoming::Ping { payload } => {
                let pong = payload
                    .map_or_else(|| json!({ "type": "pong" }), |payload| json!({ "type": "pong", "payload": payload }));
                ControlFlow::Continue(Some(pong.to_string()))
            }
            Incoming::Pong {} => ControlFlow::Continue(None),
        }
    }

    /// Who asks: a token in the payload (`authorization` or `token`), else the upgrade's headers.
    async fn initialise(&mut self, payload: Option<serde_json::Value>) -> ControlFlow<Option<Close>, Option<String>> {
        if self.initialised {
            return ControlFlow::Break(Some(Close(4429, "Too many initialisation requests".into())));
        }
        self.initialised = true;
        let now = Utc::now();
        let text = |name: &str| payload.as_ref()?.get(name)?.as_str().map(str::to_owned);
        let header = text("authorization")
            .or_else(|| text("Authorization"))
            .or_else(|| text("token").map(|token| format!("Bearer {token}")));
        let found = match header {
            Some(header) => viewer::of_authorization(&self.state, &header, now).await,
            None => viewer::of_headers(&self.state, &self.headers, now).await,
        };
        match found {
            Ok(viewer) => {
                self.viewer = Some(viewer);
                ControlFlow::Continue(Some(json!({ "type": "connection_ack" }).to_string()))
            }
            Err(error) if error.code == Code::Unauthenticated => {
                ControlFlow::Break(Some(Close(4403, format!("Forbidden: {}", error.message))))
            }
            Err(error) => ControlFlow::Break(Some(Close(4500, error.message))),
        }
    }

    fn subscribe(&mut self, id: String, request: Request) -> ControlFlow<Option<Close>, Option<String>> {
        let Some(viewer) = self.viewer.clone() else {
            return ControlFlow::Break(Some(Close(
                4401,
                "Unauthorized: send connection_init and wait for connection_ack".into(),
            )));
        };
        let (request_id, address) = (self.request_id.as_str().to_owned(), self.address);
        let asking = Asking { viewer, now: Utc::now(), resume: None, request_id, address };
        match self.operations.begin(&self.state, asking, self.address, request, id.clone()) {
            Ok(()) => ControlFlow::Continue(None),
            Err(NotBegun::InUse) => {
                ControlFlow::Break(Some(Close(4409, format!("Subscriber for {id} already exists"))))
            }
            Err(NotBegun::TooMany(error)) => ControlFlow::Continue(Some(
                json!({ "type": "error", "id": id, "payload": [error.to_json(self.request_id.as_str())] }).to_string(),
            )),
        }
    }
}

/// A message in the protocol's words. The payload is JSON already.
fn spell(said: Said) -> String {
    let id = serde_json::Value::from(said.id);
    match said.what {
        What::Next(payload, _) => format!(r#"{{"type":"next","id":{id},"payload":{payload}}}"#),
        What::Refused(payload) => format!(r#"{{"type":"error","id":{id},"payload":{payload}}}"#),
        What::Complete => format!(r#"{{"type":"complete","id":{id}}}"#),
    }
}

/// `None` when the client does not take it: then it is gone, or too slow to be served.
async fn send(sink: &mut SplitSink<WebSocket, Message>, text: String) -> Option<()> {
    put(sink, text, true).await
}

/// The same; a message that is not the last one may wait for the one behind it.
async fn put(sink: &mut SplitSink<WebSocket, Message>, text: String, is_last: bool) -> Option<()> {
    let message = Message::Text(text.into());
    sent(async { if is_last { sink.send(message).await } else { sink.feed(message).await } }).await
}

async fn sent(sending: impl Future<Output = Result<(), axum::Error>>) -> Option<()> {
    tokio::time::timeout(SEND_TIMEOUT, sending).await.ok()?.ok()
}
