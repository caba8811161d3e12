//! The TOML files of a site, written and read back, and what is wrong with them.

use super::super::site_files::{CommentStatus, EntityKind, LinkToml, Moment, ReactionKind, UserRole};
use super::*;
use chrono::DateTime;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn comment(key: &str, parent: Option<&str>) -> CommentToml {
    CommentToml {
        key: key.into(),
        post: "p".into(),
        author: "ada".into(),
        at: Moment(DateTime::from_timestamp(1_700_000_000, 120_000_000).unwrap()),
        edited: None,
        approved: Some(Moment(DateTime::from_timestamp(1_700_000_001, 0).unwrap())),
        parent: parent.map(str::to_owned),
        status: CommentStatus::Spam,
        body: "One \"quoted\"\n\n```\n'''\n```\n\\".into(),
    }
}

fn full() -> SiteFiles {
    SiteFiles {
        site: Some(SiteToml {
            title: "站".into(),
            language: Some("zh".into()),
            links: ["z", "a b", "z"]
                .map(|name| LinkToml { name: name.into(), url: "https://example.org".into() })
                .to_vec(),
            ..SiteToml::default()
        }),
        users: vec![UserToml {
            handle: "ada".into(),
            name: "Ada".into(),
            role: UserRole::Owner,
            bio: None,
            url: Some("https://example.org".into()),
            avatar: None,
            created: Some(Moment(DateTime::from_timestamp(1_600_000_000, 1000).unwrap())),
            updated: None,
        }],
        tags: vec![TagToml { slug: "rust".into(), name: "Rust".into(), description: None, created: None }],
        series: vec![SeriesToml {
            slug: "s".into(),
            title: "S".into(),
            description: Some("d".into()),
            language: Some("en".into()),
            created: None,
        }],
        entities: vec![EntityToml {
            name: "Rust".into(),
            kind: EntityKind::Technology,
            aliases: vec!["rustlang".into()],
            read: vec!["rs".into()],
            tag: Some("rust".into()),
            deleted: true,
            created: None,
        }],
        comments: vec![comment("1", None), comment("2", Some("1"))],
        reactions: vec![ReactionToml {
            post: "p".into(),
            kind: ReactionKind::Insightful,
            users: vec!["ada".into()],
            at: BTreeMap::from([("ada".into(), Moment(DateTime::from_timestamp(1_700_000_000, 120_000_000).unwrap()))]),
        }],
    }
}

#[test]
fn what_is_written_is_read_back() {
    let dir = folder(&[]);
    let inner = dir.path().join("new");
    for files in [full(), SiteFiles::default(), full()] {
        write_site_files(&inner, &files).unwrap();
        let read = read_site_files(&inner);
        assert_eq!((read.files, read.problems), (files, Vec::new()));
    }
    let names = fs::read_dir(&inner).unwrap().count();
    assert_eq!(names, 7, "no half-written file stays behind");
}

