//! Comments: adding, changing, taking back, deciding.

use serde_json::json;
use uuid::Uuid;

use super::markdown::render_comment;
use super::validate::{Check, MAX_COMMENT_BYTES};
use super::{Actor, Moderation, RefusalCode, ServiceError, Services};
use crate::events::{EventKind, NewEvent};
use crate::store::comments::{self, CommentChanges, CommentRow, CommentStatus, MAX_DEPTH};
use crate::store::{Conn, Sight, Tx};

mod together;

use together::NewComment;
pub use together::NewComments;

/// Adds a comment to a published post, or a reply to a comment.
pub async fn add(
    services: &Services,
    actor: &Actor,
    post_id: Uuid,
    parent_id: Option<Uuid>,
    markdown: String,
) -> Result<CommentRow, ServiceError> {
    let author_id = actor.require(actor.viewer.may_comment(), "comment")?;
    check(&markdown)?;
    let html = render_comment(&markdown);
    let comment = NewComment { actor: actor.clone(), author_id, post_id, parent_id, markdown, html };
    services.new_comments.write(services, comment).await
}

/// Changes the text of one's own comment. A reader's edit waits for an editor again where new
/// comments do, so that nobody can exchange the text after the approval.
pub async fn edit(services: &Services, actor: &Actor, id: Uuid, markdown: String) -> Result<CommentRow, ServiceError> {
    let editor_id = actor.require(actor.viewer.may_comment(), "edit comments")?;
    check(&markdown)?;
    let html = render_comment(&markdown);
    let mut tx = services.db.begin().await?;
    let before = find(&mut tx, id, actor).await?;
    if before.author_id != editor_id {
        return Err(ServiceError::Forbidden("edit somebody else's comment"));
    }
    if matches!(before.status, CommentStatus::Deleted | CommentStatus::Spam) {
        return Err(ServiceError::refuse(RefusalCode::WrongState, "id", "a deleted comment cannot be edited"));
    }
    let wait = services.policy.moderation == Moderation::All && !actor.viewer.may_moderate();
    let changes = CommentChanges {
        html: Some(html),
        markdown: Some(markdown),
        edited_at: Some(Some(actor.now)),
        status: wait.then_some(CommentStatus::Pending),
        ..CommentChanges::default()
    };
    let row = comments::update(&mut tx, id, &changes).await?;
    services.commit(tx, &[event(EventKind::CommentChanged, &row, editor_id, actor)]).await?;
    Ok(row)
}

/// Takes a comment back: its author, or who moderates. The place of one that readers saw stays.
pub async fn delete(services: &Services, actor: &Actor, id: Uuid) -> Result<CommentRow, ServiceError> {
    let user_id = actor.user_id()?;
    let mut tx = services.db.begin().await?;
    let before = find(&mut tx, id, actor).await?;
    let own = before.author_id == user_id && actor.viewer.may_comment();
    if !own && !actor.viewer.may_moderate() {
        return Err(ServiceError::Forbidden("delete somebody else's comment"));
    }
    // What readers do not see leaves no place behind either.
    let leaves_a_place = before.visible_to(Sight::Public);
    let changes = CommentChanges {
        status: Some(CommentStatus::Deleted),
        markdown: Some(String::new()),
        html: Some(String::new()),
        approved_at: (!leaves_a_place).then_some(None),
        ..CommentChanges::default()
    };
    let row = comments::update(&mut tx, id, &changes).await?;
    services.commit(tx, &[event(EventKind::CommentChanged, &row, user_id, actor)]).await?;
    Ok(row)
}

/// Decides about a comment.
pub async fn moderate(
    services: &Services,
    actor: &Actor,
    id: Uuid,
    status: CommentStatus,
) -> Result<CommentRow, ServiceError> {
    let moderator_id = actor.require(actor.viewer.may_moderate(), "moderate comments")?;
    let mut tx = services.db.begin().await?;
    let before = comments::lock(&mut tx, id).await?.ok_or_else(|| ServiceError::not_found("id", "comment"))?;
    if before.status == status {
        return Ok(before);
    }
    if before.status == CommentStatus::Deleted || status == CommentStatus::Deleted {
        let message = "a comment is deleted with deleteComment, and a deleted one has no text to decide about";
        return Err(ServiceError::refuse(RefusalCode::WrongState, "id", message));
    }
    let first_approval = status == CommentStatus::Approved && before.approved_at.is_none();
    let changes = CommentChanges {
        status: Some(status),
        approved_at: first_approval.then_some(Some(actor.now)),
        ..CommentChanges::default()
    };
    let row = comments::update(&mut tx, id, &changes).await?;
    let kind = if first_approval { EventKind::CommentApproved } else { EventKind::CommentChanged };
    services.commit(tx, &[event(kind, &row, moderator_id, actor)]).await?;
    Ok(row)
}

fn check(markdown: &str) -> Result<(), ServiceError> {
    let mut check = Check::default();
    check.that(!markdown.trim().is_empty(), RefusalCode::Invalid, "markdown", || "markdown is empty".into());
    check.markdown(markdown, MAX_COMMENT_BYTES).done()
}

/// The comment, locked, if this viewer may know of it: one's own is known in every state.
async fn find(tx: &mut Tx, id: Uuid, actor: &Actor) -> Result<CommentRow, ServiceError> {
    let row = comments::lock(tx, id).await?.ok_or_else(|| ServiceError::not_found("id", "comment"))?;
    let own = actor.viewer.user().is_some_and(|user| user.id == row.author_id);
    if own || is_visible(tx, id, actor).await? { Ok(row) } else { Err(ServiceError::not_found("id", "comment")) }
}

/// A reader sees a comment only with all that it answers.
async fn is_visible(conn: &mut Conn, id: Uuid, actor: &Actor) -> Result<bool, ServiceError> {
    Ok(actor.viewer.sight() == Sight::Everything || comments::is_public(conn, id).await?)
}

async fn depth_below(conn: &mut Conn, post_id: Uuid, parent_id: Uuid, actor: &Actor) -> Result<i32, ServiceError> {
    let not_found = || ServiceError::not_found("parentId", "comment on this post");
    let parent = comments::by_ids(conn, &[parent_id]).await?.pop();
    let parent = parent.filter(|p| p.post_id == post_id && p.status != CommentStatus::Deleted).ok_or_else(not_found)?;
    if !is_visible(conn, parent_id, actor).await? {
        return Err(not_found());
    }
    if parent.depth >= MAX_DEPTH {
        let message = format!("the thread is {MAX_DEPTH} replies deep: answer further up");
        return Err(ServiceError::refuse(RefusalCode::WrongState, "parentId", message));
    }
    Ok(parent.depth + 1)
}

fn event(kind: EventKind, comment: &CommentRow, actor_id: Uuid, actor: &Actor) -> NewEvent {
    NewEvent {
        kind,
        subject: comment.post_id,
        payload: json!({ "comment": comment.id, "status": comment.status }),
        actor: Some(actor_id),
        at: actor.now,
    }
}
