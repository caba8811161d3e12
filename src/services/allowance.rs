//! How many tokens of the models each API key of the owner and editors may use on a day, each user without
//! one, readers with all of their keys, and in the chat each address of who has not signed in.
//!
//! A request is let in while anything is left and counted when it is done, because nobody knows
//! beforehand how much it takes: the last one of a day may go over the limit, and so may those that
//! run at the same time. Days begin at midnight UTC.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use chrono::{DateTime, NaiveTime, Utc};

use super::Services;
use super::digest::digits;
use super::ledger::{self, Use};
use crate::auth::Viewer;
use crate::store::{DbError, token_usage};

/// What the subjects of addresses begin with.
pub const ADDRESS: &str = "address:";

/// There is nothing left for today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp {
    pub tokens_per_day: u64,
    /// Until the next day begins.
    pub resets_in: Duration,
}

impl UsedUp {
    /// For the one who asked.
    pub fn message(&self) -> String {
        let (limit, seconds) = (self.tokens_per_day, self.resets_in.as_secs());
        format!("the {limit} tokens of this day are used up: try again in {seconds} s, after midnight UTC")
    }
}

/// Whose tokens are counted, and how many there are for a day.
#[derive(Clone, Debug)]
pub struct Account {
    subject: String,
    /// Who asks: one, whatever keys they have.
    person: String,
    is_staff: bool,
    /// 0 for as many as one likes.
    tokens_per_day: u64,
}

impl Account {
    /// Of a key, or of a user without one; who has not signed in has that of an address, for the day
    /// of `now`.
    pub fn of(services: &Services, viewer: &Viewer, address: Option<IpAddr>, now: DateTime<Utc>) -> Self {
        let (policy, is_staff) = (&services.policy, viewer.is_staff());
        match (viewer.account(), viewer.person()) {
            (Some(subject), Some(person)) => {
                let of_readers = if is_staff { 0 } else { policy.reader_tokens_per_day };
                let tokens_per_day = smaller(policy.tokens_per_day, of_readers);
                Self { subject, person, is_staff, tokens_per_day }
            }
            _ => {
                let subject = of_the_day(&network(address), now);
                let tokens_per_day = policy.anonymous_tokens_per_day;
                Self { person: subject.clone(), subject, is_staff, tokens_per_day }
            }
        }
    }

    /// Who asks.
    pub fn person(&self) -> &str {
        &self.person
    }

    /// The owner or an editor.
    pub fn is_staff(&self) -> bool {
        self.is_staff
    }

    /// Asks whether there is nothing left for today.
    pub async fn used_up(&self, services: &Services, now: DateTime<Utc>) -> Result<Option<UsedUp>, DbError> {
        let tokens_per_day = self.tokens_per_day;
        if tokens_per_day == 0 {
            return Ok(None);
        }
        let used = token_usage::total(&mut *services.db.conn().await?, now.date_naive(), &self.subject).await?;
        let left = u64::try_from(used).unwrap_or(0) < tokens_per_day;
        Ok((!left).then(|| UsedUp { tokens_per_day, resets_in: until_midnight(now) }))
    }

    /// Writes down what was used: before this returns where there is a bound, so that the next
    /// request knows of it, and else with what others use meanwhile. What cannot be written is told in
    /// the log.
    pub async fn note(&self, services: &Services, prompt_tokens: usize, completion_tokens: usize, now: DateTime<Utc>) {
        if prompt_tokens == 0 && completion_tokens == 0 {
            return;
        }
        let [prompt, completion] = [prompt_tokens, completion_tokens].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        let (day, used) = (now.date_naive(), Use { prompt, completion });
        if self.tokens_per_day == 0 {
            services.ledger.note(&services.db, day, &self.subject, used);
        } else if let Err(error) = ledger::add(&services.db, day, &self.subject, used).await {
            tracing::warn!(%error, "the use of tokens could not be noted");
        }
    }
}

/// Asks whether `subject` (`Viewer::account`) may still use tokens today.
pub async fn used_up(services: &Services, subject: &str, now: DateTime<Utc>) -> Result<Option<UsedUp>, DbError> {
    signed_in(services, subject).used_up(services, now).await
}

/// Writes down what `subject` has used, see [`Account::note`].
pub async fn note(
    services: &Services,
    subject: &str,
    prompt_tokens: usize,
    completion_tokens: usize,
    now: DateTime<Utc>,
) {
    signed_in(services, subject).note(services, prompt_tokens, completion_tokens, now).await;
}

/// The account of a subject (`Viewer::account`) of the owner or an editor: only they ask models by themselves.
pub(super) fn signed_in(services: &Services, subject: &str) -> Account {
    let tokens_per_day = services.policy.tokens_per_day;
    Account { subject: subject.to_owned(), person: subject.to_owned(), is_staff: true, tokens_per_day }
}

/// Of two bounds; 0 is none.
fn smaller(one: u64, other: u64) -> u64 {
    if one == 0 || other == 0 { one.max(other) } else { one.min(other) }
}

/// What an address is counted by. Networks of one customer are one: with IPv6 each has as many
/// addresses as it likes.
pub fn network(address: Option<IpAddr>) -> String {
    match address {
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let network = address.to_bits() & !(u128::MAX >> 64);
            format!("{}/64", Ipv6Addr::from_bits(network))
        }
        None => "unknown".to_owned(),
    }
}

/// A subject that changes each day, so that nobody reads in the table who came back. It is no
/// secret: who guesses an address can check it.
fn of_the_day(network: &str, now: DateTime<Utc>) -> String {
    format!("{ADDRESS}{}", digits([format!("{} {network}", now.date_naive()).as_bytes()]))
}

/// At least a second.
fn until_midnight(now: DateTime<Utc>) -> Duration {
    let tomorrow = now.date_naive().succ_opt().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let left = tomorrow.and_then(|midnight| (midnight - now).to_std().ok()).unwrap_or_default();
    left.max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_another_subject_each_day() {
        let at = |network: &str, now: &str| of_the_day(network, now.parse().expect("a time"));
        let today = at("198.51.100.7", "2026-11-23T00:00:00Z");
        assert_eq!(today, at("198.51.100.7", "2026-11-23T23:59:59Z"));
        assert_ne!(today, at("198.51.100.7", "2026-11-24T00:00:00Z"));
        assert_ne!(today, at("198.51.100.8", "2026-11-23T00:00:00Z"));
        assert!(!today.contains("198.51.100"), "{today}");
    }

    #[test]
    fn a_day_ends_at_midnight() {
        for (now, seconds) in [
            ("2026-11-23T00:00:00Z", 86_400),
            ("2026-11-23T23:59:00Z", 60),
            ("2026-12-31T23:59:59.900Z", 1),
            ("2028-02-28T12:00:00Z", 43_200),
        ] {
            let left = until_midnight(now.parse().expect("a time"));
            assert_eq!(left, Duration::from_secs(seconds), "{now}");
        }
    }
}
