//! Postgres and Redis that go away and come back. Only with `TEST_DATABASE_URL` (and
//! `TEST_REDIS_URL`): a small forwarder stands between the program and the real servers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::process::{Place, Server, Starting};
use crate::support;
use crate::support::database::{Database, Template};

/// Longest that a request may take while Postgres is away.
const BOUND: Duration = Duration::from_secs(5);

/// What the forwarder does with connections.
#[derive(Clone, Copy, PartialEq)]
enum Line {
    Up,
    /// Ends every connection, and new ones at once.
    Cut,
    /// Keeps every connection until the line is turned again, and lets nothing through.
    Silent,
}

/// A port that leads to a server as long as it is told to.
struct Forwarder {
    port: u16,
    line: watch::Sender<Line>,
}

impl Forwarder {
    async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let (line, told) = watch::channel(Line::Up);
        let target = Arc::new(target);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, target.clone(), told.clone()));
            }
        });
        Self { port, line }
    }

    fn turn(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn forward(mut client: TcpStream, target: Arc<String>, mut told: watch::Receiver<Line>) {
    if *told.borrow() == Line::Up {
        let Ok(mut server) = TcpStream::connect(target.as_str()).await else { return };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = told.wait_for(|line| *line != Line::Up) => {}
        }
    }
    // A message may be half way through, so a line that was silent is not taken up again.
    let _ = told.wait_for(|line| *line != Line::Silent).await;
}

/// Host and port of a URL, and the URL with another port on this machine.
fn split(url: &str, default_port: u16) -> (String, impl Fn(u16) -> String) {
    let start = url.find("://").expect("a URL") + 3;
    let end = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    let at = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
    let host = &url[at..end];
    let target = if host.contains(':') { host.to_owned() } else { format!("{host}:{default_port}") };
    let (before, after) = (url[..at].to_owned(), url[end..].to_owned());
    (target, move |port| format!("{before}127.0.0.1:{port}{after}"))
}

/// A fresh, empty database of the server under test, gone when dropped.
pub async fn fresh_database() -> (Database, String) {
    let empty = Template::begin().await;
    let database = empty.copy().await;
    if let Template::Server { url, name } = &empty {
        support::database::admin(url, &format!("DROP DATABASE {name}")).await.expect("the empty one is dropped");
    }
    let url = database.url().expect("a server's database");
    (database, url)
}

fn serving(place: &Place, database_url: &str) -> std::process::Command {
    let mut command = place.serving(&["--demo", "--set", "log_format=text"]);
    command.env("DATABASE_URL", database_url);
    command
}

const POSTS: &str = "{ posts(first: 3) { nodes { title author { name } } totalCount } }";

