//! Entities: by id, of posts, and around one another.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Batch, Source};
use crate::services::ServiceError;
use crate::store::entities::{self, Alias, EntityOfPost, EntityRow, RelatedEntity};

/// Most entities that are related to one.
pub const MAX_RELATED: usize = 50;

/// Entities that this viewer may see.
pub struct EntityById;
impl Batch for EntityById {
    type Key = Uuid;
    type Value = Arc<EntityRow>;

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<EntityRow>>, ServiceError> {
        let rows = entities::by_ids(&mut *source.services.db.conn().await?, keys, source.sight).await?;
        Ok(rows.into_iter().map(|row| (row.id, Arc::new(row))).collect())
    }
}

/// The other names, that this viewer may see, of an entity that has been loaded.
pub struct AliasesOfEntity;
impl Batch for AliasesOfEntity {
    type Key = Uuid;
    type Value = Arc<Vec<String>>;

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<Vec<String>>>, ServiceError> {
        let found = entities::aliases(&mut *source.services.db.conn().await?, keys, source.sight).await?;
        let names = |all: Vec<Alias>| Arc::new(all.into_iter().map(|alias| alias.name).collect());
        Ok(found.into_iter().map(|(id, all)| (id, names(all))).collect())
    }
}

/// What a post names, for everybody alike: only of what is published.
pub struct EntitiesOfPost;
impl Batch for EntitiesOfPost {
    type Key = Uuid;
    type Value = Arc<Vec<EntityOfPost>>;

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<Vec<EntityOfPost>>>, ServiceError> {
        let found = entities::of_posts(&mut *source.services.db.conn().await?, keys).await?;
        Ok(found.into_iter().map(|(id, all)| (id, Arc::new(all))).collect())
    }
}

/// What has to do with an entity, for everybody alike.
pub struct RelatedToEntity;
impl Batch for RelatedToEntity {
    type Key = Uuid;
    type Value = Arc<Vec<RelatedEntity>>;

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<Vec<RelatedEntity>>>, ServiceError> {
        let found = entities::related(&mut *source.services.db.conn().await?, keys, MAX_RELATED).await?;
        Ok(found.into_iter().map(|(id, all)| (id, Arc::new(all))).collect())
    }
}
