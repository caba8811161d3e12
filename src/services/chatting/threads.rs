//! What was said before a question, and where what is said is kept: in the database for who has
//! signed in, in memory for others, nowhere for clients that tell all of it each time.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Asker, Citation, Thread};
use crate::inference::Usage;
use crate::services::prompting::{cut, one_line};
use crate::services::{RefusalCode, ServiceError, Services};
use crate::store::conversations::{self, ConversationRow};
use crate::store::messages::{self, Finish, MessageRow, Speaker};
use crate::store::{Conn, DbError};

/// Turns that are looked back to at most.
pub const KEPT_TURNS: usize = 4;
/// Messages of one conversation: whoever asks more begins another.
pub const MAX_MESSAGES: i64 = 200;
/// Conversations of one user; the least used are forgotten.
const MAX_CONVERSATIONS: i64 = 500;
const TITLE_CHARS: usize = 80;

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub question: String,
    pub answer: String,
}

/// Where a question stands.
pub struct Threaded {
    pub before: Vec<Turn>,
    keeping: Keeping,
}

/// Where what is said is kept.
#[derive(Clone, Copy)]
enum Keeping {
    Nowhere,
    InMemory(Uuid),
    Stored(Uuid),
}

/// A conversation in the database.
enum Wanted {
    Old(Uuid),
    /// A new one, unless there is one of this id.
    Either(Uuid),
}

impl Wanted {
    fn of(id: Option<Uuid>) -> Self {
        id.map_or_else(|| Self::Either(Uuid::now_v7()), Self::Old)
    }
}

/// What is kept of an answer.
pub struct Answer<'a> {
    pub id: Uuid,
    pub text: &'a str,
    pub citations: &'a [Citation],
    pub finish: Finish,
    pub model: Option<&'a str>,
    pub usage: Usage,
}

impl Threaded {
    pub fn conversation_id(&self) -> Option<Uuid> {
        match self.keeping {
            Keeping::Nowhere => None,
            Keeping::InMemory(id) | Keeping::Stored(id) => Some(id),
        }
    }

    /// Keeps an answer. The question of a conversation that was deleted meanwhile has none.
    pub async fn keep(&self, services: &Services, question: &str, answer: Answer<'_>) {
        match self.keeping {
            Keeping::InMemory(id) if !answer.text.is_empty() => {
                let turn = Turn { question: question.to_owned(), answer: answer.text.to_owned() };
                services.chats.0.memory.add(id, turn.cut());
            }
            Keeping::Stored(id) if !answer.text.is_empty() => match store(services, id, answer).await {
                Ok(()) | Err(DbError::Constraint { .. }) => {}
                Err(error) => tracing::warn!(%error, "an answer could not be kept"),
            },
            _ => {}
        }
    }
}

/// Finds what was said before, and puts the question down.
///
/// Errors: there is no such conversation of this user, or it is too long.
pub async fn open(
    services: &Services,
    asker: &Asker,
    thread: Thread,
    question: &str,
) -> Result<Threaded, ServiceError> {
    let viewer = &asker.actor.viewer;
    let user_id = viewer.user().filter(|_| viewer.is_in_person()).map(|user| user.id);
    let (user_id, wanted, told) = match (thread, user_id) {
        (Thread::Kept(id), Some(user_id)) => (user_id, Wanted::of(id), None),
        (Thread::Named { name, before }, Some(user_id)) => {
            (user_id, Wanted::Either(named(user_id, &name)), Some(before))
        }
        (thread, _) => return Ok(open_unstored(services, thread)),
    };
    let now = asker.actor.now;
    let mut tx = services.db.begin().await?;
    let id = match wanted {
        Wanted::Old(id) => own(&mut tx, user_id, id).await?,
        Wanted::Either(id) => begin(&mut tx, user_id, id, question, now).await?,
    };
    let said = messages::count(&mut tx, id).await?;
    if said >= MAX_MESSAGES {
        let message =
            format!("this conversation has {said} messages, and at most {MAX_MESSAGES} are kept: begin another");
        return Err(ServiceError::refuse(RefusalCode::WrongState, "conversationId", message));
    }
    let before = match told {
        Some(before) => last(before),
        None => turns(messages::last(&mut tx, id, 2 * KEPT_TURNS as i64).await?),
    };
    put(&mut tx, &asked(id, question, now)).await?;
    tx.commit().await?;
    Ok(Threaded { before, keeping: Keeping::Stored(id) })
}

