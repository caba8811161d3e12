//! Posts.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Json, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::comment::{self, Comment, CommentOrder, CommentTotals};
use super::connection::Rows;
use super::context::ContextExt;
use super::entity::{self, PostEntity};
use super::node::NodeType;
use super::page::Args;
use super::proposal::{self, Proposal};
use super::reaction::{ReactionCount, ReactionKind};
use super::search::{self, RelatedPost};
use super::series::Series;
use super::tag::Tag;
use super::user::User;
use crate::error::ApiError;
use crate::services::markdown::Heading;
use crate::store::comments::CommentParent;
use crate::store::posts::{self, Neighbours, PostBodyRow, PostFilter, PostParent, PostRow};

mod mutation;
mod query;
mod revision;
mod subscription;

pub use mutation::PostMutation;
pub use query::{PostFilterInput, PostQuery};
pub use revision::Revision;
pub use subscription::{PostSubscription, events, visible};

/// What a post is.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "posts::PostKind")]
pub enum PostKind {
    /// A text that stands on its own.
    Article,
    /// A few lines.
    Note,
    /// A page of the site, such as "About".
    Page,
    /// Something the owner made.
    Project,
}

/// Where a post is in its life.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "posts::PostStatus")]
pub enum PostStatus {
    /// Being written.
    Draft,
    /// Goes live by itself at `publishedAt`.
    Scheduled,
    /// Seen by everybody.
    Published,
    /// Taken away from readers for good.
    Archived,
}

/// An entry of a table of contents.
#[derive(SimpleObject)]
struct OutlineEntry {
    /// 1 to 6.
    level: u8,
    /// The `id` of the heading in `html`.
    id: String,
    /// The heading, as plain text.
    text: String,
}

/// Something the site publishes: an article, a note, a page or a project.
#[derive(Clone)]
pub struct Post(pub Arc<PostRow>);

