//! How the work is done: in which order, by whom, and what happens when something goes wrong.

use std::time::Instant;

use inkstone::jobs::run_due;
use inkstone::store::jobs::Priority;

use super::*;
use crate::deeds::done;

#[tokio::test]
async fn the_most_important_job_comes_first_and_of_equals_the_one_that_is_due_longest() {
    let app = resting().await;
    let at = |seconds| Utc::now() - TimeDelta::seconds(seconds);
    let job = |priority, seconds| NewJob { priority, run_at: at(seconds), ..now("test_only") };
    let mut wanted = Vec::new();
    for (place, priority, seconds) in [
        (3, Priority::LOW, 100),
        (1, Priority::NORMAL, 20),
        (2, Priority::NORMAL, 10),
        (0, Priority::HIGH, 1),
        // Its time is to come.
        (9, Priority::HIGH, -3600),
    ] {
        wanted.push((place, ask(&app, &job(priority, seconds)).await));
    }
    wanted.sort_unstable();
    let mut crew = Crew::start(&app, 1, |_| Act::Finish);
    for (place, id) in &wanted[..4] {
        assert_eq!(crew.begun().await.id, *id, "in place {place}");
    }
    crew.stop().await;
    assert_eq!(shown(&app, wanted[4].1).await["state"], "QUEUED");
}

#[tokio::test]
async fn what_was_edited_is_read_before_what_is_new() {
    let app = resting().await;
    let owner = app.tokens.owner.clone();
    let made = async |title: &str| {
        let input = json!({ "title": title, "markdown": "Of it." });
        let post = done(&app, &owner, "createPost", "post { id version }", input).await["post"].take();
        done(&app, &owner, "publishPost", "post { id }", json!({ "id": post["id"] })).await;
        post
    };
    let old = made("Old").await;
    Box::pin(run_due(&app.services)).await.expect("the jobs are done");
    made("New").await;
    let input = json!({ "id": old["id"], "basedOnVersion": 2, "markdown": "Of something else." });
    done(&app, &owner, "updatePost", "post { id }", input).await;
    let mut tx = app.services.db.begin().await.expect("a transaction");
    let first = jobs::claim(&mut tx, Utc::now(), Utc::now(), &[]).await.expect("the queue").expect("a job");
    let found = inkstone::store::posts::by_ids(&mut tx, &[first.subject]).await.expect("the post");
    assert_eq!((first.kind.as_str(), found[0].title.as_str()), ("index_post", "Old"));
    tx.rollback().await.expect("nothing is changed");
}

#[tokio::test]
async fn asking_again_makes_no_second_job_and_keeps_the_higher_priority() {
    let app = resting().await;
    let job = NewJob { priority: Priority::HIGH, payload: json!({ "from": 1 }), ..now("test_only") };
    let first = ask(&app, &job).await;
    let again = NewJob { priority: Priority::LOW, payload: json!({ "from": 2 }), ..job };
    assert_eq!(ask(&app, &again).await, first);
    assert_eq!(shown(&app, first).await["priority"], 10);
    let mut crew = Crew::start(&app, 1, |_| Act::Finish);
    assert_eq!(crew.begun().await.payload, json!({ "from": 2 }), "what was said last counts");
    crew.stop().await;
}

#[tokio::test]
async fn several_are_worked_on_at_once_and_no_more_than_that() {
    let app = resting().await;
    let gate = Arc::new(Semaphore::new(0));
    let gate_of = gate.clone();
    let mut crew = Crew::start(&app, 2, move |_| Act::Steps(1, gate_of.clone()));
    for _ in 0..3 {
        ask(&app, &now("test_only")).await;
    }
    let (one, two) = (crew.begun().await, crew.begun().await);
    assert_ne!(one.id, two.id);
    gate.add_permits(1);
    let left = crew.next().await;
    assert!(matches!(left, Seen::Left(_)), "the third begins when one of the two is done: {left:?}");
    let third = crew.begun().await;
    assert!(third.id != one.id && third.id != two.id);
    gate.add_permits(2);
    crew.stop().await;
}

