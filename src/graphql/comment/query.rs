//! Reading comments.

use std::sync::Arc;

use async_graphql::connection::Connection;
use async_graphql::{Context, Object};

use super::{Comment, CommentStatus};
use crate::error::ApiError;
use crate::graphql::context::ContextExt;
use crate::graphql::page::{self, Args};
use crate::store::comments;

/// How many comments there are on the whole site.
pub struct CommentTotals(Option<comments::CommentStatus>);

#[Object]
impl CommentTotals {
    /// How many there are in all; computed only when asked for.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i64, ApiError> {
        let request = ctx.request();
        Ok(comments::count(&mut *request.services.db.conn().await?, self.0, request.sight()).await?)
    }
}

#[derive(Default)]
pub struct CommentQuery;

#[Object]
impl CommentQuery {
    /// The comments of the whole site, newest first. Only the owner and editors find others than
    /// approved ones here.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn comments(
        &self,
        ctx: &Context<'_>,
        status: Option<CommentStatus>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Connection<String, Comment, CommentTotals>, ApiError> {
        let request = ctx.request();
        let status = status.map(comments::CommentStatus::from);
        let page = Args { first, after, last, before }.check("comments")?;
        let rows = comments::page(&mut *request.services.db.conn().await?, status, &page, request.sight()).await?;
        let key = |row: &comments::CommentRow| (comments::key(row), row.id);
        Ok(page::connection("comments", rows, CommentTotals(status), key, |row| Comment(Arc::new(row))))
    }
}
