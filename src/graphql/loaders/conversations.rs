//! What was said in conversations with the site.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Batch, Source, pages};
use crate::services::ServiceError;
use crate::store::messages::{self, MessageRow};
use crate::store::{Page, PageOf};

/// The messages of the viewer's own conversations; nothing of others.
pub struct MessagesOfConversation;
impl Batch for MessagesOfConversation {
    type Key = (Uuid, Page);
    type Value = PageOf<MessageRow>;

    async fn load(source: &Source, keys: &[Self::Key]) -> Result<HashMap<Self::Key, Self::Value>, ServiceError> {
        let Some(viewer_id) = source.viewer_id else { return Ok(HashMap::new()) };
        pages(keys, |ids, page| async move {
            messages::page_by_conversation(&mut *source.services.db.conn().await?, viewer_id, &ids, &page).await
        })
        .await
    }
}
