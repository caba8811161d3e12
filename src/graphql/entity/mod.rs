//! Entities: what the site's posts name, and what has to do with what.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use uuid::Uuid;

use super::connection::Rows;
use super::context::ContextExt;
use super::loaders::MAX_RELATED;
use super::node::NodeType;
use super::page::Args;
use super::post::{self, Post, PostTotals};
use super::tag::Tag;
use crate::error::ApiError;
use crate::store::entities::{self, EntityFilter, EntityRow};
use crate::store::post_entities;
use crate::store::posts::PostParent;

mod mutation;
mod query;

pub use mutation::EntityMutation;
pub use query::EntityQuery;

/// Most entities of a post.
const MAX_OF_POST: usize = 24;

/// What an entity is.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "entities::EntityKind")]
pub enum EntityKind {
    /// Somebody.
    Person,
    /// Something that was made: a project of the site, a series, a repository.
    Project,
    /// Somewhere.
    Place,
    /// A language, a program, a library, a method.
    Technology,
    /// What a tag is about, and nothing more is known of.
    Tag,
    /// Anything else that has a name.
    Concept,
}

/// By what a post's entity was found.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "post_entities::MentionSource")]
pub enum MentionSource {
    /// A rule found its name in the text, or it is a tag.
    Rule,
    /// The post links to it.
    Link,
    /// A model read it out of the text.
    Model,
}

/// Something that published posts name: a person, a project, a place, a technology, a tag.
#[derive(Clone)]
pub struct Entity(pub Arc<EntityRow>);

/// Something that published posts name: a person, a project, a place, a technology, a tag.
#[Object(crate = "crate::graphql::fields")]
impl Entity {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::Entity.id(self.0.id)
    }

    /// What it is.
    async fn kind(&self) -> EntityKind {
        self.0.kind.into()
    }

    /// The name to show.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What else it is called, also in other languages.
    async fn aliases(&self, ctx: &Context<'_>) -> Result<Vec<String>, ApiError> {
        let names = ctx.loaders().aliases_of_entity.load(self.0.id).await?.unwrap_or_default();
        Ok(names.as_ref().clone())
    }

    /// How many published posts name it.
    async fn post_count(&self) -> i64 {
        self.0.post_count
    }

    /// The published posts that name it, newest first.
    async fn posts(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Post, PostTotals>, ApiError> {
        post::under(ctx, PostParent::Entity, self.0.id, Args { first, after, last, before }).await
    }

    /// What has to do with it, nearest first: what shares posts with it, or stands in posts that link
    /// to its own. At most 50.
    async fn related(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 10)] first: i32,
    ) -> Result<Vec<RelatedEntity>, ApiError> {
        Box::pin(related(ctx, self.0.id, first)).await
    }

    /// The tag that it is, if it is one.
    async fn tag(&self, ctx: &Context<'_>) -> Option<Result<Tag, ApiError>> {
        Some(ctx.loaders().tag.load(self.0.tag_id?).await.transpose()?.map(Tag))
    }
}

/// An entity that a post names, and how.
#[derive(SimpleObject)]
pub struct PostEntity {
    /// The entity.
    entity: Entity,
    /// How much of the post is about it; to be compared within one post only.
    weight: f64,
    /// By what it was found.
    source: MentionSource,
    /// The `id` of the heading in the post's `html` below which it is first named.
    anchor: Option<String>,
}

/// An entity that has to do with another.
#[derive(SimpleObject)]
pub struct RelatedEntity {
    /// The entity.
    entity: Entity,
    /// From 0 to 1: how much of what is published of either is of both.
    weight: f64,
    /// How many posts name both.
    shared_posts: i64,
}

/// How many entities a list goes through in all.
pub struct EntityTotals(EntityFilter);

/// How many entities a list goes through in all.
#[Object]
impl EntityTotals {
    /// How many there are in all; computed only when asked for.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i64, ApiError> {
        let request = ctx.request();
        Ok(Box::pin(entities::count(&mut *request.services.db.conn().await?, &self.0, request.sight())).await?)
    }
}

/// What a post names, the weightiest first.
pub async fn of_post(ctx: &Context<'_>, id: Uuid, first: i32) -> Result<Vec<PostEntity>, ApiError> {
    let limit = limit("first", first, MAX_OF_POST)?;
    let found = ctx.loaders().entities_of_post.load(id).await?.unwrap_or_default();
    let each = found.iter().take(limit).map(|it| PostEntity {
        entity: Entity(Arc::new(it.entity.clone())),
        weight: f64::from(it.weight),
        source: it.source.into(),
        anchor: it.anchor.clone(),
    });
    Ok(each.collect())
}

async fn related(ctx: &Context<'_>, id: Uuid, first: i32) -> Result<Vec<RelatedEntity>, ApiError> {
    let limit = limit("first", first, MAX_RELATED)?;
    let found = ctx.loaders().related_to_entity.load(id).await?.unwrap_or_default();
    let each = found.iter().take(limit).map(|it| RelatedEntity {
        entity: Entity(Arc::new(it.entity.clone())),
        weight: it.weight,
        shared_posts: it.shared_posts,
    });
    Ok(each.collect())
}

/// A number within its bounds.
fn limit(name: &str, value: i32, most: usize) -> Result<usize, ApiError> {
    let within = usize::try_from(value).ok().filter(|value| (1..=most).contains(value));
    within.ok_or_else(|| ApiError::bad_input(format!("`{name}` is {value}: expected 1 to {most}")))
}
