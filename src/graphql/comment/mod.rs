//! Comments.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::connection::Rows;
use super::context::ContextExt;
use super::node::NodeType;
use super::page::Args;
use super::post::Post;
use super::user::User;
use crate::error::ApiError;
use crate::store::comments::{self, CommentParent, CommentRow};

mod mutation;
mod query;
mod subscription;

pub use mutation::CommentMutation;
pub use query::CommentQuery;
pub use subscription::CommentSubscription;

/// What has been decided about a comment.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "comments::CommentStatus")]
pub enum CommentStatus {
    /// Waits for an editor.
    Pending,
    /// Seen by all.
    Approved,
    /// Judged to be spam.
    Spam,
    /// Taken back; its text is gone, its place in the thread stays.
    Deleted,
}

/// The order of a list of comments.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "comments::CommentOrder")]
pub enum CommentOrder {
    /// The earliest comes first, as in a conversation.
    OldestFirst,
    /// The latest comes first.
    NewestFirst,
}

/// A comment on a post, or a reply to one.
#[derive(Clone)]
pub struct Comment(pub Arc<CommentRow>);

/// A comment on a post, or a reply to one.
#[Object(crate = "crate::graphql::fields")]
impl Comment {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::Comment.id(self.0.id)
    }

    /// What has been decided about it.
    async fn status(&self) -> CommentStatus {
        self.0.status.into()
    }

    /// The text as it was written; empty when it was deleted.
    async fn markdown(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        ctx.request().text(self.0.markdown.clone())
    }

    /// The text as HTML that is safe to put into a page.
    async fn html(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        ctx.request().text(self.0.html.clone())
    }

    /// 0 for a comment on the post itself, 1 for a reply to it, and so on.
    async fn depth(&self) -> i32 {
        self.0.depth
    }

    /// When it was written.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When its author last changed it.
    async fn edited_at(&self) -> Option<DateTime<Utc>> {
        self.0.edited_at
    }

    /// Who wrote it; null when it was deleted.
    async fn author(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        if self.0.status == comments::CommentStatus::Deleted {
            return None;
        }
        Some(ctx.loaders().user.load(self.0.author_id).await.transpose()?.map(User))
    }

    /// The post that it is about.
    async fn post(&self, ctx: &Context<'_>) -> Option<Result<Post, ApiError>> {
        Some(ctx.loaders().post.load(self.0.post_id).await.transpose()?.map(Post))
    }

    /// The comment that it answers.
    async fn parent(&self, ctx: &Context<'_>) -> Option<Result<Comment, ApiError>> {
        Some(ctx.loaders().comment.load(self.0.parent_id?).await.transpose()?.map(Comment))
    }

    /// The answers to it.
    async fn replies(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
        #[graphql(default_with = "CommentOrder::OldestFirst")] order_by: CommentOrder,
    ) -> Result<Rows<Comment, CommentTotals>, ApiError> {
        under(ctx, CommentParent::Comment, self.0.id, order_by, Args { first, after, last, before }).await
    }
}

/// How many comments a list goes through in all.
pub enum CommentTotals {
    /// Those of the whole site, in one state or all.
    OfSite(Option<comments::CommentStatus>),
    /// Those below a post or a comment.
    Under(CommentParent, Uuid),
}

#[Object]
impl CommentTotals {
    /// How many there are in all; for a post with every reply. Computed only when asked for.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i64, ApiError> {
        match self {
            Self::Under(parent, id) => Ok(ctx.loaders().comment_count_under.load((*parent, *id)).await?.unwrap_or(0)),
            Self::OfSite(status) => {
                let request = ctx.request();
                Ok(Box::pin(comments::count(&mut *request.services.db.conn().await?, *status, request.sight())).await?)
            }
        }
    }
}

/// One page of the comments below a post or a comment.
pub async fn under(
    ctx: &Context<'_>,
    parent: CommentParent,
    id: Uuid,
    order: CommentOrder,
    args: Args,
) -> Result<Rows<Comment, CommentTotals>, ApiError> {
    let list = match order {
        CommentOrder::OldestFirst => "comments-old",
        CommentOrder::NewestFirst => "comments-new",
    };
    let page = args.check(list)?;
    let loaders = ctx.loaders();
    let rows = loaders.comments_under.load((parent, id, order.into(), page)).await?.unwrap_or_default();
    loaders.comment.prime(&rows.rows, |row| row.id).await;
    let key = |row: &Arc<CommentRow>| (comments::key(row), row.id);
    let rows = Arc::unwrap_or_clone(rows);
    Ok(Rows::new(list, rows, CommentTotals::Under(parent, id), key, Comment))
}
