//! Help with many posts in the background, and deciding about what comes out.

use chrono::{TimeDelta, Utc};
use diesel_async::RunQueryDsl;
use inkstone::inference::InferenceError;
use inkstone::jobs::{HOUSEKEEPING_JOB, run_due};
use inkstone::store::jobs as store;

use super::*;
use crate::deeds::{attempt, post, refused};
use crate::support::stored_text;

const PROPOSALS: &str = "proposals { nodes { id kind status model postVersion decidedAt result { RESULT } } }";

/// Answers each kind of question in its form.
fn obedient(prompt: &str) -> String {
    let correction = json!({ "original": "It are", "replacement": "It is", "reason": "grammar" });
    let other = json!({ "original": "soot", "replacement": "fine soot", "reason": "exactness" });
    for (order, answer) in [
        ("Write the summary", "Of ink.".to_owned()),
        ("JSON with the titles", json!({ "titles": ["Soot", "Water"] }).to_string()),
        ("JSON with the tags", json!({ "tags": ["ink", "soot"] }).to_string()),
        ("JSON with the corrections", json!({ "corrections": [correction, other] }).to_string()),
        ("Write the translation", shown(prompt).replace("Ink is", "Tusche ist")),
    ] {
        if prompt.contains(order) {
            return answer;
        }
    }
    panic!("no kind is asked for: {prompt}")
}

/// A server whose own worker does nothing.
async fn site(model: Scripted) -> (TestApp, Heard) {
    site_on(model, &[("job_workers", "0")]).await
}

pub(super) async fn ask_for(app: &TestApp, kind: &str, posts: &[&str], language: Option<&str>) -> Vec<Value> {
    let mut input = json!({ "kind": kind, "postIds": posts });
    if let Some(language) = language {
        input["language"] = json!(language);
    }
    let mut payload = done(app, &app.tokens.editor, "assistPosts", "jobIds", input).await;
    payload["jobIds"].as_array_mut().map(std::mem::take).expect("ids")
}

pub(super) async fn work(app: &TestApp) {
    run_due(&app.services).await.expect("the jobs are done");
}

/// The proposals of a post, newest first.
async fn proposals(app: &TestApp, id: &str) -> Vec<Value> {
    let fields = PROPOSALS.replace("RESULT", RESULT);
    let mut found = post(app, Some(&app.tokens.editor), id, &fields).await;
    found["proposals"]["nodes"].as_array_mut().map(std::mem::take).expect("a list")
}

/// The one that waits of a kind.
pub(super) async fn waiting(app: &TestApp, id: &str, kind: &str) -> Value {
    let all = proposals(app, id).await;
    let mut found: Vec<Value> = all.into_iter().filter(|it| it["kind"] == kind && it["status"] == "PENDING").collect();
    assert_eq!(found.len(), 1, "one {kind} waits: {found:#?}");
    found.remove(0)
}

async fn job(app: &TestApp, id: &Value) -> Value {
    let fields = "kind subjectId state priority lastError progress { done total }";
    app.own(&format!("query($id: ID!) {{ job(id: $id) {{ {fields} }} }}"), json!({ "id": id })).await["job"].take()
}

pub(super) async fn accept(app: &TestApp, input: Value) -> Value {
    let fields = "proposal { status decidedAt } post { version title description status markdown tags { slug } }";
    done(app, &app.tokens.editor, "acceptProposal", fields, input).await
}

