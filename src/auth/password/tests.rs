//! Hashing and checking: what fits what, and who is turned away.

use std::task::Poll;

use super::*;

const GOOD: &str = "wet stone, dry brush";

fn cheap() -> Passwords {
    Passwords::with_cost(Cost::LEAST)
}

fn good() -> String {
    GOOD.to_owned()
}

#[tokio::test]
async fn a_hash_fits_its_own_password_only() {
    let passwords = cheap();
    let hash = passwords.hash(good()).await.expect("the password is fit");
    assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
    assert!(passwords.verify(good(), Some(hash.clone())).await.expect("the hash is well formed"));
    let wrong = GOOD.replace("wet", "Wet");
    assert!(!passwords.verify(wrong, Some(hash.clone())).await.expect("the hash is well formed"));
    assert_ne!(passwords.hash(good()).await.expect("the password is fit"), hash, "each has its own salt");
}

#[tokio::test]
async fn a_hash_of_another_cost_still_fits() {
    let hash = Passwords::with_cost(Cost::new(16, 2, 1)).hash(good()).await.expect("the password is fit");
    assert!(cheap().verify(good(), Some(hash)).await.expect("the hash is well formed"));
}

#[tokio::test]
async fn an_unknown_user_is_refused_after_a_whole_hashing() {
    let passwords = cheap();
    assert!(!passwords.verify(good(), None).await.expect("the dummy is well formed"));
    assert!(!passwords.verify(String::new(), None).await.expect("the dummy is well formed"));

    let unreadable = Passwords { dummy: "garbage".into(), ..cheap() };
    let outcome = unreadable.verify(good(), None).await;
    assert!(matches!(outcome, Err(PasswordError::StoredHash(_))), "the dummy is not read: {outcome:?}");

    let hash = passwords.hash(good()).await.expect("the password is fit");
    let matching = Passwords { dummy: hash.into(), ..passwords };
    assert!(!matching.verify(good(), None).await.expect("the dummy is well formed"), "nobody signed in");
}

#[test]
fn the_dummy_costs_what_a_real_hash_costs() {
    let real: PasswordHash = Argon2::new(Algorithm::Argon2id, Version::V0x13, Cost::LEAST.0)
        .hash_password(GOOD.as_bytes())
        .expect("the cost is valid");
    let dummy = dummy_hash(&Cost::LEAST.0);
    let dummy = PasswordHash::new(&dummy).expect("the dummy is well formed");
    assert_eq!((dummy.algorithm, dummy.version), (real.algorithm, real.version));
    assert_eq!(dummy.params.as_str(), real.params.as_str());
    assert_eq!(dummy.salt.map(|salt| salt.len()), real.salt.map(|salt| salt.len()));
    assert_eq!(dummy.hash.map(|hash| hash.len()), real.hash.map(|hash| hash.len()));
    assert!(dummy_hash(&Cost::OWASP.0).contains("$m=19456,t=2,p=1$"));
}

#[tokio::test]
async fn an_overlong_password_matches_nothing_and_an_unreadable_hash_is_an_error() {
    let passwords = cheap();
    assert!(!passwords.verify("ab".repeat(101), Some("garbage".into())).await.expect("it is not even looked at"));
    for hash in ["garbage", "", "$scrypt$ln=1,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAA"] {
        let outcome = passwords.verify(good(), Some(hash.into())).await;
        assert!(matches!(outcome, Err(PasswordError::StoredHash(_))), "{hash:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_unfit_password_is_refused_without_a_place() {
    let passwords = cheap().with_limits(1, 0);
    let _all = passwords.admit().await.expect("the first place is free");
    let outcome = passwords.hash("short".into()).await;
    assert!(matches!(outcome, Err(PasswordError::Unfit(Unfit::TooShort { chars: 5 }))), "{outcome:?}");
}

#[tokio::test]
async fn who_finds_the_queue_full_is_turned_away_at_once() {
    let passwords = cheap().with_limits(1, 1);
    let running = passwords.admit().await.expect("the first place is free");
    let mut waiting = Box::pin(passwords.verify(good(), None));
    assert!(futures_util::poll!(&mut waiting).is_pending(), "one may wait");
    let refused = futures_util::poll!(Box::pin(passwords.verify(good(), None)));
    assert!(matches!(refused, Poll::Ready(Err(PasswordError::Busy))), "{refused:?}");
    drop(running);
    assert!(!waiting.await.expect("the waiting one gets its turn"));
    assert!(passwords.verify(good(), None).await.is_ok(), "all places are free again");
}

#[tokio::test]
async fn a_waiting_caller_that_leaves_frees_its_place() {
    let passwords = cheap().with_limits(1, 1);
    let _running = passwords.admit().await.expect("the first place is free");
    let mut leaves = Box::pin(passwords.verify(good(), None));
    assert!(futures_util::poll!(&mut leaves).is_pending());
    drop(leaves);
    assert_eq!(passwords.places.available_permits(), 1);
}
