//! Fan-out within the process: a bounded channel per subject that somebody listens to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::store::events::EventRow;

/// Events a subscriber may be behind before it has to read the log again.
const CAPACITY: usize = 256;

/// Channels by subject; `None` carries everything.
#[derive(Default)]
pub(super) struct Hub(Mutex<HashMap<Option<Uuid>, broadcast::Sender<Arc<EventRow>>>>);

impl Hub {
    pub fn listen(&self, subject: Option<Uuid>) -> broadcast::Receiver<Arc<EventRow>> {
        self.lock().entry(subject).or_insert_with(|| broadcast::channel(CAPACITY).0).subscribe()
    }

    /// Sends to whoever listens, and drops channels that nobody listens to any more.
    pub fn tell(&self, event: &Arc<EventRow>) {
        let mut channels = self.lock();
        for subject in [None, Some(event.subject)] {
            if channels.get(&subject).is_some_and(|channel| channel.send(event.clone()).is_err()) {
                channels.remove(&subject);
            }
        }
    }

    /// Drops the channels that nobody listens to.
    pub fn sweep(&self) {
        self.lock().retain(|_, channel| channel.receiver_count() > 0);
    }

    pub fn channels(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<Uuid>, broadcast::Sender<Arc<EventRow>>>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
