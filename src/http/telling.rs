//! Telling an answer of the site as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::Instrument;

use super::HttpState;
use super::viewer;
use crate::auth::Viewer;
use crate::error::ApiError;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events that a client may be behind before the model waits.
const AHEAD: usize = 64;

/// The data of each event, until their end, or until the viewer's rights end or the server can wait no
/// longer: then what `ended` makes of the reason. `permit` is held until then.
pub fn respond(
    state: Arc<HttpState>,
    viewer: Viewer,
    told: impl Stream<Item = String> + Send + 'static,
    ended: fn(&ApiError) -> Vec<String>,
    permit: OwnedSemaphorePermit,
) -> Response {
    let (sender, mut heard) = mpsc::channel(AHEAD);
    let telling = async move {
        // Whatever comes first, `told` is dropped then, and the model stops.
        tokio::select! {
            () = tell(told, &sender) => {}
            () = sender.closed() => {}
            end = viewer::answer_ends(state, viewer) => {
                // Who does not make room at once hears the end of the connection.
                ended(&end).into_iter().for_each(|last| drop(sender.try_send(last)));
            }
        }
        drop(permit);
    };
    tokio::spawn(telling.in_current_span());
    let events = stream::poll_fn(move |context| heard.poll_recv(context));
    let events = events.map(|data: String| Ok::<_, Infallible>(Event::default().data(data)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// All of it. A client that has gone is found out about elsewhere.
async fn tell(told: impl Stream<Item = String>, sender: &mpsc::Sender<String>) {
    let mut told = std::pin::pin!(told);
    while let Some(next) = told.next().await {
        let _ = sender.send(next).await;
    }
}
