//! `inkstone import`.

use chrono::{DateTime, Duration, Utc};
use inkstone::services::content_folder::FolderError;
use inkstone::services::importing::{self, ImportError, ImportOptions};
use inkstone::store::{Page, revisions};
use serde_json::json;

use crate::folders::{Folder, HABITS, counts, flawless, habits, import, import_with, options, rehearsed, user};
use crate::picture::{self, all_posts, rows};
use crate::support::TestApp;

#[tokio::test]
async fn the_habits_of_other_generators_are_understood() {
    let app = TestApp::start().await;
    let folder = habits();
    let report = import(&app.services, folder.path()).await;
    flawless(&report);
    assert_eq!(counts(&report), (HABITS, 0, 0));
    let content = picture::content(&app.services).await;
    let slugs = ["hello", "ni-hao", "a-jekyll-post", "zola", "astro", "hexo", "short", "unfinished"];
    let mut seen = serde_json::Map::new();
    for slug in slugs {
        let mut post = content["posts"][slug].clone();
        assert!(post.is_object(), "there should be a post {slug:?}");
        for other in ["html", "outline", "excerpt", "words", "listedAt", "updatedAt"] {
            post.as_object_mut().expect("an object").remove(other);
        }
        if slug == "short" {
            // Published when it was first seen.
            assert!(post["publishedAt"].take().is_string());
        }
        seen.insert(slug.to_owned(), post);
    }
    insta::assert_snapshot!("habits", format!("{:#}", serde_json::Value::Object(seen)));
    assert_eq!(content["posts"]["hexo"]["updatedAt"], "2021-01-05T10:00:00Z");
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let app = TestApp::start().await;
    let folder = habits();
    import(&app.services, folder.path()).await;
    let (before, rows_before) = (picture::content(&app.services).await, rows(&app.services).await);
    for dry_run in [false, true] {
        let report =
            import_with(&app.services, folder.path(), &ImportOptions { dry_run, ..options(&app.services).await }).await;
        flawless(&report);
        assert_eq!(counts(&report), (0, 0, HABITS), "dry run: {dry_run}");
    }
    let after = picture::content(&app.services).await;
    picture::assert_equal(&before, &after, "the second run should change nothing");
    assert_eq!(rows(&app.services).await, rows_before, "no new revision, no new event");
}

#[tokio::test]
async fn a_second_run_of_the_demo_site_changes_nothing() {
    let app = TestApp::start().await;
    let site = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/site");
    let rows_before = rows(&app.services).await;
    let report = import(&app.services, &site).await;
    flawless(&report);
    assert_eq!((report.created, report.updated, report.comments), (0, 0, 0));
    assert_eq!(rows(&app.services).await, rows_before, "no new revision, no new event");
}

#[tokio::test]
async fn an_edited_file_updates_its_post_and_keeps_what_it_said() {
    let app = TestApp::start().await;
    let folder = habits();
    import(&app.services, folder.path()).await;
    let row = async || {
        let all = all_posts(&mut app.services.db.conn().await.expect("a connection")).await;
        all.into_iter().find(|post| post.slug == "zola").expect("the post")
    };
    let before = row().await;
    let events = rows(&app.services).await["events"];
    folder.write(
        "content/blog/zola.md",
        "+++\ntitle = \"Zola again\"\ndate = 2022-03-04\n[taxonomies]\ntags = [\"Rust\", \"New\"]\n+++\nOther text.\n",
    );
    let report = import(&app.services, folder.path()).await;
    flawless(&report);
    assert_eq!(counts(&report), (0, 1, HABITS - 1), "only the edited file is an update");

    let (after, post) = (row().await, picture::post(&app.services, "zola").await);
    assert_eq!((after.id, after.version), (before.id, before.version + 1), "the same post, one version on");
    assert_eq!(post["title"], "Zola again");
    assert_eq!(post["markdown"], "Other text.");
    assert_eq!(post["tags"], json!(["rust", "new"]));
    assert_eq!((&post["description"], &post["custom"]), (&json!(null), &json!({})), "what left the file is gone");
    let page = Page { limit: 10, after: None, before: None, from_end: false };
    let mut conn = app.services.db.conn().await.expect("a connection");
    let kept = revisions::page_by_post(&mut conn, &[after.id], &page).await.expect("revisions");
    let kept = &kept[&after.id].rows;
    assert_eq!(kept.len(), 1, "one revision for one edit");
    assert_eq!((kept[0].title.as_str(), kept[0].markdown.as_str()), ("Zola", "Text."), "it says what was before");
    drop(conn);
    assert_eq!(rows(&app.services).await["events"], events + 1, "one event tells of it");
}

