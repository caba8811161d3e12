//! One subscriber's view of the log: what it missed out of the database, then what happens.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, stream};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{Cursor, Inner};
use crate::store::DbError;
use crate::store::events::{self, EventFilter, EventRow, LogPosition};

/// Events in order. Ends with an error when the log cannot be read.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Arc<EventRow>, DbError>> + Send>>;

/// A subscription that could not begin.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    #[error("the log no longer reaches back to this cursor: read the current state and subscribe without `after`")]
    TooOld,
    #[error("the log could not be read")]
    Db(#[from] DbError),
}

const BATCH: i64 = 200;

struct State {
    inner: Arc<Inner>,
    filter: EventFilter,
    live: Receiver<Arc<EventRow>>,
    last: LogPosition,
    /// Read from the database and not handed out yet.
    ready: VecDeque<EventRow>,
    /// True while there may be more in the database than `ready` holds.
    behind: bool,
}

pub(super) async fn subscribe(
    inner: Arc<Inner>,
    filter: EventFilter,
    after: Option<Cursor>,
) -> Result<EventStream, SubscribeError> {
    // Listening begins before the log is read: what happens in between comes twice, not never,
    // and the second time is recognised by its position.
    let live = inner.hub.listen(filter.subject);
    let last = match after {
        None => *inner.told.borrow(),
        Some(Cursor(position)) => {
            let mut conn = inner.db.conn().await?;
            if !events::reaches_back_to(&mut conn, position).await? {
                return Err(SubscribeError::TooOld);
            }
            position
        }
    };
    let state = State { inner, filter, live, last, ready: VecDeque::new(), behind: after.is_some() };
    Ok(Box::pin(stream::try_unfold(
        state,
        |mut state| async move { Ok(state.next().await?.map(|event| (event, state))) },
    )))
}

impl State {
    async fn next(&mut self) -> Result<Option<Arc<EventRow>>, DbError> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                self.last = row.position;
                return Ok(Some(Arc::new(row)));
            }
            if self.behind {
                self.catch_up().await?;
                continue;
            }
            match self.live.recv().await {
                Ok(event) if event.position > self.last && self.wants(&event) => {
                    self.last = event.position;
                    return Ok(Some(event));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), DbError> {
        let mut conn = self.inner.db.conn().await?;
        // What was told to others was settled. Taken before the read: what is told from then on
        // comes through `live`.
        let told = *self.inner.told.borrow();
        let batch = events::read(&mut conn, self.last, told, &self.filter, BATCH).await?;
        self.behind = batch.full;
        self.last = self.last.max(if batch.rows.is_empty() { batch.end } else { self.last });
        self.ready = batch.rows.into();
        Ok(())
    }

    fn wants(&self, event: &EventRow) -> bool {
        self.filter.kinds.is_empty() || self.filter.kinds.contains(&event.kind)
    }
}
