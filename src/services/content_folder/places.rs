//! Where the fields of a post stand in its file, for messages about them.

use super::fields::{TAG, TAGS, TAXONOMIES, normal_name};

/// Where the fields of a post stand in its file, and what they are called there.
#[derive(Debug, Default)]
pub struct Places(Vec<(&'static str, String, usize)>);

impl Places {
    pub(super) fn add(&mut self, field: &'static str, key: &str, line: usize) {
        self.0.push((field, key.to_owned(), line));
    }

    /// The key that the file uses for a field, and its line; `None` where the file does not say it.
    /// The field may be spelled in any way: `translationKey`, `translation_key`.
    pub fn of(&self, field: &str) -> Option<(&str, usize)> {
        let field = normal_name(field);
        let synonyms: &[&[&str]] = if TAGS.contains(&field.as_str()) { &[TAGS, TAG, TAXONOMIES] } else { &[] };
        let is_it = |name: &str| name == field || synonyms.iter().any(|names| names.contains(&name));
        self.0.iter().find(|(name, ..)| is_it(name)).map(|(_, key, line)| (key.as_str(), *line))
    }
}
