//! What the site's words are: how common each is, which are like a misspelt one, and in which
//! languages there is anything.
//!
//! Counted out of the whole index now and then, and held by each process: a word that is some
//! seconds old is found all the same, it only counts as a rare one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use strsim::osa_distance;
use tokio::sync::Mutex;

use super::query::may_be_meant;
use crate::events::EventKind;
use crate::inference::Task;
use crate::services::words::is_stem;
use crate::services::{ServiceError, Services};
use crate::store::{DbError, chunk_vectors, post_vectors, post_words};

/// Words that are held; a site of 10,000 posts has about 100,000.
const MAX_WORDS: i64 = 300_000;
/// How often it is asked whether anything has changed.
const LOOK: Duration = Duration::from_secs(2);
/// A count may take this share of the time.
const SHARE: u32 = 20;
/// Where nobody has searched for so much longer than a count lasts, the next one waits for another.
const OLD: Duration = Duration::from_secs(10);
/// How long a search waits for a count.
const FIRST: Duration = Duration::from_secs(2);
/// Shortest word that is taken for misspelt.
const MIN_MISSPELT: usize = 4;

/// The words of the site.
#[derive(Debug, Default)]
pub struct Survey {
    /// In alphabetical order, with the number of posts.
    words: Vec<(Box<str>, u32)>,
    pub posts: u32,
    /// Of what is published, the commonest first.
    pub languages: Vec<String>,
    /// The model whose vectors say what is like what, and their length.
    pub model: Option<(String, i32)>,
    edition: Option<(Option<DateTime<Utc>>, i64)>,
}

impl Survey {
    fn new(mut words: Vec<(String, i32)>) -> Self {
        words.sort_unstable();
        let words = words.into_iter().map(|(word, posts)| (word.into(), u32::try_from(posts).unwrap_or(0)));
        Self { words: words.collect(), ..Self::default() }
    }

    fn without_words(&self) -> Self {
        let (languages, model) = (self.languages.clone(), self.model.clone());
        Self { words: Vec::new(), posts: self.posts, languages, model, edition: None }
    }

    fn from(&self, word: &str) -> &[(Box<str>, u32)] {
        let at = self.words.partition_point(|(known, _)| &**known < word);
        &self.words[at..]
    }

    /// How many posts have this word.
    pub fn count(&self, word: &str) -> u32 {
        self.from(word).first().filter(|(known, _)| &**known == word).map_or(0, |(_, posts)| *posts)
    }

    /// Words that begin so, the commonest first; at most `limit` of the first thousand.
    pub fn beginning(&self, prefix: &str, limit: usize) -> Vec<(&str, u32)> {
        let all = self.from(prefix).iter().take_while(|(word, _)| word.starts_with(prefix)).take(1000);
        let mut found: Vec<_> = all.map(|(word, posts)| (&**word, *posts)).collect();
        found.sort_by_key(|(_, posts)| std::cmp::Reverse(*posts));
        found.truncate(limit);
        found
    }

    /// What somebody may have meant who wrote `word`, the likeliest first: the words with the same
    /// first letter that one letter more, less, other or swapped makes of it; two for a long one.
    pub fn meant(&self, word: &str) -> Vec<&str> {
        let length = word.chars().count();
        let Some(first) = word.chars().next().filter(|_| length >= MIN_MISSPELT) else { return Vec::new() };
        let most = if length < 8 { 1 } else { 2 };
        let begin = first.to_string();
        let near =
            self.from(&begin).iter().take_while(|(known, _)| known.starts_with(first)).filter_map(|(known, posts)| {
                let may_be = known.len().abs_diff(word.len()) <= most * 2 && !is_stem(known) && may_be_meant(known);
                let distance = may_be.then(|| osa_distance(word, known))?;
                (1..=most).contains(&distance).then_some((distance, std::cmp::Reverse(*posts), &**known))
            });
        let mut near: Vec<_> = near.collect();
        near.sort_unstable();
        let best = near.first().map_or(0, |(distance, ..)| *distance);
        near.into_iter().filter(|(distance, ..)| *distance == best).map(|(.., known)| known).take(3).collect()
    }
}

/// The last survey of this process.
#[derive(Clone, Debug, Default)]
pub struct Surveys(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: RwLock<Option<Last>>,
    /// One at a time.
    counting: Mutex<()>,
    /// How often something was taken away from readers.
    taken: AtomicU64,
    /// How often anything was changed that search has to know.
    changed: AtomicU64,
}

#[derive(Clone, Debug)]
struct Last {
    survey: Arc<Survey>,
    looked: Instant,
    /// How long a search goes on with it.
    lasts: Duration,
    /// What had been taken away when it was counted: it has no words of that.
    taken: u64,
    /// What had been changed.
    changed: u64,
    /// Whether the model of this name has read nearly all.
    read: Option<(String, bool)>,
}

impl Surveys {
    /// The words as they were some seconds ago, and without those of posts that readers may not see any
    /// more. The first search of a process waits for a count, and so does one after something was taken
    /// away, or after a while; where that takes long it goes on without words.
    pub async fn now(&self, services: &Services) -> Arc<Survey> {
        let taken = self.0.taken.load(Ordering::SeqCst);
        let is_good = |last: &Last| last.taken >= taken && last.looked.elapsed() < last.lasts + OLD;
        if let Some(last) = self.last().filter(is_good) {
            if last.looked.elapsed() >= last.lasts && self.0.counting.try_lock().is_ok() {
                let (surveys, services) = (self.clone(), services.clone());
                tokio::spawn(async move { surveys.renew(&services).await });
            }
            return last.survey;
        }
        let (surveys, own) = (self.clone(), services.clone());
        let counting = tokio::spawn(async move { surveys.renew(&own).await });
        let _ = tokio::time::timeout(FIRST, counting).await;
        match self.last() {
            Some(last) if last.taken >= taken => last.survey,
            // Rather none than some that are not for readers any more.
            Some(last) => Arc::new(last.survey.without_words()),
            None => Arc::default(),
        }
    }

