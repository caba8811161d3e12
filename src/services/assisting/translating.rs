//! A post in another language, as a draft beside it. It is never published here.

use serde_json::json;

use super::answers::{is_eastern, one_line, unfenced};
use super::deciding::{changed, content};
use super::kept::mask;
use super::reading::{self, Read};
use super::work::{Stop, Task, Work};
use super::{Suggestion, language_name, slugs};
use crate::events::NewEvent;
use crate::services::error::gone;
use crate::services::publishing::{self, PostDraft, PostEdit};
use crate::services::validate::Check;
use crate::services::words::{is_cjk, is_mostly_cjk};
use crate::services::{RefusalCode, ServiceError, Services};
use crate::store::posts::{PostRow, PostStatus};
use crate::store::proposals::{self, ProposalKind, ProposalRow, ProposalStatus};
use crate::store::{Conn, DbError, Tx, posts, translations};

/// A part is of so many tokens at most: small models lose the thread in more.
const MAX_PART_TOKENS: usize = 700;
const MAX_TITLE: usize = 300;
const MAX_DESCRIPTION: usize = 1000;

/// What there is of a post in another language.
pub enum Standing {
    Nothing,
    /// A draft that was made here and that nobody has changed.
    Untouched(PostRow),
    /// Somebody's text.
    Taken(PostRow),
}

/// A translation that is not kept yet.
struct Translated {
    title: String,
    description: Option<String>,
    markdown: String,
    kept_parts: usize,
}

/// Errors: the language will not do, or there is a translation that is not to be lost.
pub async fn check(services: &Services, post: &PostRow, language: Option<&str>) -> Result<(), ServiceError> {
    let language = language.unwrap_or_default();
    Check::default()
        .language(language)
        .that(language != post.language, RefusalCode::Invalid, "language", || {
            format!("the post is in {language:?} already: name another language")
        })
        .done()?;
    match standing(&mut *services.db.conn().await?, post, language).await? {
        Standing::Taken(other) => Err(taken(&other, language)),
        _ => Ok(()),
    }
}

pub async fn standing(conn: &mut Conn, post: &PostRow, language: &str) -> Result<Standing, DbError> {
    let Some(key) = translations::keys(conn, &[post.id]).await?.remove(&post.id) else { return Ok(Standing::Nothing) };
    let Some(other) = translations::version_in(conn, &key, language).await? else { return Ok(Standing::Nothing) };
    let made = proposals::translations(conn, post.id).await?;
    let is_this = |row: &ProposalRow| match content(row) {
        Some(Suggestion::Translation { post_id, version, .. }) => post_id == other.id && version == other.version,
        _ => false,
    };
    let untouched = other.status == PostStatus::Draft && made.iter().any(is_this);
    Ok(if untouched { Standing::Untouched(other) } else { Standing::Taken(other) })
}

fn taken(other: &PostRow, language: &str) -> ServiceError {
    let message = format!(
        "there is a version in {language:?} already that somebody has worked on ({:?}): take it out of the group of \
         translations, or delete it, to have another made",
        other.slug
    );
    ServiceError::refuse(RefusalCode::Taken, "language", message)
}

pub async fn make(work: &mut Work, language: &str) -> Result<Suggestion, Stop> {
    let tokens = (work.context() / 4).min(MAX_PART_TOKENS);
    let planned = reading::planned(&work.source.markdown, tokens)?;
    let description = work.source.row.description.clone().filter(|text| !text.trim().is_empty());
    let before = 1 + usize::from(description.is_some());
    work.start(before + planned.len()).await?;
    let target = language_name(language);
    let task = Task {
        file: "translate.txt",
        built_in: include_str!("prompts/translate.txt"),
        values: &[("{target}", &target)],
        order: &format!("Write the translation into {target}."),
        max_tokens: 4 * tokens,
        schema: None,
        picture: None,
    };
    let title = work.source.row.title.clone();
    let title = line(work, &task, &title, MAX_TITLE).await?.ok_or_else(|| Stop::bad_output("it has no title"))?;
    let description = match description {
        Some(text) => {
            work.enter(1);
            line(work, &task, &text, MAX_DESCRIPTION).await?
        }
        None => None,
    };
    let read = reading::each(work, &task, (planned, tokens), before, |text| mask(text).text).await?;
    let (markdown, kept_parts) = put_together(&work.source.markdown, &read, language);
    if kept_parts == read.len() && !read.is_empty() {
        return Err(Stop::bad_output("it is no translation, or has lost the post's links and code"));
    }
    save(work, language, Translated { title, description, markdown, kept_parts }).await
}

