//! The composition root: builds everything once, in order, and takes it down in the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::Utc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Passwords;
use crate::cache::{Cache, Remote};
use crate::config::{Config, Demo};
use crate::events::{Bus, EventLog, Observer};
use crate::http::{self, Surroundings};
use crate::inference::Engine;
use crate::jobs;
use crate::services::attempts::Attempts;
use crate::services::ledger::Ledger;
use crate::services::{
    Bell, Chats, Presence, Services, Version, caching, commenting, demo, indexing, reading, searching,
};
use crate::store::{Backend, Db, migrations, users};
use crate::telemetry::Telemetry;

pub mod models;
pub mod owner;
pub mod people;
mod search;
mod settings;

pub use settings::serves_https;

/// Address space, not memory: a page is used when it is first touched.
const STACK_BYTES: usize = 16 << 20;
/// How long background work may take to write down where it is when its grace is over.
const WINDING_UP: Duration = Duration::from_secs(2);

/// The async runtime. Its stacks hold a query that nests as deep as allowed, also in a build
/// without optimisation.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build()
}

/// Everything that one process runs on, from the database up to the services.
pub struct App {
    pub services: Services,
    pub config: Config,
    redis: Option<Remote>,
    #[cfg(feature = "embedded")]
    embedded: Option<crate::store::embedded::Embedded>,
}

impl App {
    /// Connects to what the settings name and brings the schema up to date.
    ///
    /// A server that is away is waited for, with a line in the log now and then, for as long as there is `patience`:
    /// without end where none is given.
    pub async fn open(config: Config, patience: Option<Duration>) -> Result<Self> {
        let mut app = Self::connect(config, patience).await?;
        let ran = migrations::run_pending(&app.services.db)
            .await
            .context("the database's schema could not be brought up to date")?;
        if !ran.is_empty() {
            tracing::info!(migrations = ran.len(), "the schema is up to date");
        }
        let bus = app.bus().await?;
        app.services.events =
            EventLog::open(app.services.db.clone(), bus).await.context("the event log cannot be read")?;
        Ok(app)
    }

    /// Connects without touching the schema, for `migrate`.
    pub async fn connect(config: Config, patience: Option<Duration>) -> Result<Self> {
        let settings = settings::pool(&config);
        #[cfg(feature = "embedded")]
        let (backend, embedded) = match &config.database_url {
            Some(url) => (Backend::Server { url: url.expose().to_owned() }, None),
            None => {
                let embedded = crate::store::embedded::Embedded::start(&config.data_dir.join("postgres")).await?;
                (Backend::Embedded(embedded.connector()), Some(embedded))
            }
        };
        #[cfg(not(feature = "embedded"))]
        let backend = {
            let url = config.database_url.as_ref().context("this build needs DATABASE_URL")?;
            Backend::Server { url: url.expose().to_owned() }
        };
        let db = Db::open(backend, &settings).await.context("the database pool could not be made")?;
        wait_for(&db, patience).await?;
        let redis = match &config.redis_url {
            Some(url) => Some(Remote::connect(url.expose()).await.context("Redis cannot be used")?),
            None => None,
        };
        let cache = Cache::new(settings::cache(&config), redis.clone());
        let engine = Engine::open(settings::engine(&config)).context("the models cannot be used")?;
        let services = Services {
            events: EventLog::detached(db.clone()),
            db,
            cache,
            passwords: Passwords::new(),
            attempts: Attempts::new(settings::limiter(&config, redis.clone())),
            presence: Presence::default(),
            bell: Bell::default(),
            policy: Arc::new(settings::policy(&config)),
            version: Version::default(),
            engine,
            surveys: searching::Surveys::default(),
            chats: Chats::new(settings::chats(&config)),
            new_comments: commenting::NewComments::default(),
            lately: reading::Lately::default(),
            ledger: Ledger::default(),
        };
        Ok(Self {
            services,
            redis,
            config,
            #[cfg(feature = "embedded")]
            embedded,
        })
    }

    async fn bus(&self) -> Result<Bus> {
        Ok(match &self.redis {
            Some(redis) => Bus::Redis {
                publisher: redis.publisher(),
                subscriber: redis.subscriber().await?,
                channel: format!("ink:{}:events", self.config.redis_namespace),
            },
            None if self.services.db.backend().is_embedded() => Bus::Alone,
            None => Bus::Postgres,
        })
    }

    /// Serves until `stop`, then lets running requests finish.
    pub async fn serve(self, listener: TcpListener, telemetry: Telemetry, stop: CancellationToken) -> Result<()> {
        let background = CancellationToken::new();
        let tasks = TaskTracker::new();
        self.start_background(&tasks, &background);
        // Told to stop at once: jobs have the time that requests have, at the same time.
        let worker = TaskTracker::new();
        worker.spawn(jobs::work(self.services.clone(), jobs::Kinds, settings::worker(&self.config), stop.clone()));
        let upkeep = tokio::spawn(telemetry.clone().upkeep());
        let surroundings = Surroundings {
            origins: self.config.cors_origins.clone(),
            trusted_proxies: self.config.trusted_proxies.clone(),
        };
        let service = http::service(Arc::new(settings::http_state(&self, telemetry, stop.clone())?), &surroundings);
        let grace = self.config.shutdown_grace_ms.millis();
        let serving =
            tokio::spawn(http::server::serve(listener, service, settings::serving(&self.config)?, stop.clone()));
        let database_is_lost = tokio::select! {
            () = stop.cancelled() => false,
            () = self.database_lost() => true,
        };
        stop.cancel();
        tracing::info!("stopping");
        match tokio::time::timeout(grace + Duration::from_secs(1), serving).await {
            Ok(done) => done.context("the HTTP server failed")??,
            Err(_) => tracing::warn!("some requests did not finish in time and were cut off"),
        }
        wind_up(&worker, grace + WINDING_UP).await;
        background.cancel();
        wind_up(&tasks, grace.max(WINDING_UP)).await;
        upkeep.abort();
        self.close().await?;
        anyhow::ensure!(!database_is_lost, "the embedded database gave up; start again to recover it");
        Ok(())
    }

