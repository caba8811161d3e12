//! The site's knowledge graph: what its posts name, and what has to do with what.
//!
//! `indexing` asks for [`connect_post`] behind each change of what is published, and has what is
//! unpublished forgotten in the transaction of the change. The job reads a post by rules
//! (`reading.rs`, over the names of `vocabulary.rs`), and `keeping.rs` makes entities of what it finds.
//! [`rebuild`] reads all posts again, `by_model.rs` has a model read them where the owner wants that,
//! `editing.rs` is what people say about entities, and `graph.rs` what there is around one. Nothing
//! that stands in a post changes more than what that post is said to name. `docs/GRAPH.md` goes on
//! from there. Imported by `indexing`, `publishing`, `graphql`, `jobs` and `app`.
//!
//! To have more found: a rule in `reading.rs`, or a line in `technologies.txt`, and `RULES` counted up.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::jobs::{Outcome, Progress};
use super::markdown::{Line, lines};
use super::{ServiceError, Services};
use crate::events::{EventKind, NewEvent};
use crate::store::jobs::{self, NewJob};
use crate::store::posts::{self, PostKind, PostRow, PostStatus};
use crate::store::{Conn, DbError, entities, post_entities, series, tags, users};

mod addresses;
mod by_model;
mod editing;
mod graph;
mod keeping;
mod names;
mod phrases;
mod reading;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use by_model::{READ_JOB, read_entities};
pub use editing::{BroughtIn, Imported, NewThing, Renaming, add, bring_in, check, delete, merge, rebuild_all, rename};
pub use graph::{Graph, MAX_DEPTH, Relation, around};
pub use names::key;

use reading::{Found, Source};
use vocabulary::{Vocabulary, project_name};

/// The job that reads a post; its subject is the post.
pub const CONNECT_JOB: &str = "connect_post";
/// The job that reads all posts again; one for all of them.
pub const REBUILD_JOB: &str = "rebuild_graph";

/// The rules that posts are read by; what older ones read is read again.
const RULES: i32 = 2;
/// Posts that [`rebuild`] reads by one vocabulary.
const BATCH: i64 = 50;
/// How long [`rebuild`] goes on before it asks for itself again: others may wait for the worker.
const SLICE: Duration = Duration::from_secs(300);
/// In the job's payload: when it was asked for.
const SINCE: &str = "since";

/// What is to be done, in the transaction of the change, when posts are not published any more and
/// have been forgotten: the name of a project was looked for in all others.
pub async fn withdrawn(conn: &mut Conn, gone: &[PostRow], now: DateTime<Utc>) -> Result<(), DbError> {
    let projects = gone.iter().filter(|post| post.kind == PostKind::Project);
    let names: Vec<String> = projects.map(|post| key(&project_name(&post.title))).collect();
    if !names.is_empty() {
        // Who only links to it does not say it.
        entities::unsay(conn, &names).await?;
        ask_for_all(conn, now).await?;
    }
    Ok(())
}

/// Asks for all posts to be read again; the job.
pub async fn ask_for_all(conn: &mut Conn, now: DateTime<Utc>) -> Result<Uuid, DbError> {
    jobs::enqueue_with(conn, &rebuilding(now), now).await
}

/// What a [`REBUILD_JOB`] has to know that was asked for at this time.
pub fn since(now: DateTime<Utc>) -> Value {
    json!({ SINCE: now.timestamp_micros() })
}

fn rebuilding(now: DateTime<Utc>) -> NewJob<'static> {
    NewJob { priority: jobs::Priority::LOW, payload: since(now), ..NewJob::new(REBUILD_JOB, Uuid::nil(), now) }
}

/// Asks for what no rules have read yet, or older ones.
pub async fn catch_up(services: &Services, now: DateTime<Utc>) -> Result<(), ServiceError> {
    let mut tx = services.db.begin().await?;
    if post_entities::any_stale(&mut tx, RULES).await? {
        // What is read anew by these rules is not read twice.
        let job = NewJob { payload: json!({ SINCE: 0 }), ..rebuilding(now) };
        jobs::enqueue_unless_open(&mut tx, &job, now).await?;
    }
    if services.policy.graph_by_model {
        by_model::ask_for(&mut tx, now).await?;
    }
    services.commit(tx, &[]).await?;
    Ok(())
}

/// Reads a post and replaces what the graph knows of it, or forgets it if it is not published.
pub async fn connect_post(services: &Services, id: Uuid, now: DateTime<Utc>) -> Result<(), ServiceError> {
    let known = Arc::new(Vocabulary::load(services).await?);
    connect(services, &known, id, now, true).await
}

