//! What is cached, under which key, and which event makes it stale.
//!
//! Rows are cached as they are in the database, for all viewers: who may see them is decided
//! after they come out. To cache one more thing: a kind, a function here, an arm in
//! [`stale_keys`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::feeds::Document;
use super::relating::Related;
use super::{ServiceError, Services, organising};
use crate::cache::CacheKey;
use crate::events::EventKind;
use crate::store::comments::{self, CommentRow};
use crate::store::posts::{self, PostBodyRow, PostRow};
use crate::store::reactions::{self, ReactionCount};
use crate::store::series::{self, SeriesRow};
use crate::store::site::{self, SiteRow};
use crate::store::tags::{self, TagRow};
use crate::store::users::{self, UserRow};

pub mod pages;

use pages::{COMMENTS_EDITION, POSTS_EDITION};

const POST: &str = "post";
const POST_ID_BY_SLUG: &str = "post_slug";
const POST_BODY: &str = "post_body";
const POST_TAGS: &str = "post_tags";
const REACTIONS: &str = "reactions";
const VIEWERS: &str = "viewers";
const COMMENT: &str = "comment";
const USER: &str = "user";
const TAG: &str = "tag";
const SERIES: &str = "series";
const SITE: &str = "site";
const EDITION: &str = "feeds_edition";
const DOCUMENT: &str = "feeds_document";
const SEARCH_EDITION: &str = "search_edition";
const RELATED: &str = "related";

/// The events that change what feeds, the sitemap and lists of posts say.
pub const EDITION_KINDS: &[EventKind] = &[
    EventKind::PostCreated,
    EventKind::PostUpdated,
    EventKind::PostPublished,
    EventKind::PostUnpublished,
    EventKind::PostScheduled,
    EventKind::PostDeleted,
    EventKind::TagChanged,
    EventKind::SiteChanged,
    EventKind::UserChanged,
];

/// The keys whose values an event makes stale.
pub fn stale_keys(kind: EventKind, subject: Uuid, payload: &serde_json::Value) -> Vec<CacheKey> {
    let mut keys = stale_rows(kind, subject, payload);
    if EDITION_KINDS.contains(&kind) {
        keys.extend([EDITION, SEARCH_EDITION, POSTS_EDITION].map(|kind| CacheKey::new(kind, "")));
    }
    keys
}

fn stale_rows(kind: EventKind, subject: Uuid, payload: &serde_json::Value) -> Vec<CacheKey> {
    let text = |name: &str| payload.get(name).and_then(|v| v.as_str());
    match kind {
        EventKind::PostCreated
        | EventKind::PostUpdated
        | EventKind::PostPublished
        | EventKind::PostUnpublished
        | EventKind::PostScheduled
        | EventKind::PostDeleted => {
            let mut keys: Vec<_> =
                [POST, POST_BODY, POST_TAGS, REACTIONS].map(|kind| CacheKey::new(kind, subject)).into();
            let slugs = [text("slug"), text("previousSlug")];
            keys.extend(slugs.into_iter().flatten().map(|slug| CacheKey::new(POST_ID_BY_SLUG, slug)));
            keys
        }
        EventKind::CommentAdded | EventKind::CommentApproved | EventKind::CommentChanged => {
            let list = CacheKey::new(COMMENTS_EDITION, subject);
            text("comment").map(|id| CacheKey::new(COMMENT, id)).into_iter().chain([list]).collect()
        }
        EventKind::ReactionsChanged => vec![CacheKey::new(REACTIONS, subject)],
        EventKind::ViewersChanged => vec![CacheKey::new(VIEWERS, subject)],
        EventKind::TagChanged => vec![CacheKey::new(TAG, subject)],
        EventKind::SeriesChanged => vec![CacheKey::new(SERIES, subject), CacheKey::new(POSTS_EDITION, "")],
        EventKind::SiteChanged => vec![CacheKey::new(SITE, "")],
        EventKind::UserChanged => vec![CacheKey::new(USER, subject)],
        EventKind::SearchChanged => vec![CacheKey::new(SEARCH_EDITION, "")],
        EventKind::JobChanged | EventKind::ProposalChanged | EventKind::GraphChanged => Vec::new(),
    }
}

