//! Tags, series and the description of the site.

use serde_json::json;
use uuid::Uuid;

use super::indexing::INDEX_JOB;
use super::slug::slugify;
use super::validate::Check;
use super::{Actor, RefusalCode, ServiceError, Services};
use crate::events::{EventKind, NewEvent};
use crate::store::series::{self, SeriesChanges, SeriesRow};
use crate::store::site::{self, SiteRow};
use crate::store::tags::{self, TagChanges, TagRow};
use crate::store::{DbError, jobs};

/// Makes a tag; the slug comes from the name when absent.
pub async fn create_tag(
    services: &Services,
    actor: &Actor,
    name: String,
    slug: Option<String>,
    description: String,
) -> Result<TagRow, ServiceError> {
    actor.require(actor.viewer.may_write(), "create tags")?;
    let slug = slug.unwrap_or_else(|| slugify(&name));
    Check::default().text("name", &name, 60).at_most("description", &description, 1000).slug(&slug).done()?;
    let row = TagRow { id: Uuid::now_v7(), slug, name, description, demo: false, created_at: actor.now };
    let mut tx = services.db.begin().await?;
    tags::insert(&mut tx, &row).await.map_err(|e| taken(e, "tags_slug_key", &row.slug))?;
    services.commit(tx, &[told(EventKind::TagChanged, row.id, &row.slug, actor)]).await?;
    Ok(row)
}

/// Changes a tag.
pub async fn update_tag(
    services: &Services,
    actor: &Actor,
    id: Uuid,
    changes: TagChanges,
) -> Result<TagRow, ServiceError> {
    actor.require(actor.viewer.may_write(), "change tags")?;
    let mut check = Check::default();
    if let Some(name) = &changes.name {
        check.text("name", name, 60);
    }
    if let Some(slug) = &changes.slug {
        check.slug(slug);
    }
    check.at_most("description", changes.description.as_deref().unwrap_or_default(), 1000).done()?;
    let mut tx = services.db.begin().await?;
    let before = tags::by_ids(&mut tx, &[id]).await?.pop().ok_or_else(|| ServiceError::not_found("id", "tag"))?;
    if changes.name.is_none() && changes.slug.is_none() && changes.description.is_none() {
        return Ok(before);
    }
    let row = tags::update(&mut tx, id, &changes)
        .await
        .map_err(|e| taken(e, "tags_slug_key", changes.slug.as_deref().unwrap_or_default()))?
        .ok_or_else(|| ServiceError::not_found("id", "tag"))?;
    services.commit(tx, &[told(EventKind::TagChanged, row.id, &row.slug, actor)]).await?;
    Ok(row)
}

/// Deletes a tag; posts lose it.
pub async fn delete_tag(services: &Services, actor: &Actor, id: Uuid) -> Result<(), ServiceError> {
    actor.require(actor.viewer.may_write(), "delete tags")?;
    let mut tx = services.db.begin().await?;
    // Afterwards nobody knows any more whose words the tag's name is among.
    let posts = tags::post_ids(&mut tx, id).await?;
    if !tags::delete(&mut tx, id).await? {
        return Err(ServiceError::not_found("id", "tag"));
    }
    jobs::enqueue_many(&mut tx, INDEX_JOB, jobs::Priority::NORMAL, &posts, actor.now).await?;
    services.commit(tx, &[told(EventKind::TagChanged, id, "", actor)]).await?;
    Ok(())
}

/// Makes a series; the slug comes from the title when absent.
pub async fn create_series(
    services: &Services,
    actor: &Actor,
    title: String,
    slug: Option<String>,
    description: String,
    language: String,
) -> Result<SeriesRow, ServiceError> {
    actor.require(actor.viewer.may_write(), "create series")?;
    let slug = slug.unwrap_or_else(|| slugify(&title));
    Check::default()
        .text("title", &title, 200)
        .at_most("description", &description, 2000)
        .slug(&slug)
        .language(&language)
        .done()?;
    let row = SeriesRow { id: Uuid::now_v7(), slug, title, description, language, demo: false, created_at: actor.now };
    let mut tx = services.db.begin().await?;
    series::insert(&mut tx, &row).await.map_err(|e| taken(e, "series_slug_key", &row.slug))?;
    services.commit(tx, &[told(EventKind::SeriesChanged, row.id, &row.slug, actor)]).await?;
    Ok(row)
}

