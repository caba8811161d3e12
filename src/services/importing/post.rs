//! One post out of a file.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{Authors, Change, ImportOptions, author_id, slug_of};
use crate::events::{EventKind, NewEvent};
use crate::services::content_folder::Document;
use crate::services::markdown::Rendered;
use crate::services::publishing::{PUBLISH_JOB, keep_revision, render, set_tags, set_translation, slug_taken};
use crate::services::validate::{Check, MAX_POST_BYTES};
use crate::services::{ServiceError, Services};
use crate::store::posts::{self, NewPost, PostBodyRow, PostChanges, PostKind, PostRow, PostStatus};
use crate::store::series::{self, SeriesRow};
use crate::store::{Conn, Tx, jobs, tags, translations};

/// What the file says, in the terms of the store.
struct Wanted<'a> {
    document: &'a Document,
    kind: PostKind,
    language: String,
    status: PostStatus,
    published_at: Option<DateTime<Utc>>,
    author_id: Uuid,
    series_id: Option<Uuid>,
}

/// Brings the database in line with one file.
pub async fn import(
    services: &Services,
    document: &Document,
    options: &ImportOptions,
    authors: &Authors,
) -> Result<Change, ServiceError> {
    check(document)?;
    let author_id = author_id(services, document.author.as_deref(), authors, options.author.id).await?;
    let mut tx = services.db.begin().await?;
    let known = posts::ids_by_slugs(&mut tx, std::slice::from_ref(&document.slug)).await?.pop();
    let before = match known {
        Some((_, id)) => posts::lock(&mut tx, id).await?,
        None => None,
    };
    let mut wanted = wanted(document, before.as_ref(), author_id, options);
    wanted.series_id = match (&document.series, options.dry_run) {
        (Some(name), false) => Some(series_id(&mut tx, name, &wanted.language, options).await?),
        (Some(name), true) => known_series(&mut tx, name).await?,
        (None, _) => None,
    };
    let Some(before) = before else {
        if !options.dry_run {
            create(services, tx, &wanted, options).await?;
        }
        return Ok(Change::Created);
    };
    if equal(&mut tx, &wanted, &before).await? {
        return Ok(Change::Unchanged);
    }
    if !options.dry_run {
        update(services, tx, &wanted, &before, options).await?;
    }
    Ok(Change::Updated)
}

fn wanted<'a>(
    document: &'a Document,
    before: Option<&PostRow>,
    author_id: Uuid,
    options: &ImportOptions,
) -> Wanted<'a> {
    let published_at = match (document.draft, document.date) {
        (true, date) => date.filter(|at| *at <= options.now),
        (false, Some(date)) => Some(date),
        // A file without a date was published when it was first seen.
        (false, None) => Some(before.and_then(|post| post.published_at).unwrap_or(options.now)),
    };
    let status = match published_at {
        // An export writes the archive as drafts: to import it again must not take posts out.
        _ if document.draft && before.is_some_and(|post| post.status == PostStatus::Archived) => PostStatus::Archived,
        _ if document.draft => PostStatus::Draft,
        Some(at) if at > options.now => PostStatus::Scheduled,
        _ => PostStatus::Published,
    };
    let kind = document.kind.as_deref().and_then(|kind| kind.to_uppercase().parse().ok());
    Wanted {
        document,
        kind: kind.unwrap_or(PostKind::Article),
        language: document.language.clone().unwrap_or_else(|| "en".into()),
        status,
        published_at,
        author_id,
        series_id: None,
    }
}

fn check(document: &Document) -> Result<(), ServiceError> {
    let mut check = Check::default();
    check.text("title", &document.title, 300).markdown(&document.markdown, MAX_POST_BYTES).slug(&document.slug);
    if let Some(language) = &document.language {
        check.language(language);
    }
    check.done()
}

async fn create(
    services: &Services,
    mut tx: Tx,
    wanted: &Wanted<'_>,
    options: &ImportOptions,
) -> Result<(), ServiceError> {
    let document = wanted.document;
    let rendered = render(&document.markdown).await?;
    let created_at = document.date.filter(|at| *at <= options.now).unwrap_or(options.now);
    let post = NewPost {
        id: Uuid::now_v7(),
        kind: wanted.kind,
        status: wanted.status,
        slug: document.slug.clone(),
        language: wanted.language.clone(),
        title: document.title.clone(),
        markdown: document.markdown.clone(),
        html: rendered.html,
        outline: json!(rendered.outline),
        excerpt: rendered.excerpt,
        description: document.description.clone(),
        cover: document.cover.clone(),
        words: i32::try_from(rendered.words).unwrap_or(i32::MAX),
        custom: json!(document.custom),
        author_id: wanted.author_id,
        series_id: wanted.series_id,
        series_position: document.series_order,
        published_at: wanted.published_at,
        demo: options.demo,
        created_at,
        updated_at: document.updated.unwrap_or(created_at),
    };
    let row = posts::insert(&mut tx, &post).await.map_err(|e| slug_taken(e, &post.slug))?;
    finish(services, tx, &row, wanted, None, options).await
}

