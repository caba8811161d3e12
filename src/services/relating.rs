//! What has to do with a post: what is near it by its vector, shares its tags, or is of its series.
//!
//! Each published post has its list in `store::post_related`, made by the job [`RELATE_JOB`]. Who changes a
//! post puts the lists out of date that it is on, or may come to be on, in the same transaction ([`changed`],
//! [`withdrawn`]). A list that is out of date is looked for when it is asked for. A post that is on another's
//! list for a tag alone may come late, when lists are made anew for their age.
//!
//! Imported by `indexing`, which tells it of changes, `recommending`, `graphql`, `jobs` and `app`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::jobs::{Outcome, Progress};
use super::{ServiceError, Services, caching};
use crate::store::jobs::{self, NewJob};
use crate::store::post_related::{self, NewList};
use crate::store::post_vectors::{self, RelatedRow};
use crate::store::{Conn, DbError, posts};

/// The job that makes the lists that are out of date; one for all posts.
pub const RELATE_JOB: &str = "relate_posts";

/// Lists that are made in one transaction, which a change of one of these posts waits for.
const BATCH: i64 = 20;
/// How long [`relate`] goes on before it asks for itself again: others may wait for the worker.
const SLICE: Duration = Duration::from_secs(300);
/// How long after a change lists are made, so that many changes have them made once.
const PAUSE: TimeDelta = TimeDelta::seconds(1);
/// A list that is older is made anew: not each change is told to each list that it touches.
const FRESH: TimeDelta = TimeDelta::days(1);
/// What a tag that two posts share is worth, in cosine: about the distance between the first and
/// the fifth neighbour of a post.
const SHARED_TAG: f64 = 0.02;
const SAME_SERIES: f64 = 0.02;
/// Tags beyond these say the same again.
const MAX_TAGS: i64 = 3;
/// Parts of one series among what is related, or recommended.
pub const OF_ONE_SERIES: usize = 2;
/// Most that are found.
pub const MAX_RELATED: usize = 20;

/// Why a post is related.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Because {
    Similar,
    SharedTags,
    SameSeries,
}

/// A related post.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Related {
    pub post_id: Uuid,
    /// Only of one post's neighbours: higher is nearer.
    pub score: f64,
    pub because: Vec<Because>,
}

/// For each post what has to do with it, nearest first: posts in its language, not its translations,
/// and not all parts of one series. One statement, however many posts, and none while nothing changes.
pub async fn related(services: &Services, post_ids: &[Uuid]) -> Result<HashMap<Uuid, Arc<Vec<Related>>>, ServiceError> {
    let survey = services.surveys.now(services).await;
    let model = survey.model.as_ref().map_or("", |(name, _)| name);
    let look = |missing: Vec<Uuid>| async move {
        let mut found = stored(services, &missing).await?;
        let other: Vec<Uuid> = missing.into_iter().filter(|id| !found.contains_key(id)).collect();
        let rows = caching::posts(services, &other).await?;
        let posts: Vec<_> = rows.values().map(|row| (row.id, row.language.clone())).collect();
        found.extend(looked_for(services, &posts).await?);
        Ok(found)
    };
    caching::related(services, model, post_ids, look).await
}

/// The same for posts whose languages are known, not kept.
pub async fn related_in(
    services: &Services,
    posts: &[(Uuid, String)],
) -> Result<HashMap<Uuid, Vec<Related>>, ServiceError> {
    let ids: Vec<Uuid> = posts.iter().map(|(id, _)| *id).collect();
    let mut found = stored(services, &ids).await?;
    let other: Vec<_> = posts.iter().filter(|(id, _)| !found.contains_key(id)).cloned().collect();
    found.extend(looked_for(services, &other).await?);
    Ok(found)
}

