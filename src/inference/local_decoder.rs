//! A decoder in this process: a thread that owns it and writes several texts at once.
//!
//! Texts join and leave at every step. A sequence that is over keeps its keys and values, and the
//! next prompt that begins as it did goes on from there.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::catalogue::Entry;
use super::decoder::{Decoder, Files, Sequence, Step};
use super::encoder::LoadError;
use super::generate::{Form, Forms, Sampled, Sampler, Template, TextStream, TokenText, Told};
use super::kernels::quant::QuantLinear;
use super::laid_out::LaidOut;
use super::local_encoder::Running;
use super::{
    Backend, FinishReason, GenerateOptions, GenerateRequest, Generation, InferenceError, ModelCard, Piece, Prompt,
    TokenLogprob, Usage,
};

/// Most texts that are written at once.
const TEXTS: usize = 8;
/// Most tokens of prompts in one step, so that those who are being answered go on meanwhile.
const PROMPT_TOKENS: usize = 256;
/// Most texts that wait for one another.
const WAITING: usize = 64;
/// A model that could not be loaded is not tried again at once.
const LOAD_AGAIN: Duration = Duration::from_secs(10);

type Pieces = mpsc::Sender<Result<Piece, InferenceError>>;

/// A decoder in this process.
pub struct LocalDecoder {
    card: ModelCard,
    text: Arc<Text>,
    queue: Arc<Queue>,
}

/// What makes tokens of a request, and text of tokens.
struct Text {
    tokenizer: TokenText,
    template: Template,
    forms: Forms,
}

struct Queue {
    state: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    closed: bool,
    /// How long a text took of late, in seconds.
    seconds: f32,
}

struct Request {
    prompt: Vec<u32>,
    options: GenerateOptions,
    form: Option<Form>,
    pieces: Pieces,
}

impl LocalDecoder {
    /// Loads the model whose file is in `folder`; takes some seconds.
    pub fn load(folder: PathBuf, entry: Entry, running: Running) -> Result<Self, LoadError> {
        let files = Files::open(&folder, &entry)?;
        let decoder = decoder(&files, &folder, &entry, entry.context, &running)?;
        let tokenizer = TokenText::new(&files, decoder.vocabulary())?;
        let source = match &entry.chat_template {
            Some(template) => Some(template.clone()),
            None => files.chat_template()?,
        };
        let template = Template::new(source, tokenizer.marks())?;
        let mut card = entry.card();
        card.context = decoder.config.context;
        let forms = Forms::new(&tokenizer)?;
        let text = Arc::new(Text { tokenizer, template, forms });
        let queue = Arc::new(Queue { state: Mutex::default(), wake: Condvar::new() });
        let worker = Worker {
            name: entry.name(),
            context: card.context,
            folder,
            entry,
            running,
            queue: queue.clone(),
            text: text.clone(),
            decoder: Some(decoder),
            live: Vec::new(),
            idle: Vec::new(),
        };
        let spawned = std::thread::Builder::new().name("model-generate".to_owned()).spawn(move || worker.run());
        spawned.map_err(|source| LoadError::Read { file: "a thread".to_owned(), source })?;
        Ok(Self { card, text, queue })
    }
}

/// The decoder of a model whose files are open.
fn decoder(
    files: &Files,
    folder: &Path,
    entry: &Entry,
    context: usize,
    running: &Running,
) -> Result<Decoder, LoadError> {
    LaidOut::while_loading::<QuantLinear, _>(folder, entry, &running.decoders, |laid_out| {
        Decoder::load(files, context, &running.decoders, laid_out)
    })
}

impl Drop for LocalDecoder {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.wake.notify_all();
    }
}

