//! The models that are known, and where their files are: `models.toml` here, and the owner's own.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ModelCard, Task};

/// The entries that are part of the program.
const BUILT_IN: &str = include_str!("models.toml");

/// What this program can run, for messages.
const ARCHITECTURES: &[(&str, Task)] = &[
    ("bert", Task::Embed),
    ("xlm-roberta", Task::Embed),
    ("bert-cross-encoder", Task::Rerank),
    ("xlm-roberta-cross-encoder", Task::Rerank),
    ("gguf", Task::Generate),
    ("safetensors", Task::Generate),
];

/// The models that are known, those for a task in order of preference.
#[derive(Clone, Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

/// One model in one precision.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub id: String,
    pub variant: String,
    pub task: Task,
    pub architecture: String,
    pub licence: String,
    /// Most tokens.
    pub context: usize,
    pub dimensions: Option<usize>,
    /// How many weights it has.
    pub parameters: Option<u64>,
    /// Of a model that was trained for its vectors to be cut (Kusupati et al. 2022): the shortest.
    pub min_dimensions: Option<usize>,
    /// Attention heads, where the files do not tell (ONNX).
    pub heads: Option<usize>,
    #[serde(default)]
    pub pooling: Pooling,
    #[serde(default)]
    pub query_prefix: String,
    #[serde(default)]
    pub passage_prefix: String,
    /// Jinja; none: the one in the model's own metadata.
    pub chat_template: Option<String>,
    #[serde(rename = "file")]
    pub files: Vec<File>,
}

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    #[default]
    Mean,
    /// The first token's.
    Cls,
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub name: String,
    pub sha256: Option<String>,
    pub bytes: Option<u64>,
    /// In order of preference.
    pub sources: Vec<Source>,
}

/// Where a file can be had.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Source {
    Hub { hub: String, file: String, revision: Option<String> },
    Url { url: String },
    Wheel { wheel: String, version: String, file: String },
    Path { path: PathBuf },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub { hub, file, .. } => write!(f, "{file} of {hub} on the hub"),
            Self::Url { url } => f.write_str(url),
            Self::Wheel { wheel, version, file } => write!(f, "{file} in the wheel {wheel} {version}"),
            Self::Path { path } => write!(f, "{}", path.display()),
        }
    }
}

/// A file of models that cannot be used. Says where and what.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    #[error("{0} is not valid: {1}")]
    Syntax(String, String),
    #[error("{place}: the model {model}: {wrong}")]
    Entry { place: String, model: String, wrong: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default, rename = "model")]
    models: Vec<Entry>,
}

impl Catalogue {
    /// The built-in entries.
    pub fn built_in() -> Result<Self, CatalogueError> {
        Ok(Self { entries: read(BUILT_IN, "the built-in models.toml")? })
    }

    /// The built-in entries and those of the owner's file, which come first and replace.
    ///
    /// Errors: a file that is not there, not TOML, or an entry that cannot be run, by its name.
    pub fn with_file(path: &Path) -> Result<Self, CatalogueError> {
        let text = std::fs::read_to_string(path).map_err(|error| CatalogueError::Read(path.to_owned(), error))?;
        let mut entries = read(&text, &path.display().to_string())?;
        let own: BTreeSet<_> = entries.iter().map(Entry::name).collect();
        entries.extend(Self::built_in()?.entries.into_iter().filter(|entry| !own.contains(&entry.name())));
        Ok(Self { entries })
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Those for a task, the preferred first.
    pub fn of_task(&self, task: Task) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.task == task)
    }

    /// The entry of an `id` (its preferred variant) or an `id/variant`.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name() == name || entry.id == name)
    }
}

impl Entry {
    /// `id/variant`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.id, self.variant)
    }

    /// The architecture of what is below a cross-encoder's last layers, as a `config.json` names it.
    pub fn encoder(&self) -> &str {
        self.architecture.trim_end_matches("-cross-encoder")
    }

    pub fn card(&self) -> ModelCard {
        ModelCard {
            id: self.id.clone(),
            variant: self.variant.clone(),
            task: self.task,
            architecture: self.architecture.clone(),
            licence: self.licence.clone(),
            context: self.context,
            dimensions: self.dimensions,
            parameters: self.parameters,
            bytes: self.files.iter().map(|file| file.bytes).sum::<Option<u64>>().unwrap_or(0),
        }
    }

    /// Bytes of the files that hold the weights: as they are in this folder, or as told.
    pub fn weight_bytes(&self, folder: &Path) -> u64 {
        let is_weights = |file: &&File| !file.name.ends_with(".json") && !file.name.ends_with(".jinja");
        let here = |file: &File| std::fs::metadata(folder.join(&file.name)).ok().map(|here| here.len());
        self.files.iter().filter(is_weights).map(|file| here(file).or(file.bytes).unwrap_or(0)).sum()
    }

    /// What is wrong with this entry.
    fn fault(&self) -> Option<String> {
        let named =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        // Both become names of folders.
        if !named(&self.id) || !named(&self.variant) || self.id.starts_with('.') || self.variant.starts_with('.') {
            return Some("`id` and `variant` are letters, digits, -, _ and ., and do not begin with a dot".to_owned());
        }
        if !ARCHITECTURES.contains(&(self.architecture.as_str(), self.task)) {
            let known: Vec<_> = ARCHITECTURES.iter().map(|(name, task)| format!("{name} for {task}")).collect();
            let (is, task) = (&self.architecture, self.task);
            return Some(format!("the architecture {is:?} for {task} is not supported: {} are", known.join(", ")));
        }
        if self.context == 0 || self.files.is_empty() {
            return Some("`context` is above 0, and there is at least one `file`".to_owned());
        }
        if self.task == Task::Embed && self.dimensions.is_none_or(|length| length == 0) {
            return Some("an embedding model has `dimensions`".to_owned());
        }
        if self.min_dimensions.is_some_and(|least| !(1..=self.dimensions.unwrap_or(0)).contains(&least)) {
            return Some("`min_dimensions` is from 1 to `dimensions`".to_owned());
        }
        self.files.iter().find_map(File::fault)
    }
}