/// The lists that are up to date.
async fn stored(services: &Services, post_ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<Related>>, ServiceError> {
    if post_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let survey = services.surveys.now(services).await;
    let model = survey.model.as_ref().map_or("", |(name, _)| name);
    let rows = post_related::of_posts(&mut *services.db.conn().await?, model, post_ids).await?;
    // What another version wrote is as good as none.
    Ok(rows.into_iter().filter_map(|(id, related)| Some((id, serde_json::from_value(related).ok()?))).collect())
}

async fn looked_for(
    services: &Services,
    posts: &[(Uuid, String)],
) -> Result<HashMap<Uuid, Vec<Related>>, ServiceError> {
    if posts.is_empty() {
        return Ok(HashMap::new());
    }
    let survey = services.surveys.now(services).await;
    let found = post_vectors::related(&mut *services.db.conn().await?, survey.model.as_ref(), posts).await?;
    Ok(found.into_iter().map(|(id, rows)| (id, in_order(rows))).collect())
}

/// Has the lists made anew that published posts are on or may come to be on, in the transaction that makes
/// them known to search.
pub async fn changed(conn: &mut Conn, post_ids: &[Uuid], at: DateTime<Utc>) -> Result<(), DbError> {
    let rows = posts::by_ids(conn, post_ids).await?;
    let posts: Vec<_> = rows.into_iter().map(|row| (row.id, row.language)).collect();
    let model = post_vectors::best_model(conn).await?;
    let near = post_vectors::related(conn, model.as_ref(), &posts).await?;
    let beside: HashSet<Uuid> = near.into_values().flatten().map(|row| row.post_id).collect();
    post_related::expect(conn, post_ids).await?;
    post_related::outdate(conn, post_ids, beside.into_iter().collect()).await?;
    ask(conn, at).await
}

/// The same for posts that are not published any more.
pub async fn withdrawn(conn: &mut Conn, post_ids: &[Uuid], at: DateTime<Utc>) -> Result<(), DbError> {
    post_related::outdate(conn, post_ids, Vec::new()).await?;
    post_related::forget(conn, post_ids).await?;
    ask(conn, at).await
}

async fn ask(conn: &mut Conn, at: DateTime<Utc>) -> Result<(), DbError> {
    let job = NewJob { priority: jobs::Priority::LOW, ..NewJob::new(RELATE_JOB, Uuid::nil(), at + PAUSE) };
    jobs::enqueue_with(conn, &job, at).await?;
    Ok(())
}

/// Asks for lists that are out of date or old, if there are any.
pub async fn catch_up(services: &Services, now: DateTime<Utc>) -> Result<(), ServiceError> {
    let mut tx = services.db.begin().await?;
    if post_related::outdated(&mut tx, now - FRESH).await? > 0 {
        ask(&mut tx, now).await?;
    }
    Ok(services.commit(tx, &[]).await?)
}

/// Makes the lists that are out of date, the oldest first.
pub async fn relate(services: &Services, progress: &Progress) -> Result<Outcome, ServiceError> {
    let begun = tokio::time::Instant::now();
    let mut conn = services.db.conn().await?;
    let model = post_vectors::best_model(&mut conn).await?;
    let name = model.as_ref().map_or("", |(name, _)| name);
    post_related::outdate_other_models(&mut conn, name).await?;
    let old = Utc::now() - FRESH;
    let all = post_related::outdated(&mut conn, old).await?;
    drop(conn);
    let mut made = 0;
    while begun.elapsed() < SLICE {
        progress.set(made, all.unsigned_abs());
        let mut tx = services.db.begin().await?;
        let posts = post_related::take_outdated(&mut tx, old, BATCH).await?;
        if posts.is_empty() {
            return Ok(Outcome::Done);
        }
        let mut found = post_vectors::related(&mut tx, model.as_ref(), &posts).await?;
        let lists = posts.iter().map(|(id, _)| list(*id, found.remove(id).unwrap_or_default()));
        let lists = lists.collect::<Result<Vec<_>, _>>();
        let lists = lists.map_err(|error| ServiceError::Internal(format!("a list cannot be written: {error}")))?;
        post_related::put(&mut tx, name, lists, Utc::now()).await?;
        tx.commit().await?;
        made += posts.len() as u64;
    }
    Ok(Outcome::Later(Utc::now()))
}

fn list(post_id: Uuid, rows: Vec<RelatedRow>) -> Result<NewList, serde_json::Error> {
    let related = in_order(rows);
    let related_ids = related.iter().map(|one| one.post_id).collect();
    Ok(NewList { post_id, related: serde_json::to_value(related)?, related_ids })
}

fn in_order(rows: Vec<RelatedRow>) -> Vec<Related> {
    // Who shares a tag and is not among the nearest is at least as far as the farthest of those.
    let farthest = rows.iter().filter_map(|row| row.similarity).fold(1.0, f64::min);
    let mut all: Vec<_> = rows.into_iter().map(|row| (row.series_id, scored(&row, farthest))).collect();
    all.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score).then_with(|| b.post_id.cmp(&a.post_id)));
    let mut series: HashMap<Uuid, usize> = HashMap::new();
    let few = all.into_iter().filter(|(series_id, _)| {
        series_id.is_none_or(|id| {
            let count = series.entry(id).or_default();
            *count += 1;
            *count <= OF_ONE_SERIES
        })
    });
    few.map(|(_, related)| related).take(MAX_RELATED).collect()
}

fn scored(row: &RelatedRow, farthest: f64) -> Related {
    let near = row.similarity.unwrap_or(farthest - SHARED_TAG);
    let tags = SHARED_TAG * row.shared_tags.min(MAX_TAGS) as f64;
    let series = if row.same_series { SAME_SERIES } else { 0.0 };
    let reasons = [
        (row.similarity.is_some(), Because::Similar),
        (row.shared_tags > 0, Because::SharedTags),
        (row.same_series, Because::SameSeries),
    ];
    let because = reasons.into_iter().filter_map(|(holds, reason)| holds.then_some(reason)).collect();
    Related { post_id: row.post_id, score: near + tags + series, because }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_a_series_does_not_fill_the_list() {
        let series = Some(Uuid::from_u128(9));
        let row = |id, series_id, similarity, shared_tags| RelatedRow {
            post_id: Uuid::from_u128(id),
            series_id,
            similarity,
            shared_tags,
            same_series: series_id.is_some(),
        };
        let rows = vec![
            row(1, series, Some(0.95), 0),
            row(2, series, Some(0.94), 0),
            row(3, series, Some(0.93), 0),
            row(4, None, Some(0.90), 1),
            row(5, None, Some(0.91), 0),
            row(6, None, None, 2),
        ];
        let found = in_order(rows);
        let ids: Vec<u128> = found.iter().map(|it| it.post_id.as_u128()).collect();
        assert_eq!(ids, [1, 2, 6, 4, 5]);
        assert_eq!(found[3].because, [Because::Similar, Because::SharedTags]);
        assert_eq!(found[2].because, [Because::SharedTags]);
    }
}
