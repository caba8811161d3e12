//! Work in the background, as the owner sees it and as workers do it.
//!
//! The server's own worker rests here (`job_workers = 0`): what does the work is a [`Crew`] of the
//! test's, the same worker with handlers that do as the test says.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeDelta, Utc};
use inkstone::jobs::{Handlers, WorkerSettings, work};
use inkstone::services::jobs::{Outcome, Progress};
use inkstone::services::{ServiceError, Services};
use inkstone::store::jobs::{self, Claimed, NewJob};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::TestApp;
use crate::support::live::{PATIENCE, Socket};

mod clock;
mod owner;
mod workers;

const JOB: &str = "id kind subjectId state priority attempts lastError progress { done total } finishedAt";

/// A server whose own worker does nothing.
async fn resting() -> TestApp {
    TestApp::start_with(&[("job_workers", "0")]).await
}

/// Asks for a job; its id of the row.
async fn ask(app: &TestApp, job: &NewJob<'_>) -> Uuid {
    let mut tx = app.services.db.begin().await.expect("a transaction");
    let id = jobs::enqueue_with(&mut tx, job, Utc::now()).await.expect("it is asked for");
    tx.commit().await.expect("it is written down");
    id
}

/// A job of a kind, about nothing that exists, due now.
fn now(kind: &str) -> NewJob<'_> {
    NewJob::new(kind, Uuid::now_v7(), Utc::now() - TimeDelta::milliseconds(1))
}

/// A kind of jobs that takes long.
const LONG: &str = "test_long";

/// What a handler does with a job.
#[derive(Clone)]
enum Act {
    Finish,
    Fail(&'static str),
    Panic,
    Later(TimeDelta),
    /// Until it is stopped.
    Hang,
    /// So many steps, each when the gate lets one pass.
    Steps(u64, Arc<Semaphore>),
}

/// What happened to a job in a worker.
#[derive(Debug, PartialEq)]
enum Seen {
    Begun(Claimed),
    /// Its handler ended, or was dropped.
    Left(Uuid),
}

struct Script {
    act: Box<dyn Fn(&Claimed) -> Act + Send + Sync>,
    seen: mpsc::UnboundedSender<Seen>,
    limit: Duration,
}

struct Leaving<'a>(&'a Script, Uuid);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let _ = self.0.seen.send(Seen::Left(self.1));
    }
}

impl Handlers for Script {
    async fn run(&self, _: &Services, job: &Claimed, progress: &Progress) -> Result<Outcome, ServiceError> {
        if job.kind == inkstone::jobs::HOUSEKEEPING_JOB {
            return Ok(Outcome::Done);
        }
        let _leaving = Leaving(self, job.id);
        let _ = self.seen.send(Seen::Begun(job.clone()));
        match (self.act)(job) {
            Act::Finish => Ok(Outcome::Done),
            Act::Fail(why) => Err(ServiceError::Internal(why.into())),
            Act::Panic => panic!("as the test wants it"),
            Act::Later(by) => Ok(Outcome::Later(Utc::now() + by)),
            Act::Hang => std::future::pending().await,
            Act::Steps(steps, gate) => {
                for step in 1..=steps {
                    gate.acquire().await.expect("the gate stays").forget();
                    progress.set(step, steps);
                }
                Ok(Outcome::Done)
            }
        }
    }

    fn time_limit(&self, _: &str) -> Duration {
        self.limit
    }

    fn long_kinds(&self) -> &[&str] {
        &[LONG]
    }
}

/// A worker of the test's own.
struct Crew {
    seen: mpsc::UnboundedReceiver<Seen>,
    stop: CancellationToken,
    working: tokio::task::JoinHandle<()>,
}

impl Crew {
    fn start(app: &TestApp, at_once: usize, act: impl Fn(&Claimed) -> Act + Send + Sync + 'static) -> Self {
        let settings = WorkerSettings { at_once, grace: Duration::from_millis(50) };
        Self::with(app, settings, PATIENCE, act)
    }

    fn with(
        app: &TestApp,
        settings: WorkerSettings,
        limit: Duration,
        act: impl Fn(&Claimed) -> Act + Send + Sync + 'static,
    ) -> Self {
        let (send, seen) = mpsc::unbounded_channel();
        let (script, stop) = (Script { act: Box::new(act), seen: send, limit }, CancellationToken::new());
        let working = tokio::spawn(work(app.services.clone(), script, settings, stop.clone()));
        Self { seen, stop, working }
    }

    async fn next(&mut self) -> Seen {
        let seen = tokio::time::timeout(PATIENCE, self.seen.recv()).await;
        seen.expect("something should have happened by now").expect("the worker works")
    }

    /// The next job that is begun.
    async fn begun(&mut self) -> Claimed {
        loop {
            if let Seen::Begun(job) = self.next().await {
                return job;
            }
        }
    }

    /// Stops, and waits until it has.
    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.working).await.expect("it stops in time").expect("it does not panic");
    }
}

/// The global id of a job.
fn global(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(format!("Job:{}", id.simple()))
}

/// A job as the owner sees it.
async fn shown(app: &TestApp, id: Uuid) -> Value {
    let query = format!("query($id: ID!) {{ job(id: $id) {{ {JOB} }} }}");
    app.own(&query, json!({ "id": global(id) })).await["job"].take()
}

/// Watches one job as the owner.
async fn watch(app: &TestApp, id: Uuid) -> Socket {
    let mut socket = Socket::connect(app, Some(&app.tokens.owner)).await;
    let query = format!("subscription($id: ID) {{ jobProgress(id: $id) {{ job {{ {JOB} }} }} }}");
    socket.subscribe("1", &query, json!({ "id": global(id) })).await;
    socket
}

/// Waits until a job is in a state; the job then.
async fn until(app: &TestApp, id: Uuid, state: &str) -> Value {
    let mut socket = watch(app, id).await;
    loop {
        let mut event = socket.event().await;
        if event["jobProgress"]["job"]["state"] == state {
            return event["jobProgress"]["job"].take();
        }
    }
}
