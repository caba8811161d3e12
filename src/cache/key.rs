//! What names a cached value.

use std::fmt::{self, Display};
use std::io::Write;
use std::sync::Arc;

/// The name of one cached value: what it is, and which one.
///
/// `kind` is a metrics label, so it comes from a small fixed set (`"post"`, `"user"`), and it
/// stands for one Rust type: two types under one kind read each other's values as corrupt.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CacheKey {
    kind: &'static str,
    id: Arc<str>,
}

impl CacheKey {
    /// The key of the value of this kind with this id.
    pub fn new(kind: &'static str, id: impl Display) -> Self {
        // Most ids are those of rows, for which this is one allocation less.
        let mut room = [0; 48];
        let mut rest = &mut room[..];
        let fits = write!(rest, "{id}").is_ok();
        let used = 48 - rest.len();
        match std::str::from_utf8(&room[..used]) {
            Ok(text) if fits => Self { kind, id: text.into() },
            _ => Self { kind, id: id.to_string().into() },
        }
    }

    /// The kind, as in the metrics.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The id within the kind.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}
