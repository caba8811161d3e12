//! What to read next, and what is popular.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use async_graphql::connection::EmptyFields;
use async_graphql::{Context, Enum, Object, SimpleObject};
use uuid::Uuid;

use super::connection::Rows;
use super::context::ContextExt;
use super::page::{Args, part_of_ranking};
use super::post::Post;
use crate::error::ApiError;
use crate::services::recommending::{self, ReasonKind, Wish};
use crate::store::posts::PostRow;
use crate::store::{Key, Page, PageOf};

/// Why a post is recommended.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "ReasonKind")]
enum RecommendationReasonKind {
    /// It is near something that you read.
    Read,
    /// It is near something that you reacted to.
    Liked,
    /// It is near something that you commented on.
    Commented,
    /// Much was read, reacted to and commented on of it this week.
    Popular,
    /// It is new.
    New,
}

/// Why a post is recommended.
#[derive(SimpleObject)]
struct RecommendationReason {
    /// What speaks for it.
    kind: RecommendationReasonKind,
    /// The post of yours that it is near; null for what is popular or new.
    post: Option<Post>,
}

/// A post to read next.
#[derive(SimpleObject)]
pub struct Recommendation {
    #[graphql(skip)]
    rank: i32,
    /// The post.
    post: Post,
    /// From 0 to 1, falling along the list; to be compared within one list only.
    score: f64,
    /// Why, what speaks most for it first. Nothing of it is about other readers but how many there were.
    because: Vec<RecommendationReason>,
}

#[derive(Default)]
pub struct RecommendationQuery;

#[Object]
impl RecommendationQuery {
    /// What to read next, best first, at most 100: posts near what you read, reacted to and commented
    /// on, then what is popular this week, then what is new. Nothing that you know or wrote yourself, nor
    /// a translation of it. For who is signed in with a password, and for others with a reading token;
    /// without either, what is popular and new.
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn recommendations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of `startReading`; has no effect for who is signed in.")] reading_token: Option<String>,
        #[graphql(desc = "Which language comes first; without, the one that you read most, or the site's.")]
        language: Option<String>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Recommendation>, ApiError> {
        let page = Args { first, after, last, before }.check("recommendations")?;
        let request = ctx.request();
        if reading_token.is_some() {
            request.keep_for_one();
        }
        let wish = Wish { language, reading_token };
        let all = Box::pin(recommending::recommendations(&request.services, &request.actor, &wish)).await?;
        Box::pin(rows(ctx, "recommendations", &page, all)).await
    }

    /// What was read, reacted to and commented on most in the last seven days, for everybody alike; at
    /// most 100.
    async fn popular(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which language comes first; without, the site's.")] language: Option<String>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Recommendation>, ApiError> {
        let page = Args { first, after, last, before }.check("popular")?;
        let request = ctx.request();
        let wish = Wish { language, reading_token: None };
        let all = Box::pin(recommending::popular(&request.services, &request.actor, &wish)).await?;
        Box::pin(rows(ctx, "popular", &page, all)).await
    }
}

/// A page of what is recommended, as far as it may still be seen, with the posts in one go.
async fn rows(
    ctx: &Context<'_>,
    list: &'static str,
    page: &Page,
    all: Vec<recommending::Recommendation>,
) -> Result<Rows<Recommendation>, ApiError> {
    let place_of = |id| all.iter().position(|it| it.post_id == id);
    let Range { start, end } = part_of_ranking(page, all.len(), place_of);
    let (has_previous, has_next) = (start > 0, end < all.len());
    let shown = &all[start..end];
    let reasons = shown.iter().flat_map(|it| it.because.iter().filter_map(|reason| reason.post_id));
    let mut ids: Vec<Uuid> = shown.iter().map(|it| it.post_id).chain(reasons).collect();
    ids.sort_unstable();
    ids.dedup();
    let loaders = ctx.loaders();
    let found = futures_util::future::try_join_all(ids.iter().map(|id| loaders.post.load(*id))).await?;
    let posts: HashMap<Uuid, Arc<PostRow>> = found.into_iter().flatten().map(|row| (row.id, row)).collect();
    let ranks = (start..end).map(|place| i32::try_from(place + 1).unwrap_or(i32::MAX));
    let made = ranks.zip(shown).filter_map(|(rank, it)| {
        let because = it.because.iter().map(|reason| RecommendationReason {
            kind: reason.kind.into(),
            post: reason.post_id.and_then(|id| posts.get(&id).cloned()).map(Post),
        });
        let post = Post(posts.get(&it.post_id)?.clone());
        Some(Recommendation { rank, post, score: it.score, because: because.collect() })
    });
    let rows = PageOf { rows: made.collect(), has_previous, has_next };
    Ok(Rows::new(list, rows, EmptyFields, |it: &Recommendation| (Key::Int(it.rank), it.post.0.id), |it| it))
}
