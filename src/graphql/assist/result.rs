//! What is suggested for a post.

use async_graphql::{Context, Object, SimpleObject, Union};
use uuid::Uuid;

use crate::error::ApiError;
use crate::graphql::context::ContextExt;
use crate::graphql::post::Post;
use crate::graphql::tag::Tag;
use crate::services::assisting::{self, SuggestedTag, Suggestion};

/// What a post says and why one would read it.
#[derive(SimpleObject)]
pub struct SummarySuggestion {
    /// At most 300 characters of plain text, in the post's language. A post keeps it as its
    /// `description`.
    text: String,
}

/// Tags that a post could have, the likeliest first.
#[derive(SimpleObject)]
pub struct TagSuggestions {
    /// At most 10; none that the post has already.
    tags: Vec<TagSuggestion>,
}

/// A tag that a post could have.
pub struct TagSuggestion(SuggestedTag);

/// A tag that a post could have.
#[Object]
impl TagSuggestion {
    /// The name to show.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The site's tag of this name; null if the site has none, and it would be made.
    async fn tag(&self, ctx: &Context<'_>) -> Option<Result<Tag, ApiError>> {
        Some(ctx.loaders().tag.load(self.0.tag_id?).await.transpose()?.map(Tag))
    }

    /// How near its name is to what the post means, -1 to 1; null where no model has read both.
    async fn similarity(&self) -> Option<f32> {
        self.0.similarity
    }
}

/// Other titles for a post.
#[derive(SimpleObject)]
pub struct TitleSuggestions {
    /// One to three, each of at most 120 characters.
    titles: Vec<String>,
}

/// A post in another language, which is kept as a draft already.
pub struct TranslationDraft {
    post_id: Uuid,
    language: String,
    kept_parts: usize,
}

/// A post in another language, which is kept as a draft already.
#[Object]
impl TranslationDraft {
    /// The draft, one of the `translations` of the post; null if somebody has deleted it. Publishing
    /// it is up to you.
    async fn post(&self, ctx: &Context<'_>) -> Option<Result<Post, ApiError>> {
        Some(ctx.loaders().post.load(self.post_id).await.transpose()?.map(Post))
    }

    /// BCP 47 tag of its language.
    async fn language(&self) -> &str {
        &self.language
    }

    /// How many parts stand there in the original language, because the model lost a link, a piece
    /// of code or a heading of theirs, or did not translate them. Code that stands for itself is not
    /// counted.
    async fn kept_parts(&self) -> usize {
        self.kept_parts
    }
}

/// What is wrong in a post's text.
#[derive(SimpleObject)]
pub struct ProofreadingSuggestion {
    /// In the order of the text, at most 200; none where nothing was found.
    corrections: Vec<Correction>,
    /// How many parts of the post were not read, because the model wrote nothing about them that
    /// could be understood.
    skipped_parts: usize,
}

/// Something that is wrong in the `markdown` of a post.
#[derive(SimpleObject)]
pub struct Correction {
    /// Where it begins, in UTF-16 code units, as JavaScript counts: `markdown.slice(start, end)`.
    start: usize,
    /// Where it ends.
    end: usize,
    /// What stands there.
    original: String,
    /// What should.
    replacement: String,
    /// Why, in a few words of the model.
    reason: String,
}

/// What blind readers could hear of a post's pictures.
#[derive(SimpleObject)]
pub struct AltTextSuggestions {
    /// In the order of the text, at most 50.
    pictures: Vec<AltTextSuggestion>,
    /// How many pictures have none: the model could not fetch or read them, or they are too many.
    skipped_pictures: usize,
}

/// An alternative text for a picture in the `markdown` of a post.
#[derive(SimpleObject)]
pub struct AltTextSuggestion {
    /// Where its present text begins, behind `![`, in UTF-16 code units: `markdown.slice(start, end)`.
    start: usize,
    /// Where that ends.
    end: usize,
    /// What stands there; empty where the picture has no text yet.
    original: String,
    /// The picture's address, as the post has it.
    url: String,
    /// At most 250 characters of plain text, in the post's language.
    text: String,
}

/// What is suggested for a post.
#[derive(Union)]
pub enum AssistResult {
    Summary(SummarySuggestion),
    Tags(TagSuggestions),
    Titles(TitleSuggestions),
    Translation(TranslationDraft),
    Proofreading(ProofreadingSuggestion),
    AltTexts(AltTextSuggestions),
}

impl From<Suggestion> for AssistResult {
    fn from(suggestion: Suggestion) -> Self {
        match suggestion {
            Suggestion::Summary { text } => Self::Summary(SummarySuggestion { text }),
            Suggestion::Tags { tags } => {
                Self::Tags(TagSuggestions { tags: tags.into_iter().map(TagSuggestion).collect() })
            }
            Suggestion::Titles { titles } => Self::Titles(TitleSuggestions { titles }),
            Suggestion::Translation { post_id, language, kept_parts, .. } => {
                Self::Translation(TranslationDraft { post_id, language, kept_parts })
            }
            Suggestion::Proofreading { corrections, skipped_parts } => {
                let corrections = corrections.into_iter().map(Correction::from).collect();
                Self::Proofreading(ProofreadingSuggestion { corrections, skipped_parts })
            }
            Suggestion::AltTexts { pictures, skipped_pictures } => {
                let pictures = pictures.into_iter().map(AltTextSuggestion::from).collect();
                Self::AltTexts(AltTextSuggestions { pictures, skipped_pictures })
            }
        }
    }
}

impl From<assisting::PictureText> for AltTextSuggestion {
    fn from(found: assisting::PictureText) -> Self {
        let assisting::PictureText { start, end, original, url, text } = found;
        Self { start, end, original, url, text }
    }
}

impl From<assisting::Correction> for Correction {
    fn from(found: assisting::Correction) -> Self {
        let assisting::Correction { start, end, original, replacement, reason } = found;
        Self { start, end, original, replacement, reason }
    }
}
