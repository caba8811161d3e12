//! Reading the body of a request: at most so large, within so long, and all that arrive together in
//! a bounded room.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use crate::error::{ApiError, Code};

/// Bodies of the largest size that are held at the same time. Without a bound, slow clients could
/// keep as many as there are connections.
const LARGEST_AT_ONCE: usize = 128;
/// In which steps room is taken. The first is free: most bodies are no larger.
const STEP_BYTES: usize = 16 * 1024;
/// What of a body that is too large is still read, so that the client gets to read why it was
/// refused: one that only writes would see a broken connection.
const DISCARD_BYTES: usize = 32 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// Room for the bodies that are being read.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

impl Room {
    /// For some bodies of this size at a time, and for many smaller ones.
    pub fn new(max_body_bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(LARGEST_AT_ONCE * max_body_bytes.div_ceil(STEP_BYTES))))
    }
}

/// A body, and the room that it takes until it is dropped.
#[derive(Default)]
pub struct Held {
    bytes: Vec<u8>,
    steps: usize,
    room: Option<OwnedSemaphorePermit>,
}

impl Held {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// False if there is no room for more.
    fn append(&mut self, part: &Bytes, room: &Room) -> bool {
        let steps = (self.bytes.len() + part.len()) / STEP_BYTES;
        if steps > self.steps {
            let more = u32::try_from(steps - self.steps).unwrap_or(u32::MAX);
            let Ok(taken) = room.0.clone().try_acquire_many_owned(more) else { return false };
            match &mut self.room {
                Some(room) => room.merge(taken),
                None => self.room = Some(taken),
            }
            self.steps = steps;
        }
        self.bytes.extend_from_slice(part);
        true
    }
}

/// Why a body was not read to its end.
enum Stopped {
    TooLarge,
    NoRoom,
    Broken(axum::Error),
}

/// The whole body.
///
/// Errors: it is too large or too slow, breaks off, or there is no room for it at the moment.
pub async fn read(limits: &Limits, body: Body) -> Result<Held, (StatusCode, ApiError)> {
    let refuse = |status, message: String| Err((status, ApiError::bad_input(message)));
    let most = limits.max_body_bytes;
    match tokio::time::timeout(limits.body_timeout, collect(body, most, &limits.body_room)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(Stopped::TooLarge)) => {
            refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {most} bytes: send less at once"))
        }
        Ok(Err(Stopped::NoRoom)) => {
            let message = "too many large bodies arrive at the moment: send less, or try again later";
            Err((StatusCode::SERVICE_UNAVAILABLE, ApiError::new(Code::Overloaded, message)))
        }
        Ok(Err(Stopped::Broken(error))) => {
            tracing::debug!(%error, "a body broke off");
            refuse(StatusCode::BAD_REQUEST, "the body did not arrive whole: send it again".into())
        }
        Err(_) => {
            let wait = limits.body_timeout.as_millis();
            refuse(StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {wait} ms: send it again"))
        }
    }
}

async fn collect(body: Body, most: usize, room: &Room) -> Result<Held, Stopped> {
    let mut parts = body.into_data_stream();
    let mut whole = Held::default();
    while let Some(part) = parts.next().await {
        let part = part.map_err(Stopped::Broken)?;
        if whole.bytes.len() + part.len() > most {
            let mut discarded = part.len();
            drop(whole);
            let discarding = async {
                while let Some(Ok(part)) = parts.next().await {
                    discarded += part.len();
                    if discarded > DISCARD_BYTES {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(DISCARD_TIME, discarding).await;
            return Err(Stopped::TooLarge);
        }
        if !whole.append(&part, room) {
            return Err(Stopped::NoRoom);
        }
    }
    Ok(whole)
}