async fn update(
    services: &Services,
    mut tx: Tx,
    wanted: &Wanted<'_>,
    before: &PostRow,
    options: &ImportOptions,
) -> Result<(), ServiceError> {
    let rendered = render(&wanted.document.markdown).await?;
    keep_revision(&mut tx, before, options.author.id, options.now).await?;
    let changes = changes(wanted, rendered);
    let at = wanted.document.updated.unwrap_or(options.now);
    // Back in below: the new language need not fit into the group that the post leaves.
    translations::set(&mut tx, before.id, None).await?;
    let row = posts::update(&mut tx, before.id, before.version, &changes, at).await?;
    let row = row.ok_or_else(|| ServiceError::Internal("a locked post changed its version".into()))?;
    finish(services, tx, &row, wanted, Some(before.status), options).await
}

fn changes(wanted: &Wanted<'_>, rendered: Rendered) -> PostChanges {
    let document = wanted.document;
    PostChanges {
        kind: Some(wanted.kind),
        status: Some(wanted.status),
        slug: None,
        language: Some(wanted.language.clone()),
        title: Some(document.title.clone()),
        markdown: Some(document.markdown.clone()),
        html: Some(rendered.html),
        outline: Some(json!(rendered.outline)),
        excerpt: Some(rendered.excerpt),
        description: Some(document.description.clone()),
        cover: Some(document.cover.clone()),
        words: Some(i32::try_from(rendered.words).unwrap_or(i32::MAX)),
        custom: Some(json!(document.custom)),
        author_id: Some(wanted.author_id),
        series_id: Some(wanted.series_id),
        series_position: Some(document.series_order),
        published_at: Some(wanted.published_at),
    }
}

/// Tags, translations, the job of a scheduled post, and the events.
async fn finish(
    services: &Services,
    mut tx: Tx,
    row: &PostRow,
    wanted: &Wanted<'_>,
    before: Option<PostStatus>,
    options: &ImportOptions,
) -> Result<(), ServiceError> {
    set_tags(&mut tx, row.id, &wanted.document.tags, options.now).await?;
    set_translation(&mut tx, row, wanted.document.translation_key.as_deref()).await?;
    match (wanted.status, wanted.published_at) {
        (PostStatus::Scheduled, Some(at)) => jobs::enqueue(&mut tx, PUBLISH_JOB, row.id, at, options.now).await?,
        _ => jobs::cancel(&mut tx, PUBLISH_JOB, row.id).await?,
    }
    let event = |kind| NewEvent {
        kind,
        subject: row.id,
        payload: json!({ "slug": row.slug }),
        actor: Some(options.author.id),
        at: options.now,
    };
    let mut events = vec![event(if before.is_none() { EventKind::PostCreated } else { EventKind::PostUpdated })];
    if before == Some(PostStatus::Published) && wanted.status != PostStatus::Published {
        events.push(event(EventKind::PostUnpublished));
    }
    if before != Some(PostStatus::Published) && wanted.status == PostStatus::Published {
        events.push(event(EventKind::PostPublished));
    }
    Ok(services.commit(tx, &events).await?)
}

async fn series_id(tx: &mut Tx, name: &str, language: &str, options: &ImportOptions) -> Result<Uuid, ServiceError> {
    let row = SeriesRow {
        id: Uuid::now_v7(),
        slug: slug_of(name),
        title: name.to_owned(),
        description: String::new(),
        language: language.to_owned(),
        demo: options.demo,
        created_at: options.now,
    };
    if let Some(known) = known_series(tx, name).await? {
        return Ok(known);
    }
    series::insert_missing(tx, std::slice::from_ref(&row)).await?;
    let made = known_series(tx, name).await?;
    made.ok_or_else(|| ServiceError::Internal("a series vanished while it was made".into()))
}

/// The series that a file names by its title or its slug.
async fn known_series(conn: &mut Conn, name: &str) -> Result<Option<Uuid>, ServiceError> {
    if let Some(known) = series::by_title(conn, name).await? {
        return Ok(Some(known.id));
    }
    Ok(series::by_slugs(conn, &[slug_of(name)]).await?.pop().map(|row| row.id))
}

async fn equal(conn: &mut Conn, wanted: &Wanted<'_>, before: &PostRow) -> Result<bool, ServiceError> {
    let document = wanted.document;
    let row_is_equal = before.title == document.title
        && before.kind == wanted.kind
        && before.status == wanted.status
        && before.language == wanted.language
        && before.published_at == wanted.published_at
        && before.description == document.description
        && before.cover == document.cover
        && before.custom == json!(document.custom)
        && before.author_id == wanted.author_id
        && before.series_id == wanted.series_id
        && before.series_position == document.series_order;
    if !row_is_equal {
        return Ok(false);
    }
    let body = posts::bodies(conn, &[before.id]).await?.pop();
    if body.is_none_or(|body: PostBodyRow| body.markdown != document.markdown) {
        return Ok(false);
    }
    let key = translations::keys(conn, &[before.id]).await?.remove(&before.id);
    let tags = tags::by_posts(conn, &[before.id]).await?.remove(&before.id).unwrap_or_default();
    let mut wanted_tags: Vec<String> = Vec::new();
    for slug in document.tags.iter().map(|name| slug_of(name)).filter(|slug| !slug.is_empty()) {
        if !wanted_tags.contains(&slug) {
            wanted_tags.push(slug);
        }
    }
    let tags_are_equal = tags.iter().map(|tag| tag.slug.as_str()).eq(wanted_tags.iter().map(String::as_str));
    Ok(key == document.translation_key && tags_are_equal)
}