/// Asks until it is answered without errors.
async fn recovers(server: &Server) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = server.ask(None, POSTS, json!({})).await.expect("the server itself always answers");
        if answer.get("errors").is_none() {
            return;
        }
        assert!(Instant::now() < until, "it should have recovered by now: {answer}\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_postgres_that_is_away_and_can_be_stopped_meanwhile() {
    if !support::on_real_servers() {
        return;
    }
    let (place, (_database, url)) = (Place::new(), fresh_database().await);
    let (target, with_port) = split(&url, 5432);
    let forwarder = Forwarder::to(target).await;
    forwarder.turn(Line::Cut);

    let starting = Starting::spawn(&mut serving(&place, &with_port(forwarder.port)));
    starting.logs("waiting for the database");
    assert_eq!(starting.stop("TERM"), Some(0), "it can be stopped while it waits");

    let starting = Starting::spawn(&mut serving(&place, &with_port(forwarder.port)));
    starting.logs("waiting for the database");
    forwarder.turn(Line::Up);
    let server = starting.ready();
    assert!(server.count_posts(None).await >= 24, "--demo loads the demo site into a server's database too");
    assert_eq!(server.stop("TERM").code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_fail_in_bounded_time_while_postgres_is_away_and_recover() {
    if !support::on_real_servers() {
        return;
    }
    let (place, (_database, url)) = (Place::new(), fresh_database().await);
    let (target, with_port) = split(&url, 5432);
    let forwarder = Forwarder::to(target).await;
    let server = Server::start(&mut serving(&place, &with_port(forwarder.port)));
    recovers(&server).await;
    for round in 0..2 {
        forwarder.turn(Line::Cut);
        for _ in 0..3 {
            let asked = Instant::now();
            let answer = server.ask(None, POSTS, json!({})).await.expect("an answer");
            let took = asked.elapsed();
            assert_eq!(support::code(&answer), "OVERLOADED", "round {round}: {answer}");
            assert!(took < BOUND, "round {round}: an answer took {took:?}");
        }
        let http = support::client_builder().build().expect("a client");
        let ready = http.get(format!("{}/readyz", server.base)).send().await.expect("an answer");
        assert_eq!(ready.status(), 503, "it says that it is not ready");
        let health = http.get(format!("{}/healthz", server.base)).send().await.expect("an answer");
        assert_eq!(health.status(), 200, "the process itself is well");
        forwarder.turn(Line::Up);
        recovers(&server).await;
    }
    assert_eq!(server.stop("TERM").code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_does_not_answer_any_more_is_given_up() {
    if !support::on_real_servers() {
        return;
    }
    let (place, (_database, url)) = (Place::new(), fresh_database().await);
    let (target, with_port) = split(&url, 5432);
    let forwarder = Forwarder::to(target).await;
    let mut command = serving(&place, &with_port(forwarder.port));
    let server = Server::start(command.args(["--set", "query_timeout_ms=2000"]));
    recovers(&server).await;
    forwarder.turn(Line::Silent);
    let asked = Instant::now();
    let answer = server.ask(None, POSTS, json!({})).await.expect("an answer");
    assert!(matches!(support::code(&answer), "REQUEST_TIMEOUT" | "OVERLOADED"), "{answer}");
    assert!(asked.elapsed() < BOUND, "an answer took {:?}", asked.elapsed());
    forwarder.turn(Line::Up);
    recovers(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_on_without_redis() {
    let Ok(redis_url) = std::env::var("TEST_REDIS_URL") else { return };
    if !support::on_real_servers() {
        return;
    }
    let (place, (_database, url)) = (Place::new(), fresh_database().await);
    let (target, with_port) = split(&redis_url, 6379);
    let forwarder = Forwarder::to(target).await;
    let mut command = serving(&place, &url);
    command.env("REDIS_URL", with_port(forwarder.port));
    let namespace = format!("redis_namespace=test-{}", uuid::Uuid::now_v7());
    let server = Server::start(command.args(["--set", &namespace]));
    let token = server.owner_token().await;
    for (round, line) in [Line::Cut, Line::Up, Line::Silent, Line::Up].into_iter().enumerate() {
        forwarder.turn(line);
        for n in 0..5 {
            let asked = Instant::now();
            let data = server.data(None, POSTS, json!({})).await;
            assert_eq!(data["posts"]["nodes"].as_array().map(Vec::len), Some(3), "round {round}: {data}");
            let input = json!({ "input": { "title": format!("Round {round}, {n}"), "markdown": "x" } });
            let create = "mutation($input: CreatePostInput!) { createPost(input: $input) { post { slug } } }";
            let data = server.data(Some(&token), create, input).await;
            assert_eq!(data["createPost"]["post"]["slug"], format!("round-{round}-{n}"), "writes go on");
            assert!(asked.elapsed() < Duration::from_secs(2), "round {round}: it took {:?}", asked.elapsed());
        }
    }
    assert_eq!(server.stop("TERM").code, Some(0));
}

#[test]
fn a_url_is_split_where_its_host_is() {
    for (url, target, forwarded) in [
        ("postgres://me:a@b@db:5433/site?x=y", "db:5433", "postgres://me:a@b@127.0.0.1:7/site?x=y"),
        ("redis://cache", "cache:6379", "redis://127.0.0.1:7"),
        ("redis://:secret@10.0.0.1:1/2", "10.0.0.1:1", "redis://:secret@127.0.0.1:7/2"),
    ] {
        let (found, with_port) = split(url, 6379);
        assert_eq!((found.as_str(), with_port(7).as_str()), (target, forwarded));
    }
}
