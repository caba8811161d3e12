//! What the owner sees and does, and nobody else.

use diesel_async::SimpleAsyncConnection;
use inkstone::auth::Scope;
use inkstone::config::{Parse, Schedule};
use inkstone::jobs::cron::{Periodic, tick};

use super::*;
use crate::deeds::{attempt, done, draft, refused, text};
use crate::support::{code, data};

#[tokio::test]
async fn a_job_that_fails_is_tried_again_dies_with_its_error_and_can_be_repeated() {
    let app = resting().await;
    let id = ask(&app, &NewJob { max_attempts: 2, ..now("test_only") }).await;
    let mut socket = watch(&app, id).await;
    assert_eq!(socket.event().await["jobProgress"]["job"]["state"], "QUEUED", "it is told as it is at once");
    let crew = Crew::start(&app, 2, |job| Act::Fail(if job.attempts == 1 { "the first fault" } else { "the last" }));
    let mut states = Vec::new();
    let dead = loop {
        let job = socket.event().await["jobProgress"]["job"].take();
        states.push(json!([job["state"], job["attempts"], job["lastError"]]));
        if job["finishedAt"] != Value::Null {
            break job;
        }
    };
    let last = json!(["DEAD", 2, "the last"]);
    assert_eq!(states.last(), Some(&last), "{states:?}");
    assert!(states.contains(&json!(["QUEUED", 1, "the first fault"])), "it was tried again: {states:?}");
    assert_eq!(socket.receive().await["type"], "complete", "there is nothing more to tell");
    crew.stop().await;

    let listed = app.own("{ jobs(state: [DEAD]) { nodes { id lastError } } }", json!({})).await;
    assert_eq!(listed["jobs"]["nodes"], json!([{ "id": dead["id"], "lastError": "the last" }]));
    let input = json!({ "id": dead["id"] });
    let again = done(&app, &app.tokens.owner, "retryJob", "job { state attempts finishedAt }", input.clone()).await;
    assert_eq!(again["job"], json!({ "state": "QUEUED", "attempts": 0, "finishedAt": null }));
    let owner = Some(app.tokens.owner.as_str());
    let answer = refused(&app, owner, "retryJob", input.clone()).await;
    assert_eq!(answer, json!([["WRONG_STATE", "id"]]), "it waits already");
    let crew = Crew::start(&app, 2, |_| Act::Finish);
    let good = until(&app, id, "DONE").await;
    assert_eq!((&good["attempts"], &good["lastError"]), (&json!(1), &Value::Null), "the second life is a good one");
    let answer = refused(&app, owner, "cancelJob", input).await;
    assert_eq!(answer, json!([["WRONG_STATE", "id"]]), "what is done cannot be cancelled");
    crew.stop().await;
}

