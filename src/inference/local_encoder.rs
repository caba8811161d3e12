//! An encoder in this process: a thread that owns it, and the queue in front of it.

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::catalogue::Entry;
use super::encoder::{Encoder, LoadError, TextTokenizer, Tokens, unit};
use super::queue::{Popped, Queue, Unit};
use super::{
    Backend, Compute, EmbedRequest, Embeddings, InferenceError, ModelCard, Priority, Ranking, RerankRequest, Task,
};
use crate::telemetry::with_causes;

/// How a model in this process is run.
#[derive(Clone)]
pub struct Running {
    pub encoders: Compute,
    pub decoders: Compute,
    /// Most that the weights of a task's model may take, in MiB.
    pub memory_mb: Option<u64>,
    /// Most texts that wait.
    pub max_queue: usize,
    /// A model that nobody asked for so long leaves the memory; it comes back when it is asked.
    pub idle: Duration,
}

impl Running {
    /// Errors: the files of a model's weights are larger than they may be, with both numbers.
    pub fn has_memory(&self, folder: &Path, entry: &Entry) -> Result<(), LoadError> {
        let takes = entry.weight_bytes(folder).div_ceil(1 << 20);
        match self.memory_mb {
            Some(limit) if takes > limit => Err(LoadError::TooLarge { takes, limit }),
            _ => Ok(()),
        }
    }
}

/// Most tokens of a batch: long enough to keep the cores busy, short enough for a reader who comes
/// in the middle of it.
const BATCH_TOKENS: usize = 1024;
/// Texts of fewer bytes are cut into tokens sooner than another thread would begin to.
const SHORT_BYTES: usize = 512;
/// A model that could not be loaded is not tried again at once.
const LOAD_AGAIN: Duration = Duration::from_secs(10);

/// An encoder in this process.
pub struct LocalEncoder {
    card: ModelCard,
    /// Lengths that its vectors can have.
    lengths: RangeInclusive<usize>,
    tokenizer: Arc<TextTokenizer>,
    queue: Arc<Queue<Tokens>>,
}

impl LocalEncoder {
    /// Loads the model whose files are in `folder`; takes up to some seconds.
    ///
    /// Errors: what is wrong with its files, for the owner.
    pub fn load(folder: PathBuf, entry: Entry, running: Running) -> Result<Self, LoadError> {
        let tokenizer = Arc::new(TextTokenizer::load(&folder, &entry)?);
        let encoder = Encoder::load(&folder, &entry, &running.encoders)?;
        let queue = Arc::new(Queue::new(running.max_queue));
        let card = entry.card();
        let full = card.dimensions.unwrap_or(0);
        let lengths = entry.min_dimensions.unwrap_or(full)..=full;
        let worker = Worker { folder, entry, running, queue: queue.clone(), encoder: Some(encoder) };
        let thread = std::thread::Builder::new().name(format!("model-{}", card.task));
        let spawned = thread.spawn(move || worker.run());
        spawned.map_err(|source| LoadError::Read { file: "a thread".to_owned(), source })?;
        Ok(Self { card, lengths, tokenizer, queue })
    }

    /// Texts of so many bytes to tokens, long ones off the async threads, then to vectors.
    async fn run(
        &self,
        (texts, bytes): (usize, usize),
        priority: Priority,
        tokens: impl FnOnce(&TextTokenizer) -> Result<Vec<Tokens>, InferenceError> + Send + 'static,
    ) -> Result<(Vec<Vec<f32>>, usize), InferenceError> {
        self.queue.has_room(texts, priority)?;
        let tokens = if bytes < SHORT_BYTES {
            tokens(&self.tokenizer)?
        } else {
            let tokenizer = self.tokenizer.clone();
            let tokens = tokio::task::spawn_blocking(move || tokens(&tokenizer)).await;
            tokens.map_err(|_| InferenceError::Failed { model: self.card.name() })??
        };
        let count = tokens.iter().map(|text| text.ids.len()).sum();
        let answer = self.queue.push(tokens, priority)?;
        let vectors = answer.await.map_err(|_| InferenceError::Stopping)??;
        Ok((vectors, count))
    }
}

impl Drop for LocalEncoder {
    fn drop(&mut self) {
        // The thread does what waits, and ends.
        self.queue.close();
    }
}

