//! Help with writing for the owner and editors: summaries, tags, titles, translations, proofreading,
//! alternative texts for pictures.
//!
//! [`assist`] has it done at once and gives what becomes of it as [`AssistEvent`]s; [`ask_for`] has
//! it done later for many posts ([`ASSIST_JOB`]) and keeps what comes out as proposals, which an
//! editor accepts or dismisses (`deciding.rs`). `work.rs` asks the model within its bounds; a file
//! a kind says what is asked and checks what comes back; `parts.rs` and `kept.rs` let long posts and
//! what is no prose pass. Nothing is published here, whatever a model says. `slugs.rs` needs none.
//! Imported by `graphql` and `jobs`; `docs/WRITING.md` goes on from there.
//!
//! To add a kind: a variant of `ProposalKind` and of [`Suggestion`], a file with its prompt and its
//! checks, an arm in `Work::make` and one in `deciding::edit_of`.

use std::time::Duration;

use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::Instrument;
use uuid::Uuid;

use super::allowance::Account;
use super::chatting::Asker;
use super::{ServiceError, Services};
use crate::inference::{InferenceError, Usage};
use crate::store::proposals::ProposalKind;

mod answers;
mod deciding;
mod describing;
mod jobs;
mod kept;
mod parts;
mod pictures;
mod proofreading;
mod reading;
mod slugs;
mod source;
mod summary;
mod tagging;
mod titles;
mod translating;
mod work;

pub use deciding::{Choice, accept, content, dismiss};
pub use jobs::{ASSIST_JOB, AskFor, MAX_POSTS, ask_for, run};
pub use slugs::suggest as suggest_slug;

use work::{Work, streaming};

/// Events that a client may be behind before the model waits.
const AHEAD: usize = 64;
const DEED: &str = "have a model help with posts (owner and editors, scopes `read`, `write` and `infer`)";

/// What is wanted for a post.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub kind: ProposalKind,
    pub post_id: Uuid,
    /// Of a translation, and of nothing else.
    pub language: Option<String>,
}

/// What becomes of it, in this order; the last is `Done` or `Failed`.
#[derive(Clone, Debug)]
pub enum AssistEvent {
    Started {
        /// Of the post that is read.
        version: i32,
        /// In how many parts the model reads it.
        parts: usize,
    },
    /// As the model writes it, before it is checked.
    Token {
        /// From 0.
        part: usize,
        text: String,
    },
    Done(Done),
    Failed(AssistFailure),
}

/// What came out, and what it took.
#[derive(Clone, Debug)]
pub struct Done {
    pub suggestion: Suggestion,
    pub usage: Usage,
    pub duration: Duration,
    /// None where no model wrote.
    pub model: Option<String>,
    /// Another model answered than the one that should have, or none wrote where one would have helped.
    pub degraded: bool,
}

/// Why nothing came out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AssistFailure {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Inference(#[from] InferenceError),
    #[error("it was not finished within {} s: have a job do it (`assistPosts`)", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The model did not answer in the form that it was told to.
    #[error("what the model wrote cannot be used: {0}. Try again, or deploy a larger model")]
    BadOutput(String),
}

/// What a model, or a rule, suggests. As it is kept in a proposal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Suggestion {
    Summary {
        text: String,
    },
    Tags {
        tags: Vec<SuggestedTag>,
    },
    Titles {
        titles: Vec<String>,
    },
    /// Is kept as a draft already.
    Translation {
        post_id: Uuid,
        language: String,
        /// Of the draft when it was written.
        version: i32,
        /// Parts that stand there in the original language.
        kept_parts: usize,
    },
    Proofreading {
        corrections: Vec<Correction>,
        /// Parts of which nothing came out that could be read.
        skipped_parts: usize,
    },
    AltTexts {
        pictures: Vec<PictureText>,
        /// Pictures that nothing came out of, or that were too many.
        skipped_pictures: usize,
    },
}

