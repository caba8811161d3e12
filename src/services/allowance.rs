//! How many tokens of the models each API key may use on a day.
//!
//! A request is let in while anything is left and counted when it is done, because nobody knows
//! beforehand how much it takes: the last one of a day may go over the limit, and so may those that
//! run at the same time. Days begin at midnight UTC.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Utc};
use tracing::Instrument;

use super::Services;
use crate::store::{DbError, token_usage};

/// There is nothing left for today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp {
    pub tokens_per_day: u64,
    /// Until the next day begins.
    pub resets_in: Duration,
}

/// Asks whether `subject` (`Viewer::account`) may still use tokens today.
pub async fn used_up(services: &Services, subject: &str, now: DateTime<Utc>) -> Result<Option<UsedUp>, DbError> {
    let tokens_per_day = services.policy.tokens_per_day;
    if tokens_per_day == 0 {
        return Ok(None);
    }
    let used = token_usage::total(&mut *services.db.conn().await?, now.date_naive(), subject).await?;
    let left = u64::try_from(used).unwrap_or(0) < tokens_per_day;
    Ok((!left).then(|| UsedUp { tokens_per_day, resets_in: until_midnight(now) }))
}

/// Writes down what `subject` has used: before this returns where there is a bound, so that the next
/// request knows of it, and else behind it. What cannot be written is told in the log.
pub async fn note(
    services: &Services,
    subject: &str,
    prompt_tokens: usize,
    completion_tokens: usize,
    now: DateTime<Utc>,
) {
    if prompt_tokens == 0 && completion_tokens == 0 {
        return;
    }
    let [prompt, completion] = [prompt_tokens, completion_tokens].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    let (db, subject) = (services.db.clone(), subject.to_owned());
    let noting = async move {
        let noted =
            async { token_usage::add(&mut *db.conn().await?, now.date_naive(), &subject, prompt, completion).await };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "the use of tokens could not be noted");
        }
    };
    if services.policy.tokens_per_day == 0 {
        tokio::spawn(noting.in_current_span());
    } else {
        noting.await;
    }
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
