//! The operations of one connection that carries several: a WebSocket, or an SSE stream in
//! single-connection mode.
//!
//! Each runs in a task of its own and puts what it has to say into the connection's outbox, whose
//! bound holds it back when the client is slow.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::Request;
use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::execute::{self, Asking};
use super::{HttpState, layers::ClientAddress};
use crate::error::{ApiError, Code};
use crate::events::Cursor;

/// Messages on their way to the client.
const OUTBOX: usize = 16;
const MAX_ID_BYTES: usize = 128;

/// What an operation has to say.
pub struct Said {
    /// The client's name for the operation.
    pub id: String,
    /// Which of those that had this name it is.
    number: u64,
    pub what: What,
}

pub enum What {
    /// An answer, in JSON, with the cursor of its event.
    Next(Arc<str>, Option<Cursor>),
    /// It did not begin: the errors, in JSON. Nothing more comes.
    Refused(Arc<str>),
    /// Nothing more comes.
    Complete,
}

/// Why an operation was not begun.
pub enum NotBegun {
    InUse,
    TooMany(ApiError),
}

/// What runs on one connection; what still does ends with it.
pub struct Operations {
    running: HashMap<String, Running>,
    outbox: mpsc::Sender<Said>,
    most: usize,
    begun: u64,
}

struct Running {
    number: u64,
    task: AbortHandle,
}

impl Drop for Operations {
    fn drop(&mut self) {
        for operation in self.running.values() {
            operation.task.abort();
        }
    }
}

impl Operations {
    /// None yet, at most `most` at a time, and where they will speak.
    pub fn new(most: usize) -> (Self, mpsc::Receiver<Said>) {
        let (outbox, said) = mpsc::channel(OUTBOX);
        (Self { running: HashMap::new(), outbox, most, begun: 0 }, said)
    }

    /// Begins an operation under a name that no other has at the moment.
    pub fn begin(
        &mut self,
        state: &Arc<HttpState>,
        asking: Asking,
        address: ClientAddress,
        request: Request,
        id: String,
    ) -> Result<(), NotBegun> {
        if self.running.contains_key(&id) {
            return Err(NotBegun::InUse);
        }
        let most = self.most;
        if self.running.len() >= most || id.len() > MAX_ID_BYTES {
            let message = format!(
                "at most {most} operations at a time on one connection, with ids of at most {MAX_ID_BYTES} bytes"
            );
            return Err(NotBegun::TooMany(ApiError::new(Code::RateLimited, message)));
        }
        self.begun += 1;
        let speaker = Speaker { id: id.clone(), number: self.begun, outbox: self.outbox.clone() };
        let task = tokio::spawn(run(state.clone(), asking, address, request, speaker));
        self.running.insert(id, Running { number: self.begun, task: task.abort_handle() });
        Ok(())
    }

    /// Whether the client is to hear this: not what an operation said that was stopped since, whose name another may
    /// have by now. Forgets an operation that has said its last word.
    pub fn hear(&mut self, said: &Said) -> bool {
        let is_its_own = self.running.get(&said.id).is_some_and(|operation| operation.number == said.number);
        if is_its_own && !matches!(said.what, What::Next(..)) {
            self.running.remove(&said.id);
        }
        is_its_own
    }

    /// Ends an operation, if there is one of this name.
    pub fn stop(&mut self, id: &str) {
        if let Some(operation) = self.running.remove(id) {
            operation.task.abort();
        }
    }
}

/// Where an operation speaks, and as which.
struct Speaker {
    id: String,
    number: u64,
    outbox: mpsc::Sender<Said>,
}

impl Speaker {
    /// False when nobody listens any more.
    async fn say(&self, what: What) -> bool {
        self.outbox.send(Said { id: self.id.clone(), number: self.number, what }).await.is_ok()
    }
}

async fn run(state: Arc<HttpState>, asking: Asking, address: ClientAddress, mut request: Request, speaker: Speaker) {
    let request_id = asking.request_id.clone();
    let admission = match execute::enter(&state, &asking.viewer, address, &mut request, &request_id).await {
        Ok((admission, _)) => admission,
        Err(refused) => {
            speaker.say(What::Refused(json(&refused.errors(&request_id)).into())).await;
            return;
        }
    };
    let mut told = execute::stream(state, asking, request, admission);
    let mut first = true;
    while let Some(told) = told.next().await {
        // An operation that could not begin is told with its errors only, which also ends it.
        if std::mem::take(&mut first)
            && let Some(errors) = told.refused
        {
            speaker.say(What::Refused(errors)).await;
            return;
        }
        if !speaker.say(What::Next(told.answer, told.cursor)).await {
            return;
        }
    }
    speaker.say(What::Complete).await;
}

/// The errors of an answer in JSON.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        ApiError::internal(&error);
        "null".to_owned()
    })
}