#[test]
fn an_empty_folder_is_empty_and_stays_so() {
    let dir = folder(&[]);
    assert_eq!(read_site_files(dir.path()), SiteFolder::default());
    write_site_files(dir.path(), &SiteFiles::default()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn defaults_and_both_spellings_of_a_moment() {
    let text = "[[comments]]\nkey = 'a'\npost = 'p'\nauthor = 'ada'\nbody = 'x'\n\
        at = 2024-01-02T10:00:00+08:00\n\
        [[comments]]\nkey = 'b'\npost = 'p'\nauthor = 'ada'\nbody = 'x'\n\
        at = '2024-01-02T02:00:00Z'\n";
    let users = "\u{feff}[[users]]\nhandle = 'bob'\nname = 'Bob'\n";
    let dir = folder(&[(COMMENTS, text), (USERS, users)]);
    let SiteFolder { files, problems, .. } = read_site_files(dir.path());
    assert_eq!(problems, []);
    assert_eq!(files.comments[0].at, files.comments[1].at);
    assert_eq!(files.comments[0].at.0.to_rfc3339(), "2024-01-02T02:00:00+00:00");
    assert_eq!(files.comments[0].status, CommentStatus::Approved);
    assert_eq!(files.users[0].role, UserRole::Reader);
}

#[test]
fn problems_name_file_and_line_and_stop_nothing_else() {
    let user = "[[users]]\nhandle = 'ada'\nname = 'Ada'\n";
    let dir = folder(&[
        (SITE, "title = \n"),
        (USERS, &format!("{user}\n{user}")),
        (TAGS, "[[tags]]\nslug = 'a'\nname = 'A'\n\n[[tags]]\nslug = 'b'\n"),
        (SERIES, "[[serie]]\nslug = 'a'\ntitle = 'A'\n"),
        (REACTIONS, "[[reactions]]\npost = 'p'\nusers = []\nkind = 'HATE'\n"),
        (COMMENTS, "[[comments]]\nkey = 'a'\npost = 'p'\nauthor = 'b'\nbody = ''\nat = 10:00:00\n"),
    ]);
    let SiteFolder { files, problems, .. } = read_site_files(dir.path());
    assert_eq!((files.users.len(), files.tags.len()), (1, 1), "a broken entry costs no other");
    let found: Vec<String> = problems
        .iter()
        .map(|problem| {
            let name = problem.path.strip_prefix(dir.path()).unwrap().to_owned();
            FileProblem { path: name, ..problem.clone() }.to_string()
        })
        .collect();
    let expected = [
        "site.toml:1:",
        "users.toml:5: `ada` stands in line 1 already",
        "tags.toml:5: missing field `name`",
        "series.toml:1: `serie` is unknown here; write [[series]]",
        "comments.toml:6: expected a date",
        "reactions.toml:4: unknown variant `HATE`, expected one of `LIKE`",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} should start with {expected}");
    }
}

#[test]
fn of_many_entries_each_broken_one_is_told_with_its_line() {
    let entry = |key: &str, at: &str| {
        format!("[[comments]]\nkey = '{key}'\npost = 'p'\nauthor = 'b'\nbody = 'x'\nat = {at}\n\n")
    };
    let text = [
        entry("1", "2024-01-02"),
        entry("2", "soon"),
        entry("3", "2024-01-03"),
        entry("4", "'never'"),
        entry("5", "2024-01-04").replace("'x'", "\"\\u0000\""),
        entry("6", "2024-01-05"),
    ];
    let dir = folder(&[(COMMENTS, &text.concat())]);
    let read = read_site_files(dir.path());
    let keys: Vec<_> = read.files.comments.iter().map(|comment| comment.key.as_str()).collect();
    assert_eq!(keys, ["1", "3", "6"]);
    let lines: Vec<_> = read.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [Some(13), Some(27), Some(29)], "{:#?}", read.problems);
    assert_eq!(read.lines[&(COMMENTS, "6".to_owned())], 36, "the lines of the others are right");
}

#[test]
fn comments_come_after_what_they_answer() {
    let files = SiteFiles {
        comments: vec![
            comment("child", Some("parent")),
            comment("parent", None),
            comment("a", Some("b")),
            comment("b", Some("a")),
            comment("lost", Some("nowhere")),
            CommentToml { post: "other".into(), ..comment("far", Some("parent")) },
        ],
        ..SiteFiles::default()
    };
    let dir = folder(&[]);
    write_site_files(dir.path(), &files).unwrap();
    let SiteFolder { files, problems, .. } = read_site_files(dir.path());
    let keys: Vec<_> = files.comments.iter().map(|comment| comment.key.as_str()).collect();
    assert_eq!(keys, ["parent", "child"]);
    assert_eq!(problems.len(), 4, "{problems:#?}");
    assert!(problems.iter().all(|problem| problem.line.is_some()));
    assert!(problems[2].message.contains("`lost` answers `nowhere`"), "{}", problems[2]);
}