#[tokio::test]
async fn several_posts_get_proposals_and_nothing_else() {
    let (app, _) = site(Scripted::writing(obedient)).await;
    let (one, two) = (ink(&app).await, ink_again(&app).await);
    let before = (picture_of(&app, &one).await, picture_of(&app, &two).await);
    let jobs = ask_for(&app, "SUMMARY", &[&one, &two, &one], None).await;
    assert_eq!(jobs.len(), 2, "one a post");
    let queued = job(&app, &jobs[0]).await;
    assert_eq!((&queued["kind"], &queued["state"]), (&json!("assist_post"), &json!("QUEUED")));
    assert!(queued["priority"].as_i64().is_some_and(|priority| priority < 0), "others come first: {queued}");
    assert!([&one, &two].iter().any(|id| queued["subjectId"] == json!(id)), "{queued}");
    assert_eq!(ask_for(&app, "SUMMARY", &[&one, &two], None).await.len(), 2);
    assert_eq!(ask_for(&app, "TITLE", &[&one], None).await, ask_for(&app, "SUMMARY", &[&one], None).await);
    work(&app).await;
    for id in &jobs {
        assert_eq!(job(&app, id).await["state"], "DONE");
    }
    let summary = waiting(&app, &one, "SUMMARY").await;
    assert_eq!(summary["result"], json!({ "__typename": "SummarySuggestion", "text": "Of ink." }));
    assert_eq!((&summary["model"], &summary["postVersion"]), (&json!("scripted/test"), &json!(1)));
    assert_eq!(waiting(&app, &one, "TITLE").await["result"]["titles"], json!(["Soot", "Water"]), "both were asked for");
    assert_eq!(proposals(&app, &two).await.len(), 1);
    assert_eq!((picture_of(&app, &one).await, picture_of(&app, &two).await), before, "nothing was applied");

    let node = "query($id: ID!) { node(id: $id) { ... on Proposal { kind post { id } } } }";
    let found = app.own(node, json!({ "id": summary["id"] })).await;
    assert_eq!(found["node"], json!({ "kind": "SUMMARY", "post": { "id": one } }));
    done(&app, &app.tokens.owner, "publishPost", "post { id }", json!({ "id": one })).await;
    for token in [None, Some(app.tokens.reader.as_str())] {
        assert_eq!(post(&app, token, &one, "proposals { nodes { id } }").await["proposals"], Value::Null);
        let found = data(app.ask_as(token, node, json!({ "id": summary["id"] })).await);
        assert_eq!(found["node"], Value::Null, "readers find none");
    }
    let denied =
        attempt(&app, Some(&app.tokens.reader), "acceptProposal", "post { id }", json!({ "id": summary["id"] }));
    assert_eq!(crate::support::code(&denied.await), "FORBIDDEN");
    let events = "(SELECT count(*) FROM events WHERE kind = 'proposal.changed')::text";
    assert_eq!(stored_text(&app.services, events).await, "3", "each proposal is told of");
}

async fn ink_again(app: &TestApp) -> String {
    written(app, "en", "Ink again", "Ink is made of soot. It are so.").await
}