#[tokio::test]
async fn long_jobs_leave_a_place_to_quick_ones() {
    let app = resting().await;
    let gate = Arc::new(Semaphore::new(0));
    let gate_of = gate.clone();
    let act = move |job: &Claimed| if job.kind == LONG { Act::Steps(1, gate_of.clone()) } else { Act::Finish };
    let mut crew = Crew::start(&app, 2, act);
    let first = ask(&app, &NewJob { priority: Priority::HIGH, ..now(LONG) }).await;
    let second = ask(&app, &NewJob { priority: Priority::HIGH, ..now(LONG) }).await;
    let begun = crew.begun().await.id;
    assert!(begun == first || begun == second);
    for _ in 0..3 {
        let quick = ask(&app, &now("test_only")).await;
        assert_eq!(crew.begun().await.id, quick, "it does not wait for what takes long");
        assert_eq!(crew.next().await, Seen::Left(quick));
    }
    gate.add_permits(1);
    assert_eq!(crew.next().await, Seen::Left(begun));
    let begun_at = Instant::now();
    let other = crew.begun().await.id;
    assert_eq!(other, if begun == first { second } else { first });
    assert!(begun_at.elapsed() < Duration::from_secs(3), "the other one begins when the first is done");
    gate.add_permits(1);
    assert_eq!(crew.next().await, Seen::Left(other));
    crew.stop().await;

    // Who works alone does them too.
    let mut alone = Crew::start(&app, 1, |_| Act::Finish);
    let long = ask(&app, &now(LONG)).await;
    assert_eq!(alone.begun().await.id, long);
    alone.stop().await;
}

#[tokio::test]
async fn a_job_of_a_worker_that_died_is_taken_over() {
    let app = resting().await;
    let id = ask(&app, &NewJob { run_at: Utc::now() - TimeDelta::days(9), ..now("test_only") }).await;
    let mut tx = app.services.db.begin().await.expect("a transaction");
    let past = Utc::now() - TimeDelta::seconds(1);
    let dead = jobs::claim(&mut tx, Utc::now(), past, &[]).await.expect("the queue is read").expect("a job is due");
    tx.commit().await.expect("it is claimed");
    assert_eq!(dead.id, id);
    let mut crew = Crew::start(&app, 1, |_| Act::Finish);
    let heir = crew.begun().await;
    assert_eq!((heir.id, heir.attempts), (id, 2), "the lost attempt counts");
    assert_eq!(until(&app, id, "DONE").await["attempts"], 2);
    crew.stop().await;
}

#[tokio::test]
async fn a_job_that_kills_its_workers_is_given_up() {
    let app = resting().await;
    let id = ask(&app, &NewJob { max_attempts: 2, run_at: Utc::now() - TimeDelta::days(9), ..now("test_only") }).await;
    for _ in 0..2 {
        let mut tx = app.services.db.begin().await.expect("a transaction");
        let past = Utc::now() - TimeDelta::seconds(1);
        assert_eq!(
            jobs::claim(&mut tx, Utc::now(), past, &[]).await.expect("the queue is read").expect("a job").id,
            id
        );
        tx.commit().await.expect("it is claimed");
    }
    let crew = Crew::start(&app, 1, |_| Act::Finish);
    let job = until(&app, id, "DEAD").await;
    assert_eq!(job["lastError"], "no worker has lived to the end of its 2 attempts");
    crew.stop().await;
}

#[tokio::test]
async fn a_worker_that_stops_gives_its_jobs_back() {
    let app = resting().await;
    let id = ask(&app, &now("test_only")).await;
    let mut crew = Crew::start(&app, 2, |_| Act::Hang);
    assert_eq!(crew.begun().await.attempts, 1);
    crew.stop().await;
    let job = shown(&app, id).await;
    assert_eq!((&job["state"], &job["attempts"]), (&json!("QUEUED"), &json!(0)), "the attempt does not count");
    let mut next = Crew::start(&app, 2, |_| Act::Finish);
    assert_eq!(next.begun().await.id, id, "another one has it at once");
    until(&app, id, "DONE").await;
    next.stop().await;
}

#[tokio::test]
async fn a_worker_that_stops_lets_a_job_finish_within_the_grace() {
    let app = resting().await;
    let gate = Arc::new(Semaphore::new(0));
    let gate_of = gate.clone();
    let settings = WorkerSettings { at_once: 1, grace: PATIENCE };
    let mut crew = Crew::with(&app, settings, PATIENCE, move |_| Act::Steps(1, gate_of.clone()));
    let (id, waiting) = (ask(&app, &now("test_only")).await, ask(&app, &now("test_only")).await);
    assert_eq!(crew.begun().await.id, id);
    crew.stop.cancel();
    gate.add_permits(2);
    crew.stop().await;
    assert_eq!(shown(&app, id).await["state"], "DONE");
    assert_eq!(shown(&app, waiting).await["state"], "QUEUED", "it begins nothing new");
}

