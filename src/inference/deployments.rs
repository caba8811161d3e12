//! Which model was chosen for each task, kept in a file: the command line writes it while a server
//! runs, and the server follows.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Task;
use super::engine::EngineError;

pub(super) struct Deployments {
    path: PathBuf,
}

impl Deployments {
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The model that was chosen for a task.
    pub fn of(&self, task: Task) -> Option<String> {
        self.all().remove(task.as_str())
    }

    /// Chooses a model for a task.
    pub fn keep(&self, task: Task, name: &str) -> Result<(), EngineError> {
        let mut all = self.all();
        match all.insert(task.to_string(), name.to_owned()) {
            Some(before) if before == name => Ok(()),
            _ => self.write(&all),
        }
    }

    /// Leaves the choice of a task to the settings again.
    pub fn forget(&self, task: Task) -> Result<(), EngineError> {
        let mut all = self.all();
        if all.remove(task.as_str()).is_some() { self.write(&all) } else { Ok(()) }
    }

    fn write(&self, all: &BTreeMap<String, String>) -> Result<(), EngineError> {
        let lines: Vec<_> = all.iter().map(|(task, name)| format!("{task} = {name:?}\n")).collect();
        let text = format!("# The models that answer; `inkstone models deploy` writes this.\n{}", lines.concat());
        let part = self.path.with_extension("part");
        let written = self.path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = written.and_then(|()| std::fs::write(&part, text));
        let written = written.and_then(|()| std::fs::rename(&part, &self.path));
        written.map_err(|error| EngineError::Choice(format!("{} cannot be written: {error}", self.path.display())))
    }

    /// What cannot be read chooses nothing.
    fn all(&self) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        toml::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %self.path.display(), %error, "the choice of models cannot be read");
            BTreeMap::new()
        })
    }
}
