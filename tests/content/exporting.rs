//! `inkstone export`, and back.

use chrono::{DateTime, Duration, Utc};
use inkstone::auth::Viewer;
use inkstone::services::exporting::{self, ExportError};
use inkstone::services::organising::{self, SiteEdit};
use inkstone::services::publishing::{self, PostDraft};
use inkstone::services::{Actor, commenting, reacting};
use inkstone::store::comments::CommentStatus;
use inkstone::store::posts::{PostKind, PostRow};
use inkstone::store::reactions::ReactionKind;
use inkstone::store::users;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::columns;
use crate::folders::{Folder, counts, flawless, import, import_with, options, user};
use crate::picture;
use crate::support::TestApp;

/// Exports the site, imports the export into an empty database, and exports that: nothing may
/// differ, neither a column nor a byte.
async fn there_and_back(app: &TestApp) {
    let (folder, options) = (Folder::new(&[]), options(&app.services).await);
    let before = columns::all(&app.services).await;
    exporting::export(&app.services, folder.path(), false).await.expect("the export succeeds");
    picture::empty(&app.services).await;
    // The one who imports is there before.
    users::insert(&mut app.services.db.conn().await.expect("a connection"), &options.author).await.expect("olga");
    flawless(&import_with(&app.services, folder.path(), &options).await);
    picture::assert_equal(&before, &columns::all(&app.services).await, "the site should come back as it was");
    let again = Folder::new(&[]);
    exporting::export(&app.services, again.path(), false).await.expect("the second export succeeds");
    let (first, second) = (folder.files(), again.files());
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>(), "the same files");
    for (name, bytes) in &first {
        assert!(*bytes == second[name], "{name} differs:\n{}\n---\n{}", shown(bytes), shown(&second[name]));
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
    let before = columns::all(&app.services).await;
    assert!(before["posts"].as_object().is_some_and(|posts| posts.len() >= 24), "the demo site is there");
    assert!(before["comments"].as_object().is_some_and(|comments| comments.len() >= 24));
    assert!(before["jobs"].as_object().is_some(), "jobs are compared");
    there_and_back(&app).await;
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

    let content = columns::all(&app.services).await;
    assert_eq!(content["jobs"].as_object().map(serde_json::Map::len), Some(1), "one post waits for its day");
    there_and_back(&app).await;
}

/// What the API takes in another form than a file has it is stored as the file would say it.
#[tokio::test]
async fn what_was_written_loosely_comes_back_as_it_was() {
    let app = TestApp::start().await;
    let olga = acting(&app, "olga").await;
    let loose = PostDraft {
        language: Some("ZH-hant-tw".into()),
        description: Some(" \n".into()),
        cover: Some(" /a.png ".into()),
        translation_key: Some(" key ".into()),
        tags: vec![" Snake_case ".into(), "Don't".into(), "हिन्दी".into()],
        ..draft("  Loose ", "\r\n\r\nOne\r\ntwo\rthree  \n\n")
    };
    let post = published(&app, loose).await;
    assert_eq!((post.language.as_str(), post.title.as_str()), ("zh-Hant-TW", "Loose"));
    assert_eq!((post.description, post.cover.as_deref()), (None, Some("/a.png")));
    for slug in ["a_b", "con", "post-con", &"字".repeat(100), &format!("{}二", "字".repeat(99)), "true", "1", "null"]
    {
        published(&app, PostDraft { slug: Some(slug.into()), ..draft(slug, "x") }).await;
    }
    let named = |name: &str| json!({ "name": name, "url": "https://example.org" });
    let links = ["z", "a", "z"].map(|name| (name.to_owned(), named(name)["url"].as_str().expect("a url").to_owned()));
    let edit = SiteEdit { title: Some("Links".into()), links: Some(links.to_vec()), ..SiteEdit::default() };
    organising::update_site(&app.services, &olga, edit).await.expect("the site");
    for (title, slug) in [("One", "two"), ("two", "three")] {
        let made = organising::create_series(
            &app.services,
            &olga,
            title.into(),
            Some(slug.into()),
            String::new(),
            "en".into(),
        );
        let id = made.await.expect("a series").id;
        let part = PostDraft { series: Some(id), ..draft(&format!("Part of {title}"), "x") };
        publishing::create(&app.services, &olga, part).await.expect("a draft");
    }
    there_and_back(&app).await;
}

