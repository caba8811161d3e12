//! The ids of headings. Imported by this room only.

use std::collections::HashMap;

use crate::services::slug::slugify;

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
    fn ids_are_unique_and_leave_footnotes_alone() {
        let mut ids = UniqueIds::default();
        let given: Vec<_> = ["A", "A", "a-1", "A", "!", "?", "fn 1", "a-1"].iter().map(|h| ids.take(h)).collect();
        assert_eq!(given, ["a", "a-1", "a-1-1", "a-2", "section", "section-1", "section-fn-1", "a-1-2"]);
    }

    proptest! {
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
