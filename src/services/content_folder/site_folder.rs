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
    site_files::{CommentToml, EntityToml, ReactionToml, SeriesToml, SiteFiles, SiteToml, TagToml, UserToml},
};

/// Bytes of one of these files; far above what a personal site's comments take.
const MAX_SITE_FILE_BYTES: usize = 32 * 1024 * 1024;

pub const SITE: &str = "site.toml";
pub const USERS: &str = "users.toml";
pub const TAGS: &str = "tags.toml";
pub const SERIES: &str = "series.toml";
pub const ENTITIES: &str = "entities.toml";
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
        entities: reader.list(ENTITIES, "entities", |entity: &EntityToml| entity.name.clone()),
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
    write_list(dir, ENTITIES, "entities", &files.entities)?;
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
mod tests;