    /// Hears what happens.
    pub fn hear(&self, kind: EventKind) {
        if matches!(kind, EventKind::PostUnpublished | EventKind::PostDeleted) {
            self.0.taken.fetch_add(1, Ordering::SeqCst);
        }
        if matches!(kind, EventKind::PostUnpublished | EventKind::PostDeleted | EventKind::SearchChanged) {
            self.0.changed.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whether something has changed since the last count: what is answered with it is for now only.
    pub fn is_behind(&self) -> bool {
        let changed = self.0.changed.load(Ordering::SeqCst);
        self.read_last().as_ref().is_none_or(|last| last.changed < changed)
    }

    /// Whether the model of this name has read nearly all that is published, some seconds ago: before, what
    /// it finds is no reason to put a post behind others.
    pub fn is_read_by(&self, model: &str) -> bool {
        let last = self.read_last();
        let read = last.as_ref().and_then(|last| last.read.as_ref());
        read.is_none_or(|(name, is_read)| name != model || *is_read)
    }

    fn last(&self) -> Option<Last> {
        self.read_last().clone()
    }

    fn read_last(&self) -> RwLockReadGuard<'_, Option<Last>> {
        self.0.last.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn renew(&self, services: &Services) {
        let _turn = self.0.counting.lock().await;
        let (taken, changed) = (self.0.taken.load(Ordering::SeqCst), self.0.changed.load(Ordering::SeqCst));
        if self.last().is_some_and(|last| last.taken >= taken && last.looked.elapsed() < last.lasts) {
            return;
        }
        let begun = Instant::now();
        let last = self.last();
        // After something was taken away the index may look as it did before that was there.
        let known = last.as_ref().filter(|last| last.taken >= taken).map(|last| &*last.survey);
        let survey = match look(services, known).await {
            Ok(Some(survey)) => Arc::new(survey),
            Ok(None) => last.as_ref().map(|last| last.survey.clone()).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the site's words could not be counted");
                Arc::new(last.as_ref().map(|last| last.survey.without_words()).unwrap_or_default())
            }
        };
        let read = match is_read(services, last.as_ref(), &survey).await {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(%error, "it is not known how much a model has read");
                None
            }
        };
        let lasts = LOOK.max(begun.elapsed() * SHARE);
        let last = Last { survey, looked: Instant::now(), lasts, taken, changed, read };
        *self.0.last.write().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

/// Asked again until it is so, and when there is another model or another site than with `last`.
async fn is_read(services: &Services, last: Option<&Last>, survey: &Survey) -> Result<Option<(String, bool)>, DbError> {
    let Some(model) = services.engine.deployed(Task::Embed).map(|card| card.name()) else { return Ok(None) };
    if let Some(last) = last
        && last.read.as_ref().is_some_and(|(name, is_read)| *is_read && *name == model)
        && survey.edition.is_some()
        && last.survey.edition == survey.edition
    {
        return Ok(last.read.clone());
    }
    let (all, read) = chunk_vectors::coverage(&mut *services.db.conn().await?, &model).await?;
    Ok(Some((model, read * 10 >= all * 9)))
}

/// `None` if nothing has changed.
async fn look(services: &Services, last: Option<&Survey>) -> Result<Option<Survey>, ServiceError> {
    // One view of the index: the words must be those of the edition.
    let mut tx = services.db.snapshot().await?;
    let edition = post_words::edition(&mut tx).await?;
    let model = post_vectors::best_model(&mut tx).await?;
    if last.is_some_and(|last| last.edition == Some(edition) && last.model == model) {
        return Ok(None);
    }
    let words = post_words::statistics(&mut tx, MAX_WORDS).await?;
    let languages = post_words::languages(&mut tx).await?;
    tx.commit().await?;
    let posts = u32::try_from(edition.1).unwrap_or(u32::MAX);
    Ok(Some(Survey { posts, languages, model, edition: Some(edition), ..Survey::new(words) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey() -> Survey {
        let words = [
            ("inkstone", 5),
            ("ink", 9),
            ("grinding", 4),
            ("~grind", 4),
            ("grind", 2),
            ("墨", 1),
            ("typography", 3),
            ("been", 8),
            ("was", 9),
        ];
        Survey { posts: 10, ..Survey::new(words.map(|(word, posts)| (word.to_owned(), posts)).into()) }
    }

    #[test]
    fn words_are_counted_completed_and_corrected() {
        let survey = survey();
        assert_eq!((survey.count("ink"), survey.count("inks"), survey.count("zz")), (9, 0, 0));
        assert_eq!(survey.beginning("in", 5), [("ink", 9), ("inkstone", 5)]);
        for (written, meant) in [
            ("inkstnoe", vec!["inkstone"]),
            ("grindng", vec!["grinding"]),
            ("typografy", vec!["typography"]),
            ("inc", vec![]),
            ("grinding", vec![]),
            ("wholly", vec![]),
            ("bees", vec![]),
            ("wasp", vec![]),
        ] {
            assert_eq!(survey.meant(written), meant, "{written}");
        }
    }
}
