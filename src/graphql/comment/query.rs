//! Reading comments.

use std::sync::Arc;

use async_graphql::{Context, Object};

use super::{Comment, CommentStatus, CommentTotals};
use crate::error::ApiError;
use crate::graphql::connection::Rows;
use crate::graphql::context::ContextExt;
use crate::graphql::page::Args;
use crate::store::comments;

#[derive(Default)]
pub struct CommentQuery;

#[Object]
impl CommentQuery {
    /// The comments of the whole site, newest first. Only the owner and editors find others than
    /// approved ones here.
    async fn comments(
        &self,
        ctx: &Context<'_>,
        status: Option<CommentStatus>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Comment, CommentTotals>, ApiError> {
        let request = ctx.request();
        let status = status.map(comments::CommentStatus::from);
        let page = Args { first, after, last, before }.check("comments")?;
        let rows = comments::page(&mut *request.services.db.conn().await?, status, &page, request.sight()).await?;
        let rows = rows.map(Arc::new);
        request.loaders().comment.prime(&rows.rows, |row| row.id).await;
        let key = |row: &Arc<comments::CommentRow>| (comments::key(row), row.id);
        Ok(Rows::new("comments", rows, CommentTotals::OfSite(status), key, Comment))
    }
}
