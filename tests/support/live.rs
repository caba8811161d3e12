//! Clients of subscriptions: `graphql-transport-ws` and SSE.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, http::HeaderValue};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::TestApp;

/// Longest that anything may take to arrive; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What arrives within [`PATIENCE`], however many pings and comments come before it.
async fn in_time<T>(arriving: impl Future<Output = T>, what: &str) -> T {
    let arrived = tokio::time::timeout(PATIENCE, arriving).await;
    arrived.unwrap_or_else(|_| panic!("{what} should have come within {PATIENCE:?}"))
}

/// A WebSocket that speaks GraphQL.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens a connection without saying anything.
    pub async fn open(app: &TestApp) -> Self {
        let mut request =
            format!("{}/graphql", app.base.replace("http://", "ws://")).into_client_request().expect("an address");
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
        let (stream, _) = tokio_tungstenite::connect_async(request).await.expect("the server accepts the upgrade");
        Self(stream)
    }

    /// Opens a connection and initialises it.
    pub async fn connect(app: &TestApp, token: Option<&str>) -> Self {
        let mut socket = Self::open(app).await;
        let payload = token.map_or_else(|| json!({}), |token| json!({ "authorization": format!("Bearer {token}") }));
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.receive().await, json!({ "type": "connection_ack" }));
        socket
    }

    pub async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("the server takes the message");
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.0.send(message).await.expect("the server takes the message");
    }

    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        self.send(json!({ "type": "subscribe", "id": id, "payload": { "query": query, "variables": variables } }))
            .await;
    }

    /// The next message that is no ping.
    pub async fn receive(&mut self) -> Value {
        let receiving = async {
            loop {
                match self.next().await {
                    Ok(message) if message["type"] == "ping" => self.send(json!({ "type": "pong" })).await,
                    Ok(message) => return message,
                    Err(close) => panic!("the server closed: {close:?}"),
                }
            }
        };
        in_time(receiving, "a message").await
    }

    /// The data of the next event of a subscription.
    pub async fn event(&mut self) -> Value {
        let mut message = self.receive().await;
        assert_eq!(message["type"], "next", "expected an event: {message:#}");
        super::data(message["payload"].take())
    }

    /// How the server closes.
    pub async fn closed(mut self) -> Option<CloseFrame> {
        let closing = async {
            loop {
                if let Err(close) = self.next().await {
                    return close;
                }
            }
        };
        in_time(closing, "the close").await
    }

    async fn next(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("a JSON message")),
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }
}

/// One event of an SSE stream.
#[derive(Clone, Debug, PartialEq)]
pub struct SseEvent {
    pub id: Option<String>,
    pub event: String,
    pub data: Value,
}

/// An SSE stream of one operation.
pub struct Sse {
    response: reqwest::Response,
    buffer: String,
}

impl Sse {
    pub async fn open(
        app: &TestApp,
        token: Option<&str>,
        last_event_id: Option<&str>,
        query: &str,
        variables: Value,
    ) -> Self {
        let mut request = app
            .http
            .post(format!("{}/graphql/stream", app.base))
            .header("accept", "text/event-stream")
            .json(&json!({ "query": query, "variables": variables }));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status(), 200, "expected a stream");
        Self::of(response)
    }

    /// The stream that an answer is.
    pub fn of(response: reqwest::Response) -> Self {
        Self { response, buffer: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<SseEvent> {
        in_time(self.read(), "an event").await
    }

    async fn read(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(at) = self.buffer.find("\n\n") {
                let block: String = self.buffer.drain(..at + 2).collect();
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
                continue;
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.buffer.push_str(std::str::from_utf8(&bytes).expect("UTF-8")),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

/// `None` for a block of comments.
fn parse(block: &str) -> Option<SseEvent> {
    let (mut id, mut event, mut data) = (None, None, String::new());
    for line in block.lines() {
        match line.split_once(':') {
            Some(("id", value)) => id = Some(value.trim().to_owned()),
            Some(("event", value)) => event = Some(value.trim().to_owned()),
            Some(("data", value)) => data.push_str(value.trim_start()),
            _ => {}
        }
    }
    let data = if data.is_empty() { Value::Null } else { serde_json::from_str(&data).expect("JSON data") };
    Some(SseEvent { id, event: event?, data })
}
