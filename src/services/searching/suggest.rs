//! How what somebody begins to type may go on.

use uuid::Uuid;

use super::check;
use super::query::may_be_meant;
use crate::services::words::{Form, is_mostly_cjk, is_stem, tokens};
use crate::services::{ServiceError, Services};
use crate::store::posts;
use crate::store::tags;

/// Most suggestions.
pub const MAX_SUGGESTIONS: usize = 20;

/// How a text may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suggestion {
    /// A tag of published posts.
    Tag { name: String, id: Uuid },
    /// A published post.
    Title { title: String, id: Uuid },
    /// What was typed, with its last word ended.
    Word(String),
}

/// Tags, titles and words that begin as `prefix` does, at most `limit`.
pub async fn suggest(services: &Services, prefix: &str, limit: usize) -> Result<Vec<Suggestion>, ServiceError> {
    let typed = check(prefix)?.trim_end();
    let survey = services.surveys.now(services).await;
    let mut found = Vec::new();
    let most = i64::try_from(limit).unwrap_or(20);
    {
        let mut conn = services.db.conn().await?;
        let named = tags::beginning(&mut conn, typed, most).await?;
        found.extend(named.into_iter().map(|tag| Suggestion::Tag { name: tag.name, id: tag.id }));
        // Chinese has no spaces between words.
        let part = if is_mostly_cjk(typed) { typed.to_lowercase() } else { format!(" {}", typed.to_lowercase()) };
        let titled = posts::titles_with(&mut conn, &part, most).await?;
        found.extend(titled.into_iter().map(|(id, title)| Suggestion::Title { title, id }));
    }
    let words = tokens(typed).pop().map(|last| {
        let (begun, so_far) = (last.form.text().to_owned(), &typed[..last.start]);
        let is_word = matches!(last.form, Form::Word(_));
        let all = survey.beginning(&begun, limit * 2).into_iter().map(|(word, _)| word);
        all.filter(|word| is_word && !is_stem(word) && may_be_meant(word) && *word != begun)
            .map(|word| format!("{so_far}{word}"))
            .collect::<Vec<_>>()
    });
    // Tags and titles say more than words, but words should not be crowded out by them.
    let words = words.unwrap_or_default();
    found.truncate(limit - limit.min(words.len()).min(limit / 2));
    found.extend(words.into_iter().map(Suggestion::Word));
    found.truncate(limit);
    Ok(found)
}
