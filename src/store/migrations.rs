//! The schema's history, compiled into the binary.

use diesel_async::AsyncMigrationHarness;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Db, DbError};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// A migration could not be run.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("no connection for the migrations")]
    Db(#[from] DbError),
    #[error("a migration failed and was rolled back: {0}")]
    Failed(String),
    #[error("the migration worker stopped")]
    Stopped(#[from] tokio::task::JoinError),
}

/// Runs every migration that has not run; returns their names.
///
/// Several processes may start at once: each takes an advisory lock of the database first.
pub async fn run_pending(db: &Db) -> Result<Vec<String>, MigrationError> {
    with_harness(db, |harness| {
        let names = harness.run_pending_migrations(MIGRATIONS).map_err(failed)?;
        Ok(names.iter().map(ToString::to_string).collect())
    })
    .await
}

/// Takes back the last `count` migrations, or all; returns their names.
pub async fn revert(db: &Db, count: Option<u32>) -> Result<Vec<String>, MigrationError> {
    with_harness(db, move |harness| {
        let applied = harness.applied_migrations().map_err(failed)?.len();
        let count = count.map_or(applied, |n| applied.min(n as usize));
        (0..count).map(|_| harness.revert_last_migration(MIGRATIONS).map(|v| v.to_string()).map_err(failed)).collect()
    })
    .await
}

/// Names of the migrations that have run and of those that wait.
pub async fn status(db: &Db) -> Result<(Vec<String>, Vec<String>), MigrationError> {
    with_harness(db, |harness| {
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

async fn with_harness<T: Send + 'static>(
    db: &Db,
    work: impl FnOnce(&mut Harness) -> Result<T, MigrationError> + Send + 'static,
) -> Result<T, MigrationError> {
    use diesel_async::SimpleAsyncConnection;
    let mut conn = db.conn().await?;
    let lock = !db.backend().is_embedded();
    if lock {
        // Held by the session, and given back below: migrations run in transactions of their own.
        conn.batch_execute("SET statement_timeout = 0; SELECT pg_advisory_lock(4726157301)")
            .await
            .map_err(DbError::from)?;
    }
    let (conn, done) = tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(conn.into_raw());
        let done = work(&mut harness);
        (harness.into_inner(), done)
    })
    .await?;
    if lock {
        let mut conn = conn;
        let restore = format!(
            "SELECT pg_advisory_unlock(4726157301); SET statement_timeout = {}",
            db.statement_timeout.as_millis()
        );
        conn.batch_execute(&restore).await.map_err(DbError::from)?;
    }
    done
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> MigrationError {
    MigrationError::Failed(error.to_string())
}
