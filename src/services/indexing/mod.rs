//! What is published, made known to search: its words at once, its meaning as soon as a model reads.
//!
//! `Services::commit` asks for it ([`ask_for`]) in the transaction of each change that search has to
//! know of, and takes away in it what is not published any more. [`index_post`] is the job that
//! reads a post and replaces all that search knows of it in one transaction; [`read_chunks`] is the
//! one that has a model read what none has read. Both may be run twice without harm.
//!
//! Imported by `searching`, `jobs` and `app`. To have more of a post found: a part in `Source::words`,
//! and `words::ANALYSIS` counted up.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::connecting::{self, CONNECT_JOB};
use super::jobs::{Outcome, Progress};
use super::words::{ANALYSIS, Stems, Weight, Words};
use super::{ServiceError, Services, relating};
use crate::events::{EventKind, NewEvent};
use crate::inference::{EmbedRequest, Overlong, Priority, Task, TextKind};
use crate::store::chunk_vectors::{self, Unread};
use crate::store::chunks::{self, NewChunk};
use crate::store::jobs::{self, NewJob};
use crate::store::post_words::{self, NewPostWords};
use crate::store::posts::{self, PostRow, PostStatus};
use crate::store::{Conn, DbError, post_entities, post_vectors, tags};

mod pieces;

pub use pieces::{Piece, about_tokens, cut, sentences};

/// The job that makes a post known; its subject is the post.
pub const INDEX_JOB: &str = "index_post";
/// The job that has a model read what it has not read; one for all posts.
pub const READ_JOB: &str = "read_chunks";

/// Texts that a model is asked to read at once.
const BATCH: usize = 32;
/// Pieces of a post that are read before it is made known; what is more is read afterwards.
const AT_ONCE: usize = 128;
/// How long a post's words wait for the model to read its pieces.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long [`read_chunks`] goes on before it asks for itself again: others may wait for the worker.
const SLICE: Duration = Duration::from_secs(900);
/// When it is asked again whether there is a model.
const MODEL_PAUSE: TimeDelta = TimeDelta::seconds(10);
/// Posts that are asked for at start in one transaction.
const CATCH_UP: i64 = 1_000;

