//! Which tick of each periodic job was the last, over all processes.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Text, Timestamptz};
use diesel_async::RunQueryDsl;

use super::sql::Sql;
use super::{Conn, DbError};

/// Takes a tick for the caller's transaction. False if this one, or a later one, was taken before:
/// of all processes that try, one gets it.
pub async fn take(conn: &mut Conn, name: &str, tick: DateTime<Utc>) -> Result<bool, DbError> {
    let sql = Sql::<Text>::new("INSERT INTO cron_runs (name, ticked_at) VALUES (")
        .bind::<Text, _>(name.to_owned())
        .push(", ")
        .bind::<Timestamptz, _>(tick)
        .push(
            ") ON CONFLICT (name) DO UPDATE SET ticked_at = EXCLUDED.ticked_at \
             WHERE cron_runs.ticked_at < EXCLUDED.ticked_at",
        );
    Ok(sql.execute(conn).await? == 1)
}
