//! Forgets what has outlived its use: old events, expired sessions, jobs that have ended, what was
//! read long ago; has lists that have grown old made anew.

use chrono::{DateTime, TimeDelta, Utc};

use crate::events;
use crate::services::{ServiceError, Services, allowance, relating};
use crate::store::{self, Conn, DbError, jobs, post_days, proposals, readers, reads, responses, sessions, token_usage};

/// How long jobs that were done or cancelled are shown.
const DONE_KEPT: TimeDelta = TimeDelta::days(7);
/// How long jobs that failed for good wait for somebody who repeats them.
const DEAD_KEPT: TimeDelta = TimeDelta::days(90);
/// How long it is known who used how many tokens of the models.
const USAGE_KEPT: TimeDelta = TimeDelta::days(400);
/// The same of addresses, which is needed for the day only.
const ADDRESSES_KEPT: TimeDelta = TimeDelta::days(1);
/// How long an answer of `/v1/responses` can be gone on from.
const RESPONSES_KEPT: TimeDelta = TimeDelta::days(30);
/// How long it is known what a member has read, from the last time on.
const READS_KEPT: TimeDelta = TimeDelta::days(365);
/// How long the history of who has no account is kept after its last use.
const ANONYMOUS_READS_KEPT: TimeDelta = TimeDelta::days(30);
/// How long it is known how often a post was read on a day.
const POST_DAYS_KEPT: TimeDelta = TimeDelta::days(400);
/// How long a proposal waits for a decision, and is known afterwards.
const PROPOSALS_KEPT: TimeDelta = TimeDelta::days(90);

pub(super) async fn tidy(services: &Services, now: DateTime<Utc>) -> Result<(), ServiceError> {
    let mut tx = services.db.begin().await?;
    let pruned = store::events::prune(&mut tx, now - events::RETENTION).await?;
    let sessions = sessions::delete_expired(&mut tx, now).await?;
    let jobs = jobs::forget_ended(&mut tx, now - DONE_KEPT, now - DEAD_KEPT).await?;
    let usage = token_usage::forget_before(&mut tx, (now - USAGE_KEPT).date_naive()).await?;
    let day = (now - ADDRESSES_KEPT).date_naive();
    let usage = usage + token_usage::forget_subjects_before(&mut tx, day, allowance::ADDRESS).await?;
    let responses = responses::forget_before(&mut tx, now - RESPONSES_KEPT).await?;
    let reads = forget_reads(&mut tx, now).await?;
    let proposals = proposals::forget_before(&mut tx, now - PROPOSALS_KEPT).await?;
    tx.commit().await?;
    relating::catch_up(services, now).await?;
    tracing::debug!(pruned, sessions, jobs, usage, responses, reads, proposals, "housekeeping");
    Ok(())
}

async fn forget_reads(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, DbError> {
    let readers = readers::forget_unused(conn, now - ANONYMOUS_READS_KEPT, now - READS_KEPT).await?;
    let reads = reads::forget_before(conn, now - READS_KEPT).await?;
    let days = post_days::forget_before(conn, (now - POST_DAYS_KEPT).date_naive()).await?;
    Ok(readers + reads + days)
}
