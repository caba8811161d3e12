//! What posts stand in: the site's description, users, tags, series.

use serde_json::json;
use uuid::Uuid;

use super::{Authors, ImportOptions};
use crate::events::{EventKind, NewEvent};
use crate::services::content_folder::{SiteFiles, UserRole, UserToml};
use crate::services::organising::links_json;
use crate::services::{ServiceError, Services};
use crate::store::series::SeriesRow;
use crate::store::site::{self, SiteRow};
use crate::store::tags::TagRow;
use crate::store::users::{self, Role, UserRow};
use crate::store::{Tx, series, tags};

/// Makes what is missing; what is there stays as it is. Returns the users by handle.
pub async fn import(services: &Services, files: &SiteFiles, options: &ImportOptions) -> Result<Authors, ServiceError> {
    let mut tx = services.db.begin().await?;
    let mut events = Vec::new();
    if describe_site(&mut tx, files, options).await? {
        events.push(told(EventKind::SiteChanged, Uuid::nil(), options));
    }
    let authors = make_users(&mut tx, &files.users, options).await?;
    let new_tags: Vec<TagRow> = files
        .tags
        .iter()
        .map(|tag| TagRow {
            id: Uuid::now_v7(),
            slug: tag.slug.clone(),
            name: tag.name.clone(),
            description: tag.description.clone().unwrap_or_default(),
            demo: options.demo,
            created_at: options.now,
        })
        .collect();
    tags::insert_missing(&mut tx, &new_tags).await?;
    let new_series: Vec<SeriesRow> = files
        .series
        .iter()
        .map(|row| SeriesRow {
            id: Uuid::now_v7(),
            slug: row.slug.clone(),
            title: row.title.clone(),
            description: row.description.clone().unwrap_or_default(),
            language: row.language.clone().unwrap_or_else(|| "en".into()),
            demo: options.demo,
            created_at: options.now,
        })
        .collect();
    series::insert_missing(&mut tx, &new_series).await?;
    services.commit(tx, &events).await?;
    Ok(authors)
}

/// True if the description changed.
async fn describe_site(tx: &mut Tx, files: &SiteFiles, options: &ImportOptions) -> Result<bool, ServiceError> {
    let Some(toml) = &files.site else { return Ok(false) };
    let links: Vec<_> = toml.links.iter().map(|(name, url)| (name.clone(), url.clone())).collect();
    let row = SiteRow {
        title: toml.title.clone(),
        tagline: toml.tagline.clone().unwrap_or_default(),
        description: toml.description.clone().unwrap_or_default(),
        language: toml.language.clone().unwrap_or_else(|| "en".into()),
        links: links_json(&links),
        demo: options.demo,
        updated_at: options.now,
    };
    let before = site::find(tx).await?;
    let same = |before: SiteRow| SiteRow { demo: before.demo, updated_at: before.updated_at, ..row.clone() } == before;
    if before.is_some_and(same) {
        return Ok(false);
    }
    site::save(tx, &row).await?;
    Ok(true)
}

/// Users without a password: they cannot sign in until somebody gives them one.
async fn make_users(tx: &mut Tx, wanted: &[UserToml], options: &ImportOptions) -> Result<Authors, ServiceError> {
    let mut authors = Authors::new();
    for user in wanted {
        if let Some(known) = users::by_handle(tx, &user.handle).await? {
            authors.insert(known.handle, known.id);
            continue;
        }
        let row = UserRow {
            id: Uuid::now_v7(),
            handle: user.handle.clone(),
            name: user.name.clone(),
            email: None,
            role: match user.role {
                UserRole::Owner => Role::Owner,
                UserRole::Editor => Role::Editor,
                UserRole::Reader => Role::Reader,
            },
            bio: user.bio.clone().unwrap_or_default(),
            url: user.url.clone(),
            demo: options.demo,
            created_at: options.now,
            updated_at: options.now,
        };
        users::insert(tx, &row).await?;
        authors.insert(row.handle, row.id);
    }
    Ok(authors)
}

fn told(kind: EventKind, subject: Uuid, options: &ImportOptions) -> NewEvent {
    NewEvent { kind, subject, payload: json!({}), actor: Some(options.author.id), at: options.now }
}
