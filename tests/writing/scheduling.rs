//! Posts that go live by themselves.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use inkstone::events::Cursor;
use inkstone::store::events::LogPosition;
use inkstone::store::jobs;
use serde_json::{Value, json};

use crate::deeds::{POST, attempt, done, draft, post, published, refused, text};
use crate::support::live::Socket;
use crate::support::stored_text;
use crate::support::{TestApp, on_real_servers};

const WATCH: &str = "subscription($after: String) { postPublished(after: $after) { cursor post { id publishedAt } } }";

async fn watch(app: &TestApp, after: Option<&str>) -> Socket {
    let mut socket = Socket::connect(app, None).await;
    socket.subscribe("1", WATCH, json!({ "after": after })).await;
    socket
}

/// The next post that went live, as the subscription tells it.
async fn gone_live(socket: &mut Socket) -> Value {
    socket.event().await["postPublished"].take()
}

/// The cursor of the newest event, to resume from: a subscription that begins now may begin too late.
async fn newest(app: &TestApp) -> String {
    let newest = "(SELECT xid::text || ' ' || id::text FROM events ORDER BY xid DESC, id DESC LIMIT 1)";
    let position = stored_text(&app.services, newest).await;
    let (xid, id) = position.split_once(' ').expect("two numbers");
    let number = |text: &str| text.parse().expect("a number");
    Cursor::at(LogPosition { xid: number(xid), id: number(id) }).encode()
}

async fn schedule(app: &TestApp, id: &str, at: DateTime<Utc>) -> Value {
    let input = json!({ "id": id, "publishAt": at });
    done(app, &app.tokens.editor, "schedulePost", POST, input).await["post"].take()
}

#[tokio::test]
async fn a_plan_in_the_past_or_for_a_public_post_is_refused() {
    let app = TestApp::start().await;
    let editor = Some(app.tokens.editor.as_str());
    let id = draft(&app, "Too late").await;
    for at in [Utc::now() - Duration::milliseconds(1), Utc::now() - Duration::days(400)] {
        let answer = refused(&app, editor, "schedulePost", json!({ "id": id, "publishAt": at })).await;
        assert_eq!(answer, json!([["INVALID", "publishAt"]]), "{at} has passed");
    }
    for far in ["+10000-01-01T00:00:00Z", "+262000-01-01T00:00:00Z", "0999-12-31T23:59:59Z", "-5000-01-01T00:00:00Z"] {
        let input = json!({ "id": id, "publishAt": far });
        let answer = attempt(&app, editor, "schedulePost", POST, input).await;
        let fault = &answer["data"]["done"]["userErrors"][0];
        assert_eq!((&fault["code"], &fault["field"]), (&json!("INVALID"), &json!("publishAt")), "{far}: {answer:#}");
        let message = fault["message"].as_str().expect("a message");
        assert!(message.contains("in the years 1000 to 9999"), "it should say what is allowed: {message}");
    }
    let public = published(&app, "Here already").await;
    let input = json!({ "id": public, "publishAt": Utc::now() + Duration::days(1) });
    assert_eq!(refused(&app, editor, "schedulePost", input).await, json!([["WRONG_STATE", "id"]]));
}

#[tokio::test]
async fn a_planned_post_is_hidden_until_its_time() {
    let app = TestApp::start().await;
    let id = draft(&app, "Tomorrow").await;
    let at = Utc::now() + Duration::days(1);
    let planned = schedule(&app, &id, at).await;
    assert_eq!(planned["status"], "SCHEDULED");
    let told: DateTime<Utc> = text(&planned["publishedAt"]).parse().expect("a time");
    assert!((told - at).abs() < Duration::milliseconds(1), "it tells when it will go live: {told}, not {at}");
    assert_eq!(post(&app, None, &id, "id").await, Value::Null, "readers do not see it yet");

    let now = done(&app, &app.tokens.owner, "publishPost", POST, json!({ "id": id })).await;
    let told: DateTime<Utc> = text(&now["post"]["publishedAt"]).parse().expect("a time");
    assert!(told <= Utc::now(), "published by hand, it carries the date of that moment: {told}");
}

#[tokio::test]
async fn a_planned_post_goes_live_by_itself_exactly_once() {
    let app = TestApp::start().await;
    let after = newest(&app).await;
    let mut socket = watch(&app, Some(&after)).await;
    let id = draft(&app, "In a second").await;
    // A plan that is changed is one plan.
    schedule(&app, &id, Utc::now() + Duration::days(1)).await;
    let planned = schedule(&app, &id, Utc::now() + Duration::milliseconds(1500)).await;
    let told = gone_live(&mut socket).await;
    assert_eq!(told["post"], json!({ "id": id, "publishedAt": planned["publishedAt"] }), "it goes live by itself");
    let at: DateTime<Utc> = text(&planned["publishedAt"]).parse().expect("a time");
    assert!(Utc::now() >= at, "and not before its time");
    let shown = post(&app, None, &id, "status version publishedAt").await;
    assert_eq!(shown, json!({ "status": "PUBLISHED", "version": 4, "publishedAt": planned["publishedAt"] }));

    let marker = published(&app, "Afterwards").await;
    assert_eq!(gone_live(&mut socket).await["post"]["id"], json!(marker), "it went live once");
}

