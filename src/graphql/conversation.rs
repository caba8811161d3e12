//! What one has asked the site: conversations and their messages, each for its user alone.

use async_graphql::connection::EmptyFields;
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::chat::{ChatFinishReason, Citation};
use super::connection::Rows;
use super::context::ContextExt;
use super::node::NodeType;
use super::page::Args;
use super::payload::{UserError, outcome};
use crate::error::ApiError;
use crate::services::chatting::conversations::{self, MAX_MESSAGES};
use crate::store::Page;
use crate::store::conversations::{self as rows, ConversationRow};
use crate::store::messages::{self, MessageRow, Speaker};

/// Who says a message.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Speaker")]
pub enum ChatRole {
    /// The one who asks.
    User,
    /// The site.
    Assistant,
}

/// What you asked the site and what it answered. Nobody else sees it, nor does the owner.
pub struct Conversation(pub ConversationRow);

/// What you asked the site and what it answered. Nobody else sees it, nor does the owner.
#[Object]
impl Conversation {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::Conversation.id(self.0.id)
    }

    /// The first question, unless it was renamed.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// When it began.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When something was last said.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }

    /// What was said, in its order.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<ChatMessage>, ApiError> {
        let page = Args { first, after, last, before }.check("messages")?;
        let rows = ctx.loaders().messages_of_conversation.load((self.0.id, page)).await?.unwrap_or_default();
        Ok(Rows::new("messages", rows, EmptyFields, |row| (messages::key(row), row.id), ChatMessage))
    }

    /// All of it as Markdown, with links to what was cited, to be taken along.
    async fn markdown(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        let limit = u32::try_from(MAX_MESSAGES).unwrap_or(u32::MAX);
        let page = Page { limit, after: None, before: None, from_end: false };
        let said = ctx.loaders().messages_of_conversation.load((self.0.id, page)).await?.unwrap_or_default();
        let request = ctx.request();
        request.text(conversations::markdown(&request.services.chats, &self.0, &said.rows))
    }
}

/// A question to the site, or its answer.
pub struct ChatMessage(pub MessageRow);

/// A question to the site, or its answer.
#[Object]
impl ChatMessage {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::ChatMessage.id(self.0.id)
    }

    /// Who says it.
    async fn role(&self) -> ChatRole {
        self.0.role.into()
    }

    /// What is said, as plain text. Of an answer that was left or failed, as much as there was.
    async fn text(&self) -> &str {
        &self.0.content
    }

    /// What an answer was written from, in the order of their numbers.
    async fn citations(&self) -> Vec<Citation> {
        conversations::citations(&self.0).into_iter().map(Citation).collect()
    }

    /// How an answer ended; null for a question.
    async fn finish_reason(&self) -> Option<ChatFinishReason> {
        self.0.finish.map(Into::into)
    }

    /// The model that wrote an answer; null for a question, and where none was asked.
    async fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// Tokens that the model read for it.
    async fn prompt_tokens(&self) -> i32 {
        self.0.prompt_tokens
    }

    /// Tokens that the model wrote.
    async fn completion_tokens(&self) -> i32 {
        self.0.completion_tokens
    }

    /// When it was said.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// A conversation by its id; nothing for anybody but its user.
pub async fn find(ctx: &Context<'_>, id: Uuid) -> Result<Option<Conversation>, ApiError> {
    let request = ctx.request();
    let found = Box::pin(conversations::find(&request.services, &request.actor, id)).await?;
    Ok(found.map(Conversation))
}

/// A message by its id; nothing for anybody but the one whose conversation it is in.
pub async fn find_message(ctx: &Context<'_>, id: Uuid) -> Result<Option<ChatMessage>, ApiError> {
    let request = ctx.request();
    let found = Box::pin(conversations::find_message(&request.services, &request.actor, id)).await?;
    Ok(found.map(ChatMessage))
}

#[derive(Default)]
pub struct ConversationQuery;

#[Object]
impl ConversationQuery {
    /// What you asked the site, the last used first. For who is signed in with a password.
    async fn conversations(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Conversation>, ApiError> {
        let request = ctx.request();
        let page = Args { first, after, last, before }.check("conversations")?;
        let found = Box::pin(conversations::page(&request.services, &request.actor, &page)).await?;
        Ok(Rows::new("conversations", found, EmptyFields, |row| (rows::key(row), row.id), Conversation))
    }

    /// A conversation of yours by its id; null for those of others.
    async fn conversation(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Conversation, ApiError>> {
        match NodeType::Conversation.row_id(&id) {
            Ok(row) => find(ctx, row).await.transpose(),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Another title for a conversation.
#[derive(InputObject)]
struct RenameConversationInput {
    /// The conversation.
    id: ID,
    /// At most 200 characters, in one line.
    title: String,
}

/// Which conversation to forget.
#[derive(InputObject)]
struct DeleteConversationInput {
    /// The conversation.
    id: ID,
}

/// The conversation with its new title, or what was wrong.
#[derive(SimpleObject)]
struct RenameConversationPayload {
    /// The conversation; null when the input was refused.
    conversation: Option<Conversation>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// The id of the conversation that is gone, or what was wrong.
#[derive(SimpleObject)]
struct DeleteConversationPayload {
    /// The id of what is gone.
    deleted_id: Option<ID>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ConversationMutation;

#[Object]
impl ConversationMutation {
    /// Gives a conversation of yours another title. For who is signed in with a password.
    async fn rename_conversation(
        &self,
        ctx: &Context<'_>,
        input: RenameConversationInput,
    ) -> Result<RenameConversationPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Conversation.row_id(&input.id)?;
        let renamed = conversations::rename(&request.services, &request.actor, id, &input.title).await;
        let (row, user_errors) = outcome(renamed)?;
        request.renew_loaders();
        Ok(RenameConversationPayload { conversation: row.map(Conversation), user_errors })
    }

    /// Forgets a conversation of yours and all that was said in it. For who is signed in with a
    /// password.
    async fn delete_conversation(
        &self,
        ctx: &Context<'_>,
        input: DeleteConversationInput,
    ) -> Result<DeleteConversationPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Conversation.row_id(&input.id)?;
        let (done, user_errors) = outcome(conversations::delete(&request.services, &request.actor, id).await)?;
        request.renew_loaders();
        Ok(DeleteConversationPayload { deleted_id: done.map(|()| input.id), user_errors })
    }
}
