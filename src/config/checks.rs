//! What a text has to fulfil beyond being of its setting's type.

use tracing_subscriber::EnvFilter;

use super::mask::split_scheme;

/// A check of a setting: whether this text is a value of it.
pub type Check = fn(&str) -> bool;

pub(super) fn postgres_url(text: &str) -> bool {
    has_scheme(text, &["postgres", "postgresql"])
}

pub(super) fn redis_url(text: &str) -> bool {
    has_scheme(text, &["redis", "rediss", "valkey", "valkeys"])
}

/// A colon separates the parts of a key: with one here, a key of one site could be read as one of
/// another.
pub(super) fn namespace(text: &str) -> bool {
    text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

pub(super) fn log_filter(text: &str) -> bool {
    EnvFilter::builder().parse(text).is_ok()
}

/// An empty text means that there is none, which these settings allow.
fn has_scheme(text: &str, allowed: &[&str]) -> bool {
    text.is_empty() || split_scheme(text).is_some_and(|(scheme, _)| allowed.contains(&scheme))
}
