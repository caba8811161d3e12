//! What people say about entities.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::{Entity, EntityKind};
use crate::error::ApiError;
use crate::graphql::context::ContextExt;
use crate::graphql::job::Job;
use crate::graphql::node::NodeType;
use crate::graphql::payload::{UserError, outcome};
use crate::services::ServiceError;
use crate::services::connecting::{self, NewThing, Renaming};
use crate::store::entities::EntityRow;

/// A new entity.
#[derive(InputObject)]
struct AddEntityInput {
    /// The name to show, at most 60 characters.
    name: String,
    /// What it is.
    kind: EntityKind,
    /// What else it is called; at most 20 names.
    #[graphql(default)]
    aliases: Vec<String>,
}

/// What an entity is to be called.
#[derive(InputObject)]
struct RenameEntityInput {
    /// The entity.
    id: ID,
    /// The name to show, at most 60 characters. The old one stays one of its names.
    name: String,
    /// What it is; absent: what it was.
    kind: Option<EntityKind>,
}

/// Which entities are one.
#[derive(InputObject)]
struct MergeEntitiesInput {
    /// The entity that stays.
    id: ID,
    /// The entities that become a part of it, with all their names and posts; at most 20.
    merged_ids: Vec<ID>,
}

/// Which entity to delete.
#[derive(InputObject)]
struct DeleteEntityInput {
    /// The entity.
    id: ID,
}

/// The entity, or what was wrong.
#[derive(SimpleObject)]
struct EntityPayload {
    /// The entity as it is now; null when the input was refused.
    entity: Option<Entity>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// The id of the entity that is gone, or what was wrong.
#[derive(SimpleObject)]
struct DeleteEntityPayload {
    /// The id of what is gone.
    deleted_id: Option<ID>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// The job that reads all posts again.
#[derive(SimpleObject)]
struct RebuildGraphPayload {
    /// To be watched with `jobProgress`.
    job: Option<Job>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct EntityMutation;

#[Object]
impl EntityMutation {
    /// Adds an entity; posts that name it are found in the background. For the owner and editors.
    async fn add_entity(&self, ctx: &Context<'_>, input: AddEntityInput) -> Result<EntityPayload, ApiError> {
        let request = ctx.request();
        let new = NewThing { name: input.name, kind: input.kind.into(), aliases: input.aliases };
        payload(ctx, Box::pin(connecting::add(&request.services, &request.actor, new)).await)
    }

    /// Gives an entity another name, and perhaps another kind. It lasts, also when the graph is
    /// rebuilt. For the owner and editors.
    async fn rename_entity(&self, ctx: &Context<'_>, input: RenameEntityInput) -> Result<EntityPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Entity.row_id(&input.id)?;
        let to = Renaming { name: input.name, kind: input.kind.map(Into::into) };
        payload(ctx, Box::pin(connecting::rename(&request.services, &request.actor, id, to)).await)
    }

    /// Makes one entity of several. It lasts, also when the graph is rebuilt. For the owner and editors.
    async fn merge_entities(&self, ctx: &Context<'_>, input: MergeEntitiesInput) -> Result<EntityPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Entity.row_id(&input.id)?;
        let others = input.merged_ids.iter().map(|id| NodeType::Entity.row_id(id)).collect::<Result<Vec<_>, _>>()?;
        payload(ctx, Box::pin(connecting::merge(&request.services, &request.actor, id, &others)).await)
    }

    /// Takes an entity out of the graph. It does not come back by itself, also when the graph is
    /// rebuilt; `addEntity` with its name brings it back. For the owner and editors.
    async fn delete_entity(
        &self,
        ctx: &Context<'_>,
        input: DeleteEntityInput,
    ) -> Result<DeleteEntityPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Entity.row_id(&input.id)?;
        let done = Box::pin(connecting::delete(&request.services, &request.actor, id)).await;
        let (done, user_errors) = outcome(done)?;
        request.renew_loaders();
        Ok(DeleteEntityPayload { deleted_id: done.map(|()| input.id), user_errors })
    }

    /// Has all posts read again for what they name; what was added, renamed, merged and deleted
    /// stays. For the owner.
    async fn rebuild_graph(&self, ctx: &Context<'_>) -> Result<RebuildGraphPayload, ApiError> {
        let request = ctx.request();
        let done = Box::pin(connecting::rebuild_all(&request.services, &request.actor)).await;
        let (row, user_errors) = outcome(done)?;
        request.renew_loaders();
        Ok(RebuildGraphPayload { job: row.map(Job), user_errors })
    }
}

fn payload(ctx: &Context<'_>, done: Result<EntityRow, ServiceError>) -> Result<EntityPayload, ApiError> {
    let (row, user_errors) = outcome(done)?;
    ctx.request().renew_loaders();
    Ok(EntityPayload { entity: row.map(|row| Entity(Arc::new(row))), user_errors })
}
