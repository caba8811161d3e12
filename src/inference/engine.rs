//! Which model answers what, and how models come and go.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use candle_core::Device;
use tokio_util::sync::CancellationToken;

use super::catalogue::{Catalogue, CatalogueError, Entry};
use super::deployments::Deployments;
use super::encoder::LoadError;
use super::fetch::{FetchError, FetchSettings, Fetcher, Progress};
use super::kernels::pool::Pool;
use super::local_decoder::LocalDecoder;
use super::local_encoder::{LocalEncoder, Running};
use super::{
    EmbedRequest, Embeddings, GenerateRequest, Generation, InferenceError, ModelCard, Ranking, RerankRequest,
    SharedBackend, Task,
};

/// How often it is looked whether `inkstone models deploy` was called meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// When a model that could not be had is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(300);

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
    /// 0: one for each core.
    pub threads: usize,
    /// Most texts that wait for a model.
    pub max_queue: usize,
    /// A model that nobody asks for so long leaves the memory.
    pub idle: Duration,
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
        let running = Running { device: Device::Cpu, pool, max_queue: settings.max_queue, idle: settings.idle };
        let local = Local {
            catalogue,
            fetcher,
            running,
            deployments: Deployments::at(settings.deployments),
            fetch_at_start: settings.fetch_at_start,
            chosen: settings.chosen,
        };
        Ok(Self { local: Some(Arc::new(local)), ..engine })
    }

    /// An engine that has only these models, each deployed for its task.
    pub fn of(backends: impl IntoIterator<Item = SharedBackend>) -> Self {
        let engine = Self::default();
        for backend in backends {
            engine.put(backend);
        }
        engine
    }

    /// Every model, by name.
    pub fn models(&self) -> Vec<ModelStatus> {
        let shared = self.read();
        let status = |(name, known): (&String, &Known)| ModelStatus {
            card: known.card.clone(),
            state: known.state.clone(),
            deployed: shared.deployed.get(&known.card.task) == Some(name),
        };
        shared.models.iter().map(status).collect()
    }

    pub async fn embed(&self, model: Option<&str>, request: EmbedRequest) -> Result<Embeddings, InferenceError> {
        self.backend(Task::Embed, model)?.embed(request).await
    }

    pub async fn rerank(&self, model: Option<&str>, request: RerankRequest) -> Result<Ranking, InferenceError> {
        self.backend(Task::Rerank, model)?.rerank(request).await
    }

    pub async fn generate(&self, model: Option<&str>, request: GenerateRequest) -> Result<Generation, InferenceError> {
        self.backend(Task::Generate, model)?.generate(request).await
    }

    /// Lets a model answer what names no other from now on, here and after a restart; it is fetched
    /// first if need be, and the one before goes on until it is ready.
    ///
    /// Errors: there is no such model, in words.
    pub fn deploy(&self, name: &str) -> Result<(), EngineError> {
        let Some(local) = &self.local else {
            return Err(EngineError::Choice("the models of this server are fixed".to_owned()));
        };
        let Some(entry) = local.catalogue.find(name) else {
            let known: Vec<_> = local.catalogue.entries().iter().map(Entry::name).collect();
            let name: String = name.chars().take(100).collect();
            return Err(EngineError::Choice(format!("{name:?} is no model: known are {}", known.join(", "))));
        };
        local.deployments.keep(entry.task, &entry.name())
    }

    /// Makes the models ready, and follows what is deployed, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let Some(local) = self.local.clone() else { return };
        let follow = Task::ALL.map(|task| self.follow(local.clone(), task));
        tokio::select! {
            _ = futures_util::future::join_all(follow) => {}
            () = stop.cancelled() => {}
        }
    }

    /// Keeps one task's model as it was chosen.
    async fn follow(&self, local: Arc<Local>, task: Task) {
        let mut said = false;
        loop {
            let kept = local.deployments.of(task);
            let running = self.read().deployed.get(&task).cloned();
            let wanted = local.candidates(task, kept.as_deref());
            let is_right = running.is_some() && running == wanted.first().map(Entry::name).filter(|_| kept.is_some());
            if is_right || wanted.is_empty() || (running.is_some() && kept.is_none()) {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            let mut ready = false;
            for (n, entry) in wanted.iter().enumerate() {
                if self.make_ready(&local, entry).await {
                    if n > 0 && !said {
                        tracing::warn!(%task, wanted = %wanted[0].name(), instead = %entry.name(), "the model that was wanted cannot be had: another answers");
                    }
                    if let Err(error) = local.deployments.keep(task, &entry.name()) {
                        tracing::warn!(%error, "the choice of a model is not kept over a restart");
                    }
                    ready = true;
                    break;
                }
            }
            if !ready {
                if !said {
                    tracing::warn!(%task, "no model of this task can be had: it is tried again every few minutes");
                }
                said = true;
                local.changed(task, kept.as_deref(), TRY_AGAIN).await;
            }
        }
    }

    /// Fetches and loads one model, and lets it answer. False if that cannot be; its state says why.
    async fn make_ready(&self, local: &Arc<Local>, entry: &Entry) -> bool {
        let name = entry.name();
        if !local.fetcher.is_here(entry) {
            if !local.fetch_at_start {
                let hint = format!("fetching is switched off: `inkstone models pull {name}` brings it");
                self.set_state(&name, ModelState::Failed(hint));
                return false;
            }
            self.set_state(&name, ModelState::Fetching { bytes: 0, of_bytes: 0 });
            let (engine, of) = (self.clone(), name.clone());
            let progress: Progress =
                Arc::new(move |bytes, of_bytes| engine.set_state(&of, ModelState::Fetching { bytes, of_bytes }));
            if let Err(error) = local.fetcher.fetch(entry, progress).await {
                tracing::warn!(model = %name, %error, "a model cannot be fetched");
                self.set_state(&name, ModelState::Failed(error.to_string()));
                return false;
            }
        }
        self.set_state(&name, ModelState::Loading);
        let (folder, running, wanted) = (local.fetcher.folder(entry), local.running.clone(), entry.clone());
        let loaded = tokio::task::spawn_blocking(move || load(folder, wanted, running)).await;
        match loaded {
            Ok(Ok(backend)) => {
                tracing::info!(model = %name, task = %entry.task, "ready");
                self.put(backend);
                true
            }
            Ok(Err(error)) => {
                tracing::error!(model = %name, %error, "a model cannot be loaded");
                let hint = format!("{error}; `inkstone models rm {name}` and then `pull` fetch it again");
                self.set_state(&name, ModelState::Failed(hint));
                false
            }
            Err(_) => {
                self.set_state(&name, ModelState::Failed("loading it failed: the log says why".to_owned()));
                false
            }
        }
    }

    /// Takes a model that is ready, deployed for its task; the one before ends when it has answered
    /// what it took.
    fn put(&self, backend: SharedBackend) {
        let mut shared = self.write();
        let card = backend.card().clone();
        let before = shared.deployed.insert(card.task, card.name()).filter(|before| *before != card.name());
        if let Some(before) = before.and_then(|name| shared.models.get_mut(&name)) {
            (before.state, before.backend) = (ModelState::Stored, None);
        }
        shared.models.insert(card.name(), Known { card, state: ModelState::Ready, backend: Some(backend) });
    }

    fn set_state(&self, name: &str, state: ModelState) {
        if let Some(known) = self.write().models.get_mut(name) {
            known.state = state;
        }
    }

    /// `model` is an id or `id/variant`.
    fn backend(&self, task: Task, model: Option<&str>) -> Result<SharedBackend, InferenceError> {
        let shared = self.read();
        let of_task = || shared.models.values().filter(|known| known.card.task == task);
        let is_named = |known: &&Known| model.is_none_or(|name| known.card.id == name || known.card.name() == name);
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
                let known = if ready.is_empty() { "none".to_owned() } else { ready.join(", ") };
                Err(InferenceError::UnknownModel { name: name.chars().take(100).collect(), task, known })
            }
            None => Err(InferenceError::NoModel { task }),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Local {
    /// What may answer a task, the preferred first: what was deployed, what the settings say, or
    /// the catalogue's order.
    fn candidates(&self, task: Task, kept: Option<&str>) -> Vec<Entry> {
        let chosen = self.chosen.get(&task).map_or("auto", String::as_str);
        let named = |name: &str| self.catalogue.find(name).filter(|entry| entry.task == task).cloned();
        match (chosen, kept) {
            ("none", _) => Vec::new(),
            ("auto", Some(kept)) if named(kept).is_some() => named(kept).into_iter().collect(),
            ("auto", _) => self.catalogue.of_task(task).cloned().collect(),
            (chosen, _) => named(chosen).into_iter().collect(),
        }
    }

    /// Returns when another model was deployed, or after a while.
    async fn changed(&self, task: Task, kept: Option<&str>, most: Duration) {
        let until = tokio::time::Instant::now() + most;
        while self.deployments.of(task).as_deref() == kept && tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

fn load(folder: PathBuf, entry: Entry, running: Running) -> Result<SharedBackend, LoadError> {
    Ok(match entry.task {
        Task::Embed | Task::Rerank => Arc::new(LocalEncoder::load(folder, entry, running)?),
        Task::Generate => Arc::new(LocalDecoder::load(folder, entry, running)?),
    })
}

fn check_choice(catalogue: &Catalogue, task: Task, name: &str) -> Result<(), EngineError> {
    if catalogue.find(name).is_some_and(|entry| entry.task == task) {
        return Ok(());
    }
    let known: Vec<_> = catalogue.of_task(task).map(Entry::name).collect();
    let message = format!("{task}_model is {name:?}: expected auto, none or one of {}", known.join(", "));
    Err(EngineError::Choice(message))
}
