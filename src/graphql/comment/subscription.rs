//! Comments as they come.

use std::sync::Arc;

use async_graphql::{Context, ID, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};

use super::Comment;
use crate::error::ApiError;
use crate::events::{Cursor, EventKind, EventRow};
use crate::graphql::context::RequestContext;
use crate::graphql::post;
use crate::store::Sight;
use crate::store::comments::CommentStatus;

/// A comment that has come into sight.
#[derive(SimpleObject)]
struct CommentAddedEvent {
    /// Give it back as `after` to go on from here.
    cursor: String,
    /// The comment, as it is now.
    comment: Comment,
}

#[derive(Default)]
pub struct CommentSubscription;

#[Subscription]
impl CommentSubscription {
    /// Comments on a post as they become visible to you: for readers when they are approved, for
    /// the owner and editors when they are written.
    async fn comment_added(
        &self,
        ctx: &Context<'_>,
        post_id: ID,
        #[graphql(desc = "The cursor of the last event you saw.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<CommentAddedEvent, ApiError>>, ApiError> {
        let request = ctx.data_unchecked::<Arc<RequestContext>>().clone();
        let id = post::visible(&request, &post_id).await?;
        let kinds = vec![EventKind::CommentAdded, EventKind::CommentApproved];
        let events = post::events(&request, kinds, Some(id), after).await?;
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

async fn deliver(request: &RequestContext, event: &EventRow) -> Result<Option<CommentAddedEvent>, ApiError> {
    let cursor = Cursor::at(event.position);
    request.renew();
    if !comes_into_sight(request.sight(), event) {
        return Ok(None);
    }
    let id = event.payload.get("comment").and_then(|id| id.as_str()).and_then(|id| id.parse().ok());
    let Some(id) = id else { return Ok(None) };
    // Read as it is now: what has been deleted since, or called spam, is not told any more.
    let row = request.loaders().comment.load(id).await?;
    let row = row.filter(|row| row.status != CommentStatus::Deleted && row.visible_to(request.sight()));
    request.deliver(cursor);
    Ok(row.map(|row| CommentAddedEvent { cursor: cursor.encode(), comment: Comment(row) }))
}

/// Each comment comes once: to those who see everything when it is written, to the others when it
/// is first approved, which may be the same moment.
fn comes_into_sight(sight: Sight, event: &EventRow) -> bool {
    let approved_at_once =
        event.payload.get("status").and_then(|s| s.as_str()) == Some(CommentStatus::Approved.as_str());
    match (event.kind, sight) {
        (EventKind::CommentAdded, Sight::Everything) => true,
        (EventKind::CommentAdded, Sight::Public) => approved_at_once,
        (EventKind::CommentApproved, Sight::Public) => true,
        _ => false,
    }
}
