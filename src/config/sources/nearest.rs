//! Which setting a misspelt name means.

use crate::config::SETTINGS;

/// Longer names are no misspelling of a setting.
const MAX_NAME: usize = 64;

/// The setting that `name` most likely means, if any is close: one that differs in at most a third
/// of its letters, or else one that begins or ends with the other.
pub fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > MAX_NAME {
        return None;
    }
    let (far, near) = SETTINGS.iter().map(|setting| (distance(name, setting.name), setting.name)).min()?;
    if far <= name.chars().count().div_ceil(3) {
        return Some(near);
    }
    let holds = |whole: &str, part: &str| part.len() > 3 && (whole.starts_with(part) || whole.ends_with(part));
    let related = SETTINGS.iter().map(|s| s.name).filter(|known| holds(known, name) || holds(name, known));
    related.min_by_key(|known| distance(name, known))
}

/// Letters to change, insert or delete to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_a_part_and_a_longer_name_find_their_setting() {
        for (typed, meant) in [
            ("listn", "listen"),
            ("databse_url", "database_url"),
            ("database-url", "database_url"),
            ("cache_ttl", "cache_ttl_seconds"),
            ("pool_size", "database_pool_size"),
            ("server_listen", "listen"),
            ("auth_session_ttl_days", "session_ttl_days"),
        ] {
            assert_eq!(nearest(typed), Some(meant), "for {typed}");
        }
    }

    #[test]
    fn a_name_like_no_setting_finds_none() {
        for typed in ["x", "", "zzzzzzzz", "smtp_password", &"a".repeat(100_000)] {
            assert_eq!(nearest(typed), None, "for {typed:.20}");
        }
    }
}
