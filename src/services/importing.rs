//! Bringing a folder of Markdown in.
//!
//! The files are the authority: what differs in the database is brought in line, as one edit with
//! a revision; what is equal is left alone. Each post is a transaction of its own, so that a
//! broken file does not stop the rest.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::post::Change;
use self::problems::Entries;
use self::run::Run;
use super::content_folder::{self, Document, FileProblem, FolderError, Places, SiteFolder};
use super::{ServiceError, Services};
use crate::store::users::UserRow;

mod discussion;
mod graph;
mod post;
mod problems;
mod run;
mod surroundings;
mod translations;

/// How to import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Say what would happen, and change nothing.
    pub dry_run: bool,
    /// Who wrote the posts whose author is not a user here.
    pub author: UserRow,
    /// Also those that are here already, as somebody else's.
    pub reassign: bool,
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
    pub reactions: usize,
    pub users: usize,
    pub tags: usize,
    pub series: usize,
    /// Of the knowledge graph, as somebody edited them.
    pub entities: usize,
    /// True if the site describes itself in another way than before.
    pub site: bool,
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

/// Imports a folder; `progress` is told how many of how many files are done.
pub async fn import(
    services: &Services,
    dir: &Path,
    options: &ImportOptions,
    progress: impl Fn(usize, usize) + Send,
) -> Result<ImportReport, ImportError> {
    let Folder { surroundings, posts, problems } = read(dir).await?;
    let mut report = ImportReport { problems, ..ImportReport::default() };
    let mut entries = Entries::new(dir, &surroundings.lines);
    let mut run = Run::begin(services, options).await?;
    let authors = surroundings::import(&mut run, &surroundings.files, &mut entries, &mut report).await?;
    graph::import(&mut run, &surroundings.files.entities, &mut entries, &mut report).await?;
    import_posts(&mut run, dir, posts, &authors, &mut report, progress).await?;
    discussion::import(&mut run, &surroundings.files, &mut entries, &mut report).await?;
    run.finish().await?;
    report.problems.extend(entries.found);
    Ok(report)
}

async fn import_posts(
    run: &mut Run<'_>,
    dir: &Path,
    mut posts: Vec<PostFile>,
    authors: &Authors,
    report: &mut ImportReport,
    progress: impl Fn(usize, usize) + Send,
) -> Result<(), ServiceError> {
    translations::group(run, dir, &mut posts).await?;
    let total = posts.len();
    let mut taken: HashMap<String, PathBuf> = HashMap::new();
    for (done, PostFile { path, document, places }) in posts.into_iter().enumerate() {
        progress(done, total);
        if let Some(first) = taken.get(&document.slug) {
            let message = format!("the slug {:?} is taken by {}: set another `slug`", document.slug, first.display());
            let line = places.of("slug").map(|(_, line)| line);
            report.problems.push(FileProblem { path, line, message });
            continue;
        }
        taken.insert(document.slug.clone(), path.clone());
        match post::import(run, &document, authors).await {
            Ok(done) => {
                match done.change {
                    Change::Created => report.created += 1,
                    Change::Updated => report.updated += 1,
                    Change::Unchanged => report.unchanged += 1,
                }
                report.tags += done.tags;
                report.series += done.series;
            }
            Err(ServiceError::Refused(refusals)) => {
                report.problems.extend(problems::of_post(&path, &places, refusals));
            }
            Err(error) => return Err(error),
        }
    }
    progress(total, total);
    Ok(())
}

/// What a folder holds.
struct Folder {
    surroundings: SiteFolder,
    posts: Vec<PostFile>,
    problems: Vec<FileProblem>,
}

struct PostFile {
    path: PathBuf,
    document: Document,
    places: Places,
}

/// Reads and parses everything, off the async threads.
async fn read(dir: &Path) -> Result<Folder, ImportError> {
    let dir = dir.to_owned();
    let read = move || {
        let (paths, mut problems) = content_folder::discover(&dir)?;
        let mut surroundings = content_folder::read_site_files(&dir);
        problems.append(&mut surroundings.problems);
        let mut posts = Vec::new();
        for path in paths {
            match read_post(&dir, &path) {
                Ok((document, places)) => posts.push(PostFile { path, document, places }),
                Err(problem) => problems.push(problem),
            }
        }
        Ok(Folder { surroundings, posts, problems })
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| ServiceError::Internal(format!("reading the folder failed: {error}")))?
}

fn read_post(dir: &Path, path: &Path) -> Result<(Document, Places), FileProblem> {
    let text = content_folder::read(path)?;
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        let message = "is empty: write something, or take it away".to_owned();
        return Err(FileProblem { path: path.to_owned(), line: None, message });
    }
    content_folder::parse(dir, path, &text)
}

/// The ids of users by handle.
type Authors = HashMap<String, Uuid>;
