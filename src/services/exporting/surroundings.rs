//! What posts stand in, as files: the site's description, users, tags, series, what was edited of the
//! knowledge graph, comments, reactions.
//!
//! Sorted here, not by the database, so that two exports of equal content are equal to the byte
//! whatever the collation.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::BATCH;
use crate::services::ServiceError;
use crate::services::content_folder::{
    CommentStatus as FileStatus, CommentToml, EntityKind as FileEntityKind, EntityToml, LinkToml, Moment,
    ReactionKind as FileReaction, ReactionToml, SeriesToml, SiteFiles, SiteToml, TagToml, UserRole, UserToml,
};
use crate::store::comments::{self, CommentRow, CommentStatus};
use crate::store::entities::{self, Alias, EntityKind, Held};
use crate::store::posts::PostRow;
use crate::store::reactions::{self, ReactionKind};
use crate::store::series::{self, SeriesRow};
use crate::store::site::{self, SiteRow};
use crate::store::tags::{self, TagRow};
use crate::store::users::{Role, UserRow};
use crate::store::{Conn, DbError, Sight};

type Names<'a> = HashMap<Uuid, &'a str>;

pub async fn gather(conn: &mut Conn, posts: &[PostRow], users: &[UserRow]) -> Result<SiteFiles, ServiceError> {
    let slugs: Names<'_> = posts.iter().map(|post| (post.id, post.slug.as_str())).collect();
    let handles: Names<'_> = users.iter().map(|user| (user.id, user.handle.as_str())).collect();
    let tags = tags::all(conn).await?;
    let mut files = SiteFiles {
        site: site::find(conn).await?.map(site_toml),
        users: users.iter().map(user_toml).collect(),
        entities: entity_tomls(conn, &tags).await?,
        tags: tags.into_iter().map(tag_toml).collect(),
        series: series::all(conn).await?.into_iter().map(series_toml).collect(),
        ..SiteFiles::default()
    };
    let ids: Vec<Uuid> = posts.iter().map(|post| post.id).collect();
    for batch in ids.chunks(BATCH as usize) {
        files.comments.extend(comment_tomls(comments::all_of_posts(conn, batch).await?, &slugs, &handles));
        files.reactions.extend(reaction_tomls(conn, batch, &slugs).await?);
    }
    files.users.sort_by(|a, b| a.handle.cmp(&b.handle));
    files.tags.sort_by(|a, b| a.slug.cmp(&b.slug));
    files.series.sort_by(|a, b| a.slug.cmp(&b.slug));
    files.entities.sort_by(|a, b| a.name.cmp(&b.name));
    files.comments.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
    files.reactions.sort_by_key(ReactionToml::id);
    Ok(files)
}

fn comment_tomls(rows: Vec<CommentRow>, slugs: &Names<'_>, handles: &Names<'_>) -> Vec<CommentToml> {
    let keys: HashMap<Uuid, String> = rows.iter().map(|row| (row.id, row.key_in_files())).collect();
    let name = |names: &Names<'_>, id: &Uuid| names.get(id).copied().unwrap_or_default().to_owned();
    let toml = |row: CommentRow| CommentToml {
        key: row.key_in_files(),
        post: name(slugs, &row.post_id),
        author: name(handles, &row.author_id),
        at: Moment(row.created_at),
        edited: row.edited_at.map(Moment),
        // An approved comment that does not say it was approved at once.
        approved: row
            .approved_at
            .filter(|at| row.status != CommentStatus::Approved || *at != row.created_at)
            .map(Moment),
        parent: row.parent_id.and_then(|id| keys.get(&id).cloned()),
        status: match row.status {
            CommentStatus::Approved => FileStatus::Approved,
            CommentStatus::Pending => FileStatus::Pending,
            CommentStatus::Spam => FileStatus::Spam,
            CommentStatus::Deleted => FileStatus::Deleted,
        },
        body: row.markdown,
    };
    rows.into_iter().map(toml).collect()
}