/// Asks, in the transaction of a change, for what search has to learn of it.
pub async fn ask_for(conn: &mut Conn, events: &[NewEvent]) -> Result<(), DbError> {
    let (mut new, mut edited, mut gone, mut deleted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut at = None;
    for event in events {
        match event.kind {
            EventKind::PostPublished => new.push(event.subject),
            EventKind::PostUpdated => edited.push(event.subject),
            EventKind::PostUnpublished => gone.push(event.subject),
            // It takes its own rows along.
            EventKind::PostDeleted => deleted.push(event.subject),
            EventKind::TagChanged => new.extend(tags::post_ids(conn, event.subject).await?),
            _ => continue,
        }
        at = Some(event.at);
    }
    if let Some(at) = at.filter(|_| !deleted.is_empty()) {
        relating::withdrawn(conn, &deleted, at).await?;
    }
    if let Some(at) = at.filter(|_| !gone.is_empty()) {
        forget(conn, &gone, at).await?;
        let rows = posts::by_ids(conn, &gone).await?;
        connecting::withdrawn(conn, &rows, at).await?;
    }
    let Some(at) = at else { return Ok(()) };
    // What was taken out of a text is found until then: it goes before what is not found yet.
    jobs::enqueue_many(conn, INDEX_JOB, jobs::Priority::HIGH, &edited, at).await?;
    jobs::enqueue_many(conn, INDEX_JOB, jobs::Priority::NORMAL, &new, at).await
}

async fn forget(conn: &mut Conn, post_ids: &[Uuid], at: DateTime<Utc>) -> Result<(), DbError> {
    relating::withdrawn(conn, post_ids, at).await?;
    post_words::forget(conn, post_ids).await?;
    post_vectors::forget(conn, post_ids).await?;
    post_entities::forget(conn, post_ids).await?;
    chunks::forget(conn, post_ids).await
}

/// Asks for what an older version, or none, made known; returns how many posts that are.
pub async fn catch_up(services: &Services, now: DateTime<Utc>) -> Result<usize, ServiceError> {
    let mut tx = services.db.begin().await?;
    let stale = post_words::out_of_date(&mut tx, ANALYSIS, INDEX_JOB, CATCH_UP).await?;
    jobs::enqueue_many(&mut tx, INDEX_JOB, jobs::Priority::NORMAL, &stale, now).await?;
    services.commit(tx, &[]).await?;
    Ok(stale.len())
}

/// Catches up once, and from then on sees to it that a model that begins to answer reads what it has
/// not read, until `stop`.
pub async fn keep_up(services: Services, stop: CancellationToken) {
    let mut model = None;
    let mut behind = true;
    if let Err(error) = connecting::catch_up(&services, Utc::now()).await {
        tracing::warn!(%error, "the graph does not know yet what is published");
    }
    if let Err(error) = relating::catch_up(&services, Utc::now()).await {
        tracing::warn!(%error, "what is related is not made yet");
    }
    loop {
        if behind {
            match catch_up(&services, Utc::now()).await {
                // There may be more than fit into one transaction.
                Ok(asked) => behind = asked as i64 == CATCH_UP,
                Err(error) => tracing::warn!(%error, "search does not know yet what is published"),
            }
        }
        let now_answers = services.engine.deployed(Task::Embed).map(|card| card.name());
        if now_answers.is_some() && now_answers != model {
            match ask_to_read(&services, Utc::now()).await {
                Ok(()) => model = now_answers,
                Err(error) => tracing::warn!(%error, "no model could be asked to read the site"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}

async fn ask_to_read(services: &Services, now: DateTime<Utc>) -> Result<(), DbError> {
    let mut tx = services.db.begin().await?;
    jobs::enqueue_with(&mut tx, &reading(now), now).await?;
    services.commit(tx, &[]).await
}

/// Whatever readers wait for goes before it.
fn reading(at: DateTime<Utc>) -> NewJob<'static> {
    NewJob { priority: jobs::Priority::LOW, ..NewJob::new(READ_JOB, Uuid::nil(), at) }
}

/// Answers that were kept hold what search knew before.
fn learnt(subject: Uuid, at: DateTime<Utc>) -> NewEvent {
    NewEvent { kind: EventKind::SearchChanged, subject, payload: serde_json::json!({}), actor: None, at }
}

/// What search makes of a post.
struct Source {
    row: PostRow,
    tags: Vec<String>,
    pieces: Vec<Piece>,
}

/// Reads a post and replaces all that search knows of it, or forgets it if it is not published.
pub async fn index_post(services: &Services, id: Uuid, now: DateTime<Utc>) -> Result<(), ServiceError> {
    let Some(source) = read(services, id).await? else {
        let mut tx = services.db.begin().await?;
        // Somebody may have published it since.
        if posts::lock(&mut tx, id).await?.is_none_or(|row| row.status != PostStatus::Published) {
            forget(&mut tx, &[id], now).await?;
            tx.commit().await?;
        }
        return Ok(());
    };
    let known = chunks::known(&mut *services.db.conn().await?, id).await?;
    let (row, tagged, pieces) = (source.row.clone(), source.tags.clone(), source.pieces.clone());
    let made = tokio::task::spawn_blocking(move || make(&row, &tagged, pieces, known)).await;
    let (words, new_chunks) = made.map_err(|error| ServiceError::Internal(format!("indexing failed: {error}")))?;
    let read_now = read_pieces(services, &source, &new_chunks).await?;

    let mut tx = services.db.begin().await?;
    let current = posts::lock(&mut tx, id).await?;
    if current.is_none_or(|row| row.version != source.row.version || row.status != PostStatus::Published) {
        // It was changed meanwhile, and whoever changed it has asked for it again.
        return Ok(());
    }
    let total = new_chunks.len();
    chunks::replace(&mut tx, id, &source.row.language, new_chunks).await?;
    post_words::put(&mut tx, words, now).await?;
    let mut complete = total == 0;
    if let Some(read) = read_now {
        chunk_vectors::put(&mut tx, &read.model, read.pieces, &read.vectors).await?;
        post_vectors::refresh(&mut tx, &read.model, &[id]).await?;
        complete = read.complete;
    }
    relating::changed(&mut tx, &[id], now).await?;
    if !complete {
        jobs::enqueue_with(&mut tx, &reading(now), now).await?;
    }
    jobs::enqueue_many(&mut tx, CONNECT_JOB, jobs::Priority::HIGH, &[id], now).await?;
    services.commit(tx, &[learnt(id, now)]).await?;
    tracing::debug!(post = %source.row.slug, chunks = total, complete, "search knows a post");
    Ok(())
}

async fn read(services: &Services, id: Uuid) -> Result<Option<Source>, ServiceError> {
    // One view of the post: its text must be that of its version.
    let mut tx = services.db.snapshot().await?;
    let row = posts::by_ids(&mut tx, &[id]).await?.pop().filter(|row| row.status == PostStatus::Published);
    let Some(row) = row else { return Ok(None) };
    let body = posts::bodies(&mut tx, &[id]).await?.pop();
    let tags = tags::by_posts(&mut tx, &[id]).await?.remove(&id).unwrap_or_default();
    tx.commit().await?;
    let markdown = body.map(|body| body.markdown).unwrap_or_default();
    let pieces = tokio::task::spawn_blocking(move || pieces::cut(&markdown)).await;
    let pieces = pieces.map_err(|error| ServiceError::Internal(format!("cutting a post failed: {error}")))?;
    Ok(Some(Source { row, tags: tags.into_iter().map(|tag| tag.name).collect(), pieces }))
}

/// The words of a post, and its pieces with the ids of those that have not changed.
fn make(
    row: &PostRow,
    tags: &[String],
    pieces: Vec<Piece>,
    known: Vec<(Uuid, Vec<u8>)>,
) -> (NewPostWords, Vec<NewChunk>) {
    let stems = Stems::of(&row.language);
    let (mut head, mut words) = (Words::new(&stems), Words::new(&stems));
    for both in [&mut head, &mut words] {
        both.add(&row.title, Weight::Title);
        tags.iter().for_each(|tag| both.add(tag, Weight::Tag));
    }
    words.add(row.description.as_deref().unwrap_or_default(), Weight::Tag);
    let mut same: HashMap<Vec<u8>, Vec<Uuid>> = HashMap::new();
    for (id, hash) in known.into_iter().rev() {
        same.entry(hash).or_default().push(id);
    }
    let mut chunks = Vec::with_capacity(pieces.len());
    let mut path: &[String] = &[];
    for piece in &pieces {
        if piece.heading_path != path {
            if let Some(heading) = piece.heading_path.last() {
                head.add(heading, Weight::Heading);
                words.add(heading, Weight::Heading);
            }
            path = &piece.heading_path;
        }
        words.add(&piece.text, Weight::Body);
        let mut own = Words::new(&stems);
        piece.heading_path.iter().for_each(|heading| own.add(heading, Weight::Heading));
        own.add(&piece.text, Weight::Body);
        let hash = piece.hash(&row.title);
        let kept = same.get_mut(hash.as_slice()).and_then(Vec::pop);
        chunks.push(NewChunk {
            id: kept.unwrap_or_else(Uuid::now_v7),
            heading_path: piece.heading_path.clone(),
            anchor: piece.anchor.clone(),
            text: piece.text.clone(),
            words: own.to_tsvector(),
            hash,
        });
    }
    let (head, words) = (head.to_tsvector(), words.to_tsvector());
    (NewPostWords { post_id: row.id, version: row.version, analysis: ANALYSIS, head, words }, chunks)
}

/// What a model has read.
struct Read {
    model: String,
    pieces: Vec<(Uuid, Vec<u8>)>,
    vectors: Vec<Vec<f32>>,
    /// Nothing of the post is left.
    complete: bool,
}

/// Has the model that answers now read those pieces of a post that it has not read. `None` where
/// none does: the words are made known all the same, and the rest is read when one answers.
async fn read_pieces(services: &Services, source: &Source, chunks: &[NewChunk]) -> Result<Option<Read>, ServiceError> {
    let Some(model) = services.engine.deployed(Task::Embed).map(|card| card.name()) else { return Ok(None) };
    let known = chunk_vectors::read_of_post(&mut *services.db.conn().await?, source.row.id, &model).await?;
    let new: Vec<_> = chunks.iter().zip(&source.pieces).filter(|(chunk, _)| !known.contains(&chunk.id)).collect();
    let mut read = Read { model, pieces: Vec::new(), vectors: Vec::new(), complete: new.len() <= AT_ONCE };
    let until = tokio::time::Instant::now() + PATIENCE;
    for batch in new.iter().take(AT_ONCE).collect::<Vec<_>>().chunks(BATCH) {
        let texts = batch.iter().map(|(_, piece)| piece.for_model(&source.row.title)).collect();
        // Words need not wait for a model that has much to read.
        let reading = tokio::time::timeout_at(until, embed(services, &read.model, texts));
        let Ok(Some(vectors)) = reading.await else {
            read.complete = false;
            break;
        };
        read.pieces.extend(batch.iter().map(|(chunk, _)| (chunk.id, chunk.hash.to_vec())));
        read.vectors.extend(vectors);
    }
    Ok(Some(read))
}

/// Vectors of passages by this model; `None` where it does not answer now.
async fn embed(services: &Services, model: &str, texts: Vec<String>) -> Option<Vec<Vec<f32>>> {
    let request = EmbedRequest {
        texts,
        kind: TextKind::Passage,
        overlong: Overlong::Cut,
        priority: Priority::Bulk,
        ..EmbedRequest::default()
    };
    match services.engine.embed(Some(model), request).await {
        Ok(done) if done.model == model => Some(done.vectors),
        Ok(done) => {
            tracing::debug!(wanted = model, answered = done.model, "another model answered: its vectors are not kept");
            None
        }
        Err(error) => {
            tracing::debug!(model, %error, "what is published is read later");
            None
        }
    }
}

/// Has the model that answers now read what it has not read; comes again where none answers.
pub async fn read_chunks(services: &Services, progress: &Progress) -> Result<Outcome, ServiceError> {
    let begun = tokio::time::Instant::now();
    let Some(model) = services.engine.deployed(Task::Embed).map(|card| card.name()) else {
        return Ok(Outcome::Later(Utc::now() + MODEL_PAUSE));
    };
    let (all, mut read) = chunk_vectors::coverage(&mut *services.db.conn().await?, &model).await?;
    while begun.elapsed() < SLICE {
        progress.set(read.unsigned_abs(), all.unsigned_abs());
        let unread = chunk_vectors::unread(&mut *services.db.conn().await?, &model, BATCH as i64).await?;
        if unread.is_empty() {
            chunk_vectors::index(&services.db, &model).await?;
            return Ok(Outcome::Done);
        }
        read += unread.len() as i64;
        if !read_batch(services, &model, unread).await? {
            return Ok(Outcome::Later(Utc::now() + MODEL_PAUSE));
        }
    }
    Ok(Outcome::Later(Utc::now()))
}

/// False where the model does not answer.
pub async fn read_batch(services: &Services, model: &str, unread: Vec<Unread>) -> Result<bool, ServiceError> {
    let text = |it: &Unread| {
        let piece = Piece { heading_path: it.heading_path.clone(), anchor: None, text: it.text.clone() };
        piece.for_model(&it.title)
    };
    let Some(vectors) = embed(services, model, unread.iter().map(text).collect()).await else { return Ok(false) };
    let mut post_ids: Vec<Uuid> = unread.iter().map(|it| it.post_id).collect();
    post_ids.sort_unstable();
    post_ids.dedup();
    let pieces = unread.into_iter().map(|it| (it.chunk_id, it.hash)).collect();
    let mut tx = services.db.begin().await?;
    chunk_vectors::put(&mut tx, model, pieces, &vectors).await?;
    post_vectors::refresh(&mut tx, model, &post_ids).await?;
    let now = Utc::now();
    relating::changed(&mut tx, &post_ids, now).await?;
    services.commit(tx, &[learnt(Uuid::nil(), now)]).await?;
    Ok(true)
}
