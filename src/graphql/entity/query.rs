//! Looking entities up, and what there is around one.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};

use super::{Entity, EntityKind, EntityTotals, limit};
use crate::error::ApiError;
use crate::graphql::connection::Rows;
use crate::graphql::context::ContextExt;
use crate::graphql::node::NodeType;
use crate::graphql::page::{self, Args};
use crate::services::connecting::{self, MAX_DEPTH};
use crate::store::entities::{self, EntityFilter, EntityRow};

/// The list of entities in its cursors.
const LIST: &str = "entities";
/// Longest name, or beginning of one, that is looked up.
const MAX_CHARS: usize = 200;

/// That two entities have to do with each other.
#[derive(SimpleObject)]
struct EntityRelation {
    /// One of them.
    from: Entity,
    /// The other.
    to: Entity,
    /// From 0 to 1: how much of what is published of either is of both.
    weight: f64,
    /// How many posts name both.
    shared_posts: i64,
}

/// Entities, and what they have to do with one another.
#[derive(SimpleObject)]
struct EntityGraph {
    /// The centre first, then what is nearest to it.
    nodes: Vec<Entity>,
    /// Each relation between two of the nodes, once; the strongest first.
    edges: Vec<EntityRelation>,
}

#[derive(Default)]
pub struct EntityQuery;

#[Object]
impl EntityQuery {
    /// An entity by one of its names, in any spelling of capitals, or by its id; null if there is none.
    async fn entity(
        &self,
        ctx: &Context<'_>,
        name: Option<String>,
        id: Option<ID>,
    ) -> Option<Result<Entity, ApiError>> {
        let find = async {
            match (name, id) {
                (Some(name), None) => by_name(ctx, &name).await,
                (None, Some(id)) => {
                    let id = NodeType::Entity.row_id(&id)?;
                    Ok(ctx.loaders().entity.load(id).await?.map(Entity))
                }
                _ => Err(ApiError::bad_input("expected either `name` or `id`")),
            }
        };
        Box::pin(find).await.transpose()
    }

    /// All entities, by name.
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn entities(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those of this kind.")] kind: Option<EntityKind>,
        #[graphql(desc = "Only those one of whose names begins so.")] prefix: Option<String>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Entity, EntityTotals>, ApiError> {
        let page = Args { first, after, last, before }.check(LIST)?;
        let prefix = prefix.map(|prefix| checked("prefix", &prefix)).transpose()?;
        let filter = EntityFilter { kind: kind.map(Into::into), prefix: prefix.filter(|prefix| !prefix.is_empty()) };
        let request = ctx.request();
        let mut conn = request.services.db.conn().await?;
        let rows = Box::pin(entities::page(&mut conn, &filter, &page, request.sight())).await?;
        let key = |row: &EntityRow| (entities::key(row), row.id);
        Ok(Rows::new(LIST, rows, EntityTotals(filter), key, |row| Entity(Arc::new(row))))
    }

    /// What there is around an entity, at most so many steps away; null if there is no such entity.
    async fn graph(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The entity in the middle.")] center: ID,
        #[graphql(default = 1, desc = "From 1 to 3.")] depth: i32,
        #[graphql(default = 20, desc = "Entities in all, the centre included; at most 100.")] first: i32,
    ) -> Option<Result<EntityGraph, ApiError>> {
        Box::pin(around(ctx, center, depth, first)).await.transpose()
    }
}

async fn by_name(ctx: &Context<'_>, name: &str) -> Result<Option<Entity>, ApiError> {
    let key = checked("name", name)?;
    if key.is_empty() {
        return Ok(None);
    }
    let request = ctx.request();
    let row = entities::by_name(&mut *request.services.db.conn().await?, &key, request.sight()).await?;
    Ok(row.map(|row| Entity(Arc::new(row))))
}

/// A name as names are compared.
fn checked(argument: &str, name: &str) -> Result<String, ApiError> {
    let chars = name.chars().count();
    if chars > MAX_CHARS {
        return Err(ApiError::bad_input(format!(
            "`{argument}` has {chars} characters: at most {MAX_CHARS} are allowed"
        )));
    }
    Ok(connecting::key(name))
}

async fn around(ctx: &Context<'_>, center: ID, depth: i32, first: i32) -> Result<Option<EntityGraph>, ApiError> {
    let depth = limit("depth", depth, MAX_DEPTH)?;
    let most = limit("first", first, page::MAX.unsigned_abs() as usize)?;
    let id = NodeType::Entity.row_id(&center)?;
    let Some(center) = ctx.loaders().entity.load(id).await? else { return Ok(None) };
    let graph = connecting::around(&ctx.request().services, center.as_ref().clone(), depth, most).await?;
    let nodes: Vec<Entity> = graph.nodes.into_iter().map(|row| Entity(Arc::new(row))).collect();
    let node = |id| nodes.iter().find(|node| node.0.id == id).cloned();
    let relation = |it: connecting::Relation| {
        let (from, to) = (node(it.from)?, node(it.to)?);
        Some(EntityRelation { from, to, weight: it.weight, shared_posts: it.shared_posts })
    };
    let edges = graph.edges.into_iter().filter_map(relation).collect();
    Ok(Some(EntityGraph { nodes, edges }))
}
