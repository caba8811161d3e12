//! Reading and writing the TOML files of a site.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    FileProblem,
    discover::read_bounded,
    line_of,
    site_files::{CommentToml, ReactionToml, SeriesToml, SiteFiles, SiteToml, TagToml, UserToml},
};

/// Bytes of one of these files; far above what a personal site's comments take.
const MAX_SITE_FILE_BYTES: usize = 32 * 1024 * 1024;

const SITE: &str = "site.toml";
const USERS: &str = "users.toml";
const TAGS: &str = "tags.toml";
const SERIES: &str = "series.toml";
const COMMENTS: &str = "comments.toml";
const REACTIONS: &str = "reactions.toml";

/// The shape of every file but `site.toml`: one list, under the file's name.
type Listed<T> = BTreeMap<String, Vec<T>>;

/// The files in `dir`, and what is wrong with them.
///
/// A file that cannot be read or is malformed counts as empty and does not stop the others; an
/// entry that repeats a name, or a comment that answers none of its post, is left out alone.
pub fn read_site_files(dir: &Path) -> (SiteFiles, Vec<FileProblem>) {
    let mut reader = Reader { dir, problems: Vec::new() };
    let site = reader.text(SITE).and_then(|text| reader.parse::<SiteToml>(SITE, &text));
    let files = SiteFiles {
        site,
        users: reader.list(USERS, "users", |user: &UserToml| user.handle.clone()),
        tags: reader.list(TAGS, "tags", |tag: &TagToml| tag.slug.clone()),
        series: reader.list(SERIES, "series", |series: &SeriesToml| series.slug.clone()),
        comments: reader.comments(),
        reactions: reader.list(REACTIONS, "reactions", |reaction: &ReactionToml| {
            format!("{} {}", reaction.post, reaction.kind.as_str())
        }),
    };
    (files, reader.problems)
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

    fn parse<T: DeserializeOwned>(&mut self, name: &str, text: &str) -> Option<T> {
        let parsed = toml::from_str(text);
        let problem = |cause: toml::de::Error| {
            let line = cause.span().map(|span| line_of(text, span.start));
            self.report(name, line, cause.message().replace('\n', ", "));
        };
        parsed.map_err(problem).ok()
    }

    /// The entries with their lines, without those whose `id` came before.
    fn entries<T: DeserializeOwned>(&mut self, name: &str, key: &str, id: impl Fn(&T) -> String) -> Vec<(usize, T)> {
        let Some(text) = self.text(name) else {
            return Vec::new();
        };
        let Some(mut tables) = self.parse::<Listed<toml::Spanned<T>>>(name, &text) else {
            return Vec::new();
        };
        let list = tables.remove(key).unwrap_or_default();
        for other in tables.keys() {
            self.report(name, None, format!("`{other}` is unknown here; write [[{key}]]"));
        }
        let mut lines = HashMap::new();
        let (mut at, mut line) = (0, 1);
        let mut kept = Vec::new();
        for entry in list {
            // Counted on from the last entry: from the top each time is too slow for thousands.
            let start = entry.span().start;
            line += line_of(&text[at..], start - at) - 1;
            at = start;
            let entry = entry.into_inner();
            let id = id(&entry);
            match lines.get(&id) {
                Some(first) => {
                    let message = format!("`{id}` stands in line {first} already; remove one");
                    self.report(name, Some(line), message);
                }
                None => {
                    lines.insert(id, line);
                    kept.push((line, entry));
                }
            }
        }
        kept
    }

    fn list<T: DeserializeOwned>(&mut self, name: &str, key: &str, id: impl Fn(&T) -> String) -> Vec<T> {
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
    use super::super::site_files::{CommentStatus, ReactionKind, UserRole};
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
            at: DateTime::from_timestamp(1_700_000_000, 120_000_000).unwrap(),
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
                links: BTreeMap::from([("a b".into(), "https://example.org".into())]),
                ..SiteToml::default()
            }),
            users: vec![UserToml {
                handle: "ada".into(),
                name: "Ada".into(),
                role: UserRole::Owner,
                bio: None,
                url: Some("https://example.org".into()),
            }],
            tags: vec![TagToml { slug: "rust".into(), name: "Rust".into(), description: None }],
            series: vec![SeriesToml {
                slug: "s".into(),
                title: "S".into(),
                description: Some("d".into()),
                language: Some("en".into()),
            }],
            comments: vec![comment("1", None), comment("2", Some("1"))],
            reactions: vec![ReactionToml {
                post: "p".into(),
                kind: ReactionKind::Insightful,
                users: vec!["ada".into()],
            }],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = folder(&[]);
        let inner = dir.path().join("new");
        for files in [full(), SiteFiles::default(), full()] {
            write_site_files(&inner, &files).unwrap();
            assert_eq!(read_site_files(&inner), (files, Vec::new()));
        }
        let names = fs::read_dir(&inner).unwrap().count();
        assert_eq!(names, 6, "no half-written file stays behind");
    }

    #[test]
    fn an_empty_folder_is_empty_and_stays_so() {
        let dir = folder(&[]);
        assert_eq!(read_site_files(dir.path()), (SiteFiles::default(), Vec::new()));
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
        let (files, problems) = read_site_files(dir.path());
        assert_eq!(problems, []);
        assert_eq!(files.comments[0].at, files.comments[1].at);
        assert_eq!(files.comments[0].at.to_rfc3339(), "2024-01-02T02:00:00+00:00");
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
        let (files, problems) = read_site_files(dir.path());
        assert_eq!((files.users.len(), files.tags.len()), (1, 0));
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
            "series.toml: `serie` is unknown here; write [[series]]",
            "comments.toml:6: expected a date",
            "reactions.toml:4: unknown variant `HATE`, expected one of `LIKE`",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} should start with {expected}");
        }
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
        let (files, problems) = read_site_files(dir.path());
        let keys: Vec<_> = files.comments.iter().map(|comment| comment.key.as_str()).collect();
        assert_eq!(keys, ["parent", "child"]);
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems.iter().all(|problem| problem.line.is_some()));
        assert!(problems[2].message.contains("`lost` answers `nowhere`"), "{}", problems[2]);
    }
}
