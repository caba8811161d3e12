//! Reading and writing the TOML files of a site.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    FileProblem, Problem,
    discover::read_bounded,
    entries::{self, Entry},
    line_of,
    site_files::{CommentToml, ReactionToml, SeriesToml, SiteFiles, SiteToml, TagToml, UserToml},
};

/// Bytes of one of these files; far above what a personal site's comments take.
const MAX_SITE_FILE_BYTES: usize = 32 * 1024 * 1024;

pub const SITE: &str = "site.toml";
pub const USERS: &str = "users.toml";
pub const TAGS: &str = "tags.toml";
pub const SERIES: &str = "series.toml";
pub const COMMENTS: &str = "comments.toml";
pub const REACTIONS: &str = "reactions.toml";

/// What [`read_site_files`] found.
#[derive(Debug, Default, PartialEq)]
pub struct SiteFolder {
    pub files: SiteFiles,
    /// Of each file the lines of its entries, by what makes them unique; of `site.toml` those of
    /// its keys.
    pub lines: HashMap<(&'static str, String), usize>,
    pub problems: Vec<FileProblem>,
}

/// The files in `dir`, and what is wrong with them.
///
/// A file that cannot be read counts as empty and does not stop the others. An entry that is
/// malformed or repeats a name, or a comment that answers none of its post, is left out alone.
pub fn read_site_files(dir: &Path) -> SiteFolder {
    let mut reader = Reader { dir, lines: HashMap::new(), problems: Vec::new() };
    let files = SiteFiles {
        site: reader.site(),
        users: reader.list(USERS, "users", |user: &UserToml| user.handle.clone()),
        tags: reader.list(TAGS, "tags", |tag: &TagToml| tag.slug.clone()),
        series: reader.list(SERIES, "series", |series: &SeriesToml| series.slug.clone()),
        comments: reader.comments(),
        reactions: reader.list(REACTIONS, "reactions", ReactionToml::id),
    };
    SiteFolder { files, lines: reader.lines, problems: reader.problems }
}

/// Writes the files into `dir`, which is made where it is missing.
///
/// An empty list makes no file, but empties one that is there, so that reading gives `files`
/// again. Each file is replaced whole or not at all.
pub fn write_site_files(dir: &Path, files: &SiteFiles) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    write(dir, SITE, files.site.as_ref())?;
    write_list(dir, USERS, "users", &files.users)?;
    write_list(dir, TAGS, "tags", &files.tags)?;
    write_list(dir, SERIES, "series", &files.series)?;
    write_list(dir, COMMENTS, "comments", &files.comments)?;
    write_list(dir, REACTIONS, "reactions", &files.reactions)
}

fn write_list<T: Serialize>(dir: &Path, name: &str, key: &str, list: &[T]) -> io::Result<()> {
    let table = BTreeMap::from([(key, list)]);
    write(dir, name, Some(&table).filter(|_| !list.is_empty()))
}

fn write<T: Serialize>(dir: &Path, name: &str, content: Option<&T>) -> io::Result<()> {
    let path = dir.join(name);
    let text = match content {
        Some(content) => toml::to_string_pretty(content).map_err(io::Error::other)?,
        None if path.exists() && name == SITE => return fs::remove_file(path),
        None if path.exists() => String::new(),
        None => return Ok(()),
    };
    let draft = dir.join(format!(".{name}.new"));
    fs::write(&draft, text)?;
    fs::rename(draft, path)
}

struct Reader<'a> {
    dir: &'a Path,
    lines: HashMap<(&'static str, String), usize>,
    problems: Vec<FileProblem>,
}

impl Reader<'_> {
    fn text(&mut self, name: &str) -> Option<String> {
        let path = self.dir.join(name);
        match path.symlink_metadata() {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return None,
            _ => {}
        }
        match read_bounded(&path, MAX_SITE_FILE_BYTES) {
            Ok(text) => Some(text.trim_start_matches('\u{feff}').to_owned()),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn report(&mut self, name: &str, line: Option<usize>, message: String) {
        let path = self.dir.join(name);
        self.problems.push(FileProblem { path, line, message });
    }

    fn site(&mut self) -> Option<SiteToml> {
        let text = self.text(SITE)?;
        let site = match toml::from_str::<SiteToml>(&text) {
            Ok(site) => site,
            Err(cause) => {
                let line = cause.span().map(|span| line_of(&text, span.start));
                self.report(SITE, line, cause.message().replace('\n', ", "));
                return None;
            }
        };
        if entries::has_nul(&site) {
            self.report(SITE, None, "holds a NUL character; remove it".to_owned());
            return None;
        }
        // It was read before, so this succeeds too; without lines messages have none.
        let keys: BTreeMap<toml::Spanned<String>, toml::Value> = toml::from_str(&text).unwrap_or_default();
        self.lines.extend(keys.into_keys().map(|key| {
            let line = line_of(&text, key.span().start);
            ((SITE, key.into_inner()), line)
        }));
        Some(site)
    }

    /// The entries with their lines, without those that are broken or whose `id` came before.
    fn entries<T: DeserializeOwned + Serialize>(
        &mut self,
        name: &'static str,
        key: &str,
        id: impl Fn(&T) -> String,
    ) -> Vec<Entry<T>> {
        let Some(text) = self.text(name) else {
            return Vec::new();
        };
        let (entries, problems) = entries::parse(&text, key, &id);
        for Problem { line, message } in problems {
            self.report(name, line, message);
        }
        self.lines.extend(entries.iter().map(|(line, entry)| ((name, id(entry)), *line)));
        entries
    }

    fn list<T: DeserializeOwned + Serialize>(
        &mut self,
        name: &'static str,
        key: &str,
        id: impl Fn(&T) -> String,
    ) -> Vec<T> {
        let entries = self.entries(name, key, id);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Comments of which each answers an earlier one or none, whatever their order in the file:
    /// whoever stores them in this order meets every parent before its answers.
    fn comments(&mut self) -> Vec<CommentToml> {
        let mut waiting = self.entries(COMMENTS, "comments", |comment: &CommentToml| comment.key.clone());
        let mut ready = HashSet::new();
        let mut ordered = Vec::new();
        loop {
            let before = ordered.len();
            let mut left = Vec::new();
            for (line, comment) in waiting {
                let parent = comment.parent.clone().map(|parent| (comment.post.clone(), parent));
                if parent.is_none_or(|parent| ready.contains(&parent)) {
                    ready.insert((comment.post.clone(), comment.key.clone()));
                    ordered.push(comment);
                } else {
                    left.push((line, comment));
                }
            }
            waiting = left;
            if ordered.len() == before {
                break;
            }
        }
        for (line, comment) in waiting {
            let message = format!(
                "the comment `{}` answers `{}`, which is no comment of `{}` or answers it in turn",
                comment.key,
                comment.parent.unwrap_or_default(),
                comment.post,
            );
            self.report(COMMENTS, Some(line), message);
        }
        ordered
    }
}

#[cfg(test)]
mod tests {
    use super::super::site_files::{CommentStatus, LinkToml, Moment, ReactionKind, UserRole};
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
            comments: vec![comment("1", None), comment("2", Some("1"))],
            reactions: vec![ReactionToml {
                post: "p".into(),
                kind: ReactionKind::Insightful,
                users: vec!["ada".into()],
                at: BTreeMap::from([(
                    "ada".into(),
                    Moment(DateTime::from_timestamp(1_700_000_000, 120_000_000).unwrap()),
                )]),
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
        assert_eq!(names, 6, "no half-written file stays behind");
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
}
