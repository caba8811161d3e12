//! Somebody deletes a thing in the moment in which another adds to it. Real servers only: on the
//! embedded database transactions take turns.

use std::time::{Duration, Instant};

use inkstone::auth::Scope;
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::deeds::{POST, attempt, comment, done, draft, published, text};
use crate::support::{TestApp, on_real_servers, stored_text};

/// Another program's connection to the same database.
async fn other(app: &TestApp) -> Client {
    let url = app.database.url().expect("a server's database");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// Waits until so many wait for a lock.
async fn waiting(watching: &Client, many: usize) {
    let until = Instant::now() + Duration::from_secs(20);
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while watching.query(waiting, &[]).await.expect("an answer").len() < many {
        assert!(Instant::now() < until, "{many} should wait for a deletion");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends a mutation while a deletion is under way, which ends when the mutation waits for it.
async fn while_it_is_deleted(app: &TestApp, deletion: &str, mutation: &str, selection: &str, input: Value) -> Value {
    let (deleting, watching) = (other(app).await, other(app).await);
    deleting.batch_execute(&format!("BEGIN; {deletion}")).await.expect("deleted, but not committed");
    let waits = async {
        waiting(&watching, 1).await;
        deleting.batch_execute("COMMIT").await.expect("the deletion is committed");
    };
    let sent = attempt(app, Some(&app.tokens.editor), mutation, selection, input);
    let (answer, ()) = tokio::join!(sent, waits);
    answer
}

fn refused(answer: &Value) -> Value {
    let faults = answer["data"]["done"]["userErrors"].as_array();
    let faults = faults.unwrap_or_else(|| panic!("it should be refused as a user error: {answer:#}"));
    faults.iter().map(|fault| json!([fault["code"], fault["field"]])).collect()
}

#[tokio::test]
async fn what_is_added_to_a_post_that_vanishes_is_refused_as_not_found() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    for (mutation, selection, more) in [
        ("addComment", "comment { id }", json!({ "markdown": "Too late." })),
        ("react", "post { id }", json!({ "kind": "LIKE" })),
    ] {
        let slug = format!("vanishing-{}", mutation.to_lowercase());
        let id = published(&app, &slug).await;
        let mut input = more;
        input["postId"] = json!(id);
        let deletion = format!("DELETE FROM posts WHERE slug = '{slug}'");
        let answer = while_it_is_deleted(&app, &deletion, mutation, selection, input).await;
        assert_eq!(refused(&answer), json!([["NOT_FOUND", "postId"]]), "{mutation}: {answer:#}");
    }
    for (mutation, more) in [
        ("updatePost", json!({ "basedOnVersion": 1, "markdown": "Too late.", "tags": ["ink"] })),
        ("publishPost", json!({})),
    ] {
        let slug = format!("vanishing-{}", mutation.to_lowercase());
        let mut input = more;
        input["id"] = json!(draft(&app, &slug).await);
        let deletion = format!("DELETE FROM posts WHERE slug = '{slug}'");
        let answer = while_it_is_deleted(&app, &deletion, mutation, POST, input).await;
        assert_eq!(refused(&answer), json!([["NOT_FOUND", "id"]]), "{mutation}: {answer:#}");
    }
}

/// Comments that are written together with one whose post vanishes do not vanish with it.
#[tokio::test]
async fn a_comment_on_a_post_that_vanishes_takes_no_others_with_it() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let stays = published(&app, "Stays").await;
    let watching = other(&app).await;
    let mut deletions = Vec::new();
    for slug in ["first", "second", "third"] {
        let (id, deleting) = (published(&app, slug).await, other(&app).await);
        deleting.batch_execute(&format!("BEGIN; DELETE FROM posts WHERE slug = '{slug}'")).await.expect("deleted");
        deletions.push((id, deleting));
    }
    let add = |post: &str| {
        let input = json!({ "postId": post, "markdown": "In time?" });
        attempt(&app, Some(&app.tokens.editor), "addComment", "comment { id }", input)
    };
    let committed = async |n: usize| deletions[n].1.batch_execute("COMMIT").await.expect("committed");
    // All who write wait for a deletion, and two comments wait for one who writes.
    let writers = async {
        waiting(&watching, 2).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        committed(0).await;
        waiting(&watching, 2).await;
        committed(2).await;
        committed(1).await;
    };
    let late = async {
        waiting(&watching, 2).await;
        tokio::join!(add(&deletions[2].0), add(&stays))
    };
    let (first, second, (third, fourth), ()) = tokio::join!(add(&deletions[0].0), add(&deletions[1].0), late, writers);
    for answer in [first, second, third] {
        assert_eq!(refused(&answer), json!([["NOT_FOUND", "postId"]]), "{answer:#}");
    }
    assert_eq!(refused(&fourth), json!([]), "{fourth:#}");
    assert!(fourth["data"]["done"]["comment"]["id"].is_string(), "{fourth:#}");
}

#[tokio::test]
async fn a_comment_does_not_wait_for_one_that_waits_for_a_deletion() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let (stays, vanishes) = (published(&app, "Stays").await, published(&app, "vanishes").await);
    let (watching, deleting) = (other(&app).await, other(&app).await);
    deleting.batch_execute("BEGIN; DELETE FROM posts WHERE slug = 'vanishes'").await.expect("deleted");
    let add = |post: &str| {
        let input = json!({ "postId": post, "markdown": "In time?" });
        attempt(&app, Some(&app.tokens.editor), "addComment", "comment { id }", input)
    };
    let meanwhile = async {
        waiting(&watching, 1).await;
        let answer = add(&stays).await;
        deleting.batch_execute("COMMIT").await.expect("committed");
        answer
    };
    let (refusal, written) = tokio::join!(add(&vanishes), meanwhile);
    assert_eq!(refused(&refusal), json!([["NOT_FOUND", "postId"]]), "{refusal:#}");
    assert_eq!(refused(&written), json!([]), "{written:#}");
}