/// One entry for each kind of reaction to a post.
async fn reaction_tomls(conn: &mut Conn, posts: &[Uuid], slugs: &Names<'_>) -> Result<Vec<ReactionToml>, DbError> {
    let mut entries: BTreeMap<(Uuid, &str), ReactionToml> = BTreeMap::new();
    for (post_id, kind, handle, at) in reactions::all_of_posts(conn, posts).await? {
        let kind = file_reaction(kind);
        let entry = entries.entry((post_id, kind.as_str())).or_insert_with(|| ReactionToml {
            post: slugs.get(&post_id).copied().unwrap_or_default().to_owned(),
            kind,
            users: Vec::new(),
            at: BTreeMap::new(),
        });
        entry.users.push(handle.clone());
        entry.at.insert(handle, Moment(at));
    }
    let mut entries: Vec<ReactionToml> = entries.into_values().collect();
    entries.iter_mut().for_each(|entry| entry.users.sort_unstable());
    Ok(entries)
}

/// What was edited of the knowledge graph; the rest is made of the posts again.
async fn entity_tomls(conn: &mut Conn, tags: &[TagRow]) -> Result<Vec<EntityToml>, DbError> {
    let rows = entities::edited(conn).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut aliases = entities::aliases(conn, &ids, Sight::Everything).await?;
    let tags: Names<'_> = tags.iter().map(|tag| (tag.id, tag.slug.as_str())).collect();
    let toml = |row: Held| {
        let (given, read) = aliases.remove(&row.id).unwrap_or_default().into_iter().partition(|alias| alias.given);
        let sorted = |aliases: Vec<Alias>| {
            let mut names: Vec<String> = aliases.into_iter().map(|alias| alias.name).collect();
            names.sort_unstable();
            names
        };
        EntityToml {
            name: row.name,
            kind: file_entity_kind(row.kind),
            aliases: sorted(given),
            read: sorted(read),
            tag: row.tag_id.and_then(|id| tags.get(&id).map(|&slug| slug.to_owned())),
            deleted: row.deleted,
            created: Some(Moment(row.created_at)),
        }
    };
    Ok(rows.into_iter().map(toml).collect())
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn site_toml(row: SiteRow) -> SiteToml {
    let text = |link: &serde_json::Value, name: &str| link.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    let links = row.links.as_array().into_iter().flatten();
    SiteToml {
        title: row.title,
        tagline: some(row.tagline),
        description: some(row.description),
        language: Some(row.language),
        author: None,
        updated: Some(Moment(row.updated_at)),
        links: links.filter_map(|link| Some(LinkToml { name: text(link, "name")?, url: text(link, "url")? })).collect(),
    }
}

fn user_toml(user: &UserRow) -> UserToml {
    UserToml {
        handle: user.handle.clone(),
        name: user.name.clone(),
        role: match user.role {
            Role::Owner => UserRole::Owner,
            Role::Editor => UserRole::Editor,
            Role::Reader => UserRole::Reader,
        },
        bio: some(user.bio.clone()),
        url: user.url.clone(),
        avatar: user.avatar.clone(),
        created: Some(Moment(user.created_at)),
        updated: Some(Moment(user.updated_at)).filter(|at| at.0 != user.created_at),
    }
}

fn tag_toml(row: TagRow) -> TagToml {
    let created = Some(Moment(row.created_at));
    TagToml { slug: row.slug, name: row.name, description: some(row.description), created }
}

fn series_toml(row: SeriesRow) -> SeriesToml {
    SeriesToml {
        slug: row.slug,
        title: row.title,
        description: some(row.description),
        language: Some(row.language),
        created: Some(Moment(row.created_at)),
    }
}

fn file_entity_kind(kind: EntityKind) -> FileEntityKind {
    match kind {
        EntityKind::Person => FileEntityKind::Person,
        EntityKind::Project => FileEntityKind::Project,
        EntityKind::Place => FileEntityKind::Place,
        EntityKind::Technology => FileEntityKind::Technology,
        EntityKind::Tag => FileEntityKind::Tag,
        EntityKind::Concept => FileEntityKind::Concept,
    }
}

fn file_reaction(kind: ReactionKind) -> FileReaction {
    match kind {
        ReactionKind::Like => FileReaction::Like,
        ReactionKind::Love => FileReaction::Love,
        ReactionKind::Celebrate => FileReaction::Celebrate,
        ReactionKind::Insightful => FileReaction::Insightful,
        ReactionKind::Curious => FileReaction::Curious,
    }
}
