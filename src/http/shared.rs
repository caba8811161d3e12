//! Subscriptions that many have in common.
//!
//! Whoever has not signed in sees what all others see who have not. So one subscription of theirs
//! runs for all who ask for the same: an event is read, checked, resolved and written once, however
//! many hear of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::{Request, Variables};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::broadcast::{self, error::RecvError};

use super::HttpState;
use super::execute::{self, Admission, Asking, Told};
use crate::events::Cursor;

/// Events that one who hears them may be behind. Whoever is further behind goes on alone.
const BEHIND: usize = 64;

/// What makes two subscriptions the same: document, operation and variables.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    document: String,
    operation: Option<String>,
    variables: String,
}

/// The subscriptions that run for several.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<HashMap<Key, broadcast::Sender<Told>>>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, broadcast::Sender<Told>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears the subscription of this key; `begin` starts it if nobody has.
    fn join(&self, key: Key, begin: impl FnOnce() -> BoxStream<'static, Told>) -> broadcast::Receiver<Told> {
        let mut running = self.lock();
        if let Some(sender) = running.get(&key) {
            return sender.subscribe();
        }
        let (sender, heard) = broadcast::channel(BEHIND);
        running.insert(key.clone(), sender.clone());
        tokio::spawn(self.clone().run(key, sender, begin()));
        heard
    }

    /// Tells everybody, until it ends or nobody is left.
    async fn run(self, key: Key, sender: broadcast::Sender<Told>, mut told: BoxStream<'static, Told>) {
        loop {
            tokio::select! {
                next = told.next() => match next {
                    // Who has gone meanwhile is not told, which is no error.
                    Some(told) => drop(sender.send(told)),
                    None => break,
                },
                () = sender.closed() => {
                    let mut running = self.lock();
                    // Somebody may have come before the lock.
                    if sender.receiver_count() == 0 {
                        running.remove(&key);
                        return;
                    }
                }
            }
        }
        self.lock().remove(&key);
    }
}

/// Whether all who ask for it would hear the same: who has not signed in, and begins now.
pub fn is_for_all(asking: &Asking, admission: &Admission) -> bool {
    asking.viewer.user().is_none() && asking.resume.is_none() && admission.operation.shareable
}

/// What [`execute::alone`] tells, together with all others who ask for the same.
pub fn stream(
    state: Arc<HttpState>,
    asking: Asking,
    request: Request,
    admission: Admission,
) -> BoxStream<'static, Told> {
    let variables = request.variables.clone();
    let key = Key {
        document: request.query.clone(),
        operation: request.operation_name.clone(),
        variables: serde_json::to_string(&variables).unwrap_or_default(),
    };
    let own = Own { state: state.clone(), asking: asking.clone(), key: key.clone(), variables };
    let heard = state.shared.join(key, || execute::alone(state.clone(), asking, request, admission));
    stream::unfold(Hearing::Others { heard, told: false, last: None, own: Box::new(own) }, hear).boxed()
}

/// What it takes to go on alone.
struct Own {
    state: Arc<HttpState>,
    asking: Asking,
    key: Key,
    variables: Variables,
}

impl Own {
    /// From the last event on that was heard; `None` if the operation is not admitted any more.
    fn go_on(self, last: Option<Cursor>) -> Option<BoxStream<'static, Told>> {
        let mut request = Request::new(self.key.document).variables(self.variables);
        request.operation_name = self.key.operation;
        let admission = execute::admit_own(&self.state, &mut request, &self.asking.request_id).ok()?;
        let asking = Asking { resume: last, ..self.asking };
        Some(execute::alone(self.state, asking, request, admission))
    }
}

enum Hearing {
    /// `told` once anything has been heard; `last` is the place of the last event.
    Others {
        heard: broadcast::Receiver<Told>,
        told: bool,
        last: Option<Cursor>,
        own: Box<Own>,
    },
    Alone(BoxStream<'static, Told>),
}

async fn hear(hearing: Hearing) -> Option<(Told, Hearing)> {
    let (mut heard, told, last, own) = match hearing {
        Hearing::Others { heard, told, last, own } => (heard, told, last, own),
        Hearing::Alone(mut told) => return told.next().await.map(|next| (next, Hearing::Alone(told))),
    };
    match heard.recv().await {
        Ok(next) => {
            let last = next.cursor.or(last);
            Some((next, Hearing::Others { heard, told: true, last, own }))
        }
        Err(RecvError::Closed) if told => None,
        // Too far behind; or it ended between its last word and this one's coming, who has to hear
        // from it as well.
        Err(RecvError::Closed | RecvError::Lagged(_)) => {
            let mut told = own.go_on(last)?;
            told.next().await.map(|next| (next, Hearing::Alone(told)))
        }
    }
}
