//! What operations asks: is it ready, and how is it doing. Both are free, and cost little however often they are asked.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::HttpState;
use crate::telemetry::metrics;

const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer of the database is one for all who ask.
const FRESH: Duration = Duration::from_millis(250);

/// Whether the database answered, and when. Who asks while somebody else waits for it waits with them.
#[derive(Default)]
pub struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    async fn learn(&self, ping: impl AsyncFnOnce() -> bool) -> bool {
        let mut last = self.0.lock().await;
        match *last {
            Some((at, answers)) if at.elapsed() < FRESH => answers,
            _ => {
                let answers = ping().await;
                *last = Some((Instant::now(), answers));
                answers
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
    match state.readiness.learn(ping).await {
        true => "ready".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer").into_response(),
    }
}

/// All metrics in the Prometheus text format.
pub async fn metrics(State(state): State<Arc<HttpState>>) -> Response {
    let pool = state.services.db.pool_state();
    metrics::db_connections(pool.connections - pool.idle, pool.idle);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], state.telemetry.render()).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_ask_the_database_once() {
        let (readiness, asked) = (Readiness::default(), AtomicU32::new(0));
        let ping = async |answers: bool| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            asked.fetch_add(1, Ordering::Relaxed);
            answers
        };
        let each = (0..100).map(|_| readiness.learn(async || ping(true).await));
        assert!(futures_util::future::join_all(each).await.into_iter().all(|answers| answers));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(FRESH).await;
        assert!(!readiness.learn(async || ping(false).await).await, "what was so a while ago is asked again");
        assert!(!readiness.learn(async || ping(true).await).await, "nor is a failure asked about each time");
    }
}
