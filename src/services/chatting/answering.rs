//! From a question that was let in to its answer.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use tokio::sync::mpsc::Sender;
use uuid::Uuid;

use super::follow_up;
use super::language::{Language, is_courtesy};
use super::places::Place;
use super::prompt::{self, Budget, Parts, Shown};
use super::quoting::quote;
use super::retrieving::{self, Found};
use super::threads::{Answer, Threaded};
use super::{ChatEvent, ChatFailure, Citation, Done, Question};
use crate::config::ChatAnswers;
use crate::inference::{
    Engine, FinishReason, GenerateOptions, GenerateRequest, Generation, InferenceError, ModelCard, Piece, Task, Usage,
};
use crate::services::allowance::Account;
use crate::services::prompting::{MARK, context, repetition_penalty};
use crate::services::{ServiceError, Services, caching};
use crate::store::messages::Finish;

/// How often a prompt is made shorter for a model that counts more tokens than were guessed.
const SHRINKS: usize = 3;
/// A little freedom, so that small models do not go round in circles.
const TEMPERATURE: f32 = 0.2;
/// A model with fewer weights does not answer from passages: SmolLM2-135M answered none of fifteen
/// questions to the demo site, whatever it was told (docs/CHAT.md).
const LEAST_PARAMETERS: u64 = 300_000_000;
/// How long a client that is behind may take to make room.
const READS_WITHIN: Duration = Duration::from_secs(30);
/// How long a client that is behind may take to make room for the last word.
const LAST_WORD: Duration = Duration::from_secs(5);

/// A question on its way, and what has become of it so far.
pub struct Answering {
    services: Services,
    account: Account,
    now: DateTime<Utc>,
    question: Question,
    thread: Threaded,
    message_id: Uuid,
    begun: Instant,
    text: String,
    citations: Vec<Citation>,
    /// What is known to be used, and a guess at what the text takes that is not done.
    used: Usage,
    running: Usage,
    model: Option<String>,
    degraded: bool,
}

/// Why an answer ends early.
enum Stop {
    /// Nobody listens any more.
    Left,
    Failure(ChatFailure),
}

impl From<InferenceError> for Stop {
    fn from(error: InferenceError) -> Self {
        Self::Failure(error.into())
    }
}

impl From<ServiceError> for Stop {
    fn from(error: ServiceError) -> Self {
        Self::Failure(error.into())
    }
}

impl Answering {
    pub fn new(services: Services, account: Account, now: DateTime<Utc>, question: Question, thread: Threaded) -> Self {
        Self {
            services,
            account,
            now,
            question,
            thread,
            message_id: Uuid::now_v7(),
            begun: Instant::now(),
            text: String::new(),
            citations: Vec::new(),
            used: Usage::default(),
            running: Usage::default(),
            model: None,
            degraded: false,
        }
    }

    /// Tells what becomes of it, until the end or until nobody listens. Whatever happens, what was
    /// said is kept and what was used is counted.
    pub async fn run(mut self, out: Sender<ChatEvent>, place: Place) {
        let limit = self.services.chats.0.settings.timeout;
        // Whatever comes first, the text is dropped then, and the model stops.
        let ended = tokio::select! {
            ended = self.tell(&out) => ended,
            () = out.closed() => Err(Stop::Left),
            () = tokio::time::sleep(limit) => Err(Stop::Failure(ChatFailure::TimedOut(limit))),
        };
        let finish = match &ended {
            Ok(finish) => *finish,
            Err(Stop::Left) => Finish::Left,
            Err(Stop::Failure(_)) => Finish::Failed,
        };
        self.settle(finish).await;
        // Before the last word: who has heard it may ask again.
        drop(place);
        let last = match ended {
            Ok(finish) => ChatEvent::Done(self.done(finish)),
            Err(Stop::Failure(failure)) => ChatEvent::Failed(failure),
            Err(Stop::Left) => return,
        };
        // Who does not make room hears the end of the stream.
        let _ = out.send_timeout(last, LAST_WORD).await;
    }

    async fn tell(&mut self, out: &Sender<ChatEvent>) -> Result<Finish, Stop> {
        let conversation_id = self.thread.conversation_id();
        say(out, ChatEvent::Started { conversation_id, message_id: self.message_id }).await?;
        let language = Language::of(&self.question.text);
        if is_courtesy(&self.question.text) {
            say(out, ChatEvent::Citations { citations: Vec::new(), degraded: false }).await?;
            self.write(out, language.courteous().to_owned()).await?;
            return Ok(Finish::NotCovered);
        }
        let context = context(&self.services.engine);
        let parts = self.find(context).await?;
        let citations = self.citations.clone();
        say(out, ChatEvent::Citations { citations, degraded: self.degraded }).await?;
        let Some(parts) = parts else {
            self.write(out, language.not_covered().to_owned()).await?;
            return Ok(Finish::NotCovered);
        };
        let answers = self.services.chats.settings().answers;
        if !are_written(answers, &self.services.engine) {
            self.degraded |= answers != ChatAnswers::Quoted;
            return self.quote(out, &parts.passages, language).await;
        }
        let passages = parts.passages.clone();
        match self.have_written(out, parts, Budget::of(context)).await {
            Ok(finish) if !self.text.trim().is_empty() => Ok(finish),
            // The model had no words, or is not there: the site still has some.
            Ok(_) => self.quote_instead(out, &passages, language).await,
            Err(Stop::Failure(ChatFailure::Inference(error))) if self.text.trim().is_empty() && is_absent(&error) => {
                tracing::debug!(%error, "the site is quoted");
                self.quote_instead(out, &passages, language).await
            }
            Err(stop) => Err(stop),
        }
    }