#[tokio::test]
async fn a_plan_that_is_dropped_or_deleted_in_time_does_not_happen() {
    let app = TestApp::start().await;
    let after = newest(&app).await;
    let mut socket = watch(&app, Some(&after)).await;
    let (dropped, archived, deleted, later) = (
        draft(&app, "Dropped").await,
        draft(&app, "Archived").await,
        draft(&app, "Deleted").await,
        draft(&app, "Later").await,
    );
    // Time enough to change one's mind, also on a busy machine.
    let at = Utc::now() + Duration::seconds(4);
    for id in [&dropped, &archived, &deleted] {
        schedule(&app, id, at).await;
    }
    let owner = &app.tokens.owner;
    let back = done(&app, owner, "unpublishPost", POST, json!({ "id": dropped })).await;
    assert_eq!((&back["post"]["status"], &back["post"]["publishedAt"]), (&json!("DRAFT"), &Value::Null));
    done(&app, owner, "unpublishPost", POST, json!({ "id": archived, "archive": true })).await;
    done(&app, owner, "deletePost", "deletedId", json!({ "id": deleted })).await;
    schedule(&app, &later, at + Duration::milliseconds(300)).await;

    assert_eq!(gone_live(&mut socket).await["post"]["id"], json!(later), "only the plan that was kept happens");
    assert_eq!(post(&app, Some(owner), &dropped, "status").await["status"], "DRAFT");
    assert_eq!(post(&app, Some(owner), &archived, "status").await["status"], "ARCHIVED");
}

#[tokio::test]
async fn two_replicas_publish_a_planned_post_exactly_once() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let replica = TestApp::replica_of(&app, &[]).await;
    let after = newest(&app).await;
    let mut planned = BTreeMap::new();
    for n in 0..10 {
        planned.insert(draft(&app, &format!("Planned {n}")).await, 0);
    }
    let at = Utc::now() + Duration::seconds(2);
    for (n, id) in planned.keys().enumerate() {
        schedule(if n % 2 == 0 { &app } else { &replica }, id, at).await;
    }
    let mut socket = watch(&replica, Some(&after)).await;
    for _ in 0..planned.len() {
        let id = text(&gone_live(&mut socket).await["post"]["id"]);
        *planned.get_mut(&id).unwrap_or_else(|| panic!("{id} was not planned")) += 1;
    }
    assert!(planned.values().all(|times| *times == 1), "each goes live exactly once: {planned:?}");
    // Whoever resumes from before gets the same, and nothing behind it but the marker.
    let marker = published(&app, "Afterwards").await;
    assert_eq!(gone_live(&mut socket).await["post"]["id"], json!(marker), "nothing went live a second time");
    let mut again = watch(&app, Some(&after)).await;
    for _ in 0..planned.len() {
        let id = text(&gone_live(&mut again).await["post"]["id"]);
        assert_eq!(planned.remove(&id), Some(1), "{id} comes once");
    }
    assert_eq!(gone_live(&mut again).await["post"]["id"], json!(marker));
}

/// A job that is asked for again begins its attempts anew, so that a later claim has the number of
/// an earlier one, whose worker may still be at it.
#[tokio::test]
async fn an_old_claim_of_a_job_neither_finishes_nor_fails_a_new_one() {
    let app = TestApp::start().await;
    let mut tx = app.services.db.begin().await.expect("a transaction");
    let (subject, now) = (uuid::Uuid::now_v7(), Utc::now());
    // Due before everything else, and in a transaction that the server's own worker does not see.
    let due = now - Duration::days(10_000);
    let (kind, locked_until) = ("test_only", now + Duration::minutes(1));
    jobs::enqueue(&mut tx, kind, subject, due, now).await.expect("it is asked for");
    let old = jobs::claim(&mut tx, now, locked_until, &[]).await.expect("the queue is read").expect("a job is due");
    assert_eq!((&*old.kind, old.subject), (kind, subject));
    jobs::enqueue(&mut tx, kind, subject, due, now).await.expect("it is asked for again");
    let new = jobs::claim(&mut tx, now, locked_until, &[]).await.expect("the queue is read").expect("it is due again");
    assert_eq!(old.attempts, new.attempts, "by its number the old claim could be the new one");

    jobs::finish(&mut tx, &old, None, now).await.expect("nothing happens");
    jobs::fail(&mut tx, &old, "too late", None, now).await.expect("nothing happens");
    // A lock that ran out lets the next worker in, and this claim is over, too.
    let later = now + Duration::minutes(2);
    let third = jobs::claim(&mut tx, later, later + Duration::minutes(1), &[]).await.expect("the queue is read");
    let third = third.expect("the new claim was not ended by the old one, and has run out");
    assert_eq!(third.subject, subject);
    jobs::fail(&mut tx, &new, "too late", None, later).await.expect("nothing happens");
    jobs::finish(&mut tx, &third, None, later).await.expect("it is done");
    let after = later + Duration::minutes(5);
    let left = jobs::claim(&mut tx, after, after, &[]).await.expect("the queue is read");
    assert!(left.is_none_or(|job| job.subject != subject), "it is done once and for all");
    tx.commit().await.expect("the transaction ends before the server does");
}
