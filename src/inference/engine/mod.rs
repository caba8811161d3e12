//! Which model answers what.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

mod lifecycle;

pub use lifecycle::{Deployed, Removed};

use super::catalogue::{Catalogue, CatalogueError, Entry};
use super::deployments::Deployments;
use super::device::{self, Compute};
use super::encoder::LoadError;
use super::fetch::{FetchError, FetchSettings, Fetcher};
use super::kernels::pool::Pool;
use super::local_encoder::Running;
use super::provider::{self, ProviderSettings};
use super::request::Answer;
use super::{
    Backend, EmbedRequest, Embeddings, GenerateRequest, Generation, InferenceError, ModelCard, Ranking, RerankRequest,
    SharedBackend, Task,
};
use crate::config::DeviceChoice;
use crate::telemetry::metrics;

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The owner's own list of models.
    pub models_file: Option<PathBuf>,
    /// Where the choice of models is kept.
    pub deployments: PathBuf,
    pub fetch: FetchSettings,
    /// Bring what is missing by itself.
    pub fetch_at_start: bool,
    /// What the settings say of each task: `auto`, `none`, or a name.
    pub chosen: BTreeMap<Task, String>,
    /// What computes.
    pub device: DeviceChoice,
    /// Most that the weights of a task's model may take, in MiB.
    pub memory_mb: Option<u64>,
    /// 0: one for each core.
    pub threads: usize,
    /// Most texts that wait for a model.
    pub max_queue: usize,
    /// A model that nobody asks for so long leaves the memory.
    pub idle: Duration,
    /// Answers before the models that are here.
    pub provider: Option<ProviderSettings>,
}

/// The engine cannot begin. For the owner.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("threads for the models cannot be started")]
    Threads(#[source] std::io::Error),
    #[error("{model} cannot be loaded")]
    Load {
        model: String,
        #[source]
        error: LoadError,
    },
    #[error("{0}")]
    Choice(String),
}

/// Where a model stands.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelState {
    /// Known, and not on this machine.
    Absent,
    /// `of_bytes` is 0 while the size is not known.
    Fetching {
        bytes: u64,
        of_bytes: u64,
    },
    /// Here, and not in memory.
    Stored,
    Loading,
    Ready,
    /// Says why, in words for the owner.
    Failed(String),
}

impl ModelState {
    /// One of a few fixed words.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Fetching { .. } => "fetching",
            Self::Stored => "stored",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Failed(_) => "failed",
        }
    }
}

/// A model and where it stands.
#[derive(Clone, Debug)]
pub struct ModelStatus {
    pub card: ModelCard,
    pub state: ModelState,
    /// Answers what names no model.
    pub deployed: bool,
}

/// Hands requests to models. Clones are the same engine.
#[derive(Clone, Default)]
pub struct Engine {
    shared: Arc<RwLock<Shared>>,
    local: Option<Arc<Local>>,
    /// Models of a provider. Where one of them fails, the one that is deployed here answers.
    remote: Arc<BTreeMap<Task, SharedBackend>>,
}

/// What models that run here need.
struct Local {
    catalogue: Catalogue,
    fetcher: Fetcher,
    running: Running,
    deployments: Deployments,
    fetch_at_start: bool,
    chosen: BTreeMap<Task, String>,
}

/// A question to a model.
type Asked<R, T> = for<'a> fn(&'a dyn Backend, R) -> BoxFuture<'a, Result<T, InferenceError>>;

#[derive(Default)]
struct Shared {
    models: BTreeMap<String, Known>,
    deployed: BTreeMap<Task, String>,
}

struct Known {
    card: ModelCard,
    state: ModelState,
    backend: Option<SharedBackend>,
}

