//! What was wrong with folders as other generators and other machines really make them.

use inkstone::services::importing::ImportOptions;
use serde_json::json;

use crate::folders::{Folder, counts, flawless, import, import_with, options};
use crate::picture;
use crate::support::TestApp;

/// Hugo and Zola: translations have one name, and neither writes a slug.
#[tokio::test]
async fn translations_of_one_name_get_slugs_of_their_own_and_keep_them() {
    let app = TestApp::start().await;
    let folder = Folder::new(&[
        ("content/post/tea/index.md", "---\ntitle: Tea\n---\nx\n"),
        ("content/post/tea/index.zh-cn.md", "---\ntitle: 茶\n---\nx\n"),
        ("content/en/rain.md", "---\ntitle: Rain\n---\nx\n"),
        ("content/zh/rain.md", "---\ntitle: 雨\n---\nx\n"),
    ]);
    let dry = ImportOptions { dry_run: true, ..options(&app.services).await };
    let said = import_with(&app.services, folder.path(), &dry).await;
    let report = import(&app.services, folder.path()).await;
    flawless(&report);
    assert_eq!((counts(&said), counts(&report)), ((4, 0, 0), (4, 0, 0)));
    for (slug, title, language, other) in [
        ("tea", "Tea", "en", "tea-zh-cn"),
        ("tea-zh-cn", "茶", "zh-CN", "tea"),
        ("rain", "Rain", "en", "rain-zh"),
        ("rain-zh", "雨", "zh", "rain"),
    ] {
        let post = picture::post(&app.services, slug).await;
        assert_eq!((&post["title"], &post["language"]), (&json!(title), &json!(language)), "{slug}");
        assert_eq!(post["translations"], json!([other]), "{slug}");
    }
    // A further language moves nobody, though its folder is the first.
    folder.write("content/de/rain.md", "---\ntitle: Regen\n---\nx\n");
    assert_eq!(counts(&import(&app.services, folder.path()).await), (1, 0, 4));
    assert_eq!(picture::post(&app.services, "rain-de").await["title"], "Regen");
    assert_eq!(picture::post(&app.services, "rain").await["title"], "Rain");
}

#[tokio::test]
async fn windows_files_say_the_same_as_others() {
    let app = TestApp::start().await;
    let text = "---\ntitle: T\nslug: s\ndate: 2024-01-02\ntags:\n  - a\n---\n\nOne\ntwo\n";
    let folder = Folder::new(&[("a.md", text)]);
    flawless(&import(&app.services, folder.path()).await);
    folder.write("a.md", &format!("\u{feff}{}", text.replace('\n', "\r\n")));
    let report = import(&app.services, folder.path()).await;
    flawless(&report);
    assert_eq!(counts(&report), (0, 0, 1), "line ends and a byte order mark are no change");
}

#[cfg(unix)]
#[tokio::test]
async fn links_pipes_and_folders_named_like_posts_stop_nothing() {
    let app = TestApp::start().await;
    let folder =
        Folder::new(&[("fine.md", "---\ntitle: Fine\n---\n"), ("dir.md/inner.md", "---\ntitle: Inner\n---\n")]);
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).expect("a link");
    link(".", "loop");
    link("/etc/hostname", "outside.md");
    link("nowhere.md", "dangling.md");
    let report = import(&app.services, folder.path()).await;
    assert_eq!(counts(&report), (2, 0, 0));
    let told: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    for (name, line) in ["dangling.md", "outside.md"].iter().zip(&told) {
        assert!(line.starts_with(&format!("{}: is a symbolic link", folder.name(name))), "{line}");
    }
}
