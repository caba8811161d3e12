//! What a server's background processes would do: checkpoints and vacuuming, each step in a turn
//! of its own so that clients get theirs in between.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::EmbeddedError;
use super::messages;
use super::mux::{Shared, Turn};

/// How often to look for tables to vacuum, if clients used the database since the last look.
const TICK: Duration = Duration::from_secs(60);
/// How often to write a checkpoint, if anything was written since the last one. The backend does
/// so by itself only when the log has grown to its limit.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(300);
const VACUUM_ALL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Tables with as many dead or changed rows as autovacuum would act upon.
const BUSY_TABLES: &str = "SELECT format('%I.%I', schemaname, relname) FROM pg_stat_all_tables \
    WHERE n_dead_tup > 50 + 0.2 * n_live_tup OR n_mod_since_analyze > 50 + 0.1 * n_live_tup \
    OR n_ins_since_vacuum > 1000 + 0.2 * n_live_tup ORDER BY n_dead_tup DESC";
const ALL_TABLES: &str = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'm') AND n.nspname NOT LIKE 'pg\\_t%'";
const LOG_POSITION: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";

/// Keeps the database in shape until the connections are killed or the backend stops.
pub(super) async fn run(shared: Arc<Shared>, vacuumed: &Path) {
    if !vacuumed.exists() {
        // A new database has nothing to vacuum; its first day begins now.
        File::create(vacuumed).ok();
    }
    let mut state = State { looked: 0, position: 0, checkpoint: Instant::now() };
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.kill.cancelled() => return,
            () = shared.gone.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if shared.closing.load(Ordering::Acquire) {
            return;
        }
        match state.tick(&shared, vacuumed).await {
            Err(EmbeddedError::Closing) => return,
            Err(error) => {
                tracing::warn!(%error, "maintenance of the embedded database failed; trying again later")
            }
            Ok(()) => {}
        }
    }
}

struct State {
    /// Batches that clients had run at the last look.
    looked: u64,
    /// Log position after the last checkpoint.
    position: u64,
    checkpoint: Instant,
}

impl State {
    async fn tick(&mut self, shared: &Shared, vacuumed: &Path) -> Result<(), EmbeddedError> {
        let batches = shared.batches.load(Ordering::Relaxed);
        if age(vacuumed) >= VACUUM_ALL_EVERY {
            vacuum(shared, ALL_TABLES).await?;
            File::create(vacuumed).ok();
        } else if self.looked != batches {
            vacuum(shared, BUSY_TABLES).await?;
        }
        self.looked = batches;
        if self.checkpoint.elapsed() >= CHECKPOINT_EVERY {
            if position(shared).await? != self.position {
                statement(shared, "CHECKPOINT").await?;
                self.position = position(shared).await?;
            }
            self.checkpoint = Instant::now();
        }
        Ok(())
    }
}

/// Vacuums and analyses every table, then writes a checkpoint.
pub(super) async fn everything(shared: &Shared) -> Result<(), EmbeddedError> {
    vacuum(shared, ALL_TABLES).await?;
    statement(shared, "CHECKPOINT").await.map(drop)
}

async fn vacuum(shared: &Shared, tables: &str) -> Result<(), EmbeddedError> {
    for table in statement(shared, tables).await? {
        match statement(shared, &format!("VACUUM (ANALYZE) {table}")).await {
            // Most likely dropped since it was listed; the others still need it.
            Err(EmbeddedError::Statement(error)) => {
                tracing::debug!(table, error, "could not vacuum")
            }
            other => drop(other?),
        }
    }
    Ok(())
}

async fn position(shared: &Shared) -> Result<u64, EmbeddedError> {
    let rows = statement(shared, LOG_POSITION).await?;
    Ok(rows.first().and_then(|row| row.parse().ok()).unwrap_or_default())
}

/// Runs one statement in a turn of its own and returns the first column of its rows.
pub(super) async fn statement(shared: &Shared, sql: &str) -> Result<Vec<String>, EmbeddedError> {
    let mut turn = Turn::take(shared).await?;
    let answer = turn.run(messages::query(sql)).await?;
    messages::first_column(&answer.bytes).map_err(EmbeddedError::Statement)
}

/// Zero where it cannot be told, so that a broken clock does not vacuum all day.
fn age(file: &Path) -> Duration {
    let modified = fs::metadata(file).and_then(|meta| meta.modified()).ok();
    modified.and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default()
}
