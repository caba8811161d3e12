//! Redis stopped, killed, restarted. Each test starts a `redis-server` of its own; they run only
//! when `TEST_REDIS_URL` is set, as a sign that this machine is meant to have one.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::shared::{connect, filled, ready, redis, server, until};
use super::*;

/// A server process that ends with the test, and its data.
struct Server {
    child: Child,
    port: u16,
    dir: std::path::PathBuf,
}

impl Server {
    fn start() -> Option<Server> {
        let (_, name) = redis()?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = free.expect("a free port").port();
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).expect("a directory for the server's data");
        let child = spawn(port, &dir);
        Some(Server { child, port, dir })
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        let status = kill.arg(signal).arg(self.child.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {signal}");
    }

    fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("the server can be waited for");
    }

    fn restart(&mut self) {
        self.child = spawn(self.port, &self.dir);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that the test has killed already; a directory that the system clears.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn spawn(port: u16, dir: &std::path::Path) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]);
    command.arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is on the path")
}

#[tokio::test]
async fn connecting_waits_for_a_server_that_is_away() {
    let Some(mut redis) = Server::start() else {
        return;
    };
    redis.kill();
    let url = redis.url();
    let mut connecting = Box::pin(Remote::connect(&url));
    let early = timeout(Duration::from_millis(300), &mut connecting).await;
    assert!(early.is_err(), "there is nothing to connect to");
    redis.restart();
    let remote = connecting.await.expect("connects when the server is there");
    assert!(remote.is_up());
}

