//! One set of loaders per request: resolvers that run side by side ask once, together.
//!
//! A [`Batch`] says how many keys are answered at once. What a viewer may not see is filtered
//! here, where it is loaded. To add one: a type with its `Batch`, and a field of [`Loaders`].

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use dataloader::BatchFn;
use dataloader::cached::Loader;
use uuid::Uuid;

use crate::error::ApiError;
use crate::services::caching::{self, TagRows};
use crate::services::{Actor, ServiceError, Services};
use crate::store::reactions::{self, ReactionCount, ReactionKind};
use crate::store::series::{self, SeriesRow};
use crate::store::tags::{self, TagRow};
use crate::store::users::UserRow;
use crate::store::{DbError, Page, PageOf, Sight};

mod accounts;
mod comments;
mod conversations;
mod entities;
mod posts;

use self::accounts::{ApiKeysOfUser, SessionsOfUser};
use self::comments::{CommentById, CommentCountUnder, CommentsUnder};
use self::conversations::MessagesOfConversation;
pub use self::entities::MAX_RELATED;
use self::entities::{AliasesOfEntity, EntitiesOfPost, EntityById, RelatedToEntity};
use self::posts::{
    NeighboursOfPost, PostBodyById, PostById, PostCountUnder, PostsUnder, ProposalsOfPost, RelatedToPost,
    RevisionsOfPost, TranslationsOfPost,
};

/// Most keys that are asked for in one statement.
const MAX_BATCH: usize = 1000;
/// How often a key waits for others before it is asked for. All fields of a level are polled before
/// the first of them is polled again, unless there are hundreds; each time costs a pass over them all.
const YIELDS: usize = 3;

/// How one kind of thing is loaded, many at a time.
pub trait Batch: Send + Sync + 'static {
    type Key: Eq + Hash + Clone + Debug + Send + Sync + 'static;
    type Value: Clone + Send + Sync + 'static;

    /// What is at hand without waiting for anything.
    fn held(_: &Source, _: &Self::Key) -> Option<Self::Value> {
        None
    }

    /// A key that has nothing is left out of the answer.
    fn load(
        source: &Source,
        keys: &[Self::Key],
    ) -> impl Future<Output = Result<HashMap<Self::Key, Self::Value>, ServiceError>> + Send;
}

/// Where the loaders of a request load from, and for whom.
pub struct Source {
    services: Services,
    sight: Sight,
    viewer_id: Option<Uuid>,
    now: DateTime<Utc>,
}

/// Loads by [`Batch`] `B`: what is not held, each key once a request.
pub struct By<B: Batch> {
    source: Arc<Source>,
    loader: OnceLock<Loader<B::Key, Answer<B>, Batcher<B>>>,
}

/// What the library keeps for a key: its value, that there is none, or why it could not be loaded.
type Answer<B> = Result<Option<<B as Batch>::Value>, ServiceError>;

struct Batcher<B>(Arc<Source>, PhantomData<B>);

impl<B: Batch> BatchFn<B::Key, Result<Option<B::Value>, ServiceError>> for Batcher<B> {
    async fn load(&mut self, keys: &[B::Key]) -> HashMap<B::Key, Result<Option<B::Value>, ServiceError>> {
        match B::load(&self.0, keys).await {
            Ok(mut found) => keys.iter().map(|key| (key.clone(), Ok(found.remove(key)))).collect(),
            Err(error) => keys.iter().map(|key| (key.clone(), Err(error.clone()))).collect(),
        }
    }
}

impl<B: Batch> By<B> {
    fn new(source: &Arc<Source>) -> Self {
        Self { source: source.clone(), loader: OnceLock::new() }
    }

    fn loader(&self) -> &Loader<B::Key, Answer<B>, Batcher<B>> {
        self.loader.get_or_init(|| {
            let batcher = Batcher(self.source.clone(), PhantomData);
            Loader::new(batcher).with_max_batch_size(MAX_BATCH).with_yield_count(YIELDS)
        })
    }

    /// The value of a key; `None` if there is none, or none for this viewer.
    pub async fn load(&self, key: B::Key) -> Result<Option<B::Value>, ApiError> {
        if let Some(value) = B::held(&self.source, &key) {
            return Ok(Some(value));
        }
        // On the heap, because the future holds the whole way to the database (9 KB), and what a
        // resolver holds is room that each field of its object takes.
        let answer = Box::pin(self.loader().try_load(key)).await.map_err(|error| ApiError::internal(&error))?;
        Ok(answer?)
    }

    /// Takes over rows that came with something else, so that nobody asks for them again. Only
    /// what this viewer may see.
    pub async fn prime<Row>(&self, rows: &[Arc<Row>], id: fn(&Row) -> Uuid)
    where
        B: Batch<Key = Uuid, Value = Arc<Row>>,
    {
        let values: Vec<_> = rows.iter().map(|row| (id(row), Ok(Some(row.clone())))).collect();
        self.loader().prime_many(values).await;
    }
}

