//! The tailer: reads the log in order and tells everybody in this process.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::store::DbError;
use crate::store::events::{self, EventFilter, EventRow};
use crate::telemetry::metrics;

/// Told of every event before the subscribers are; the cache drops what the event made stale.
pub type Observer = Box<dyn for<'a> Fn(&'a EventRow) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> + Send + Sync>;

const BATCH: i64 = 500;
/// The safety net under the wake-up calls.
const POLL: Duration = Duration::from_secs(1);
/// The first pause when a wake-up found nothing yet, because an older transaction still runs.
const FIRST_RETRY: Duration = Duration::from_millis(1);
/// Between two looks at the log, and between two wake-up calls. What is committed within it is read
/// together, which keeps a busy server from reading the log for each transaction.
const PAUSE: Duration = Duration::from_millis(10);
const RECONNECT: Duration = Duration::from_secs(1);
/// Events that wait longer than this are worth a line in the log.
const TOO_LATE: Duration = Duration::from_secs(10);

pub(super) async fn run(inner: Arc<Inner>, observers: Vec<Observer>, stop: CancellationToken) {
    let woken = inner.db.committed();
    let listening = listen(&inner, &woken);
    let tailing = tail(&inner, &observers, &woken);
    tokio::select! {
        () = stop.cancelled() => {}
        () = listening => {}
        () = announcing(&inner) => {}
        () = tailing => {}
    }
    inner.bus.close().await;
}

async fn listen(inner: &Inner, woken: &Notify) {
    loop {
        inner.bus.listen(&inner.db, &inner.process, || woken.notify_one()).await;
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Wakes the others once for all that was committed meanwhile: a notification in each transaction
/// would have them all wait for one another at their commit.
async fn announcing(inner: &Inner) {
    loop {
        inner.announced.notified().await;
        inner.bus.wake_others(&inner.db, &inner.process).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn tail(inner: &Inner, observers: &[Observer], woken: &Notify) {
    let mut retry = POLL;
    let mut away = false;
    let mut lag = Lag::default();
    loop {
        let begun = Instant::now();
        match drain(inner, observers, &mut lag).await {
            Ok(0) => {}
            Ok(_) => retry = POLL,
            Err(error) if away => tracing::debug!(%error, "the event log still cannot be read"),
            Err(error) => tracing::warn!(%error, "the event log cannot be read; trying again every second"),
        }
        away = inner.db.pool_state().connections == 0;
        tokio::select! {
            () = woken.notified() => {
                retry = FIRST_RETRY;
                tokio::time::sleep_until(begun + PAUSE).await;
            }
            () = tokio::time::sleep(retry) => retry = (retry * 2).min(POLL),
        }
        if retry == POLL {
            inner.hub.sweep();
        }
    }
}

/// Tells everything that is settled and has not been told; returns how many events that were.
async fn drain(inner: &Inner, observers: &[Observer], lag: &mut Lag) -> Result<usize, DbError> {
    let mut count = 0;
    let mut settled = *inner.told.borrow();
    loop {
        let after = *inner.told.borrow();
        let batch = {
            let mut conn = inner.db.conn().await?;
            let batch = events::read(&mut conn, after, settled, &EventFilter::default(), BATCH).await?;
            // Another database's transactions may hold a snapshot's xmin back; they need not hold
            // this log. The embedded database has no others.
            if batch.end == after && settled <= after && !inner.db.backend().is_embedded() {
                let tail = events::tail(&mut conn, after).await?;
                lag.waiting(tail.waiting_since);
                if tail.waiting_since.is_some() && tail.settled > after {
                    settled = tail.settled;
                    continue;
                }
            }
            batch
        };
        count += batch.rows.len();
        for row in batch.rows {
            tell(inner, observers, row).await;
        }
        inner.told.send_replace(batch.end);
        if !batch.full {
            return Ok(count);
        }
    }
}

/// How far the log is behind, while an open transaction holds it back.
#[derive(Default)]
struct Lag {
    warned: bool,
}

impl Lag {
    fn waiting(&mut self, since: Option<chrono::DateTime<Utc>>) {
        let lag = since.map_or(Duration::ZERO, |since| (Utc::now() - since).to_std().unwrap_or_default());
        metrics::event_log_lag(lag);
        if lag < TOO_LATE {
            self.warned = false;
        } else if !self.warned {
            self.warned = true;
            tracing::warn!(
                seconds = lag.as_secs(),
                "events wait for a transaction that writes and stays open: see pg_stat_activity.backend_xid"
            );
        }
    }
}

async fn tell(inner: &Inner, observers: &[Observer], row: EventRow) {
    let lag = (Utc::now() - row.at).to_std().unwrap_or_default();
    metrics::event_log_lag(lag);
    metrics::events_delivered(1);
    for observer in observers {
        observer(&row).await;
    }
    let position = row.position;
    inner.hub.tell(&Arc::new(row));
    inner.told.send_replace(position);
}
