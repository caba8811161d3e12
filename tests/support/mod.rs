//! A whole server per test, in this process, on a database of its own.
//!
//! Without `TEST_DATABASE_URL` the database is an embedded one, copied from a template that each
//! test binary makes once; with it, a database of that server, cloned from a template database.
//! The template holds the demo site, an owner, an editor and a reader.
#![allow(dead_code, reason = "each test binary uses another part")]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use inkstone::app::{self, App};
use inkstone::auth::{Scope, Viewer};
use inkstone::config::{Config, Given, Source};
use inkstone::http::server;
use inkstone::inference::{Engine, SharedBackend, fake};
use inkstone::jobs;
use inkstone::services::accounts::{self, NewAccount};
use inkstone::services::{Actor, Services, demo};
use inkstone::store::jobs::next_due;
use inkstone::store::users::{self, Role};
use inkstone::telemetry;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub mod asking;
pub mod database;
pub mod live;
pub mod scripted;

pub const PASSWORD: &str = "correct horse battery";

/// Session tokens of the template's users.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub owner: String,
    pub editor: String,
    pub reader: String,
}

/// Where servers run, as in the program itself: with stacks that unoptimised resolvers fit into.
fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| app::runtime().expect("a runtime"))
}

/// What every test of this binary starts from.
pub struct Template {
    pub database: database::Template,
    pub tokens: Tokens,
}

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        // Not on the runtime of the test that comes first, which ends with it.
        let (send, made) = std::sync::mpsc::channel();
        runtime().spawn(async move { send.send(make_template().await) });
        made.recv().expect("the template can be made")
    })
}

/// Jobs that are due later than this are not waited for.
const SOON: TimeDelta = TimeDelta::seconds(5);

async fn make_template() -> Template {
    let database = database::Template::begin().await;
    let config = config(&database.settings(), &[]);
    let mut app = App::open(config, None).await.expect("the template's database opens");
    app.services.engine = fakes();
    let services = app.services.clone();
    let site = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/site");
    let report = demo::load(&services, &site, Utc::now()).await.expect("the demo site loads");
    assert!(report.problems.is_empty(), "the demo site has problems: {:?}", report.problems);
    let actor = Actor { viewer: Viewer::anonymous(), now: Utc::now() };
    for (handle, role) in [("olga", Role::Owner), ("edgar", Role::Editor), ("rita", Role::Reader)] {
        let account = NewAccount {
            handle: handle.into(),
            name: handle.to_uppercase(),
            email: Some(format!("{handle}@example.org")),
            password: PASSWORD.into(),
        };
        accounts::create_user(&services, &actor, account, role).await.expect("an account");
    }
    let token = async |handle: &str| {
        let signed_in = accounts::sign_in(&services, &actor, handle, PASSWORD.into(), None).await;
        signed_in.unwrap_or_else(|e| panic!("{handle} signs in: {e}")).token.expose().to_owned()
    };
    let tokens = Tokens { owner: token("olga").await, editor: token("edgar").await, reader: token("rita").await };
    // What search has to learn is learnt here, and not by each test's server again; so is what is asked for a
    // moment after it, such as lists of related posts.
    loop {
        jobs::run_due(&services).await.expect("the jobs are done");
        let next = next_due(&mut services.db.conn().await.expect("a connection"), &[]).await.expect("the next job");
        let Some(wait) = next.map(|at| at - Utc::now()).filter(|wait| *wait < SOON) else { break };
        tokio::time::sleep(wait.to_std().unwrap_or_default()).await;
    }
    drop(services);
    app.close().await.expect("the template closes");
    Template { database: database.finish().await, tokens }
}

/// Settings of a test: the defaults, the database's, and the test's own over them.
pub fn config(database: &[(&'static str, String)], own: &[(&'static str, &str)]) -> Config {
    let mut given = BTreeMap::new();
    let mut set = |name, text: String| given.insert(name, Given { text, source: Source::Flag("test".into()) });
    set("demo", "never".into());
    set("statement_counts", "true".into());
    set("shutdown_grace_ms", "3000".into());
    set("database_pool_size", "8".into());
    if let Ok(url) = std::env::var("TEST_REDIS_URL") {
        set("redis_url", url);
        set("redis_namespace", format!("test-{}", uuid::Uuid::now_v7()));
    }
    for (name, text) in database {
        set(name, text.clone());
    }
    for (name, text) in own {
        set(name, (*text).to_owned());
    }
    Config::from_given(&given).expect("the settings are valid")
}

/// Models that are none, one for each task.
fn fakes() -> Engine {
    Engine::of(fake::all().into_iter().map(|model| Arc::new(model) as SharedBackend))
}

/// The demo site without a server on it, as a command has it. Its jobs are done.
pub async fn opened(engine: Engine) -> (App, database::Database) {
    let database = template().database.copy().await;
    let mut app = App::open(config(&database.settings(), &[]), None).await.expect("the database opens");
    app.services.engine = engine;
    (app, database)
}

/// What an SQL expression comes to, as text.
pub async fn stored_text(services: &Services, expression: &str) -> String {
    use diesel_async::RunQueryDsl;
    let select = diesel::dsl::sql::<diesel::sql_types::Text>(&format!("({expression})::text"));
    let mut conn = services.db.conn().await.expect("a connection");
    diesel::select(select).get_result(&mut *conn).await.expect("the expression is evaluated")
}

