//! What one has read: by consent, and for oneself alone.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::connection::Rows;
use super::context::ContextExt;
use super::node::NodeType;
use super::page::Args;
use super::payload::{UserError, outcome};
use super::post::Post;
use crate::error::ApiError;
use crate::services::reading;
use crate::store::PageOf;
use crate::store::posts::PostRow;
use crate::store::reads::{self, ReadRow};

/// A post that you have read.
pub struct ReadingHistoryEntry {
    read: ReadRow,
    post: Arc<PostRow>,
}

/// A post that you have read.
#[Object]
impl ReadingHistoryEntry {
    /// The post.
    async fn post(&self) -> Post {
        Post(self.post.clone())
    }

    /// When you last read it.
    async fn read_at(&self) -> DateTime<Utc> {
        self.read.read_at
    }

    /// How often you have read it; within half an hour counts once.
    async fn times(&self) -> i32 {
        self.read.times
    }
}

/// What there is to say of a history.
pub struct ReadingTotals {
    is_kept: bool,
}

#[Object]
impl ReadingTotals {
    /// False if you have switched it off: then nothing is written down.
    async fn is_kept(&self) -> bool {
        self.is_kept
    }
}

#[derive(Default)]
pub struct ReadingQuery;

#[Object]
impl ReadingQuery {
    /// What you have read, the last read first; at most 500 posts are kept, for a year, and without an
    /// account for 30 days. For who is signed in with a password, and for others with a reading token.
    /// Nobody else sees it, nor does the owner.
    async fn reading_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of `startReading`; has no effect for who is signed in.")] reading_token: Option<String>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<ReadingHistoryEntry, ReadingTotals>, ApiError> {
        let page = Args { first, after, last, before }.check("reading")?;
        let request = ctx.request();
        request.keep_for_one();
        let token = reading_token.as_deref();
        let found = Box::pin(reading::history(&request.services, &request.actor, token, &page)).await?;
        let PageOf { rows, has_previous, has_next } = found.page;
        let loaders = ctx.loaders();
        let posts = futures_util::future::try_join_all(rows.iter().map(|row| loaders.post.load(row.post_id))).await?;
        let entry = |(read, post): (ReadRow, Option<Arc<PostRow>>)| Some(ReadingHistoryEntry { read, post: post? });
        let rows = rows.into_iter().zip(posts).filter_map(entry).collect();
        let key = |it: &ReadingHistoryEntry| (reads::key(&it.read), it.read.post_id);
        let totals = ReadingTotals { is_kept: found.is_kept };
        Ok(Rows::new("reading", PageOf { rows, has_previous, has_next }, totals, key, |it| it))
    }
}

/// What is being read.
#[derive(InputObject)]
struct RecordReadInput {
    /// The post.
    post_id: ID,
    /// Of `startReading`, so that it is remembered without an account. Has no effect for who is signed in.
    reading_token: Option<String>,
}

/// The post that was read, or what was wrong.
#[derive(SimpleObject)]
struct RecordReadPayload {
    /// The post; null when the input was refused.
    post: Option<Post>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// A history that has just begun.
#[derive(SimpleObject)]
struct StartReadingPayload {
    /// Give it to `recordRead`, `recommendations`, `readingHistory` and `forgetReading`. It is told this
    /// once, and signs nobody in.
    reading_token: Option<String>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// Whose history to forget.
#[derive(InputObject, Default)]
struct ForgetReadingInput {
    /// The history of this token, which is no good afterwards; your own if absent.
    reading_token: Option<String>,
}

/// What was forgotten, or what was wrong.
#[derive(SimpleObject)]
struct ForgetReadingPayload {
    /// How many posts there were; null when the input was refused.
    forgotten: Option<usize>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// Whether to remember what you read.
#[derive(InputObject)]
struct SetReadingHistoryInput {
    /// False forgets what is there, and remembers nothing from now on.
    keep: bool,
}

/// Whether it is remembered now.
#[derive(SimpleObject)]
struct SetReadingHistoryPayload {
    /// As it is now; null when the input was refused.
    is_kept: Option<bool>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct ReadingMutation;

#[Object]
impl ReadingMutation {
    /// Says that a published post is being read; again within half an hour changes nothing. It goes into
    /// your own history if you are signed in with a password and have not switched it off, else into that
    /// of the reading token; without either only the number of the post's reads of this day counts up.
    async fn record_read(&self, ctx: &Context<'_>, input: RecordReadInput) -> Result<RecordReadPayload, ApiError> {
        let request = ctx.request();
        let post_id = NodeType::Post.row_id(&input.post_id)?;
        let token = input.reading_token.as_deref();
        let recorded = reading::record(&request.services, &request.actor, request.address, post_id, token);
        let (row, user_errors) = outcome(Box::pin(recorded).await)?;
        Ok(RecordReadPayload { post: row.map(Post), user_errors })
    }

    /// Begins to remember what somebody without an account reads. Ask for their consent first. It is
    /// forgotten 30 days after the last read.
    async fn start_reading(&self, ctx: &Context<'_>) -> Result<StartReadingPayload, ApiError> {
        let request = ctx.request();
        let (token, user_errors) = outcome(Box::pin(reading::start(&request.services, &request.actor)).await)?;
        Ok(StartReadingPayload { reading_token: token.map(|token| token.expose().to_owned()), user_errors })
    }

    /// Forgets at once what was read: with a token all of its history, else yours, for who is signed in
    /// with a password.
    async fn forget_reading(
        &self,
        ctx: &Context<'_>,
        input: Option<ForgetReadingInput>,
    ) -> Result<ForgetReadingPayload, ApiError> {
        let request = ctx.request();
        let token = input.unwrap_or_default().reading_token;
        let done = Box::pin(reading::forget(&request.services, &request.actor, token.as_deref())).await;
        let (forgotten, user_errors) = outcome(done)?;
        Ok(ForgetReadingPayload { forgotten, user_errors })
    }

    /// Switches your history on or off; off, what is there is forgotten. For who is signed in with a
    /// password.
    async fn set_reading_history(
        &self,
        ctx: &Context<'_>,
        input: SetReadingHistoryInput,
    ) -> Result<SetReadingHistoryPayload, ApiError> {
        let request = ctx.request();
        let done = Box::pin(reading::set_keep(&request.services, &request.actor, input.keep)).await;
        let (set, user_errors) = outcome(done)?;
        Ok(SetReadingHistoryPayload { is_kept: set.map(|()| input.keep), user_errors })
    }
}
