//! What accounts without a bound use is written down together, a second's worth at a time: nobody waits
//! for these numbers, and the database would be busy with them while the next text is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDate;

use crate::store::{Db, DbError, token_usage};

/// How long uses are gathered.
const GATHERED: Duration = Duration::from_secs(1);
/// When uses are written again that could not be.
const AGAIN: Duration = Duration::from_secs(5);
/// Most accounts whose uses wait.
const MAX_ACCOUNTS: usize = 1000;

/// Uses that are not in the database yet. Clones share them.
#[derive(Clone, Default)]
pub struct Ledger {
    waiting: Arc<Mutex<Waiting>>,
    /// Held while some are written, so that who stops waits for it.
    writing: Arc<tokio::sync::Mutex<()>>,
}

type Waiting = HashMap<(NaiveDate, String), Use>;

/// Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    pub prompt: i64,
    pub completion: i64,
}

impl Ledger {
    /// Notes a use, which is in the database after a second or when the server stops.
    pub fn note(&self, db: &Db, day: NaiveDate, subject: &str, used: Use) {
        if self.put((day, subject.to_owned()), used) {
            let (ledger, db) = (self.clone(), db.clone());
            tokio::spawn(async move {
                tokio::time::sleep(GATHERED).await;
                while !ledger.write(&db).await {
                    tokio::time::sleep(AGAIN).await;
                }
            });
        }
    }

    /// Adds to what waits; true if nothing did.
    fn put(&self, of: (NaiveDate, String), used: Use) -> bool {
        let mut waiting = self.lock();
        let is_first = waiting.is_empty();
        if waiting.len() >= MAX_ACCOUNTS && !waiting.contains_key(&of) {
            tracing::warn!("the use of tokens is not noted: too many accounts wait for the database");
            return false;
        }
        let sum = waiting.entry(of).or_default();
        sum.prompt = sum.prompt.saturating_add(used.prompt);
        sum.completion = sum.completion.saturating_add(used.completion);
        is_first
    }

    /// Writes what waits, when what is being written is. False if some could not be and waits again, which
    /// is told in the log.
    pub async fn write(&self, db: &Db) -> bool {
        let _turn = self.writing.lock().await;
        let waiting = std::mem::take(&mut *self.lock());
        let mut all = true;
        for ((day, subject), used) in waiting {
            if let Err(error) = add(db, day, &subject, used).await {
                tracing::warn!(%error, "the use of tokens could not be noted yet");
                self.put((day, subject), used);
                all = false;
            }
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds to what is in the database.
pub async fn add(db: &Db, day: NaiveDate, subject: &str, used: Use) -> Result<(), DbError> {
    token_usage::add(&mut *db.conn().await?, day, subject, used.prompt, used.completion).await
}
