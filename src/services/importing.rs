//! Bringing a folder of Markdown in.
//!
//! The files are the authority: what differs in the database is brought in line, as one edit with
//! a revision; what is equal is left alone. Each post is a transaction of its own, so that a
//! broken file does not stop the rest.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::content_folder::{self, Document, FileProblem, FolderError, SiteFiles};
use super::markdown::slugify;
use super::{ServiceError, Services};
use crate::store::users::{self, UserRow};

mod discussion;
mod post;
mod surroundings;

/// How to import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Say what would happen, and change nothing.
    pub dry_run: bool,
    /// Who wrote the posts whose author is not a user here.
    pub author: UserRow,
    /// Mark everything as the demo site, so that it can be taken out again.
    pub demo: bool,
    pub now: DateTime<Utc>,
}

/// What an import did, or would do.
#[derive(Debug, Default)]
pub struct ImportReport {
    pub created: usize,
    pub updated: usize,
    pub unchanged: usize,
    pub comments: usize,
    /// Files and entries that were left out, each with its place.
    pub problems: Vec<FileProblem>,
}

/// An import that could not begin, or was interrupted. What was imported until then stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("the import was interrupted; run it again to go on")]
    Service(#[from] ServiceError),
}

/// What happened to one post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Created,
    Updated,
    Unchanged,
}

/// Imports a folder; `progress` is told how many of how many files are done.
pub async fn import(
    services: &Services,
    dir: &Path,
    options: &ImportOptions,
    progress: impl Fn(usize, usize) + Send,
) -> Result<ImportReport, ImportError> {
    let (files, documents, problems) = read(dir).await?;
    let mut report = ImportReport { problems, ..ImportReport::default() };
    let groups = translation_groups(dir, &documents);
    let authors =
        if options.dry_run { HashMap::new() } else { surroundings::import(services, &files, options).await? };
    let total = documents.len();
    let mut taken: HashMap<String, PathBuf> = HashMap::new();
    for (done, (path, mut document)) in documents.into_iter().enumerate() {
        progress(done, total);
        if let Some(first) = taken.insert(document.slug.clone(), path.clone()) {
            let message = format!("the slug {:?} is taken by {}: set another `slug`", document.slug, first.display());
            report.problems.push(FileProblem { path, line: None, message });
            continue;
        }
        document.translation_key = document.translation_key.or_else(|| groups.get(&path).cloned());
        match post::import(services, &document, options, &authors).await {
            Ok(Change::Created) => report.created += 1,
            Ok(Change::Updated) => report.updated += 1,
            Ok(Change::Unchanged) => report.unchanged += 1,
            Err(ServiceError::Refused(refusals)) => {
                let problem = |message| FileProblem { path: path.clone(), line: None, message };
                report.problems.extend(refusals.into_iter().map(|refusal| problem(refusal.message)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    progress(total, total);
    if !options.dry_run {
        report.comments = discussion::import(services, dir, &files, options, &mut report.problems).await?;
    }
    Ok(report)
}

type Read = (SiteFiles, Vec<(PathBuf, Document)>, Vec<FileProblem>);

/// Reads and parses everything, off the async threads.
async fn read(dir: &Path) -> Result<Read, ImportError> {
    let dir = dir.to_owned();
    let read = move || {
        let (files, mut problems) = content_folder::read_site_files(&dir);
        let mut documents = Vec::new();
        for path in content_folder::discover(&dir)? {
            let parsed = content_folder::read(&path).and_then(|text| content_folder::parse(&dir, &path, &text));
            match parsed {
                Ok(document) => documents.push((path, document)),
                Err(problem) => problems.push(problem),
            }
        }
        Ok((files, documents, problems))
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| ServiceError::Internal(format!("reading the folder failed: {error}")))?
}

/// Files that are translations by their names alone, as Hugo has it: `post.md` and `post.zh.md`.
fn translation_groups(dir: &Path, documents: &[(PathBuf, Document)]) -> HashMap<PathBuf, String> {
    let mut by_group: HashMap<String, Vec<&PathBuf>> = HashMap::new();
    for (path, document) in documents {
        if document.translation_key.is_none() {
            by_group.entry(content_folder::translation_group(dir, path)).or_default().push(path);
        }
    }
    let real = by_group.into_iter().filter(|(_, paths)| paths.len() > 1);
    real.flat_map(|(group, paths)| paths.into_iter().map(move |path| (path.clone(), group.clone()))).collect()
}

/// The ids of users by handle, looked up once an import.
type Authors = HashMap<String, Uuid>;

async fn author_id(
    services: &Services,
    handle: Option<&str>,
    authors: &Authors,
    fallback: Uuid,
) -> Result<Uuid, ServiceError> {
    let Some(handle) = handle else { return Ok(fallback) };
    if let Some(id) = authors.get(handle) {
        return Ok(*id);
    }
    let found = users::by_handle(&mut *services.db.conn().await?, &handle.to_lowercase()).await?;
    Ok(found.map_or(fallback, |user| user.id))
}

/// A series or tag is named by its slug or by its title.
fn slug_of(name: &str) -> String {
    slugify(name)
}
