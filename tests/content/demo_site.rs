//! The demo site comes and goes.

use chrono::Utc;
use inkstone::auth::Viewer;
use inkstone::services::demo::Stays;
use inkstone::services::publishing::{self, PostDraft};
use inkstone::services::{Actor, commenting, demo};
use serde_json::json;

use crate::folders::user;
use crate::picture;
use crate::support::{TestApp, data};

const SEEN: &str = r#"{
    demo: post(slug: "grinding-ink") { title }
    mine: post(slug: "mine") { title tags { slug } }
    site { title }
    tags(first: 100) { nodes { slug } }
    posts(first: 1) { totalCount }
}"#;

async fn acting(app: &TestApp, handle: &str) -> Actor {
    Actor { viewer: Viewer::trusted(user(&app.services, handle).await), now: Utc::now() }
}

#[tokio::test]
async fn exactly_the_demo_goes_and_what_was_written_since_stays() {
    let app = TestApp::start().await;
    let (olga, mo, rita) = (acting(&app, "olga").await, acting(&app, "mo").await, acting(&app, "rita").await);
    let mine = PostDraft {
        title: "Mine".into(),
        markdown: "Text.".into(),
        tags: vec!["ink".into(), "own".into()],
        ..PostDraft::default()
    };
    let mine = publishing::create(&app.services, &olga, mine).await.expect("a draft");
    publishing::publish(&app.services, &olga, mine.id).await.expect("a post");
    for (actor, text) in [(&olga, "From olga"), (&mo, "From somebody of the demo site"), (&rita, "From rita")] {
        commenting::add(&app.services, actor, mine.id, None, text.into()).await.expect("a comment");
    }
    let before = picture::content(&app.services).await;
    // So that the cache knows what is about to go.
    let seen = data(app.ask(SEEN, json!({})).await);
    assert!(seen["demo"].is_object() && seen["mine"].is_object(), "{seen:#}");

    let removed = demo::remove(&app.services, Utc::now()).await.expect("removed");
    assert_eq!(removed.posts, before["posts"].as_object().expect("posts").len() - 1);
    let after = picture::content(&app.services).await;
    let keys = |part: &str| after[part].as_object().expect("a map").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys("posts"), ["mine"]);
    picture::assert_equal(&before["posts"]["mine"], &after["posts"]["mine"], "the owner's post stays as it was");
    assert_eq!(keys("tags"), ["ink", "own"], "a tag of the demo that is in use stays");
    assert_eq!(keys("users"), ["edgar", "mo", "olga", "rita"], "whoever has a comment that stays, stays");
    assert_eq!((keys("series").len(), &after["site"]), (0, &json!(null)));
    assert_eq!(keys("comments").len(), 3, "every comment on the owner's post stays");
    assert_eq!(after["reactions"], json!([]));

    let seen = data(app.ask(SEEN, json!({})).await);
    assert_eq!(seen["demo"], json!(null), "nothing of it is left in the cache");
    assert_eq!(seen["mine"], json!({ "title": "Mine", "tags": [{ "slug": "ink" }, { "slug": "own" }] }));
    assert_eq!(seen["tags"]["nodes"].as_array().map(Vec::len), Some(2));
    assert_eq!(seen["posts"]["totalCount"], 1);
    assert_ne!(seen["site"]["title"], before["site"]["title"], "the demo's description is gone");
    let again = demo::remove(&app.services, Utc::now()).await.expect("removed again");
    assert_eq!((again.posts, again.users), (0, 0), "there is nothing left to take out");
}

#[tokio::test]
async fn a_site_whose_owner_came_with_the_demo_keeps_the_owner() {
    let app = TestApp::start().await;
    picture::empty(&app.services).await;
    assert!(demo::is_wanted(&app.services).await.expect("an answer"), "an empty site is given a demo");
    let site = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/site");
    let report = demo::load(&app.services, &site, Utc::now()).await.expect("loaded");
    assert!(report.problems.is_empty() && report.created >= 24, "{report:?}");
    let removed = demo::remove(&app.services, Utc::now()).await.expect("removed");
    assert!(matches!(&removed.stay[..], [(mo, Stays::OnlyOwner)] if mo.handle == "mo"), "{removed:?}");
    let left = picture::content(&app.services).await;
    assert_eq!(left["users"].as_object().expect("users").keys().collect::<Vec<_>>(), ["mo"]);
    assert_eq!(left["posts"], json!({}));
    assert!(!demo::is_wanted(&app.services).await.expect("an answer"), "the demo does not come back by itself");
    let mo = Actor { viewer: Viewer::trusted(user(&app.services, "mo").await), now: Utc::now() };
    let draft = PostDraft { title: "Mine".into(), markdown: "Text.".into(), ..PostDraft::default() };
    publishing::create(&app.services, &mo, draft).await.expect("a draft");
    demo::make_owner(&app.services, "ann", "Ann", false, Utc::now()).await.expect("another owner");
    let removed = demo::remove(&app.services, Utc::now()).await.expect("removed");
    assert!(matches!(&removed.stay[..], [(mo, Stays::HasWritten)] if mo.handle == "mo"), "{removed:?}");
}

#[tokio::test]
async fn a_site_with_an_owner_or_a_post_is_not_given_a_demo() {
    let app = TestApp::start().await;
    assert!(!demo::is_wanted(&app.services).await.expect("an answer"));
    demo::remove(&app.services, Utc::now()).await.expect("removed");
    assert!(!demo::is_wanted(&app.services).await.expect("an answer"), "olga owns the site");
}
