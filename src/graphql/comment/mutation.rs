//! Changing comments.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::Comment;
use crate::error::ApiError;
use crate::graphql::context::ContextExt;
use crate::graphql::node::NodeType;
use crate::graphql::payload::{UserError, outcome};
use crate::services::{ServiceError, commenting};
use crate::store::comments::{CommentRow, CommentStatus};

/// A new comment.
#[derive(InputObject)]
struct AddCommentInput {
    /// The post to comment on.
    post_id: ID,
    /// The comment that it answers, if it does.
    parent_id: Option<ID>,
    /// At most 16 KiB. Formatting, lists, quotes and code; no images, no HTML.
    markdown: String,
}

/// The new text of a comment.
#[derive(InputObject)]
struct EditCommentInput {
    /// The comment.
    id: ID,
    /// At most 16 KiB.
    markdown: String,
}

/// Which comment to take back.
#[derive(InputObject)]
struct DeleteCommentInput {
    /// The comment.
    id: ID,
}

/// What an editor can decide about a comment.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
enum CommentDecision {
    /// Everybody may see it.
    Approve,
    /// Only editors see it.
    Hold,
    /// It is spam.
    Spam,
}

/// A decision about a comment.
#[derive(InputObject)]
struct ModerateCommentInput {
    /// The comment.
    id: ID,
    /// What shall become of it.
    decision: CommentDecision,
}

/// The comment, or what was wrong.
#[derive(SimpleObject)]
struct CommentPayload {
    /// The comment as it is now; null when the input was refused.
    comment: Option<Comment>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct CommentMutation;

#[Object]
impl CommentMutation {
    /// Comments on a post, or answers a comment. It may have to wait for an editor: see `status`
    /// of the answer. For who is signed in.
    async fn add_comment(&self, ctx: &Context<'_>, input: AddCommentInput) -> Result<CommentPayload, ApiError> {
        let request = ctx.request();
        let post_id = NodeType::Post.row_id(&input.post_id)?;
        let parent_id = input.parent_id.map(|id| NodeType::Comment.row_id(&id)).transpose()?;
        payload(ctx, commenting::add(&request.services, &request.actor, post_id, parent_id, input.markdown).await)
    }

    /// Changes the text of your own comment.
    async fn edit_comment(&self, ctx: &Context<'_>, input: EditCommentInput) -> Result<CommentPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Comment.row_id(&input.id)?;
        payload(ctx, commenting::edit(&request.services, &request.actor, id, input.markdown).await)
    }

    /// Takes a comment back: your own, or any for the owner and editors.
    async fn delete_comment(&self, ctx: &Context<'_>, input: DeleteCommentInput) -> Result<CommentPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Comment.row_id(&input.id)?;
        payload(ctx, commenting::delete(&request.services, &request.actor, id).await)
    }

    /// Decides about a comment. For the owner and editors.
    async fn moderate_comment(
        &self,
        ctx: &Context<'_>,
        input: ModerateCommentInput,
    ) -> Result<CommentPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Comment.row_id(&input.id)?;
        let status = match input.decision {
            CommentDecision::Approve => CommentStatus::Approved,
            CommentDecision::Hold => CommentStatus::Pending,
            CommentDecision::Spam => CommentStatus::Spam,
        };
        payload(ctx, commenting::moderate(&request.services, &request.actor, id, status).await)
    }
}

fn payload(ctx: &Context<'_>, done: Result<CommentRow, ServiceError>) -> Result<CommentPayload, ApiError> {
    let (row, user_errors) = outcome(done)?;
    ctx.request().renew_loaders();
    Ok(CommentPayload { comment: row.map(|row| Comment(Arc::new(row))), user_errors })
}
