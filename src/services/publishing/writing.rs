//! Drafts and edits in two steps, for verbs that write something else in the same transaction: what
//! comes before it, and what happens in it.

use serde_json::json;
use uuid::Uuid;

use super::{PostDraft, PostEdit};
use super::{
    changes, check_draft, check_edit, edit_refused, event, keep_revision, lock, new_post, render, series_exists,
    set_tags, set_translation, slug_taken, stale,
};
use crate::events::{EventKind, NewEvent};
use crate::services::markdown::Rendered;
use crate::services::slug::slugify;
use crate::services::{Actor, ServiceError};
use crate::store::posts::{self, NewPost, PostRow};
use crate::store::{Tx, translations};

/// A draft that was checked, with its text rendered.
pub struct ReadyDraft {
    draft: PostDraft,
    post: NewPost,
}

/// All of [`super::create`] that comes before its transaction.
pub async fn ready_draft(actor: &Actor, draft: PostDraft) -> Result<ReadyDraft, ServiceError> {
    let author_id = actor.require(actor.viewer.may_write(), "write posts")?;
    let draft = draft.in_normal_form();
    let slug = draft.slug.clone().unwrap_or_else(|| slugify(&draft.title));
    let language = draft.language.clone().unwrap_or_else(|| "en".into());
    check_draft(&draft, &slug, &language)?;
    let rendered = render(&draft.markdown).await?;
    let post = new_post(&draft, slug, language, author_id, &rendered, actor.now);
    Ok(ReadyDraft { draft, post })
}

/// All of [`super::create`] that happens in its transaction; the caller commits it with the event.
pub async fn write_draft(tx: &mut Tx, actor: &Actor, ready: &ReadyDraft) -> Result<(PostRow, NewEvent), ServiceError> {
    let ReadyDraft { draft, post } = ready;
    if let Some(series) = draft.series {
        series_exists(tx, series).await?;
    }
    let row = posts::insert(tx, post).await.map_err(|e| slug_taken(e, &post.slug))?;
    set_tags(tx, row.id, &draft.tags, actor.now).await?;
    set_translation(tx, &row, draft.translation_key.as_deref()).await?;
    let told = event(EventKind::PostCreated, &row, actor);
    Ok((row, told))
}

/// An edit that was checked, with its text rendered.
pub struct ReadyEdit {
    edit: PostEdit,
    rendered: Option<Rendered>,
    editor_id: Uuid,
}

/// All of [`super::update`] that comes before its transaction.
pub async fn ready_edit(actor: &Actor, edit: PostEdit) -> Result<ReadyEdit, ServiceError> {
    let editor_id = actor.require(actor.viewer.may_write(), "edit posts")?;
    let edit = edit.in_normal_form();
    check_edit(&edit)?;
    let rendered = match &edit.markdown {
        Some(markdown) => Some(render(markdown).await?),
        None => None,
    };
    Ok(ReadyEdit { edit, rendered, editor_id })
}

/// All of [`super::update`] that happens in its transaction; the caller commits it with the event.
pub async fn write_edit(tx: &mut Tx, actor: &Actor, ready: ReadyEdit) -> Result<(PostRow, NewEvent), ServiceError> {
    let ReadyEdit { edit, rendered, editor_id } = ready;
    let before = lock(tx, edit.id).await?;
    if before.version != edit.based_on_version {
        return Err(stale(&before, edit.based_on_version));
    }
    if let Some(Some(series)) = edit.series {
        series_exists(tx, series).await?;
    }
    keep_revision(tx, &before, editor_id, actor.now).await?;
    if edit.translation_key.is_some() {
        // Whatever the new language is, it need not fit into the group that the post leaves.
        translations::set(tx, edit.id, None).await?;
    }
    let changes = changes(&edit, rendered);
    let row = posts::update(tx, edit.id, edit.based_on_version, &changes, actor.now)
        .await
        .map_err(|e| edit_refused(e, &edit))?
        .ok_or_else(|| stale(&before, edit.based_on_version))?;
    if let Some(names) = &edit.tags {
        set_tags(tx, row.id, names, actor.now).await?;
    }
    if let Some(key) = &edit.translation_key {
        set_translation(tx, &row, key.as_deref()).await?;
    }
    let mut told = event(EventKind::PostUpdated, &row, actor);
    told.payload["previousSlug"] = json!(before.slug);
    Ok((row, told))
}
