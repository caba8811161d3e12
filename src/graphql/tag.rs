//! Tags.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::connection::Rows;
use super::context::ContextExt;
use super::node::NodeType;
use super::page::Args;
use super::payload::{UserError, outcome};
use super::post::{self, Post, PostTotals};
use crate::error::ApiError;
use crate::services::organising;
use crate::store::posts::PostParent;
use crate::store::tags::{self, TagChanges, TagRow};

/// A subject that posts are about.
#[derive(Clone)]
pub struct Tag(pub Arc<TagRow>);

/// A subject that posts are about.
#[Object(crate = "crate::graphql::fields")]
impl Tag {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::Tag.id(self.0.id)
    }

    /// The unique name in addresses.
    async fn slug(&self) -> &str {
        &self.0.slug
    }

    /// The name to show.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What the tag is about, as plain text.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// Posts with this tag, newest first.
    async fn posts(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Post, PostTotals>, ApiError> {
        post::under(ctx, PostParent::Tag, self.0.id, Args { first, after, last, before }).await
    }
}

/// How many tags there are in all.
pub struct TagTotals;

/// How many tags there are in all.
#[Object]
impl TagTotals {
    /// How many there are in all; computed only when asked for.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i64, ApiError> {
        let request = ctx.request();
        Ok(Box::pin(tags::count(&mut *request.services.db.conn().await?, request.sight())).await?)
    }
}

#[derive(Default)]
pub struct TagQuery;

#[Object]
impl TagQuery {
    /// A tag by its slug. One that no published post has is shown to the owner and editors only.
    async fn tag(&self, ctx: &Context<'_>, slug: String) -> Option<Result<Tag, ApiError>> {
        let find = async {
            let request = ctx.request();
            let row = tags::by_slug(&mut *request.services.db.conn().await?, slug, request.sight()).await?;
            Ok(row.map(|row| Tag(Arc::new(row))))
        };
        find.await.transpose()
    }

    /// All tags, by slug. Those that no published post has are shown to the owner and editors only.
    async fn tags(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Tag, TagTotals>, ApiError> {
        let page = Args { first, after, last, before }.check("tags")?;
        let request = ctx.request();
        let rows = tags::page(&mut *request.services.db.conn().await?, &page, request.sight()).await?;
        Ok(Rows::new("tags", rows, TagTotals, |row| (tags::key(row), row.id), |row| Tag(Arc::new(row))))
    }
}

/// A new tag.
#[derive(InputObject)]
struct CreateTagInput {
    /// The name to show, at most 60 characters.
    name: String,
    /// The unique name in addresses; made from the name when absent.
    slug: Option<String>,
    /// What it is about, as plain text.
    #[graphql(default)]
    description: String,
}

/// What to change; absent fields stay as they are.
#[derive(InputObject)]
struct UpdateTagInput {
    /// The tag.
    id: ID,
    /// At most 60 characters.
    name: Option<String>,
    /// The unique name in addresses.
    slug: Option<String>,
    /// As plain text.
    description: Option<String>,
}

/// Which tag to delete.
#[derive(InputObject)]
struct DeleteTagInput {
    /// The tag.
    id: ID,
}

/// The tag, or what was wrong.
#[derive(SimpleObject)]
struct TagPayload {
    /// The tag as it is now; null when the input was refused.
    tag: Option<Tag>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// The id of the tag that is gone, or what was wrong.
#[derive(SimpleObject)]
struct DeleteTagPayload {
    /// The id of what is gone.
    deleted_id: Option<ID>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct TagMutation;

#[Object]
impl TagMutation {
    /// Makes a tag. For the owner and editors.
    async fn create_tag(&self, ctx: &Context<'_>, input: CreateTagInput) -> Result<TagPayload, ApiError> {
        let request = ctx.request();
        let done =
            organising::create_tag(&request.services, &request.actor, input.name, input.slug, input.description).await;
        payload(ctx, outcome(done)?)
    }

    /// Changes a tag. For the owner and editors.
    async fn update_tag(&self, ctx: &Context<'_>, input: UpdateTagInput) -> Result<TagPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Tag.row_id(&input.id)?;
        let changes = TagChanges { slug: input.slug, name: input.name, description: input.description };
        payload(ctx, outcome(organising::update_tag(&request.services, &request.actor, id, changes).await)?)
    }

    /// Deletes a tag; posts lose it. For the owner and editors.
    async fn delete_tag(&self, ctx: &Context<'_>, input: DeleteTagInput) -> Result<DeleteTagPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Tag.row_id(&input.id)?;
        let (done, user_errors) = outcome(organising::delete_tag(&request.services, &request.actor, id).await)?;
        request.renew_loaders();
        Ok(DeleteTagPayload { deleted_id: done.map(|()| input.id), user_errors })
    }
}

fn payload(ctx: &Context<'_>, (row, user_errors): (Option<TagRow>, Vec<UserError>)) -> Result<TagPayload, ApiError> {
    ctx.request().renew_loaders();
    Ok(TagPayload { tag: row.map(|row| Tag(Arc::new(row))), user_errors })
}
