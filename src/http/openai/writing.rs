//! Having texts written, one after the other, and keeping count of what it took.

use std::collections::VecDeque;

use futures_util::StreamExt;

use super::Call;
use super::refusal::Refusal;
use crate::inference::{GenerateRequest, Generation, InferenceError, Piece, Usage};

/// Texts that are being written. Dropping it stops the model at its next token.
pub struct Writing {
    call: Call,
    model: Option<String>,
    /// The model that answers.
    pub name: String,
    /// Another one than the one that should have.
    pub degraded: bool,
    waiting: VecDeque<GenerateRequest>,
    running: Option<Generation>,
    /// Which text it is.
    index: usize,
    meter: Meter,
}

impl Writing {
    /// Has its place in the model's queue when it returns.
    pub async fn begin(call: Call, model: Option<String>, requests: Vec<GenerateRequest>) -> Result<Self, Refusal> {
        let meter = Meter { call: call.clone(), used: Usage::default(), running: Usage::default(), settled: false };
        let (waiting, name) = (requests.into(), String::new());
        let mut writing = Self { call, model, name, degraded: false, waiting, running: None, index: 0, meter };
        writing.next_text().await?;
        Ok(writing)
    }

    /// The next piece, and of which text; `None` when all are written.
    pub async fn next(&mut self) -> Result<Option<(usize, Piece)>, Refusal> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let (piece, index) = (running.next().await, self.index);
        match piece {
            Some(Ok(piece)) => {
                self.meter.count(&piece);
                if let Piece::Done { .. } = piece {
                    self.running = None;
                    self.index += 1;
                    self.next_text().await?;
                }
                Ok(Some((index, piece)))
            }
            Some(Err(error)) => Err(refused(error)),
            None => Err(refused(InferenceError::Failed { model: self.name.clone() })),
        }
    }

    /// Gives `take` all that is left.
    pub async fn each(&mut self, mut take: impl FnMut(usize, Piece)) -> Result<(), Refusal> {
        while let Some((index, piece)) = self.next().await? {
            take(index, piece);
        }
        Ok(())
    }

    /// What all texts took; it is written down first.
    pub async fn finish(mut self) -> Usage {
        self.meter.settle().await;
        self.meter.used
    }

    async fn next_text(&mut self) -> Result<(), Refusal> {
        let Some(request) = self.waiting.pop_front() else { return Ok(()) };
        let read = request.prompt.about_tokens();
        let engine = &self.call.state.services.engine;
        let generation = engine.generate(self.model.as_deref(), request).await.map_err(refused)?;
        self.meter.running = Usage { prompt_tokens: read, ..Usage::default() };
        (self.name, self.degraded) = (generation.model.clone(), generation.degraded);
        self.running = Some(generation);
        Ok(())
    }
}

fn refused(error: InferenceError) -> Refusal {
    Refusal::of_model(error, "messages")
}

/// What is used, also if nobody waits for the end.
struct Meter {
    call: Call,
    used: Usage,
    /// A guess at what the text takes that is not done.
    running: Usage,
    settled: bool,
}

impl Meter {
    fn count(&mut self, piece: &Piece) {
        match piece {
            Piece::Text { logprobs, .. } => self.running.completion_tokens += logprobs.len().max(1),
            Piece::Done { usage, .. } => {
                self.running = Usage::default();
                self.used.prompt_tokens += usage.prompt_tokens;
                self.used.cached_tokens += usage.cached_tokens;
                self.used.completion_tokens += usage.completion_tokens;
            }
        }
    }

    async fn settle(&mut self) {
        self.settled = true;
        self.call.note(self.used.prompt_tokens, self.used.completion_tokens).await;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let (call, used, running) = (self.call.clone(), self.used, self.running);
        let read = used.prompt_tokens + running.prompt_tokens;
        let written = used.completion_tokens + running.completion_tokens;
        tokio::spawn(async move { call.note(read, written).await });
    }
}