/// A line in the other language; none where nothing came of it.
async fn line(work: &mut Work, task: &Task<'_>, text: &str, most: usize) -> Result<Option<String>, Stop> {
    let masked = mask(text);
    let written = work.write(task, &masked.text).await?;
    let made = masked.unmask(&one_line(unfenced(written.text.trim())));
    Ok(made.filter(|made| made.chars().any(char::is_alphanumeric) && made.chars().count() <= most))
}

/// The post with its parts in the other language, and how many stay as they are.
fn put_together(markdown: &str, read: &[Read], language: &str) -> (String, usize) {
    let (mut text, mut last, mut kept) = (String::with_capacity(markdown.len()), 0, 0);
    for Read { range, text: made } in read {
        let part = &markdown[range.clone()];
        text.push_str(&markdown[last..range.start]);
        match made.as_deref().and_then(|made| translated(part, made, language)) {
            Some(made) => text.push_str(&made),
            None => {
                kept += 1;
                text.push_str(part);
            }
        }
        last = range.end;
    }
    text.push_str(&markdown[last..]);
    (text, kept)
}

/// A part in the other language, if it is one: with all links, code and headings of the part, and
/// none of its own.
fn translated(part: &str, made: &str, language: &str) -> Option<String> {
    let made = unfenced(made.trim());
    let text = mask(part).unmask(made)?;
    let is_new = !part.chars().any(char::is_alphabetic) || is_in(&text, part, language);
    (is_new && shape(&text) == shape(part) && !text.trim().is_empty()).then_some(text)
}

/// Whether a text can be in a language, by its script.
fn is_in(text: &str, source: &str, language: &str) -> bool {
    let words = source.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)).count();
    match is_eastern(language) {
        // A few names may stay what they are.
        true => words < 3 || text.chars().any(is_cjk),
        false => !(is_mostly_cjk(source) && is_mostly_cjk(text)),
    }
}

/// The levels of the headings of a text, and how many lines of tables it has.
fn shape(text: &str) -> (Vec<usize>, usize) {
    let level = |line: &str| line.len() - line.trim_start_matches('#').len();
    let headings = text.lines().filter(|line| (1..=6).contains(&level(line)) && line[level(line)..].starts_with(' '));
    (headings.map(level).collect(), text.lines().filter(|line| line.trim_start().starts_with('|')).count())
}

/// Keeps a translation as a draft of the group, and writes down that it was made here.
async fn save(work: &Work, language: &str, made: Translated) -> Result<Suggestion, Stop> {
    let (services, actor, source) = (&work.services, &work.actor, &work.source);
    let kept_parts = made.kept_parts;
    let standing = standing(&mut *services.db.conn().await?, &source.row, language).await?;
    let mut tx;
    let (draft, told) = match standing {
        Standing::Taken(other) => return Err(taken(&other, language).into()),
        Standing::Untouched(other) => {
            let edit = PostEdit {
                id: other.id,
                based_on_version: other.version,
                title: Some(made.title),
                markdown: Some(made.markdown),
                description: Some(made.description),
                ..PostEdit::default()
            };
            let ready = publishing::ready_edit(actor, edit).await?;
            tx = services.db.begin().await?;
            Box::pin(publishing::write_edit(&mut tx, actor, ready)).await?
        }
        Standing::Nothing => {
            let key = group(&mut *services.db.conn().await?, &source.row).await?;
            let draft = draft(work, language, made, &key).await?;
            let ready = publishing::ready_draft(actor, draft).await?;
            tx = services.db.begin().await?;
            join(&mut tx, &source.row, &key).await?;
            Box::pin(publishing::write_draft(&mut tx, actor, &ready)).await?
        }
    };
    let (post_id, version) = (draft.id, draft.version);
    let suggestion = Suggestion::Translation { post_id, language: draft.language.clone(), version, kept_parts };
    let noted = note(&mut tx, work, &suggestion).await?;
    Box::pin(services.commit(tx, &[told, noted])).await?;
    Ok(suggestion)
}

