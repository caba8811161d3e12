//! Asking the site: an answer as it is written, or all of it.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject, Subscription, Union};
use futures_util::{Stream, StreamExt};

use super::context::{ContextExt, RequestContext};
use super::node::NodeType;
use super::payload::{UserError, outcome};
use super::post::{Post, PostFilterInput};
use crate::error::ApiError;
use crate::services::ServiceError;
use crate::services::chatting::{self, Asker, Question, Thread};
use crate::store::messages;
use crate::store::posts::{PostFilter, PostRow};

/// How an answer ended.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "messages::Finish")]
pub enum ChatFinishReason {
    /// It is whole.
    Stop,
    /// It is as long as an answer may be.
    Length,
    /// It is whole and in the site's own words: no model wrote it.
    Quoted,
    /// The site says nothing of it: no model was asked, and the text says so.
    NotCovered,
    /// Who asked did not wait for the end.
    Left,
    /// Something went wrong.
    Failed,
}

/// A passage of a post that the answer may refer to by its number, such as `[1]`.
pub struct Citation(pub chatting::Citation);

impl Citation {
    /// The post that it is of; none if that is not published any more.
    async fn public(&self, ctx: &Context<'_>) -> Result<Option<Arc<PostRow>>, ApiError> {
        ctx.loaders().post.load(self.0.post_id).await
    }
}

/// A passage of a post that the answer may refer to by its number, such as `[1]`.
#[Object]
impl Citation {
    /// From 1.
    async fn index(&self) -> usize {
        self.0.index
    }

    /// Where it stands; null if the post is not published any more.
    async fn post(&self, ctx: &Context<'_>) -> Option<Result<Post, ApiError>> {
        Some(self.public(ctx).await.transpose()?.map(Post))
    }

    /// The post's title when the question was answered.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// The headings that it stands under, from the outermost in; none if the post is not published any
    /// more.
    async fn heading_path(&self, ctx: &Context<'_>) -> Result<&[String], ApiError> {
        Ok(self.public(ctx).await?.map_or(&[], |_| &self.0.heading_path))
    }

    /// How the passage begins, as plain text; null if the post is not published any more.
    async fn excerpt(&self, ctx: &Context<'_>) -> Option<Result<&str, ApiError>> {
        Some(self.public(ctx).await.transpose()?.map(|_| self.0.excerpt.as_str()))
    }

    /// Where it is to be read: the post's page, at the heading unless the post is not published any more.
    async fn url(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        let chats = &ctx.request().services.chats;
        Ok(self.public(ctx).await?.map_or_else(|| self.0.page(chats), |_| self.0.url(chats)))
    }
}

/// The question was let in.
#[derive(SimpleObject, Clone)]
struct ChatStarted {
    /// Give it back with the next question, so that it may lean on this one.
    conversation_id: ID,
    /// Of the answer.
    message_id: ID,
}

/// What the answer will be written from. Comes before the first token.
#[derive(SimpleObject)]
struct ChatCitations {
    /// In the order of their numbers; none where the site says nothing of it.
    citations: Vec<Citation>,
    /// They were found by words alone.
    degraded: bool,
}

/// The next part of the answer.
#[derive(SimpleObject)]
struct ChatToken {
    /// Whole characters.
    text: String,
}

/// The answer came to its end.
#[derive(SimpleObject, Clone)]
struct ChatDone {
    /// How it ended.
    finish_reason: ChatFinishReason,
    /// Tokens that the model read.
    prompt_tokens: usize,
    /// Tokens that it wrote.
    completion_tokens: usize,
    /// From the question to here.
    duration_ms: u64,
    /// The model that wrote it; null where the site says nothing of it, or is quoted.
    model: Option<String>,
    /// Passages were found by words alone, or another model answered than the one that should have, or
    /// none could and the site is quoted.
    degraded: bool,
}

/// There is no answer, or only the part that came before.
#[derive(SimpleObject, Clone)]
struct ChatFailed {
    /// One of the codes that errors have in `extensions.code`, such as `REQUEST_TIMEOUT` or
    /// `INTERNAL_SERVER_ERROR`.
    code: String,
    /// A sentence for the user.
    message: String,
}

/// What becomes of a question: `ChatStarted`, `ChatCitations`, any number of `ChatToken`s, and last
/// `ChatDone` or `ChatFailed`.
#[derive(Union)]
enum ChatEvent {
    Started(ChatStarted),
    Citations(ChatCitations),
    Token(ChatToken),
    Done(ChatDone),
    Failed(ChatFailed),
}

/// A question to the site.
#[derive(InputObject)]
struct ChatInput {
    /// The `conversationId` of an earlier answer that this question follows on; a new conversation if
    /// absent. Who is signed in finds theirs in `conversations`. Those of others are kept for half an
    /// hour, and then a new one begins.
    conversation_id: Option<ID>,
    /// 1 to 2,000 characters.
    question: String,
    /// Which posts may answer it; only published ones ever do.
    filter: Option<PostFilterInput>,
}

