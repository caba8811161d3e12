//! What models propose for posts, and deciding about it. For the owner and editors only.

use std::sync::Arc;

use async_graphql::connection::EmptyFields;
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::assist::AssistResult;
use super::connection::Rows;
use super::context::{ContextExt, RequestContext};
use super::node::NodeType;
use super::page::Args;
use super::payload::{UserError, outcome};
use super::post::Post;
use crate::error::{ApiError, Code};
use crate::services::assisting::{self, AskFor, Choice};
use crate::store::Sight;
use crate::store::proposals::{self, ProposalRow};

/// What is proposed.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "proposals::ProposalKind")]
pub enum ProposalKind {
    /// A description.
    Summary,
    /// Tags.
    Tags,
    /// Other titles.
    Title,
    /// The post in another language. It is kept as a draft at once, and so accepted from the beginning.
    Translation,
    /// Corrections of the text.
    Proofreading,
    /// Alternative texts for its pictures.
    AltText,
}

/// What became of a proposal.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "proposals::ProposalStatus")]
pub enum ProposalStatus {
    /// It waits for a decision.
    Pending,
    /// It was put into the post.
    Accepted,
    /// It was laid aside.
    Dismissed,
}

/// What a model proposes for a post. Kept for 90 days.
#[derive(Clone)]
pub struct Proposal(pub ProposalRow);

/// What a model proposes for a post. Kept for 90 days.
#[Object]
impl Proposal {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::Proposal.id(self.0.id)
    }

    /// What is proposed.
    async fn kind(&self) -> ProposalKind {
        self.0.kind.into()
    }

    /// What became of it.
    async fn status(&self) -> ProposalStatus {
        self.0.status.into()
    }

    /// The post that it is for.
    async fn post(&self, ctx: &Context<'_>) -> Option<Result<Post, ApiError>> {
        Some(ctx.loaders().post.load(self.0.post_id).await.transpose()?.map(Post))
    }

    /// The version of the post that it was made for. If the post is at another one now, it can no
    /// longer be accepted.
    async fn post_version(&self) -> i32 {
        self.0.post_version
    }

    /// What it says; null if a newer version of the server wrote it.
    async fn result(&self) -> Option<AssistResult> {
        assisting::content(&self.0).map(AssistResult::from)
    }

    /// The model that wrote it; null where none was needed.
    async fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it was accepted or dismissed; null as long as it waits.
    async fn decided_at(&self) -> Option<DateTime<Utc>> {
        self.0.decided_at
    }
}

/// A proposal by its id; nothing for others than the owner and editors.
pub async fn find(request: &RequestContext, id: Uuid) -> Result<Option<Proposal>, ApiError> {
    if request.sight() != Sight::Everything {
        return Ok(None);
    }
    let mut conn = request.services.db.conn().await?;
    Ok(proposals::find(&mut conn, id).await?.map(Proposal))
}

/// One page of the proposals for a post; nothing for others than the owner and editors.
pub async fn of_post(ctx: &Context<'_>, post_id: Uuid, args: Args) -> Result<Option<Rows<Proposal>>, ApiError> {
    let page = args.check("proposals")?;
    if ctx.request().sight() != Sight::Everything {
        return Ok(None);
    }
    let rows = ctx.loaders().proposals_of_post.load((post_id, page)).await?.unwrap_or_default();
    Ok(Some(Rows::new("proposals", rows, EmptyFields, |row| (proposals::key(row), row.id), Proposal)))
}

/// What models shall propose, and for which posts.
#[derive(InputObject)]
struct AssistPostsInput {
    /// What is wanted.
    kind: ProposalKind,
    /// 1 to 100 posts; drafts may be among them.
    post_ids: Vec<ID>,
    /// For `TRANSLATION`, and only there: BCP 47 tag of the language to translate into.
    language: Option<String>,
}

