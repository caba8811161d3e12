//! Posts as they go live, and what every subscription about posts shares.

use std::sync::Arc;

use async_graphql::{Context, ID, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};
use uuid::Uuid;

use super::Post;
use crate::error::{ApiError, Code};
use crate::events::{Cursor, EventFilter, EventKind, EventRow};
use crate::graphql::context::RequestContext;
use crate::graphql::node::NodeType;
use crate::store::posts::PostStatus;

/// A post that went live.
#[derive(SimpleObject)]
struct PostPublishedEvent {
    /// Give it back as `after` to go on from here.
    cursor: String,
    /// The post, as it is now.
    post: Post,
}

#[derive(Default)]
pub struct PostSubscription;

#[Subscription]
impl PostSubscription {
    /// Posts as they go live.
    async fn post_published(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The cursor of the last event you saw.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<PostPublishedEvent, ApiError>>, ApiError> {
        let request = ctx.data_unchecked::<Arc<RequestContext>>().clone();
        let events = events(&request, vec![EventKind::PostPublished], None, after).await?;
        Ok(events.filter_map(move |event| {
            let request = request.clone();
            async move {
                match event {
                    Ok(event) => deliver(&request, &event).await.transpose(),
                    Err(error) => Some(Err(error)),
                }
            }
        }))
    }
}

async fn deliver(request: &RequestContext, event: &EventRow) -> Result<Option<PostPublishedEvent>, ApiError> {
    let cursor = Cursor::at(event.position);
    request.renew();
    // Read as it is now: what has been taken back since is not told any more.
    let post = request.loaders().post.load(event.subject).await?;
    let post = post.filter(|post| post.status == PostStatus::Published);
    request.deliver(cursor);
    Ok(post.map(|post| PostPublishedEvent { cursor: cursor.encode(), post: Post(post) }))
}

/// The row id of a post that this viewer may see.
///
/// Errors: `NOT_FOUND`.
pub async fn visible(request: &RequestContext, id: &ID) -> Result<Uuid, ApiError> {
    let row_id = NodeType::Post.row_id(id)?;
    let found = request.loaders().post.load(row_id).await?;
    found
        .map(|post| post.id)
        .ok_or_else(|| ApiError::new(Code::NotFound, format!("there is no post with the id {:?}", id.0)))
}

/// Events from now on, or from behind the cursor that the argument or the transport brings.
pub async fn events(
    request: &RequestContext,
    kinds: Vec<EventKind>,
    subject: Option<Uuid>,
    after: Option<String>,
) -> Result<impl Stream<Item = Result<Arc<EventRow>, ApiError>> + use<>, ApiError> {
    let after = match after {
        Some(text) => Some(Cursor::decode(&text)?),
        None => request.resume,
    };
    let events = request.services.events.subscribe(EventFilter { kinds, subject }, after).await?;
    Ok(events.map(|event| event.map_err(ApiError::from)))
}
