//! Writing posts and bringing them before readers.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::error::gone;
use super::markdown::{Rendered, render_post};
use super::slug::slugify;
use super::validate::{Check, MAX_POST_BYTES};
use super::{Actor, RefusalCode, ServiceError, Services, connecting};
use crate::events::{EventKind, NewEvent};
use crate::store::jobs::{self, NewJob, Priority};
use crate::store::posts::{self, NewPost, PostChanges, PostKind, PostRow, PostStatus};
use crate::store::revisions::{self, RevisionRow};
use crate::store::tags::TagRow;
use crate::store::{Conn, DbError, Tx, post_entities, series, tags, translations};

mod normal_form;
mod writing;

pub(super) use writing::{ready_draft, ready_edit, write_draft, write_edit};

/// The job that makes a scheduled post go live.
pub const PUBLISH_JOB: &str = "publish_post";

/// What a new post says. `None` means the default.
#[derive(Clone, Debug, Default)]
pub struct PostDraft {
    pub title: String,
    pub markdown: String,
    /// Made from the title when absent.
    pub slug: Option<String>,
    pub kind: Option<PostKind>,
    pub language: Option<String>,
    pub description: Option<String>,
    pub cover: Option<String>,
    /// Names or slugs; those that do not exist are made.
    pub tags: Vec<String>,
    pub series: Option<Uuid>,
    pub series_position: Option<i32>,
    pub translation_key: Option<String>,
    pub custom: serde_json::Map<String, serde_json::Value>,
}

