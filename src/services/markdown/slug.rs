//! Slugs: readable, URL-safe names that keep Chinese. Imported by this room only.

use std::collections::HashMap;

/// A longer heading is cut here; uniqueness is kept by numbering.
const MAX_SLUG_CHARS: usize = 96;

/// A heading's anchor or a tag's slug: lower case, letters and digits of any script, hyphens between.
///
/// Empty only for text without any letter or digit. At most 96 characters. Slugs of slugs do not change.
pub fn slugify(text: &str) -> String {
    let mut slug = String::new();
    let mut chars = 0;
    let mut gap = false;
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() || (is_combining(c) && !slug.is_empty() && !gap) {
            let hyphen = gap && !slug.is_empty();
            if chars + 1 + usize::from(hyphen) > MAX_SLUG_CHARS {
                break;
            }
            if hyphen {
                slug.push('-');
                chars += 1;
            }
            slug.push(c);
            chars += 1;
            gap = false;
        } else if !matches!(c, '\'' | '’') {
            // "don't" is one word: "dont".
            gap = true;
        }
    }
    slug
}

/// Marks that belong to the character before them.
pub(super) fn is_combining(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{3099}' | '\u{309a}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}')
}

/// Hands out heading ids, each once.
#[derive(Default)]
pub(super) struct UniqueIds {
    /// How many times a slug was asked for, and 1 for every numbered id given.
    seen: HashMap<String, u32>,
}

impl UniqueIds {
    /// The heading's slug, with `-1`, `-2`… if it was given before.
    pub(super) fn take(&mut self, heading: &str) -> String {
        let mut base = slugify(heading);
        if base.is_empty() {
            base.push_str("section");
        }
        // `fn-1` and `fnref-1` belong to the footnotes.
        if base.starts_with("fn-") || base.starts_with("fnref-") {
            base.insert_str(0, "section-");
        }
        let mut id = base.clone();
        let mut n = self.seen.get(&base).copied().unwrap_or(0);
        while n > 0 && self.seen.contains_key(&id) {
            id = format!("{base}-{n}");
            n += 1;
        }
        self.seen.insert(base, n.max(1));
        self.seen.entry(id.clone()).or_insert(1);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn slugs_are_readable() {
        for (text, slug) in [
            ("Hello, World!", "hello-world"),
            ("你好，世界", "你好-世界"),
            ("Rust 的所有权 (2026)", "rust-的所有权-2026"),
            ("  --a__b--  ", "a-b"),
            ("Don't", "dont"),
            ("Ünïcode É", "ünïcode-é"),
            ("cafe\u{301} noir", "cafe\u{301}-noir"),
            ("İstanbul", "i\u{307}stanbul"),
            ("!!!", ""),
            ("", ""),
        ] {
            assert_eq!(slugify(text), slug, "slug of {text:?}");
        }
    }

    #[test]
    fn a_long_slug_is_cut_and_stays_a_slug() {
        let slug = slugify(&"字 ".repeat(300));
        assert_eq!(slug.chars().count(), 95);
        assert!(!slug.ends_with('-'));
    }

    #[test]
    fn ids_are_unique_and_leave_footnotes_alone() {
        let mut ids = UniqueIds::default();
        let given: Vec<_> = ["A", "A", "a-1", "A", "!", "?", "fn 1", "a-1"].iter().map(|h| ids.take(h)).collect();
        assert_eq!(given, ["a", "a-1", "a-1-1", "a-2", "section", "section-1", "section-fn-1", "a-1-2"]);
    }

    proptest! {
        #[test]
        fn a_slug_is_safe_stable_and_present(text in "\\PC{0,60}") {
            let slug = slugify(&text);
            prop_assert_eq!(&slugify(&slug), &slug);
            prop_assert!(slug.chars().all(|c| c == '-' || c.is_alphanumeric() || is_combining(c)));
            prop_assert!(!slug.starts_with('-') && !slug.ends_with('-') && !slug.contains("--"));
            prop_assert_eq!(slug.is_empty(), !text.chars().any(char::is_alphanumeric));
        }

        #[test]
        fn ids_never_repeat(headings in prop::collection::vec("[ab1-]{0,4}", 0..40)) {
            let mut ids = UniqueIds::default();
            let mut seen = HashSet::new();
            for heading in &headings {
                let id = ids.take(heading);
                prop_assert!(seen.insert(id.clone()), "{} twice in {:?}", id, headings);
            }
        }
    }
}
