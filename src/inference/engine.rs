//! Which model answers what.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{
    EmbedRequest, Embeddings, GenerateRequest, Generation, InferenceError, ModelCard, Ranking, RerankRequest,
    SharedBackend, Task,
};

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

/// Hands requests to models.
#[derive(Clone, Default)]
pub struct Engine {
    shared: Arc<RwLock<Shared>>,
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
    /// An engine that has only these models, each deployed for its task.
    pub fn of(backends: impl IntoIterator<Item = SharedBackend>) -> Self {
        let engine = Self::default();
        for backend in backends {
            let (name, task) = (backend.card().name(), backend.card().task);
            engine.put(backend);
            engine.deploy(task, &name);
        }
        engine
    }

    /// Every model, by name.
    pub fn models(&self) -> Vec<ModelStatus> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
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

    /// Takes a model that is ready.
    pub fn put(&self, backend: SharedBackend) {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        let card = backend.card().clone();
        shared.models.insert(card.name(), Known { card, state: ModelState::Ready, backend: Some(backend) });
    }

    /// Lets `name` answer what names no model.
    pub fn deploy(&self, task: Task, name: &str) {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        shared.deployed.insert(task, name.to_owned());
    }

    /// `model` is an id or `id/variant`.
    fn backend(&self, task: Task, model: Option<&str>) -> Result<SharedBackend, InferenceError> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        let deployed = shared.deployed.get(&task);
        let named = |known: &&Known| {
            known.card.task == task && model.is_none_or(|name| known.card.id == name || known.card.name() == name)
        };
        let mut candidates: Vec<&Known> = shared.models.values().filter(named).collect();
        candidates.sort_by_key(|known| Some(&known.card.name()) != deployed);
        let Some(known) = candidates.first() else {
            return Err(match model {
                Some(name) if !shared.models.is_empty() => unknown(name, task, &shared),
                _ => InferenceError::NoModel { task },
            });
        };
        known.backend.clone().ok_or_else(|| match known.state {
            ModelState::Fetching { bytes, of_bytes } => {
                InferenceError::Loading { model: known.card.name(), bytes, of_bytes }
            }
            ModelState::Loading => InferenceError::Loading { model: known.card.name(), bytes: 0, of_bytes: 0 },
            _ => InferenceError::Failed { model: known.card.name() },
        })
    }
}

fn unknown(name: &str, task: Task, shared: &Shared) -> InferenceError {
    let of_task = shared.models.values().filter(|known| known.card.task == task);
    let names: Vec<_> = of_task.map(|known| known.card.name()).collect();
    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    InferenceError::UnknownModel { name: name.chars().take(100).collect(), task, known }
}