impl Suggestion {
    pub fn kind(&self) -> ProposalKind {
        match self {
            Self::Summary { .. } => ProposalKind::Summary,
            Self::Tags { .. } => ProposalKind::Tags,
            Self::Titles { .. } => ProposalKind::Title,
            Self::Translation { .. } => ProposalKind::Translation,
            Self::Proofreading { .. } => ProposalKind::Proofreading,
            Self::AltTexts { .. } => ProposalKind::AltText,
        }
    }
}

/// A tag for a post.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuggestedTag {
    pub name: String,
    pub slug: String,
    /// None: the site has no such tag yet.
    pub tag_id: Option<Uuid>,
    /// Cosine of the tag's name and the post, where a model read both.
    pub similarity: Option<f32>,
}

/// Something that is wrong in a post's Markdown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Correction {
    /// Where it begins and ends in the Markdown, in UTF-16 code units.
    pub start: usize,
    pub end: usize,
    pub original: String,
    pub replacement: String,
    pub reason: String,
}

/// An alternative text for a picture in a post's Markdown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PictureText {
    /// Where its present text begins and ends in the Markdown, in UTF-16 code units.
    pub start: usize,
    pub end: usize,
    pub original: String,
    pub url: String,
    /// Plain.
    pub text: String,
}

/// Has something done for a post at once. Dropping the stream stops the model at its next token, and
/// nothing is kept then.
///
/// Errors: for others than the owner and editors; there is no such post; the language will not do;
/// nothing is left of the day's tokens; too many are asking.
pub async fn assist(
    services: &Services,
    asker: Asker,
    wanted: Wanted,
) -> Result<impl Stream<Item = AssistEvent> + Send + use<>, ServiceError> {
    let Asker { actor, address } = asker;
    actor.require(actor.viewer.may_be_helped(), DEED)?;
    let wanted = wanted.in_normal_form();
    let account = Account::of(services, &actor.viewer, address, actor.now);
    if let Some(used_up) = account.used_up(services, actor.now).await? {
        return Err(ServiceError::UsedUp(used_up));
    }
    let work = Box::pin(Work::begin(services, actor, account, &wanted)).await?;
    let place = services.chats.place(&work.account)?;
    let (sender, told) = mpsc::channel(AHEAD);
    // A task of its own notices that the client has gone, or the time is up, whatever it waits for.
    tokio::spawn(Box::pin(streaming(work, wanted, sender, place)).in_current_span());
    Ok(stream::unfold(told, |mut told| async { Some((told.recv().await?, told)) }))
}

impl Wanted {
    /// With the language as it is stored.
    fn in_normal_form(self) -> Self {
        let language = self.language.map(|text| super::content_folder::language_tag(&text).unwrap_or(text));
        Self { language, ..self }
    }
}

/// A language as a model is told of it.
fn language_name(tag: &str) -> String {
    const NAMES: &[(&str, &str)] = &[
        ("zh-hant", "Traditional Chinese (繁體中文)"),
        ("zh", "Chinese (中文)"),
        ("en", "English"),
        ("ja", "Japanese (日本語)"),
        ("ko", "Korean (한국어)"),
        ("fr", "French"),
        ("de", "German"),
        ("es", "Spanish"),
        ("it", "Italian"),
        ("pt", "Portuguese"),
        ("ru", "Russian"),
    ];
    let lower = tag.to_lowercase();
    let is_of = |name: &str| lower.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let name = NAMES.iter().find(|(name, _)| is_of(name)).map(|(_, name)| *name);
    name.map_or_else(|| format!("the language {tag}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_have_names() {
        for (tag, name) in [
            ("zh", "Chinese (中文)"),
            ("zh-CN", "Chinese (中文)"),
            ("zh-Hant-TW", "Traditional Chinese (繁體中文)"),
            ("en-GB", "English"),
            ("eng", "the language eng"),
            ("tlh", "the language tlh"),
        ] {
            assert_eq!(language_name(tag), name, "{tag}");
        }
    }
}