/// Rows of a table by id, through the cache; and the one that this process holds.
macro_rules! by_id {
    ($name:ident, $held:ident, $kind:expr, $row:ty, $load:path) => {
        pub fn $held(services: &Services, id: Uuid) -> Option<Arc<$row>> {
            services.cache.held(&CacheKey::new($kind, id))
        }

        pub async fn $name(services: &Services, ids: &[Uuid]) -> Result<HashMap<Uuid, Arc<$row>>, ServiceError> {
            let load = |missing: Vec<Uuid>| async move {
                let rows = $load(&mut *services.db.conn().await?, &missing).await?;
                Ok(rows.into_iter().map(|row| (row.id, row)).collect::<HashMap<_, _>>())
            };
            services.cache.get_or_load_many($kind, ids, load).await
        }
    };
}

by_id!(posts, held_post, POST, PostRow, posts::by_ids);
by_id!(post_bodies, held_post_body, POST_BODY, PostBodyRow, posts::bodies);
by_id!(users, held_user, USER, UserRow, users::by_ids);
by_id!(tags, held_tag, TAG, TagRow, tags::by_ids);
by_id!(series, held_series, SERIES, SeriesRow, series::by_ids);
by_id!(comments, held_comment, COMMENT, CommentRow, comments::by_ids);

/// The id of the post with this slug, whoever may see it.
pub async fn post_id(services: &Services, slug: &str) -> Result<Option<Uuid>, ServiceError> {
    let load = async {
        let found = posts::ids_by_slugs(&mut *services.db.conn().await?, &[slug.to_owned()]).await?;
        Ok::<_, ServiceError>(found.into_iter().next().map(|(_, id)| id))
    };
    Ok(services.cache.get_or_load(&CacheKey::new(POST_ID_BY_SLUG, slug), load).await?.map(|id| *id))
}

/// Tags in the order of a post.
pub type TagRows = Arc<Vec<Arc<TagRow>>>;

/// The tags of each post. The tags themselves are looked up on their own, so that a renamed tag
/// does not make its posts stale.
pub async fn tags_of_posts(services: &Services, post_ids: &[Uuid]) -> Result<HashMap<Uuid, TagRows>, ServiceError> {
    let load = |missing: Vec<Uuid>| async move {
        let mut found = tags::by_posts(&mut *services.db.conn().await?, &missing).await?;
        Ok::<_, ServiceError>(
            missing.into_iter().map(|id| (id, ids(found.remove(&id).unwrap_or_default()))).collect::<HashMap<_, _>>(),
        )
    };
    let of_posts: HashMap<Uuid, Arc<Vec<Uuid>>> = services.cache.get_or_load_many(POST_TAGS, post_ids, load).await?;
    let mut wanted: Vec<Uuid> = of_posts.values().flat_map(|ids| ids.iter().copied()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let rows = tags(services, &wanted).await?;
    let named = |ids: &[Uuid]| ids.iter().filter_map(|id| rows.get(id).cloned()).collect::<Vec<_>>();
    Ok(of_posts.into_iter().map(|(post, ids)| (post, Arc::new(named(&ids)))).collect())
}

/// The same, if this process holds all of it.
pub fn held_tags_of_post(services: &Services, post_id: Uuid) -> Option<TagRows> {
    let ids: Arc<Vec<Uuid>> = services.cache.held(&CacheKey::new(POST_TAGS, post_id))?;
    ids.iter().map(|id| held_tag(services, *id)).collect::<Option<Vec<_>>>().map(Arc::new)
}

fn ids(rows: Vec<TagRow>) -> Vec<Uuid> {
    rows.into_iter().map(|row| row.id).collect()
}

/// How many reacted how, for each post.
pub async fn reaction_counts(
    services: &Services,
    post_ids: &[Uuid],
) -> Result<HashMap<Uuid, Arc<Vec<ReactionCount>>>, ServiceError> {
    let load = |missing: Vec<Uuid>| async move {
        let mut found = reactions::counts(&mut *services.db.conn().await?, &missing).await?;
        Ok(missing.into_iter().map(|id| (id, found.remove(&id).unwrap_or_default())).collect::<HashMap<_, _>>())
    };
    services.cache.get_or_load_many(REACTIONS, post_ids, load).await
}

/// The same, if this process holds it.
pub fn held_reaction_counts(services: &Services, post_id: Uuid) -> Option<Arc<Vec<ReactionCount>>> {
    services.cache.held(&CacheKey::new(REACTIONS, post_id))
}

/// How many look at a post now: read once an event, however many watch.
pub async fn viewers(services: &Services, post_id: Uuid) -> Result<i64, ServiceError> {
    let load = async { super::presence::viewers(services, post_id).await.map(Some) };
    let count = services.cache.get_or_load(&CacheKey::new(VIEWERS, post_id), load).await?;
    Ok(count.map_or(0, |count| *count))
}

/// The description of the site; a default one before anybody wrote it.
pub async fn site(services: &Services, now: chrono::DateTime<chrono::Utc>) -> Result<Arc<SiteRow>, ServiceError> {
    let load = async { Ok::<_, ServiceError>(site::find(&mut *services.db.conn().await?).await?) };
    let found = services.cache.get_or_load(&CacheKey::new(SITE, ""), load).await?;
    Ok(found.unwrap_or_else(|| Arc::new(organising::undescribed(now))))
}

/// One of many values that belong together: where one may have changed, nobody asks for any of its edition.
#[derive(Clone, PartialEq, Eq, Hash)]
struct OfEdition {
    edition: Uuid,
    model: Arc<str>,
    id: Uuid,
}

impl fmt::Display for OfEdition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.edition, self.model, self.id)
    }
}