#[tokio::test]
async fn a_kind_that_nobody_knows_and_housekeeping_are_seen_to_by_the_server_itself() {
    let app = TestApp::start().await;
    let id = ask(&app, &NewJob { max_attempts: 1, ..now("of_the_future") }).await;
    let dead = until(&app, id, "DEAD").await;
    let error = text(&dead["lastError"]);
    assert!(error.contains("does not know jobs of the kind \"of_the_future\""), "{error}");
    // As if no server had run for a long time.
    let mut conn = app.services.db.conn().await.expect("a connection");
    let missed = "INSERT INTO cron_runs VALUES ('housekeeping', '2001-01-01') \
                  ON CONFLICT (name) DO UPDATE SET ticked_at = EXCLUDED.ticked_at";
    conn.batch_execute(missed).await.expect("it is written down");
    drop(conn);
    let hourly = Periodic::new("housekeeping", Schedule::parse("@hourly").expect("a schedule"));
    tick(&app.services, &[hourly], Utc::now()).await.expect("a tick");
    let tidied = async {
        let query = r#"{ jobs(kind: "housekeeping", state: [DONE]) { nodes { state subjectId } } }"#;
        loop {
            let found = app.own(query, json!({})).await;
            if let Some(job) = found["jobs"]["nodes"].get(0) {
                return job.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let job = tokio::time::timeout(PATIENCE, tidied).await.expect("housekeeping is done when it was missed");
    assert_eq!(job, json!({ "state": "DONE", "subjectId": null }));
}

#[tokio::test]
async fn only_the_owner_sees_and_changes_jobs() {
    let app = resting().await;
    let id = global(ask(&app, &now("test_only")).await);
    let (reading, blind) = (app.key("olga", &[Scope::Read]).await, app.key("olga", &[Scope::Write]).await);
    let (owner, editor) = (app.tokens.owner.clone(), app.tokens.editor.clone());
    let reader = app.tokens.reader.clone();
    let others = [None, Some(&reader), Some(&editor), Some(&blind)];
    for token in others.map(|token| token.map(String::as_str)) {
        let refusal = if token.is_none() { "UNAUTHENTICATED" } else { "FORBIDDEN" };
        let list = app.ask_as(token, "{ jobs { nodes { id lastError } } }", json!({})).await;
        assert_eq!(code(&list), refusal, "{token:?}");
        let query = "query($id: ID!) { job(id: $id) { id } node(id: $id) { id } nodes(ids: [$id]) { id } }";
        let found = data(app.ask_as(token, query, json!({ "id": id })).await);
        assert_eq!(found, json!({ "job": null, "node": null, "nodes": [null] }), "{token:?}");
        for id in [Some(&id), None] {
            let mut socket = Socket::connect(&app, token).await;
            let query = "subscription($id: ID) { jobProgress(id: $id) { job { id } } }";
            socket.subscribe("1", query, json!({ "id": id })).await;
            let mut message = socket.receive().await;
            assert_eq!(message["type"], "error", "expected a refusal: {message:#}");
            assert_eq!(code(&json!({ "errors": message["payload"].take() })), refusal, "{token:?}");
        }
    }
    for token in
        [None, Some(&reader), Some(&editor), Some(&reading), Some(&blind)].map(|token| token.map(String::as_str))
    {
        for mutation in ["retryJob", "cancelJob"] {
            let answer = attempt(&app, token, mutation, "job { id }", json!({ "id": id })).await;
            assert_eq!(code(&answer), if token.is_none() { "UNAUTHENTICATED" } else { "FORBIDDEN" });
        }
    }
    for token in [&owner, &reading] {
        let query = "query($id: ID!) { job(id: $id) { state } node(id: $id) { id ... on Job { kind } } }";
        let found = data(app.ask_as(Some(token), query, json!({ "id": id })).await);
        assert_eq!(found, json!({ "job": { "state": "QUEUED" }, "node": { "id": id, "kind": "test_only" } }));
    }
}

#[tokio::test]
async fn what_is_no_job_is_refused() {
    let app = resting().await;
    let owner = Some(app.tokens.owner.as_str());
    let (post, nobody) = (draft(&app, "No job").await, global(Uuid::now_v7()));
    for query in [
        format!("{{ job(id: {post:?}) {{ id }} }}"),
        "{ job(id: \"x\") { id } }".into(),
        "{ jobs(first: 101) { nodes { id } } }".into(),
        "{ jobs(after: \"x\") { nodes { id } } }".into(),
        format!("mutation {{ retryJob(input: {{ id: {post:?} }}) {{ job {{ id }} }} }}"),
        format!("mutation {{ cancelJob(input: {{ id: {post:?} }}) {{ job {{ id }} }} }}"),
    ] {
        assert_eq!(code(&app.ask_as(owner, &query, json!({})).await), "BAD_USER_INPUT", "{query}");
    }
    for mutation in ["retryJob", "cancelJob"] {
        let answer = refused(&app, owner, mutation, json!({ "id": nobody })).await;
        assert_eq!(answer, json!([["NOT_FOUND", "id"]]), "{mutation}");
    }
    let found = data(app.ask_as(owner, "query($id: ID!) { job(id: $id) { id } }", json!({ "id": nobody })).await);
    assert_eq!(found["job"], Value::Null);
}

#[tokio::test]
async fn jobs_are_listed_newest_first_and_page_by_page() {
    let app = resting().await;
    let post = draft(&app, "Planned").await;
    let input = json!({ "id": post, "publishAt": Utc::now() + TimeDelta::days(1) });
    done(&app, &app.tokens.editor, "schedulePost", "post { id }", input).await;
    let planned = app.own(r#"{ jobs(kind: "publish_post") { nodes { subjectId state priority } } }"#, json!({})).await;
    assert_eq!(planned["jobs"]["nodes"], json!([{ "subjectId": post, "state": "QUEUED", "priority": 10 }]));

    let mut asked = Vec::new();
    for _ in 0..5 {
        asked.insert(0, global(ask(&app, &now("test_only")).await));
    }
    let query = "query($after: String) { jobs(kind: \"test_only\", state: [QUEUED, DEAD], first: 2, after: $after) { \
                 nodes { id } pageInfo { hasNextPage endCursor } } }";
    let (mut found, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = app.own(query, json!({ "after": after })).await["jobs"].take();
        found.extend(page["nodes"].as_array().expect("nodes").iter().map(|node| text(&node["id"])));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(found, asked);
}

/// Two jobs that do the same: one has ended, the other waits.
#[tokio::test]
async fn what_waits_already_is_not_repeated() {
    let app = resting().await;
    let job = now("test_only");
    let first = ask(&app, &job).await;
    let input = json!({ "id": global(first) });
    let gone = done(&app, &app.tokens.owner, "cancelJob", "job { state finishedAt }", input.clone()).await;
    assert_eq!(gone["job"]["state"], "CANCELLED");
    assert_ne!(gone["job"]["finishedAt"], Value::Null);
    let second = ask(&app, &job).await;
    assert_ne!(first, second, "one that was cancelled is not asked for again");
    let answer = refused(&app, Some(&app.tokens.owner), "retryJob", input).await;
    assert_eq!(answer, json!([["WRONG_STATE", "id"]]));
}
