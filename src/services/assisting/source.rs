//! The post that a model helps with.

use uuid::Uuid;

use crate::store::posts::{self, PostRow};
use crate::store::tags::{self, TagRow};
use crate::store::{Db, DbError};

/// A post as it is when the work begins.
pub struct Source {
    pub row: PostRow,
    pub markdown: String,
    pub tags: Vec<TagRow>,
}

impl Source {
    /// One view of the post: its text must be that of its version.
    pub async fn load(db: &Db, id: Uuid) -> Result<Option<Self>, DbError> {
        let mut tx = db.snapshot().await?;
        let Some(row) = posts::by_ids(&mut tx, &[id]).await?.pop() else { return Ok(None) };
        let body = posts::bodies(&mut tx, &[id]).await?.pop();
        let tags = tags::by_posts(&mut tx, &[id]).await?.remove(&id).unwrap_or_default();
        tx.commit().await?;
        Ok(Some(Self { row, markdown: body.map(|body| body.markdown).unwrap_or_default(), tags }))
    }
}
