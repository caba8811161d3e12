//! What posts stand in: the site's description, users, tags, series.

use serde_json::json;
use uuid::Uuid;

use super::problems::Entries;
use super::run::Run;
use super::{Authors, ImportOptions, ImportReport};
use crate::events::{EventKind, NewEvent};
use crate::services::ServiceError;
use crate::services::content_folder::{
    Moment, SERIES, SITE, SeriesToml, SiteFiles, SiteToml, TAGS, TagToml, USERS, UserRole, UserToml,
};
use crate::services::organising::{SiteEdit, check_site, links_json};
use crate::services::slug::MAX_SLUG_CHARS;
use crate::services::validate::Check;
use crate::store::series::SeriesRow;
use crate::store::site::{self, SiteRow};
use crate::store::tags::TagRow;
use crate::store::users::{self, Role, UserRow};
use crate::store::{Tx, series, tags};

/// Makes what is missing; what is there stays as it is. Returns the users by handle.
pub async fn import(
    run: &mut Run<'_>,
    files: &SiteFiles,
    entries: &mut Entries<'_>,
    report: &mut ImportReport,
) -> Result<Authors, ServiceError> {
    let options = run.options;
    let mut tx = run.step().await?;
    let mut events = Vec::new();
    if let Some(site) = files.site.as_ref().filter(|site| entries.fits(SITE, "", check_site(&edit_of(site)))) {
        report.site = describe_site(&mut tx, site, options).await?;
    }
    if report.site {
        events.push(told(EventKind::SiteChanged, Uuid::nil(), options));
    }
    let people: Vec<&UserToml> =
        files.users.iter().filter(|user| entries.fits(USERS, &user.handle, check_user(user))).collect();
    let (authors, made) = make_users(&mut tx, &people, options).await?;
    report.users += made.len();
    events.extend(made.into_iter().map(|id| told(EventKind::UserChanged, id, options)));
    let wanted = files.tags.iter().filter(|tag| entries.fits(TAGS, &tag.slug, check_tag(tag)));
    let wanted: Vec<TagRow> = wanted.map(|tag| tag_row(tag, options)).collect();
    report.tags += tags::insert_missing(&mut tx, &wanted).await?;
    let wanted = files.series.iter().filter(|row| entries.fits(SERIES, &row.slug, check_series(row)));
    let wanted: Vec<SeriesRow> = wanted.map(|row| series_row(row, options)).collect();
    report.series += series::insert_missing(&mut tx, &wanted).await?;
    run.end(tx, &events).await?;
    Ok(authors)
}

fn check_user(user: &UserToml) -> Result<(), ServiceError> {
    Check::default().handle(&user.handle).text("name", &user.name, 100).url("url", user.url.as_deref()).done()
}

fn check_tag(tag: &TagToml) -> Result<(), ServiceError> {
    let description = tag.description.as_deref().unwrap_or_default();
    // A tag that was only ever named by its slug is called by it.
    let longest = if tag.name == tag.slug { MAX_SLUG_CHARS } else { 60 };
    Check::default().slug(&tag.slug).text("name", &tag.name, longest).at_most("description", description, 1000).done()
}

fn check_series(row: &SeriesToml) -> Result<(), ServiceError> {
    let mut check = Check::default();
    check.slug(&row.slug).text("title", &row.title, 200);
    if let Some(language) = &row.language {
        check.language(language);
    }
    check.at_most("description", row.description.as_deref().unwrap_or_default(), 2000).done()
}

/// As if the owner had written it: the same checks.
fn edit_of(toml: &SiteToml) -> SiteEdit {
    SiteEdit {
        title: Some(toml.title.clone()),
        tagline: toml.tagline.clone(),
        description: toml.description.clone(),
        language: toml.language.clone(),
        links: Some(links_of(toml)),
    }
}

fn links_of(toml: &SiteToml) -> Vec<(String, String)> {
    toml.links.iter().map(|link| (link.name.clone(), link.url.clone())).collect()
}

/// True if the description changed.
async fn describe_site(tx: &mut Tx, toml: &SiteToml, options: &ImportOptions) -> Result<bool, ServiceError> {
    let before = site::find(tx).await?;
    let row = SiteRow {
        title: toml.title.clone(),
        tagline: toml.tagline.clone().unwrap_or_default(),
        description: toml.description.clone().unwrap_or_default(),
        language: toml.language.clone().unwrap_or_else(|| "en".into()),
        links: links_json(&links_of(toml)),
        demo: options.demo,
        updated_at: toml.updated.map_or(options.now, |at| at.0),
    };
    let same = |before: SiteRow| {
        let updated_at = if toml.updated.is_some() { row.updated_at } else { before.updated_at };
        SiteRow { demo: before.demo, updated_at, ..row.clone() } == before
    };
    if before.is_some_and(same) {
        return Ok(false);
    }
    site::save(tx, &row).await?;
    Ok(true)
}

/// Users without a password: they cannot sign in until somebody gives them one. Returns all by
/// handle, and the ids of the new ones.
async fn make_users(
    tx: &mut Tx,
    wanted: &[&UserToml],
    options: &ImportOptions,
) -> Result<(Authors, Vec<Uuid>), ServiceError> {
    let (mut authors, mut made) = (Authors::new(), Vec::new());
    for user in wanted {
        if let Some(known) = users::by_handle(tx, &user.handle).await? {
            authors.insert(known.handle, known.id);
            continue;
        }
        let created_at = user.created.map_or(options.now, |at| at.0);
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
            avatar: user.avatar.clone(),
            demo: options.demo,
            created_at,
            updated_at: user.updated.map_or(created_at, |at| at.0),
        };
        users::insert(tx, &row).await?;
        made.push(row.id);
        authors.insert(row.handle, row.id);
    }
    Ok((authors, made))
}

fn tag_row(tag: &TagToml, options: &ImportOptions) -> TagRow {
    TagRow {
        id: Uuid::now_v7(),
        slug: tag.slug.clone(),
        name: tag.name.clone(),
        description: tag.description.clone().unwrap_or_default(),
        demo: options.demo,
        created_at: created(tag.created, options),
    }
}

fn series_row(row: &SeriesToml, options: &ImportOptions) -> SeriesRow {
    SeriesRow {
        id: Uuid::now_v7(),
        slug: row.slug.clone(),
        title: row.title.clone(),
        description: row.description.clone().unwrap_or_default(),
        language: row.language.clone().unwrap_or_else(|| "en".into()),
        demo: options.demo,
        created_at: created(row.created, options),
    }
}

fn created(at: Option<Moment>, options: &ImportOptions) -> chrono::DateTime<chrono::Utc> {
    at.map_or(options.now, |at| at.0)
}

fn told(kind: EventKind, subject: Uuid, options: &ImportOptions) -> NewEvent {
    NewEvent { kind, subject, payload: json!({}), actor: Some(options.author.id), at: options.now }
}
