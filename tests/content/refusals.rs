//! What is refused is told by the key that the file has, with its line; the rest is imported.

use serde_json::json;

use crate::folders::{Folder, counts, flawless, import};
use crate::picture;
use crate::support::TestApp;

#[tokio::test]
async fn a_refusal_names_the_key_of_the_file_and_its_line() {
    let app = TestApp::start().await;
    let long = "x".repeat(301);
    let (deep, wide) = ("[".repeat(20) + &"]".repeat(20), "wide ".repeat(13));
    let files = [
        ("title.md", format!("---\nslug: a\nTitle: {long}\n---\n"), "title.md:3: `Title`: "),
        ("heading.md", format!("# {long}\n"), "heading.md: `title`, which the file leaves open: "),
        ("tags.md", format!("---\ntitle: T\ncategories: [{wide}x]\n---\n"), "tags.md:3: `categories`: "),
        ("emoji.md", "---\ntitle: T\ntags: [fine, 🎉]\n---\n".into(), "emoji.md:3: `tags`: \"🎉\" is not a tag"),
        ("series.md", "---\ntitle: T\n\nseries: 🎉\n---\n".into(), "series.md:4: `series`: "),
        ("key.md", format!("---\ntitle: T\ntranslationKey: {long}\n---\n"), "key.md:3: `translationKey`: "),
        ("text.md", "a".repeat(1024 * 1024 + 1), "text.md: the text: "),
        ("deep.md", format!("---\ntitle: T\nx: {deep}\n---\n"), "deep.md: `custom`, "),
        ("year.md", "+++\ntitle = 'T'\ndate = 0024-01-02\n+++\n".into(), "year.md:3: `date` must be a date"),
        ("empty.md", "\u{feff}\r\n \r\n".into(), "empty.md: is empty: "),
        ("z1.md", "---\ntitle: T\nslug: taken\n---\n".into(), ""),
        ("z2.md", "---\ntitle: T\n\npermalink: /x/taken/\n---\n".into(), "z2.md:4: the slug \"taken\" is taken by "),
        ("fine.md", "---\ntitle: Fine\n---\nText.\n".into(), ""),
    ];
    let folder = Folder::new(&[]);
    for (name, text, _) in &files {
        folder.write(name, text);
    }
    let report = import(&app.services, folder.path()).await;
    let told: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let wrong: Vec<&str> = files.iter().map(|(.., says)| *says).filter(|says| !says.is_empty()).collect();
    for says in &wrong {
        let says = folder.name(says);
        assert!(told.iter().any(|line| line.starts_with(&says)), "expected {says} in\n{}", told.join("\n"));
    }
    assert_eq!(told.len(), wrong.len(), "nothing else is told:\n{}", told.join("\n"));
    assert_eq!(counts(&report), (2, 0, 0), "the rest is imported");
}

#[tokio::test]
async fn entries_beside_the_posts_are_checked_one_by_one() {
    let app = TestApp::start().await;
    let folder = Folder::new(&[
        ("site.toml", "title = \"T\"\nlanguage = \"english!\"\n"),
        (
            "users.toml",
            "[[users]]\nhandle = \"Big Name\"\nname = \"B\"\n[[users]]\nhandle = \"fine\"\nname = \"F\"\n\
             [[users]]\nhandle = \"linked\"\nname = \"L\"\nurl = \"javascript:alert(1)\"\n",
        ),
        ("tags.toml", "[[tags]]\nslug = \"Not A Slug\"\nname = \"N\"\n[[tags]]\nslug = \"fine-tag\"\nname = \"F\"\n"),
        ("series.toml", "[[series]]\nslug = \"\"\ntitle = \"\"\n[[series]]\nslug = \"fine-series\"\ntitle = \"F\"\n"),
        (
            "comments.toml",
            "[[comments]]\nkey = \"a\"\npost = \"grinding-ink\"\nauthor = \"fine\"\nat = 2024-01-02\nbody = \" \"\n\
             [[comments]]\nkey = \"b\"\npost = \"grinding-ink\"\nauthor = \"fine\"\nat = never\nbody = \"x\"\n\
             [[comments]]\nkey = \"c\"\npost = \"grinding-ink\"\nauthor = \"fine\"\nat = 2024-01-02\nbody = \"x\"\n",
        ),
    ]);
    let report = import(&app.services, folder.path()).await;
    let told: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    for says in [
        "site.toml:2: `language`: ",
        "users.toml:1: `handle`: ",
        "users.toml:7: `url`: ",
        "tags.toml:1: `slug`: ",
        "series.toml:1: `slug`: ",
        "series.toml:1: `title`: ",
        "comments.toml:1: the comment \"a\" was left out: `body` is empty",
        "comments.toml:11: ",
    ] {
        let says = folder.name(says);
        assert!(told.iter().any(|line| line.starts_with(&says)), "expected {says} in\n{}", told.join("\n"));
    }
    assert_eq!(told.len(), 8, "nothing else is told:\n{}", told.join("\n"));
    assert_eq!((report.users, report.tags, report.series, report.comments, report.site), (1, 1, 1, 1, false));
    let content = picture::content(&app.services).await;
    assert_eq!(content["comments"]["c"]["author"], "fine");
}

#[tokio::test]
async fn a_new_date_alone_is_a_change_too() {
    let app = TestApp::start().await;
    let text = "---\ntitle: T\nslug: s\ndate: 2020-01-01\nupdated: 2021-01-01\ncreated: 2019-01-01\n---\nText.\n";
    let folder = Folder::new(&[("a.md", text)]);
    flawless(&import(&app.services, folder.path()).await);
    folder.write("a.md", &text.replace("updated: 2021", "updated: 2022"));
    assert_eq!(counts(&import(&app.services, folder.path()).await), (0, 1, 0), "`updated` changed");
    assert_eq!(picture::post(&app.services, "s").await["updatedAt"], json!("2022-01-01T00:00:00Z"));
    let text = text.replace("created: 2019", "created: 2018").replace("updated: 2021", "updated: 2022");
    folder.write("a.md", &text);
    assert_eq!(counts(&import(&app.services, folder.path()).await), (0, 1, 0), "`created` changed");
    let created =
        crate::support::stored_text(&app.services, "SELECT created_at AT TIME ZONE 'UTC' FROM posts WHERE slug = 's'");
    assert_eq!(created.await, "2018-01-01 00:00:00");
    assert_eq!(counts(&import(&app.services, folder.path()).await), (0, 0, 1), "and then it is equal");
    folder.write("a.md", &text.replace("date: 2020-01-01", "date: 2020-01-01T10:00:00.123456789Z"));
    assert_eq!(counts(&import(&app.services, folder.path()).await), (0, 1, 0), "`date` changed");
    assert_eq!(
        counts(&import(&app.services, folder.path()).await),
        (0, 0, 1),
        "finer than the database keeps, and equal"
    );
}
