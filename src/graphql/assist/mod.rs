//! Help with writing, as it is written: summaries, tags, titles, translations, proofreading, alternative texts.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject, Subscription, Union};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::context::{ContextExt, RequestContext};
use super::node::NodeType;
use super::post;
use crate::error::ApiError;
use crate::services::assisting::{self, Wanted};
use crate::services::chatting::Asker;
use crate::store::proposals::ProposalKind;

mod result;

pub use result::AssistResult;

/// The model begins.
#[derive(SimpleObject)]
struct AssistStarted {
    /// The `version` of the post that is read.
    post_version: i32,
    /// In how many parts the model reads it; may grow where the model cannot take one of them at once.
    parts: usize,
}

/// The next part of what the model writes, before it is checked: prose of a summary, a translation or an
/// alternative text, JSON of everything else. Show it as a sign of life; what counts is the result.
#[derive(SimpleObject)]
struct AssistToken {
    /// Of which part of the post, from 0.
    part: usize,
    /// Whole characters.
    text: String,
}

/// It is done, and what came out is checked.
#[derive(SimpleObject)]
struct AssistDone {
    /// What is suggested. Nothing of it is applied or published, except that a translation is a draft.
    result: AssistResult,
    /// Tokens that models read.
    prompt_tokens: usize,
    /// Tokens that the model wrote.
    completion_tokens: usize,
    /// From the question to here.
    duration_ms: u64,
    /// The model that wrote it; null where none was needed.
    model: Option<String>,
    /// Another model answered than the one that should have, or one was missing that would have added
    /// something.
    degraded: bool,
}

/// Nothing came out.
#[derive(SimpleObject)]
struct AssistFailed {
    /// One of the codes that errors have in `extensions.code`, such as `MODEL_LOADING`, `OVERLOADED`,
    /// `NOT_FOUND` where no model writes, or `BAD_MODEL_OUTPUT` where the model did not keep to the form.
    code: String,
    /// A sentence for the user.
    message: String,
}

/// What becomes of it: `AssistStarted`, any number of `AssistToken`s, and last `AssistDone` or
/// `AssistFailed`.
#[derive(Union)]
enum AssistEvent {
    Started(AssistStarted),
    Token(AssistToken),
    Done(AssistDone),
    Failed(AssistFailed),
}

impl From<assisting::AssistEvent> for AssistEvent {
    fn from(event: assisting::AssistEvent) -> Self {
        match event {
            assisting::AssistEvent::Started { version, parts } => {
                Self::Started(AssistStarted { post_version: version, parts })
            }
            assisting::AssistEvent::Token { part, text } => Self::Token(AssistToken { part, text }),
            assisting::AssistEvent::Done(done) => Self::Done(AssistDone {
                result: done.suggestion.into(),
                prompt_tokens: done.usage.prompt_tokens,
                completion_tokens: done.usage.completion_tokens,
                duration_ms: u64::try_from(done.duration.as_millis()).unwrap_or(u64::MAX),
                model: done.model,
                degraded: done.degraded,
            }),
            assisting::AssistEvent::Failed(failure) => {
                let error = ApiError::from(failure);
                Self::Failed(AssistFailed { code: error.code.as_str().to_owned(), message: error.message })
            }
        }
    }
}

#[derive(Default)]
pub struct AssistQuery;

#[Object]
impl AssistQuery {
    /// A slug for a title that no post has yet: Chinese as pinyin, without a model. For the owner and
    /// editors.
    async fn suggest_slug(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most 300 characters.")] title: String,
    ) -> Option<Result<String, ApiError>> {
        let request = ctx.request();
        let suggested = Box::pin(assisting::suggest_slug(&request.services, &request.actor, &title)).await;
        Some(suggested.map_err(ApiError::from))
    }
}

/// A stream of what becomes of it.
type Events = BoxStream<'static, Result<AssistEvent, ApiError>>;

#[derive(Default)]
pub struct AssistSubscription;

#[Subscription]
impl AssistSubscription {
    /// Writes a summary of a post. For the owner and editors, as all of these; who ends the
    /// subscription stops the model. Nothing is changed: `updatePost` does that.
    async fn summarize(&self, ctx: &Context<'_>, post_id: ID) -> Result<Events, ApiError> {
        begin(ctx, ProposalKind::Summary, post_id, None).await
    }

    /// Suggests tags: first those of the site that the post names or means, which takes no model that
    /// writes, then those that a model adds.
    async fn suggest_tags(&self, ctx: &Context<'_>, post_id: ID) -> Result<Events, ApiError> {
        begin(ctx, ProposalKind::Tags, post_id, None).await
    }

    /// Suggests other titles.
    async fn suggest_title(&self, ctx: &Context<'_>, post_id: ID) -> Result<Events, ApiError> {
        begin(ctx, ProposalKind::Title, post_id, None).await
    }

    /// Translates a post, part by part, and keeps the translation as a draft beside it. A draft that
    /// was made so and that nobody has changed since is written anew; anybody's own text is not. Who
    /// leaves before the end has no draft.
    async fn translate(
        &self,
        ctx: &Context<'_>,
        post_id: ID,
        #[graphql(desc = "BCP 47 tag of the language to translate into, such as `en` or `zh`.")] language: String,
    ) -> Result<Events, ApiError> {
        begin(ctx, ProposalKind::Translation, post_id, Some(language)).await
    }

    /// Looks for mistakes in the text of a post, part by part.
    async fn proofread(&self, ctx: &Context<'_>, post_id: ID) -> Result<Events, ApiError> {
        begin(ctx, ProposalKind::Proofreading, post_id, None).await
    }

    /// Describes the pictures in the text of a post for readers who cannot see them, one after the
    /// other. Their addresses go to the provider whose model reads pictures.
    async fn alt_text(&self, ctx: &Context<'_>, post_id: ID) -> Result<Events, ApiError> {
        begin(ctx, ProposalKind::AltText, post_id, None).await
    }
}

async fn begin(
    ctx: &Context<'_>,
    kind: ProposalKind,
    post_id: ID,
    language: Option<String>,
) -> Result<Events, ApiError> {
    let request = ctx.data_unchecked::<Arc<RequestContext>>().clone();
    let post_id = if request.actor.viewer.may_be_helped() {
        post::visible(&request, &post_id).await?
    } else {
        // Who may not is told so, whether there is such a post or not.
        NodeType::Post.row_id(&post_id)?
    };
    let asker = Asker { actor: request.actor.clone(), address: request.address };
    let wanted = Wanted { kind, post_id, language };
    let events = Box::pin(assisting::assist(&request.services, asker, wanted)).await?;
    let told = events.map(move |event| {
        request.renew();
        Ok(AssistEvent::from(event))
    });
    Ok(told.boxed())
}
