//! The schema's history, compiled into the binary.

use diesel_async::{AsyncMigrationHarness, SimpleAsyncConnection, TransactionManager};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Db, DbError, Transactions};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// A migration could not be run.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("the database failed while it was migrated")]
    Db(#[from] DbError),
    #[error("a migration failed and was rolled back: {0}")]
    Failed(String),
    #[error("the migration worker stopped")]
    Stopped(#[from] tokio::task::JoinError),
}

/// Runs every migration that has not run; returns their names. All of them, or none.
///
/// Several processes may start at once: one does it, and the others find it done.
pub async fn run_pending(db: &Db) -> Result<Vec<String>, MigrationError> {
    in_turn(db, |harness| {
        let names = harness.run_pending_migrations(MIGRATIONS).map_err(failed)?;
        Ok(names.iter().map(ToString::to_string).collect())
    })
    .await
}

/// Takes back the last `count` migrations, or all; returns their names. All of them, or none.
pub async fn revert(db: &Db, count: Option<u32>) -> Result<Vec<String>, MigrationError> {
    in_turn(db, move |harness| {
        let applied = harness.applied_migrations().map_err(failed)?.len();
        let count = count.map_or(applied, |n| applied.min(n as usize));
        (0..count).map(|_| harness.revert_last_migration(MIGRATIONS).map(|v| v.to_string()).map_err(failed)).collect()
    })
    .await
}

/// Names of the migrations that have run and of those that wait.
pub async fn status(db: &Db) -> Result<(Vec<String>, Vec<String>), MigrationError> {
    in_turn(db, |harness| {
        let applied = harness.applied_migrations().map_err(failed)?;
        let pending = harness.pending_migrations(MIGRATIONS).map_err(failed)?;
        Ok((
            applied.iter().rev().map(ToString::to_string).collect(),
            pending.iter().map(|m| m.name().to_string()).collect(),
        ))
    })
    .await
}

type Harness = AsyncMigrationHarness<super::RawPooled>;

/// `work` in one transaction that holds the lock of the migrations. What has run is read after the
/// lock is held, and the lock goes with the transaction: through a pooler that gives each
/// transaction another session nothing can be left behind.
async fn in_turn<T: Send + 'static>(
    db: &Db,
    work: impl FnOnce(&mut Harness) -> Result<T, MigrationError> + Send + 'static,
) -> Result<T, MigrationError> {
    let mut conn = db.conn().await?;
    Transactions::begin_transaction(&mut *conn).await.map_err(DbError::from)?;
    // A process that migrates a big table may be waited for, for longer than a statement may take.
    conn.batch_execute("SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(4726157301)")
        .await
        .map_err(DbError::from)?;
    let (mut conn, done) = tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(conn.into_raw());
        let done = work(&mut harness);
        (harness.into_inner(), done)
    })
    .await?;
    match &done {
        Ok(_) => Transactions::commit_transaction(&mut *conn).await.map_err(DbError::from)?,
        Err(_) => Transactions::rollback_transaction(&mut *conn).await.map_err(DbError::from)?,
    }
    done
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> MigrationError {
    MigrationError::Failed(error.to_string())
}
