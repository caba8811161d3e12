//! A decoder's files, in whichever format they are.

use std::path::Path;

use super::config::Config;
use super::gguf::Gguf;
use super::safetensors::Safetensors;
use super::weights::Source;
use crate::inference::catalogue::Entry;
use crate::inference::encoder::LoadError;

/// The files of a decoder: weights, sizes, vocabulary and chat template.
pub enum Files {
    Gguf(Gguf),
    Safetensors(Safetensors),
}

impl Files {
    /// Errors: what is missing in the folder, or cannot be read.
    pub fn open(folder: &Path, entry: &Entry) -> Result<Self, LoadError> {
        let gguf = entry.files.iter().find(|file| file.name.ends_with(".gguf"));
        match gguf {
            Some(file) => Gguf::open(&folder.join(&file.name)).map(Self::Gguf),
            None => Safetensors::open(folder, entry).map(Self::Safetensors),
        }
    }

    /// Jinja, if the files have one.
    pub fn chat_template(&self) -> Result<Option<String>, LoadError> {
        match self {
            Self::Gguf(gguf) => Ok(gguf.text("tokenizer.chat_template").map(str::to_owned)),
            Self::Safetensors(files) => files.chat_template(),
        }
    }

    pub(super) fn config(&self) -> Result<Config, LoadError> {
        match self {
            Self::Gguf(gguf) => Config::of(gguf),
            Self::Safetensors(files) => Config::of_json(&files.config),
        }
    }

    pub(super) fn weights(&self) -> &dyn Source {
        match self {
            Self::Gguf(gguf) => gguf,
            Self::Safetensors(files) => files,
        }
    }
}
