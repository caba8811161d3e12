//! What the API takes, in the form in which it is stored: the one that comes back from a file.

use super::{PostDraft, PostEdit};
use crate::services::content_folder::language_tag;

/// Without the blanks around it, as it comes back from a file.
fn text_of(text: String) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn language_of(language: String) -> String {
    language_tag(&language).unwrap_or(language)
}

impl PostDraft {
    pub(super) fn in_normal_form(self) -> Self {
        Self {
            title: self.title.trim().to_owned(),
            language: self.language.map(language_of),
            description: self.description.and_then(text_of),
            cover: self.cover.map(|path| path.trim().to_owned()),
            translation_key: self.translation_key.map(|key| key.trim().to_owned()),
            ..self
        }
    }
}

impl PostEdit {
    pub(super) fn in_normal_form(self) -> Self {
        let trimmed = |text: Option<Option<String>>| text.map(|text| text.map(|text| text.trim().to_owned()));
        Self {
            title: self.title.map(|title| title.trim().to_owned()),
            language: self.language.map(language_of),
            description: self.description.map(|text| text.and_then(text_of)),
            cover: trimmed(self.cover),
            translation_key: trimmed(self.translation_key),
            ..self
        }
    }
}
