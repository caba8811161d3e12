//! Comments, by id and by what they answer.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::posts::PostById;
use super::{Batch, Source, grouped, shared};
use crate::services::caching::pages::{self, CommentPage};
use crate::services::{ServiceError, caching};
use crate::store::comments::{self, CommentOrder, CommentParent, CommentRow};
use crate::store::{Page, Sight};

/// Comments that this viewer may see, under comments and posts that this viewer may see.
pub struct CommentById;
impl Batch for CommentById {
    type Key = Uuid;
    type Value = Arc<CommentRow>;

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<CommentRow>>, ServiceError> {
        let mut rows = caching::comments(&source.services, keys).await?;
        rows.retain(|_, row| row.visible_to(source.sight));
        if source.sight == Sight::Public {
            rows = below_visible(source, rows).await?;
        }
        // A comment goes with its post, also out of the cache.
        let posts: Vec<Uuid> = rows.values().map(|row| row.post_id).collect();
        let posts = PostById::load(source, &posts).await?;
        rows.retain(|_, row| posts.contains_key(&row.post_id));
        Ok(rows)
    }
}

/// Those of these comments that answer nothing that is hidden. All of them go up their threads
/// together, a level at a time, out of the cache.
async fn below_visible(
    source: &Source,
    rows: HashMap<Uuid, Arc<CommentRow>>,
) -> Result<HashMap<Uuid, Arc<CommentRow>>, ServiceError> {
    let mut climbing: Vec<(Uuid, Uuid)> = rows.values().filter_map(|row| Some((row.id, row.parent_id?))).collect();
    let mut rows = rows;
    while !climbing.is_empty() {
        let mut above: Vec<Uuid> = climbing.iter().map(|(_, parent)| *parent).collect();
        above.sort_unstable();
        above.dedup();
        let above = caching::comments(&source.services, &above).await?;
        climbing.retain_mut(|(id, parent)| {
            let Some(row) = above.get(parent).filter(|row| row.visible_to(source.sight)) else {
                rows.remove(id);
                return false;
            };
            *parent = row.parent_id.unwrap_or(row.id);
            row.parent_id.is_some()
        });
    }
    Ok(rows)
}

/// The comments on a post, or the replies to a comment.
pub struct CommentsUnder;
impl Batch for CommentsUnder {
    type Key = (CommentParent, Uuid, CommentOrder, Page);
    type Value = CommentPage;

    fn held(source: &Source, (parent, id, order, page): &Self::Key) -> Option<Self::Value> {
        are_kept(source, *parent).then(|| pages::held_comments_on(&source.services, *id, *order, page))?
    }

    async fn load(source: &Source, keys: &[Self::Key]) -> Result<HashMap<Self::Key, Self::Value>, ServiceError> {
        let mut found = HashMap::new();
        let groups = grouped(keys, |(parent, id, order, page)| ((*parent, *order, page.clone()), *id));
        for ((parent, order, page), ids) in groups {
            let pages = if are_kept(source, parent) {
                pages::comments_on(&source.services, &ids, order, &page).await?
            } else {
                let mut conn = source.services.db.conn().await?;
                let pages = comments::page_by_parent(&mut conn, parent, &ids, order, &page, source.sight).await?;
                shared(pages)
            };
            found.extend(pages.into_iter().map(|(id, rows)| ((parent, id, order, page.clone()), rows)));
        }
        Ok(found)
    }
}

/// Whether pages below it are kept for this viewer: as everybody sees them, and not of replies.
fn are_kept(source: &Source, parent: CommentParent) -> bool {
    source.sight == Sight::Public && parent == CommentParent::Post
}

pub struct CommentCountUnder;
impl Batch for CommentCountUnder {
    type Key = (CommentParent, Uuid);
    type Value = i64;

    async fn load(source: &Source, keys: &[Self::Key]) -> Result<HashMap<Self::Key, i64>, ServiceError> {
        let mut found = HashMap::new();
        for (parent, ids) in grouped(keys, |key| *key) {
            let mut conn = source.services.db.conn().await?;
            let counts = comments::count_by_parent(&mut conn, parent, &ids, source.sight).await?;
            found.extend(counts.into_iter().map(|(id, count)| ((parent, id), count)));
        }
        Ok(found)
    }
}
