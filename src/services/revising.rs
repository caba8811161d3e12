//! Going back to what a post said before.

use uuid::Uuid;

use super::publishing::{event, keep_revision, render};
use super::{Actor, ServiceError, Services};
use crate::events::EventKind;
use crate::store::posts::{self, PostChanges, PostRow};
use crate::store::revisions;

/// Makes a revision the post's text again. What it says now becomes a revision itself.
pub async fn restore(services: &Services, actor: &Actor, revision_id: Uuid) -> Result<PostRow, ServiceError> {
    let editor_id = actor.require(actor.viewer.may_write(), "restore revisions")?;
    // Revisions never change, so this one can be read and rendered before anything is locked.
    let revision = revisions::by_ids(&mut *services.db.conn().await?, &[revision_id]).await?.pop();
    let revision = revision.ok_or_else(|| ServiceError::not_found("revisionId", "revision"))?;
    let rendered = render(&revision.markdown).await?;
    let mut tx = services.db.begin().await?;
    // A post takes its revisions with it, so the one that was named is gone.
    let before = posts::lock(&mut tx, revision.post_id).await?;
    let before = before.ok_or_else(|| ServiceError::not_found("revisionId", "revision"))?;
    keep_revision(&mut tx, &before, editor_id, actor.now).await?;
    let changes = PostChanges {
        title: Some(revision.title),
        markdown: Some(revision.markdown),
        html: Some(rendered.html),
        outline: Some(serde_json::json!(rendered.outline)),
        excerpt: Some(rendered.excerpt),
        words: Some(i32::try_from(rendered.words).unwrap_or(i32::MAX)),
        ..PostChanges::default()
    };
    let row = posts::update(&mut tx, before.id, before.version, &changes, actor.now)
        .await?
        .ok_or_else(|| ServiceError::Internal("a locked post changed its version".into()))?;
    services.commit(tx, &[event(EventKind::PostUpdated, &row, actor)]).await?;
    Ok(row)
}
