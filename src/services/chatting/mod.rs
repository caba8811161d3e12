//! The chat over the site: a question is answered from what is published, and the answer cites it.
//!
//! [`ask`] lets a question in and gives what becomes of it as [`ChatEvent`]s. `entering.rs` checks
//! it, `threads.rs` knows what was said before and keeps what is said, `retrieving.rs` finds
//! passages (`follow_up.rs` makes a question that can be looked for), `prompt.rs` lays them before
//! the model, `answering.rs` has the answer written, or `quoting.rs` finds one in the passages.
//! `conversations.rs` is for those who look at
//! what they asked. Whoever asks, only what everybody may read is ever looked at here. Imported by
//! `graphql`, `http` and `app`; `docs/CHAT.md` goes on from there.
//!
//! To change what the model is told: `prompts/chat.txt`, and the places that it has in `prompt.rs`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use super::allowance::Account;
use super::feeds::Addresses;
use super::{Actor, ServiceError};
use crate::config::ChatAnswers;
use crate::inference::{GenerateOptions, InferenceError, Usage};
use crate::store::messages::Finish;
use crate::store::posts::{PostFilter, PostKind};

mod answering;
pub mod conversations;
mod entering;
mod follow_up;
mod language;
mod memory;
mod places;
pub(super) mod prompt;
mod quoting;
mod retrieving;
mod threads;

pub use entering::{MAX_QUESTION_CHARS, ask};
pub use prompt::MAX_ANSWER_TOKENS;
pub use threads::Turn;

pub(super) use places::Place;
pub(super) use retrieving::least_similarity;

use memory::Memory;
use places::Places;

/// How the chat is set up.
#[derive(Clone, Debug)]
pub struct ChatSettings {
    /// Where cited posts are to be found.
    pub addresses: Addresses,
    /// The folder of the owner's own prompts, which need not be there.
    pub prompts: PathBuf,
    pub answers: ChatAnswers,
    /// Questions that are answered at the same time.
    pub max_chats: usize,
    /// For one question.
    pub timeout: Duration,
}

/// What all chats of this process share. Cloning is cheap.
#[derive(Clone)]
pub struct Chats(Arc<Shared>);

struct Shared {
    settings: ChatSettings,
    places: Places,
    memory: Memory,
    /// Whether a job may have a text written: one at a time, so that they leave workers to others.
    jobs: Semaphore,
}

impl Chats {
    pub fn new(settings: ChatSettings) -> Self {
        let places = Places::new(settings.max_chats);
        Self(Arc::new(Shared { settings, places, memory: Memory::default(), jobs: Semaphore::new(1) }))
    }

    /// One of the places for those who wait for a text, be it of the chat.
    ///
    /// Errors: why there is none, for the one who asked.
    pub(super) fn place(&self, account: &Account) -> Result<Place, ServiceError> {
        self.0.places.take(account).map_err(ServiceError::Busy)
    }

    /// The turn of a job; none where another has it.
    pub(super) fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.jobs.try_acquire().ok()
    }

    /// The folder of the owner's own prompts, which need not be there.
    pub(super) fn prompts(&self) -> &Path {
        &self.0.settings.prompts
    }

    /// How long a text may take.
    pub(super) fn timeout(&self) -> Duration {
        self.0.settings.timeout
    }

    pub(super) fn settings(&self) -> &ChatSettings {
        &self.0.settings
    }
}

/// Who asks, and from where: who has not signed in is counted by that.
#[derive(Clone, Debug)]
pub struct Asker {
    pub actor: Actor,
    pub address: Option<IpAddr>,
}

/// Something that is asked of the site.
#[derive(Clone, Debug, Default)]
pub struct Question {
    pub text: String,
    pub thread: Thread,
    /// Which posts may answer it. Only published ones ever do.
    pub filter: PostFilter,
    /// How the answer is written, where whoever asks has a say in it.
    pub options: Option<GenerateOptions>,
}

/// What a question follows on.
#[derive(Clone, Debug)]
pub enum Thread {
    /// The conversation of this id, or a new one.
    Kept(Option<Uuid>),
    /// What the client says was said. Kept under the client's own name for it, for who has signed in.
    Named { name: String, before: Vec<Turn> },
    /// What the client says was said. Kept nowhere.
    Told(Vec<Turn>),
}

impl Default for Thread {
    fn default() -> Self {
        Self::Kept(None)
    }
}

/// What becomes of a question, in this order; the last is `Done` or `Failed`.
#[derive(Clone, Debug)]
pub enum ChatEvent {
    Started {
        /// None where nothing is kept.
        conversation_id: Option<Uuid>,
        /// Of the answer.
        message_id: Uuid,
    },
    Citations {
        citations: Vec<Citation>,
        /// Found by words alone.
        degraded: bool,
    },
    Token(String),
    Done(Done),
    Failed(ChatFailure),
}

/// A passage that the answer may refer to by its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Citation {
    /// From 1.
    pub index: usize,
    pub post_id: Uuid,
    pub slug: String,
    pub kind: PostKind,
    pub language: String,
    pub title: String,
    pub heading_path: Vec<String>,
    pub anchor: Option<String>,
    /// How the passage begins.
    pub excerpt: String,
}

impl Citation {
    /// Where it is to be read.
    pub fn url(&self, chats: &Chats) -> String {
        match &self.anchor {
            Some(anchor) => format!("{}#{anchor}", self.page(chats)),
            None => self.page(chats),
        }
    }

    /// The post's page, which tells no more of it than its title does.
    pub fn page(&self, chats: &Chats) -> String {
        chats.0.settings.addresses.post(self.kind, &self.slug, &self.language)
    }
}

/// How an answer came to its end.
#[derive(Clone, Debug)]
pub struct Done {
    pub finish: Finish,
    pub usage: Usage,
    pub duration: Duration,
    /// The one that wrote it; none where the site says nothing of it, or is quoted.
    pub model: Option<String>,
    /// Passages were found by words alone, or another model answered than the one that should have, or none.
    pub degraded: bool,
}

/// Why there is no answer, or only a part of one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChatFailure {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Inference(#[from] InferenceError),
    #[error("the answer was not finished within {} s: ask for less", .0.as_secs_f32())]
    TimedOut(Duration),
}