#[tokio::test]
async fn an_answer_to_a_comment_that_vanishes_is_refused_as_not_found() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let id = published(&app, "Discussed").await;
    let asked = text(&comment(&app, &app.tokens.editor, &id, None, "Vanishing.").await["id"]);
    let input = json!({ "postId": id, "parentId": asked, "markdown": "Too late." });
    let deletion = "DELETE FROM comments WHERE markdown = 'Vanishing.'";
    let answer = while_it_is_deleted(&app, deletion, "addComment", "comment { id }", input).await;
    assert_eq!(refused(&answer), json!([["NOT_FOUND", "parentId"]]), "{answer:#}");
}

#[tokio::test]
async fn a_post_of_a_series_that_vanishes_is_refused_as_not_found() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let input = json!({ "title": "Vanishing", "language": "en" });
    let series = done(&app, &app.tokens.editor, "createSeries", "series { id }", input).await["series"]["id"].take();
    let input = json!({ "title": "Part", "markdown": "x", "seriesId": series });
    let deletion = "DELETE FROM series WHERE slug = 'vanishing'";
    let answer = while_it_is_deleted(&app, deletion, "createPost", POST, input).await;
    assert_eq!(refused(&answer), json!([["NOT_FOUND", "seriesId"]]), "{answer:#}");
}

/// Tags are made when they are missing, so one that vanishes is made again.
#[tokio::test]
async fn a_tag_that_vanishes_costs_no_post() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    done(&app, &app.tokens.editor, "createTag", "tag { id }", json!({ "name": "Vanishing" })).await;
    let input = json!({ "title": "Tagged", "markdown": "x", "tags": ["vanishing"] });
    let deletion = "DELETE FROM tags WHERE slug = 'vanishing'";
    let answer = while_it_is_deleted(&app, deletion, "createPost", "post { tags { slug } }", input).await;
    assert_eq!(answer.get("errors"), None, "{answer:#}");
    assert_eq!(answer["data"]["done"]["post"]["tags"], json!([{ "slug": "vanishing" }]), "{answer:#}");
}

/// The use of a key is noted once a minute, and not while somebody changes it.
#[tokio::test]
async fn who_signs_in_does_not_wait_for_who_changes_the_key() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let key = app.key("edgar", &[Scope::Read]).await;
    let changing = other(&app).await;
    changing.batch_execute("BEGIN; SELECT id FROM api_keys FOR UPDATE").await.expect("locked");
    let asked = app.ask_as(Some(&key), "{ viewer { handle } }", json!({}));
    let answer = tokio::time::timeout(Duration::from_secs(5), asked).await.expect("it does not wait");
    assert_eq!(answer["data"]["viewer"]["handle"], "edgar", "{answer:#}");
    let used = "(SELECT count(*)::text FROM api_keys WHERE last_used_at IS NOT NULL)";
    assert_eq!(stored_text(&app.services, used).await, "0", "it was passed over");
    changing.batch_execute("COMMIT").await.expect("committed");
    app.ask_as(Some(&key), "{ viewer { handle } }", json!({})).await;
    assert_eq!(stored_text(&app.services, used).await, "1", "and is noted later");
}