/// What has to do with each post as `model` sees it, until search learns of any change. `look` reads the
/// database, or rows that the same events make stale.
pub async fn related<F, Fut>(
    services: &Services,
    model: &str,
    post_ids: &[Uuid],
    look: F,
) -> Result<HashMap<Uuid, Arc<Vec<Related>>>, ServiceError>
where
    F: Fn(Vec<Uuid>) -> Fut,
    Fut: Future<Output = Result<HashMap<Uuid, Vec<Related>>, ServiceError>>,
{
    let (edition, model) = (edition(services, SEARCH_EDITION).await?, Arc::<str>::from(model));
    let keys: Vec<_> = post_ids.iter().map(|&id| OfEdition { edition, model: model.clone(), id }).collect();
    let load = |missing: Vec<OfEdition>| {
        let looking = look(missing.iter().map(|key| key.id).collect());
        async move {
            let mut found = looking.await?;
            Ok::<_, ServiceError>(
                missing.into_iter().map(|key| (key.clone(), found.remove(&key.id).unwrap_or_default())).collect(),
            )
        }
    };
    let found: HashMap<OfEdition, Arc<Vec<Related>>> = services.cache.get_or_load_many(RELATED, &keys, load).await?;
    Ok(found.into_iter().map(|(key, related)| (key.id, related)).collect())
}

/// The name of what is now, another after each change.
async fn edition(services: &Services, kind: &'static str) -> Result<Uuid, ServiceError> {
    let begin = async { Ok::<_, ServiceError>(Some(Uuid::now_v7())) };
    let edition = services.cache.get_or_load(&CacheKey::new(kind, ""), begin).await?;
    // It is never absent; a new one would be right as well.
    Ok(edition.map_or_else(Uuid::now_v7, |edition| *edition))
}

/// A feed or the sitemap under its name; `None` if there is none of this name.
///
/// A change may touch any number of documents, so none of them is dropped by itself: their keys
/// hold the edition, a change drops that, and nobody asks for those of the last one any more.
/// `make` has to read the database, not rows through this cache, and to read it when it is polled:
/// then what belongs to an edition is never older than it.
pub async fn document(
    services: &Services,
    name: &str,
    make: impl Future<Output = Result<Option<Document>, ServiceError>> + Send,
) -> Result<Option<Arc<Document>>, ServiceError> {
    let edition = edition(services, EDITION).await?;
    services.cache.get_or_load(&CacheKey::new(DOCUMENT, format!("{edition}:{name}")), make).await
}