/// Something the site publishes: an article, a note, a page or a project.
#[Object(crate = "crate::graphql::fields")]
impl Post {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::Post.id(self.0.id)
    }

    /// An article, a note, a page or a project.
    async fn kind(&self) -> PostKind {
        self.0.kind.into()
    }

    /// Where it is in its life.
    async fn status(&self) -> PostStatus {
        self.0.status.into()
    }

    /// The unique name in addresses.
    async fn slug(&self) -> &str {
        &self.0.slug
    }

    /// BCP 47 tag of its language.
    async fn language(&self) -> &str {
        &self.0.language
    }

    /// As plain text.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// The text as it was written.
    async fn markdown(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        ctx.request().text(self.body(ctx).await?.map(|body| body.markdown.clone()).unwrap_or_default())
    }

    /// The text as HTML that is safe to put into a page. Code is marked up with classes that begin
    /// with `hl-`; math is left as TeX in `<span data-math-style="inline">` or `"display"`.
    async fn html(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        ctx.request().text(self.body(ctx).await?.map(|body| body.html.clone()).unwrap_or_default())
    }

    /// The table of contents.
    async fn outline(&self, ctx: &Context<'_>) -> Result<Vec<OutlineEntry>, ApiError> {
        let Some(body) = self.body(ctx).await? else { return Ok(Vec::new()) };
        let headings: Vec<Heading> =
            serde_json::from_value(body.outline.clone()).map_err(|e| ApiError::internal(&e))?;
        Ok(headings.into_iter().map(|h| OutlineEntry { level: h.level, id: h.id, text: h.text }).collect())
    }

    /// How it begins, as plain text.
    async fn excerpt(&self) -> &str {
        &self.0.excerpt
    }

    /// What it is about, as its author put it.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// Path or URL of a picture.
    async fn cover(&self) -> Option<&str> {
        self.0.cover.as_deref()
    }

    /// Length in words; each Chinese character counts as one.
    async fn word_count(&self) -> i32 {
        self.0.words
    }

    /// About how many minutes it takes to read, at least 1.
    async fn reading_minutes(&self) -> i32 {
        (self.0.words / 250).max(1)
    }

    /// The site's own further fields.
    async fn custom(&self) -> Json<serde_json::Value> {
        Json(self.0.custom.clone())
    }

    /// Counts up with every change; give it to `updatePost`.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When it went live, or will.
    async fn published_at(&self) -> Option<DateTime<Utc>> {
        self.0.published_at
    }

    /// When it was begun.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }

    /// Who wrote it.
    async fn author(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        Some(ctx.loaders().user.load(self.0.author_id).await.transpose()?.map(User))
    }

    /// In the order its author gave them.
    async fn tags(&self, ctx: &Context<'_>) -> Result<Vec<Tag>, ApiError> {
        let rows = ctx.loaders().tags_of_post.load(self.0.id).await?.unwrap_or_default();
        Ok(rows.iter().cloned().map(Tag).collect())
    }

    /// The series that it is a part of.
    async fn series(&self, ctx: &Context<'_>) -> Option<Result<Series, ApiError>> {
        Some(ctx.loaders().series_of_post.load(self.0.series_id?).await.transpose()?.map(Series))
    }

    /// Which part of the series it is.
    async fn series_position(&self) -> Option<i32> {
        self.0.series_position
    }

    /// The same piece in other languages.
    async fn translations(&self, ctx: &Context<'_>) -> Result<Vec<Post>, ApiError> {
        let loaders = ctx.loaders();
        let rows = loaders.translations_of_post.load(self.0.id).await?.unwrap_or_default();
        loaders.post.prime(&rows, |row| row.id).await;
        Ok(rows.into_iter().map(Post).collect())
    }

    /// The one before it: same kind, same language, by date.
    async fn previous(&self, ctx: &Context<'_>) -> Option<Result<Post, ApiError>> {
        self.neighbour(ctx, |both| both.previous).await.transpose()
    }

    /// The one after it: same kind, same language, by date.
    async fn next(&self, ctx: &Context<'_>) -> Option<Result<Post, ApiError>> {
        self.neighbour(ctx, |both| both.next).await.transpose()
    }

    /// The threads below it; each comment holds its `replies`.
    async fn comments(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
        #[graphql(default_with = "CommentOrder::OldestFirst")] order_by: CommentOrder,
    ) -> Result<Rows<Comment, CommentTotals>, ApiError> {
        comment::under(ctx, CommentParent::Post, self.0.id, order_by, Args { first, after, last, before }).await
    }

    /// What has to do with it, nearest first: published, in its language, without its translations and
    /// pages such as "About". At most 20.
    async fn related(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 5)] first: i32,
    ) -> Result<Vec<RelatedPost>, ApiError> {
        Box::pin(search::related(ctx, self.0.id, first)).await
    }

    /// What it names: people, projects, places, technologies, its tags; the weightiest first. Nothing
    /// of what is not published. At most 24.
    async fn entities(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 10)] first: i32,
    ) -> Result<Vec<PostEntity>, ApiError> {
        Box::pin(entity::of_post(ctx, self.0.id, first)).await
    }

    /// How many readers reacted in which way; only ways that occur.
    async fn reaction_counts(&self, ctx: &Context<'_>) -> Result<Vec<ReactionCount>, ApiError> {
        let counts = ctx.loaders().reaction_counts.load(self.0.id).await?.unwrap_or_default();
        Ok(counts.iter().copied().map(ReactionCount::from).collect())
    }

    /// In which ways you reacted; none when nobody is signed in.
    async fn viewer_has_reacted(&self, ctx: &Context<'_>) -> Result<Vec<ReactionKind>, ApiError> {
        let kinds = ctx.loaders().viewer_reactions.load(self.0.id).await?.unwrap_or_default();
        Ok(kinds.into_iter().map(ReactionKind::from).collect())
    }

    /// What it said before, newest first. For the owner and editors.
    async fn revisions(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Revision>, ApiError> {
        revision::of_post(ctx, self.0.id, Args { first, after, last, before }).await
    }

    /// What models propose for it, newest first. For the owner and editors; null for others.
    async fn proposals(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Option<Result<Rows<Proposal>, ApiError>> {
        proposal::of_post(ctx, self.0.id, Args { first, after, last, before }).await.transpose()
    }
}

impl Post {
    async fn body(&self, ctx: &Context<'_>) -> Result<Option<Arc<PostBodyRow>>, ApiError> {
        ctx.loaders().post_body.load(self.0.id).await
    }

    async fn neighbour(
        &self,
        ctx: &Context<'_>,
        side: impl FnOnce(Neighbours<Arc<PostRow>>) -> Option<Arc<PostRow>>,
    ) -> Result<Option<Post>, ApiError> {
        let loaders = ctx.loaders();
        let row = loaders.neighbours_of_post.load(self.0.id).await?.and_then(side);
        loaders.post.prime(row.as_slice(), |row| row.id).await;
        Ok(row.map(Post))
    }
}

/// How many posts a list goes through in all.
pub enum PostTotals {
    /// Those that match.
    Matching(PostFilter),
    /// Those of a user, a tag or a series.
    Under(PostParent, Uuid),
}

#[Object]
impl PostTotals {
    /// How many there are in all; computed only when asked for.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i64, ApiError> {
        match self {
            Self::Under(parent, id) => Ok(ctx.loaders().post_count_under.load((*parent, *id)).await?.unwrap_or(0)),
            Self::Matching(filter) => {
                let request = ctx.request();
                Ok(Box::pin(posts::count(&mut *request.services.db.conn().await?, filter, request.sight())).await?)
            }
        }
    }
}

/// One page of the posts of a user, a tag or a series.
pub async fn under(
    ctx: &Context<'_>,
    parent: PostParent,
    id: Uuid,
    args: Args,
) -> Result<Rows<Post, PostTotals>, ApiError> {
    let list = match parent {
        PostParent::Author => "posts-author",
        PostParent::Tag => "posts-tag",
        PostParent::Series => "posts-series",
        PostParent::Entity => "posts-entity",
    };
    let page = args.check(list)?;
    let loaders = ctx.loaders();
    let rows = loaders.posts_under.load((parent, id, page)).await?.unwrap_or_default();
    loaders.post.prime(&rows.rows, |row| row.id).await;
    let key = |row: &Arc<PostRow>| (posts::key_under(row, parent), row.id);
    let rows = Arc::unwrap_or_clone(rows);
    Ok(Rows::new(list, rows, PostTotals::Under(parent, id), key, Post))
}
