//! Pieces of published posts that may answer a question.
//!
//! PLACEHOLDER: words of the question against the newest posts, one post after the other.

use std::collections::HashSet;

use uuid::Uuid;

use crate::services::markdown::Heading;
use crate::services::{ServiceError, Services};
use crate::store::posts::{self, PostBodyRow, PostFilter, PostKind, PostOrder, PostRow};
use crate::store::{Page, Sight};

/// Posts that are looked through.
const POSTS: u32 = 200;

/// A piece of a published post that may answer a question.
#[derive(Clone, Debug)]
pub struct Passage {
    pub post_id: Uuid,
    pub slug: String,
    pub kind: PostKind,
    pub title: String,
    pub language: String,
    /// Headings from the outermost in, as plain text.
    pub heading_path: Vec<String>,
    /// The `id` of the innermost heading in the post's HTML.
    pub anchor: Option<String>,
    pub text: String,
    /// Cosine of the question's vector and the passage's, where a model made both.
    pub similarity: Option<f32>,
    /// The reranker's logit, where one is deployed and took part.
    pub relevance: Option<f32>,
    /// Share of the question's words that are in it, 0 to 1.
    pub words: f32,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Passages {
    /// Best first.
    pub passages: Vec<Passage>,
    /// Answered from words alone.
    pub degraded: bool,
}

/// The passages that answer a question best.
pub async fn passages(
    services: &Services,
    sight: Sight,
    question: &str,
    filter: &PostFilter,
    limit: usize,
) -> Result<Passages, ServiceError> {
    let asked = words(question);
    let page = Page { limit: POSTS, after: None, before: None, from_end: false };
    let mut conn = services.db.conn().await?;
    let rows = posts::page(&mut conn, filter, PostOrder::NewestFirst, &page, sight).await?.rows;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let bodies = posts::bodies(&mut conn, &ids).await?;
    drop(conn);
    let mut found = Vec::new();
    for row in &rows {
        let body = bodies.iter().find(|body| body.id == row.id);
        found.extend(body.into_iter().flat_map(|body| pieces(row, body, &asked)));
    }
    found.retain(|passage| passage.words > 0.0);
    found.sort_by(|a, b| b.words.total_cmp(&a.words));
    found.truncate(limit);
    Ok(Passages { passages: found, degraded: true })
}

/// A post cut at its headings.
fn pieces(row: &PostRow, body: &PostBodyRow, asked: &HashSet<String>) -> Vec<Passage> {
    let outline: Vec<Heading> = serde_json::from_value(body.outline.clone()).unwrap_or_default();
    let mut pieces = Vec::new();
    let (mut text, mut heading) = (String::new(), None);
    let mut end = |text: &mut String, heading: &Option<Heading>| {
        let said = std::mem::take(text);
        let there = words(&format!("{} {said}", row.title));
        let share = asked.intersection(&there).count() as f32 / asked.len().max(1) as f32;
        if !said.trim().is_empty() {
            pieces.push(Passage {
                post_id: row.id,
                slug: row.slug.clone(),
                kind: row.kind,
                title: row.title.clone(),
                language: row.language.clone(),
                heading_path: heading.iter().map(|heading| heading.text.clone()).collect(),
                anchor: heading.as_ref().map(|heading| heading.id.clone()),
                text: said.trim().to_owned(),
                similarity: None,
                relevance: None,
                words: share,
            });
        }
    };
    for line in body.markdown.lines() {
        let named = line.starts_with('#').then(|| line.trim_start_matches('#').trim());
        if let Some(found) = named.and_then(|name| outline.iter().find(|heading| heading.text == name)) {
            end(&mut text, &heading);
            heading = Some(found.clone());
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    end(&mut text, &heading);
    pieces
}

const COMMON: &[&str] = &[
    "a", "about", "an", "and", "are", "can", "did", "do", "does", "for", "from", "how", "i", "in", "is", "it", "of",
    "on", "or", "that", "the", "this", "to", "was", "what", "when", "where", "which", "who", "why", "with", "you",
];

/// Words of letters, and each Chinese character.
fn words(text: &str) -> HashSet<String> {
    let mut words = HashSet::new();
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()) {
        if word.is_ascii() {
            if !word.is_empty() && !COMMON.contains(&word) {
                words.insert(word.to_owned());
            }
        } else {
            words.extend(word.chars().map(String::from));
        }
    }
    words
}
