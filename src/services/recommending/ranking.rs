//! The order of what is recommended.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{MAX_RECOMMENDED, Reason, ReasonKind, Recommendation, SEEDS};
use crate::services::relating::{OF_ONE_SERIES, Related};
use crate::services::searching::fuse::{Ranking, fuse};
use crate::store::candidates::{CandidateRow, Deed, DeedRow};

/// What the next older post of a reader counts, in shares of the one before.
const FADES: f64 = 0.9;
/// What a post in another language than the reader's counts.
const OTHER_LANGUAGE: f64 = 0.5;
/// What the next post counts that is recommended because of the same one.
const SAME_SEED: f64 = 0.7;
/// Posts of the reader that are named as reasons.
const MAX_SEEDS_TOLD: usize = 2;
/// Of so many it is said that they are popular, where something else speaks for them too.
const MOST_POPULAR: usize = 10;
/// Neighbours that are looked at.
const MAX_NEAR: usize = 200;

/// A post of the reader's.
#[derive(Clone, Debug, PartialEq)]
pub struct Seed {
    pub post_id: Uuid,
    pub language: String,
    kind: ReasonKind,
    weight: f64,
}

/// The posts that a reader had to do with last, and what each counts.
pub fn seeds(deeds: Vec<DeedRow>) -> Vec<Seed> {
    struct Post {
        at: DateTime<Utc>,
        language: String,
        deeds: Vec<Deed>,
    }
    let mut posts: HashMap<Uuid, Post> = HashMap::new();
    for DeedRow { post_id, language, deed, at } in deeds {
        let post = posts.entry(post_id).or_insert(Post { at, language, deeds: Vec::new() });
        post.at = post.at.max(at);
        post.deeds.push(deed);
    }
    let mut posts: Vec<_> = posts.into_iter().collect();
    posts.sort_by(|(a, one), (b, other)| (other.at, b).cmp(&(one.at, a)));
    posts.truncate(SEEDS);
    let mut fresh = 1.0;
    let mut all = Vec::with_capacity(posts.len());
    for (post_id, Post { language, deeds, .. }) in posts {
        let weight = fresh * deeds.iter().map(|deed| if *deed == Deed::Read { 1.0 } else { 2.0 }).sum::<f64>();
        let kind = match deeds.iter().max() {
            Some(Deed::Commented) => ReasonKind::Commented,
            Some(Deed::Liked) => ReasonKind::Liked,
            Some(Deed::Read) | None => ReasonKind::Read,
        };
        all.push(Seed { post_id, language, kind, weight });
        fresh *= FADES;
    }
    all
}

pub fn most_read(seeds: &[Seed]) -> Option<String> {
    let mut languages: HashMap<&str, f64> = HashMap::new();
    for seed in seeds {
        *languages.entry(&seed.language).or_default() += seed.weight;
    }
    let most = languages.into_iter().max_by(|(a, one), (b, other)| one.total_cmp(other).then_with(|| b.cmp(a)));
    most.map(|(language, _)| language.to_owned())
}

/// What is near the posts of a reader, with a score from 0 to 1.
pub fn nearest(seeds: &[Seed], related: &HashMap<Uuid, Vec<Related>>) -> Vec<(Uuid, f64)> {
    let rankings: Vec<_> = seeds
        .iter()
        .filter_map(|seed| {
            let best_first = related.get(&seed.post_id)?.iter().map(|found| found.post_id).collect();
            Some(Ranking { weight: seed.weight, best_first })
        })
        .collect();
    let mut near = fuse(&rankings);
    near.truncate(MAX_NEAR);
    near
}

/// What is known of the one who reads.
#[derive(Default)]
pub struct Reader {
    pub language: String,
    pub seeds: Vec<Seed>,
    pub related: HashMap<Uuid, Vec<Related>>,
}

impl Reader {
    /// Posts of the reader that speak for a post, the one that speaks most first.
    fn speak_for(&self, post_id: Uuid) -> Vec<&Seed> {
        let said = self.seeds.iter().filter_map(|seed| {
            let rank = self.related.get(&seed.post_id)?.iter().position(|found| found.post_id == post_id)?;
            Some((seed, seed.weight / (1.0 + rank as f64)))
        });
        let mut said: Vec<_> = said.collect();
        said.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        said.into_iter().map(|(seed, _)| seed).collect()
    }

    fn reads(&self, language: &str) -> bool {
        let main = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        main(language) == main(&self.language)
    }
}

/// The list as far as it has come, and what it may not hold more of.
#[derive(Default)]
struct Chosen {
    list: Vec<Recommendation>,
    posts: HashSet<Uuid>,
    series: HashMap<Uuid, usize>,
    pieces: HashSet<String>,
}

