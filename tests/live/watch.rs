//! A subscription, over whichever transport.

use inkstone::events::Cursor;
use inkstone::store;
use inkstone::store::events::LogPosition;
use serde_json::{Value, json};

use crate::support::live::{Socket, Sse};
use crate::support::{TestApp, data, on_real_servers};

/// A subscription that is alone on its connection.
pub enum Watch {
    Socket(Box<Socket>),
    Sse(Box<Sse>),
}

impl Watch {
    /// The same subscription over each transport.
    pub async fn both(app: &TestApp, token: Option<&str>, query: &str, variables: Value) -> [Self; 2] {
        [Self::socket(app, token, query, variables.clone()).await, Self::sse(app, token, query, variables).await]
    }

    pub async fn socket(app: &TestApp, token: Option<&str>, query: &str, variables: Value) -> Self {
        let mut socket = Socket::connect(app, token).await;
        socket.subscribe("watch", query, variables).await;
        Self::Socket(Box::new(socket))
    }

    pub async fn sse(app: &TestApp, token: Option<&str>, query: &str, variables: Value) -> Self {
        Self::Sse(Box::new(Sse::open(app, token, None, query, variables).await))
    }

    pub fn transport(&self) -> &'static str {
        match self {
            Self::Socket(_) => "WebSocket",
            Self::Sse(_) => "SSE",
        }
    }

    /// The data of the next event.
    pub async fn event(&mut self) -> Value {
        match self {
            Self::Socket(socket) => socket.event().await,
            Self::Sse(sse) => {
                let event = sse.next().await.expect("the stream should go on");
                assert_eq!(event.event, "next", "expected an event: {event:?}");
                let data = data(event.data);
                let cursor = data.as_object().and_then(|fields| fields.values().next()?["cursor"].as_str());
                assert!(
                    cursor.is_none() || event.id.as_deref() == cursor,
                    "the SSE id is the cursor: {event_id:?}",
                    event_id = event.id
                );
                data
            }
        }
    }

    /// The errors with which a subscription is refused, shaped like a response.
    pub async fn refusal(&mut self) -> Value {
        match self {
            Self::Socket(socket) => {
                let mut message = socket.receive().await;
                assert_eq!(message["type"], "error", "expected a refusal: {message:#}");
                json!({ "errors": message["payload"].take() })
            }
            Self::Sse(sse) => sse.next().await.expect("an answer").data,
        }
    }
}

/// The end of the log now: what has been committed lies before it.
pub async fn end(app: &TestApp) -> LogPosition {
    let mut conn = app.services.db.conn().await.expect("a connection");
    // A snapshot's xmin is of all databases of a server, and other tests write in theirs.
    let end = if on_real_servers() {
        store::events::tail(&mut conn, LogPosition::default()).await.map(|tail| tail.settled)
    } else {
        store::events::settled_end(&mut conn).await
    };
    end.expect("the end of the log")
}

/// The cursor of the end. A subscription from here on gets everything that happens later, also
/// what happens before it stands.
pub async fn now(app: &TestApp) -> String {
    Cursor::at(end(app).await).encode()
}

/// Waits until somebody listens to `subjects` subjects: then the subscriptions that bring no
/// cursor stand as well.
pub async fn standing(app: &TestApp, subjects: usize) {
    let waiting = async {
        while app.services.events.channels() < subjects {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::live::PATIENCE, waiting).await.expect("the subscription should stand by now");
}