impl Backend for LocalDecoder {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn generate(&self, request: GenerateRequest) -> BoxFuture<'_, Result<Generation, InferenceError>> {
        Box::pin(async move {
            self.queue.has_room()?;
            let (text, GenerateRequest { prompt, tools, options }) = (self.text.clone(), request);
            let constraint = options.constraint.clone();
            let read = tokio::task::spawn_blocking(move || {
                let form = constraint.map(|constraint| text.forms.form(&constraint)).transpose()?;
                Ok((text.tokens(&prompt, &tools)?, form))
            });
            let (prompt, form) = read.await.map_err(|_| InferenceError::Failed { model: self.card.name() })??;
            let (tokens, limit) = (prompt.len(), self.card.context);
            if tokens >= limit {
                return Err(InferenceError::TooLong { index: 0, tokens, limit });
            }
            // Room for all there can be: the model never waits for a slow reader.
            let (pieces, told) = mpsc::channel(limit + 2);
            self.queue.push(Request { prompt, options, form, pieces })?;
            let told = futures_util::stream::unfold(told, |mut told| async { Some((told.recv().await?, told)) });
            Ok(Generation::new(self.card.name(), told))
        })
    }
}

impl Text {
    fn tokens(&self, prompt: &Prompt, tools: &[serde_json::Value]) -> Result<Vec<u32>, InferenceError> {
        let tokens = match prompt {
            Prompt::Messages(messages) => self.template.tokens(&self.tokenizer, messages, tools)?,
            Prompt::Text(text) => self.tokenizer.whole(text).map_err(InferenceError::BadInput)?,
        };
        if tokens.is_empty() {
            return Err(InferenceError::BadInput("the prompt is empty: there is nothing to go on from".to_owned()));
        }
        Ok(tokens)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self) -> Result<(), InferenceError> {
        let state = self.lock();
        if state.closed {
            return Err(InferenceError::Stopping);
        }
        if state.requests.len() >= WAITING {
            let seconds = state.seconds * WAITING as f32 / TEXTS as f32;
            return Err(InferenceError::Overloaded { retry_after: Duration::from_secs_f32(seconds.clamp(1.0, 120.0)) });
        }
        Ok(())
    }

    fn push(&self, request: Request) -> Result<(), InferenceError> {
        self.has_room()?;
        self.lock().requests.push_back(request);
        self.wake.notify_one();
        Ok(())
    }
}

/// A text that is being written.
struct Live {
    sequence: Sequence,
    /// The prompt, and what was written.
    tokens: Vec<u32>,
    prompt: usize,
    cached: usize,
    /// Tokens that the model has read.
    read: usize,
    limit: usize,
    sampler: Sampler,
    stream: TextStream,
    form: Option<Form>,
    pieces: Pieces,
    begun: Instant,
}

/// The thread of a model.
struct Worker {
    name: String,
    context: usize,
    folder: PathBuf,
    entry: Entry,
    running: Running,
    queue: Arc<Queue>,
    text: Arc<Text>,
    decoder: Option<Decoder>,
    live: Vec<Live>,
    /// Sequences that are over.
    idle: Vec<Sequence>,
}

impl Worker {
    fn run(mut self) {
        let mut failed: Option<Instant> = None;
        while self.admit() {
            if self.decoder.is_none() && failed.is_none_or(|at| at.elapsed() >= LOAD_AGAIN) {
                self.load();
            }
            let stepped = catch_unwind(AssertUnwindSafe(|| self.step()));
            failed = match stepped {
                Ok(true) => None,
                Ok(false) | Err(_) => {
                    tracing::error!(model = %self.name, "writing failed");
                    self.fail();
                    Some(Instant::now())
                }
            };
        }
        for live in self.live.drain(..) {
            let _ = live.pieces.try_send(Err(InferenceError::Stopping));
        }
    }

