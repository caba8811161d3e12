//! Telling a text while it is written, as server-sent events.
//!
//! A task of its own reads the model: it notices that the client has gone, the rights have ended or the
//! server stops, whatever it waits for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::HttpState;
use super::places::Place;
use super::viewer;
use crate::auth::Viewer;
use crate::error::ApiError;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events that a client may be behind before the model waits.
const AHEAD: usize = 64;
/// How long a client that is behind may take to make room for the word that it was the end.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Where events are told. Whether anybody hears them is [`respond`]'s business.
pub struct Teller(mpsc::Sender<Event>);

impl Teller {
    pub async fn tell(&self, event: Event) {
        let _ = self.0.send(event).await;
    }

    /// Tells each of these data, until their end.
    pub async fn tell_all(self, data: impl Stream<Item = String>) {
        let mut data = std::pin::pin!(data);
        while let Some(next) = data.next().await {
            self.tell(event(next)).await;
        }
    }

    /// The last word; who does not make room for it hears the end of the connection.
    pub async fn end_with(&self, events: impl IntoIterator<Item = Event>) {
        let telling = async {
            for event in events {
                self.tell(event).await;
            }
        };
        let _ = tokio::time::timeout(LAST_WORD, telling).await;
    }
}

/// One of these data, without a name.
pub fn event(data: String) -> Event {
    Event::default().data(data)
}

/// What `tell` tells, until its end, or until the viewer's rights end or the server can wait no longer: then what
/// `ended` makes of the reason. `place` is held until then.
pub fn respond<T>(
    state: Arc<HttpState>,
    viewer: Viewer,
    tell: impl FnOnce(Teller) -> T,
    ended: impl FnOnce(&ApiError) -> Vec<Event> + Send + 'static,
    place: Place,
) -> Response
where
    T: Future<Output = ()> + Send + 'static,
{
    let (sender, mut heard) = mpsc::channel(AHEAD);
    let told = tell(Teller(sender.clone()));
    let telling = async move {
        // Whatever comes first, `told` is dropped then, and the model stops.
        tokio::select! {
            () = told => {}
            () = sender.closed() => {}
            end = viewer::answer_ends(state, viewer) => Teller(sender).end_with(ended(&end)).await,
        }
        drop(place);
    };
    tokio::spawn(telling.in_current_span());
    let events = stream::poll_fn(move |context| heard.poll_recv(context));
    let events = events.map(Ok::<_, Infallible>);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}
