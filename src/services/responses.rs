//! Answers that a later request may go on from, each for the account that asked alone.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{ServiceError, Services};
use crate::inference::Message;
use crate::store::responses::{self, ResponseRow};

/// An answer that was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The conversation, the answer being its last part.
    pub messages: Vec<Message>,
    /// The answer as it was told.
    pub body: Value,
}

/// Keeps an answer for `account`.
pub async fn keep(
    services: &Services,
    account: &str,
    id: Uuid,
    kept: Kept,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let messages = serde_json::to_value(kept.messages).map_err(|error| ServiceError::Internal(error.to_string()))?;
    let row = ResponseRow { id, subject: account.to_owned(), created_at: now, messages, body: kept.body };
    Ok(responses::insert(&mut *services.db.conn().await?, &row).await?)
}

/// What was kept for `account` under this id.
pub async fn recall(services: &Services, account: &str, id: Uuid) -> Result<Option<Kept>, ServiceError> {
    let Some(row) = responses::find(&mut *services.db.conn().await?, account, id).await? else { return Ok(None) };
    let messages = serde_json::from_value(row.messages).map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(Some(Kept { messages, body: row.body }))
}

/// True if there was something to forget.
pub async fn forget(services: &Services, account: &str, id: Uuid) -> Result<bool, ServiceError> {
    Ok(responses::delete(&mut *services.db.conn().await?, account, id).await?)
}
