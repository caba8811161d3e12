//! Finding posts, and what is like a post.

use std::ops::Range;
use std::sync::Arc;

use async_graphql::{Context, Enum, Object, SimpleObject};
use uuid::Uuid;

use super::connection::Rows;
use super::context::{ContextExt, RequestContext};
use super::page::{Args, part_of_ranking};
use super::post::{Post, PostFilterInput};
use super::tag::Tag;
use crate::error::ApiError;
use crate::services::relating;
use crate::services::searching::{self, Asked, Found, Hit, SearchError, Shown};
use crate::store::posts::PostRow;
use crate::store::{Key, PageOf};

/// The list of a search in its cursors.
const LIST: &str = "search";

/// How to look.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "searching::Mode")]
enum SearchMode {
    /// By words and by meaning; by words alone where no model answers.
    Hybrid,
    /// By words: Chinese ones of any length too, misspelt ones, and the last one unfinished.
    Words,
    /// By meaning, across languages.
    Meaning,
}

/// Why a post was found.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
enum MatchReason {
    /// It has the words.
    Words,
    /// It means the same.
    Meaning,
}

/// A part of a text, in UTF-16 units as JavaScript counts them.
#[derive(SimpleObject)]
struct TextRange {
    /// Where it begins.
    start: usize,
    /// Where it ends.
    end: usize,
}

/// Plain text, and which parts of it were looked for. It is no HTML: put it into a page as text.
#[derive(SimpleObject)]
struct MarkedText {
    /// The text.
    text: String,
    /// Its parts that were looked for, in order and apart.
    ranges: Vec<TextRange>,
}

impl From<searching::Snippet> for MarkedText {
    fn from(snippet: searching::Snippet) -> Self {
        let ranges = snippet.ranges.into_iter().map(|range| TextRange { start: range.start, end: range.end });
        Self { text: snippet.text, ranges: ranges.collect() }
    }
}

/// A post that was found, and the piece of it that shows why.
pub struct SearchHit {
    rank: i32,
    hit: Hit,
    post: Arc<PostRow>,
    title: searching::Snippet,
    shown: Option<Shown>,
}

/// A post that was found, and the piece of it that shows why.
#[Object]
impl SearchHit {
    /// The post.
    async fn post(&self) -> Post {
        Post(self.post.clone())
    }

    /// From 0 to 1, to be compared within one search only.
    async fn score(&self) -> f64 {
        self.hit.score
    }

    /// Why it was found.
    async fn reasons(&self) -> Vec<MatchReason> {
        let both = [(self.hit.by_words, MatchReason::Words), (self.hit.similarity.is_some(), MatchReason::Meaning)];
        both.into_iter().filter_map(|(holds, reason)| holds.then_some(reason)).collect()
    }

    /// Cosine of the query and the piece that is nearest to it, if it was found by meaning.
    async fn similarity(&self) -> Option<f64> {
        self.hit.similarity
    }

    /// The title with what was looked for.
    async fn title(&self) -> MarkedText {
        self.title.clone().into()
    }

    /// The part of the text that shows why.
    async fn snippet(&self) -> MarkedText {
        self.shown.as_ref().map(|shown| shown.snippet.clone()).unwrap_or_default().into()
    }

    /// The headings above that part, from the outermost in.
    async fn heading_path(&self) -> &[String] {
        self.shown.as_ref().map_or(&[], |shown| &shown.heading_path)
    }

    /// The `id` of the innermost of these headings in the post's `html`.
    async fn anchor(&self) -> Option<&str> {
        self.shown.as_ref()?.anchor.as_deref()
    }
}

/// A word that the site does not have, and the one that was looked for in its place.
#[derive(SimpleObject)]
struct SearchCorrection {
    /// As it was typed.
    typed: String,
    /// As it was read.
    meant: String,
}

/// What there is to say of a search.
pub struct SearchTotals(Found);

#[Object]
impl SearchTotals {
    /// No model answered, or none that has read the site: words were looked for alone.
    async fn degraded(&self) -> bool {
        self.0.degraded
    }

    /// Words that were read as others.
    async fn corrections(&self) -> Vec<SearchCorrection> {
        let each = |it: &searching::Correction| SearchCorrection { typed: it.typed.clone(), meant: it.meant.clone() };
        self.0.corrections.iter().map(each).collect()
    }

    /// How many were found; at most 100 are.
    async fn total_count(&self) -> usize {
        self.0.hits.len()
    }
}

/// What a suggestion is.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
enum SuggestionKind {
    /// A tag of that name.
    Tag,
    /// A post of that title.
    Post,
    /// What was typed, with its last word ended.
    Word,
}

/// How a query may go on.
#[derive(SimpleObject)]
struct Suggestion {
    /// What it is.
    kind: SuggestionKind,
    /// What to show, and to look for.
    text: String,
    /// The tag, if it is one.
    tag: Option<Tag>,
    /// The post, if it is one.
    post: Option<Post>,
}

#[derive(Default)]
pub struct SearchQuery;

