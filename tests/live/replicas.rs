//! Two servers on one database. Real servers only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{TestApp, data, on_real_servers};
use crate::viewers::{VIEWERS, count, until};
use crate::watch::{Watch, standing};
use crate::writing::{COMMENT_ADDED, comment, love, post_id, publish, rename};

/// How late another server may be: it is woken at once, and polls every second should that fail.
const BOUND: Duration = Duration::from_secs(2);

type Own = &'static [(&'static str, &'static str)];

/// With whatever Redis the tests have, and without; nothing in the caches expires by itself.
const SETTINGS: [Own; 2] = [&[("cache_ttl_seconds", "3600")], &[("cache_ttl_seconds", "3600"), ("redis_url", "")]];

/// Two servers that share the database and the namespace in Redis.
async fn two(own: Own) -> [TestApp; 2] {
    let namespace = format!("test-{}", uuid::Uuid::now_v7());
    let own = [own, &[("redis_namespace", &namespace)]].concat();
    let one = TestApp::start_with(&own).await;
    let other = TestApp::replica_of(&one, &own).await;
    [one, other]
}

#[tokio::test]
async fn what_happens_at_one_is_told_at_the_other_soon() {
    if !on_real_servers() {
        return;
    }
    for own in SETTINGS {
        let servers = two(own).await;
        let post = post_id(&servers[0]).await;
        for (from, to) in [(0, 1), (1, 0)] {
            let variables = json!({ "post": post });
            let mut watch = Watch::sse(&servers[to], None, COMMENT_ADDED, variables).await;
            standing(&servers[to], 1).await;
            for n in 0..10 {
                let text = format!("{n} from {from}");
                comment(&servers[from], &servers[from].tokens.editor, &post, &text).await;
                let since = Instant::now();
                let event = watch.event().await;
                assert!(since.elapsed() < BOUND, "it took {:?}, settings {own:?}", since.elapsed());
                assert_eq!(event["commentAdded"]["comment"]["markdown"], text, "settings {own:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_cursor_of_one_server_is_good_at_the_other() {
    if !on_real_servers() {
        return;
    }
    let [one, other] = two(SETTINGS[0]).await;
    let post = post_id(&one).await;
    let mut watch = Watch::socket(&one, None, COMMENT_ADDED, json!({ "post": post })).await;
    standing(&one, 1).await;
    comment(&one, &one.tokens.editor, &post, "seen").await;
    let cursor = watch.event().await["commentAdded"]["cursor"].take();
    for (server, text) in [(&one, "missed here"), (&other, "missed there")] {
        comment(server, &server.tokens.editor, &post, text).await;
    }
    for server in [&other, &one] {
        for mut watch in Watch::both(server, None, COMMENT_ADDED, json!({ "post": post, "after": cursor })).await {
            for text in ["missed here", "missed there"] {
                let event = watch.event().await;
                assert_eq!(event["commentAdded"]["comment"]["markdown"], text, "over {}", watch.transport());
            }
        }
    }
}

const READ: &str = "query($id: ID!) { post(id: $id) { title reactionCounts { count } } }";

/// Waits until a server answers with this; fails when that takes longer than the bound.
async fn reads(server: &TestApp, id: &str, wanted: &Value) -> Duration {
    let since = Instant::now();
    loop {
        let found = data(server.ask(READ, json!({ "id": id })).await);
        if found["post"] == *wanted {
            return since.elapsed();
        }
        assert!(since.elapsed() < BOUND, "expected {wanted} by now, the other server answers {found}");
    }
}

#[tokio::test]
async fn a_change_at_one_is_read_at_the_other_within_the_bound() {
    if !on_real_servers() {
        return;
    }
    for own in SETTINGS {
        let [one, other] = two(own).await;
        let id = publish(&one, "Title 0").await;
        let mut slowest = Duration::ZERO;
        for n in 1..=20 {
            data(other.ask(READ, json!({ "id": id })).await);
            rename(&one, &id, &format!("Title {n}")).await;
            love(&one, &one.tokens.reader, &id, n % 2 == 1).await;
            let counts = if n % 2 == 1 { json!([{ "count": 1 }]) } else { json!([]) };
            let wanted = json!({ "title": format!("Title {n}"), "reactionCounts": counts });
            slowest = slowest.max(reads(&other, &id, &wanted).await);
        }
        println!("the slowest of 20 changes was read at the other server after {slowest:?}, settings {own:?}");
    }
}

/// Readers at both servers fill the caches all the while.
#[tokio::test]
async fn ones_own_write_is_never_read_stale_at_the_same_server() {
    if !on_real_servers() {
        return;
    }
    for own in SETTINGS {
        let [one, other] = two(own).await;
        let id = publish(&one, "Title 0").await;
        let over = Arc::new(AtomicBool::new(false));
        let readers = [&one, &other, &one].map(|server| {
            let (http, base, id, over) = (server.http.clone(), server.base.clone(), id.clone(), over.clone());
            tokio::spawn(async move {
                let mut reads = 0;
                while !over.load(Ordering::Relaxed) {
                    let request = json!({ "query": READ, "variables": { "id": id } });
                    http.post(format!("{base}/graphql")).json(&request).send().await.expect("an answer");
                    reads += 1;
                }
                reads
            })
        });
        for n in 1..=100 {
            let title = format!("Title {n}");
            rename(&one, &id, &title).await;
            let read = data(one.ask(READ, json!({ "id": id })).await);
            assert_eq!(read["post"]["title"], title, "one's own write is read at once, settings {own:?}");
        }
        over.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.await.expect("a reader") > 0, "there was somebody who filled the cache");
        }
        reads(&other, &id, &json!({ "title": "Title 100", "reactionCounts": [] })).await;
    }
}

#[tokio::test]
async fn viewers_of_all_servers_are_added_up() {
    if !on_real_servers() {
        return;
    }
    for own in SETTINGS {
        let [one, other] = two(own).await;
        let post = publish(&one, "Watched from two").await;
        let variables = json!({ "post": post });
        let mut here = Watch::sse(&one, None, VIEWERS, variables.clone()).await;
        assert_eq!(count(&mut here).await, 1, "settings {own:?}");
        let mut there = Watch::socket(&other, None, VIEWERS, variables.clone()).await;
        until(&mut here, 2).await;
        until(&mut there, 2).await;
        let mut second = Watch::sse(&other, None, VIEWERS, variables).await;
        assert_eq!(count(&mut second).await, 3, "a newcomer hears of the viewers of both, settings {own:?}");
        until(&mut here, 3).await;
        drop((there, second));
        until(&mut here, 1).await;
    }
}
