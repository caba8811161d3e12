//! Conditional requests, RFC 9110 section 13: whether who asks has it already.

use axum::http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};
use chrono::{DateTime, TimeDelta, Utc};

/// A change is dated when its request came, and seen when its transaction ends, which is over by then.
const SETTLED_AFTER: TimeDelta = TimeDelta::seconds(10);

/// True if the client has the representation with this entity tag, in the weak comparison. What is
/// packed on its way has a weak tag: packed otherwise it is not the same to the byte (8.8.3.3).
pub fn knows_tag(headers: &HeaderMap, etag: &str) -> bool {
    let own = etag.trim_start_matches("W/");
    let is_own = |tag: &str| tag.trim().trim_start_matches("W/") == own;
    texts(headers, IF_NONE_MATCH).any(|value| value.trim() == "*" || value.split(',').any(is_own))
}

/// The same by tag or, where none is given, by the date of what has one (13.2.2).
pub fn knows(headers: &HeaderMap, etag: &str, changed_at: Option<DateTime<Utc>>) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        return knows_tag(headers, etag);
    }
    let since = texts(headers, IF_MODIFIED_SINCE).next().and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    since.zip(changed_at).is_some_and(|(since, changed_at)| since.timestamp() >= changed_at.timestamp())
}

/// What to tell now of a change, as `Last-Modified`. The date of one that is still fresh is told a second early:
/// another may follow within the same second, and who only knows the date would never hear of it.
pub fn last_modified(changed_at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let told = if now - changed_at < SETTLED_AFTER { changed_at - TimeDelta::seconds(1) } else { changed_at };
    told.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn known(sent: &[(HeaderName, &'static str)]) -> bool {
        let sent = sent.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let changed_at = "2026-01-02T03:04:05.9Z".parse().expect("a date");
        knows(&HeaderMap::from_iter(sent), "W/\"abc\"", Some(changed_at))
    }

    #[test]
    fn who_has_it_names_its_tag_or_a_date_since_its_change() {
        for sent in [
            &[(IF_NONE_MATCH, "\"abc\"")][..],
            &[(IF_NONE_MATCH, "\"x\", W/\"abc\"")],
            &[(IF_NONE_MATCH, "*")],
            &[(IF_NONE_MATCH, "\"abc\""), (IF_MODIFIED_SINCE, "Fri, 02 Jan 2026 03:04:00 GMT")],
            &[(IF_MODIFIED_SINCE, "Fri, 02 Jan 2026 03:04:05 GMT")],
            &[(IF_MODIFIED_SINCE, "Sat, 03 Jan 2026 00:00:00 GMT")],
        ] {
            assert!(known(sent), "{sent:?}");
        }
    }

    #[test]
    fn who_has_another_or_says_nothing_readable_does_not() {
        for sent in [
            &[][..],
            &[(IF_NONE_MATCH, "\"ab\"")],
            &[(IF_NONE_MATCH, "abc")],
            &[(IF_NONE_MATCH, "")],
            &[(IF_NONE_MATCH, "\"old\""), (IF_MODIFIED_SINCE, "Sat, 03 Jan 2026 00:00:00 GMT")],
            &[(IF_MODIFIED_SINCE, "Fri, 02 Jan 2026 03:04:04 GMT")],
            &[(IF_MODIFIED_SINCE, "yesterday")],
        ] {
            assert!(!known(sent), "{sent:?}");
        }
    }

    #[test]
    fn the_date_of_a_fresh_change_is_not_yet_the_last_of_its_second() {
        let at = |second: &str| format!("2026-01-02T03:04:{second}Z").parse().expect("a date");
        let told = |now: &str| last_modified(at("05.9"), at(now));
        assert_eq!(told("06"), "Fri, 02 Jan 2026 03:04:04 GMT");
        assert_eq!(told("15.8"), "Fri, 02 Jan 2026 03:04:04 GMT");
        assert_eq!(told("15.9"), "Fri, 02 Jan 2026 03:04:05 GMT");
        assert_eq!(told("01"), "Fri, 02 Jan 2026 03:04:04 GMT", "a clock that went back");
    }

    #[test]
    fn a_date_says_nothing_of_what_has_none() {
        let sent = [(IF_MODIFIED_SINCE, HeaderValue::from_static("Sat, 03 Jan 2026 00:00:00 GMT"))];
        assert!(!knows(&HeaderMap::from_iter(sent), "\"abc\"", None));
    }
}