    /// Returns when the embedded database has given up for good, which a server never does.
    async fn database_lost(&self) {
        #[cfg(feature = "embedded")]
        if let Some(embedded) = &self.embedded {
            return embedded.stopped().await;
        }
        std::future::pending().await
    }

    /// The tailer, the models, periodic jobs and presence.
    fn start_background(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        let observers = vec![invalidate(self.services.clone()), wake_worker(self.services.bell.clone())];
        tasks.spawn(self.services.events.clone().run(observers, stop.clone()));
        // A process that does no jobs has nobody ask for them either.
        if self.config.job_workers.get() > 0 {
            tasks.spawn(indexing::keep_up(self.services.clone(), stop.clone()));
        }
        tasks.spawn(self.services.engine.clone().run(stop.clone()));
        tasks.spawn(jobs::cron::keep_time(self.services.clone(), jobs::cron::periodic(&self.config), stop.clone()));
        tasks.spawn(self.services.presence.clone().run(self.services.clone(), stop.clone()));
    }

    /// Loads the demo site if it is wanted, and sees to it that somebody can sign in as the owner.
    ///
    /// Returns what to tell the one who started the server.
    pub async fn welcome(&self) -> Result<String> {
        let embedded = self.services.db.backend().is_embedded();
        let wanted = match self.config.demo {
            Demo::Never => false,
            Demo::Always => demo::is_wanted(&self.services).await?,
            Demo::Auto => embedded && demo::is_wanted(&self.services).await?,
        };
        if wanted {
            load_demo(&self.services).await?;
        }
        owner::introduce(&self.services, &self.config.data_dir, embedded).await
    }

    /// Gives everything back in order.
    pub async fn close(self) -> Result<()> {
        self.services.events.announce_now().await;
        self.services.ledger.write(&self.services.db).await;
        if let Some(redis) = &self.redis {
            redis.close().await;
        }
        #[cfg(feature = "embedded")]
        if let Some(embedded) = self.embedded {
            embedded
                .shutdown(Duration::from_secs(10))
                .await
                .context("the embedded database did not close in good order")?;
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// The user who stands behind a command: the owner.
    pub async fn owner(&self) -> Result<crate::store::users::UserRow> {
        users::owner(&mut *self.services.db.conn().await?)
            .await?
            .context("there is no owner yet: make one with `inkstone user create --role owner --handle NAME`")
    }
}

/// Waits for what was told to stop.
async fn wind_up(tasks: &TaskTracker, limit: Duration) {
    tasks.close();
    if tokio::time::timeout(limit, tasks.wait()).await.is_err() {
        tracing::warn!("some background work did not finish in time");
    }
}

/// Waits until the database answers, and says so while it does not.
///
/// Errors: it did not for as long as there was patience.
async fn wait_for(db: &Db, patience: Option<Duration>) -> Result<()> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(250);
    while let Err(error) = db.ping(Duration::from_secs(5)).await {
        if patience.is_some_and(|most| begun.elapsed() + pause > most) {
            return Err(error).context("is the database running, and DATABASE_URL right?");
        }
        tracing::warn!(%error, retry_in_ms = pause.as_millis(), "waiting for the database");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
    Ok(())
}

async fn load_demo(services: &Services) -> Result<()> {
    let folder = demo_folder().context("the demo site could not be unpacked")?;
    let report = demo::load(services, folder.path(), Utc::now()).await.context("the demo site could not be loaded")?;
    for problem in &report.problems {
        tracing::warn!(%problem, "the demo site");
    }
    tracing::info!(posts = report.created, comments = report.comments, "the demo site is loaded");
    Ok(())
}

/// The demo site is part of the binary; it is unpacked for the import and then forgotten.
fn demo_folder() -> std::io::Result<Unpacked> {
    let root = std::env::temp_dir().join(format!("inkstone-demo-{}", uuid::Uuid::now_v7()));
    let unpacked = Unpacked(root);
    for (path, text) in crate::demo_site::FILES {
        let path = unpacked.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(&unpacked.0))?;
        std::fs::write(path, text)?;
    }
    Ok(unpacked)
}

struct Unpacked(PathBuf);

impl Unpacked {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "a temporary folder stays behind");
        }
    }
}

/// What an event made stale leaves the cache before any subscriber hears of the event.
fn invalidate(services: Services) -> Observer {
    Box::new(move |event| {
        services.surveys.hear(event.kind);
        let keys = caching::stale_keys(event.kind, event.subject, &event.payload);
        services.cache.invalidate_in_background(&keys);
        services.version.count(event.kind);
        Box::pin(async {})
    })
}

fn wake_worker(bell: Bell) -> Observer {
    Box::new(move |event| {
        bell.hear(event);
        Box::pin(async {})
    })
}