/// Changes a series.
pub async fn update_series(
    services: &Services,
    actor: &Actor,
    id: Uuid,
    changes: SeriesChanges,
) -> Result<SeriesRow, ServiceError> {
    actor.require(actor.viewer.may_write(), "change series")?;
    let mut check = Check::default();
    if let Some(title) = &changes.title {
        check.text("title", title, 200);
    }
    if let Some(slug) = &changes.slug {
        check.slug(slug);
    }
    if let Some(language) = &changes.language {
        check.language(language);
    }
    check.at_most("description", changes.description.as_deref().unwrap_or_default(), 2000).done()?;
    let mut tx = services.db.begin().await?;
    let before = series::by_ids(&mut tx, &[id]).await?.pop().ok_or_else(|| ServiceError::not_found("id", "series"))?;
    if changes.title.is_none() && changes.slug.is_none() && changes.description.is_none() && changes.language.is_none()
    {
        return Ok(before);
    }
    let row = series::update(&mut tx, id, &changes)
        .await
        .map_err(|e| taken(e, "series_slug_key", changes.slug.as_deref().unwrap_or_default()))?
        .ok_or_else(|| ServiceError::not_found("id", "series"))?;
    services.commit(tx, &[told(EventKind::SeriesChanged, row.id, &row.slug, actor)]).await?;
    Ok(row)
}

/// Deletes a series; its posts stay, on their own.
pub async fn delete_series(services: &Services, actor: &Actor, id: Uuid) -> Result<(), ServiceError> {
    actor.require(actor.viewer.may_write(), "delete series")?;
    let mut tx = services.db.begin().await?;
    if !series::delete(&mut tx, id).await? {
        return Err(ServiceError::not_found("id", "series"));
    }
    services.commit(tx, &[told(EventKind::SeriesChanged, id, "", actor)]).await?;
    Ok(())
}

/// What an edit of the site's description changes; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct SiteEdit {
    pub title: Option<String>,
    pub tagline: Option<String>,
    pub description: Option<String>,
    pub language: Option<String>,
    /// Name and URL of each link, in order.
    pub links: Option<Vec<(String, String)>>,
}

/// Changes how the site describes itself; owner only.
pub async fn update_site(services: &Services, actor: &Actor, edit: SiteEdit) -> Result<SiteRow, ServiceError> {
    actor.require(actor.viewer.may_change_site(), "change the site")?;
    check_site(&edit)?;
    let mut tx = services.db.begin().await?;
    let mut row = site::find(&mut tx).await?.unwrap_or_else(|| undescribed(actor.now));
    row.title = edit.title.unwrap_or(row.title);
    row.tagline = edit.tagline.unwrap_or(row.tagline);
    row.description = edit.description.unwrap_or(row.description);
    row.language = edit.language.unwrap_or(row.language);
    if let Some(links) = edit.links {
        row.links = links_json(&links);
    }
    row.demo = false;
    row.updated_at = actor.now;
    site::save(&mut tx, &row).await?;
    services.commit(tx, &[told(EventKind::SiteChanged, Uuid::nil(), "", actor)]).await?;
    Ok(row)
}

/// The site before anybody described it.
pub fn undescribed(now: chrono::DateTime<chrono::Utc>) -> SiteRow {
    SiteRow {
        title: "My site".into(),
        tagline: String::new(),
        description: String::new(),
        language: "en".into(),
        links: json!([]),
        demo: false,
        updated_at: now,
    }
}

/// Links as they are stored: an array, because their order matters.
pub fn links_json(links: &[(String, String)]) -> serde_json::Value {
    links.iter().map(|(name, url)| json!({ "name": name, "url": url })).collect()
}

pub(super) fn check_site(edit: &SiteEdit) -> Result<(), ServiceError> {
    let mut check = Check::default();
    if let Some(title) = &edit.title {
        check.text("title", title, 200);
    }
    if let Some(language) = &edit.language {
        check.language(language);
    }
    check.at_most("tagline", edit.tagline.as_deref().unwrap_or_default(), 300);
    check.at_most("description", edit.description.as_deref().unwrap_or_default(), 5000);
    let links = edit.links.as_deref().unwrap_or_default();
    check.that(links.len() <= 50, RefusalCode::TooLong, "links", || {
        format!("{} links: at most 50 are allowed", links.len())
    });
    for (name, url) in links {
        check.text("links", name, 60).link("links", url);
    }
    check.done()
}

fn taken(error: DbError, constraint: &str, slug: &str) -> ServiceError {
    if error.is_constraint(constraint) {
        return ServiceError::refuse(RefusalCode::Taken, "slug", format!("the slug {slug:?} is taken"));
    }
    error.into()
}

fn told(kind: EventKind, subject: Uuid, slug: &str, actor: &Actor) -> NewEvent {
    let actor_id = actor.viewer.user().map(|user| user.id);
    NewEvent { kind, subject, payload: json!({ "slug": slug }), actor: actor_id, at: actor.now }
}
