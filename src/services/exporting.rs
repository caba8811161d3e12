//! Writing the whole site into a folder that [`super::importing`] reads back.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::content_folder::{
    self, CommentStatus as FileStatus, CommentToml, Document, ReactionKind as FileReaction, ReactionToml, SeriesToml,
    SiteFiles, SiteToml, TagToml, UserRole, UserToml,
};
use super::{ServiceError, Services};
use crate::store::comments::{self, CommentStatus};
use crate::store::posts::{self, PostFilter, PostOrder, PostRow, PostStatus};
use crate::store::reactions::{self, ReactionKind};
use crate::store::users::{self, Role, UserRow};
use crate::store::{Conn, Page, PageOf, Position, Sight, series, site, tags, translations};

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

/// Writes everything but passwords, e-mail addresses, revisions and deleted comments.
pub async fn export(services: &Services, dir: &Path, force: bool) -> Result<ExportReport, ExportError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ExportError::Write { path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    if !force && std::fs::read_dir(dir).map_err(failed(dir))?.next().is_some() {
        return Err(ExportError::NotEmpty(dir.to_owned()));
    }
    let mut conn = services.db.conn().await.map_err(ServiceError::from)?;
    let posts = all_posts(&mut conn).await?;
    let users = all_users(&mut conn).await?;
    let documents = documents(&mut conn, &posts, &users).await?;
    for document in &documents {
        let path = dir.join(content_folder::export_path(document));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        std::fs::write(&path, content_folder::to_markdown(document)).map_err(failed(&path))?;
    }
    let files = site_files(&mut conn, &posts, &users).await?;
    content_folder::write_site_files(dir, &files).map_err(failed(dir))?;
    Ok(ExportReport { posts: documents.len(), comments: files.comments.len() })
}

async fn all_posts(conn: &mut Conn) -> Result<Vec<PostRow>, ServiceError> {
    let order = PostOrder::OldestFirst;
    let mut all: Vec<PostRow> = Vec::new();
    loop {
        let page = next_page(all.last().map(|row| Position { key: posts::key(row, order), id: row.id }));
        let found = posts::page(conn, &PostFilter::default(), order, &page, Sight::Everything).await?;
        let more = found.has_next;
        all.extend(found.rows);
        if !more {
            return Ok(all);
        }
    }
}

async fn all_users(conn: &mut Conn) -> Result<Vec<UserRow>, ServiceError> {
    let mut all: Vec<UserRow> = Vec::new();
    loop {
        let page = next_page(all.last().map(|row| Position { key: users::key(row), id: row.id }));
        let PageOf { rows, has_next, .. } = users::page(conn, &page, Sight::Everything).await?;
        all.extend(rows);
        if !has_next {
            return Ok(all);
        }
    }
}

fn next_page(after: Option<Position>) -> Page {
    Page { limit: BATCH, after, before: None, from_end: false }
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
            // The archive has no word of its own in a file: it is a draft that is not worked on.
            draft: matches!(post.status, PostStatus::Draft | PostStatus::Archived),
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

async fn site_files(conn: &mut Conn, posts: &[PostRow], users: &[UserRow]) -> Result<SiteFiles, ServiceError> {
    let slugs: HashMap<Uuid, &str> = posts.iter().map(|post| (post.id, post.slug.as_str())).collect();
    let handles: HashMap<Uuid, &str> = users.iter().map(|user| (user.id, user.handle.as_str())).collect();
    let ids: Vec<Uuid> = posts.iter().map(|post| post.id).collect();
    let mut files = SiteFiles {
        site: site::find(conn).await?.map(site_toml),
        users: users.iter().map(user_toml).collect(),
        ..SiteFiles::default()
    };
    let text = |text: String| (!text.is_empty()).then_some(text);
    for row in tags::all(conn).await? {
        files.tags.push(TagToml { slug: row.slug, name: row.name, description: text(row.description) });
    }
    for row in series::all(conn).await? {
        files.series.push(SeriesToml {
            slug: row.slug,
            title: row.title,
            description: text(row.description),
            language: Some(row.language),
        });
    }
    for batch in ids.chunks(BATCH as usize) {
        files.comments.extend(comment_tomls(comments::all_of_posts(conn, batch).await?, &slugs, &handles));
        for (post_id, kind, handle) in reactions::all_of_posts(conn, batch).await? {
            let (post, kind) = (slugs.get(&post_id).copied().unwrap_or_default().to_owned(), file_reaction(kind));
            match files.reactions.last_mut().filter(|last| last.post == post && last.kind == kind) {
                Some(last) => last.users.push(handle),
                None => files.reactions.push(ReactionToml { post, kind, users: vec![handle] }),
            }
        }
    }
    // By names rather than ids, so that two exports of equal content are equal to the byte.
    files.comments.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
    files.reactions.sort_by(|a, b| (&a.post, a.kind.as_str()).cmp(&(&b.post, b.kind.as_str())));
    Ok(files)
}

fn comment_tomls(
    rows: Vec<comments::CommentRow>,
    slugs: &HashMap<Uuid, &str>,
    handles: &HashMap<Uuid, &str>,
) -> Vec<CommentToml> {
    let keys: HashMap<Uuid, String> = rows.iter().map(|row| (row.id, key_of(row))).collect();
    let name = |names: &HashMap<Uuid, &str>, id: &Uuid| names.get(id).copied().unwrap_or_default().to_owned();
    let toml = |row: comments::CommentRow| CommentToml {
        key: key_of(&row),
        post: name(slugs, &row.post_id),
        author: name(handles, &row.author_id),
        at: row.created_at,
        // A reply to a deleted comment moves up to the post.
        parent: row.parent_id.and_then(|id| keys.get(&id).cloned()),
        status: match row.status {
            CommentStatus::Approved => FileStatus::Approved,
            CommentStatus::Pending => FileStatus::Pending,
            CommentStatus::Spam | CommentStatus::Deleted => FileStatus::Spam,
        },
        body: row.markdown,
    };
    rows.into_iter().map(toml).collect()
}

fn key_of(row: &comments::CommentRow) -> String {
    row.import_key.clone().unwrap_or_else(|| row.id.to_string())
}

fn site_toml(row: site::SiteRow) -> SiteToml {
    let text = |link: &serde_json::Value, name: &str| link.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    let links = row.links.as_array().into_iter().flatten();
    let links: BTreeMap<String, String> =
        links.filter_map(|link| Some((text(link, "name")?, text(link, "url")?))).collect();
    let some = |text: String| (!text.is_empty()).then_some(text);
    SiteToml {
        title: row.title,
        tagline: some(row.tagline),
        description: some(row.description),
        language: Some(row.language),
        author: None,
        links,
    }
}

fn user_toml(user: &UserRow) -> UserToml {
    UserToml {
        handle: user.handle.clone(),
        name: user.name.clone(),
        role: match user.role {
            Role::Owner => UserRole::Owner,
            Role::Editor => UserRole::Editor,
            Role::Reader => UserRole::Reader,
        },
        bio: (!user.bio.is_empty()).then(|| user.bio.clone()),
        url: user.url.clone(),
    }
}

fn file_reaction(kind: ReactionKind) -> FileReaction {
    match kind {
        ReactionKind::Like => FileReaction::Like,
        ReactionKind::Love => FileReaction::Love,
        ReactionKind::Celebrate => FileReaction::Celebrate,
        ReactionKind::Insightful => FileReaction::Insightful,
        ReactionKind::Curious => FileReaction::Curious,
    }
}
