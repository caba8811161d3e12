//! Both tiers together. What needs a Redis runs only when `TEST_REDIS_URL` is set; what stops,
//! kills or restarts one starts its own (`redis-server` on the path) under the same condition.

mod outage;
pub(super) mod shared;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;
use tokio::sync::{Barrier, oneshot};

use super::*;

#[derive(Clone, Debug, PartialEq)]
enum LoadError {
    Broken,
    Slow,
}

impl From<CacheLoadTimeout> for LoadError {
    fn from(_: CacheLoadTimeout) -> Self {
        LoadError::Slow
    }
}

type Loaded = Result<Option<String>, LoadError>;

fn settings(namespace: &str) -> CacheSettings {
    CacheSettings {
        local_capacity_bytes: 1 << 20,
        local_ttl: Duration::from_secs(60),
        remote_ttl: Duration::from_secs(60),
        command_timeout: Duration::from_millis(500),
        load_timeout: Duration::from_secs(5),
        namespace: namespace.to_owned(),
    }
}

fn local_only() -> Cache {
    Cache::new(settings("local"), None)
}

fn key(id: u32) -> CacheKey {
    CacheKey::new("post", id)
}

/// Asks for a value that loads as `text`.
async fn ask(cache: &Cache, key: &CacheKey, text: &str) -> Option<String> {
    let load = async { Loaded::Ok(Some(text.to_owned())) };
    let value = cache.get_or_load(key, load).await.expect("this loader does not fail");
    value.map(|value| (*value).clone())
}

/// 100 tasks miss the same key at once; returns how many loads ran.
async fn burst(cache: &Cache) -> usize {
    let loads = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(100));
    let callers = (0..100).map(|_| {
        let (cache, loads, start) = (cache.clone(), Arc::clone(&loads), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            let load = async {
                loads.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Loaded::Ok(Some("a".to_owned()))
            };
            cache.get_or_load(&key(1), load).await
        })
    });
    for value in join_all(callers).await {
        let value = value.expect("no caller panics").expect("no load fails");
        assert_eq!(value.as_deref().map(String::as_str), Some("a"));
    }
    loads.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_misses_loads_once() {
    assert_eq!(burst(&local_only()).await, 1);
}

#[tokio::test]
async fn a_load_that_began_before_an_invalidation_is_neither_kept_nor_shared() {
    let cache = local_only();
    let key = key(1);
    let (finish, finished) = oneshot::channel::<()>();
    let slow = async {
        finished.await.expect("the test lets the load finish");
        Loaded::Ok(Some("old".to_owned()))
    };
    let mut first = Box::pin(cache.get_or_load(&key, slow));
    assert!(poll!(&mut first).is_pending(), "the first load waits for the test");

    cache.invalidate(std::slice::from_ref(&key)).await;
    assert_eq!(ask(&cache, &key, "new").await.as_deref(), Some("new"), "joined the old load");

    finish.send(()).expect("the first load is still there");
    let first = first.await.expect("the load succeeds");
    assert_eq!(first.as_deref().map(String::as_str), Some("old"), "its own caller came before");
    assert_eq!(ask(&cache, &key, "third").await.as_deref(), Some("new"), "old replaced new");
}

#[tokio::test]
async fn an_old_load_that_ends_last_leaves_nothing() {
    let cache = local_only();
    let key = key(1);
    let (finish, finished) = oneshot::channel::<()>();
    let slow = async {
        finished.await.expect("the test lets the load finish");
        Loaded::Ok(Some("old".to_owned()))
    };
    let mut first = Box::pin(cache.get_or_load(&key, slow));
    assert!(poll!(&mut first).is_pending());
    cache.invalidate_local(std::slice::from_ref(&key));
    finish.send(()).expect("the first load is still there");
    first.await.expect("the load succeeds");
    assert_eq!(ask(&cache, &key, "new").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn errors_are_returned_to_all_and_not_cached() {
    let cache = local_only();
    let key = key(1);
    let broken = || async {
        tokio::task::yield_now().await;
        Loaded::Err(LoadError::Broken)
    };
    let (one, two) = tokio::join!(cache.get_or_load(&key, broken()), cache.get_or_load(&key, broken()));
    assert_eq!((one, two), (Err(LoadError::Broken), Err(LoadError::Broken)));
    assert_eq!(cache.stats().loads, 1, "two callers, one load");
    assert_eq!(ask(&cache, &key, "a").await.as_deref(), Some("a"));
}

#[tokio::test]
async fn absence_is_remembered_until_invalidated() {
    let cache = local_only();
    let key = key(1);
    let absent = cache.get_or_load(&key, async { Loaded::Ok(None) }).await;
    assert_eq!(absent, Ok(None));
    assert_eq!(ask(&cache, &key, "a").await, None, "the absence was not remembered");
    cache.invalidate_in_background(std::slice::from_ref(&key));
    assert_eq!(ask(&cache, &key, "a").await.as_deref(), Some("a"));
}

#[tokio::test]
async fn a_load_that_takes_too_long_fails_for_all_and_is_not_cached() {
    let mut hasty = settings("local");
    hasty.load_timeout = Duration::from_millis(20);
    let cache = Cache::new(hasty, None);
    let key = key(1);
    let never = std::future::pending::<Loaded>;
    let (one, two) = tokio::join!(cache.get_or_load(&key, never()), cache.get_or_load(&key, never()));
    assert_eq!((one, two), (Err(LoadError::Slow), Err(LoadError::Slow)));
    assert_eq!(cache.stats().load_failures, 1);
    assert_eq!(ask(&cache, &key, "a").await.as_deref(), Some("a"));
}

#[tokio::test]
async fn a_cancelled_loader_does_not_take_the_others_down() {
    let cache = local_only();
    let key = key(1);
    let mut first = Box::pin(cache.get_or_load(&key, std::future::pending::<Loaded>()));
    let mut second = Box::pin(ask(&cache, &key, "b"));
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut second).is_pending());
    drop(first);
    assert_eq!(second.await.as_deref(), Some("b"));
}

