//! Folders of Markdown, and importing them.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use inkstone::services::Services;
use inkstone::services::importing::{self, ImportOptions, ImportReport};
use inkstone::store::users::{self, UserRow};

use crate::picture;

/// A folder that is gone after the test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder above")).expect("the folder");
        std::fs::write(path, text).expect("the file");
    }

    /// Every file in it, by its path.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let (mut found, mut open) = (BTreeMap::new(), vec![self.path().to_owned()]);
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let name = path.strip_prefix(self.path()).expect("a path in it").display().to_string();
                    found.insert(name, std::fs::read(&path).expect("the file"));
                }
            }
        }
        found
    }

    /// A path in it, as problems name it.
    pub fn name(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// Posts as other generators write them.
pub fn habits() -> Folder {
    Folder::new(&[
        (
            "content/posts/hello/index.md",
            "---\ntitle: \"Hello: a bundle\"\ndate: 2024-01-02T10:00:00+08:00\nlastmod: 2024-02-03\ntags: [Rust, 写作]\n\
             categories: [Tools]\nseries: [\"Small, slow things\"]\nseries_order: 2\ncover:\n  image: a.png\n  alt: A\n\
             weight: 3\n---\n\nFirst paragraph.\n\n## A heading\n\nSecond.\n",
        ),
        ("content/posts/hello/index.zh.md", "---\ntitle: 你好\nslug: ni-hao\ndate: 2024-01-02\n---\n第一段。\n"),
        (
            "_posts/2023-05-06-a-jekyll-post.md",
            "---\nlayout: post\ntitle: A Jekyll post\ncategory: life\ntags: one two\nexcerpt: What it is about\n---\nText.\n",
        ),
        (
            "content/blog/zola.md",
            "+++\ntitle = \"Zola\"\ndate = 2022-03-04\ndescription = \"In TOML\"\n[taxonomies]\ntags = [\"Rust\"]\n\
             [extra]\nmood = \"calm\"\n+++\nText.\n",
        ),
        (
            "src/content/blog/astro.md",
            "---\ntitle: 'Astro'\npubDate: 'Jul 08 2022'\nheroImage: '/hero.jpg'\nlang: zh_cn\n---\nText.\n",
        ),
        (
            "source/_posts/hexo.md",
            "---\ntitle: Hexo\ndate: 2021-01-01 10:00:00\nupdated: 2021-01-05 10:00:00\ncategories:\n  - [A, B]\n---\nText.\n",
        ),
        ("notes/short.md", "# A title from the heading\n\nNo front matter, in the notes.\n"),
        ("_drafts/unfinished.md", "---\ntitle: Unfinished\ntags:\n---\nTo be continued.\n"),
    ])
}

pub const HABITS: usize = 8;

pub async fn user(services: &Services, handle: &str) -> UserRow {
    let mut conn = services.db.conn().await.expect("a connection");
    users::by_handle(&mut conn, handle).await.expect("an answer").unwrap_or_else(|| panic!("{handle} is a user"))
}

/// How tests import unless they say otherwise: as olga, at a moment given in whole microseconds.
pub async fn options(services: &Services) -> ImportOptions {
    let now = DateTime::from_timestamp_micros(Utc::now().timestamp_micros()).expect("a time of today");
    ImportOptions { dry_run: false, author: user(services, "olga").await, reassign: false, demo: false, now }
}

pub async fn import(services: &Services, dir: &Path) -> ImportReport {
    import_with(services, dir, &options(services).await).await
}

pub async fn import_with(services: &Services, dir: &Path, options: &ImportOptions) -> ImportReport {
    importing::import(services, dir, options, |_, _| {}).await.expect("the import can begin")
}

/// A dry run, which must change nothing, and then the import, which must have the same problems:
/// what each said.
pub async fn rehearsed(services: &Services, dir: &Path) -> (ImportReport, ImportReport) {
    let dry = ImportOptions { dry_run: true, ..options(services).await };
    let (before, rows_before) = (picture::content(services).await, picture::rows(services).await);
    let said = import_with(services, dir, &dry).await;
    picture::assert_equal(&before, &picture::content(services).await, "a dry run should change nothing");
    assert_eq!(picture::rows(services).await, rows_before, "a dry run should change nothing");
    let done = import(services, dir).await;
    assert_eq!(said.problems, done.problems);
    (said, done)
}

/// Created, updated and unchanged.
pub fn counts(report: &ImportReport) -> (usize, usize, usize) {
    (report.created, report.updated, report.unchanged)
}

/// An import without a single problem.
pub fn flawless(report: &ImportReport) {
    assert!(report.problems.is_empty(), "expected no problems: {:#?}", report.problems);
}
