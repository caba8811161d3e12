//! Reactions to posts.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};

use super::context::{ContextExt, RequestContext};
use super::node::NodeType;
use super::payload::{UserError, outcome};
use super::post::{self, Post};
use crate::error::ApiError;
use crate::events::{Cursor, EventKind};
use crate::services::{caching, reacting};
use crate::store::reactions as store;

/// What a reader can say without words.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "store::ReactionKind")]
pub enum ReactionKind {
    /// I like it.
    Like,
    /// I love it.
    Love,
    /// Well done.
    Celebrate,
    /// I learnt something.
    Insightful,
    /// I want to know more.
    Curious,
}

/// How many readers reacted in one way.
#[derive(SimpleObject, Clone, Copy)]
pub struct ReactionCount {
    /// In which way.
    pub kind: ReactionKind,
    /// How many readers.
    pub count: i64,
}

impl From<store::ReactionCount> for ReactionCount {
    fn from(row: store::ReactionCount) -> Self {
        Self { kind: row.kind.into(), count: row.count }
    }
}

/// Which reaction to which post.
#[derive(InputObject)]
struct ReactInput {
    /// The post.
    post_id: ID,
    /// In which way.
    kind: ReactionKind,
}

/// The post with its new counts, or what was wrong.
#[derive(SimpleObject)]
struct ReactPayload {
    /// The post as it is now; null when the input was refused.
    post: Option<Post>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ReactionMutation;

#[Object]
impl ReactionMutation {
    /// Reacts to a post; doing it again changes nothing. For who is signed in.
    async fn react(&self, ctx: &Context<'_>, input: ReactInput) -> Result<ReactPayload, ApiError> {
        set(ctx, input, true).await
    }

    /// Takes a reaction back. For who is signed in.
    async fn unreact(&self, ctx: &Context<'_>, input: ReactInput) -> Result<ReactPayload, ApiError> {
        set(ctx, input, false).await
    }
}

async fn set(ctx: &Context<'_>, input: ReactInput, on: bool) -> Result<ReactPayload, ApiError> {
    let request = ctx.request();
    let post_id = NodeType::Post.row_id(&input.post_id)?;
    let done = reacting::react(&request.services, &request.actor, post_id, input.kind.into(), on).await;
    let (row, user_errors) = outcome(done)?;
    request.renew_loaders();
    Ok(ReactPayload { post: row.map(|row| Post(Arc::new(row))), user_errors })
}

/// The counts of a post after somebody reacted.
#[derive(SimpleObject)]
struct ReactionCountsEvent {
    /// Give it back as `after` to go on from here.
    cursor: String,
    /// The post.
    post: Post,
    /// The counts now; only ways that occur.
    counts: Vec<ReactionCount>,
}

/// How many look at a post.
#[derive(SimpleObject)]
struct ViewerCountEvent {
    /// How many, you included.
    count: i64,
}

#[derive(Default)]
pub struct ReactionSubscription;

#[Subscription]
impl ReactionSubscription {
    /// The reaction counts of a post, each time they change.
    async fn reaction_counts_changed(
        &self,
        ctx: &Context<'_>,
        post_id: ID,
        #[graphql(desc = "The cursor of the last event you saw.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<ReactionCountsEvent, ApiError>>, ApiError> {
        let request = ctx.data_unchecked::<Arc<RequestContext>>().clone();
        let id = post::visible(&request, &post_id).await?;
        let events = post::events(&request, vec![EventKind::ReactionsChanged], Some(id), after).await?;
        Ok(events.filter_map(move |event| {
            let request = request.clone();
            async move {
                let event = match event {
                    Ok(event) => event,
                    Err(error) => return Some(Err(error)),
                };
                let cursor = Cursor::at(event.position);
                request.renew();
                match counts(&request, id).await {
                    Ok(Some((post, counts))) => {
                        request.deliver(cursor);
                        Some(Ok(ReactionCountsEvent { cursor: cursor.encode(), post, counts }))
                    }
                    Ok(None) => None,
                    Err(error) => Some(Err(error)),
                }
            }
        }))
    }

    /// How many look at a post now: the number at once, and then each time it changes. Whoever
    /// has this subscription open counts as one.
    async fn viewer_count(
        &self,
        ctx: &Context<'_>,
        post_id: ID,
    ) -> Result<impl Stream<Item = Result<ViewerCountEvent, ApiError>>, ApiError> {
        let request = ctx.data_unchecked::<Arc<RequestContext>>().clone();
        let id = post::visible(&request, &post_id).await?;
        let events = post::events(&request, vec![EventKind::ViewersChanged], Some(id), None).await?;
        let viewing = request.services.presence.join(id);
        // The first number is known without waiting for this viewer to be written down.
        let first = caching::viewers(&request.services, id).await? + request.services.presence.ahead(id);
        let mut told = first;
        let later = events.then(move |event| {
            let request = request.clone();
            let _open = &viewing;
            async move {
                event?;
                request.renew();
                // Who may not see the post any more is told nothing more about it.
                if request.loaders().post.load(id).await?.is_none() {
                    return Ok(None);
                }
                Ok(Some(ViewerCountEvent { count: caching::viewers(&request.services, id).await? }))
            }
        });
        let later = later.map(Result::transpose).take_while(|event| std::future::ready(event.is_some()));
        let later = later.filter_map(std::future::ready);
        let later = later.filter(move |event: &Result<ViewerCountEvent, ApiError>| {
            let count = event.as_ref().map_or(told, |event| event.count);
            let changed = event.is_err() || std::mem::replace(&mut told, count) != count;
            std::future::ready(changed)
        });
        Ok(futures_util::stream::once(async move { Ok(ViewerCountEvent { count: first }) }).chain(later))
    }
}

async fn counts(request: &RequestContext, id: uuid::Uuid) -> Result<Option<(Post, Vec<ReactionCount>)>, ApiError> {
    let loaders = request.loaders();
    let Some(post) = loaders.post.load(id).await? else { return Ok(None) };
    let counts = loaders.reaction_counts.load(id).await?.unwrap_or_default();
    Ok(Some((Post(post), counts.iter().copied().map(ReactionCount::from).collect())))
}
