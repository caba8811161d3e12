//! What a job's handler and its worker tell one another.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use crate::events::{EventKind, EventRow};
use crate::store::jobs::JobState;

/// How a handler ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It cannot be done now, for nobody's fault: ask again then. It does not count as an attempt.
    Later(DateTime<Utc>),
}

/// How far a handler is, of how much. Telling it is cheap: the worker writes the last number down a
/// few times a second.
#[derive(Clone, Debug)]
pub struct Progress(watch::Sender<Option<(i64, i64)>>);

impl Default for Progress {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Progress {
    /// So much is `done` of `total`.
    pub fn set(&self, done: u64, total: u64) {
        let number = |n| i64::try_from(n).unwrap_or(i64::MAX);
        self.0.send_replace(Some((number(done), number(total))));
    }

    /// The last that was told.
    pub fn reached(&self) -> Option<(i64, i64)> {
        *self.0.borrow()
    }

    /// For the worker, to hear of each change.
    pub fn watch(&self) -> watch::Receiver<Option<(i64, i64)>> {
        self.0.subscribe()
    }
}

/// Rings in this process when a job is asked for or taken back, in whichever process that was.
#[derive(Clone)]
pub struct Bell(Arc<Inner>);

struct Inner {
    asked: Notify,
    /// Jobs whose claims have ended, unless they were not claimed.
    taken_back: broadcast::Sender<Uuid>,
}

impl Default for Bell {
    fn default() -> Self {
        Self(Arc::new(Inner { asked: Notify::new(), taken_back: broadcast::Sender::new(64) }))
    }
}

impl Bell {
    /// To be called with each event of the log.
    pub fn hear(&self, event: &EventRow) {
        if event.kind != EventKind::JobChanged {
            return;
        }
        let state = event.payload["state"].as_str().and_then(|state| state.parse().ok());
        if state == Some(JobState::Queued) {
            self.0.asked.notify_one();
        }
        if matches!(state, Some(JobState::Queued | JobState::Cancelled)) {
            // Where nothing runs, nobody listens.
            let _ = self.0.taken_back.send(event.subject);
        }
    }

    /// Returns when a job was asked for since the last time. For one worker.
    pub async fn asked(&self) {
        self.0.asked.notified().await;
    }

    /// Hears of one job from now on.
    pub fn watch(&self, id: Uuid) -> TakenBack {
        TakenBack { id, heard: self.0.taken_back.subscribe() }
    }
}

/// Hears when a job may have been taken back.
pub struct TakenBack {
    id: Uuid,
    heard: broadcast::Receiver<Uuid>,
}

impl TakenBack {
    /// Returns when the claim should be looked at.
    pub async fn perhaps(&mut self) {
        loop {
            match self.heard.recv().await {
                Ok(id) if id != self.id => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
