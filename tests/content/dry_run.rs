//! `inkstone import --dry-run` says what an import does, to the last comment.

use inkstone::services::importing::{ImportOptions, ImportReport};

use crate::folders::{Folder, habits, import_with, options, rehearsed};
use crate::picture::rows;
use crate::support::TestApp;

/// A folder with something of everything, some of it wrong.
fn everything() -> Folder {
    let folder = habits();
    folder.write("a.md", "---\ntitle: A\nseries: Brand New\ntags: [never-seen, ink]\ntranslation_key: k\n---\nx\n");
    folder.write("b.md", "---\ntitle: B\nseries: brand-new\ntags: [never-seen]\ntranslation_key: k\n---\nx\n");
    folder.write("bad.md", "---\ndate: soon\n---\n");
    folder.write(
        "users.toml",
        "[[users]]\nhandle = \"new\"\nname = \"New\"\n[[users]]\nhandle = \"rita\"\nname = \"R\"\n",
    );
    folder.write("site.toml", "title = \"Another title\"\n");
    folder
        .write("tags.toml", "[[tags]]\nslug = \"ink\"\nname = \"Ink\"\n[[tags]]\nslug = \"other\"\nname = \"Other\"\n");
    folder.write("series.toml", "[[series]]\nslug = \"told\"\ntitle = \"Told\"\n");
    folder.write("entities.toml", "[[entities]]\nname = \"Zorbium\"\nkind = \"CONCEPT\"\ntag = \"other\"\n");
    folder.write(
        "comments.toml",
        "[[comments]]\nkey = \"1\"\npost = \"a\"\nauthor = \"new\"\nat = 2024-01-02\nbody = \"On a new post.\"\n\
         [[comments]]\nkey = \"2\"\npost = \"a\"\nparent = \"1\"\nauthor = \"rita\"\nat = 2024-01-03\nbody = \"An answer.\"\n\
         [[comments]]\nkey = \"3\"\npost = \"b\"\nauthor = \"rita\"\nat = 2024-01-03\nbody = \"On what is left out.\"\n",
    );
    folder.write(
        "reactions.toml",
        "[[reactions]]\npost = \"a\"\nkind = \"LIKE\"\nusers = [\"new\", \"rita\", \"nobody\"]\n",
    );
    folder
}

/// Everything but the problems.
fn numbers(report: &ImportReport) -> [usize; 10] {
    let ImportReport {
        created,
        updated,
        unchanged,
        comments,
        reactions,
        users,
        tags,
        series,
        entities,
        site,
        problems: _,
    } = report;
    [*created, *updated, *unchanged, *comments, *reactions, *users, *tags, *series, *entities, usize::from(*site)]
}

#[tokio::test]
async fn a_dry_run_says_what_happens_of_every_kind_and_changes_nothing() {
    let app = TestApp::start().await;
    let folder = everything();
    let rows_before = rows(&app.services).await;
    let (said, done) = rehearsed(&app.services, folder.path()).await;
    assert_eq!(numbers(&said), numbers(&done), "a dry run should say what happens then");
    assert_eq!((done.comments, done.reactions, done.users, done.entities, done.site), (2, 2, 1, 1, true));
    let rows = rows(&app.services).await;
    let more = |table: &str| (rows[table] - rows_before[table]) as usize;
    let stored = ["posts", "comments", "reactions", "users", "tags", "series"].map(more);
    assert_eq!(stored, [done.created, done.comments, done.reactions, done.users, done.tags, done.series]);
    let told: Vec<String> = done.problems.iter().map(ToString::to_string).collect();
    for (file, says) in [
        ("bad.md:2:", "`date`"),
        ("b.md:5:", "`translation_key`: the group \"k\" already has a version"),
        ("comments.toml:14:", "there is no post \"b\" here"),
        ("reactions.toml:1:", "there is no user \"nobody\" here"),
    ] {
        let start = folder.name(file);
        assert!(told.iter().any(|line| line.starts_with(&start) && line.contains(says)), "{start} {says}: {told:#?}");
    }
    assert_eq!(told.len(), 4, "{told:#?}");

    let dry = ImportOptions { dry_run: true, ..options(&app.services).await };
    let again = import_with(&app.services, folder.path(), &dry).await;
    assert_eq!(numbers(&again)[3..], [0; 7], "the second time there is nothing left to do");
    assert_eq!((again.created, again.updated, again.unchanged), (0, 0, done.created));
}
