//! One post out of a file.

use serde_json::json;
use uuid::Uuid;

use self::wanted::{Wanted, check, equal, find, known_series, wanted};
use super::run::Run;
use super::{Authors, ImportOptions};
use crate::events::{EventKind, NewEvent};
use crate::services::ServiceError;
use crate::services::content_folder::Document;
use crate::services::markdown::Rendered;
use crate::services::publishing::{
    PUBLISH_JOB, group_is_free, keep_revision, plan, render, set_tags, set_translation, slug_taken,
};
use crate::services::slug::slugify;
use crate::store::posts::{self, NewPost, PostChanges, PostRow, PostStatus};
use crate::store::series::{self, SeriesRow};
use crate::store::{Tx, jobs, translations};

mod wanted;

/// What happened to one post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Created,
    Updated,
    Unchanged,
}

/// What was done for one file.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    pub change: Change,
    /// How many were made because it names them.
    pub tags: usize,
    pub series: usize,
}

impl Done {
    const NOTHING: Self = Self { change: Change::Unchanged, tags: 0, series: 0 };
}

/// Brings the database in line with one file.
pub async fn import(run: &mut Run<'_>, document: &Document, authors: &Authors) -> Result<Done, ServiceError> {
    check(document)?;
    let rendered = if run.options.dry_run {
        // Nobody will read it, and nothing may take long while the one transaction is open.
        Rendered { html: String::new(), outline: Vec::new(), excerpt: String::new(), words: 0 }
    } else {
        // Most files of a second run are as they were: they cost no rendering and no lock.
        let mut conn = run.services.db.conn().await?;
        let before = find(&mut conn, document).await?;
        if let Some(before) = before {
            let wanted = wanted(&mut conn, document, Some(&before), authors, run.options).await?;
            if equal(&mut conn, &wanted, &before).await? {
                return Ok(Done::NOTHING);
            }
        }
        drop(conn);
        render(&document.markdown).await?
    };
    let mut tx = run.step().await?;
    match write(&mut tx, document, rendered, authors, run.options).await {
        Ok((done, events)) => {
            run.end(tx, &events).await?;
            Ok(done)
        }
        Err(error) => {
            run.refused(tx);
            Err(error)
        }
    }
}

/// Writes one post. What can be refused is refused before the first change.
async fn write(
    tx: &mut Tx,
    document: &Document,
    rendered: Rendered,
    authors: &Authors,
    options: &ImportOptions,
) -> Result<(Done, Vec<NewEvent>), ServiceError> {
    let before = match find(tx, document).await? {
        Some(post) => posts::lock(tx, post.id).await?,
        None => None,
    };
    let mut wanted = wanted(tx, document, before.as_ref(), authors, options).await?;
    if let Some(before) = &before
        && equal(tx, &wanted, before).await?
    {
        return Ok((Done::NOTHING, Vec::new()));
    }
    let id = before.as_ref().map_or_else(Uuid::now_v7, |post| post.id);
    group_is_free(tx, document.translation_key.as_deref(), &wanted.language, id).await?;
    let mut done = Done { change: Change::Created, tags: 0, series: 0 };
    if let (Some(name), None) = (&document.series, wanted.series_id) {
        let (series_id, made) = make_series(tx, name, &wanted.language, options).await?;
        wanted.series_id = Some(series_id);
        done.series = made;
    }
    let row = match &before {
        None => insert(tx, id, &wanted, rendered, options).await?,
        Some(before) => {
            done.change = Change::Updated;
            update(tx, &wanted, before, rendered, options).await?
        }
    };
    done.tags = set_tags(tx, row.id, &document.tags, options.now).await?;
    set_translation(tx, &row, document.translation_key.as_deref()).await?;
    match (wanted.status, wanted.published_at) {
        (PostStatus::Scheduled, Some(at)) => plan(tx, row.id, at, options.now).await?,
        _ => jobs::cancel(tx, PUBLISH_JOB, row.id).await?,
    }
    Ok((done, events(&row, before.map(|post| post.status), options)))
}

async fn insert(
    tx: &mut Tx,
    id: Uuid,
    wanted: &Wanted<'_>,
    rendered: Rendered,
    options: &ImportOptions,
) -> Result<PostRow, ServiceError> {
    let document = wanted.document;
    let begun = document.created.or(document.date.filter(|at| *at <= options.now));
    let created_at = begun.unwrap_or(options.now);
    let post = NewPost {
        id,
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
    posts::insert(tx, &post).await.map_err(|e| slug_taken(e, &post.slug))
}

async fn update(
    tx: &mut Tx,
    wanted: &Wanted<'_>,
    before: &PostRow,
    rendered: Rendered,
    options: &ImportOptions,
) -> Result<PostRow, ServiceError> {
    keep_revision(tx, before, options.author.id, options.now).await?;
    let changes = changes(wanted, rendered);
    let at = wanted.document.updated.unwrap_or(options.now);
    // Back in below: the new language need not fit into the group that the post leaves.
    translations::set(tx, before.id, None).await?;
    let row = posts::update(tx, before.id, before.version, &changes, at).await?;
    row.ok_or_else(|| ServiceError::Internal("a locked post changed its version".into()))
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
        created_at: document.created,
    }
}

fn events(row: &PostRow, before: Option<PostStatus>, options: &ImportOptions) -> Vec<NewEvent> {
    let event = |kind| NewEvent {
        kind,
        subject: row.id,
        payload: json!({ "slug": row.slug }),
        actor: Some(options.author.id),
        at: options.now,
    };
    let mut events = vec![event(if before.is_none() { EventKind::PostCreated } else { EventKind::PostUpdated })];
    if before == Some(PostStatus::Published) && row.status != PostStatus::Published {
        events.push(event(EventKind::PostUnpublished));
    }
    if before != Some(PostStatus::Published) && row.status == PostStatus::Published {
        events.push(event(EventKind::PostPublished));
    }
    events
}

/// The series that a file names, and how many had to be made for it.
async fn make_series(
    tx: &mut Tx,
    name: &str,
    language: &str,
    options: &ImportOptions,
) -> Result<(Uuid, usize), ServiceError> {
    let row = SeriesRow {
        id: Uuid::now_v7(),
        slug: slugify(name),
        title: name.to_owned(),
        description: String::new(),
        language: language.to_owned(),
        demo: options.demo,
        created_at: options.now,
    };
    let made = series::insert_missing(tx, std::slice::from_ref(&row)).await?;
    let id = known_series(tx, name).await?;
    Ok((id.ok_or_else(|| ServiceError::Internal("a series vanished while it was made".into()))?, made))
}