    fn load(&mut self) {
        let begun = Instant::now();
        let Self { folder, entry, context, running, .. } = self;
        let load = || decoder(&Files::open(folder, entry)?, folder, entry, *context, running);
        match catch_unwind(AssertUnwindSafe(load)) {
            Ok(Ok(decoder)) => {
                tracing::info!(model = %self.name, ms = begun.elapsed().as_millis(), "loaded");
                self.decoder = Some(decoder);
            }
            Ok(Err(error)) => tracing::error!(model = %self.name, %error, "a model cannot be loaded"),
            Err(_) => tracing::error!(model = %self.name, "a model cannot be loaded: it panicked"),
        }
    }

    /// Takes what waits, and waits while there is nothing to do. False when it is over.
    fn admit(&mut self) -> bool {
        let queue = self.queue.clone();
        let mut state = queue.lock();
        self.live.retain(|live| !live.pieces.is_closed());
        loop {
            while self.live.len() < TEXTS
                && let Some(request) = state.requests.pop_front()
            {
                if !request.pieces.is_closed() {
                    let live = self.begin(request);
                    self.live.push(live);
                }
            }
            if !self.live.is_empty() {
                return true;
            }
            if state.closed {
                return false;
            }
            let (next, timeout) =
                queue.wake.wait_timeout(state, self.running.idle).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() && state.requests.is_empty() && self.decoder.take().is_some() {
                self.idle.clear();
                tracing::info!(model = %self.name, "idle: unloaded");
            }
        }
    }

    /// Gives a text the sequence that begins most as its prompt does.
    fn begin(&mut self, request: Request) -> Live {
        let Request { prompt, options, form, pieces } = request;
        let shared = |sequence: &Sequence| {
            let same = sequence.tokens.iter().zip(&prompt).take_while(|(a, b)| a == b).count();
            // The last token is read again: its logits are wanted.
            same.min(prompt.len() - 1)
        };
        let best = (0..self.idle.len()).max_by_key(|n| shared(&self.idle[*n]));
        let best = best.filter(|n| shared(&self.idle[*n]) > 0 || self.live.len() + self.idle.len() >= TEXTS);
        let cached = best.map_or(0, |n| shared(&self.idle[n]));
        let mut sequence = match (best, &self.decoder) {
            (Some(n), _) => self.idle.swap_remove(n),
            (None, Some(decoder)) => decoder.sequence(),
            (None, None) => Sequence::empty(),
        };
        sequence.cut(cached);
        let most = self.context - prompt.len();
        Live {
            sequence,
            prompt: prompt.len(),
            tokens: prompt,
            cached,
            read: cached,
            limit: options.max_tokens.unwrap_or(most).min(most),
            sampler: Sampler::new(&options),
            stream: TextStream::new(&options.stop),
            form,
            pieces,
            begun: Instant::now(),
        }
    }

    /// One step of all texts. False if the model is not there.
    fn step(&mut self) -> bool {
        let Some(decoder) = &self.decoder else { return false };
        // What was begun while the model was away has no room yet.
        for live in self.live.iter_mut().filter(|live| live.sequence.is_empty_handed()) {
            live.sequence = decoder.sequence();
        }
        let mut room = PROMPT_TOKENS;
        let mut takes: Vec<usize> = Vec::with_capacity(self.live.len());
        for live in &self.live {
            let waiting = live.tokens.len() - live.read;
            let take = if live.read + 1 >= live.tokens.len() { 1 } else { waiting.min(room) };
            room = room.saturating_sub(take);
            takes.push(take);
        }
        let mut steps: Vec<Step<'_>> = self
            .live
            .iter_mut()
            .zip(&takes)
            .filter(|(_, take)| **take > 0)
            .map(|(live, take)| Step {
                tokens: &live.tokens[live.read..live.read + take],
                sequence: &mut live.sequence,
            })
            .collect();
        let logits = decoder.forward(&mut steps).inspect_err(|error| {
            tracing::error!(model = %self.name, %error, "a step failed");
        });
        let Ok(logits) = logits else { return false };
        let mut logits = logits.into_iter();
        let mut over = Vec::new();
        for (n, take) in takes.into_iter().enumerate().filter(|(_, take)| *take > 0) {
            let (live, Some(mut logits)) = (&mut self.live[n], logits.next()) else { return false };
            live.read += take;
            if live.read == live.tokens.len() && live.advance(&self.text.tokenizer, &mut logits, &self.name) {
                over.push(n);
            }
        }
        for n in over.into_iter().rev() {
            let live = self.live.swap_remove(n);
            let seconds = live.begun.elapsed().as_secs_f32();
            let mut state = self.queue.lock();
            state.seconds = if state.seconds == 0.0 { seconds } else { 0.8 * state.seconds + 0.2 * seconds };
            drop(state);
            self.idle.push(live.sequence);
        }
        true
    }

