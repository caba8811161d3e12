//! `inkstone export`, and back.

use chrono::{DateTime, Duration, Utc};
use inkstone::auth::Viewer;
use inkstone::services::exporting::{self, ExportError};
use inkstone::services::publishing::{self, PostDraft};
use inkstone::services::{Actor, commenting, reacting};
use inkstone::store::posts::{PostKind, PostRow};
use inkstone::store::reactions::ReactionKind;
use inkstone::store::users;
use serde_json::{Value, json};

use crate::folders::{Folder, counts, flawless, import, import_with, options, user};
use crate::picture;
use crate::support::TestApp;

/// The site as it is when its export has been imported into an empty database.
async fn there_and_back(app: &TestApp) -> Value {
    let (folder, options) = (Folder::new(&[]), options(&app.services).await);
    exporting::export(&app.services, folder.path(), false).await.expect("the export succeeds");
    picture::empty(&app.services).await;
    // The one who imports is there before.
    users::insert(&mut app.services.db.conn().await.expect("a connection"), &options.author).await.expect("olga");
    flawless(&import_with(&app.services, folder.path(), &options).await);
    picture::content(&app.services).await
}

async fn acting(app: &TestApp, handle: &str) -> Actor {
    let now = DateTime::from_timestamp_micros(Utc::now().timestamp_micros()).expect("a time of today");
    Actor { viewer: Viewer::trusted(user(&app.services, handle).await), now }
}

fn draft(title: &str, markdown: &str) -> PostDraft {
    PostDraft { title: title.into(), markdown: markdown.into(), ..PostDraft::default() }
}

async fn published(app: &TestApp, draft: PostDraft) -> PostRow {
    let actor = acting(app, "olga").await;
    let post = publishing::create(&app.services, &actor, draft).await.expect("a draft");
    publishing::publish(&app.services, &actor, post.id).await.expect("a post")
}

#[tokio::test]
async fn an_export_of_the_demo_site_imported_into_an_empty_database_gives_equal_content() {
    let app = TestApp::start().await;
    let before = picture::content(&app.services).await;
    assert!(before["posts"].as_object().is_some_and(|posts| posts.len() >= 24), "the demo site is there");
    assert!(before["comments"].as_object().is_some_and(|comments| comments.len() >= 24));
    let after = there_and_back(&app).await;
    picture::assert_equal(&before, &after, "the site should come back as it was");
}

#[tokio::test]
async fn content_of_every_shape_comes_back_as_it_was() {
    let app = TestApp::start().await;
    let olga = acting(&app, "olga").await;
    let custom =
        json!({ "date": "not a date", "tags": 3, "nested": { "a": [1, null, true, "1"] }, "3.10": 3.5, "": "x" });
    let titles = [
        "---",
        "# not a heading",
        "colon: \"quoted\" 'and' more",
        "- [ ] list",
        "yes",
        "2024-01-01",
        "null",
        "中文：标题 🖋",
        "ends with a colon:",
        "%percent & ampersand * star",
    ];
    for (n, title) in titles.into_iter().enumerate() {
        let slug = Some(format!("shape-{n}"));
        published(&app, PostDraft { slug, ..draft(title, "Text.") }).await;
    }
    let bodies = [
        "---\ntitle: inside\n---\ntext",
        "+++\nx\n+++",
        "# A heading first\n\ntext",
        "    code first\n\ntext",
        "",
        "two spaces  \nbreak",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "```\n---\n```",
        "\u{feff}bom",
        "tab\tand \\ and {{< x >}}",
    ];
    for (n, body) in bodies.into_iter().enumerate() {
        published(&app, PostDraft { slug: Some(format!("body-{n}")), ..draft("Body", body) }).await;
    }
    let full = PostDraft {
        slug: Some("2024-01-02-with_a-day".into()),
        kind: Some(PostKind::Project),
        language: Some("zh-Hant-TW".into()),
        description: Some("About: \"this\"\nand that".into()),
        cover: Some("/a b.png".into()),
        tags: vec!["C++".into(), "中文 标签".into(), "rust".into()],
        series_position: Some(-3),
        translation_key: Some("key: #1".into()),
        custom: custom.as_object().cloned().expect("an object"),
        ..draft("Full", "Text.")
    };
    let full = published(&app, full).await;
    publishing::create(&app.services, &olga, draft("A draft without a date", "x")).await.expect("a draft");
    let later = publishing::create(&app.services, &olga, draft("Scheduled", "x")).await.expect("a draft");
    publishing::schedule(&app.services, &olga, later.id, olga.now + Duration::days(9)).await.expect("scheduled");
    let again = published(&app, draft("Unpublished again", "x")).await;
    publishing::unpublish(&app.services, &olga, again.id, false).await.expect("a draft again");
    discuss(&app, &full, &olga).await;

    let before = picture::content(&app.services).await;
    let after = there_and_back(&app).await;
    picture::assert_equal(&before, &after, "the site should come back as it was");
}