impl Backend for LocalEncoder {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn embed(&self, request: EmbedRequest) -> BoxFuture<'_, Result<Embeddings, InferenceError>> {
        Box::pin(async move {
            if self.card.task != Task::Embed {
                return Err(InferenceError::no_model(Task::Embed));
            }
            let EmbedRequest { texts, kind, overlong, priority, dimensions } = request;
            let length = dimensions.unwrap_or(*self.lengths.end());
            if !self.lengths.contains(&length) {
                // A model that was not trained for it gives vectors that mean less and less.
                let (name, least, full) = (self.card.name(), self.lengths.start(), self.lengths.end());
                let lengths = if least == full { full.to_string() } else { format!("from {least} to {full}") };
                let message = format!("`dimensions` of {name} is {lengths}: it was not trained for other lengths");
                return Err(InferenceError::BadInput(message));
            }
            let size = (texts.len(), texts.iter().map(String::len).sum());
            let tokens = move |tokenizer: &TextTokenizer| tokenizer.texts(&texts, kind, overlong);
            let (mut vectors, prompt_tokens) = self.run(size, priority, tokens).await?;
            for vector in vectors.iter_mut().filter(|_| length < *self.lengths.end()) {
                vector.truncate(length);
                *vector = unit(std::mem::take(vector));
            }
            Ok(Embeddings { model: self.card.name(), vectors, prompt_tokens, degraded: false })
        })
    }

    fn rerank(&self, request: RerankRequest) -> BoxFuture<'_, Result<Ranking, InferenceError>> {
        Box::pin(async move {
            if self.card.task != Task::Rerank {
                return Err(InferenceError::no_model(Task::Rerank));
            }
            let RerankRequest { query, texts, overlong } = request;
            let size = (texts.len(), texts.iter().map(|text| query.len() + text.len()).sum());
            let tokens = move |tokenizer: &TextTokenizer| tokenizer.pairs(&query, &texts, overlong);
            let (scores, prompt_tokens) = self.run(size, Priority::Reader, tokens).await?;
            let logits = scores.into_iter().filter_map(|score| score.first().copied()).collect();
            Ok(Ranking { model: self.card.name(), logits, prompt_tokens, degraded: false })
        })
    }
}

/// The thread of a model.
struct Worker {
    folder: PathBuf,
    entry: Entry,
    running: Running,
    queue: Arc<Queue<Tokens>>,
    encoder: Option<Encoder>,
}

impl Worker {
    fn run(mut self) {
        let mut failed: Option<Instant> = None;
        loop {
            let mut room = BATCH_TOKENS;
            let popped = self.queue.pop(self.running.idle, |text: &Tokens| {
                let fits = text.ids.len() <= room;
                room = room.saturating_sub(text.ids.len());
                fits
            });
            let batch = match popped {
                Popped::Batch(batch) => batch,
                Popped::Idle => {
                    if self.encoder.take().is_some() {
                        tracing::info!(model = %self.entry.name(), "idle: unloaded");
                    }
                    continue;
                }
                Popped::Closed => return,
            };
            let again = failed.is_none_or(|at| at.elapsed() >= LOAD_AGAIN);
            if self.encoder.is_none() && again {
                failed = self.load().err().map(|_| Instant::now());
            }
            let begun = Instant::now();
            let texts = batch.len();
            self.answer(batch);
            self.queue.note(texts, begun.elapsed());
        }
    }

    fn load(&mut self) -> Result<(), InferenceError> {
        let begun = Instant::now();
        let name = self.entry.name();
        let load = || Encoder::load(&self.folder, &self.entry, &self.running.encoders);
        let loaded = catch_unwind(AssertUnwindSafe(load));
        match loaded {
            Ok(Ok(encoder)) => {
                tracing::info!(model = %name, ms = begun.elapsed().as_millis(), "loaded");
                self.encoder = Some(encoder);
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::error!(model = %name, error = %with_causes(&error), "a model cannot be loaded");
                Err(InferenceError::Failed { model: name })
            }
            Err(_) => Err(InferenceError::Failed { model: name }),
        }
    }

    fn answer(&self, batch: Vec<Unit<Tokens>>) {
        let texts: Vec<&Tokens> = batch.iter().map(|unit| &unit.text).collect();
        let done = self.encoder.as_ref().map(|encoder| catch_unwind(AssertUnwindSafe(|| encoder.run(&texts))));
        let failed = |why: &dyn std::fmt::Display| {
            tracing::error!(model = %self.entry.name(), why = %why, "a batch failed");
            for unit in &batch {
                unit.job.finish(Err(InferenceError::Failed { model: self.entry.name() }));
            }
        };
        let vectors = match done {
            None => return failed(&"the model is not loaded"),
            Some(Err(_)) => return failed(&"it panicked"),
            Some(Ok(Err(error))) => return failed(&error),
            Some(Ok(Ok(vectors))) => vectors,
        };
        for (unit, vector) in batch.iter().zip(vectors) {
            if vector.iter().all(|x| x.is_finite()) {
                unit.job.put(unit.index, vector);
            } else {
                tracing::error!(model = %self.entry.name(), "the model gives numbers that are none: are its files broken?");
                unit.job.finish(Err(InferenceError::Failed { model: self.entry.name() }));
            }
        }
    }
}
