//! Writing the whole site into a folder that [`super::importing`] reads back.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::content_folder::{self, Document, SiteFiles};
use super::{ServiceError, Services};
use crate::store::posts::{self, PostFilter, PostOrder, PostRow, PostStatus};
use crate::store::users::{self, UserRow};
use crate::store::{Conn, Page, Position, Sight, series, tags, translations};

mod surroundings;

/// What an export wrote.
#[derive(Debug, Default)]
pub struct ExportReport {
    pub posts: usize,
    pub comments: usize,
}

/// An export that could not be finished. What was written until then stays.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("{} is not empty: export into a new folder, or use --force to write into this one", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the export was interrupted")]
    Service(#[from] ServiceError),
}

const BATCH: u32 = 100;

/// Writes everything but passwords, e-mail addresses, sessions, keys and revisions.
pub async fn export(services: &Services, dir: &Path, force: bool) -> Result<ExportReport, ExportError> {
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    if !force && std::fs::read_dir(dir).map_err(failed(dir))?.next().is_some() {
        return Err(ExportError::NotEmpty(dir.to_owned()));
    }
    let (documents, files) = gather(services).await?;
    let mut taken = HashSet::new();
    for document in &documents {
        let path = dir.join(free_path(document, &mut taken));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        std::fs::write(&path, content_folder::to_markdown(document)).map_err(failed(&path))?;
    }
    content_folder::write_site_files(dir, &files).map_err(failed(dir))?;
    Ok(ExportReport { posts: documents.len(), comments: files.comments.len() })
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| ExportError::Write { path, source }
}

/// Everything as it was at one moment: a post that is deleted meanwhile keeps its comments.
async fn gather(services: &Services) -> Result<(Vec<Document>, SiteFiles), ServiceError> {
    let mut tx = services.db.snapshot().await?;
    let posts = all_posts(&mut tx).await?;
    let users = users::all(&mut tx).await?;
    let documents = documents(&mut tx, &posts, &users).await?;
    let files = surroundings::gather(&mut tx, &posts, &users).await?;
    tx.rollback().await?;
    Ok((documents, files))
}

/// The document's path; a long name that was cut to the same as another is numbered.
fn free_path(document: &Document, taken: &mut HashSet<PathBuf>) -> PathBuf {
    let path = content_folder::export_path(document);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let numbered = (2..).map(|n| path.with_file_name(format!("{stem}--{n}.md")));
    let mut free = std::iter::once(path.clone()).chain(numbered).filter(|path| taken.insert(path.clone()));
    free.next().unwrap_or_else(|| path.clone())
}

async fn all_posts(conn: &mut Conn) -> Result<Vec<PostRow>, ServiceError> {
    let order = PostOrder::OldestFirst;
    let mut all: Vec<PostRow> = Vec::new();
    loop {
        let after = all.last().map(|row| Position { key: posts::key(row, order), id: row.id });
        let page = Page { limit: BATCH, after, before: None, from_end: false };
        let found = posts::page(conn, &PostFilter::default(), order, &page, Sight::Everything).await?;
        let more = found.has_next;
        all.extend(found.rows);
        if !more {
            return Ok(all);
        }
    }
}

async fn documents(conn: &mut Conn, posts: &[PostRow], users: &[UserRow]) -> Result<Vec<Document>, ServiceError> {
    let handles: HashMap<Uuid, &str> = users.iter().map(|user| (user.id, user.handle.as_str())).collect();
    let mut documents = Vec::with_capacity(posts.len());
    for batch in posts.chunks(BATCH as usize) {
        let ids: Vec<Uuid> = batch.iter().map(|post| post.id).collect();
        let bodies: HashMap<Uuid, String> =
            posts::bodies(conn, &ids).await?.into_iter().map(|b| (b.id, b.markdown)).collect();
        let mut tags = tags::by_posts(conn, &ids).await?;
        let mut keys = translations::keys(conn, &ids).await?;
        let series_ids: Vec<Uuid> = batch.iter().filter_map(|post| post.series_id).collect();
        let series: HashMap<Uuid, String> =
            series::by_ids(conn, &series_ids).await?.into_iter().map(|s| (s.id, s.slug)).collect();
        documents.extend(batch.iter().map(|post| Document {
            title: post.title.clone(),
            slug: post.slug.clone(),
            kind: Some(post.kind.as_str().to_lowercase()),
            language: Some(post.language.clone()),
            date: post.published_at,
            updated: Some(post.updated_at),
            // What an import takes for the beginning by itself need not be said.
            created: Some(post.created_at).filter(|at| post.published_at != Some(*at)),
            draft: post.status == PostStatus::Draft,
            archived: post.status == PostStatus::Archived,
            tags: tags.remove(&post.id).unwrap_or_default().into_iter().map(|tag| tag.slug).collect(),
            series: post.series_id.and_then(|id| series.get(&id).cloned()),
            series_order: post.series_position,
            description: post.description.clone(),
            cover: post.cover.clone(),
            author: handles.get(&post.author_id).map(|handle| (*handle).to_owned()),
            translation_key: keys.remove(&post.id),
            custom: post.custom.as_object().cloned().unwrap_or_default(),
            markdown: bodies.get(&post.id).cloned().unwrap_or_default(),
        }));
    }
    Ok(documents)
}
