//! Two caches that share one Redis, as two servers do. Needs `TEST_REDIS_URL`.

use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::Expiration;

use super::super::tier::{Found, MAX_FILLS};
use super::*;

/// A namespace of this test's own, and the URL; `None` skips the test.
pub(in crate::cache) fn redis() -> Option<(String, String)> {
    let url = std::env::var("TEST_REDIS_URL").ok()?;
    Some((url, format!("test{:016x}", rand::random::<u64>())))
}

pub(in crate::cache) async fn connect(url: &str) -> Remote {
    Remote::connect(url).await.expect("the test's Redis can be reached")
}

/// Waits, without a fixed time, until the condition holds; fails after 10 s.
pub(super) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let outcome = timeout(Duration::from_secs(10), poll).await;
    assert!(outcome.is_ok(), "after 10 s still not so: {what}");
}

pub(super) async fn ready(cache: &Cache) {
    until("Redis is in use", async || cache.stats().remote_up).await;
}

/// A cache of this namespace with a connection of its own, ready.
pub(super) async fn server(url: &str, namespace: &str) -> Cache {
    let cache = Cache::new(settings(namespace), Some(connect(url).await));
    ready(&cache).await;
    cache
}

fn client(cache: &Cache) -> fred::clients::Client {
    let tier = cache.inner.tier.as_ref().expect("this cache has a Redis");
    tier.remote.publisher()
}

async fn raw(cache: &Cache, namespace: &str, id: u32) -> Option<Vec<u8>> {
    let name = format!("ink:{namespace}:post:{id}");
    client(cache).get(name).await.expect("Redis answers")
}