/// A client; `https` needs to be told by whom it is done, and reqwest makes none without.
pub fn client_builder() -> reqwest::ClientBuilder {
    // Another test of this binary may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

/// Gives up on a server that says nothing for longer than any test waits.
fn client() -> reqwest::Client {
    client_builder().read_timeout(live::PATIENCE).build().expect("a client")
}

/// A running server.
pub struct TestApp {
    pub base: String,
    pub http: reqwest::Client,
    pub services: Services,
    pub tokens: Tokens,
    pub database: database::Database,
    stop: CancellationToken,
    serving: Option<tokio::task::JoinHandle<anyhow::Result<()>>>,
}

impl TestApp {
    /// A server on a fresh copy of the template.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with other settings.
    pub async fn start_with(own: &[(&'static str, &str)]) -> Self {
        Self::start_on(fakes(), own).await
    }

    /// The same with other models.
    pub async fn start_on(engine: Engine, own: &[(&'static str, &str)]) -> Self {
        let template = template();
        let database = template.database.copy().await;
        Self::on(database, template.tokens.clone(), engine, own).await
    }

    /// A further server on the same database, for tests with replicas. Real servers only.
    pub async fn replica_of(other: &Self, own: &[(&'static str, &str)]) -> Self {
        Self::on(other.database.shared(), other.tokens.clone(), fakes(), own).await
    }

    async fn on(database: database::Database, tokens: Tokens, engine: Engine, own: &[(&'static str, &str)]) -> Self {
        let config = config(&database.settings(), own);
        let telemetry = telemetry::init(&std::env::var("TEST_LOG").unwrap_or_else(|_| "error".into()), false);
        let telemetry = telemetry.expect("telemetry is set up once a process");
        let listener = server::listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("its address"));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (send, opened) = tokio::sync::oneshot::channel();
        let serving = runtime().spawn(async move {
            let mut app = App::open(config, None).await.expect("the server opens its database");
            app.services.engine = engine;
            let _ = send.send(app.services.clone());
            app.serve(listener, telemetry, stopped).await
        });
        let services = opened.await.expect("the server opens");
        Self { base, http: client(), services, tokens, database, stop, serving: Some(serving) }
    }

    /// Asks as nobody in particular.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        self.ask_as(None, query, variables).await
    }

    /// Asks with a token; the whole response.
    pub async fn ask_as(&self, token: Option<&str>, query: &str, variables: Value) -> Value {
        let response = self.request(token, query, variables).send().await.expect("the server answers");
        response.json().await.expect("the answer is JSON")
    }

    /// A key of a user of the template, for these scopes.
    pub async fn key(&self, handle: &str, scopes: &[Scope]) -> String {
        self.key_until(handle, scopes, None).await
    }

    /// The same for some time.
    pub async fn key_until(&self, handle: &str, scopes: &[Scope], expires_at: Option<DateTime<Utc>>) -> String {
        let mut conn = self.services.db.conn().await.expect("a connection");
        let user = users::by_handle(&mut conn, handle).await.expect("the users are read").expect("there is this user");
        drop(conn);
        let actor = Actor { viewer: Viewer::anonymous(), now: Utc::now() };
        let key = accounts::create_key(&self.services, &actor, user.id, "test".into(), scopes, expires_at).await;
        key.expect("a key").expose().to_owned()
    }

    /// All metrics, in the text of Prometheus.
    pub async fn metrics(&self) -> String {
        // They are told once for all who ask at about the same time.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let metrics = self.http.get(format!("{}/metrics", self.base)).send().await.expect("metrics");
        metrics.text().await.expect("text")
    }

    /// Asks as the owner and expects data without errors.
    pub async fn own(&self, query: &str, variables: Value) -> Value {
        data(self.ask_as(Some(&self.tokens.owner), query, variables).await)
    }

    /// The response, made anew, and the number of SQL statements that it took.
    pub async fn respond(&self, token: Option<&str>, query: &str, variables: Value) -> (Value, u32) {
        let request = self.request(token, query, variables).header("cache-control", "no-cache");
        let response = request.send().await.expect("the server answers");
        let timing =
            response.headers().get("server-timing").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let statements = timing.split('"').nth(1).and_then(|d| d.split(' ').next()?.parse().ok()).unwrap_or(0);
        (response.json().await.expect("the answer is JSON"), statements)
    }

    fn request(&self, token: Option<&str>, query: &str, variables: Value) -> reqwest::RequestBuilder {
        let body = json!({ "query": query, "variables": variables });
        let request = self.http.post(format!("{}/graphql", self.base)).json(&body);
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Stops the server and starts another one on the same database.
    pub async fn restart(self, own: &[(&'static str, &str)]) -> Self {
        let (database, tokens) = (self.database.shared(), self.tokens.clone());
        self.stop().await;
        Self::on(database, tokens, fakes(), own).await
    }

    /// Stops the server and waits until it has.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            serving.await.expect("the server's task").expect("the server stops in good order");
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
        let Some(serving) = self.serving.take() else { return };
        // The database's files must outlive the server. This thread may block: the server runs on others.
        let (send, done) = std::sync::mpsc::channel();
        runtime().spawn(async move { send.send(serving.await.is_ok()) });
        let _ = done.recv_timeout(std::time::Duration::from_secs(10));
    }
}

/// The data of a response that must have no errors.
pub fn data(mut response: Value) -> Value {
    assert_eq!(response.get("errors"), None, "expected no errors: {response:#}");
    response["data"].take()
}

/// The code of a response's first error.
pub fn code(response: &Value) -> &str {
    response["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("expected an error: {response:#}"))
}

/// The points that an account has left after this response, as `RateLimit` tells.
pub fn points_left(response: &reqwest::Response) -> u64 {
    let told = response.headers().get("ratelimit").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let points = told.strip_prefix("\"cost\";r=").and_then(|told| told.split(';').next()?.parse().ok());
    points.unwrap_or_else(|| panic!("points in {told:?}"))
}

/// True where several servers and real concurrency can be had.
pub fn on_real_servers() -> bool {
    std::env::var_os("TEST_DATABASE_URL").is_some()
}