/// What an edit changes. `None` leaves a field; `Some(None)` empties it.
#[derive(Clone, Debug, Default)]
pub struct PostEdit {
    pub id: Uuid,
    /// The version that the editor saw.
    pub based_on_version: i32,
    pub title: Option<String>,
    pub markdown: Option<String>,
    pub slug: Option<String>,
    pub kind: Option<PostKind>,
    pub language: Option<String>,
    pub description: Option<Option<String>>,
    pub cover: Option<Option<String>>,
    pub tags: Option<Vec<String>>,
    pub series: Option<Option<Uuid>>,
    pub series_position: Option<Option<i32>>,
    pub translation_key: Option<Option<String>>,
    pub custom: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Makes a draft.
pub async fn create(services: &Services, actor: &Actor, draft: PostDraft) -> Result<PostRow, ServiceError> {
    let ready = ready_draft(actor, draft).await?;
    let mut tx = services.db.begin().await?;
    let (row, told) = write_draft(&mut tx, actor, &ready).await?;
    services.commit(tx, &[told]).await?;
    Ok(row)
}

/// Edits a post and keeps what it said before as a revision.
///
/// Errors: `StaleVersion` when somebody else edited it since `based_on_version`.
pub async fn update(services: &Services, actor: &Actor, edit: PostEdit) -> Result<PostRow, ServiceError> {
    let ready = ready_edit(actor, edit).await?;
    let mut tx = services.db.begin().await?;
    let (row, told) = write_edit(&mut tx, actor, ready).await?;
    services.commit(tx, &[told]).await?;
    Ok(row)
}

/// Shows a post to everybody, now. Publishing a published post changes nothing.
pub async fn publish(services: &Services, actor: &Actor, id: Uuid) -> Result<PostRow, ServiceError> {
    actor.require(actor.viewer.may_write(), "publish posts")?;
    let mut tx = services.db.begin().await?;
    let before = lock(&mut tx, id).await?;
    if before.status == PostStatus::Published {
        return Ok(before);
    }
    // A post that was public before keeps its date, so that it does not jump to the top.
    let was_public = before.status != PostStatus::Scheduled && before.published_at.is_some_and(|at| at <= actor.now);
    let published_at = if was_public { before.published_at } else { Some(actor.now) };
    let row = set_status(&mut tx, &before, PostStatus::Published, published_at, actor.now).await?;
    jobs::cancel(&mut tx, PUBLISH_JOB, id).await?;
    services.commit(tx, &[event(EventKind::PostPublished, &row, actor)]).await?;
    Ok(row)
}

/// Lets a post go live by itself at `at`.
pub async fn schedule(
    services: &Services,
    actor: &Actor,
    id: Uuid,
    at: DateTime<Utc>,
) -> Result<PostRow, ServiceError> {
    actor.require(actor.viewer.may_write(), "schedule posts")?;
    Check::default().date("publishAt", at).done()?;
    if at <= actor.now {
        let message = format!("{at} has passed: choose a time to come, or publish the post now");
        return Err(ServiceError::refuse(RefusalCode::Invalid, "publishAt", message));
    }
    let mut tx = services.db.begin().await?;
    let before = lock(&mut tx, id).await?;
    if before.status == PostStatus::Published {
        let message = "the post is already published: unpublish it first";
        return Err(ServiceError::refuse(RefusalCode::WrongState, "id", message));
    }
    let row = set_status(&mut tx, &before, PostStatus::Scheduled, Some(at), actor.now).await?;
    plan(&mut tx, id, at, actor.now).await?;
    services.commit(tx, &[event(EventKind::PostScheduled, &row, actor)]).await?;
    Ok(row)
}

/// Asks for the job that publishes a post at `at`: before any other that is due by then.
pub(super) async fn plan(conn: &mut Conn, id: Uuid, at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), DbError> {
    let job = NewJob { priority: Priority::HIGH, ..NewJob::new(PUBLISH_JOB, id, at) };
    jobs::enqueue_with(conn, &job, now).await?;
    Ok(())
}

/// What the job of [`schedule`] does: publishes a post that is still scheduled and due. Doing it
/// twice, or after the owner changed their mind, changes nothing.
pub async fn publish_due(services: &Services, id: Uuid, now: DateTime<Utc>) -> Result<(), ServiceError> {
    let mut tx = services.db.begin().await?;
    let Some(before) = posts::lock(&mut tx, id).await? else { return Ok(()) };
    if before.status != PostStatus::Scheduled || before.published_at.is_none_or(|at| at > now) {
        return Ok(());
    }
    let row = set_status(&mut tx, &before, PostStatus::Published, before.published_at, now).await?;
    let told = NewEvent {
        kind: EventKind::PostPublished,
        subject: row.id,
        payload: json!({ "slug": row.slug }),
        actor: None,
        at: now,
    };
    services.commit(tx, &[told]).await?;
    Ok(())
}

/// Takes a post away from readers: back to a draft, or into the archive.
pub async fn unpublish(services: &Services, actor: &Actor, id: Uuid, archive: bool) -> Result<PostRow, ServiceError> {
    actor.require(actor.viewer.may_write(), "unpublish posts")?;
    let mut tx = services.db.begin().await?;
    let before = lock(&mut tx, id).await?;
    let status = if archive { PostStatus::Archived } else { PostStatus::Draft };
    if before.status == status {
        return Ok(before);
    }
    // A date to come is the plan that is being dropped; a past one is kept for publishing again.
    let published_at = before.published_at.filter(|at| *at <= actor.now);
    let row = set_status(&mut tx, &before, status, published_at, actor.now).await?;
    jobs::cancel(&mut tx, PUBLISH_JOB, id).await?;
    services.commit(tx, &[event(EventKind::PostUnpublished, &row, actor)]).await?;
    Ok(row)
}

/// Deletes a post with its comments, reactions and revisions, for good.
pub async fn delete(services: &Services, actor: &Actor, id: Uuid) -> Result<(), ServiceError> {
    actor.require(actor.viewer.may_write(), "delete posts")?;
    let mut tx = services.db.begin().await?;
    let row = lock(&mut tx, id).await?;
    jobs::cancel(&mut tx, PUBLISH_JOB, id).await?;
    if row.status == PostStatus::Published {
        post_entities::forget(&mut tx, &[id]).await?;
        connecting::withdrawn(&mut tx, std::slice::from_ref(&row), actor.now).await?;
    }
    posts::delete(&mut tx, id).await?;
    services.commit(tx, &[event(EventKind::PostDeleted, &row, actor)]).await?;
    Ok(())
}

/// Renders on a thread of its own: a long post would keep others waiting.
pub(super) async fn render(markdown: &str) -> Result<Rendered, ServiceError> {
    let markdown = markdown.to_owned();
    tokio::task::spawn_blocking(move || render_post(&markdown))
        .await
        .map_err(|error| ServiceError::Internal(format!("rendering failed: {error}")))
}

async fn lock(tx: &mut Tx, id: Uuid) -> Result<PostRow, ServiceError> {
    posts::lock(tx, id).await?.ok_or_else(|| ServiceError::not_found("id", "post"))
}

/// Puts the text that is about to change aside.
pub(super) async fn keep_revision(
    conn: &mut Conn,
    post: &PostRow,
    editor_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let body = posts::bodies(conn, &[post.id]).await?.pop();
    let revision = RevisionRow {
        id: Uuid::now_v7(),
        post_id: post.id,
        version: post.version,
        title: post.title.clone(),
        markdown: body.map(|b| b.markdown).unwrap_or_default(),
        editor_id: Some(editor_id),
        created_at: now,
    };
    revisions::insert(conn, &revision).await.map_err(|error| gone(error, "id"))
}

pub(super) fn event(kind: EventKind, post: &PostRow, actor: &Actor) -> NewEvent {
    let actor_id = actor.viewer.user().map(|user| user.id);
    NewEvent { kind, subject: post.id, payload: json!({ "slug": post.slug }), actor: actor_id, at: actor.now }
}

fn stale(current: &PostRow, based_on: i32) -> ServiceError {
    let message = format!(
        "the post is at version {} now, the edit was based on version {based_on}: read it again and merge",
        current.version
    );
    ServiceError::refuse(RefusalCode::StaleVersion, "basedOnVersion", message)
}

/// Makes the missing tags and gives the post exactly these; returns how many were missing.
pub(super) async fn set_tags(
    conn: &mut Conn,
    post_id: Uuid,
    names: &[String],
    now: DateTime<Utc>,
) -> Result<usize, ServiceError> {
    let wanted = tags_named(names);
    let slugs: Vec<String> = wanted.iter().map(|(slug, _)| slug.clone()).collect();
    let missing: Vec<TagRow> = wanted
        .iter()
        .map(|(slug, name)| TagRow {
            id: Uuid::now_v7(),
            slug: slug.clone(),
            name: (*name).to_owned(),
            description: String::new(),
            demo: false,
            created_at: now,
        })
        .collect();
    let made = tags::insert_missing(conn, &missing).await?;
    let rows = tags::by_slugs(conn, &slugs).await?;
    let ids: Vec<Uuid> = slugs.iter().filter_map(|slug| rows.iter().find(|r| r.slug == *slug).map(|r| r.id)).collect();
    tags::set_of_post(conn, post_id, &ids).await.map_err(|error| gone(error, "id"))?;
    Ok(made)
}

/// The tags that these names mean, each once: slug and name.
pub(super) fn tags_named(names: &[String]) -> Vec<(String, &str)> {
    let mut wanted: Vec<(String, &str)> = Vec::new();
    for name in names.iter().map(|n| n.trim()) {
        let slug = slugify(name);
        if !slug.is_empty() && !wanted.iter().any(|(known, _)| *known == slug) {
            wanted.push((slug, name));
        }
    }
    wanted
}

/// Puts a post into a group of translations, which holds one post a language, or out of every one.
pub(super) async fn set_translation(conn: &mut Conn, post: &PostRow, key: Option<&str>) -> Result<(), ServiceError> {
    translations::set(conn, post.id, key).await.map_err(|error| match key {
        Some(key) if error.is_constraint(translations::ONE_A_LANGUAGE) => group_taken(key, &post.language),
        _ => gone(error, "id"),
    })
}

/// Errors: `Taken` when another post is the group's version in this language.
pub(super) async fn group_is_free(
    conn: &mut Conn,
    key: Option<&str>,
    language: &str,
    post_id: Uuid,
) -> Result<(), ServiceError> {
    let Some(key) = key else { return Ok(()) };
    if translations::is_taken(conn, key, language, post_id).await? { Err(group_taken(key, language)) } else { Ok(()) }
}

fn group_taken(key: &str, language: &str) -> ServiceError {
    let message = format!("the group {key:?} already has a version in {language:?}");
    ServiceError::refuse(RefusalCode::Taken, "translationKey", message)
}

/// Why the row of an edited post was refused.
fn edit_refused(error: DbError, edit: &PostEdit) -> ServiceError {
    if error.is_constraint(translations::ONE_A_LANGUAGE) {
        let language = edit.language.as_deref().unwrap_or_default();
        let message = format!("the group of translations that the post is in already has a version in {language:?}");
        return ServiceError::refuse(RefusalCode::Taken, "language", message);
    }
    slug_taken(error, edit.slug.as_deref().unwrap_or_default())
}

pub(super) fn slug_taken(error: DbError, slug: &str) -> ServiceError {
    if error.is_constraint("posts_slug_key") {
        return ServiceError::refuse(RefusalCode::Taken, "slug", format!("another post has the slug {slug:?}"));
    }
    gone(error, "id")
}

async fn series_exists(conn: &mut Conn, id: Uuid) -> Result<(), ServiceError> {
    if series::by_ids(conn, &[id]).await?.is_empty() {
        return Err(ServiceError::not_found("seriesId", "series"));
    }
    Ok(())
}

async fn set_status(
    tx: &mut Tx,
    before: &PostRow,
    status: PostStatus,
    published_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<PostRow, ServiceError> {
    let changes = PostChanges { status: Some(status), published_at: Some(published_at), ..PostChanges::default() };
    let row = posts::update(tx, before.id, before.version, &changes, now).await?;
    row.ok_or_else(|| ServiceError::Internal("a locked post changed its version".into()))
}

fn check_draft(draft: &PostDraft, slug: &str, language: &str) -> Result<(), ServiceError> {
    let mut check = Check::default();
    check.text("title", &draft.title, 300).markdown(&draft.markdown, MAX_POST_BYTES).slug(slug).language(language);
    check_details(&mut check, draft.description.as_deref(), draft.cover.as_deref(), &draft.tags);
    check_group(&mut check, draft.translation_key.as_deref());
    check.custom(&draft.custom).done()
}

fn check_edit(edit: &PostEdit) -> Result<(), ServiceError> {
    let mut check = Check::default();
    if let Some(title) = &edit.title {
        check.text("title", title, 300);
    }
    if let Some(markdown) = &edit.markdown {
        check.markdown(markdown, MAX_POST_BYTES);
    }
    if let Some(slug) = &edit.slug {
        check.slug(slug);
    }
    if let Some(language) = &edit.language {
        check.language(language);
    }
    let description = edit.description.as_ref().and_then(Option::as_deref);
    let cover = edit.cover.as_ref().and_then(Option::as_deref);
    check_details(&mut check, description, cover, edit.tags.as_deref().unwrap_or_default());
    check_group(&mut check, edit.translation_key.as_ref().and_then(Option::as_deref));
    if let Some(custom) = &edit.custom {
        check.custom(custom);
    }
    check.done()
}

fn check_details(check: &mut Check, description: Option<&str>, cover: Option<&str>, tags: &[String]) {
    check.at_most("description", description.unwrap_or_default(), 1000);
    check.picture("cover", cover);
    check.tags(tags, 60);
}

pub(super) fn check_group(check: &mut Check, translation_key: Option<&str>) {
    if let Some(key) = translation_key {
        check.text("translationKey", key, 200);
    }
}

fn new_post(
    draft: &PostDraft,
    slug: String,
    language: String,
    author_id: Uuid,
    rendered: &Rendered,
    now: DateTime<Utc>,
) -> NewPost {
    NewPost {
        id: Uuid::now_v7(),
        kind: draft.kind.unwrap_or(PostKind::Article),
        status: PostStatus::Draft,
        slug,
        language,
        title: draft.title.clone(),
        markdown: draft.markdown.clone(),
        html: rendered.html.clone(),
        outline: json!(rendered.outline),
        excerpt: rendered.excerpt.clone(),
        description: draft.description.clone(),
        cover: draft.cover.clone(),
        words: i32::try_from(rendered.words).unwrap_or(i32::MAX),
        custom: json!(draft.custom),
        author_id,
        series_id: draft.series,
        series_position: draft.series_position,
        published_at: None,
        demo: false,
        created_at: now,
        updated_at: now,
    }
}

fn changes(edit: &PostEdit, rendered: Option<Rendered>) -> PostChanges {
    let mut changes = PostChanges {
        kind: edit.kind,
        slug: edit.slug.clone(),
        language: edit.language.clone(),
        title: edit.title.clone(),
        markdown: edit.markdown.clone(),
        description: edit.description.clone(),
        cover: edit.cover.clone(),
        custom: edit.custom.as_ref().map(|c| json!(c)),
        series_id: edit.series,
        series_position: edit.series_position,
        ..PostChanges::default()
    };
    if let Some(rendered) = rendered {
        changes.outline = Some(json!(rendered.outline));
        changes.words = Some(i32::try_from(rendered.words).unwrap_or(i32::MAX));
        changes.html = Some(rendered.html);
        changes.excerpt = Some(rendered.excerpt);
    }
    changes
}
