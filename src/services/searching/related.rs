//! What has to do with a post.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::services::{ServiceError, Services, caching};
use crate::store::post_vectors::{self, RelatedRow};

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
        let rows = caching::posts(services, &missing).await?;
        let posts: Vec<(Uuid, String)> = rows.values().map(|row| (row.id, row.language.clone())).collect();
        related_in(services, &posts).await
    };
    caching::related(services, model, post_ids, look).await
}

/// The same for posts whose languages are known.
pub async fn related_in(
    services: &Services,
    posts: &[(Uuid, String)],
) -> Result<HashMap<Uuid, Vec<Related>>, ServiceError> {
    if posts.is_empty() {
        return Ok(HashMap::new());
    }
    let survey = services.surveys.now(services).await;
    let mut conn = services.db.conn().await?;
    let found = post_vectors::related(&mut conn, survey.model.as_ref(), posts).await?;
    Ok(found.into_iter().map(|(id, rows)| (id, in_order(rows))).collect())
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
