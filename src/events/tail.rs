//! The tailer: reads the log in order and tells everybody in this process.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::Notify;
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
const RECONNECT: Duration = Duration::from_secs(1);

pub(super) async fn run(inner: Arc<Inner>, observers: Vec<Observer>, stop: CancellationToken) {
    let woken = inner.db.committed();
    let listening = listen(&inner, &woken);
    let tailing = tail(&inner, &observers, &woken);
    tokio::select! {
        () = stop.cancelled() => {}
        () = listening => {}
        () = tailing => {}
    }
    inner.bus.close().await;
}

async fn listen(inner: &Inner, woken: &Notify) {
    loop {
        inner.bus.listen(&inner.db, || woken.notify_one()).await;
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn tail(inner: &Inner, observers: &[Observer], woken: &Notify) {
    let mut retry = POLL;
    let mut away = false;
    loop {
        match drain(inner, observers).await {
            Ok(0) => {}
            Ok(_) => retry = POLL,
            Err(error) if away => tracing::debug!(%error, "the event log still cannot be read"),
            Err(error) => tracing::warn!(%error, "the event log cannot be read; trying again every second"),
        }
        away = inner.db.pool_state().connections == 0;
        tokio::select! {
            () = woken.notified() => retry = FIRST_RETRY,
            () = tokio::time::sleep(retry) => retry = (retry * 2).min(POLL),
        }
        if retry == POLL {
            inner.hub.sweep();
        }
    }
}

/// Tells everything that is settled and has not been told; returns how many events that were.
async fn drain(inner: &Inner, observers: &[Observer]) -> Result<usize, DbError> {
    let mut count = 0;
    loop {
        let after = *inner.told.borrow();
        let rows = {
            let mut conn = inner.db.conn().await?;
            events::read(&mut conn, after, &EventFilter::default(), BATCH).await?
        };
        let full = rows.len() as i64 == BATCH;
        count += rows.len();
        for row in rows {
            tell(inner, observers, row).await;
        }
        if !full {
            return Ok(count);
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
