//! Writing and publishing posts.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Json, MaybeUndefined, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::{Post, PostKind};
use crate::error::ApiError;
use crate::graphql::context::ContextExt;
use crate::graphql::node::NodeType;
use crate::graphql::payload::{UserError, maybe, outcome};
use crate::services::publishing::{self, PostDraft, PostEdit};
use crate::services::{ServiceError, revising};
use crate::store::posts::PostRow;

type Fields = Json<serde_json::Map<String, serde_json::Value>>;

/// A new post. It begins as a draft.
#[derive(InputObject)]
struct CreatePostInput {
    /// At most 300 characters.
    title: String,
    /// CommonMark with GitHub's extensions, at most 1 MiB.
    markdown: String,
    /// The unique name in addresses; made from the title when absent.
    slug: Option<String>,
    /// `ARTICLE` when absent.
    kind: Option<PostKind>,
    /// BCP 47 tag; `en` when absent.
    language: Option<String>,
    /// What it is about, at most 1,000 characters.
    description: Option<String>,
    /// Path or URL of a picture.
    cover: Option<String>,
    /// Names or slugs; tags that do not exist are made.
    #[graphql(default)]
    tags: Vec<String>,
    /// The series that it is a part of.
    series_id: Option<ID>,
    /// Which part of the series it is.
    series_position: Option<i32>,
    /// Posts with the same key are the same piece in different languages.
    translation_key: Option<String>,
    /// Further fields of your own, as a JSON object.
    custom: Option<Fields>,
}

/// What to change. Absent fields stay as they are; null empties those that may be empty.
#[derive(InputObject)]
struct UpdatePostInput {
    /// The post.
    id: ID,
    /// The `version` that you read. When somebody changed the post since, nothing is overwritten:
    /// the answer says `STALE_VERSION`.
    based_on_version: i32,
    /// At most 300 characters.
    title: Option<String>,
    /// At most 1 MiB.
    markdown: Option<String>,
    /// The unique name in addresses.
    slug: Option<String>,
    /// What it is.
    kind: Option<PostKind>,
    /// BCP 47 tag.
    language: Option<String>,
    /// At most 1,000 characters.
    description: MaybeUndefined<String>,
    /// Path or URL of a picture.
    cover: MaybeUndefined<String>,
    /// All of its tags, in order: names or slugs.
    tags: Option<Vec<String>>,
    /// The series that it is a part of.
    series_id: MaybeUndefined<ID>,
    /// Which part of the series it is.
    series_position: MaybeUndefined<i32>,
    /// Posts with the same key are the same piece in different languages.
    translation_key: MaybeUndefined<String>,
    /// All further fields of your own, as a JSON object: those that are not in it go.
    custom: Option<Fields>,
}

/// Which post.
#[derive(InputObject)]
struct PostIdInput {
    /// The post.
    id: ID,
}

/// When a post shall go live.
#[derive(InputObject)]
struct SchedulePostInput {
    /// The post.
    id: ID,
    /// A time to come.
    publish_at: DateTime<Utc>,
}

/// Which post to take away from readers.
#[derive(InputObject)]
struct UnpublishPostInput {
    /// The post.
    id: ID,
    /// True puts it into the archive instead of back to the drafts.
    #[graphql(default)]
    archive: bool,
}

/// Which revision to bring back.
#[derive(InputObject)]
struct RestoreRevisionInput {
    /// The revision.
    revision_id: ID,
}

/// The post, or what was wrong.
#[derive(SimpleObject)]
struct PostPayload {
    /// The post as it is now; null when the input was refused.
    post: Option<Post>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// The id of the post that is gone, or what was wrong.
#[derive(SimpleObject)]
struct DeletePostPayload {
    /// The id of what is gone.
    deleted_id: Option<ID>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct PostMutation;

#[Object]
impl PostMutation {
    /// Makes a draft. For the owner and editors.
    async fn create_post(&self, ctx: &Context<'_>, input: CreatePostInput) -> Result<PostPayload, ApiError> {
        let request = ctx.request();
        let draft = PostDraft {
            title: input.title,
            markdown: input.markdown,
            slug: input.slug,
            kind: input.kind.map(Into::into),
            language: input.language,
            description: input.description,
            cover: input.cover,
            tags: input.tags,
            series: input.series_id.map(|id| NodeType::Series.row_id(&id)).transpose()?,
            series_position: input.series_position,
            translation_key: input.translation_key,
            custom: input.custom.map(|fields| fields.0).unwrap_or_default(),
        };
        payload(ctx, publishing::create(&request.services, &request.actor, draft).await)
    }

    /// Edits a post; what it said before is kept as a revision. For the owner and editors.
    async fn update_post(&self, ctx: &Context<'_>, input: UpdatePostInput) -> Result<PostPayload, ApiError> {
        let request = ctx.request();
        let series = match input.series_id {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(id) => Some(Some(NodeType::Series.row_id(&id)?)),
        };
        let edit = PostEdit {
            id: NodeType::Post.row_id(&input.id)?,
            based_on_version: input.based_on_version,
            title: input.title,
            markdown: input.markdown,
            slug: input.slug,
            kind: input.kind.map(Into::into),
            language: input.language,
            description: maybe(input.description),
            cover: maybe(input.cover),
            tags: input.tags,
            series,
            series_position: maybe(input.series_position),
            translation_key: maybe(input.translation_key),
            custom: input.custom.map(|fields| fields.0),
        };
        payload(ctx, publishing::update(&request.services, &request.actor, edit).await)
    }

    /// Shows a post to everybody, now. For the owner and editors.
    async fn publish_post(&self, ctx: &Context<'_>, input: PostIdInput) -> Result<PostPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Post.row_id(&input.id)?;
        payload(ctx, publishing::publish(&request.services, &request.actor, id).await)
    }

    /// Lets a post go live by itself later. For the owner and editors.
    async fn schedule_post(&self, ctx: &Context<'_>, input: SchedulePostInput) -> Result<PostPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Post.row_id(&input.id)?;
        payload(ctx, publishing::schedule(&request.services, &request.actor, id, input.publish_at).await)
    }

    /// Takes a post away from readers, or drops the plan to publish it. For the owner and editors.
    async fn unpublish_post(&self, ctx: &Context<'_>, input: UnpublishPostInput) -> Result<PostPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Post.row_id(&input.id)?;
        payload(ctx, publishing::unpublish(&request.services, &request.actor, id, input.archive).await)
    }

    /// Deletes a post with its comments, reactions and revisions, for good. For the owner and
    /// editors.
    async fn delete_post(&self, ctx: &Context<'_>, input: PostIdInput) -> Result<DeletePostPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Post.row_id(&input.id)?;
        let (done, user_errors) = outcome(publishing::delete(&request.services, &request.actor, id).await)?;
        request.renew_loaders();
        Ok(DeletePostPayload { deleted_id: done.map(|()| input.id), user_errors })
    }

    /// Makes a revision the post's text again. For the owner and editors.
    async fn restore_revision(&self, ctx: &Context<'_>, input: RestoreRevisionInput) -> Result<PostPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Revision.row_id(&input.revision_id)?;
        payload(ctx, revising::restore(&request.services, &request.actor, id).await)
    }
}

fn payload(ctx: &Context<'_>, done: Result<PostRow, ServiceError>) -> Result<PostPayload, ApiError> {
    let (row, user_errors) = outcome(done)?;
    ctx.request().renew_loaders();
    Ok(PostPayload { post: row.map(|row| Post(Arc::new(row))), user_errors })
}