/// Which proposal is accepted, and what of it.
#[derive(InputObject)]
struct AcceptProposalInput {
    /// The proposal.
    id: ID,
    /// Of a `TITLE`: one of those that are proposed; the first if absent.
    title: Option<String>,
    /// Of `TAGS`: names of those that are wanted; if absent those that the site has already.
    tags: Option<Vec<String>>,
    /// Of a `PROOFREADING`: places in the list of corrections, from 0; all if absent.
    corrections: Option<Vec<i32>>,
    /// Of an `ALT_TEXT`: places in the list of pictures, from 0; if absent those without a text.
    pictures: Option<Vec<i32>>,
}

/// Which proposal is laid aside.
#[derive(InputObject)]
struct DismissProposalInput {
    /// The proposal.
    id: ID,
}

/// The jobs that were asked for, or what was wrong.
#[derive(SimpleObject)]
struct AssistPostsPayload {
    /// One a post, for `job` and `jobProgress`, which are the owner's; null when the input was refused.
    job_ids: Option<Vec<ID>>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// The proposal and its post, or what was wrong.
#[derive(SimpleObject)]
struct ProposalPayload {
    /// The proposal as it is now; null when the input was refused.
    proposal: Option<Proposal>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// The proposal and the post that it went into, or what was wrong.
#[derive(SimpleObject)]
struct AcceptProposalPayload {
    /// The proposal as it is now; null when the input was refused.
    proposal: Option<Proposal>,
    /// The post as it is now; null when the input was refused.
    post: Option<Post>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

fn places(field: &str, given: Vec<i32>) -> Result<Vec<usize>, ApiError> {
    let place = |place: i32| {
        let message = format!("`{field}` holds {place}: expected places from 0");
        usize::try_from(place).map_err(|_| ApiError::new(Code::BadUserInput, message))
    };
    given.into_iter().map(place).collect()
}

#[derive(Default)]
pub struct ProposalMutation;

#[Object]
impl ProposalMutation {
    /// Has a model help with posts in the background, one job a post. What comes out is in
    /// `Post.proposals`; a translation is a draft. For the owner and editors.
    async fn assist_posts(&self, ctx: &Context<'_>, input: AssistPostsInput) -> Result<AssistPostsPayload, ApiError> {
        let request = ctx.request();
        let post_ids = input.post_ids.iter().map(|id| NodeType::Post.row_id(id)).collect::<Result<_, _>>()?;
        let wanted = AskFor { kind: input.kind.into(), post_ids, language: input.language };
        let asked = Box::pin(assisting::ask_for(&request.services, &request.actor, wanted)).await;
        let (ids, user_errors) = outcome(asked)?;
        let job_ids = ids.map(|ids| ids.into_iter().map(|id| NodeType::Job.id(id)).collect());
        Ok(AssistPostsPayload { job_ids, user_errors })
    }

    /// Puts what a model proposed into the post, as an edit with a revision. Refused as
    /// `STALE_VERSION` when the post has changed since the proposal was made; other proposals that
    /// wait stay good. Nothing is published by it. For the owner and editors.
    async fn accept_proposal(
        &self,
        ctx: &Context<'_>,
        input: AcceptProposalInput,
    ) -> Result<AcceptProposalPayload, ApiError> {
        let request = ctx.request();
        let choice = Choice {
            id: NodeType::Proposal.row_id(&input.id)?,
            title: input.title,
            tags: input.tags,
            corrections: input.corrections.map(|all| places("corrections", all)).transpose()?,
            pictures: input.pictures.map(|all| places("pictures", all)).transpose()?,
        };
        let (done, user_errors) =
            outcome(Box::pin(assisting::accept(&request.services, &request.actor, choice)).await)?;
        request.renew_loaders();
        let (proposal, post) = done.map(|(row, post)| (Proposal(row), Post(Arc::new(post)))).unzip();
        Ok(AcceptProposalPayload { proposal, post, user_errors })
    }

    /// Lays a proposal aside. For the owner and editors.
    async fn dismiss_proposal(
        &self,
        ctx: &Context<'_>,
        input: DismissProposalInput,
    ) -> Result<ProposalPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Proposal.row_id(&input.id)?;
        let (row, user_errors) = outcome(Box::pin(assisting::dismiss(&request.services, &request.actor, id)).await)?;
        request.renew_loaders();
        Ok(ProposalPayload { proposal: row.map(Proposal), user_errors })
    }
}