async fn draft(work: &Work, language: &str, made: Translated, key: &str) -> Result<PostDraft, ServiceError> {
    let source = &work.source;
    let base = match slugs::of_title(&made.title) {
        slug if slug.is_empty() => format!("{}-{}", source.row.slug, language.to_lowercase()),
        slug => slug,
    };
    let slug = slugs::free(&mut *work.services.db.conn().await?, &base).await?;
    Ok(PostDraft {
        title: made.title,
        markdown: made.markdown,
        slug: Some(slug),
        kind: Some(source.row.kind),
        language: Some(language.to_owned()),
        description: made.description,
        cover: source.row.cover.clone(),
        tags: source.tags.iter().map(|tag| tag.slug.clone()).collect(),
        translation_key: Some(key.to_owned()),
        custom: source.row.custom.as_object().cloned().unwrap_or_default(),
        ..PostDraft::default()
    })
}

/// The key of the post's group, or one for a group to be.
async fn group(conn: &mut Conn, post: &PostRow) -> Result<String, DbError> {
    match translations::keys(conn, &[post.id]).await?.remove(&post.id) {
        Some(key) => Ok(key),
        None if translations::exists(conn, &post.slug).await? => Ok(post.id.simple().to_string()),
        None => Ok(post.slug.clone()),
    }
}

/// Puts the post into the group, unless somebody was faster.
async fn join(tx: &mut Tx, post: &PostRow, key: &str) -> Result<(), ServiceError> {
    let current = posts::lock(tx, post.id).await?.ok_or_else(|| ServiceError::not_found("postId", "post"))?;
    match translations::keys(tx, &[post.id]).await?.remove(&post.id) {
        Some(there) if there == key => Ok(()),
        Some(_) => Err(ServiceError::Busy("somebody put the post into another group at this moment: try again".into())),
        None => publishing::set_translation(tx, &current, Some(key)).await,
    }
}

/// Writes down which draft was made, so that it is known while nobody has changed it.
async fn note(tx: &mut Tx, work: &Work, suggestion: &Suggestion) -> Result<NewEvent, ServiceError> {
    let now = work.actor.now;
    let row = ProposalRow {
        id: uuid::Uuid::now_v7(),
        post_id: work.source.row.id,
        kind: ProposalKind::Translation,
        // It is a draft already: there is nothing left to decide.
        status: ProposalStatus::Accepted,
        content: json!(suggestion),
        model: work.model.clone(),
        post_version: work.source.row.version,
        created_at: now,
        decided_at: Some(now),
        decided_by: work.actor.viewer.user().map(|user| user.id),
    };
    proposals::insert(tx, &row).await.map_err(|error| gone(error, "postId"))?;
    Ok(changed(&row, work.actor.viewer.user().map(|user| user.id), now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_keeps_its_shape() {
        let part = "## Ink\n\nOn [ink](https://a.example) and `soot`, at length.";
        let made = "## 墨\n\n关于[墨](#1)与`soot`。";
        let text = "## 墨\n\n关于[墨](https://a.example)与`soot`。";
        assert_eq!(translated(part, made, "zh").as_deref(), Some(text));
        assert_eq!(translated(part, &format!("```markdown\n{made}\n```"), "zh").as_deref(), Some(text), "in a fence");
        for wrong in
            ["墨\n\n关于[墨](#1)与`soot`。", "### 墨\n\n[墨](#1)`soot`", "## Ink\n\nOn [ink](#1) and `soot`", ""]
        {
            assert_eq!(translated(part, wrong, "zh"), None, "{wrong:?}");
        }
        assert_eq!(translated("On ink.", "```\nÜber Tinte.\n```", "de").as_deref(), Some("Über Tinte."));
        assert_eq!(translated("关于墨水的文章", "关于墨水的文章", "en"), None, "it was said again");
        assert_eq!(translated("| a |\n|---|\n| b |", "| x |\n|---|", "de"), None, "a line of the table is lost");
    }

    #[test]
    fn what_is_no_part_stays_where_it_is() {
        let markdown = "One.\n\n```\ncode\n```\n\nTwo.\n";
        let at = |part: &str| markdown.find(part).map_or(0..0, |at| at..at + part.len());
        let read = |part: &str, made: Option<&str>| Read { range: at(part), text: made.map(str::to_owned) };
        let (text, kept) = put_together(markdown, &[read("One.", Some("Eins.")), read("Two.", None)], "de");
        assert_eq!((text.as_str(), kept), ("Eins.\n\n```\ncode\n```\n\nTwo.\n", 1));
    }
}
