//! What was left out, told by file, line and the name that the file uses.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::services::content_folder::{FileProblem, Places};
use crate::services::{Refusal, ServiceError};

/// The refusals of a post, each with the key that its file has for the field.
pub fn of_post(path: &Path, places: &Places, refusals: Vec<Refusal>) -> Vec<FileProblem> {
    let problem = |refusal: Refusal| {
        let place = refusal.field.and_then(|field| places.of(field));
        let message = match (place, refusal.field) {
            (Some((key, _)), _) => format!("`{key}`: {}", refusal.message),
            (None, Some("markdown")) => format!("the text: {}", refusal.message),
            // The file does not say it: it comes from its name or its first heading.
            (None, Some(field)) => format!("`{}`, which the file leaves open: {}", in_files(field), refusal.message),
            (None, None) => refusal.message,
        };
        FileProblem { path: path.to_owned(), line: place.map(|(_, line)| line), message }
    };
    refusals.into_iter().map(problem).collect()
}

/// A field of the API as our own files spell it: `translationKey` is `translation_key`.
fn in_files(field: &str) -> String {
    field.chars().fold(String::new(), |mut name, c| {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
        name
    })
}

/// Collects the problems of the files beside the posts.
pub struct Entries<'a> {
    dir: &'a Path,
    lines: &'a HashMap<(&'static str, String), usize>,
    pub found: Vec<FileProblem>,
}

impl<'a> Entries<'a> {
    pub fn new(dir: &'a Path, lines: &'a HashMap<(&'static str, String), usize>) -> Self {
        Self { dir, lines, found: Vec::new() }
    }

    /// Tells of an entry by its id.
    pub fn say(&mut self, file: &'static str, id: &str, message: impl Into<String>) {
        let path: PathBuf = self.dir.join(file);
        let line = self.lines.get(&(file, id.to_owned())).copied();
        self.found.push(FileProblem { path, line, message: message.into() });
    }

    /// True if an entry passed its check; else tells what was refused, by field.
    pub fn fits(&mut self, file: &'static str, id: &str, checked: Result<(), ServiceError>) -> bool {
        let Err(ServiceError::Refused(refusals)) = checked else { return checked.is_ok() };
        for Refusal { field, message, .. } in refusals {
            let key = field.map(|field| format!("`{field}`: ")).unwrap_or_default();
            // In `site.toml` the keys themselves have lines.
            let id = field.filter(|field| self.lines.contains_key(&(file, (*field).to_owned()))).unwrap_or(id);
            self.say(file, id, format!("{key}{message}"));
        }
        false
    }
}