/// Of who has not signed in, or asks with a key.
fn open_unstored(services: &Services, thread: Thread) -> Threaded {
    let memory = &services.chats.0.memory;
    let id = match thread {
        Thread::Kept(id) => id,
        Thread::Named { before, .. } | Thread::Told(before) => {
            return Threaded { before: last(before), keeping: Keeping::Nowhere };
        }
    };
    match id.and_then(|id| Some((id, memory.recall(id)?))) {
        Some((id, before)) => Threaded { before: before.to_vec(), keeping: Keeping::InMemory(id) },
        // Forgotten, or of another process: the answer's first event tells the new id.
        None => Threaded { before: Vec::new(), keeping: Keeping::InMemory(memory.begin()) },
    }
}

async fn own(conn: &mut Conn, user_id: Uuid, id: Uuid) -> Result<Uuid, ServiceError> {
    let found = conversations::find(conn, user_id, id).await?;
    found.map(|row| row.id).ok_or_else(|| ServiceError::not_found("conversationId", "conversation of yours"))
}

async fn begin(
    conn: &mut Conn,
    user_id: Uuid,
    id: Uuid,
    question: &str,
    now: DateTime<Utc>,
) -> Result<Uuid, ServiceError> {
    let line = one_line(question);
    let title = cut(&line, TITLE_CHARS).trim_end().to_owned();
    let row = ConversationRow { id, user_id, title, created_at: now, updated_at: now };
    conversations::insert(conn, &row).await?;
    conversations::keep_last(conn, user_id, MAX_CONVERSATIONS).await?;
    Ok(id)
}

/// The id of the conversation that a user's client calls by a name of its own.
fn named(user_id: Uuid, name: &str) -> Uuid {
    let digest = Sha256::digest([user_id.as_bytes(), name.as_bytes()].concat());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn asked(conversation_id: Uuid, question: &str, now: DateTime<Utc>) -> MessageRow {
    MessageRow {
        id: Uuid::now_v7(),
        conversation_id,
        role: Speaker::User,
        content: question.to_owned(),
        citations: serde_json::Value::Array(Vec::new()),
        finish: None,
        model: None,
        prompt_tokens: 0,
        completion_tokens: 0,
        created_at: now,
    }
}

async fn store(services: &Services, conversation_id: Uuid, answer: Answer<'_>) -> Result<(), DbError> {
    let count = |tokens: usize| i32::try_from(tokens).unwrap_or(i32::MAX);
    let row = MessageRow {
        id: answer.id,
        conversation_id,
        role: Speaker::Assistant,
        // Postgres takes none, and a model may write one.
        content: answer.text.replace('\0', ""),
        citations: serde_json::to_value(answer.citations).unwrap_or_default(),
        finish: Some(answer.finish),
        model: answer.model.map(str::to_owned),
        prompt_tokens: count(answer.usage.prompt_tokens),
        completion_tokens: count(answer.usage.completion_tokens),
        created_at: Utc::now(),
    };
    let mut tx = services.db.begin().await?;
    put(&mut tx, &row).await?;
    tx.commit().await
}

async fn put(conn: &mut Conn, row: &MessageRow) -> Result<(), DbError> {
    messages::insert(conn, row).await?;
    conversations::touch(conn, row.conversation_id, row.created_at).await
}

/// Questions with their answers. One without, which was left or failed, says nothing.
fn turns(rows: Vec<MessageRow>) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut question = None;
    for row in rows {
        match row.role {
            Speaker::User => question = Some(row.content),
            Speaker::Assistant => {
                turns.extend(question.take().map(|question| Turn { question, answer: row.content }));
            }
        }
    }
    last(turns)
}

fn last(mut turns: Vec<Turn>) -> Vec<Turn> {
    turns.split_off(turns.len().saturating_sub(KEPT_TURNS))
}
