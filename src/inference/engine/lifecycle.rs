//! How models come and go.

use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Engine, EngineError, Known, Local, ModelState};
use crate::inference::catalogue::Entry;
use crate::inference::encoder::LoadError;
use crate::inference::fetch::Progress;
use crate::inference::local_decoder::LocalDecoder;
use crate::inference::local_encoder::{LocalEncoder, Running};
use crate::inference::{ModelCard, SharedBackend, Task};

/// How often it is looked whether `inkstone models deploy` was called meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// When a model that could not be had is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(300);

/// A model that was chosen for its task.
#[derive(Debug)]
pub struct Deployed {
    pub name: String,
    /// Its files are here.
    pub is_here: bool,
}

/// A model whose files were taken away.
pub struct Removed {
    pub name: String,
    /// There were files.
    pub was_here: bool,
    /// It was the choice of its task.
    pub was_deployed: bool,
}

impl Engine {
    /// Lets a model answer what names no other from now on, here and after a restart; it is fetched
    /// first if need be, and the one before goes on until it is ready. A name without a variant means one that is
    /// here.
    ///
    /// Errors: there is no such model, in words.
    pub fn deploy(&self, name: &str) -> Result<Deployed, EngineError> {
        let (local, first) = self.known(name)?;
        let entry = local.here(name).unwrap_or(first);
        local.deployments.keep(entry.task, &entry.name())?;
        Ok(Deployed { name: entry.name(), is_here: local.fetcher.is_here(entry) })
    }

    /// Brings the files of a model, and gives its name.
    ///
    /// Errors: what its sources said, and the other variants of a name without one.
    pub async fn pull(&self, name: &str, progress: Progress) -> Result<String, EngineError> {
        let (local, entry) = self.known(name)?;
        local.fetcher.fetch(entry, progress).await.map_err(|error| {
            let others =
                local.catalogue.entries().iter().filter(|other| other.id == name && other.name() != entry.name());
            let others: Vec<_> = others.map(|other| format!("`inkstone models pull {}`", other.name())).collect();
            match others.is_empty() {
                true => error.into(),
                false => EngineError::Choice(format!("{error}; other variants of it: {}", others.join(", "))),
            }
        })?;
        Ok(entry.name())
    }

    /// Takes the files of a model away; one that is deployed is not the choice of its task any more.
    pub fn remove(&self, name: &str) -> Result<Removed, EngineError> {
        let (local, entry) = self.known(name)?;
        let was_deployed = local.deployments.of(entry.task).as_deref() == Some(&entry.name());
        if was_deployed {
            local.deployments.forget(entry.task)?;
        }
        Ok(Removed { name: entry.name(), was_here: local.fetcher.remove(entry)?, was_deployed })
    }

    /// Loads a model whose files are here, and lets it answer in this process alone. A name without a variant
    /// means one that is here.
    pub async fn load(&self, name: &str) -> Result<Task, EngineError> {
        let (local, first) = self.known(name)?;
        let entry = local.here(name).unwrap_or(first);
        if !local.fetcher.is_here(entry) {
            let name = entry.name();
            return Err(EngineError::Choice(format!("{name} is not here: `inkstone models pull {name}` brings it")));
        }
        let (folder, running, wanted) = (local.fetcher.folder(entry), local.running.clone(), entry.clone());
        let loaded = tokio::task::spawn_blocking(move || load(folder, wanted, running)).await;
        let loaded = loaded.map_err(|_| EngineError::Choice(format!("loading {} failed", entry.name())))?;
        self.put(loaded.map_err(|error| EngineError::Load { model: entry.name(), error })?);
        Ok(entry.task)
    }

    /// Whether a model was deployed, or would answer what names none.
    pub fn is_chosen(&self, card: &ModelCard) -> bool {
        let Some(local) = &self.local else { return false };
        local.deployments.of(card.task).as_deref() == Some(&card.name())
    }

    /// The entry of a name.
    fn known(&self, name: &str) -> Result<(&Local, &Entry), EngineError> {
        let Some(local) = &self.local else {
            return Err(EngineError::Choice("the models of this server are fixed".to_owned()));
        };
        let entry = local.catalogue.find(name).ok_or_else(|| {
            let known: Vec<_> = local.catalogue.entries().iter().map(Entry::name).collect();
            let name: String = name.chars().take(100).collect();
            EngineError::Choice(format!("{name:?} is no model: known are {}", known.join(", ")))
        })?;
        Ok((local, entry))
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

    /// Brings the model into this process that would answer what names none; false if none can be had.
    pub async fn prepare(&self, task: Task) -> bool {
        let Some(local) = self.local.clone() else { return self.deployed(task).is_some() };
        for entry in local.candidates(task, local.deployments.of(task).as_deref()) {
            if self.make_ready(&local, &entry).await {
                return true;
            }
        }
        false
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
            match self.first_ready(&local, &wanted, running).await {
                Some((answers, is_first)) => {
                    if !is_first && !said {
                        tracing::info!(%task, first_choice = %wanted[0].name(), instead = %answers, "the first choice of models cannot be had from here: another answers");
                    }
                    // What was deployed stays the choice where another stands in for it.
                    if is_first || kept.is_none() {
                        if let Err(error) = local.deployments.keep(task, &answers) {
                            tracing::warn!(%error, "the choice of a model is not kept over a restart");
                        }
                        continue;
                    }
                }
                None if !said => {
                    tracing::warn!(%task, "no model of this task can be had: it is tried again every few minutes");
                }
                None => {}
            }
            said = true;
            local.changed(task, kept.as_deref(), &wanted, TRY_AGAIN).await;
        }
    }

