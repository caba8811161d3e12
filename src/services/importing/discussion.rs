//! Comments and reactions out of their files.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::json;
use uuid::Uuid;

use super::ImportOptions;
use crate::events::{EventKind, NewEvent};
use crate::services::content_folder::{self, CommentToml, FileProblem, SiteFiles};
use crate::services::markdown::render_comment;
use crate::services::{ServiceError, Services};
use crate::store::comments::{self, CommentRow, CommentStatus};
use crate::store::reactions::{self, ReactionKind};
use crate::store::{Conn, posts, users};

/// Adds the comments and reactions that are not here yet; returns how many comments were new.
pub async fn import(
    services: &Services,
    dir: &Path,
    files: &SiteFiles,
    options: &ImportOptions,
    problems: &mut Vec<FileProblem>,
) -> Result<usize, ServiceError> {
    let mut tx = services.db.begin().await?;
    let slugs: Vec<String> =
        files.comments.iter().map(|c| &c.post).chain(files.reactions.iter().map(|r| &r.post)).cloned().collect();
    let posts: HashMap<String, Uuid> = posts::ids_by_slugs(&mut tx, &slugs).await?.into_iter().collect();
    let handles = files.comments.iter().map(|c| &c.author).chain(files.reactions.iter().flat_map(|r| &r.users));
    let authors = ids_by_handle(&mut tx, handles).await?;
    let mut say =
        |file: &str, message: String| problems.push(FileProblem { path: dir.join(file), line: None, message });

    let keys: Vec<String> = files.comments.iter().map(|c| c.key.clone()).collect();
    let mut known = comments::by_import_keys(&mut tx, &keys).await?;
    // A comment that was written here is exported under its id.
    let ids: Vec<Uuid> = keys.iter().filter_map(|key| key.parse().ok()).collect();
    known.extend(comments::by_ids(&mut tx, &ids).await?);
    let key = |row: &CommentRow| row.import_key.clone().unwrap_or_else(|| row.id.to_string());
    let mut placed: HashMap<String, CommentRow> = known.into_iter().map(|row| (key(&row), row)).collect();
    let (mut added, mut events) = (0, Vec::new());
    for comment in &files.comments {
        if placed.contains_key(&comment.key) {
            continue;
        }
        let (Some(post_id), Some(author_id)) = (posts.get(&comment.post), authors.get(&comment.author)) else {
            let missing = if posts.contains_key(&comment.post) { &comment.author } else { &comment.post };
            say("comments.toml", format!("comment {:?} was left out: {missing:?} does not exist here", comment.key));
            continue;
        };
        let parent = comment.parent.as_ref().and_then(|key| placed.get(key));
        if comment.parent.is_some() && parent.is_none() {
            say("comments.toml", format!("comment {:?} was left out: the comment that it answers was", comment.key));
            continue;
        }
        let row = row(comment, *post_id, *author_id, parent, options);
        if row.depth > comments::MAX_DEPTH {
            say(
                "comments.toml",
                format!("comment {:?} was left out: threads end {} replies deep", comment.key, comments::MAX_DEPTH),
            );
            continue;
        }
        comments::insert(&mut tx, &row).await?;
        let payload = json!({ "comment": row.id, "status": row.status });
        events.push(NewEvent {
            kind: EventKind::CommentAdded,
            subject: row.post_id,
            payload,
            actor: Some(row.author_id),
            at: options.now,
        });
        placed.insert(comment.key.clone(), row);
        added += 1;
    }
    events.extend(import_reactions(&mut tx, files, &posts, &authors, options, &mut say).await?);
    services.commit(tx, &events).await?;
    Ok(added)
}

async fn import_reactions(
    conn: &mut Conn,
    files: &SiteFiles,
    posts: &HashMap<String, Uuid>,
    authors: &HashMap<String, Uuid>,
    options: &ImportOptions,
    say: &mut impl FnMut(&str, String),
) -> Result<Vec<NewEvent>, ServiceError> {
    let mut changed = HashSet::new();
    for entry in &files.reactions {
        let Some(post_id) = posts.get(&entry.post) else {
            say("reactions.toml", format!("reactions to {:?} were left out: there is no such post", entry.post));
            continue;
        };
        let kind: ReactionKind = entry.kind.as_str().parse().map_err(ServiceError::Internal)?;
        for handle in &entry.users {
            let Some(user_id) = authors.get(handle) else {
                say("reactions.toml", format!("a reaction of {handle:?} was left out: there is no such user"));
                continue;
            };
            if reactions::insert(conn, *post_id, *user_id, kind, options.now).await? {
                changed.insert(*post_id);
            }
        }
    }
    let event = |subject| NewEvent {
        kind: EventKind::ReactionsChanged,
        subject,
        payload: json!({}),
        actor: None,
        at: options.now,
    };
    Ok(changed.into_iter().map(event).collect())
}

fn row(
    comment: &CommentToml,
    post_id: Uuid,
    author_id: Uuid,
    parent: Option<&CommentRow>,
    options: &ImportOptions,
) -> CommentRow {
    let status = match comment.status {
        content_folder::CommentStatus::Approved => CommentStatus::Approved,
        content_folder::CommentStatus::Pending => CommentStatus::Pending,
        content_folder::CommentStatus::Spam => CommentStatus::Spam,
    };
    let at = comment.at.min(options.now);
    CommentRow {
        id: Uuid::now_v7(),
        post_id,
        author_id,
        parent_id: parent.map(|parent| parent.id),
        depth: parent.map_or(0, |parent| parent.depth + 1),
        status,
        html: render_comment(&comment.body),
        markdown: comment.body.clone(),
        import_key: Some(comment.key.clone()),
        created_at: at,
        edited_at: None,
        approved_at: (status == CommentStatus::Approved).then_some(at),
    }
}

async fn ids_by_handle(
    conn: &mut Conn,
    handles: impl Iterator<Item = &String>,
) -> Result<HashMap<String, Uuid>, ServiceError> {
    let handles: HashSet<&String> = handles.collect();
    let handles: Vec<String> = handles.into_iter().cloned().collect();
    Ok(users::by_handles(conn, &handles).await?.into_iter().map(|user| (user.handle, user.id)).collect())
}