#[tokio::test]
async fn each_kind_of_edit_is_noticed() {
    let app = TestApp::start().await;
    let whole = "---\ntitle: T\nslug: s\ndate: 2020-01-01\ndescription: d\nmood: calm\n---\nText.\n";
    let folder = Folder::new(&[("a.md", whole)]);
    import(&app.services, folder.path()).await;
    for (from, to) in [
        ("title: T", "title: U"),
        ("2020-01-01", "2020-01-02"),
        ("description: d", "description: e"),
        ("mood: calm", "mood: gay"),
        ("mood: calm", "tags: [x]"),
        ("mood: calm", "series: x"),
        ("mood: calm", "cover: x.png"),
        ("mood: calm", "draft: true"),
        ("mood: calm", "lang: zh"),
        ("mood: calm", "kind: note"),
        ("mood: calm", "translation_key: x"),
        ("mood: calm", "author: rita"),
        ("mood: calm", "status: archived"),
        ("Text.", "Text!"),
    ] {
        folder.write("a.md", &whole.replace(from, to));
        let report = import(&app.services, folder.path()).await;
        flawless(&report);
        assert_eq!(counts(&report), (0, 1, 0), "{from} became {to}");
        folder.write("a.md", whole);
        assert_eq!(counts(&import(&app.services, folder.path()).await), (0, 1, 0), "and back from {to}");
    }
    folder.write("deep/er/b.md", whole);
    std::fs::remove_file(folder.path().join("a.md")).expect("the file is moved");
    assert_eq!(counts(&import(&app.services, folder.path()).await), (0, 0, 1), "a file that is moved is the same post");
}