async fn discuss(app: &TestApp, post: &PostRow, olga: &Actor) {
    let rita = acting(app, "rita").await;
    let mut parent = None;
    for text in ["One \"quoted\"\n\n```\n'''\n```\n\\", "二", "  three\n"] {
        parent = Some(commenting::add(&app.services, olga, post.id, parent, text.into()).await.expect("a comment").id);
    }
    commenting::add(&app.services, &rita, post.id, None, "It waits.".into()).await.expect("a comment");
    for kind in [ReactionKind::Love, ReactionKind::Curious] {
        reacting::react(&app.services, &rita, post.id, kind, true).await.expect("a reaction");
    }
}

#[tokio::test]
async fn an_export_imported_where_it_came_from_changes_nothing() {
    let app = TestApp::start().await;
    let olga = acting(&app, "olga").await;
    let post = published(&app, draft("Discussed", "Text.")).await;
    discuss(&app, &post, &olga).await;
    let archived = published(&app, draft("Archived", "Text.")).await;
    publishing::unpublish(&app.services, &olga, archived.id, true).await.expect("archived");
    let folder = Folder::new(&[]);
    exporting::export(&app.services, folder.path(), false).await.expect("the export succeeds");
    let (before, rows_before) = (picture::content(&app.services).await, picture::rows(&app.services).await);
    let report = import(&app.services, folder.path()).await;
    flawless(&report);
    assert_eq!((report.created, report.updated, report.comments), (0, 0, 0));
    picture::assert_equal(&before, &picture::content(&app.services).await, "nothing should change");
    assert_eq!(picture::rows(&app.services).await, rows_before, "no new revision, no new event");
}

#[tokio::test]
async fn the_answer_to_a_deleted_comment_is_kept() {
    let app = TestApp::start().await;
    let olga = acting(&app, "olga").await;
    let post = published(&app, draft("Discussed", "Text.")).await;
    let asked = commenting::add(&app.services, &olga, post.id, None, "Deleted".into()).await.expect("a comment");
    let answer =
        commenting::add(&app.services, &olga, post.id, Some(asked.id), "Kept".into()).await.expect("an answer");
    commenting::delete(&app.services, &olga, asked.id).await.expect("deleted");
    let after = there_and_back(&app).await;
    let kept = &after["comments"][answer.id.to_string()];
    assert_eq!((&kept["markdown"], &kept["parent"], &kept["depth"]), (&json!("Kept"), &json!(null), &json!(0)));
    assert_eq!(after["comments"][asked.id.to_string()], json!(null));
}

#[tokio::test]
async fn a_folder_that_is_not_empty_is_refused_unless_forced() {
    let app = TestApp::start().await;
    let folder = Folder::new(&[("mine.txt", "Do not touch")]);
    let refused = exporting::export(&app.services, folder.path(), false).await;
    match refused {
        Err(error @ ExportError::NotEmpty(_)) => {
            let said = error.to_string();
            assert!(said.contains(&folder.path().display().to_string()) && said.contains("--force"), "{said}");
        }
        other => panic!("it should be refused: {other:?}"),
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing was written");
    exporting::export(&app.services, folder.path(), true).await.expect("--force writes");
    assert_eq!(std::fs::read_to_string(folder.path().join("mine.txt")).expect("still there"), "Do not touch");
    let report = import(&app.services, folder.path()).await;
    assert_eq!(counts(&report).0, 0, "and what it wrote is the site");
}

#[tokio::test]
async fn an_export_tells_no_passwords_and_no_addresses() {
    let app = TestApp::start().await;
    let folder = Folder::new(&[]);
    exporting::export(&app.services, folder.path(), false).await.expect("the export succeeds");
    let people = std::fs::read_to_string(folder.path().join("users.toml")).expect("the users");
    assert!(people.contains("\"rita\""), "{people}");
    for secret in ["rita@example.org", "argon2", crate::support::PASSWORD] {
        assert!(!people.contains(secret), "users.toml should not hold {secret}");
    }
}
