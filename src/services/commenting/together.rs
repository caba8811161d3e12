//! New comments are written together: those that come while others are being written share the next
//! statement, which costs little more than one of them alone would.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::super::error::gone;
use super::super::{Actor, Moderation, ServiceError, Services};
use super::{depth_below, event};
use crate::events::EventKind;
use crate::store::comments::{self, CommentRow, CommentStatus};
use crate::store::posts::{self, PostStatus};
use crate::store::together::{Bounds, Together, Turn, Unanswered};
use crate::store::{Conn, DbError};

/// A second turn goes on while one waits for somebody who deletes a post.
const BOUNDS: Bounds = Bounds { items: 64, turns: 2, waiting: 1024 };

/// A comment that somebody may write, checked as far as that goes without the database.
pub(super) struct NewComment {
    pub actor: Actor,
    pub author_id: Uuid,
    pub post_id: Uuid,
    pub parent_id: Option<Uuid>,
    pub markdown: String,
    pub html: String,
}

/// The comments that wait to be written. Cloning is cheap.
#[derive(Clone)]
pub struct NewComments(Together<NewComment, Result<CommentRow, ServiceError>>);

impl Default for NewComments {
    fn default() -> Self {
        Self(Together::new(BOUNDS))
    }
}

impl NewComments {
    /// Writes a comment, together with all that wait.
    pub(super) async fn write(&self, services: &Services, comment: NewComment) -> Result<CommentRow, ServiceError> {
        self.0.ask(comment, services).await.unwrap_or_else(|unanswered| {
            Err(match unanswered {
                Unanswered::Full => {
                    ServiceError::Busy("too many comments are being written: try again in a moment".into())
                }
                Unanswered::Lost => {
                    ServiceError::Internal("a comment was lost with those that it was written with".into())
                }
            })
        })
    }
}

impl Turn<NewComment, Result<CommentRow, ServiceError>> for Services {
    async fn take(&self, comments: Vec<NewComment>) -> Vec<Result<CommentRow, ServiceError>> {
        match write(self, &comments).await {
            Ok(outcomes) => outcomes,
            Err(error) if comments.len() == 1 || error.is_transient() => vec![Err(error); comments.len()],
            // One of them is at fault, and the others are not to bear it.
            Err(_) => {
                let mut outcomes = Vec::with_capacity(comments.len());
                for comment in &comments {
                    let alone = write(self, std::slice::from_ref(comment)).await;
                    outcomes.push(alone.and_then(|mut outcomes| outcomes.remove(0)));
                }
                outcomes
            }
        }
    }
}

/// Writes comments together with their events. What is refused leaves the others alone.
///
/// Errors: none was written.
async fn write(services: &Services, new: &[NewComment]) -> Result<Vec<Result<CommentRow, ServiceError>>, ServiceError> {
    let mut conn = services.db.conn().await?;
    let posts = posts::statuses(&mut conn, &distinct(new, |comment| comment.post_id)).await?;
    let posts: HashMap<Uuid, PostStatus> = posts.into_iter().collect();
    let known = known_authors(services, &mut conn, new).await?;
    let is_approved = |comment: &NewComment| {
        let by_policy = services.policy.moderation == Moderation::None || known.contains(&comment.author_id);
        by_policy || comment.actor.viewer.may_moderate()
    };
    let mut outcomes = Vec::with_capacity(new.len());
    for comment in new {
        match depth(&mut conn, comment, posts.get(&comment.post_id).copied()).await {
            Ok(depth) => outcomes.push(Ok(row(comment, depth, is_approved(comment)))),
            Err(refusal @ ServiceError::Refused(_)) => outcomes.push(Err(refusal)),
            Err(error) => return Err(error),
        }
    }
    let rows: Vec<CommentRow> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().cloned()).collect();
    if rows.is_empty() {
        return Ok(outcomes);
    }
    let written = new.iter().zip(&outcomes).filter_map(|(comment, outcome)| Some((comment, outcome.as_ref().ok()?)));
    let events: Vec<_> =
        written.map(|(new, row)| event(EventKind::CommentAdded, row, new.author_id, &new.actor)).collect();
    comments::insert_with(&mut conn, &rows, &events).await.map_err(|error| gone(error, "postId"))?;
    drop(conn);
    services.db.committed().notify_one();
    services.after_commit(&events).await;
    Ok(outcomes)
}

/// How deep in its thread a comment is.
///
/// Errors: who writes it may not see what it answers, or the thread is too deep.
async fn depth(conn: &mut Conn, comment: &NewComment, post: Option<PostStatus>) -> Result<i32, ServiceError> {
    if !post.is_some_and(|post| post.visible_to(comment.actor.viewer.sight())) {
        return Err(ServiceError::not_found("postId", "post"));
    }
    match comment.parent_id {
        None => Ok(0),
        Some(parent) => depth_below(conn, comment.post_id, parent, &comment.actor).await,
    }
}

/// The authors who had a comment approved before, where that counts.
async fn known_authors(services: &Services, conn: &mut Conn, new: &[NewComment]) -> Result<HashSet<Uuid>, DbError> {
    let counts = |comment: &NewComment| !comment.actor.viewer.may_moderate();
    if services.policy.moderation != Moderation::First || !new.iter().any(counts) {
        return Ok(HashSet::new());
    }
    comments::known_authors(conn, &distinct(new, |comment| comment.author_id)).await
}

fn row(new: &NewComment, depth: i32, approved: bool) -> CommentRow {
    CommentRow {
        id: Uuid::now_v7(),
        post_id: new.post_id,
        author_id: new.author_id,
        parent_id: new.parent_id,
        depth,
        status: if approved { CommentStatus::Approved } else { CommentStatus::Pending },
        html: new.html.clone(),
        markdown: new.markdown.clone(),
        import_key: None,
        created_at: new.actor.now,
        edited_at: None,
        approved_at: approved.then_some(new.actor.now),
    }
}

fn distinct(new: &[NewComment], id: impl Fn(&NewComment) -> Uuid) -> Vec<Uuid> {
    new.iter().map(id).collect::<HashSet<_>>().into_iter().collect()
}