#[tokio::test]
async fn a_broken_file_is_told_with_its_place_and_stops_nothing_else() {
    let app = TestApp::start().await;
    let folder = habits();
    folder.write("bad/yaml.md", "---\ntitle: Bad\ntags: [a, b\n---\nText.\n");
    folder.write("bad/date.md", "---\ntitle: Bad\nmood: x\ndate: soon\n---\nText.\n");
    folder.write("bad/toml.md", "+++\ntitle = \"Bad\"\ndraft = \n+++\nText.\n");
    folder.write("bad/long.md", &format!("---\ntitle: {}\n---\nText.\n", "x".repeat(301)));
    std::fs::write(folder.path().join("bad/latin1.md"), b"---\ntitle: Caf\xe9\n---\n").expect("the file");
    folder.write(
        "comments.toml",
        "[[comments]]\nkey = \"a\"\npost = \"nowhere\"\nauthor = \"rita\"\nat = 2024-01-01\nbody = \"x\"\n\
         [[comments]]\nkey = \"b\"\npost = \"zola\"\nauthor = \"nobody\"\nat = 2024-01-01\nbody = \"x\"\n\
         [[comments]]\nkey = \"c\"\npost = \"zola\"\nauthor = \"rita\"\nat = 2024-01-01\nbody = \"x\"\n",
    );
    folder.write("reactions.toml", "[[reactions]]\npost = \"zola\"\nkind = \"HATE\"\nusers = [\"rita\"]\n");
    let report = import(&app.services, folder.path()).await;
    assert_eq!(counts(&report), (HABITS, 0, 0), "the good files are imported: {:#?}", report.problems);
    assert_eq!(report.comments, 1, "the good comment is imported");
    let told: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    for (file, says) in [
        ("bad/yaml.md:3:", ""),
        ("bad/date.md:4:", "`date` must be a date such as"),
        ("bad/toml.md:3:", ""),
        ("bad/long.md:2:", "`title`: title has"),
        ("bad/latin1.md:", ""),
        ("comments.toml:1:", "there is no post \"nowhere\" here"),
        ("comments.toml:", "there is no user \"nobody\" here"),
        ("reactions.toml:3:", "HATE"),
    ] {
        let start = folder.name(file);
        let there = told.iter().any(|line| line.starts_with(&start) && line.contains(says));
        assert!(there, "expected {start} … {says} in\n{}", told.join("\n"));
    }
    assert_eq!(told.len(), 8, "nothing else is told:\n{}", told.join("\n"));
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_changes_nothing() {
    let app = TestApp::start().await;
    let folder = habits();
    folder.write("bad.md", "---\ndate: soon\n---\n");
    folder.write("users.toml", "[[users]]\nhandle = \"new\"\nname = \"New\"\n");
    folder.write("site.toml", "title = \"Another title\"\n");
    let (said, done) = rehearsed(&app.services, folder.path()).await;
    assert_eq!(counts(&said), counts(&done), "a dry run says what happens then");
    assert_eq!(picture::content(&app.services).await["site"]["title"], "Another title");
}

#[tokio::test]
async fn of_two_files_with_one_slug_the_second_is_left_out() {
    let app = TestApp::start().await;
    let folder = Folder::new(&[
        ("a.md", "---\ntitle: First\nslug: same\n---\nFirst.\n"),
        ("b.md", "---\ntitle: Second\nslug: same\n---\nSecond.\n"),
        ("c.md", "---\ntitle: Third\n---\nThird.\n"),
    ]);
    for run in [(2, 0, 0), (0, 0, 2)] {
        let report = import(&app.services, folder.path()).await;
        assert_eq!(counts(&report), run);
        assert_eq!(report.problems.len(), 1, "{:#?}", report.problems);
        let told = report.problems[0].to_string();
        assert!(told.starts_with(&folder.name("b.md:")), "{told}");
        assert!(told.contains("\"same\"") && told.contains(&folder.name("a.md")), "it names both: {told}");
    }
    assert_eq!(picture::post(&app.services, "same").await["title"], "First");
}

#[tokio::test]
async fn a_file_dated_in_the_future_waits_for_its_day_and_then_goes_live_by_itself() {
    let app = TestApp::start().await;
    let options = options(&app.services).await;
    let soon = options.now - Duration::minutes(30);
    let folder = Folder::new(&[
        ("far.md", "---\ntitle: Far\ndate: 2999-01-01\n---\nText.\n"),
        ("soon.md", &format!("---\ntitle: Soon\ndate: {}\n---\nText.\n", soon.to_rfc3339())),
    ]);
    // To an import of an hour ago both lie in the future.
    let earlier = ImportOptions { now: options.now - Duration::hours(1), ..options.clone() };
    flawless(&import_with(&app.services, folder.path(), &earlier).await);
    let far = picture::post(&app.services, "far").await;
    assert_eq!(
        (far["status"].as_str(), far["publishedAt"].as_str()),
        (Some("SCHEDULED"), Some("2999-01-01T00:00:00Z"))
    );

    let until = Utc::now() + Duration::seconds(20);
    while picture::post(&app.services, "soon").await["status"] != "PUBLISHED" {
        assert!(Utc::now() < until, "the post should have gone live by now");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let query = r#"{ far: post(slug: "far") { title } soon: post(slug: "soon") { publishedAt } }"#;
    let data = crate::support::data(app.ask(query, json!({})).await);
    assert_eq!(data["far"], json!(null), "nobody sees it before its day");
    let at: DateTime<Utc> = data["soon"]["publishedAt"].as_str().expect("a date").parse().expect("a date");
    assert_eq!(at, soon, "it keeps the date of its file");
    let report = import_with(&app.services, folder.path(), &options).await;
    assert_eq!(counts(&report), (0, 0, 2), "what went live by itself is no difference");
}

#[tokio::test]
async fn an_author_who_is_no_user_here_is_replaced() {
    let app = TestApp::start().await;
    let folder = Folder::new(&[
        ("a.md", "---\ntitle: A\nauthor: Edgar\n---\n"),
        ("b.md", "---\ntitle: B\nauthor: Somebody Else\n---\n"),
    ]);
    flawless(&import(&app.services, folder.path()).await);
    assert_eq!(picture::post(&app.services, "a").await["author"], "edgar");
    assert_eq!(picture::post(&app.services, "b").await["author"], "olga");

    let folder = Folder::new(&[("a.md", "---\ntitle: A, again\n---\n"), ("b.md", "---\ntitle: B, again\n---\n")]);
    let rita = ImportOptions { author: user(&app.services, "rita").await, ..options(&app.services).await };
    flawless(&import_with(&app.services, folder.path(), &rita).await);
    assert_eq!(picture::post(&app.services, "a").await["author"], "edgar", "it stays whose it is");
    assert_eq!(picture::post(&app.services, "b").await["author"], "olga");
    flawless(&import_with(&app.services, folder.path(), &ImportOptions { reassign: true, ..rita }).await);
    assert_eq!(picture::post(&app.services, "a").await["author"], "rita", "unless another is named");
}

#[tokio::test]
async fn files_whose_names_differ_in_language_only_are_translations() {
    let app = TestApp::start().await;
    let folder = Folder::new(&[
        ("content/en/tea.md", "---\ntitle: Tea\n---\n"),
        ("content/zh/tea.md", "---\ntitle: 茶\nslug: cha\n---\n"),
        ("content/en/alone.md", "---\ntitle: Alone\n---\n"),
    ]);
    flawless(&import(&app.services, folder.path()).await);
    assert_eq!(picture::post(&app.services, "tea").await["translations"], json!(["cha"]));
    assert_eq!(picture::post(&app.services, "cha").await["language"], "zh");
    assert_eq!(picture::post(&app.services, "alone").await["translations"], json!([]));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_refused() {
    let app = TestApp::start().await;
    let folder = Folder::new(&[("file.md", "x")]);
    for wrong in ["nowhere", "file.md"] {
        let path = folder.path().join(wrong);
        let done = importing::import(&app.services, &path, &options(&app.services).await, |_, _| {}).await;
        let error: FolderError = match done {
            Err(ImportError::Folder(error)) => error,
            other => panic!("{wrong} should be refused: {other:?}"),
        };
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}
