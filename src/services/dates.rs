//! Which dates the site takes from outside: through the API, in cursors, out of files.
//!
//! Pure. Postgres and RFC 3339 disagree about dates before and after this range, and a year
//! outside it is a typing error ("24-01-02") rather than an old post.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Utc};

/// The years that a date may lie in, in UTC.
const YEARS: RangeInclusive<i32> = 1000..=9999;

/// For messages.
pub const RANGE: &str = "a date in the years 1000 to 9999 (UTC)";

/// True for a date that the site takes.
pub fn is_in_range(at: &DateTime<Utc>) -> bool {
    YEARS.contains(&at.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_ends_with_its_years() {
        for (text, fine) in [
            ("1000-01-01T00:00:00Z", true),
            ("0999-12-31T23:59:59Z", false),
            ("9999-12-31T23:59:59Z", true),
            ("+10000-01-01T00:00:00Z", false),
            ("9999-12-31T23:00:00-05:00", false),
            ("-4713-01-01T00:00:00Z", false),
        ] {
            let at = text.parse::<DateTime<Utc>>().expect("a date");
            assert_eq!(is_in_range(&at), fine, "{text}");
        }
    }
}
