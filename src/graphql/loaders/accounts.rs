//! What users sign in with. Who may see it is decided by the field that asks.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Batch, Source, pages};
use crate::services::ServiceError;
use crate::store::api_keys::{self, ApiKeyRow};
use crate::store::sessions::{self, SessionRow};
use crate::store::{Page, PageOf};

/// The keys of a user that were not revoked.
pub struct ApiKeysOfUser;
impl Batch for ApiKeysOfUser {
    type Key = (Uuid, Page);
    type Value = PageOf<ApiKeyRow>;

    async fn load(source: &Source, keys: &[Self::Key]) -> Result<HashMap<Self::Key, Self::Value>, ServiceError> {
        pages(keys, |ids, page| async move {
            api_keys::page_by_user(&mut *source.services.db.conn().await?, &ids, &page).await
        })
        .await
    }
}

/// The sessions of a user that have not ended.
pub struct SessionsOfUser;
impl Batch for SessionsOfUser {
    type Key = (Uuid, Page);
    type Value = PageOf<SessionRow>;

    async fn load(source: &Source, keys: &[Self::Key]) -> Result<HashMap<Self::Key, Self::Value>, ServiceError> {
        pages(keys, |ids, page| async move {
            sessions::page_by_user(&mut *source.services.db.conn().await?, &ids, &page, source.now).await
        })
        .await
    }
}