impl Chosen {
    fn has_room_for(&self, row: &CandidateRow) -> bool {
        let parts = row.series_id.and_then(|id| self.series.get(&id)).copied().unwrap_or(0);
        let is_there = row.group_key.as_ref().is_some_and(|key| self.pieces.contains(key));
        self.list.len() < MAX_RECOMMENDED && parts < OF_ONE_SERIES && !is_there && !self.posts.contains(&row.post_id)
    }

    fn add(&mut self, row: &CandidateRow, score: f64, because: Vec<Reason>) {
        self.posts.insert(row.post_id);
        self.pieces.extend(row.group_key.clone());
        if let Some(id) = row.series_id {
            *self.series.entry(id).or_default() += 1;
        }
        self.list.push(Recommendation { post_id: row.post_id, score, because });
    }
}

/// What is near first, in the upper third of the scores; then what is popular, then what is new.
pub fn ranked(reader: &Reader, near: &[(Uuid, f64)], rows: Vec<CandidateRow>) -> Vec<Recommendation> {
    let mut popular: Vec<&CandidateRow> = rows.iter().filter(|row| row.points > 0.0).collect();
    let newer = |a: &CandidateRow, b: &CandidateRow| (b.listed_at, b.post_id).cmp(&(a.listed_at, a.post_id));
    popular.sort_by(|a, b| b.points.total_cmp(&a.points).then_with(|| newer(a, b)));
    let most: HashSet<Uuid> = popular.iter().take(MOST_POPULAR).map(|row| row.post_id).collect();
    let mut new: Vec<&CandidateRow> = rows.iter().filter(|row| row.points == 0.0).collect();
    new.sort_by(|a, b| newer(a, b));

    let mut chosen = Chosen::default();
    choose_near(&mut chosen, reader, near, &rows, &most);
    for (kind, floor, mut all) in [(ReasonKind::Popular, 1.0 / 3.0, popular), (ReasonKind::New, 0.0, new)] {
        // The sort is stable.
        all.sort_by_key(|row| !reader.reads(&row.language));
        let mut score = floor + 1.0 / 3.0;
        for row in all {
            if chosen.has_room_for(row) {
                chosen.add(row, score, vec![Reason { kind, post_id: None }]);
                score = floor + (score - floor) * FADES;
            }
        }
    }
    chosen.list
}

/// Those that are near, each time the best of what is left, where what the same post of the reader
/// speaks for counts less with each that was chosen.
fn choose_near(
    chosen: &mut Chosen,
    reader: &Reader,
    near: &[(Uuid, f64)],
    rows: &[CandidateRow],
    popular: &HashSet<Uuid>,
) {
    let by_id: HashMap<Uuid, &CandidateRow> = rows.iter().map(|row| (row.post_id, row)).collect();
    let mut left: Vec<_> = near
        .iter()
        .filter_map(|(id, score)| {
            let row = *by_id.get(id)?;
            let score = if reader.reads(&row.language) { *score } else { *score * OTHER_LANGUAGE };
            Some((row, reader.speak_for(*id), score))
        })
        .collect();
    let mut spoken: HashMap<Uuid, i32> = HashMap::new();
    let best = left.iter().map(|(.., score)| *score).fold(f64::MIN_POSITIVE, f64::max);
    loop {
        left.retain(|(row, ..)| chosen.has_room_for(row));
        let worth = |seeds: &[&Seed], score: f64| {
            let often = seeds.first().and_then(|seed| spoken.get(&seed.post_id)).copied().unwrap_or(0);
            score * SAME_SEED.powi(often)
        };
        let scores = left.iter().map(|(_, seeds, score)| worth(seeds, *score)).enumerate();
        let Some((at, score)) = scores.max_by(|(i, a), (j, b)| a.total_cmp(b).then_with(|| j.cmp(i))) else { return };
        let (row, seeds, _) = left.remove(at);
        if let Some(seed) = seeds.first() {
            *spoken.entry(seed.post_id).or_default() += 1;
        }
        let told = seeds.iter().take(MAX_SEEDS_TOLD);
        let mut because: Vec<_> = told.map(|seed| Reason { kind: seed.kind, post_id: Some(seed.post_id) }).collect();
        if popular.contains(&row.post_id) {
            because.push(Reason { kind: ReasonKind::Popular, post_id: None });
        }
        chosen.add(row, 2.0 / 3.0 + score / best / 3.0, because);
    }
}

#[cfg(test)]
mod tests;
