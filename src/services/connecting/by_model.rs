//! Entities that a model reads out of posts, where the owner has switched that on.
//!
//! The text is data: it stands between marks, the answer is held to a schema, and of what the model
//! says only names count that really stand in the text. So a post can change nothing but what it is
//! itself said to name.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::names::{is_name, key, tidy, units, written_in};
use super::reading::{Finding, Source};
use super::{changed, keeping};
use crate::inference::{
    Constraint, GenerateOptions, GenerateRequest, InferenceError, Message, Piece, Prompt, Role, Task,
};
use crate::services::jobs::{Outcome, Progress};
use crate::services::prompting::{cut_tokens, neutral, template};
use crate::services::{ServiceError, Services};
use crate::store::entities::EntityKind;
use crate::store::jobs::{self, NewJob};
use crate::store::post_entities::{self, MentionSource};
use crate::store::posts::{self, PostStatus};
use crate::store::{Conn, DbError, entities};

/// The job that has a model read the posts that none has read; one for all of them.
pub const READ_JOB: &str = "read_entities";

const BUILT_IN: &str = include_str!("prompts/entities.txt");
const FILE: &str = "entities.txt";
/// Entities that a model may add to a post.
const MOST: usize = 12;
/// Of a post the first so many tokens, and never more than half of what the model takes.
const MAX_TEXT_TOKENS: usize = 1_500;
const ANSWER_TOKENS: usize = 400;
/// How long a model may take for one post.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long [`read_entities`] goes on before it asks for itself again.
const SLICE: Duration = Duration::from_secs(900);
/// When it is asked again whether there is a model.
const MODEL_PAUSE: TimeDelta = TimeDelta::seconds(30);

/// Asks for it; whatever readers wait for goes before it.
pub async fn ask_for(conn: &mut Conn, now: DateTime<Utc>) -> Result<(), DbError> {
    let job = NewJob { priority: jobs::Priority::LOW, ..NewJob::new(READ_JOB, Uuid::nil(), now) };
    jobs::enqueue_unless_open(conn, &job, now).await?;
    Ok(())
}

/// Has the model that writes read what it has not read; comes again where none answers.
pub async fn read_entities(services: &Services, progress: &Progress) -> Result<Outcome, ServiceError> {
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < SLICE {
        if !services.policy.graph_by_model {
            return Ok(Outcome::Done);
        }
        let (next, unread, all) = post_entities::unread(&mut *services.db.conn().await?).await?;
        progress.set((all - unread).unsigned_abs(), all.unsigned_abs());
        let Some(id) = next else { return Ok(Outcome::Done) };
        if !Box::pin(read_one(services, id)).await? {
            return Ok(Outcome::Later(Utc::now() + MODEL_PAUSE));
        }
    }
    Ok(Outcome::Later(Utc::now()))
}

/// False where no model answers now.
async fn read_one(services: &Services, id: Uuid) -> Result<bool, ServiceError> {
    let Some(source) = super::read(services, id).await? else {
        // It is forgotten by who took it back.
        post_entities::forget(&mut *services.db.conn().await?, &[id]).await?;
        return Ok(true);
    };
    let version = source.row.version;
    let asked = tokio::time::timeout(PATIENCE, ask(services, &source)).await;
    let said = match asked {
        Ok(Ok(said)) => said,
        // Nothing that would be otherwise the next time.
        Ok(Err(error @ (InferenceError::TooLong { .. } | InferenceError::BadInput(_)))) => {
            tracing::debug!(post = %source.row.slug, %error, "a post is left to the rules");
            String::new()
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "entities are read later");
            return Ok(false);
        }
        Err(_) => {
            tracing::debug!(post = %source.row.slug, "a model took too long to read a post: it is left to the rules");
            String::new()
        }
    };
    let findings = understood(&said, &source);
    let now = Utc::now();
    let mut tx = services.db.begin().await?;
    entities::lock(&mut tx).await?;
    let current = posts::lock(&mut tx, id).await?;
    let noted = post_entities::noted(&mut tx, id).await?;
    let is_same = current.is_some_and(|row| row.version == version && row.status == PostStatus::Published);
    if !is_same || noted.is_none_or(|(connected, _)| connected != version) {
        // It was changed meanwhile: the rules read it first, and ask for this again.
        return Ok(true);
    }
    let has_changed = Box::pin(keeping::add(&mut tx, id, &findings, now)).await?;
    post_entities::note_read(&mut tx, id, version).await?;
    let events = if has_changed { vec![changed(id, None, now)] } else { Vec::new() };
    Box::pin(services.commit(tx, &events)).await?;
    Ok(true)
}