#[tokio::test]
async fn every_state_of_posts_and_comments_comes_back_with_all_its_dates() {
    let app = TestApp::start().await;
    let archived = published(&app, draft("Archived", "x")).await;
    publishing::unpublish(&app.services, &acting(&app, "olga").await, archived.id, true).await.expect("archived");
    // In the past, because what is imported is never from the future.
    let at = |actor: Actor, now| Actor { now, ..actor };
    let now = acting(&app, "olga").await.now - Duration::hours(1);
    let (olga, rita) = (at(acting(&app, "olga").await, now), at(acting(&app, "rita").await, now));
    let later = at(olga.clone(), now + Duration::seconds(5));
    let never_public = publishing::create(&app.services, &olga, draft("Never public", "x")).await.expect("a draft");
    publishing::unpublish(&app.services, &later, never_public.id, true).await.expect("archived");
    let planned = publishing::create(&app.services, &olga, draft("Planned", "x")).await.expect("a draft");
    publishing::schedule(&app.services, &later, planned.id, olga.now + Duration::days(9)).await.expect("scheduled");
    let post = published(&app, draft("Discussed", "x")).await;
    let add = async |actor: &Actor, parent: Option<Uuid>, text: &str| {
        commenting::add(&app.services, actor, post.id, parent, text.into()).await.expect("a comment").id
    };
    let (waits, spam) = (add(&rita, None, "It waits.").await, add(&rita, None, "Spam.").await);
    let approved = add(&rita, None, "Approved later.").await;
    commenting::moderate(&app.services, &later, spam, CommentStatus::Spam).await.expect("spam");
    commenting::moderate(&app.services, &later, approved, CommentStatus::Approved).await.expect("approved");
    let edited = add(&olga, Some(approved), "Edited.").await;
    commenting::edit(&app.services, &later, edited, "Edited once.".into()).await.expect("edited");
    let gone = add(&olga, Some(edited), "Deleted.").await;
    add(&olga, Some(gone), "An answer to what is deleted.").await;
    commenting::delete(&app.services, &later, gone).await.expect("deleted");
    let held = add(&olga, None, "Approved, then held.").await;
    commenting::moderate(&app.services, &later, held, CommentStatus::Pending).await.expect("held");
    reacting::react(&app.services, &later, post.id, ReactionKind::Like, true).await.expect("a reaction");
    let content = columns::all(&app.services).await;
    let status = |id: Uuid| content["comments"][id.to_string()]["status"].clone();
    assert_eq!([status(waits), status(gone)], [json!("PENDING"), json!("DELETED")]);
    assert_eq!(content["posts"]["archived"]["status"], "ARCHIVED");
    there_and_back(&app).await;
}

/// The longest text with the most beside it makes a file that can be read again.
#[tokio::test]
async fn the_largest_post_comes_back_as_it_was() {
    let app = TestApp::start().await;
    let wide: Vec<Value> = (0..20_000).map(|n| json!(n % 10)).collect();
    let custom = (0..15).fold(json!(wide), |inner, _| json!([inner]));
    let large = PostDraft {
        custom: [("deep".to_owned(), custom)].into_iter().collect(),
        description: Some("\u{7}".repeat(999)),
        tags: (0..50).map(|n| format!("{n} {}", "字".repeat(57))).collect(),
        ..draft("Large", &"字 word\n\n".repeat(1024 * 1024 / 11))
    };
    published(&app, large).await;
    there_and_back(&app).await;
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
    there_and_back(&app).await;
    let after = picture::content(&app.services).await;
    let kept = &after["comments"][answer.id.to_string()];
    assert_eq!((&kept["markdown"], &kept["parent"]), (&json!("Kept"), &json!(asked.id)), "it keeps its place");
    let place = &after["comments"][asked.id.to_string()];
    assert_eq!((&place["status"], &place["markdown"]), (&json!("DELETED"), &json!("")), "the text stays gone");
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
