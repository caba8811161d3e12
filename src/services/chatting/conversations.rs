//! Looking at what one has asked: each conversation is its user's alone, also before the owner.

use uuid::Uuid;

pub use super::threads::MAX_MESSAGES;
use super::{Chats, Citation};
use crate::services::validate::Check;
use crate::services::{Actor, ServiceError, Services};
use crate::store::conversations::{self, ConversationRow};
use crate::store::messages::{self, MessageRow, Speaker};
use crate::store::{Page, PageOf};

const MAX_TITLE_CHARS: usize = 200;
const DEED: &str = "see conversations: they are for whom they are with, signed in with a password";

/// One page of what the one who asks has asked the site, the last used first.
pub async fn page(services: &Services, actor: &Actor, page: &Page) -> Result<PageOf<ConversationRow>, ServiceError> {
    let user_id = enter(actor)?;
    Ok(conversations::page(&mut *services.db.conn().await?, user_id, page).await?)
}

/// A conversation of the one who asks; nothing for anybody else.
pub async fn find(services: &Services, actor: &Actor, id: Uuid) -> Result<Option<ConversationRow>, ServiceError> {
    let Ok(user_id) = enter(actor) else { return Ok(None) };
    Ok(conversations::find(&mut *services.db.conn().await?, user_id, id).await?)
}

/// A message of a conversation of the one who asks.
pub async fn find_message(services: &Services, actor: &Actor, id: Uuid) -> Result<Option<MessageRow>, ServiceError> {
    let Ok(user_id) = enter(actor) else { return Ok(None) };
    Ok(messages::find(&mut *services.db.conn().await?, user_id, id).await?)
}

/// Gives a conversation another title.
pub async fn rename(
    services: &Services,
    actor: &Actor,
    id: Uuid,
    title: &str,
) -> Result<ConversationRow, ServiceError> {
    let user_id = enter(actor)?;
    Check::default().text("title", title, MAX_TITLE_CHARS).done()?;
    let renamed = conversations::rename(&mut *services.db.conn().await?, user_id, id, title.trim()).await?;
    renamed.ok_or_else(unknown)
}

/// Forgets a conversation and all that was said in it.
pub async fn delete(services: &Services, actor: &Actor, id: Uuid) -> Result<(), ServiceError> {
    let user_id = enter(actor)?;
    let deleted = conversations::delete(&mut *services.db.conn().await?, user_id, id).await?;
    if deleted { Ok(()) } else { Err(unknown()) }
}

/// A conversation as Markdown, to be taken along.
pub fn markdown(chats: &Chats, conversation: &ConversationRow, messages: &[MessageRow]) -> String {
    let mut text = format!("# {}\n", conversation.title);
    for message in messages {
        let said_at = message.created_at.format("%Y-%m-%d %H:%M UTC");
        match message.role {
            Speaker::User => {
                text.push_str(&format!("\n## {said_at}\n\n"));
                for line in message.content.lines() {
                    text.push_str(&format!("> {line}\n"));
                }
            }
            Speaker::Assistant => {
                text.push_str(&format!("\n{}\n", message.content.trim()));
                let cited = citations(message);
                if !cited.is_empty() {
                    text.push('\n');
                }
                for citation in cited {
                    let name = citation.title.replace(['[', ']'], " ");
                    text.push_str(&format!("- \\[{}\\] [{name}]({})\n", citation.index, citation.page(chats)));
                }
            }
        }
    }
    text
}

/// What an answer was written from.
pub fn citations(message: &MessageRow) -> Vec<Citation> {
    serde_json::from_value(message.citations.clone()).unwrap_or_else(|error| {
        tracing::warn!(%error, message = %message.id, "the citations of an answer cannot be read");
        Vec::new()
    })
}

fn enter(actor: &Actor) -> Result<Uuid, ServiceError> {
    actor.require_in_person(DEED)
}

fn unknown() -> ServiceError {
    ServiceError::not_found("id", "conversation of yours")
}