/// An answer of the site.
#[derive(SimpleObject)]
struct ChatAnswer {
    /// Give it back with the next question, so that it may lean on this one.
    conversation_id: ID,
    /// Of this answer.
    message_id: ID,
    /// What the answer was written from, in the order of their numbers.
    citations: Vec<Citation>,
    /// The answer, as plain text with numbers of citations in it.
    text: String,
    /// How it came to its end; null if it did not.
    done: Option<ChatDone>,
    /// Why it did not come to its end; null if it did.
    failed: Option<ChatFailed>,
}

/// The answer, or what was wrong with the question.
#[derive(SimpleObject)]
struct AskSitePayload {
    /// The answer; null when the input was refused.
    answer: Option<ChatAnswer>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ChatSubscription;

#[Subscription]
impl ChatSubscription {
    /// Asks the site, which answers from what is published on it and says from where. For everybody,
    /// within the tokens of a day. Who ends the subscription stops the model.
    async fn chat(
        &self,
        ctx: &Context<'_>,
        input: ChatInput,
    ) -> Result<impl Stream<Item = Result<ChatEvent, ApiError>>, ApiError> {
        let request = ctx.data_unchecked::<Arc<RequestContext>>().clone();
        let events = Box::pin(ask(&request, input)).await??;
        Ok(events.map(move |event| {
            request.renew();
            Ok(ChatEvent::from(event))
        }))
    }
}

#[derive(Default)]
pub struct ChatMutation;

#[Object]
impl ChatMutation {
    /// Asks the site and waits for the whole answer; the subscription `chat` gives it as it is
    /// written. Alone in its operation it may take as long as a model may; beside other fields no
    /// longer than any operation. For everybody, within the tokens of a day.
    async fn ask_site(&self, ctx: &Context<'_>, input: ChatInput) -> Result<AskSitePayload, ApiError> {
        let request = ctx.request();
        let (events, user_errors) = outcome(Box::pin(ask(request, input)).await?)?;
        let Some(events) = events else { return Ok(AskSitePayload { answer: None, user_errors }) };
        let answer = gather(events).await?;
        request.renew_loaders();
        Ok(AskSitePayload { answer: Some(answer), user_errors })
    }
}

/// Errors: an id or a filter that is none; and in the middle what the service says.
async fn ask(
    request: &RequestContext,
    input: ChatInput,
) -> Result<Result<impl Stream<Item = chatting::ChatEvent> + Send + use<>, ServiceError>, ApiError> {
    let id = input.conversation_id.map(|id| NodeType::Conversation.row_id(&id)).transpose()?;
    let filter = PostFilter::try_from(input.filter.unwrap_or_default())?;
    let question = Question { text: input.question, thread: Thread::Kept(id), filter, options: None };
    let asker = Asker { actor: request.actor.clone(), address: request.address };
    Ok(chatting::ask(&request.services, asker, question).await)
}

async fn gather(events: impl Stream<Item = chatting::ChatEvent>) -> Result<ChatAnswer, ApiError> {
    let mut events = std::pin::pin!(events);
    let (mut started, mut citations, mut text) = (None, Vec::new(), String::new());
    let (mut done, mut failed) = (None, None);
    while let Some(event) = events.next().await {
        match ChatEvent::from(event) {
            ChatEvent::Started(event) => started = Some(event),
            ChatEvent::Citations(found) => citations = found.citations,
            ChatEvent::Token(token) => text.push_str(&token.text),
            ChatEvent::Done(end) => done = Some(end),
            ChatEvent::Failed(why) => failed = Some(why),
        }
    }
    let started = started.ok_or_else(|| ServiceError::Internal("an answer did not begin".to_owned()))?;
    let ChatStarted { conversation_id, message_id } = started;
    Ok(ChatAnswer { conversation_id, message_id, citations, text, done, failed })
}

impl From<chatting::ChatEvent> for ChatEvent {
    fn from(event: chatting::ChatEvent) -> Self {
        match event {
            chatting::ChatEvent::Started { conversation_id, message_id } => Self::Started(ChatStarted {
                // Each question of GraphQL has one.
                conversation_id: NodeType::Conversation.id(conversation_id.unwrap_or_default()),
                message_id: NodeType::ChatMessage.id(message_id),
            }),
            chatting::ChatEvent::Citations { citations, degraded } => {
                Self::Citations(ChatCitations { citations: citations.into_iter().map(Citation).collect(), degraded })
            }
            chatting::ChatEvent::Token(text) => Self::Token(ChatToken { text }),
            chatting::ChatEvent::Done(done) => Self::Done(ChatDone {
                finish_reason: done.finish.into(),
                prompt_tokens: done.usage.prompt_tokens,
                completion_tokens: done.usage.completion_tokens,
                duration_ms: u64::try_from(done.duration.as_millis()).unwrap_or(u64::MAX),
                model: done.model,
                degraded: done.degraded,
            }),
            chatting::ChatEvent::Failed(failure) => {
                let error = ApiError::from(failure);
                Self::Failed(ChatFailed { code: error.code.as_str().to_owned(), message: error.message })
            }
        }
    }
}