/// Loads `ids` as their own text, save 404; records what was asked for.
async fn ask_many(cache: &Cache, ids: &[u32], asked: &mut Vec<u32>) -> HashMap<u32, Arc<String>> {
    let load = |mut missing: Vec<u32>| {
        missing.sort_unstable();
        asked.extend(&missing);
        let found = missing.iter().filter(|id| **id != 404).map(|id| (*id, id.to_string()));
        std::future::ready(Ok::<_, LoadError>(found.collect()))
    };
    cache.get_or_load_many("post", ids, load).await.expect("this loader does not fail")
}

#[tokio::test]
async fn a_batch_loads_only_what_is_missing() {
    let cache = local_only();
    ask(&cache, &key(1), "one").await;
    let mut asked = Vec::new();
    let found = ask_many(&cache, &[1, 2, 2, 404], &mut asked).await;
    assert_eq!(asked, [2, 404]);
    assert_eq!(found.len(), 2);
    assert_eq!(*found[&1], "one");
    assert_eq!(*found[&2], "2");
    ask_many(&cache, &[1, 2, 404], &mut asked).await;
    assert_eq!(asked, [2, 404], "the second batch had to load nothing");
    cache.invalidate(&[key(2)]).await;
    ask_many(&cache, &[1, 2], &mut asked).await;
    assert_eq!(asked, [2, 404, 2]);
}

#[tokio::test]
async fn a_failed_batch_caches_nothing() {
    let cache = local_only();
    let broken = |_| std::future::ready(Err::<HashMap<u32, String>, _>(LoadError::Broken));
    let outcome = cache.get_or_load_many("post", &[1_u32], broken).await;
    assert_eq!(outcome, Err(LoadError::Broken));
    assert_eq!(ask(&cache, &key(1), "a").await.as_deref(), Some("a"));
}

/// A batch whose load waits for `go`; counts the loads.
async fn ask_slowly(
    cache: &Cache,
    ids: &[u32],
    loads: &AtomicUsize,
    go: &tokio::sync::Semaphore,
) -> Result<HashMap<u32, Arc<String>>, LoadError> {
    let load = |missing: Vec<u32>| async move {
        loads.fetch_add(missing.len(), Ordering::SeqCst);
        let _permit = go.acquire().await;
        Ok(missing.into_iter().map(|id| (id, id.to_string())).collect())
    };
    cache.get_or_load_many("post", ids, load).await
}

#[tokio::test]
async fn batches_that_miss_the_same_keys_load_each_once() {
    let cache = local_only();
    let (loads, go) = (AtomicUsize::new(0), tokio::sync::Semaphore::new(0));
    // Each shares a key with the next, in both directions: nobody may wait for who waits for it.
    let mut one = Box::pin(ask_slowly(&cache, &[1, 2], &loads, &go));
    let mut two = Box::pin(ask_slowly(&cache, &[2, 3], &loads, &go));
    let mut three = Box::pin(ask_slowly(&cache, &[3, 1], &loads, &go));
    assert!(poll!(&mut one).is_pending());
    assert!(poll!(&mut two).is_pending());
    assert!(poll!(&mut three).is_pending());
    go.add_permits(10);
    let (one, two, three) = tokio::join!(one, two, three);
    for (found, ids) in [(one, [1, 2]), (two, [2, 3]), (three, [3, 1])] {
        let found = found.expect("no load fails");
        assert_eq!(ids.map(|id| found[&id].as_str().to_owned()), ids.map(|id| id.to_string()));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 3, "three keys are three loads");
}

#[tokio::test]
async fn a_batch_whose_loader_left_or_failed_loads_itself() {
    let cache = local_only();
    let (loads, go) = (AtomicUsize::new(0), tokio::sync::Semaphore::new(0));
    let mut leaves = Box::pin(ask_slowly(&cache, &[1], &loads, &go));
    let mut stays = Box::pin(ask_slowly(&cache, &[1], &loads, &go));
    assert!(poll!(&mut leaves).is_pending());
    assert!(poll!(&mut stays).is_pending());
    drop(leaves);
    go.add_permits(10);
    assert_eq!(*stays.await.expect("the second one loads")[&1], "1");

    let mut fails = Box::pin(cache.get_or_load_many("post", &[2_u32], |_| async {
        tokio::task::yield_now().await;
        Err::<HashMap<u32, String>, _>(LoadError::Broken)
    }));
    let mut waits = Box::pin(ask_slowly(&cache, &[2], &loads, &go));
    assert!(poll!(&mut fails).is_pending());
    assert!(poll!(&mut waits).is_pending());
    assert_eq!(fails.await, Err(LoadError::Broken));
    assert_eq!(*waits.await.expect("its own load does not fail")[&2], "2");
}

#[tokio::test]
async fn clear_drops_everything() {
    let cache = local_only();
    ask(&cache, &key(1), "old").await;
    ask(&cache, &key(2), "old").await;
    cache.clear().await;
    assert_eq!(ask(&cache, &key(1), "new").await.as_deref(), Some("new"));
    assert_eq!(ask(&cache, &key(2), "new").await.as_deref(), Some("new"));
}
