//! What operations asks: is it ready, and how is it doing. Both are free, and cost little however often they are asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;

use super::HttpState;
use crate::telemetry::metrics;

/// The Prometheus text format.
pub const METRICS: &str = "text/plain; version=0.0.4";
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer is one for all who ask.
const FRESH: Duration = Duration::from_millis(250);

/// What was told last. Who asks while somebody else waits for it waits with them.
pub struct Lately<T>(Mutex<Option<(Instant, T)>>);

impl<T> Default for Lately<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// What operations was told last.
#[derive(Default)]
pub struct Told {
    readiness: Lately<bool>,
    metrics: Lately<Bytes>,
}

impl<T: Clone> Lately<T> {
    async fn learn(&self, ask: impl AsyncFnOnce() -> T) -> T {
        let mut last = self.0.lock().await;
        match &*last {
            Some((at, told)) if at.elapsed() < FRESH => told.clone(),
            _ => {
                let told = ask().await;
                *last = Some((Instant::now(), told.clone()));
                told
            }
        }
    }
}

/// 200 when requests can be answered; 503 with the reason when they cannot.
pub async fn ready(State(state): State<Arc<HttpState>>) -> Response {
    if state.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response();
    }
    let ping = async || {
        let answer = state.services.db.ping(PATIENCE).await;
        answer.inspect_err(|error| tracing::warn!(%error, "not ready")).is_ok()
    };
    match state.told.readiness.learn(ping).await {
        true => "ready".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer").into_response(),
    }
}

/// All metrics in the Prometheus text format.
pub async fn metrics(State(state): State<Arc<HttpState>>) -> Response {
    let render = async || {
        let pool = state.services.db.pool_state();
        metrics::db_connections(pool.connections - pool.idle, pool.idle);
        state.telemetry.render().into()
    };
    ([(CONTENT_TYPE, METRICS)], state.told.metrics.learn(render).await).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_who_ask_at_once_are_told_the_same() {
        let (lately, asked) = (Lately::default(), AtomicU32::new(0));
        let ask = async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            asked.fetch_add(1, Ordering::Relaxed)
        };
        let told = futures_util::future::join_all((0..100).map(|_| lately.learn(ask))).await;
        assert_eq!((told, asked.load(Ordering::Relaxed)), (vec![0; 100], 1));
        tokio::time::sleep(FRESH).await;
        assert_eq!(lately.learn(ask).await, 1, "what was so a while ago is asked again");
    }
}
