//! The ways a date is written in front matter.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SubsecRound, Utc};

use crate::services::dates::is_in_range;

/// What to write instead, for messages.
pub(super) const EXPECTED: &str = "a date such as 2024-01-02, 2024-01-02 10:00:00 +0800 or 2024-01-02T10:00:00Z, \
    in the years 1000 to 9999";

const WITH_ZONE: [&str; 2] = ["%Y-%m-%d %H:%M:%S%.f %#z", "%Y-%m-%d %H:%M %#z"];
const WITHOUT_ZONE: [&str; 2] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
// The last three are what the Astro starter and hand-written posts use: "Jul 08 2022".
const DAY_ONLY: [&str; 4] = ["%Y-%m-%d", "%B %d %Y", "%B %d, %Y", "%d %B %Y"];

/// The moment a front-matter date means; a date without a zone is in UTC.
pub(super) fn parse_date(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let date = match DateTime::parse_from_rfc3339(text) {
        Ok(date) => date.to_utc(),
        Err(_) => parse_loose(&numeric_form(text))?,
    };
    // What Postgres keeps, so that a date is equal to itself when it comes back.
    is_in_range(&date).then(|| date.trunc_subsecs(6))
}

/// The day at the start of a file name (`2024-01-02-title`, with Jekyll also `2024-1-2-title`) and
/// the rest of the name.
pub(super) fn leading_day(name: &str) -> Option<(DateTime<Utc>, &str)> {
    let mut end = 0;
    for (part, digits) in [4..=4, 1..=2, 1..=2].into_iter().enumerate() {
        if part > 0 {
            end += name[end..].strip_prefix('-').map(|_| 1)?;
        }
        let found = name[end..].bytes().take_while(u8::is_ascii_digit).count();
        end += Some(found).filter(|found| digits.contains(found))?;
    }
    let (day, rest) = name.split_at(end);
    let rest = match rest {
        "" => rest,
        _ => rest.strip_prefix(['-', '_', ' '])?,
    };
    Some((parse_date(day)?, rest))
}

/// One separator for the day and one for the time, and UTC as a number.
fn numeric_form(text: &str) -> String {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return text.to_owned();
    }
    let mut out = text.replace('/', "-");
    if let Some(at) = out.find(['T', 't'])
        && out.as_bytes()[..at].iter().all(|byte| *byte != b' ')
    {
        out.replace_range(at..=at, " ");
    }
    for zone in ["UTC", "GMT", "Z"] {
        if let Some(rest) = out.strip_suffix(zone) {
            return format!("{} +0000", rest.trim_end());
        }
    }
    out
}

fn parse_loose(text: &str) -> Option<DateTime<Utc>> {
    let with_zone =
        WITH_ZONE.iter().find_map(|form| DateTime::parse_from_str(text, form).ok()).map(|date| date.to_utc());
    let without_zone = || {
        WITHOUT_ZONE.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()).map(|date| date.and_utc())
    };
    let day_only = || {
        DAY_ONLY
            .iter()
            .find_map(|form| NaiveDate::parse_from_str(text, form).ok())
            .and_then(|day| day.and_hms_opt(0, 0, 0))
            .map(|date| date.and_utc())
    };
    with_zone.or_else(without_zone).or_else(day_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_spelling() {
        for (text, utc) in [
            ("2024-01-02", "2024-01-02T00:00:00Z"),
            ("2024-1-2", "2024-01-02T00:00:00Z"),
            ("2024/01/02", "2024-01-02T00:00:00Z"),
            ("2024-01-02 10:00", "2024-01-02T10:00:00Z"),
            ("2024-01-02 10:00:30", "2024-01-02T10:00:30Z"),
            ("2024/01/02 10:00:30", "2024-01-02T10:00:30Z"),
            ("2024-01-02T10:00:00", "2024-01-02T10:00:00Z"),
            ("2024-01-02 10:00:00 +0800", "2024-01-02T02:00:00Z"),
            ("2024-01-02 10:00 +0800", "2024-01-02T02:00:00Z"),
            ("2024-01-02 10:00:00 +08:00", "2024-01-02T02:00:00Z"),
            ("2024-01-02 10:00:00+08", "2024-01-02T02:00:00Z"),
            ("2024-01-02T10:00:00-05:00", "2024-01-02T15:00:00Z"),
            ("2024-01-02 10:00:00 UTC", "2024-01-02T10:00:00Z"),
            ("2024-01-02T10:00Z", "2024-01-02T10:00:00Z"),
            ("Jul 08 2022", "2022-07-08T00:00:00Z"),
            ("July 8, 2022", "2022-07-08T00:00:00Z"),
            ("8 Jul 2022", "2022-07-08T00:00:00Z"),
        ] {
            let expected = DateTime::parse_from_rfc3339(utc).unwrap().to_utc();
            assert_eq!(parse_date(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_date() {
        for text in [
            "",
            "soon",
            "2024",
            "24-01-02",
            "2024-13-01",
            "2024-02-30",
            "2024-01-02 25:00",
            "10:00:00",
            "{{ date }}",
            "+12024-01-02T00:00:00Z",
            "9999-12-31T23:00:00-05:00",
            "Ж-01-02",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn days_in_file_names() {
        let (day, rest) = leading_day("2024-01-02-my-title").unwrap();
        assert_eq!((day.to_rfc3339().as_str(), rest), ("2024-01-02T00:00:00+00:00", "my-title"));
        assert_eq!(leading_day("2024-01-02").unwrap().1, "");
        let (day, rest) = leading_day("2024-1-2-my-title").unwrap();
        assert_eq!((day.to_rfc3339().as_str(), rest), ("2024-01-02T00:00:00+00:00", "my-title"));
        for name in ["2024-99-02-x", "2024-01-021", "24-01-02-x", "中文标题的文件名字"] {
            assert!(leading_day(name).is_none(), "{name}");
        }
    }
}
