//! The demo site: what a newcomer finds, and how it goes away again.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::importing::{self, ImportError, ImportOptions, ImportReport};
use super::{ServiceError, Services, connecting};
use crate::events::{EventKind, NewEvent};
use crate::store::users::{self, Role, UserRow};
use crate::store::{posts, series, site, tags};

/// True if nobody has written anything and nobody is the owner.
pub async fn is_wanted(services: &Services) -> Result<bool, ServiceError> {
    let mut conn = services.db.conn().await?;
    Ok(posts::none_exist(&mut conn).await? && users::owner(&mut conn).await?.is_none())
}

/// Loads the demo site out of a folder. Its owner is the site's owner until there is another.
pub async fn load(services: &Services, dir: &Path, now: DateTime<Utc>) -> Result<ImportReport, ImportError> {
    let author = match users::owner(&mut *services.db.conn().await.map_err(ServiceError::from)?)
        .await
        .map_err(ServiceError::from)?
    {
        Some(owner) => owner,
        None => make_owner(services, "mo", "Lin Mo", true, now).await?,
    };
    let options = ImportOptions { dry_run: false, author, reassign: false, demo: true, now };
    importing::import(services, dir, &options, |_, _| {}).await
}

/// Makes the first owner, who has no password yet.
pub async fn make_owner(
    services: &Services,
    handle: &str,
    name: &str,
    demo: bool,
    now: DateTime<Utc>,
) -> Result<UserRow, ServiceError> {
    let owner = UserRow {
        id: Uuid::now_v7(),
        handle: handle.into(),
        name: name.into(),
        email: None,
        role: Role::Owner,
        bio: String::new(),
        url: None,
        avatar: None,
        demo,
        created_at: now,
        updated_at: now,
    };
    let mut tx = services.db.begin().await?;
    users::insert(&mut tx, &owner).await?;
    services.commit(tx, &[told(EventKind::UserChanged, owner.id, now)]).await?;
    Ok(owner)
}

/// What [`remove`] took out, and who stays.
#[derive(Debug)]
pub struct Removed {
    pub posts: usize,
    pub users: usize,
    /// Demo users who could not go, with why.
    pub stay: Vec<(UserRow, Stays)>,
}

/// Why a demo user stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// A site has an owner, and this is the only one.
    OnlyOwner,
    /// A post or a comment of theirs stays.
    HasWritten,
}

/// Takes the demo site out: its posts with all that hangs on them, and its users, tags and series
/// that nothing else uses. Whatever was written since stays, and so does the only owner.
pub async fn remove(services: &Services, now: DateTime<Utc>) -> Result<Removed, ServiceError> {
    let mut tx = services.db.begin().await?;
    let gone = posts::delete_demo(&mut tx).await?;
    let users = users::delete_demo(&mut tx).await?;
    let tags = tags::delete_demo(&mut tx).await?;
    let series = series::delete_demo(&mut tx).await?;
    site::delete_demo(&mut tx).await?;
    connecting::ask_for_all(&mut tx, now).await?;
    let mut events = vec![told(EventKind::SiteChanged, Uuid::nil(), now)];
    events.extend(
        gone.iter()
            .map(|(id, slug)| NewEvent { payload: json!({ "slug": slug }), ..told(EventKind::PostDeleted, *id, now) }),
    );
    events.extend(users.iter().map(|id| told(EventKind::UserChanged, *id, now)));
    events.extend(tags.iter().map(|id| told(EventKind::TagChanged, *id, now)));
    events.extend(series.iter().map(|id| told(EventKind::SeriesChanged, *id, now)));
    let left = users::of_demo(&mut tx).await?;
    let has_owner = users::has_own_owner(&mut tx).await?;
    services.commit(tx, &events).await?;
    let why = |user: &UserRow| match user.role {
        Role::Owner if !has_owner => Stays::OnlyOwner,
        _ => Stays::HasWritten,
    };
    let stay = left.into_iter().map(|user| (user.clone(), why(&user))).collect();
    Ok(Removed { posts: gone.len(), users: users.len(), stay })
}

fn told(kind: EventKind, subject: Uuid, now: DateTime<Utc>) -> NewEvent {
    NewEvent { kind, subject, payload: json!({}), actor: None, at: now }
}