macro_rules! loaders {
    ($($(#[$doc:meta])* $field:ident: $batch:ty),+ $(,)?) => {
        /// The loaders of one request.
        pub struct Loaders { $($(#[$doc])* pub $field: By<$batch>),+ }

        impl Loaders {
            pub fn new(services: &Services, actor: &Actor) -> Self {
                let source = Arc::new(Source {
                    services: services.clone(),
                    sight: actor.viewer.sight(),
                    viewer_id: actor.viewer.user().map(|user| user.id),
                    now: actor.now,
                });
                Self { $($field: By::new(&source)),+ }
            }
        }
    };
}

loaders! {
    post: PostById,
    post_body: PostBodyById,
    user: UserById,
    tag: TagById,
    series: SeriesById,
    series_of_post: SeriesOfPost,
    comment: CommentById,
    tags_of_post: TagsOfPost,
    translations_of_post: TranslationsOfPost,
    neighbours_of_post: NeighboursOfPost,
    related_to_post: RelatedToPost,
    revisions_of_post: RevisionsOfPost,
    proposals_of_post: ProposalsOfPost,
    posts_under: PostsUnder,
    post_count_under: PostCountUnder,
    comments_under: CommentsUnder,
    comment_count_under: CommentCountUnder,
    reaction_counts: ReactionCounts,
    viewer_reactions: ViewerReactions,
    api_keys_of_user: ApiKeysOfUser,
    sessions_of_user: SessionsOfUser,
    messages_of_conversation: MessagesOfConversation,
    entity: EntityById,
    aliases_of_entity: AliasesOfEntity,
    entities_of_post: EntitiesOfPost,
    related_to_entity: RelatedToEntity,
}

pub struct UserById;
impl Batch for UserById {
    type Key = Uuid;
    type Value = Arc<UserRow>;

    fn held(source: &Source, key: &Uuid) -> Option<Self::Value> {
        caching::held_user(&source.services, *key)
    }

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<UserRow>>, ServiceError> {
        caching::users(&source.services, keys).await
    }
}

/// Tags that this viewer may see. Those of a post come with it, by [`TagsOfPost`].
pub struct TagById;
impl Batch for TagById {
    type Key = Uuid;
    type Value = Arc<TagRow>;

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<TagRow>>, ServiceError> {
        let mut rows = caching::tags(&source.services, keys).await?;
        if source.sight != Sight::Everything && !rows.is_empty() {
            let seen = tags::visible_ids(&mut *source.services.db.conn().await?, keys, source.sight).await?;
            rows.retain(|id, _| seen.contains(id));
        }
        Ok(rows)
    }
}

/// The series of a post that this viewer may see: it is public as the post is.
pub struct SeriesOfPost;
impl Batch for SeriesOfPost {
    type Key = Uuid;
    type Value = Arc<SeriesRow>;

    fn held(source: &Source, key: &Uuid) -> Option<Self::Value> {
        caching::held_series(&source.services, *key)
    }

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<SeriesRow>>, ServiceError> {
        caching::series(&source.services, keys).await
    }
}

/// Series that this viewer may see.
pub struct SeriesById;
impl Batch for SeriesById {
    type Key = Uuid;
    type Value = Arc<SeriesRow>;

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<SeriesRow>>, ServiceError> {
        let mut rows = caching::series(&source.services, keys).await?;
        if source.sight != Sight::Everything && !rows.is_empty() {
            let seen = series::visible_ids(&mut *source.services.db.conn().await?, keys, source.sight).await?;
            rows.retain(|id, _| seen.contains(id));
        }
        Ok(rows)
    }
}

pub struct TagsOfPost;
impl Batch for TagsOfPost {
    type Key = Uuid;
    type Value = TagRows;

    fn held(source: &Source, key: &Uuid) -> Option<Self::Value> {
        caching::held_tags_of_post(&source.services, *key)
    }

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, TagRows>, ServiceError> {
        caching::tags_of_posts(&source.services, keys).await
    }
}

pub struct ReactionCounts;
impl Batch for ReactionCounts {
    type Key = Uuid;
    type Value = Arc<Vec<ReactionCount>>;

    fn held(source: &Source, key: &Uuid) -> Option<Self::Value> {
        caching::held_reaction_counts(&source.services, *key)
    }

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Arc<Vec<ReactionCount>>>, ServiceError> {
        caching::reaction_counts(&source.services, keys).await
    }
}

/// What the viewer said to a post; nothing for who has not signed in.
pub struct ViewerReactions;
impl Batch for ViewerReactions {
    type Key = Uuid;
    type Value = Vec<ReactionKind>;

    async fn load(source: &Source, keys: &[Uuid]) -> Result<HashMap<Uuid, Vec<ReactionKind>>, ServiceError> {
        let Some(viewer_id) = source.viewer_id else { return Ok(HashMap::new()) };
        Ok(reactions::of_user(&mut *source.services.db.conn().await?, viewer_id, keys).await?)
    }
}

/// Pages of what hangs on each id: one statement for all ids that ask for the same page.
async fn pages<Row, Loaded>(
    keys: &[(Uuid, Page)],
    load: impl Fn(Vec<Uuid>, Page) -> Loaded,
) -> Result<HashMap<(Uuid, Page), PageOf<Row>>, ServiceError>
where
    Loaded: Future<Output = Result<HashMap<Uuid, PageOf<Row>>, DbError>>,
{
    let mut found = HashMap::new();
    for (page, ids) in grouped(keys, |(id, page)| (page.clone(), *id)) {
        let rows = load(ids, page.clone()).await?;
        found.extend(rows.into_iter().map(|(id, rows)| ((id, page.clone()), rows)));
    }
    Ok(found)
}

/// Pages of rows that several may hold.
fn shared<Row>(pages: HashMap<Uuid, PageOf<Row>>) -> HashMap<Uuid, Arc<PageOf<Arc<Row>>>> {
    pages.into_iter().map(|(id, page)| (id, Arc::new(page.map(Arc::new)))).collect()
}

/// Keys that share their arguments are answered by one statement.
fn grouped<K, G: Eq + Hash, I>(keys: &[K], split: impl Fn(&K) -> (G, I)) -> HashMap<G, Vec<I>> {
    let mut groups: HashMap<G, Vec<I>> = HashMap::new();
    for key in keys {
        let (group, id) = split(key);
        groups.entry(group).or_default().push(id);
    }
    groups
}