/// Waits for the background fill of this key.
pub(super) async fn filled(cache: &Cache, namespace: &str, id: u32) {
    until("the value is in Redis", async || raw(cache, namespace, id).await.is_some_and(|raw| raw.starts_with(b"1V")))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_misses_loads_once_with_redis() {
    let Some((url, namespace)) = redis() else {
        return;
    };
    let cache = server(&url, &namespace).await;
    assert_eq!(burst(&cache).await, 1);
    assert_eq!(cache.stats().remote_misses, 1, "100 callers, one read of Redis");
}

#[tokio::test]
async fn what_one_server_loads_the_other_reads() {
    let Some((url, namespace)) = redis() else {
        return;
    };
    let (a, b) = (server(&url, &namespace).await, server(&url, &namespace).await);
    ask(&a, &key(1), "one").await;
    filled(&a, &namespace, 1).await;
    assert_eq!(ask(&b, &key(1), "other").await.as_deref(), Some("one"));
    let mut asked = Vec::new();
    ask_many(&b, &[1, 2, 3], &mut asked).await;
    assert_eq!(asked, [2, 3]);
    filled(&b, &namespace, 2).await;
    filled(&b, &namespace, 3).await;
    let mut asked = Vec::new();
    assert_eq!(ask_many(&a, &[1, 2, 3], &mut asked).await.len(), 3);
    assert_eq!(asked, [] as [u32; 0]);
    let stats = b.stats();
    assert_eq!((stats.remote_hits, stats.remote_misses), (1, 2));
}

#[tokio::test]
async fn an_invalidation_reaches_redis_before_it_returns() {
    let Some((url, namespace)) = redis() else {
        return;
    };
    let (a, b) = (server(&url, &namespace).await, server(&url, &namespace).await);
    ask(&a, &key(1), "old").await;
    filled(&a, &namespace, 1).await;
    a.invalidate(&[key(1)]).await;
    assert_eq!(raw(&a, &namespace, 1).await.as_deref(), Some(b"1T".as_slice()));
    assert_eq!(a.stats().pending_invalidations, 0);
    assert_eq!(ask(&b, &key(1), "new").await.as_deref(), Some("new"));
    assert_eq!(ask(&a, &key(1), "new").await.as_deref(), Some("new"));
    assert_eq!(raw(&a, &namespace, 1).await.as_deref(), Some(b"1T".as_slice()), "filled a tombstone");
}

#[tokio::test]
async fn the_tailer_drops_the_value_on_the_other_server() {
    let Some((url, namespace)) = redis() else {
        return;
    };
    let (a, b) = (server(&url, &namespace).await, server(&url, &namespace).await);
    ask(&a, &key(1), "old").await;
    filled(&a, &namespace, 1).await;
    assert_eq!(ask(&b, &key(1), "-").await.as_deref(), Some("old"));
    a.invalidate(&[key(1)]).await;
    assert_eq!(ask(&b, &key(1), "new").await.as_deref(), Some("old"), "before b hears of it");
    b.invalidate_in_background(&[key(1)]);
    assert_eq!(ask(&b, &key(1), "new").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn an_old_load_on_another_server_does_not_fill_redis() {
    let Some((url, namespace)) = redis() else {
        return;
    };
    let (a, b) = (server(&url, &namespace).await, server(&url, &namespace).await);
    let (began, begun) = oneshot::channel();
    let (finish, finished) = oneshot::channel::<()>();
    let slow = async {
        began.send(()).expect("the test waits for this");
        finished.await.expect("the test lets the load finish");
        Loaded::Ok(Some("old".to_owned()))
    };
    let one = key(1);
    let old = async { b.get_or_load(&one, slow).await };
    let change = async {
        begun.await.expect("the load of b begins");
        a.invalidate(&[key(1)]).await;
        finish.send(()).expect("the load of b is under way");
    };
    let (old, ()) = tokio::join!(old, change);
    old.expect("the load succeeds");
    // The permit of a fill comes back when the fill is done.
    let tier = b.inner.tier.as_ref().expect("b has a Redis");
    until("the fill has ended", async || tier.fills.available_permits() == MAX_FILLS).await;
    assert_eq!(raw(&a, &namespace, 1).await.as_deref(), Some(b"1T".as_slice()));
    assert_eq!(ask(&a, &key(1), "new").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_key_whose_invalidation_is_on_its_way_is_not_read_from_redis() {
    let Some((url, namespace)) = redis() else {
        return;
    };
    let (a, b) = (server(&url, &namespace).await, server(&url, &namespace).await);
    ask(&a, &key(1), "old").await;
    filled(&a, &namespace, 1).await;
    // Added behind the worker's back, so that it stays on its way.
    let tier = b.inner.tier.as_ref().expect("b has a Redis");
    tier.pending.add(&[key(1)]);
    assert_eq!(ask(&b, &key(1), "new").await.as_deref(), Some("new"));
    assert_eq!(b.stats().remote_skipped, 1);
    let mut asked = Vec::new();
    b.invalidate_local(&[key(1)]);
    ask_many(&b, &[1, 2], &mut asked).await;
    assert_eq!(asked, [1, 2]);
}

#[tokio::test]
async fn redis_refuses_a_fill_that_comes_too_late_or_from_another_epoch() {
    let Some((url, namespace)) = redis() else {
        return;
    };
    let cache = server(&url, &namespace).await;
    let tier = cache.inner.tier.as_ref().expect("the cache has a Redis");
    let found = tier.read(&[key(1)]).await.ok().and_then(|mut found| found.pop());
    let Some(Found::Nothing(leave)) = found else {
        panic!("a fresh namespace holds nothing");
    };
    let value = || wire::encode(&leave.epoch, b"\"a\"");
    let mut late = leave.clone();
    late.until_ms -= 3_600_000;
    assert!(!tier.fill_now(&key(1), value(), &late).await.expect("Redis answers"));
    assert_eq!(raw(&cache, &namespace, 1).await, None);
    assert!(tier.fill_now(&key(1), value(), &leave).await.expect("Redis answers"));
    cache.clear().await;
    assert!(!tier.fill_now(&key(2), value(), &leave).await.expect("Redis answers"));
    assert_eq!(ask(&cache, &key(1), "b").await.as_deref(), Some("b"), "a value of the old epoch");
}

#[tokio::test]
async fn a_corrupted_value_is_a_miss_and_gets_replaced() {
    let Some((url, namespace)) = redis() else {
        return;
    };
    let (a, b) = (server(&url, &namespace).await, server(&url, &namespace).await);
    ask(&a, &key(1), "one").await;
    filled(&a, &namespace, 1).await;
    let mut broken = raw(&a, &namespace, 1).await.expect("the value is in Redis");
    broken.truncate(broken.len() - 2);
    for broken in [broken, b"".to_vec(), b"\xff\xfe".to_vec()] {
        let name = format!("ink:{namespace}:post:1");
        let ttl = Some(Expiration::EX(60));
        let client = client(&a);
        let set = client.set::<(), _, _>(name, broken.as_slice(), ttl, None, false);
        set.await.expect("Redis answers");
        b.invalidate_local(&[key(1)]);
        assert_eq!(ask(&b, &key(1), "two").await.as_deref(), Some("two"));
        until("the broken value is replaced", async || {
            raw(&a, &namespace, 1).await.is_some_and(|raw| raw.ends_with(b"\"two\""))
        })
        .await;
    }
}

#[tokio::test]
async fn a_flushed_redis_gets_a_new_epoch() {
    let Some((url, namespace)) = redis() else {
        return;
    };
    let cache = server(&url, &namespace).await;
    ask(&cache, &key(1), "old").await;
    filled(&cache, &namespace, 1).await;
    let epoch = format!("ink:{namespace}:epoch");
    client(&cache).del::<(), _>(&epoch).await.expect("Redis answers");
    cache.invalidate_local(&[key(1)]);
    assert_eq!(ask(&cache, &key(1), "new").await.as_deref(), Some("new"));
    ready(&cache).await;
    assert!(client(&cache).exists::<bool, _>(&epoch).await.expect("Redis answers"));
    ask(&cache, &key(2), "two").await;
    filled(&cache, &namespace, 2).await;
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let Some((url, namespace)) = redis() else {
        return;
    };
    let (a, b) = (server(&url, &namespace).await, server(&url, &format!("{namespace}:b")).await);
    ask(&a, &key(1), "a").await;
    filled(&a, &namespace, 1).await;
    assert_eq!(ask(&b, &key(1), "b").await.as_deref(), Some("b"));
}

#[tokio::test]
async fn the_link_publishes_and_subscribes() {
    use fred::interfaces::{EventInterface, PubsubInterface};
    let Some((url, channel)) = redis() else {
        return;
    };
    let remote = connect(&url).await;
    let subscriber = remote.subscriber().await.expect("a second connection");
    let mut messages = subscriber.message_rx();
    subscriber.subscribe(&channel).await.expect("Redis answers");
    let count: i64 = remote.publisher().publish(&channel, "x").await.expect("Redis answers");
    assert_eq!(count, 1);
    let message = messages.recv().await.expect("the message arrives");
    assert_eq!(message.value.as_string().as_deref(), Some("x"));
    subscriber.quit().await.expect("the connection ends");
    remote.close().await;
    assert!(!remote.is_up());
}
