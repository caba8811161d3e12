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

pub(super) fn http_url(text: &str) -> bool {
    has_scheme(text, &["http", "https"])
}

/// `id` or `id/variant`; the engine says whether there is such a model.
pub(super) fn model(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    text.split('/').count() <= 2 && text.split('/').all(is_part)
}

/// As a provider calls one, which may be any way.
pub(super) fn remote_model(text: &str) -> bool {
    text.len() <= 200 && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// A colon separates the parts of a key: with one here, a key of one site could be read as one of
/// another.
pub(super) fn namespace(text: &str) -> bool {
    text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

pub(super) fn log_filter(text: &str) -> bool {
    EnvFilter::builder().parse(text).is_ok()
}

/// A path below the site's address, with a place for the slug.
pub(super) fn post_path(text: &str) -> bool {
    let fixed = text.replace("{slug}", "").replace("{language}", "");
    let is_fine = |c: char| c.is_alphanumeric() || "/-_.~!$&'()*+,;=:@%?".contains(c);
    text.contains("{slug}")
        && text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= 200
        && fixed.chars().all(is_fine)
}

/// An empty text means that there is none, which these settings allow.
fn has_scheme(text: &str, allowed: &[&str]) -> bool {
    text.is_empty() || split_scheme(text).is_some_and(|(scheme, _)| allowed.contains(&scheme))
}