#[tokio::test]
async fn refused_credentials_are_an_error_at_once() {
    let Some(redis) = Server::start() else { return };
    connect(&redis.url()).await;
    let url = format!("redis://user:secret@127.0.0.1:{}", redis.port);
    let error = Remote::connect(&url).await.err().expect("there is no such user");
    assert!(matches!(error, RemoteError::Refused { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn a_stopped_redis_costs_one_command_timeout() {
    let Some(redis) = Server::start() else { return };
    let mut quick = settings("site");
    quick.command_timeout = Duration::from_millis(50);
    let cache = Cache::new(quick, Some(connect(&redis.url()).await));
    ready(&cache).await;
    ask(&cache, &key(0), "zero").await;

    redis.signal("-STOP");
    let mut took = Vec::new();
    for id in 1..=20 {
        let begin = Instant::now();
        assert_eq!(ask(&cache, &key(id), "a").await.as_deref(), Some("a"));
        took.push(begin.elapsed());
    }
    let begin = Instant::now();
    cache.invalidate(&[key(1)]).await;
    let invalidation = begin.elapsed();
    println!("stopped Redis: reads {took:?}, invalidation {invalidation:?}");
    // Counted, not timed: one read waited, and nobody after it.
    let stats = cache.stats();
    assert_eq!((stats.remote_failures, stats.remote_skipped), (1, 19));
    assert_eq!(stats.pending_invalidations, 1);

    let begin = Instant::now();
    redis.signal("-CONT");
    ready(&cache).await;
    println!("in use again {:?} after it goes on", begin.elapsed());
    until("the invalidation is confirmed", async || cache.stats().pending_invalidations == 0).await;
}

#[tokio::test]
async fn invalidations_during_an_outage_reach_redis_before_it_is_read_again() {
    let Some(redis) = Server::start() else { return };
    let (a, b) = (server(&redis.url(), "site").await, server(&redis.url(), "site").await);
    ask(&a, &key(1), "old").await;
    filled(&a, "site", 1).await;

    redis.signal("-STOP");
    ask(&a, &key(2), "two").await;
    a.invalidate(&[key(1)]).await;
    assert_eq!(ask(&a, &key(1), "new").await.as_deref(), Some("new"));
    a.invalidate(&[key(1)]).await;
    redis.signal("-CONT");
    // Whether the tombstone has arrived or not: never the old value.
    assert_eq!(ask(&a, &key(1), "newer").await.as_deref(), Some("newer"));
    until("the invalidation is confirmed", async || a.stats().pending_invalidations == 0).await;
    ready(&b).await;
    assert_eq!(ask(&b, &key(1), "newer").await.as_deref(), Some("newer"));
}

#[tokio::test]
async fn an_overflow_of_invalidations_changes_the_epoch_for_all() {
    let Some(redis) = Server::start() else { return };
    let (a, b) = (server(&redis.url(), "site").await, server(&redis.url(), "site").await);
    ask(&a, &key(1), "old").await;
    filled(&a, "site", 1).await;
    redis.signal("-STOP");
    ask(&a, &key(2), "two").await;
    let many: Vec<CacheKey> = (0..10_001).map(key).collect();
    a.invalidate(&many).await;
    redis.signal("-CONT");
    let tier = a.inner.tier.as_ref().expect("a has a Redis");
    until("the new epoch is confirmed", async || !tier.pending.doubts(&key(77_777))).await;
    ready(&b).await;
    assert_eq!(ask(&b, &key(1), "new").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_restart_from_a_snapshot_brings_no_old_value_back() {
    let Some(mut redis) = Server::start() else {
        return;
    };
    let (a, b) = (server(&redis.url(), "site").await, server(&redis.url(), "site").await);
    ask(&a, &key(1), "old").await;
    filled(&a, "site", 1).await;
    let saved = Command::new("redis-cli").args(["-p", &redis.port.to_string(), "save"]).output();
    assert!(saved.is_ok_and(|saved| saved.stdout.starts_with(b"OK")), "a snapshot is written");
    a.invalidate(&[key(1)]).await;
    redis.kill();
    until("the loss is noticed", async || !b.stats().remote_up).await;
    assert_eq!(ask(&b, &key(3), "three").await.as_deref(), Some("three"), "works without Redis");

    redis.restart();
    ready(&a).await;
    ready(&b).await;
    assert_eq!(ask(&b, &key(1), "new").await.as_deref(), Some("new"));
    filled(&b, "site", 1).await;
    let held = ask(&a, &key(1), "-").await;
    assert_eq!(held.as_deref(), Some("new"), "the link works for both again");
}

#[tokio::test]
async fn a_full_redis_still_takes_invalidations() {
    let Some(redis) = Server::start() else { return };
    let (a, b) = (server(&redis.url(), "site").await, server(&redis.url(), "site").await);
    ask(&a, &key(1), "old").await;
    filled(&a, "site", 1).await;
    let port = redis.port.to_string();
    let full = Command::new("redis-cli").args(["-p", &port, "config", "set", "maxmemory", "1"]).output();
    assert!(full.is_ok_and(|full| full.stdout.starts_with(b"OK")), "the memory limit is set");
    a.invalidate(&[key(1)]).await;
    assert_eq!(a.stats().pending_invalidations, 0, "a full Redis refused the tombstone");
    assert_eq!(ask(&b, &key(1), "new").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn points_are_counted_in_the_process_while_redis_is_away() {
    let Some(mut redis) = Server::start() else { return };
    let quota = Quota { points: 10, period: Duration::from_secs(60) };
    let limiter = Limiter::new(Some(connect(&redis.url()).await), "site", Duration::from_millis(500));
    assert_eq!(limiter.take("somebody", quota, 4).await.remaining, 6, "in Redis");
    redis.kill();
    for left in (0..10).rev() {
        let taken = limiter.take("somebody", quota, 1).await;
        assert!(taken.allowed && taken.remaining == left, "{left} should be left here: {taken:?}");
    }
    assert!(!limiter.take("somebody", quota, 1).await.allowed, "there is no end to it without Redis");
    redis.restart();
    // It is empty: the account in Redis is full again.
    until("points are counted in Redis again", async || limiter.take("somebody", quota, 1).await.allowed).await;
}
