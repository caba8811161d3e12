//! What to read next: posts that are near what a reader read, liked and commented on, then what is
//! popular this week, then what is new. It says why, and nothing in it is about another reader: what
//! is popular comes out of counts.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::validate::Check;
use super::{Actor, ServiceError, Services, caching, reading, relating};
use crate::store::candidates::{self, CandidateRow, Known};

mod ranking;

use ranking::{Reader, most_read, nearest, ranked, seeds};

/// Most that are recommended.
pub const MAX_RECOMMENDED: usize = 100;
/// Posts of a reader whose neighbours are looked for, and deeds of each kind that they are chosen from.
const SEEDS: usize = 20;
const WEEK: TimeDelta = TimeDelta::days(7);

/// Why a post is recommended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonKind {
    Read,
    Liked,
    Commented,
    Popular,
    New,
}

/// Why a post is recommended, and because of which of the reader's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    pub kind: ReasonKind,
    pub post_id: Option<Uuid>,
}

/// A post to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    pub post_id: Uuid,
    /// From 0 to 1, falling along the list.
    pub score: f64,
    pub because: Vec<Reason>,
}

/// For whom to recommend.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// What comes first; without, what the reader reads most, or the site's.
    pub language: Option<String>,
    /// Of who has no account.
    pub reading_token: Option<String>,
}

/// What to read next for the one who asks, best first: nothing that they read, reacted to, commented
/// on or wrote, nor in translation. At most three statements, and none for each post.
pub async fn recommendations(
    services: &Services,
    actor: &Actor,
    wish: &Wish,
) -> Result<Vec<Recommendation>, ServiceError> {
    check_language(wish)?;
    let (known, seeds) = match reading::reader(actor, wish.reading_token.as_deref())? {
        Some(reader) => {
            let limit = i64::try_from(SEEDS).unwrap_or(i64::MAX);
            let found = candidates::deeds(&mut *services.db.conn().await?, &reader, limit).await?;
            let (known, deeds) = found.ok_or_else(reading::unknown_token)?;
            (known, seeds(deeds))
        }
        None => (Known::default(), Vec::new()),
    };
    let posts: Vec<_> = seeds.iter().map(|seed| (seed.post_id, seed.language.clone())).collect();
    let related = relating::related_in(services, &posts).await?;
    let near = nearest(&seeds, &related);
    let language = match wish.language.clone().or_else(|| most_read(&seeds)) {
        Some(language) => language,
        None => caching::site(services, actor.now).await?.language.clone(),
    };
    let rows = unknown(services, known, &near, actor.now).await?;
    Ok(ranked(&Reader { language, seeds, related }, &near, rows))
}

/// What is popular this week, for everybody alike.
pub async fn popular(services: &Services, actor: &Actor, wish: &Wish) -> Result<Vec<Recommendation>, ServiceError> {
    check_language(wish)?;
    let language = match wish.language.clone() {
        Some(language) => language,
        None => caching::site(services, actor.now).await?.language.clone(),
    };
    let mut rows = unknown(services, Known::default(), &[], actor.now).await?;
    rows.retain(|row| row.points > 0.0);
    Ok(ranked(&Reader { language, ..Reader::default() }, &[], rows))
}

fn check_language(wish: &Wish) -> Result<(), ServiceError> {
    match &wish.language {
        Some(language) => Check::default().language(language).done(),
        None => Ok(()),
    }
}

async fn unknown(
    services: &Services,
    known: Known,
    near: &[(Uuid, f64)],
    now: DateTime<Utc>,
) -> Result<Vec<CandidateRow>, ServiceError> {
    let ids: Vec<Uuid> = near.iter().map(|(id, _)| *id).collect();
    let limit = i64::try_from(MAX_RECOMMENDED).unwrap_or(i64::MAX);
    Ok(candidates::unknown(&mut *services.db.conn().await?, known, &ids, now - WEEK, limit).await?)
}