/// What the model says to a post.
async fn ask(services: &Services, source: &Source) -> Result<String, InferenceError> {
    let card = services.engine.deployed(Task::Generate).ok_or_else(|| services.engine.no_model(Task::Generate))?;
    let told = template(&services.chats.settings().prompts, FILE, BUILT_IN).await;
    let text = neutral(&text(source));
    let text = cut_tokens(&text, MAX_TEXT_TOKENS.min(card.context / 2));
    let messages = vec![
        Message::new(Role::System, told.as_ref()),
        Message::new(Role::User, format!("<<<POST>>>\n{text}\n<<<END>>>\n\nThe names in it, as JSON:")),
    ];
    let options = GenerateOptions {
        max_tokens: Some(ANSWER_TOKENS.min(card.context / 4)),
        temperature: 0.0,
        constraint: Some(Constraint::JsonSchema(schema())),
        ..GenerateOptions::default()
    };
    let request = GenerateRequest { prompt: Prompt::Messages(messages), tools: Vec::new(), options };
    let mut pieces = services.engine.generate(None, request).await?;
    let mut said = String::new();
    while let Some(piece) = pieces.next().await {
        if let Piece::Text { text, .. } = piece? {
            said.push_str(&text);
        }
    }
    Ok(said)
}

fn text(source: &Source) -> String {
    source.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
}

fn schema() -> serde_json::Value {
    json!({
        "type": "object",
        "properties": { "entities": {
            "type": "array",
            "maxItems": MOST,
            "items": {
                "type": "object",
                "properties": {
                    "name": { "type": "string", "minLength": 1, "maxLength": super::names::MAX_NAME_CHARS },
                    "kind": { "enum": ["PERSON", "PROJECT", "PLACE", "TECHNOLOGY", "CONCEPT"] },
                },
                "required": ["name", "kind"],
                "additionalProperties": false,
            },
        } },
        "required": ["entities"],
        "additionalProperties": false,
    })
}

#[derive(Deserialize)]
struct Said {
    entities: Vec<SaidEntity>,
}

#[derive(Deserialize)]
struct SaidEntity {
    name: String,
    kind: String,
}

/// What of a model's answer counts: names that stand in the text, each once, as they stand there.
fn understood(said: &str, source: &Source) -> Vec<Finding> {
    let Ok(said) = serde_json::from_str::<Said>(said) else { return Vec::new() };
    let lines: Vec<_> = source.lines.iter().map(|line| (line, units(&line.text))).collect();
    let mut found: Vec<Finding> = Vec::new();
    for SaidEntity { name, kind } in said.entities.into_iter().take(MOST) {
        let kind = kind.parse().ok().filter(|kind| *kind != EntityKind::Tag);
        let place = lines.iter().find_map(|(line, of_line)| Some((line, written_in(&line.text, of_line, &name)?)));
        let (Some(kind), Some((line, written))) = (kind, place) else { continue };
        let name = tidy(written);
        let is_new = found.iter().all(|finding| key(&finding.names[0]) != key(&name));
        if is_name(&name) && is_new {
            found.push(Finding {
                names: vec![name],
                kind,
                source: MentionSource::Model,
                weight: 1.0,
                anchor: line.anchor.clone(),
                tag_id: None,
                introduces: false,
            });
        }
    }
    found
}
