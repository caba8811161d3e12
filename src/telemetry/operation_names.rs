//! Operation names as metric labels. Clients choose them, so their number is bounded here.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

/// How many distinct names get a label of their own.
const MAX_NAMES: usize = 200;

/// Longest name that is kept, in bytes.
const MAX_NAME_BYTES: usize = 60;

/// Label of an operation without a name, or with one that no label should carry.
const ANONYMOUS: &str = "anonymous";

/// Label of every name after the first [`MAX_NAMES`].
const OTHER: &str = "other";

/// The names seen first; the rest share one label.
pub(super) struct OperationNames(RwLock<Option<HashSet<Arc<str>>>>);

impl OperationNames {
    pub(super) const fn new() -> Self {
        Self(RwLock::new(None))
    }

    /// The label for `name`: itself, `anonymous` or `other`.
    pub(super) fn label(&self, name: Option<&str>) -> Arc<str> {
        let Some(name) = name.filter(|name| is_fit(name)) else {
            return ANONYMOUS.into();
        };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(label) = known.as_ref().and_then(|names| names.get(name)) {
            return label.clone();
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let names = known.get_or_insert_default();
        if names.len() >= MAX_NAMES && !names.contains(name) {
            return OTHER.into();
        }
        let label: Arc<str> = name.into();
        names.insert(label.clone());
        label
    }
}

fn is_fit(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_keep_their_own_label_and_later_ones_share_one() {
        let names = OperationNames::new();
        for n in 0..MAX_NAMES {
            assert_eq!(&*names.label(Some(&format!("Op{n}"))), format!("Op{n}"));
        }
        assert_eq!(&*names.label(Some("OneMore")), "other");
        assert_eq!(&*names.label(Some("AndAnother")), "other");
        assert_eq!(&*names.label(Some("Op0")), "Op0", "a known name keeps its label");
        assert_eq!(&*names.label(None), "anonymous");
    }

    #[test]
    fn unfit_names_are_anonymous_and_take_no_place() {
        let names = OperationNames::new();
        for n in 0..=MAX_NAMES {
            assert_eq!(&*names.label(Some(&format!("bad-{n}"))), "anonymous");
        }
        for name in ["", "a b", "名", "a\"b", &"x".repeat(61)] {
            assert_eq!(&*names.label(Some(name)), "anonymous", "{name:?}");
        }
        let longest = "x".repeat(60);
        assert_eq!(&*names.label(Some(&longest)), longest);
    }
}