impl File {
    fn fault(&self) -> Option<String> {
        let plain = !self.name.is_empty() && !self.name.starts_with('.') && !self.name.contains(['/', '\\']);
        if !plain {
            return Some(format!("{:?} is no name of a file: it holds no slash and begins with no dot", self.name));
        }
        let is_hash = |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if self.sha256.as_ref().is_some_and(|hash| !is_hash(hash)) {
            return Some(format!("`sha256` of {} is not 64 hexadecimal digits", self.name));
        }
        self.sources.is_empty().then(|| format!("{} has no `sources`", self.name))
    }
}

fn read(text: &str, place: &str) -> Result<Vec<Entry>, CatalogueError> {
    let listed: Listed =
        toml::from_str(text).map_err(|error| CatalogueError::Syntax(place.to_owned(), error.to_string()))?;
    for entry in &listed.models {
        if let Some(wrong) = entry.fault() {
            return Err(CatalogueError::Entry { place: place.to_owned(), model: entry.name(), wrong });
        }
    }
    Ok(listed.models)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_models_are_valid_and_have_names_of_their_own() {
        let catalogue = Catalogue::built_in().expect("the built-in file is valid");
        let names: BTreeSet<_> = catalogue.entries().iter().map(Entry::name).collect();
        assert_eq!(names.len(), catalogue.entries().len(), "no two entries have the same id and variant");
        let found = catalogue.find("multilingual-e5-small").map(Entry::name);
        assert_eq!(found.as_deref(), Some("multilingual-e5-small/f32"), "an id alone means its preferred variant");
        assert!(catalogue.find("multilingual-e5-small/q4_0").is_some(), "a variant is found by its whole name");
    }

    #[test]
    fn the_owners_entries_come_first_and_replace() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("models.toml");
        let own = r#"
            [[model]]
            id = "all-MiniLM-L6-v2"
            variant = "f32"
            task = "embed"
            architecture = "bert"
            licence = "Apache-2.0"
            context = 256
            dimensions = 384
            [[model.file]]
            name = "model.safetensors"
            sources = [{ path = "/models/model.safetensors" }]
        "#;
        std::fs::write(&path, own).expect("a file");
        let catalogue = Catalogue::with_file(&path).expect("the file is valid");
        let first = catalogue.of_task(Task::Embed).next().expect("an entry");
        assert_eq!((first.name().as_str(), first.context), ("all-MiniLM-L6-v2/f32", 256));
        let times = catalogue.entries().iter().filter(|entry| entry.id == "all-MiniLM-L6-v2").count();
        assert_eq!(times, 1, "the owner's entry replaces the built-in one");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let entry = |changes: &str| {
            format!(
                "[[model]]\nid = \"m\"\nvariant = \"v\"\ntask = \"embed\"\narchitecture = \"bert\"\nlicence = \"MIT\"\ncontext = 8\ndimensions = 4\n{changes}\n[[model.file]]\nname = \"w\"\nsources = [{{ url = \"http://x/w\" }}]\n"
            )
        };
        for (text, says) in [
            (
                entry("").replace("\"bert\"", "\"t5\""),
                "the architecture \"t5\" for embed is not supported: bert for embed",
            ),
            (entry("").replace("\"m\"", "\"../m\""), "`id` and `variant` are letters"),
            (entry("").replace("name = \"w\"", "name = \"../w\""), "is no name of a file"),
            (entry("").replace("name = \"w\"", "name = \"w\"\nsha256 = \"abc\""), "64 hexadecimal digits"),
            (entry("").replace("dimensions = 4", ""), "has `dimensions`"),
            (entry("min_dimensions = 5"), "`min_dimensions` is from 1 to `dimensions`"),
            (entry("colour = \"red\""), "colour"),
            (entry("").replace("url =", "ftp ="), "sources"),
        ] {
            let said = read(&text, "own.toml").expect_err("the entry is wrong").to_string();
            assert!(said.contains("own.toml") && said.contains(says), "expected {says:?} in {said:?}");
        }
    }
}
