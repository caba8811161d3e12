//! Posts as a folder of Markdown files, and the small TOML files beside them.
//!
//! Pure: text and paths in, documents out; nothing here knows the database. Whoever imports,
//! exports or loads example content (the `import` and `export` commands, their services) may
//! use it. Front matter is read as Hugo, Jekyll, Astro, Hexo and Zola write it, so a folder can
//! be taken over as it is; what a field means nothing to us is kept in [`Document::custom`].
//!
//! To add a field of a post: a name list in `fields.rs`, a line in `document.rs`, a line in
//! `write.rs`. To add a file of a site: a type in `site_files.rs`, its name and a
//! line in `site_folder.rs`.

mod dates;
mod discover;
mod document;
mod entries;
mod fields;
mod front_matter;
mod heading;
mod names;
mod places;
mod site_files;
mod site_folder;
#[cfg(test)]
mod tests;
mod write;
mod yaml;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

pub use discover::{FolderError, discover, read};
pub use document::parse;
pub use names::{language_tag, translation_group};
pub use places::Places;
pub use site_files::{
    CommentStatus, CommentToml, EntityKind, EntityToml, LinkToml, Moment, ReactionKind, ReactionToml, SeriesToml,
    SiteFiles, SiteToml, TagToml, UserRole, UserToml,
};
pub use site_folder::{
    COMMENTS, ENTITIES, REACTIONS, SERIES, SITE, SiteFolder, TAGS, USERS, read_site_files, write_site_files,
};
pub use write::{export_path, to_markdown};

/// Folders below the one given that are still looked into.
pub const MAX_DEPTH: usize = 32;
/// Markdown files in one folder tree.
pub const MAX_FILES: usize = 100_000;
/// Bytes of one Markdown file: the longest text of a post, and room for any front matter that an
/// export writes above it.
pub const MAX_FILE_BYTES: usize = 3 * 1024 * 1024;

/// One post as it stands in a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// Never empty: from the front matter, else the first `# heading`, else the file name.
    pub title: String,
    /// Never empty, always what `slugify` would give.
    pub slug: String,
    /// `article`, `note`, `page` or `project`; `None` where the file does not say.
    pub kind: Option<String>,
    /// A BCP 47 tag in its usual case (`en`, `zh-CN`, `zh-Hans`).
    pub language: Option<String>,
    pub date: Option<DateTime<Utc>>,
    pub updated: Option<DateTime<Utc>>,
    /// When it was begun, where that is not its date.
    pub created: Option<DateTime<Utc>>,
    pub draft: bool,
    /// `status: archived`: taken away from readers, and no longer worked on.
    pub archived: bool,
    /// Names or slugs in the file's order, without repeats; categories are among them.
    pub tags: Vec<String>,
    /// A slug or a title.
    pub series: Option<String>,
    pub series_order: Option<i32>,
    pub description: Option<String>,
    /// A path or a URL.
    pub cover: Option<String>,
    /// A handle.
    pub author: Option<String>,
    /// Shared by posts that are translations of one another.
    pub translation_key: Option<String>,
    /// Every other field of the front matter, under the name the file gives it.
    pub custom: serde_json::Map<String, serde_json::Value>,
    /// The body: `\n` line ends, no blank lines before or after; unless the file says `verbatim: true`,
    /// as an export does where a post was stored in another form.
    pub markdown: String,
}

/// What is wrong with one file; shown as `path:line: message`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileProblem {
    pub path: PathBuf,
    /// Counted from 1 in the file itself.
    pub line: Option<usize>,
    pub message: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// A problem whose file the caller knows.
#[derive(Debug)]
struct Problem {
    line: Option<usize>,
    message: String,
}

impl Problem {
    fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line: Some(line), message: message.into() }
    }

    fn in_file(self, path: &Path) -> FileProblem {
        FileProblem { path: path.to_path_buf(), line: self.line, message: self.message }
    }
}

/// The line, counted from 1, that holds byte `offset` of `text`.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