    fn fail(&mut self) {
        for live in self.live.drain(..) {
            let _ = live.pieces.try_send(Err(InferenceError::Failed { model: self.name.clone() }));
        }
        self.idle.clear();
    }
}

impl Live {
    /// Chooses the next token and tells what it gives. True when the text is over.
    fn advance(&mut self, tokenizer: &TokenText, logits: &mut [f32], model: &str) -> bool {
        if self.limit == 0 {
            return self.finish(FinishReason::Length);
        }
        let sampled = match self.choose(logits) {
            Ok(sampled) => sampled,
            Err(why) => {
                tracing::error!(%model, %why, "a text cannot go on");
                let _ = self.pieces.try_send(Err(InferenceError::Failed { model: model.to_owned() }));
                return true;
            }
        };
        self.tokens.push(sampled.token);
        if tokenizer.is_end(sampled.token) {
            return self.finish(FinishReason::Stop);
        }
        let bytes = if tokenizer.is_control(sampled.token) { &[] } else { tokenizer.bytes(sampled.token) };
        let logprobs = (sampled.logprob != 0.0).then(|| logprobs(tokenizer, &sampled));
        let told = self.stream.push(bytes, logprobs);
        self.tell(told);
        if self.stream.is_stopped() || self.form.as_ref().is_some_and(Form::is_over) {
            return self.finish(FinishReason::Stop);
        }
        self.tokens.len() - self.prompt >= self.limit && self.finish(FinishReason::Length)
    }

    fn choose(&mut self, logits: &mut [f32]) -> Result<Sampled, String> {
        let none = || "the model gives numbers that are none: is its file broken?".to_owned();
        let Some(form) = &mut self.form else { return self.sampler.sample(logits, None).ok_or_else(none) };
        let allowed = form.allowed()?;
        let sampled = self.sampler.sample(logits, Some(&|token| allowed.is_allowed(token))).ok_or_else(none)?;
        form.take(sampled.token)?;
        Ok(sampled)
    }

    fn tell(&self, told: Option<Told>) {
        if let Some(Told { text, logprobs }) = told {
            // The channel has room for all; who left is seen at the next step.
            let _ = self.pieces.try_send(Ok(Piece::Text { text, logprobs }));
        }
    }

    fn finish(&mut self, finish: FinishReason) -> bool {
        let told = self.stream.finish();
        self.tell(told);
        let usage = Usage {
            prompt_tokens: self.prompt,
            cached_tokens: self.cached,
            completion_tokens: self.tokens.len() - self.prompt,
        };
        let _ = self.pieces.try_send(Ok(Piece::Done { finish, usage }));
        true
    }
}

fn logprobs(tokenizer: &TokenText, sampled: &Sampled) -> (TokenLogprob, Vec<TokenLogprob>) {
    let of = |token: u32, logprob: f32| {
        let bytes = tokenizer.bytes(token).to_vec();
        TokenLogprob { text: String::from_utf8_lossy(&bytes).into_owned(), bytes, logprob }
    };
    let others = sampled.top.iter().map(|(token, logprob)| of(*token, *logprob)).collect();
    (of(sampled.token, sampled.logprob), others)
}
