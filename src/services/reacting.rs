//! Reactions to posts.

use serde_json::json;
use uuid::Uuid;

use super::error::gone;
use super::{Actor, ServiceError, Services};
use crate::events::{EventKind, NewEvent};
use crate::store::posts::{self, PostRow};
use crate::store::reactions::{self, ReactionKind};

/// Sets (`on`) or takes back one reaction. Doing it again changes nothing.
pub async fn react(
    services: &Services,
    actor: &Actor,
    post_id: Uuid,
    kind: ReactionKind,
    on: bool,
) -> Result<PostRow, ServiceError> {
    let user_id = actor.require(actor.viewer.may_comment(), "react")?;
    let sight = actor.viewer.sight();
    let mut tx = services.db.begin().await?;
    let post = posts::by_ids(&mut tx, &[post_id]).await?.pop().filter(|post| post.visible_to(sight));
    let post = post.ok_or_else(|| ServiceError::not_found("postId", "post"))?;
    let changed = if on {
        let insert = reactions::insert(&mut tx, post_id, user_id, kind, actor.now).await;
        insert.map_err(|error| gone(error, "postId"))?
    } else {
        reactions::delete(&mut tx, post_id, user_id, kind).await?
    };
    if changed {
        let told = NewEvent {
            kind: EventKind::ReactionsChanged,
            subject: post_id,
            payload: json!({ "kind": kind, "on": on }),
            actor: Some(user_id),
            at: actor.now,
        };
        services.commit(tx, &[told]).await?;
    }
    Ok(post)
}
