//! What has to do with a post, as it is kept, and what changes do to it.

use std::collections::HashMap;

use chrono::{TimeDelta, Utc};
use inkstone::services::relating::{self, Related};
use inkstone::store::post_related::{self, NewList};
use uuid::Uuid;

use super::*;
use crate::support::live::PATIENCE;
use crate::support::{on_real_servers, stored_text};

const UP_TO_DATE: &str = "(SELECT count(*) FROM post_related WHERE made_at IS NOT NULL)";
const PUBLISHED: &str = "(SELECT count(*) FROM posts WHERE status = 'PUBLISHED')";

/// Waits until each published post has its list.
async fn all_are_made(app: &TestApp) {
    let waiting = async {
        while stored_text(&app.services, UP_TO_DATE).await != stored_text(&app.services, PUBLISHED).await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("all lists are made");
}

/// What is related to each post, not out of the cache.
async fn lists(app: &TestApp) -> HashMap<Uuid, Vec<Related>> {
    let posts = "SELECT json_agg(json_build_array(id, language)) FROM posts WHERE status = 'PUBLISHED'";
    let posts: Vec<(Uuid, String)> = serde_json::from_str(&stored_text(&app.services, posts).await).expect("posts");
    relating::related_in(&app.services, &posts).await.expect("lists")
}

async fn id_of(app: &TestApp, slug: &str) -> Uuid {
    let id = stored_text(&app.services, &format!("SELECT id FROM posts WHERE slug = '{slug}'")).await;
    id.parse().expect("an id")
}

async fn related_to(app: &TestApp, slug: &str) -> Vec<String> {
    let query = "query($slug: String!) { post(slug: $slug) { related(first: 20) { post { slug } } } }";
    let answer = data(app.ask(query, json!({ "slug": slug })).await);
    let rows = answer["post"]["related"].as_array().expect("a list").iter();
    rows.map(|row| row["post"]["slug"].as_str().expect("a slug").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_related_is_published_near_and_no_translation() {
    let app = TestApp::start().await;
    let related = "query($slug: String!) { post(slug: $slug) { language related(first: 6) { post { slug language status } score because } } }";
    let answer = data(app.ask(related, json!({ "slug": "grinding-ink" })).await);
    let rows = answer["post"]["related"].as_array().expect("a list").clone();
    assert!(!rows.is_empty());
    for row in &rows {
        assert_eq!((&row["post"]["language"], &row["post"]["status"]), (&json!("en"), &json!("PUBLISHED")), "{row}");
        assert!(row["post"]["slug"] != "grinding-ink" && row["post"]["slug"] != "yan-mo", "{row}");
    }
    assert!(rows.iter().any(|row| row["because"].as_array().is_some_and(|why| why.contains(&json!("SHARED_TAGS")))));
    all_are_made(&app).await;
    let of_many = "{ posts(first: 20) { nodes { related(first: 3) { score } } } }";
    let (_, once) = app.respond(None, of_many, json!({})).await;
    assert!(once <= 3, "one statement for all posts: {once}");
    let refused = app.ask("{ post(slug: \"grinding-ink\") { related(first: 21) { score } } }", json!({})).await;
    assert_eq!(code(&refused), "BAD_USER_INPUT");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_kept_is_the_one_that_is_looked_for() {
    let app = TestApp::start().await;
    all_are_made(&app).await;
    let kept = lists(&app).await;
    assert!(kept.values().filter(|list| !list.is_empty()).count() > 20, "{kept:?}");
    // Without asking for them to be made anew.
    let mut conn = app.services.db.conn().await.expect("a connection");
    post_related::outdate(&mut conn, &kept.keys().copied().collect::<Vec<_>>(), Vec::new()).await.expect("it is said");
    drop(conn);
    assert_eq!(stored_text(&app.services, UP_TO_DATE).await, "0");
    let looked_for = lists(&app).await;
    assert_eq!(looked_for.len(), kept.len());
    for (id, list) in kept {
        let other = &looked_for[&id];
        assert_eq!(list.len(), other.len());
        for (one, other) in list.iter().zip(other) {
            assert_eq!((one.post_id, &one.because), (other.post_id, &other.because));
            assert!((one.score - other.score).abs() < 1e-9, "{one:?} {other:?}");
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_post_comes_onto_lists_and_leaves_them_at_once() {
    let app = TestApp::start().await;
    all_are_made(&app).await;
    let markdown = stored_text(&app.services, "SELECT markdown FROM posts WHERE slug = 'grinding-ink'").await;
    let post = json!({ "title": "Grinding ink again", "slug": "again", "markdown": markdown, "language": "en" });
    let id = publish(&app, post).await;
    let waiting = async {
        while !related_to(&app, "grinding-ink").await.contains(&"again".to_owned()) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("what is like the new post learns of it");
    all_are_made(&app).await;
    assert!(related_to(&app, "again").await.contains(&"grinding-ink".to_owned()));
    let again = id_of(&app, "again").await;
    let on = format!("SELECT count(*) FROM post_related WHERE made_at IS NOT NULL AND '{again}' = ANY(related_ids)");
    assert_ne!(stored_text(&app.services, &on).await, "0");

    let unpublish = "mutation($id: ID!) { unpublishPost(input: { id: $id }) { post { status } } }";
    app.own(unpublish, json!({ "id": id })).await;
    assert_eq!(stored_text(&app.services, &on).await, "0");
    assert!(!lists(&app).await.values().flatten().any(|related| related.post_id == again));
    all_are_made(&app).await;
    assert_eq!(stored_text(&app.services, &on).await, "0");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_being_made_is_out_of_date_if_something_changes_meanwhile() {
    if !on_real_servers() {
        // There transactions take turns, and nothing happens meanwhile.
        return;
    }
    let app = TestApp::start_with(&[("job_workers", "0")]).await;
    let (db, now) = (&app.services.db, Utc::now());
    let (old, ink, clocks) =
        (now - TimeDelta::days(1), id_of(&app, "grinding-ink").await, id_of(&app, "two-clocks").await);
    let mut job = db.begin().await.expect("a transaction");
    post_related::outdate(&mut job, &[ink], Vec::new()).await.expect("it is said");
    job.commit().await.expect("it is said");

    let mut job = db.begin().await.expect("a transaction");
    let taken = post_related::take_outdated(&mut job, old, 100).await.expect("lists");
    assert!(taken.iter().any(|(id, language)| *id == ink && language == "en"), "{taken:?}");
    let changing = tokio::spawn({
        let db = db.clone();
        async move {
            let mut change = db.begin().await.expect("a transaction");
            post_related::outdate(&mut change, &[clocks], vec![ink]).await.expect("it is said");
            change
        }
    });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!changing.is_finished(), "who changes a post waits for the list that is being made");
    let list = NewList { post_id: ink, related: json!([]), related_ids: Vec::new() };
    post_related::put(&mut job, "", vec![list], now).await.expect("it is kept");
    job.commit().await.expect("it is kept");
    let change = tokio::time::timeout(PATIENCE, changing).await.expect("it goes on").expect("it is said");

    let mut job = db.begin().await.expect("a transaction");
    let taken = post_related::take_outdated(&mut job, old, 100).await.expect("lists");
    assert!(!taken.iter().any(|(id, _)| *id == ink), "what somebody is changing is left to who comes after");
    job.rollback().await.expect("the transaction ends");
    change.commit().await.expect("it is changed");
    let made = format!("SELECT made_at IS NULL FROM post_related WHERE post_id = '{ink}'");
    assert_eq!(stored_text(&app.services, &made).await, "true");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_take_nobodys_place() {
    let app = TestApp::start().await;
    for slug in ["beekeeping", "buddy"] {
        publish(&app, json!({ "title": slug, "slug": slug, "markdown": slug, "tags": ["apiculture"] })).await;
    }
    for n in 0..20 {
        let input = json!({ "title": format!("Draft {n}"), "markdown": "x", "tags": ["apiculture"] });
        app.own(CREATE, json!({ "input": input })).await;
    }
    let made = lists(&app).await;
    let (of, buddy) = (&made[&id_of(&app, "beekeeping").await], id_of(&app, "buddy").await);
    let because = of.iter().find(|one| one.post_id == buddy).map(|one| one.because.clone()).unwrap_or_default();
    assert!(because.contains(&relating::Because::SharedTags), "{of:?}");
}