    async fn have_written(&mut self, out: &Sender<ChatEvent>, parts: Parts, budget: Budget) -> Result<Finish, Stop> {
        let mut writing = self.begin(parts, budget).await?;
        while let Some(piece) = writing.next().await {
            match piece? {
                Piece::Text { text, logprobs } => {
                    self.running.completion_tokens += logprobs.len().max(1);
                    if !text.is_empty() {
                        self.write(out, text).await?;
                    }
                }
                Piece::Done { finish, usage } => {
                    self.running = Usage::default();
                    self.used += usage;
                    return Ok(match finish {
                        FinishReason::Stop => Finish::Stop,
                        FinishReason::Length => Finish::Length,
                    });
                }
            }
        }
        let model = self.model.clone().unwrap_or_default();
        Err(InferenceError::Failed { model }.into())
    }

    /// Where a model should have written.
    async fn quote_instead(
        &mut self,
        out: &Sender<ChatEvent>,
        passages: &[Shown],
        language: Language,
    ) -> Result<Finish, Stop> {
        self.degraded = true;
        self.model = None;
        self.text.clear();
        self.quote(out, passages, language).await
    }

    async fn quote(&mut self, out: &Sender<ChatEvent>, passages: &[Shown], language: Language) -> Result<Finish, Stop> {
        let before = &self.thread.before;
        let question = follow_up::answered(&self.question.text, follow_up::last_asked(before));
        let said: String = before.iter().map(|turn| turn.answer.as_str()).collect::<Vec<_>>().join("\n");
        self.used += std::mem::take(&mut self.running);
        let parts = quote(&self.services.engine, &question, passages, &said, language, &mut self.running).await;
        self.used += std::mem::take(&mut self.running);
        for part in parts {
            self.write(out, part).await?;
        }
        Ok(Finish::Quoted)
    }

    async fn write(&mut self, out: &Sender<ChatEvent>, text: String) -> Result<(), Stop> {
        self.text.push_str(&text);
        say(out, ChatEvent::Token(text)).await
    }

    /// What the answer is to be written from; `None` if there is nothing.
    async fn find(&mut self, context: usize) -> Result<Option<Parts>, Stop> {
        let (budget, before) = (Budget::of(context), &self.thread.before);
        let found = Box::pin(retrieving::find(&self.services, &self.question, before, &mut self.running)).await;
        let Found { passages, degraded } = found?;
        self.degraded = degraded;
        self.used += std::mem::take(&mut self.running);
        let (citations, shown) = prompt::choose(&passages, budget);
        self.citations = citations;
        if self.citations.is_empty() {
            return Ok(None);
        }
        let site = caching::site(&self.services, self.now).await?;
        let language = Language::of(&self.question.text);
        let system = prompt::system(&self.services.chats.0.settings.prompts, &site, language).await;
        let before = prompt::remembered(before, budget);
        Ok(Some(Parts { system, before, passages: shown, question: prompt::asked(&self.question.text, budget) }))
    }

    /// Has a place in the model's queue when it returns.
    async fn begin(&mut self, mut parts: Parts, budget: Budget) -> Result<Generation, InferenceError> {
        let mut options = self.question.options.clone().unwrap_or_else(|| GenerateOptions {
            temperature: TEMPERATURE,
            repetition_penalty: repetition_penalty(&self.services.engine),
            // Small models like to go on with more passages.
            stop: vec![MARK.to_owned()],
            ..GenerateOptions::default()
        });
        options.max_tokens = Some(options.max_tokens.map_or(budget.answer, |wanted| wanted.min(budget.answer)));
        let mut shrinks = 0;
        loop {
            let request = GenerateRequest { prompt: parts.prompt(), tools: Vec::new(), options: options.clone() };
            let read = request.prompt.about_tokens();
            match self.services.engine.generate(None, request).await {
                Ok(writing) => {
                    self.running.prompt_tokens = read;
                    self.model = Some(writing.model.clone());
                    self.degraded |= writing.degraded;
                    return Ok(writing);
                }
                Err(InferenceError::TooLong { tokens, limit, .. }) if shrinks < SHRINKS => {
                    shrinks += 1;
                    parts.shrink(tokens, limit);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn settle(&mut self, finish: Finish) {
        self.used += std::mem::take(&mut self.running);
        let answer = Answer {
            id: self.message_id,
            text: &self.text,
            citations: &self.citations,
            finish,
            model: self.model.as_deref(),
            usage: self.used,
        };
        self.thread.keep(&self.services, &self.question.text, answer).await;
        let Usage { prompt_tokens, completion_tokens, .. } = self.used;
        self.account.note(&self.services, prompt_tokens, completion_tokens, self.now).await;
    }

    fn done(self, finish: Finish) -> Done {
        let (duration, usage) = (self.begun.elapsed(), self.used);
        Done { finish, usage, duration, model: self.model, degraded: self.degraded }
    }
}

/// Whether a model is asked for answers.
pub(super) fn are_written(answers: ChatAnswers, engine: &Engine) -> bool {
    let is_able = |card: ModelCard| card.parameters.is_none_or(|parameters| parameters >= LEAST_PARAMETERS);
    match answers {
        ChatAnswers::Written => true,
        ChatAnswers::Quoted => false,
        ChatAnswers::Auto => engine.deployed(Task::Generate).is_none_or(is_able),
    }
}

/// Whether the model cannot write now, whatever it is asked.
fn is_absent(error: &InferenceError) -> bool {
    !matches!(error, InferenceError::UnknownModel { .. } | InferenceError::TooLong { .. } | InferenceError::BadInput(_))
}

async fn say(out: &Sender<ChatEvent>, event: ChatEvent) -> Result<(), Stop> {
    // Who does not read for so long keeps a place from others.
    out.send_timeout(event, READS_WITHIN).await.map_err(|_| Stop::Left)
}