/// Reads all posts again that were not read since the job was asked for, and forgets what nobody
/// names any more. What was edited stays.
pub async fn rebuild(services: &Services, payload: &Value, progress: &Progress) -> Result<Outcome, ServiceError> {
    let begun = tokio::time::Instant::now();
    let asked = payload[SINCE].as_i64().and_then(DateTime::from_timestamp_micros);
    let since = asked.unwrap_or(DateTime::UNIX_EPOCH);
    while begun.elapsed() < SLICE {
        let (ids, stale, all) = post_entities::stale(&mut *services.db.conn().await?, RULES, since, BATCH).await?;
        progress.set((all - stale).unsigned_abs(), all.unsigned_abs());
        if ids.is_empty() {
            let mut tx = services.db.begin().await?;
            entities::lock(&mut tx).await?;
            entities::delete_unused(&mut tx).await?;
            entities::call_by_what_is_said(&mut tx, None).await?;
            entities::delete_unsaid(&mut tx).await?;
            services.commit(tx, &[]).await?;
            return Ok(Outcome::Done);
        }
        let known = Arc::new(Vocabulary::load(services).await?);
        for id in ids {
            // Clocks differ: what is read now was read after it was asked for.
            Box::pin(connect(services, &known, id, Utc::now().max(since), false)).await?;
        }
    }
    Ok(Outcome::Later(Utc::now()))
}

/// `tells` that other posts have to be read again where this one introduces a name.
async fn connect(
    services: &Services,
    known: &Arc<Vocabulary>,
    id: Uuid,
    now: DateTime<Utc>,
    tells: bool,
) -> Result<(), ServiceError> {
    let Some(source) = read(services, id).await? else {
        let mut tx = services.db.begin().await?;
        // Somebody may have published it since.
        if posts::lock(&mut tx, id).await?.is_none_or(|row| row.status != PostStatus::Published) {
            post_entities::forget(&mut tx, &[id]).await?;
            tx.commit().await?;
        }
        return Ok(());
    };
    let version = source.row.version;
    let found = find(known.clone(), source).await?;
    let mut tx = services.db.begin().await?;
    entities::lock(&mut tx).await?;
    let current = posts::lock(&mut tx, id).await?;
    if current.is_none_or(|row| row.version != version || row.status != PostStatus::Published) {
        // It was changed meanwhile, and whoever changed it has asked for it again.
        return Ok(());
    }
    let read = post_entities::noted(&mut tx, id).await?.and_then(|(_, read)| read);
    let is_read = read == Some(version);
    let kept = Box::pin(keeping::keep(&mut tx, id, &found, is_read, now)).await?;
    post_entities::note(&mut tx, id, version, RULES, now).await?;
    if kept.introduced && tells {
        ask_for_all(&mut tx, now).await?;
    }
    if services.policy.graph_by_model && !is_read {
        by_model::ask_for(&mut tx, now).await?;
    }
    let events = if kept.changed { vec![changed(id, None, now)] } else { Vec::new() };
    Box::pin(services.commit(tx, &events)).await?;
    Ok(())
}

async fn find(known: Arc<Vocabulary>, source: Source) -> Result<Found, ServiceError> {
    let found = tokio::task::spawn_blocking(move || reading::read(&known, &source)).await;
    found.map_err(|error| ServiceError::Internal(format!("reading a post for the graph failed: {error}")))
}

/// A published post as it is read; none if it is not published.
async fn read(services: &Services, id: Uuid) -> Result<Option<Source>, ServiceError> {
    // One view of the post: its text must be that of its version.
    let mut tx = services.db.snapshot().await?;
    let row = posts::by_ids(&mut tx, &[id]).await?.pop().filter(|row| row.status == PostStatus::Published);
    let Some(row) = row else { return Ok(None) };
    let markdown = posts::bodies(&mut tx, &[id]).await?.pop().map(|body| body.markdown).unwrap_or_default();
    let tags = tags::by_posts(&mut tx, &[id]).await?.remove(&id).unwrap_or_default();
    let author = users::by_ids(&mut tx, &[row.author_id]).await?.pop().map(|user| user.name);
    let series_ids: Vec<Uuid> = row.series_id.into_iter().collect();
    let series = series::by_ids(&mut tx, &series_ids).await?.pop().map(|series| series.title);
    tx.commit().await?;
    let text = tokio::task::spawn_blocking(move || lines(&markdown)).await;
    let text = text.map_err(|error| ServiceError::Internal(format!("cutting a post failed: {error}")))?;
    let head = |text: &str, is_heading| Line { text: text.to_owned(), is_heading, ..Line::default() };
    let mut all = vec![head(&row.title, true)];
    all.extend(row.description.as_deref().map(|description| head(description, false)));
    all.extend(text);
    let origin = services.chats.settings().addresses.origin.clone();
    Ok(Some(Source { row, tags, author, series, lines: all, origin }))
}

/// Answers that were kept hold what the graph knew before.
fn changed(subject: Uuid, actor: Option<Uuid>, at: DateTime<Utc>) -> NewEvent {
    NewEvent { kind: EventKind::GraphChanged, subject, payload: json!({}), actor, at }
}