#[Object]
impl SearchQuery {
    /// Published posts that answer a query, best first; at most 100. `"words in a row"` have to be
    /// there and `-this` must not.
    #[allow(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn search(
        &self,
        ctx: &Context<'_>,
        query: String,
        #[graphql(default_with = "SearchMode::Hybrid")] mode: SearchMode,
        filter: Option<PostFilterInput>,
        #[graphql(default)] rerank: bool,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<SearchHit, SearchTotals>, ApiError> {
        let page = Args { first, after, last, before }.check(LIST)?;
        let filter = filter.unwrap_or_default().try_into()?;
        let asked = Asked { query, mode: mode.into(), filter, rerank };
        let request = ctx.request();
        keep_what_is_behind(request);
        let found = Box::pin(searching::search(&request.services, &asked)).await?;
        // The next one may hear from the model.
        if found.degraded {
            request.keep_for_one();
        }
        let all = found.hits.len();
        let part = part_of_ranking(&page, all, |id| found.hits.iter().position(|hit| hit.post_id == id));
        let Range { start, end } = part;
        let rows = Box::pin(hits(ctx, &found, start..end)).await?;
        let rows = PageOf { rows, has_previous: start > 0, has_next: end < all };
        let key = |hit: &SearchHit| (Key::Int(hit.rank), hit.post.id);
        Ok(Rows::new(LIST, rows, SearchTotals(found), key, |hit| hit))
    }

    /// How what somebody begins to type may go on: tags, titles and words; at most 20.
    async fn suggest(
        &self,
        ctx: &Context<'_>,
        prefix: String,
        #[graphql(default = 8)] first: i32,
    ) -> Result<Vec<Suggestion>, ApiError> {
        let most = searching::MAX_SUGGESTIONS;
        let limit = usize::try_from(first).ok().filter(|first| (1..=most).contains(first));
        let limit = limit.ok_or_else(|| ApiError::bad_input(format!("`first` is {first}: expected 1 to {most}")))?;
        let request = ctx.request();
        keep_what_is_behind(request);
        let found = Box::pin(searching::suggest(&request.services, &prefix, limit)).await?;
        let loaders = ctx.loaders();
        let mut all = Vec::with_capacity(found.len());
        for suggestion in found {
            let mut made = Suggestion { kind: SuggestionKind::Word, text: String::new(), tag: None, post: None };
            match suggestion {
                searching::Suggestion::Tag { name, id } => {
                    (made.kind, made.text, made.tag) =
                        (SuggestionKind::Tag, name, loaders.tag.load(id).await?.map(Tag));
                }
                searching::Suggestion::Title { title, id } => {
                    let post = loaders.post.load(id).await?.map(Post);
                    (made.kind, made.text, made.post) = (SuggestionKind::Post, title, post);
                }
                searching::Suggestion::Word(text) => made.text = text,
            }
            all.push(made);
        }
        Ok(all)
    }
}

/// What is found while the words of a change are not counted yet is for now only. To be asked before the search,
/// which may be the one that has them counted.
fn keep_what_is_behind(request: &RequestContext) {
    if request.services.surveys.is_behind() {
        request.keep_for_one();
    }
}

/// Some of what was found, as far as it may still be seen.
async fn hits(ctx: &Context<'_>, found: &Found, range: Range<usize>) -> Result<Vec<SearchHit>, ApiError> {
    let page = &found.hits[range.clone()];
    if page.is_empty() {
        return Ok(Vec::new());
    }
    let mut shown = found.shown(&ctx.request().services, page).await?;
    let loaders = ctx.loaders();
    let posts = futures_util::future::try_join_all(page.iter().map(|hit| loaders.post.load(hit.post_id))).await?;
    let ranks = range.map(|n| i32::try_from(n + 1).unwrap_or(i32::MAX));
    let all = page.iter().zip(posts).zip(ranks).filter_map(|((hit, post), rank)| {
        let post = post?;
        let title = found.title(&post.title, &post.language);
        Some(SearchHit { rank, hit: hit.clone(), shown: shown.remove(&post.id), title, post })
    });
    Ok(all.collect())
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Service(error) => error.into(),
            SearchError::Inference(error) => error.into(),
        }
    }
}

/// Why a post is related.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "relating::Because")]
enum RelatedReason {
    /// It is about the same.
    Similar,
    /// They have tags in common.
    SharedTags,
    /// They are parts of one series.
    SameSeries,
}

/// A post that has to do with another.
#[derive(SimpleObject)]
pub struct RelatedPost {
    /// The post.
    post: Post,
    /// To be compared within one list only: higher is nearer.
    score: f64,
    /// Why.
    because: Vec<RelatedReason>,
}

/// What has to do with a post, nearest first.
pub async fn related(ctx: &Context<'_>, id: Uuid, first: i32) -> Result<Vec<RelatedPost>, ApiError> {
    let most = relating::MAX_RELATED;
    let limit = usize::try_from(first).ok().filter(|first| (1..=most).contains(first));
    let limit = limit.ok_or_else(|| ApiError::bad_input(format!("`first` is {first}: expected 1 to {most}")))?;
    let loaders = ctx.loaders();
    let found = loaders.related_to_post.load(id).await?.unwrap_or_default();
    let wanted = found.iter().take(limit);
    let posts = futures_util::future::try_join_all(wanted.clone().map(|it| loaders.post.load(it.post_id))).await?;
    let all = wanted.zip(posts).filter_map(|(it, post)| {
        let because = it.because.iter().copied().map(Into::into).collect();
        Some(RelatedPost { post: Post(post?), score: it.score, because })
    });
    Ok(all.collect())
}
