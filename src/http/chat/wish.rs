//! What `useChat` sends: the conversation as the page has it, its last message being the question.

use serde::Deserialize;

use crate::error::ApiError;
use crate::services::chatting::{MAX_ANSWER_TOKENS, Question, Thread, Turn};
use crate::store::posts::{PostFilter, PostKind};

/// Longest name that a page may give a conversation.
pub const MAX_ID_CHARS: usize = 200;
/// Messages and parts of one request. Only the last few are looked at.
pub const MAX_MESSAGES: usize = 1000;
/// A token that is written takes about as long as many that are read.
const TOKEN_PRICE: u64 = 10;

#[derive(Deserialize)]
#[serde(expecting = "an object with `messages`")]
struct Body {
    /// The page's name for the conversation.
    id: Option<String>,
    messages: Vec<Message>,
    #[serde(default)]
    filter: Filter,
}

#[derive(Deserialize)]
#[serde(expecting = "a message with `role` and `parts`")]
struct Message {
    role: String,
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

/// Which posts may answer, as GraphQL's `PostFilterInput` spells it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    kind: Vec<PostKind>,
    tag: Option<String>,
    series: Option<String>,
    author: Option<String>,
    language: Option<String>,
}

/// A question, and what was said before it.
pub struct Wish {
    name: Option<String>,
    before: Vec<Turn>,
    question: String,
    filter: PostFilter,
}

impl Wish {
    /// Errors: `BAD_USER_INPUT` for what is no such request.
    pub fn read(body: &[u8]) -> Result<Self, ApiError> {
        let body: Body = serde_json::from_slice(body).map_err(|error| {
            let expected = "{\"messages\": [{\"role\": \"user\", \"parts\": [{\"type\": \"text\", \"text\": \"…\"}]}]}";
            ApiError::bad_input(format!("the body is no request of `useChat` ({error}): expected {expected}"))
        })?;
        if body.id.as_ref().is_some_and(|id| id.chars().count() > MAX_ID_CHARS) {
            return Err(ApiError::bad_input(format!(
                "`id` is longer than {MAX_ID_CHARS} characters: choose a shorter one"
            )));
        }
        let messages = body.messages.len();
        if messages > MAX_MESSAGES {
            return Err(ApiError::bad_input(format!(
                "`messages` has {messages} entries, and at most {MAX_MESSAGES} are read: send the last ones"
            )));
        }
        let mut messages = body.messages;
        let Some(last) = messages.pop().filter(|last| last.role == "user") else {
            return Err(ApiError::bad_input(
                "the last of `messages` is the question: it has to be of the role \"user\"",
            ));
        };
        Ok(Self {
            name: body.id.filter(|id| !id.is_empty()),
            before: turns(messages),
            question: last.text(),
            filter: body.filter.into(),
        })
    }

    /// In points of the rate limit.
    pub fn cost(&self) -> u64 {
        self.question.len() as u64 / 4 + TOKEN_PRICE * MAX_ANSWER_TOKENS as u64
    }

    pub fn into_question(self) -> Question {
        let thread = match self.name {
            Some(name) => Thread::Named { name, before: self.before },
            None => Thread::Told(self.before),
        };
        Question { text: self.question, thread, filter: self.filter, options: None }
    }
}

impl Message {
    /// What is said, without files, sources and steps.
    fn text(&self) -> String {
        let texts = self.parts.iter().filter(|part| part.kind == "text").filter_map(|part| part.text.as_deref());
        texts.collect::<Vec<_>>().concat()
    }
}

/// Questions with their answers; what stands alone says nothing.
fn turns(messages: Vec<Message>) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut question = None;
    for message in messages {
        match message.role.as_str() {
            "user" => question = Some(message.text()),
            "assistant" => {
                turns.extend(question.take().map(|question| Turn { question, answer: message.text() }));
            }
            _ => {}
        }
    }
    turns
}

impl From<Filter> for PostFilter {
    fn from(filter: Filter) -> Self {
        Self {
            kinds: filter.kind,
            tag_slug: filter.tag,
            series_slug: filter.series,
            author_handle: filter.author,
            language: filter.language,
            ..Self::default()
        }
    }
}
