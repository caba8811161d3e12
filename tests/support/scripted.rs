//! A model whose answers a test writes beforehand.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use inkstone::inference::{
    Backend, Engine, FinishReason, GenerateRequest, Generation, InferenceError, ModelCard, Piece, Prompt,
    SharedBackend, Task, TokenLogprob, Usage,
};
use tokio::sync::Notify;

use super::TestApp;

/// A model that writes what a test tells it to.
pub struct Scripted {
    pub card: ModelCard,
    pub pieces: Vec<Result<Piece, InferenceError>>,
    pub refuses: Option<InferenceError>,
    /// Does not end by itself.
    pub stays: bool,
    /// Writes the last piece only when told to.
    pub waits: Option<Arc<Notify>>,
    /// Takes prompts of so many bytes.
    pub most_bytes: usize,
    pub asked: Arc<Mutex<Vec<GenerateRequest>>>,
    /// Told when a text is dropped.
    pub dropped: Arc<Notify>,
    /// Says, of the last message, what is written instead of `pieces`.
    pub writes: Option<Writes>,
}

type Writes = Arc<dyn Fn(&str) -> String + Send + Sync>;

impl Scripted {
    pub fn new(pieces: Vec<Result<Piece, InferenceError>>) -> Self {
        let card = ModelCard {
            id: "scripted".into(),
            variant: "test".into(),
            task: Task::Generate,
            architecture: "none".into(),
            licence: "none".into(),
            context: 512,
            dimensions: None,
            parameters: None,
            bytes: 0,
        };
        let (asked, dropped) = Default::default();
        Self {
            card,
            pieces,
            refuses: None,
            stays: false,
            waits: None,
            most_bytes: usize::MAX,
            asked,
            dropped,
            writes: None,
        }
    }

    pub fn saying(texts: &[&str]) -> Self {
        let pieces = texts.iter().map(|text| Ok(said(text)));
        Self::new(pieces.chain([Ok(done(FinishReason::Stop))]).collect())
    }

    /// Writes what a function makes of the last message.
    pub fn writing(writes: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self { writes: Some(Arc::new(writes)), ..Self::new(Vec::new()) }
    }

    pub fn refusing(error: InferenceError) -> Self {
        Self { refuses: Some(error), ..Self::new(Vec::new()) }
    }

    pub async fn start(self, own: &[(&'static str, &str)]) -> TestApp {
        TestApp::start_on(Engine::of([Arc::new(self) as SharedBackend]), own).await
    }
}

pub fn said(text: &str) -> Piece {
    Piece::Text { text: text.into(), logprobs: Vec::new() }
}

pub fn said_with(text: &str, logprob: f32) -> Piece {
    let token = TokenLogprob { text: text.into(), bytes: text.as_bytes().to_vec(), logprob };
    Piece::Text { text: text.into(), logprobs: vec![(token.clone(), vec![token])] }
}

pub fn done(finish: FinishReason) -> Piece {
    Piece::Done { finish, usage: Usage { prompt_tokens: 7, cached_tokens: 2, completion_tokens: 5 } }
}

struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Backend for Scripted {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn generate(&self, request: GenerateRequest) -> BoxFuture<'_, Result<Generation, InferenceError>> {
        let tokens: usize = match &request.prompt {
            Prompt::Messages(messages) => messages.iter().map(|message| message.content.len()).sum(),
            Prompt::Text(text) => text.len(),
        };
        if tokens > self.most_bytes {
            let limit = self.most_bytes;
            return Box::pin(async move { Err(InferenceError::TooLong { index: 0, tokens, limit }) });
        }
        let mut pieces = self.pieces.clone();
        if let (Some(writes), Prompt::Messages(messages)) = (&self.writes, &request.prompt) {
            let text = writes(&messages.last().expect("a message").content);
            pieces = vec![Ok(said(&text)), Ok(done(FinishReason::Stop))];
        }
        self.asked.lock().expect("no test panics with it").push(request);
        if let Some(error) = &self.refuses {
            let error = error.clone();
            return Box::pin(async { Err(error) });
        }
        let guard = Guard(self.dropped.clone());
        let ends = if self.stays { stream::pending().boxed() } else { stream::empty().boxed() };
        let (held, last) = (self.waits.clone(), pieces.len());
        let pieces = stream::iter(pieces).zip(stream::iter(1..)).then(move |(piece, nth)| {
            let held = held.clone().filter(|_| nth == last);
            async move {
                if let Some(held) = held {
                    held.notified().await;
                }
                piece
            }
        });
        let pieces = pieces.chain(ends).map(move |piece| {
            let _held = &guard;
            piece
        });
        let name = self.card.name();
        Box::pin(async move { Ok(Generation::new(name, pieces)) })
    }
}
