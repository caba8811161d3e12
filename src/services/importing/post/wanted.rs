//! What a file says, in the terms of the store, and whether the store says it already.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::services::content_folder::Document;
use crate::services::importing::{Authors, ImportOptions};
use crate::services::publishing::{check_group, tags_named};
use crate::services::slug::{MAX_SLUG_CHARS, slugify};
use crate::services::validate::{Check, MAX_POST_BYTES};
use crate::services::{RefusalCode, ServiceError};
use crate::store::posts::{self, PostBodyRow, PostKind, PostRow, PostStatus};
use crate::store::{Conn, series, tags, translations, users};

/// What the file says, in the terms of the store.
pub struct Wanted<'a> {
    pub document: &'a Document,
    pub kind: PostKind,
    pub language: String,
    pub status: PostStatus,
    pub published_at: Option<DateTime<Utc>>,
    pub author_id: Uuid,
    /// `None` also for a series that is not made yet.
    pub series_id: Option<Uuid>,
}

/// Errors: `Refused`, by the names of the API.
pub fn check(document: &Document) -> Result<(), ServiceError> {
    let mut check = Check::default();
    check.text("title", &document.title, 300).markdown(&document.markdown, MAX_POST_BYTES).slug(&document.slug);
    if let Some(language) = &document.language {
        check.language(language);
    }
    check.tags(&document.tags, MAX_SLUG_CHARS).custom(&document.custom);
    check_group(&mut check, document.translation_key.as_deref());
    if let Some(name) = &document.series {
        check.text("series", name, 200);
        check.that(!slugify(name).is_empty(), RefusalCode::Invalid, "series", || {
            format!("{name:?} is not a series: it needs a letter or a digit")
        });
    }
    check.done()
}

/// The post that the file is about, if there is one.
pub async fn find(conn: &mut Conn, document: &Document) -> Result<Option<PostRow>, ServiceError> {
    let known = posts::ids_by_slugs(conn, std::slice::from_ref(&document.slug)).await?.pop();
    let Some((_, id)) = known else { return Ok(None) };
    Ok(posts::by_ids(conn, &[id]).await?.pop())
}

pub async fn wanted<'a>(
    conn: &mut Conn,
    document: &'a Document,
    before: Option<&PostRow>,
    authors: &Authors,
    options: &ImportOptions,
) -> Result<Wanted<'a>, ServiceError> {
    let past = |date: Option<DateTime<Utc>>| date.filter(|at| *at <= options.now);
    let (status, published_at) = match (document.archived, document.draft, document.date) {
        (true, _, date) => (PostStatus::Archived, past(date)),
        (false, true, date) => (PostStatus::Draft, past(date)),
        (false, false, date) => {
            // A file without a date was published when it was first seen.
            let at = date.or(before.and_then(|post| post.published_at)).unwrap_or(options.now);
            (if at > options.now { PostStatus::Scheduled } else { PostStatus::Published }, Some(at))
        }
    };
    let kind = document.kind.as_deref().and_then(|kind| kind.to_uppercase().parse().ok());
    Ok(Wanted {
        document,
        kind: kind.unwrap_or(PostKind::Article),
        language: document.language.clone().unwrap_or_else(|| "en".into()),
        status,
        published_at,
        author_id: author_id(conn, document.author.as_deref(), before, authors, options).await?,
        series_id: match &document.series {
            Some(name) => known_series(conn, name).await?,
            None => None,
        },
    })
}

async fn author_id(
    conn: &mut Conn,
    handle: Option<&str>,
    before: Option<&PostRow>,
    authors: &Authors,
    options: &ImportOptions,
) -> Result<Uuid, ServiceError> {
    let other = before.filter(|_| !options.reassign).map_or(options.author.id, |post| post.author_id);
    let Some(handle) = handle else { return Ok(other) };
    if let Some(id) = authors.get(handle) {
        return Ok(*id);
    }
    let found = users::by_handle(conn, &handle.to_lowercase()).await?;
    Ok(found.map_or(other, |user| user.id))
}

/// The series that a file names by its slug, as an export does, or by its title.
pub async fn known_series(conn: &mut Conn, name: &str) -> Result<Option<Uuid>, ServiceError> {
    if let Some(known) = series::by_slugs(conn, &[name.to_owned()]).await?.pop() {
        return Ok(Some(known.id));
    }
    if let Some(known) = series::by_title(conn, name).await? {
        return Ok(Some(known.id));
    }
    Ok(series::by_slugs(conn, &[slugify(name)]).await?.pop().map(|row| row.id))
}

/// True if the file says nothing new.
pub async fn equal(conn: &mut Conn, wanted: &Wanted<'_>, before: &PostRow) -> Result<bool, ServiceError> {
    let document = wanted.document;
    let row_is_equal = before.title == document.title
        && before.kind == wanted.kind
        && before.status == wanted.status
        && before.language == wanted.language
        && before.published_at == wanted.published_at
        && document.updated.is_none_or(|at| at == before.updated_at)
        && document.created.is_none_or(|at| at == before.created_at)
        && before.description == document.description
        && before.cover == document.cover
        && before.custom == json!(document.custom)
        && before.author_id == wanted.author_id
        && before.series_id == wanted.series_id
        && document.series.is_some() == wanted.series_id.is_some()
        && before.series_position == document.series_order;
    if !row_is_equal {
        return Ok(false);
    }
    let body = posts::bodies(conn, &[before.id]).await?.pop();
    if body.is_none_or(|body: PostBodyRow| body.markdown != document.markdown) {
        return Ok(false);
    }
    let key = translations::keys(conn, &[before.id]).await?.remove(&before.id);
    let tags = tags::by_posts(conn, &[before.id]).await?.remove(&before.id).unwrap_or_default();
    let wanted_tags = tags_named(&document.tags);
    let tags_are_equal = tags.iter().map(|tag| &tag.slug).eq(wanted_tags.iter().map(|(slug, _)| slug));
    Ok(key == document.translation_key && tags_are_equal)
}