#[tokio::test]
async fn what_is_accepted_goes_into_the_post() {
    let (app, _) = site(Scripted::writing(obedient)).await;
    let id = ink(&app).await;
    for kind in ["SUMMARY", "TITLE", "TAGS", "PROOFREADING"] {
        ask_for(&app, kind, &[&id], None).await;
    }
    work(&app).await;
    let summary = accept(&app, json!({ "id": waiting(&app, &id, "SUMMARY").await["id"] })).await;
    assert_eq!((&summary["post"]["description"], &summary["post"]["version"]), (&json!("Of ink."), &json!(2)));
    assert_eq!((&summary["proposal"]["status"], &summary["post"]["status"]), (&json!("ACCEPTED"), &json!("DRAFT")));
    assert!(summary["proposal"]["decidedAt"].is_string());
    let title = waiting(&app, &id, "TITLE").await;
    assert_eq!(title["postVersion"], 2, "what else was proposed stays good");
    let wrong =
        refused(&app, Some(&app.tokens.editor), "acceptProposal", json!({ "id": title["id"], "title": "Mine" }));
    assert_eq!(wrong.await, json!([["INVALID", "title"]]));
    let wrong =
        refused(&app, Some(&app.tokens.editor), "acceptProposal", json!({ "id": title["id"], "tags": ["ink"] }));
    assert_eq!(wrong.await, json!([["INVALID", "tags"]]));
    let chosen = accept(&app, json!({ "id": title["id"], "title": "Water" })).await;
    assert_eq!(chosen["post"]["title"], "Water");
    let tags = waiting(&app, &id, "TAGS").await;
    let wrong = refused(&app, Some(&app.tokens.editor), "acceptProposal", json!({ "id": tags["id"], "tags": ["tea"] }));
    assert_eq!(wrong.await, json!([["INVALID", "tags"]]));
    let chosen = accept(&app, json!({ "id": tags["id"] })).await;
    assert_eq!(chosen["post"]["tags"], json!([{ "slug": "ink" }]), "new tags only where they are named");
    let proof = waiting(&app, &id, "PROOFREADING").await;
    let wrong = json!({ "id": proof["id"], "corrections": [2] });
    let wrong = refused(&app, Some(&app.tokens.editor), "acceptProposal", wrong).await;
    assert_eq!(wrong, json!([["INVALID", "corrections"]]));
    let (first, input) = (&proof["result"]["corrections"][1], json!({ "id": proof["id"], "corrections": [1] }));
    assert_eq!(first["original"], "It are", "{proof:#}");
    let chosen = accept(&app, input.clone()).await;
    let text = "Ink is made of soot. It is ground with *water* and `patience`.";
    assert_eq!(chosen["post"]["markdown"], text);
    let again = refused(&app, Some(&app.tokens.editor), "acceptProposal", input).await;
    assert_eq!(again, json!([["WRONG_STATE", "id"]]));
    let fields = "version status revisions(first: 10) { nodes { version } }";
    let after = post(&app, Some(&app.tokens.owner), &id, fields).await;
    assert_eq!((&after["version"], &after["status"]), (&json!(5), &json!("DRAFT")), "each is an edit");
    assert_eq!(after["revisions"]["nodes"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn a_kind_that_fails_takes_no_other_along() {
    let says = |prompt: &str| if prompt.contains("Write the summary") { String::new() } else { obedient(prompt) };
    let (app, heard) = site(Scripted::writing(says)).await;
    let id = ink(&app).await;
    for kind in ["SUMMARY", "TITLE"] {
        ask_for(&app, kind, &[&id], None).await;
    }
    let job_id = ask_for(&app, "PROOFREADING", &[&id], None).await.remove(0);
    work(&app).await;
    let title = waiting(&app, &id, "TITLE").await;
    waiting(&app, &id, "PROOFREADING").await;
    let failed = job(&app, &job_id).await;
    assert!(failed["lastError"].as_str().is_some_and(|error| error.contains("cannot be used")), "{failed:#}");
    assert_eq!(heard.count(), 3);
    let again = "mutation($id: ID!) { cancelJob(input: { id: $id }) { job { state } } }";
    app.own(again, json!({ "id": job_id })).await;
    let again = "mutation($id: ID!) { retryJob(input: { id: $id }) { job { state } } }";
    app.own(again, json!({ "id": job_id })).await;
    work(&app).await;
    assert_eq!(heard.count(), 4, "what is done is not done again");
    assert_eq!(waiting(&app, &id, "TITLE").await["id"], title["id"]);
}

#[tokio::test]
async fn new_tags_are_made_where_they_are_named() {
    let (app, _) = site(Scripted::writing(obedient)).await;
    let id = written(&app, "en", "Tagged", "Text on nothing much.").await;
    let edit = json!({ "id": id, "basedOnVersion": 1, "tags": ["tea"] });
    done(&app, &app.tokens.owner, "updatePost", "post { id }", edit).await;
    ask_for(&app, "TAGS", &[&id], None).await;
    work(&app).await;
    let tags = waiting(&app, &id, "TAGS").await;
    let chosen = accept(&app, json!({ "id": tags["id"], "tags": ["Soot"] })).await;
    assert_eq!(chosen["post"]["tags"], json!([{ "slug": "tea" }, { "slug": "soot" }]), "beside those that it has");
}

#[tokio::test]
async fn a_post_that_has_changed_takes_no_old_proposal() {
    let (app, _) = site(Scripted::writing(obedient)).await;
    let id = ink(&app).await;
    ask_for(&app, "PROOFREADING", &[&id], None).await;
    work(&app).await;
    let old = waiting(&app, &id, "PROOFREADING").await;
    let edit = json!({ "id": id, "basedOnVersion": 1, "markdown": "Another text. It are so." });
    done(&app, &app.tokens.owner, "updatePost", "post { id }", edit).await;
    let input = json!({ "id": old["id"] });
    let stale = refused(&app, Some(&app.tokens.editor), "acceptProposal", input.clone()).await;
    assert_eq!(stale, json!([["STALE_VERSION", "id"]]));
    ask_for(&app, "PROOFREADING", &[&id], None).await;
    work(&app).await;
    let new = waiting(&app, &id, "PROOFREADING").await;
    assert_ne!(new["id"], old["id"], "the new one takes the place of the old one");
    let gone = refused(&app, Some(&app.tokens.editor), "dismissProposal", input).await;
    assert_eq!(gone, json!([["NOT_FOUND", "id"]]));
    let before = picture_of(&app, &id).await;
    let fields = "proposal { status decidedAt }";
    let laid = done(&app, &app.tokens.editor, "dismissProposal", fields, json!({ "id": new["id"] })).await;
    assert_eq!(laid["proposal"]["status"], "DISMISSED");
    assert_eq!(picture_of(&app, &id).await, before);
    for mutation in ["acceptProposal", "dismissProposal"] {
        let again = refused(&app, Some(&app.tokens.editor), mutation, json!({ "id": new["id"] })).await;
        assert_eq!(again, json!([["WRONG_STATE", "id"]]), "{mutation}");
    }
    done(&app, &app.tokens.owner, "deletePost", "deletedId", json!({ "id": id })).await;
    assert_eq!(
        stored_text(&app.services, "(SELECT count(*) FROM proposals)::text").await,
        "0",
        "they go with the post"
    );
}

#[tokio::test]
async fn translations_are_drafts_and_their_proposals_say_where() {
    let (app, _) = site(Scripted::writing(obedient)).await;
    let id = ink(&app).await;
    let jobs = ask_for(&app, "TRANSLATION", &[&id], Some("DE")).await;
    work(&app).await;
    let state = job(&app, &jobs[0]).await;
    assert_eq!(state["state"], "DONE", "{state:#}");
    let all = proposals(&app, &id).await;
    assert_eq!((&all[0]["kind"], &all[0]["status"]), (&json!("TRANSLATION"), &json!("ACCEPTED")), "{all:#?}");
    let draft = all[0]["result"]["post"]["id"].as_str().expect("an id").to_owned();
    let made = post(&app, Some(&app.tokens.owner), &draft, "status language translations { id }").await;
    assert_eq!(made, json!({ "status": "DRAFT", "language": "de", "translations": [{ "id": id }] }));
    ask_for(&app, "TRANSLATION", &[&id], Some("de")).await;
    work(&app).await;
    assert_eq!(
        post(&app, Some(&app.tokens.owner), &draft, "version").await["version"],
        2,
        "untouched, it is made anew"
    );
}

#[tokio::test]
async fn what_a_model_cannot_do_now_is_done_later_and_what_it_cannot_do_fails() {
    let retry_after = std::time::Duration::from_secs(30);
    let (app, _) = site(Scripted::refusing(InferenceError::Overloaded { retry_after })).await;
    let id = ink(&app).await;
    let jobs = ask_for(&app, "SUMMARY", &[&id], None).await;
    work(&app).await;
    let later = app.own("query($id: ID!) { job(id: $id) { state attempts runAt } }", json!({ "id": jobs[0] })).await;
    assert_eq!((&later["job"]["state"], &later["job"]["attempts"]), (&json!("QUEUED"), &json!(0)), "{later:#}");
    assert_eq!(proposals(&app, &id).await, Vec::<Value>::new());

    let (app, _) = site(Scripted::saying(&["no JSON"])).await;
    let id = ink(&app).await;
    let jobs = ask_for(&app, "TITLE", &[&id], None).await;
    work(&app).await;
    let failed = job(&app, &jobs[0]).await;
    assert!(failed["lastError"].as_str().is_some_and(|why| why.contains("cannot be used")), "{failed:#}");
    assert_eq!(proposals(&app, &id).await, Vec::<Value>::new());
}

#[tokio::test]
async fn old_proposals_are_forgotten() {
    let (app, _) = site(Scripted::writing(obedient)).await;
    let (old, new) = (ink(&app).await, ink_again(&app).await);
    ask_for(&app, "SUMMARY", &[&old], None).await;
    work(&app).await;
    let mut conn = app.services.db.conn().await.expect("a connection");
    let aged = diesel::sql_query("UPDATE proposals SET created_at = created_at - interval '91 days'");
    assert_eq!(aged.execute(&mut *conn).await.expect("they are made older"), 1);
    drop(conn);
    ask_for(&app, "SUMMARY", &[&new], None).await;
    let mut tx = app.services.db.begin().await.expect("a transaction");
    let due = Utc::now() - TimeDelta::milliseconds(1);
    store::enqueue(&mut tx, HOUSEKEEPING_JOB, uuid::Uuid::nil(), due, due).await.expect("it is asked for");
    tx.commit().await.expect("it is written down");
    work(&app).await;
    assert_eq!((proposals(&app, &old).await.len(), proposals(&app, &new).await.len()), (0, 1));
}
