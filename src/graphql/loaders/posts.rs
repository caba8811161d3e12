//! Posts, by id and by what they hang on.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Batch, Source, grouped, pages, shared};
use crate::services::caching::pages::{self as kept, PostPage};
use crate::services::relating::{self, Related};
use crate::services::{ServiceError, caching};
use crate::store::posts::{self, Neighbours, PostBodyRow, PostParent, PostRow};
use crate::store::proposals::{self, ProposalRow};
use crate::store::revisions::{self, RevisionRow};
use crate::store::{Page, PageOf, Sight, translations};

pub struct PostById;
impl Batch for PostById {
    type Key = Uuid;
    type Value = Arc<PostRow>;

    fn held(source: &Source, key: &Uuid) -> Option<Self::Value> {
        caching::held_post(&source.services, *key).filter(|row| row.visible_to(source.sight))
    }

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<PostRow>>, ServiceError> {
        let mut rows = caching::posts(&source.services, keys).await?;
        rows.retain(|_, row| row.visible_to(source.sight));
        Ok(rows)
    }
}

/// The text of a post that has been loaded, and so may be seen.
pub struct PostBodyById;
impl Batch for PostBodyById {
    type Key = Uuid;
    type Value = Arc<PostBodyRow>;

    fn held(source: &Source, key: &Uuid) -> Option<Self::Value> {
        caching::held_post_body(&source.services, *key)
    }

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<PostBodyRow>>, ServiceError> {
        caching::post_bodies(&source.services, keys).await
    }
}

/// The other language versions that this viewer may see.
pub struct TranslationsOfPost;
impl Batch for TranslationsOfPost {
    type Key = Uuid;
    type Value = Vec<Arc<PostRow>>;

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Vec<Arc<PostRow>>>, ServiceError> {
        let groups = translations::siblings(&mut *source.services.db.conn().await?, keys, source.sight).await?;
        Ok(groups.into_iter().map(|(id, rows)| (id, rows.into_iter().map(Arc::new).collect())).collect())
    }
}

/// The post before and the post after.
pub struct NeighboursOfPost;
impl Batch for NeighboursOfPost {
    type Key = Uuid;
    type Value = Neighbours<Arc<PostRow>>;

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Self::Value>, ServiceError> {
        let found = posts::neighbours(&mut *source.services.db.conn().await?, keys, source.sight).await?;
        let shared = |both: Neighbours<PostRow>| Neighbours {
            previous: both.previous.map(Arc::new),
            next: both.next.map(Arc::new),
        };
        Ok(found.into_iter().map(|(id, both)| (id, shared(both))).collect())
    }
}

/// What has to do with a post, for everybody alike: only what is published.
pub struct RelatedToPost;
impl Batch for RelatedToPost {
    type Key = Uuid;
    type Value = Arc<Vec<Related>>;

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Self::Value>, ServiceError> {
        relating::related(&source.services, keys).await
    }
}

pub struct RevisionsOfPost;
impl Batch for RevisionsOfPost {
    type Key = (Uuid, Page);
    type Value = PageOf<RevisionRow>;

    async fn load(source: &Source, keys: &[Self::Key]) -> Result<HashMap<Self::Key, Self::Value>, ServiceError> {
        pages(keys, |ids, page| async move {
            revisions::page_by_post(&mut *source.services.db.conn().await?, &ids, &page).await
        })
        .await
    }
}

/// What models propose for posts; nothing for readers.
pub struct ProposalsOfPost;
impl Batch for ProposalsOfPost {
    type Key = (Uuid, Page);
    type Value = PageOf<ProposalRow>;

    async fn load(source: &Source, keys: &[Self::Key]) -> Result<HashMap<Self::Key, Self::Value>, ServiceError> {
        if source.sight != Sight::Everything {
            return Ok(HashMap::new());
        }
        pages(keys, |ids, page| async move {
            proposals::page_by_post(&mut *source.services.db.conn().await?, &ids, &page).await
        })
        .await
    }
}

/// The posts of a user, a tag or a series.
pub struct PostsUnder;
impl Batch for PostsUnder {
    type Key = (PostParent, Uuid, Page);
    type Value = PostPage;

    fn held(source: &Source, (parent, id, page): &Self::Key) -> Option<Self::Value> {
        are_kept(source, *parent).then(|| kept::held_posts_under(&source.services, *parent, *id, page))?
    }

    async fn load(source: &Source, keys: &[Self::Key]) -> Result<HashMap<Self::Key, Self::Value>, ServiceError> {
        let mut found = HashMap::new();
        for ((parent, page), ids) in grouped(keys, |(parent, id, page)| ((*parent, page.clone()), *id)) {
            let pages = if are_kept(source, parent) {
                kept::posts_under(&source.services, parent, &ids, &page).await?
            } else {
                let mut conn = source.services.db.conn().await?;
                shared(posts::page_by_parent(&mut conn, parent, &ids, &page, source.sight).await?)
            };
            found.extend(pages.into_iter().map(|(id, rows)| ((parent, id, page.clone()), rows)));
        }
        Ok(found)
    }
}

/// Whether pages below it are kept for this viewer: as everybody sees them, and not what changes with the graph.
fn are_kept(source: &Source, parent: PostParent) -> bool {
    source.sight == Sight::Public && parent != PostParent::Entity
}

pub struct PostCountUnder;
impl Batch for PostCountUnder {
    type Key = (PostParent, Uuid);
    type Value = i64;

    async fn load(source: &Source, keys: &[Self::Key]) -> Result<HashMap<Self::Key, i64>, ServiceError> {
        let mut found = HashMap::new();
        for (parent, ids) in grouped(keys, |key| *key) {
            let mut conn = source.services.db.conn().await?;
            let counts = posts::count_by_parent(&mut conn, parent, &ids, source.sight).await?;
            found.extend(counts.into_iter().map(|(id, count)| ((parent, id), count)));
        }
        Ok(found)
    }
}
