//! When something is done again and again.

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::types::Parse;

/// A cron expression of five fields (POSIX `crontab`, and croner's `L`, `#` and `W`), in UTC.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    text: String,
}

impl Schedule {
    /// The last time at or before `now`.
    pub fn last(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.find_previous_occurrence(&now, true).ok()
    }

    /// The first time after `now`.
    pub fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.find_next_occurrence(&now, false).ok()
    }
}

impl Parse for Schedule {
    /// What never comes, such as 30 February, is no schedule.
    fn parse(text: &str) -> Option<Self> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let schedule = Self { cron: parser.parse(text).ok()?, text: text.trim().to_owned() };
        schedule.next(DateTime::UNIX_EPOCH).map(|_| schedule)
    }

    fn show(&self) -> String {
        self.text.clone()
    }
}

impl Parse for Option<Schedule> {
    fn parse(text: &str) -> Option<Self> {
        if text.trim().is_empty() { Some(None) } else { Schedule::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map(Schedule::show).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_same_for_everybody() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        for (text, now, last, next) in [
            ("0 3 * * *", "2026-11-28T02:59:59.999Z", "2026-11-27T03:00:00Z", "2026-11-28T03:00:00Z"),
            ("0 3 * * *", "2026-11-28T03:00:00Z", "2026-11-28T03:00:00Z", "2026-11-29T03:00:00Z"),
            ("@hourly", "2026-11-28T23:59:59.5Z", "2026-11-28T23:00:00Z", "2026-11-29T00:00:00Z"),
            ("*/20 8-9 * * mon", "2026-11-28T00:00:00Z", "2026-11-23T09:40:00Z", "2026-11-30T08:00:00Z"),
            ("30 4 L * *", "2026-11-28T00:00:00Z", "2026-10-31T04:30:00Z", "2026-11-30T04:30:00Z"),
        ] {
            let schedule = Schedule::parse(text).unwrap_or_else(|| panic!("{text} is a schedule"));
            let found = (schedule.last(at(now)), schedule.next(at(now)));
            assert_eq!(found, (Some(at(last)), Some(at(next))), "{text} at {now}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in ["", "hourly", "* * * *", "0 0 * * * *", "60 * * * *", "0 0 30 2 *", "* * * * * 2026", "0 0 * * 墨"]
        {
            assert!(Schedule::parse(text).is_none(), "{text:?}");
        }
        assert!(<Option<Schedule>>::parse(" ").is_some_and(|none| none.is_none()));
    }
}
