//! Which tick of each periodic job was the last, over all processes.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::schema::cron_runs;
use super::{Conn, DbError};

/// Takes a tick for the caller's transaction. False if this one, or a later one, was taken before:
/// of all processes that try, one gets it. The first of a job is only written down, so that a new
/// site begins with nothing to do.
pub async fn take(conn: &mut Conn, name: &str, tick: DateTime<Utc>) -> Result<bool, DbError> {
    let later = cron_runs::table.find(name).filter(cron_runs::ticked_at.lt(tick));
    if diesel::update(later).set(cron_runs::ticked_at.eq(tick)).execute(conn).await? == 1 {
        return Ok(true);
    }
    diesel::insert_into(cron_runs::table)
        .values((cron_runs::name.eq(name), cron_runs::ticked_at.eq(tick)))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(false)
}