#[tokio::test]
async fn later_is_no_failure() {
    let app = resting().await;
    let id = ask(&app, &NewJob { max_attempts: 1, ..now("test_only") }).await;
    let times = std::sync::atomic::AtomicU32::new(0);
    let mut crew = Crew::start(&app, 1, move |_| {
        let time = times.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if time < 2 { Act::Later(TimeDelta::milliseconds(50)) } else { Act::Finish }
    });
    for _ in 0..3 {
        let job = crew.begun().await;
        assert_eq!((job.id, job.attempts), (id, 1), "it never counts");
    }
    let done = until(&app, id, "DONE").await;
    assert_eq!((&done["attempts"], &done["lastError"]), (&json!(1), &Value::Null));
    crew.stop().await;
}

#[tokio::test]
async fn a_panic_and_a_handler_without_end_are_failures() {
    let app = resting().await;
    let settings = WorkerSettings { at_once: 2, grace: Duration::ZERO };
    let limit = Duration::from_secs(1);
    let crew = Crew::with(&app, settings, limit, |job| if job.kind == "panics" { Act::Panic } else { Act::Hang });
    for (kind, says) in [("panics", "panicked"), ("hangs", "it took longer than 1 s")] {
        let id = ask(&app, &NewJob { max_attempts: 1, ..now(kind) }).await;
        let error = until(&app, id, "DEAD").await["lastError"].take();
        assert!(error.as_str().is_some_and(|error| error.contains(says)), "{kind}: {error}");
    }
    crew.stop().await;
}

#[tokio::test]
async fn what_is_cancelled_or_asked_for_again_stops_where_it_is() {
    let app = resting().await;
    let job = now("test_only");
    let id = ask(&app, &job).await;
    let mut crew = Crew::start(&app, 1, |_| Act::Hang);
    assert_eq!(crew.begun().await.id, id);
    ask(&app, &job).await;
    assert_eq!(crew.next().await, Seen::Left(id), "what it would have done is old");
    assert_eq!(crew.begun().await.attempts, 1, "it begins anew");
    let input = json!({ "id": global(id) });
    done(&app, &app.tokens.owner, "cancelJob", "job { state }", input.clone()).await;
    assert_eq!(crew.next().await, Seen::Left(id));
    let job = shown(&app, id).await;
    assert_eq!((&job["state"], &job["lastError"]), (&json!("CANCELLED"), &Value::Null));
    done(&app, &app.tokens.owner, "retryJob", "job { state }", input).await;
    assert_eq!(crew.begun().await.id, id, "the owner may change their mind");
    crew.stop().await;
}

#[tokio::test]
async fn progress_is_told_while_it_is_made() {
    let app = resting().await;
    let gate = Arc::new(Semaphore::new(0));
    let gate_of = gate.clone();
    let crew = Crew::start(&app, 1, move |_| Act::Steps(500, gate_of.clone()));
    let mut all = Socket::connect(&app, Some(&app.tokens.owner)).await;
    all.subscribe("all", "subscription { jobProgress { job { id state progress { done } } } }", json!({})).await;
    let id = ask(&app, &now("test_only")).await;
    let mut socket = watch(&app, id).await;
    let (mut told, mut passed) = (0, 0);
    for reached in [3, 200, 500] {
        gate.add_permits(reached - passed);
        passed = reached;
        loop {
            let job = socket.event().await["jobProgress"]["job"].take();
            let done = job["progress"]["done"].as_u64().unwrap_or(0);
            assert!(done >= told && (done == 0 || job["progress"]["total"] == 500), "it never goes back: {job}");
            told = done;
            if done == reached as u64 && (reached < 500 || job["state"] == "DONE") {
                break;
            }
        }
    }
    assert_eq!(socket.receive().await["type"], "complete");
    // Who watches all of them hears of this one, too, and its end is not theirs.
    loop {
        let job = all.event().await["jobProgress"]["job"].take();
        if job["id"] == global(id) && job["state"] == "DONE" {
            break;
        }
    }
    crew.stop().await;
}
