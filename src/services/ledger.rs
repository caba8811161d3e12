//! What accounts without a bound use is written down together, a second's worth at a time: nobody waits
//! for these numbers, and the database would be busy with them while the next text is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDate;
use tracing::Instrument;

use crate::store::{Db, DbError, token_usage};

/// How long uses are gathered.
const GATHERED: Duration = Duration::from_secs(1);
/// Most accounts whose uses wait.
const MAX_ACCOUNTS: usize = 1000;

/// Uses that are not in the database yet. Clones share them.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<HashMap<(NaiveDate, String), Use>>>);

/// Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    pub prompt: i64,
    pub completion: i64,
}

impl Ledger {
    /// Notes a use, which is in the database after a second or when the server stops.
    pub fn note(&self, db: &Db, day: NaiveDate, subject: &str, used: Use) {
        let mut waiting = self.lock();
        let (is_first, is_full) = (waiting.is_empty(), waiting.len() >= MAX_ACCOUNTS);
        let sum = waiting.entry((day, subject.to_owned())).or_default();
        sum.prompt = sum.prompt.saturating_add(used.prompt);
        sum.completion = sum.completion.saturating_add(used.completion);
        drop(waiting);
        if !is_first && !is_full {
            return;
        }
        let (ledger, db) = (self.clone(), db.clone());
        let writing = async move {
            if !is_full {
                tokio::time::sleep(GATHERED).await;
            }
            ledger.write(&db).await;
        };
        tokio::spawn(writing.in_current_span());
    }

    /// Writes what waits. What cannot be written is told in the log.
    pub async fn write(&self, db: &Db) {
        let waiting = std::mem::take(&mut *self.lock());
        for ((day, subject), used) in waiting {
            if let Err(error) = add(db, day, &subject, used).await {
                tracing::warn!(%error, "the use of tokens could not be noted");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(NaiveDate, String), Use>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds to what is in the database.
pub async fn add(db: &Db, day: NaiveDate, subject: &str, used: Use) -> Result<(), DbError> {
    token_usage::add(&mut *db.conn().await?, day, subject, used.prompt, used.completion).await
}
