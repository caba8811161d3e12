//! Reading posts.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object};
use chrono::{DateTime, Utc};

use super::{Post, PostKind, PostStatus, PostTotals};
use crate::error::ApiError;
use crate::graphql::connection::Rows;
use crate::graphql::context::ContextExt;
use crate::graphql::node::NodeType;
use crate::graphql::page::Args;
use crate::services::caching::{self, pages};
use crate::services::dates;
use crate::store::Sight;
use crate::store::posts::{self, PostFilter, PostRow};

/// The order of a list of posts.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "posts::PostOrder")]
#[allow(clippy::enum_variant_names, reason = "they are the names of the API")]
pub enum PostOrder {
    /// By date of publication; drafts stand where they were begun.
    NewestFirst,
    /// By date of publication, the earliest first.
    OldestFirst,
    /// By date of the last change.
    RecentlyUpdatedFirst,
}

/// A span of time: `from` is part of it, `to` is not.
#[derive(InputObject)]
pub struct TimeSpan {
    /// From then on.
    from: Option<DateTime<Utc>>,
    /// Until before then.
    to: Option<DateTime<Utc>>,
}

/// Which posts to list. What is absent does not restrict.
#[derive(InputObject, Default)]
pub struct PostFilterInput {
    /// Any of these kinds.
    kind: Option<Vec<PostKind>>,
    /// Any of these states. Only the owner and editors find others than `PUBLISHED`.
    status: Option<Vec<PostStatus>>,
    /// The slug of a tag.
    tag: Option<String>,
    /// The handle of the author.
    author: Option<String>,
    /// A BCP 47 tag.
    language: Option<String>,
    /// The slug of a series.
    series: Option<String>,
    /// Went live within this time.
    published_between: Option<TimeSpan>,
}

impl TimeSpan {
    /// Errors: `BAD_USER_INPUT` for a date that the site does not take.
    fn check(&self) -> Result<(), ApiError> {
        for (name, at) in [("from", self.from), ("to", self.to)] {
            if let Some(at) = at.filter(|at| !dates::is_in_range(at)) {
                let message = format!("`publishedBetween.{name}` is {at}: expected {}", dates::RANGE);
                return Err(ApiError::bad_input(message));
            }
        }
        Ok(())
    }
}

impl TryFrom<PostFilterInput> for PostFilter {
    type Error = ApiError;

    fn try_from(input: PostFilterInput) -> Result<Self, ApiError> {
        if let Some(span) = &input.published_between {
            span.check()?;
        }
        let (from, to) = input.published_between.map_or((None, None), |span| (span.from, span.to));
        let filter = Self {
            kinds: input.kind.into_iter().flatten().map(Into::into).collect(),
            statuses: input.status.into_iter().flatten().map(Into::into).collect(),
            tag_slug: input.tag,
            series_slug: input.series,
            author_handle: input.author,
            language: input.language,
            published_from: from,
            published_before: to,
        };
        filter.fault().map_or(Ok(filter), |fault| Err(ApiError::bad_input(fault)))
    }
}

#[derive(Default)]
pub struct PostQuery;

#[Object]
impl PostQuery {
    /// A post by its slug or its id: give one of them.
    async fn post(&self, ctx: &Context<'_>, slug: Option<String>, id: Option<ID>) -> Option<Result<Post, ApiError>> {
        find(ctx, slug, id).await.transpose()
    }

    /// Posts that match, newest first unless asked otherwise.
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn posts(
        &self,
        ctx: &Context<'_>,
        filter: Option<PostFilterInput>,
        #[graphql(default_with = "PostOrder::NewestFirst")] order_by: PostOrder,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Post, PostTotals>, ApiError> {
        let request = ctx.request();
        let list = match order_by {
            PostOrder::NewestFirst => "posts-new",
            PostOrder::OldestFirst => "posts-old",
            PostOrder::RecentlyUpdatedFirst => "posts-updated",
        };
        let page = Args { first, after, last, before }.check(list)?;
        let filter = PostFilter::try_from(filter.unwrap_or_default())?;
        let order = posts::PostOrder::from(order_by);
        let services = &request.services;
        let rows = match request.sight() {
            Sight::Public => Arc::unwrap_or_clone(pages::posts(services, &filter, order, &page).await?),
            sight => posts::page(&mut *services.db.conn().await?, &filter, order, &page, sight).await?.map(Arc::new),
        };
        request.loaders().post.prime(&rows.rows, |row| row.id).await;
        let key = |row: &Arc<PostRow>| (posts::key(row, order), row.id);
        Ok(Rows::new(list, rows, PostTotals::Matching(filter), key, Post))
    }
}

async fn find(ctx: &Context<'_>, slug: Option<String>, id: Option<ID>) -> Result<Option<Post>, ApiError> {
    let id = match (slug, id) {
        (Some(slug), None) => caching::post_id(&ctx.request().services, &slug).await?,
        (None, Some(id)) => Some(NodeType::Post.row_id(&id)?),
        _ => return Err(ApiError::bad_input("`post` takes either `slug` or `id`: give one of them")),
    };
    let Some(id) = id else { return Ok(None) };
    Ok(ctx.loaders().post.load(id).await?.map(Post))
}