impl Engine {
    /// An engine that knows the models of the catalogue; [`Engine::run`] makes them ready.
    pub fn open(settings: EngineSettings) -> Result<Self, EngineError> {
        let catalogue = match &settings.models_file {
            Some(path) => Catalogue::with_file(path)?,
            None => Catalogue::built_in()?,
        };
        for (task, name) in &settings.chosen {
            if !["auto", "none"].contains(&name.as_str()) {
                check_choice(&catalogue, *task, name)?;
            }
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = if settings.threads == 0 { cores } else { settings.threads };
        let pool = Pool::new(threads).map_err(EngineError::Threads)?;
        let fetcher = Fetcher::new(settings.fetch)?;
        let engine = Self::default();
        for entry in catalogue.entries() {
            let state = if fetcher.is_here(entry) { ModelState::Stored } else { ModelState::Absent };
            engine.write().models.insert(entry.name(), Known { card: entry.card(), state, backend: None });
        }
        let device = device::open(settings.device)?;
        let running = Running {
            encoders: Compute::of_encoders(&device, &pool),
            decoders: Compute::of_decoders(&device, &pool),
            memory_mb: settings.memory_mb,
            max_queue: settings.max_queue,
            idle: settings.idle,
        };
        let local = Local {
            catalogue,
            fetcher,
            running,
            deployments: Deployments::at(settings.deployments),
            fetch_at_start: settings.fetch_at_start,
            chosen: settings.chosen,
        };
        let engine = Self { local: Some(Arc::new(local)), ..engine };
        match settings.provider {
            Some(provider) => engine.with_provider(&provider),
            None => Ok(engine),
        }
    }

    /// The same with a provider's models before those that are here.
    ///
    /// Errors: its address or its key is none.
    pub fn with_provider(self, settings: &ProviderSettings) -> Result<Self, EngineError> {
        Ok(Self { remote: Arc::new(provider::open(settings)?), ..self })
    }

    /// An engine that has only these models, each deployed for its task.
    pub fn of(backends: impl IntoIterator<Item = SharedBackend>) -> Self {
        let engine = Self::default();
        for backend in backends {
            engine.put(backend);
        }
        engine
    }

    /// Every model: a provider's, then those of this machine by name.
    pub fn models(&self) -> Vec<ModelStatus> {
        let shared = self.read();
        let remote = self.remote.values().map(|model| ModelStatus {
            card: model.card().clone(),
            state: ModelState::Ready,
            deployed: true,
        });
        let here = shared.models.iter().map(|(name, known)| ModelStatus {
            card: known.card.clone(),
            state: known.state.clone(),
            deployed: shared.deployed.get(&known.card.task) == Some(name)
                && !self.remote.contains_key(&known.card.task),
        });
        remote.chain(here).collect()
    }

    /// The model that answers what names no other, if one does now.
    pub fn deployed(&self, task: Task) -> Option<ModelCard> {
        if let Some(remote) = self.remote.get(&task) {
            return Some(remote.card().clone());
        }
        let shared = self.read();
        let known = shared.models.get(shared.deployed.get(&task)?)?;
        known.backend.as_ref().map(|_| known.card.clone())
    }

    /// Texts to vectors, by the model of this name or the deployed one.
    pub async fn embed(&self, model: Option<&str>, request: EmbedRequest) -> Result<Embeddings, InferenceError> {
        self.ask(Task::Embed, model, request, |model, request| model.embed(request)).await
    }

    /// How well each text answers a query.
    pub async fn rerank(&self, model: Option<&str>, request: RerankRequest) -> Result<Ranking, InferenceError> {
        self.ask(Task::Rerank, model, request, |model, request| model.rerank(request)).await
    }

    /// More text, as it is written.
    pub async fn generate(&self, model: Option<&str>, request: GenerateRequest) -> Result<Generation, InferenceError> {
        self.ask(Task::Generate, model, request, |model, request| model.generate(request)).await
    }

    /// What is to be seen in the pictures of a prompt, as it is written.
    pub async fn describe(&self, model: Option<&str>, request: GenerateRequest) -> Result<Generation, InferenceError> {
        self.ask(Task::Describe, model, request, |model, request| model.generate(request)).await
    }

    /// What a model answers, counted.
    async fn ask<R: Clone, T: Answer>(
        &self,
        task: Task,
        model: Option<&str>,
        request: R,
        asked: Asked<R, T>,
    ) -> Result<T, InferenceError> {
        let begun = Instant::now();
        let answer = self.ask_either(task, model, request, asked).await;
        let outcome = answer.as_ref().map_or_else(InferenceError::kind, |_| "success");
        metrics::inference(task.as_str(), outcome, begun.elapsed());
        if let Ok(answer) = &answer {
            metrics::inference_tokens(task.as_str(), answer.prompt_tokens(), 0);
        }
        answer
    }

    /// Asks a provider's model if there is one; where it fails, and no name was said, the one here.
    async fn ask_either<R: Clone, T: Answer>(
        &self,
        task: Task,
        model: Option<&str>,
        request: R,
        asked: Asked<R, T>,
    ) -> Result<T, InferenceError> {
        let is_named = |remote: &&SharedBackend| model.is_none_or(|name| remote.card().is_named(name));
        let Some(remote) = self.remote.get(&task).filter(is_named) else {
            return asked(&*self.backend(task, model)?, request).await;
        };
        let failure = match asked(&**remote, request.clone()).await {
            Err(error @ InferenceError::Provider { .. }) if model.is_none() => error,
            done => return done,
        };
        let Ok(local) = self.backend(task, None) else { return Err(failure) };
        tracing::warn!(error = %failure, instead = %local.card().name(), "a provider failed: a model of this machine answers");
        let mut answer = asked(&*local, request).await?;
        answer.degrade();
        Ok(answer)
    }

    /// What to tell who wanted a model of this task where none answers.
    pub fn no_model(&self, task: Task) -> InferenceError {
        InferenceError::NoModel { task, why: self.local.as_ref().and_then(|local| local.why_none(task)) }
    }

    /// A model of this machine; `model` is an id or `id/variant`.
    fn backend(&self, task: Task, model: Option<&str>) -> Result<SharedBackend, InferenceError> {
        let shared = self.read();
        let of_task = || shared.models.values().filter(|known| known.card.task == task);
        let is_named = |known: &&Known| model.is_none_or(|name| known.card.is_named(name));
        if let Some(backend) = of_task().filter(is_named).find_map(|known| known.backend.clone()) {
            return Ok(backend);
        }
        let on_the_way = of_task().filter(is_named).find_map(|known| match known.state {
            ModelState::Fetching { bytes, of_bytes } => Some((known.card.name(), bytes, of_bytes)),
            ModelState::Loading => Some((known.card.name(), 0, 0)),
            _ => None,
        });
        if let Some((model, bytes, of_bytes)) = on_the_way {
            return Err(InferenceError::Loading { model, bytes, of_bytes });
        }
        match model {
            Some(name) => {
                let ready: Vec<_> = of_task().filter(|known| known.backend.is_some()).map(|k| k.card.name()).collect();
                let mut known = if ready.is_empty() { "none".to_owned() } else { ready.join(", ") };
                if let Some(stored) = of_task().find(is_named) {
                    let name = stored.card.name();
                    known.push_str(&format!("; `inkstone models deploy {name}` would have {name} answer"));
                }
                Err(InferenceError::UnknownModel { name: name.chars().take(100).collect(), task, known })
            }
            None => Err(self.no_model(task)),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_choice(catalogue: &Catalogue, task: Task, name: &str) -> Result<(), EngineError> {
    if catalogue.find(name).is_some_and(|entry| entry.task == task) {
        return Ok(());
    }
    let known: Vec<_> = catalogue.of_task(task).map(Entry::name).collect();
    let message = format!("{task}_model is {name:?}: expected auto, none or one of {}", known.join(", "));
    Err(EngineError::Choice(message))
}