    /// Makes the first of these ready that can be had, and tells its name and whether it is the very first.
    /// The one that answers already is as good as any behind the first.
    async fn first_ready(
        &self,
        local: &Arc<Local>,
        wanted: &[Entry],
        running: Option<String>,
    ) -> Option<(String, bool)> {
        for (n, entry) in wanted.iter().enumerate() {
            if let Some(running) = running.as_ref().filter(|_| n > 0) {
                return Some((running.clone(), false));
            }
            if self.make_ready(local, entry).await {
                return Some((entry.name(), n == 0));
            }
        }
        running.map(|running| (running, false))
    }

    /// Fetches one model, if it is not here. False if that cannot be; its state says why.
    async fn bring(&self, local: &Arc<Local>, entry: &Entry) -> bool {
        let name = entry.name();
        // What is too large is not fetched, if its size is known.
        if let Err(error) = local.running.has_memory(&local.fetcher.folder(entry), entry) {
            self.set_state(&name, ModelState::Failed(error.to_string()));
            return false;
        }
        if local.fetcher.is_here(entry) {
            return true;
        }
        if !local.fetch_at_start {
            let hint = format!("fetching is switched off: `inkstone models pull {name}` brings it");
            self.set_state(&name, ModelState::Failed(hint));
            return false;
        }
        self.set_state(&name, ModelState::Fetching { bytes: 0, of_bytes: 0 });
        let (engine, of, begins) = (self.clone(), name.clone(), Once::new());
        let progress: Progress = Arc::new(move |bytes, of_bytes| {
            if of_bytes > 0 {
                begins.call_once(|| tracing::info!(model = %of, megabytes = of_bytes / 1_000_000, "is being fetched"));
            }
            engine.set_state(&of, ModelState::Fetching { bytes, of_bytes });
        });
        if let Err(error) = local.fetcher.fetch(entry, progress).await {
            tracing::info!(model = %name, %error, "a model cannot be fetched");
            self.set_state(&name, ModelState::Failed(error.to_string()));
            return false;
        }
        true
    }

    /// Fetches and loads one model, and lets it answer. False if that cannot be; its state says why.
    async fn make_ready(&self, local: &Arc<Local>, entry: &Entry) -> bool {
        let name = entry.name();
        if !self.bring(local, entry).await {
            return false;
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
                let broken = matches!(error, LoadError::Read { .. } | LoadError::File { .. });
                let hint = format!("; `inkstone models rm {name}` and then `pull` fetch it again");
                self.set_state(&name, ModelState::Failed(format!("{error}{}", if broken { &hint } else { "" })));
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
    pub(super) fn put(&self, backend: SharedBackend) {
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
}

impl Local {
    /// The model that a name without a variant means, if one of that name is here.
    fn here(&self, id: &str) -> Option<&Entry> {
        self.catalogue.entries().iter().find(|entry| entry.id == id && self.fetcher.is_here(entry))
    }

    /// What may answer a task, the preferred first: what was deployed, what the settings say, or
    /// the catalogue's order. Nothing stands in for a deployed model of embeddings, so that the vectors of
    /// two are never mixed unasked.
    fn candidates(&self, task: Task, kept: Option<&str>) -> Vec<Entry> {
        let chosen = self.chosen.get(&task).map_or("auto", String::as_str);
        let named = |name: &str| self.catalogue.find(name).filter(|entry| entry.task == task).cloned();
        match (chosen, kept) {
            ("none", _) => Vec::new(),
            ("auto", Some(kept)) if named(kept).is_some() => {
                let others = self.catalogue.of_task(task).filter(|entry| task != Task::Embed && entry.name() != kept);
                named(kept).into_iter().chain(others.cloned()).collect()
            }
            ("auto", _) => self.catalogue.of_task(task).cloned().collect(),
            (chosen, _) => named(chosen).into_iter().collect(),
        }
    }

    /// Why nothing answers a task, where the owner wants it so.
    pub(super) fn why_none(&self, task: Task) -> Option<String> {
        if self.chosen.get(&task).is_some_and(|chosen| chosen == "none") {
            return Some(format!("the setting `{task}_model` is \"none\""));
        }
        let wanted = self.candidates(task, self.deployments.of(task).as_deref());
        let name = wanted.first().filter(|_| !self.fetch_at_start)?.name();
        Some(format!("fetching is switched off (`fetch_models`): `inkstone models pull {name}` brings one"))
    }

    /// Returns when another model was deployed, when the files of one that is wanted came or went, or after
    /// a while.
    async fn changed(&self, task: Task, kept: Option<&str>, wanted: &[Entry], most: Duration) {
        let here = || wanted.iter().map(|entry| self.fetcher.is_here(entry)).collect::<Vec<_>>();
        let (until, before) = (tokio::time::Instant::now() + most, here());
        let is_same = || self.deployments.of(task).as_deref() == kept && here() == before;
        while is_same() && tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

fn load(folder: PathBuf, entry: Entry, running: Running) -> Result<SharedBackend, LoadError> {
    running.has_memory(&folder, &entry)?;
    Ok(match entry.task {
        Task::Embed | Task::Rerank => Arc::new(LocalEncoder::load(folder, entry, running)?),
        // No architecture of the catalogue is for pictures.
        Task::Generate | Task::Describe => Arc::new(LocalDecoder::load(folder, entry, running)?),
    })
}
