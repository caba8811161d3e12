use super::super::tests::shared::{connect, redis};
use super::*;

const QUOTA: Quota = Quota { points: 10, period: Duration::from_secs(60) };

fn alone() -> Limiter {
    Limiter::new(None, "test", Duration::from_millis(50))
}

async fn spend(limiter: &Limiter, points: u64) -> Taken {
    limiter.take("somebody", QUOTA, points).await
}

#[tokio::test]
async fn points_are_spent_and_then_refused_until_they_are_back() {
    let limiter = alone();
    for left in (0..10).rev() {
        let taken = spend(&limiter, 1).await;
        assert!(taken.allowed && taken.remaining == left, "{left} should be left: {taken:?}");
    }
    let refused = spend(&limiter, 1).await;
    assert!(!refused.allowed, "the eleventh is too much");
    assert!(refused.retry_after <= Duration::from_secs(6), "a point comes back every 6 s: {refused:?}");
    assert!(refused.retry_after > Duration::from_secs(5), "a point comes back every 6 s: {refused:?}");
    let more = spend(&limiter, 5).await;
    assert!(more.retry_after > Duration::from_secs(29), "five points take 30 s: {more:?}");
    assert!(limiter.take("another", QUOTA, 1).await.allowed, "each client has its own points");
}

#[tokio::test]
async fn what_was_refused_costs_nothing() {
    let limiter = alone();
    assert!(spend(&limiter, 9).await.allowed);
    for _ in 0..100 {
        assert!(!spend(&limiter, 2).await.allowed);
    }
    assert!(spend(&limiter, 1).await.allowed, "the last point is still there");
}

#[tokio::test]
async fn more_than_everything_is_everything() {
    let limiter = alone();
    let all = spend(&limiter, 1_000_000).await;
    assert!(all.allowed && all.remaining == 0, "a full purse pays the dearest request: {all:?}");
    assert!(!spend(&limiter, 1_000_000).await.allowed, "and then it is empty");
}

async fn owes(limiter: &Limiter) {
    assert!(spend(limiter, 9).await.allowed);
    let owed = limiter.owe("somebody", QUOTA, 6).await;
    assert!(owed.allowed && owed.remaining == 0, "what is done is done: {owed:?}");
    let refused = spend(limiter, 1).await;
    assert!(
        !refused.allowed && refused.retry_after > Duration::from_secs(30),
        "five and one come back first: {refused:?}"
    );
}

#[tokio::test]
async fn what_is_owed_comes_back_before_anything_can_be_spent() {
    owes(&alone()).await;
}

#[tokio::test]
async fn what_is_owed_is_owed_to_all_replicas() {
    let Some((url, namespace)) = redis() else { return };
    owes(&Limiter::new(Some(connect(&url).await), &namespace, Duration::from_secs(5))).await;
}

#[tokio::test]
async fn at_no_moment_does_more_than_the_quota_pass() {
    let quota = Quota { points: 50, period: Duration::from_millis(200) };
    let (limiter, begun) = (alone(), Instant::now());
    let mut passed = 0u32;
    while begun.elapsed() < Duration::from_millis(600) {
        passed += u32::from(limiter.take("eager", quota, 1).await.allowed);
        tokio::task::yield_now().await;
    }
    let most = 50.0 + 50.0 * begun.elapsed().as_secs_f64() / 0.2;
    assert!(f64::from(passed) <= most + 1.0, "{passed} passed, at most {most} may");
    assert!(passed >= 150, "what came back can be spent: {passed}");
}

#[tokio::test]
async fn replicas_count_together() {
    let Some((url, namespace)) = redis() else { return };
    let replica = async || Limiter::new(Some(connect(&url).await), &namespace, Duration::from_secs(5));
    let (one, two) = (replica().await, replica().await);
    for n in 0..5 {
        assert!(spend(&one, 1).await.allowed && spend(&two, 1).await.allowed, "round {n}");
    }
    assert!(!spend(&one, 1).await.allowed && !spend(&two, 1).await.allowed, "ten are spent, wherever");
    let elsewhere = Limiter::new(Some(connect(&url).await), &format!("{namespace}2"), Duration::from_secs(5));
    assert!(spend(&elsewhere, 1).await.allowed, "another site has its own points");
}
