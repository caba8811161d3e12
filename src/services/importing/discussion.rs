//! Comments and reactions out of their files.

use std::collections::{HashMap, HashSet};

use serde_json::json;
use uuid::Uuid;

use super::problems::Entries;
use super::run::Run;
use super::{ImportOptions, ImportReport};
use crate::events::{EventKind, NewEvent};
use crate::services::ServiceError;
use crate::services::content_folder::{self, COMMENTS, CommentToml, REACTIONS, SiteFiles};
use crate::services::markdown::render_comment;
use crate::store::comments::{self, CommentRow, CommentStatus};
use crate::store::reactions::{self, ReactionKind};
use crate::store::{Conn, posts, users};

/// Posts by slug and users by handle.
struct Names {
    posts: HashMap<String, Uuid>,
    users: HashMap<String, Uuid>,
}

/// Adds the comments and reactions that are not here yet.
pub async fn import(
    run: &mut Run<'_>,
    files: &SiteFiles,
    entries: &mut Entries<'_>,
    report: &mut ImportReport,
) -> Result<(), ServiceError> {
    let mut rendered = if run.options.dry_run { HashMap::new() } else { render(run, files).await? };
    let mut tx = run.step().await?;
    let names = names(&mut tx, files).await?;
    let mut placed = known(&mut tx, files).await?;
    let mut events = Vec::new();
    for comment in &files.comments {
        if placed.contains_key(&comment.key) {
            continue;
        }
        match place(comment, &names, &placed, run.options) {
            Ok(mut row) => {
                row.html = match rendered.remove(&comment.key) {
                    Some(html) => html,
                    None if run.options.dry_run => String::new(),
                    // It was here a moment ago, when the new ones were rendered.
                    None => render_comment(&row.markdown),
                };
                comments::insert(&mut tx, std::slice::from_ref(&row)).await?;
                events.push(added(&row, run.options));
                placed.insert(comment.key.clone(), row);
                report.comments += 1;
            }
            Err(why) => {
                entries.say(COMMENTS, &comment.key, format!("the comment {:?} was left out: {why}", comment.key));
            }
        }
    }
    events.extend(import_reactions(&mut tx, files, &names, run.options, entries, report).await?);
    run.end(tx, &events).await
}

/// The HTML of the comments that are new, made before the transaction.
async fn render(run: &Run<'_>, files: &SiteFiles) -> Result<HashMap<String, String>, ServiceError> {
    let known = known(&mut *run.services.db.conn().await?, files).await?;
    let new: Vec<(String, String)> = files
        .comments
        .iter()
        .filter(|comment| !known.contains_key(&comment.key))
        .map(|comment| (comment.key.clone(), text_of(comment).to_owned()))
        .collect();
    let render = move || new.into_iter().map(|(key, text)| (key, render_comment(&text))).collect();
    tokio::task::spawn_blocking(render)
        .await
        .map_err(|error| ServiceError::Internal(format!("rendering failed: {error}")))
}

async fn names(conn: &mut Conn, files: &SiteFiles) -> Result<Names, ServiceError> {
    let slugs = files.comments.iter().map(|c| &c.post).chain(files.reactions.iter().map(|r| &r.post));
    let handles = files.comments.iter().map(|c| &c.author).chain(files.reactions.iter().flat_map(|r| &r.users));
    let unique = |names: HashSet<&String>| names.into_iter().cloned().collect::<Vec<_>>();
    let (slugs, handles) = (unique(slugs.collect()), unique(handles.collect()));
    let users = users::by_handles(conn, &handles).await?;
    Ok(Names {
        posts: posts::ids_by_slugs(conn, &slugs).await?.into_iter().collect(),
        users: users.into_iter().map(|user| (user.handle, user.id)).collect(),
    })
}

/// The comments of the file that are here, by their keys.
async fn known(conn: &mut Conn, files: &SiteFiles) -> Result<HashMap<String, CommentRow>, ServiceError> {
    let keys: Vec<String> = files.comments.iter().map(|c| c.key.clone()).collect();
    let mut known = comments::by_import_keys(conn, &keys).await?;
    // A comment that was written here is exported under its id.
    let ids: Vec<Uuid> = keys.iter().filter_map(|key| key.parse().ok()).collect();
    known.extend(comments::by_ids(conn, &ids).await?);
    Ok(known.into_iter().map(|row| (row.key_in_files(), row)).collect())
}

/// The row of a new comment, without its HTML; or why there can be none.
fn place(
    comment: &CommentToml,
    names: &Names,
    placed: &HashMap<String, CommentRow>,
    options: &ImportOptions,
) -> Result<CommentRow, String> {
    let post_id = *names.posts.get(&comment.post).ok_or(format!("there is no post {:?} here", comment.post))?;
    let author_id = *names.users.get(&comment.author).ok_or(format!("there is no user {:?} here", comment.author))?;
    let parent = comment.parent.as_ref().map(|key| placed.get(key).ok_or("the comment that it answers was"));
    let parent = parent.transpose()?;
    let depth = parent.map_or(0, |parent| parent.depth + 1);
    if depth > comments::MAX_DEPTH {
        return Err(format!("threads end {} replies deep", comments::MAX_DEPTH));
    }
    let status = match comment.status {
        content_folder::CommentStatus::Approved => CommentStatus::Approved,
        content_folder::CommentStatus::Pending => CommentStatus::Pending,
        content_folder::CommentStatus::Spam => CommentStatus::Spam,
        content_folder::CommentStatus::Deleted => CommentStatus::Deleted,
    };
    if status != CommentStatus::Deleted && comment.body.trim().is_empty() {
        return Err("`body` is empty".to_owned());
    }
    let at = comment.at.0.min(options.now);
    let approved_at = comment.approved.map(|at| at.0).or((status == CommentStatus::Approved).then_some(at));
    Ok(CommentRow {
        id: Uuid::now_v7(),
        post_id,
        author_id,
        parent_id: parent.map(|parent| parent.id),
        depth,
        status,
        html: String::new(),
        markdown: text_of(comment).to_owned(),
        import_key: Some(comment.key.clone()),
        created_at: at,
        edited_at: comment.edited.map(|at| at.0),
        approved_at,
    })
}

/// A deleted comment has no text, whatever the file says.
fn text_of(comment: &CommentToml) -> &str {
    if comment.status == content_folder::CommentStatus::Deleted { "" } else { &comment.body }
}

fn added(row: &CommentRow, options: &ImportOptions) -> NewEvent {
    NewEvent {
        kind: EventKind::CommentAdded,
        subject: row.post_id,
        payload: json!({ "comment": row.id, "status": row.status }),
        actor: Some(row.author_id),
        at: options.now,
    }
}

async fn import_reactions(
    conn: &mut Conn,
    files: &SiteFiles,
    names: &Names,
    options: &ImportOptions,
    entries: &mut Entries<'_>,
    report: &mut ImportReport,
) -> Result<Vec<NewEvent>, ServiceError> {
    let mut changed = HashSet::new();
    for entry in &files.reactions {
        let id = entry.id();
        let Some(post_id) = names.posts.get(&entry.post) else {
            entries.say(REACTIONS, &id, format!("the reactions were left out: there is no post {:?} here", entry.post));
            continue;
        };
        let kind: ReactionKind = entry.kind.as_str().parse().map_err(ServiceError::Internal)?;
        for handle in &entry.users {
            let Some(user_id) = names.users.get(handle) else {
                entries.say(REACTIONS, &id, format!("a reaction was left out: there is no user {handle:?} here"));
                continue;
            };
            let at = entry.at.get(handle).map_or(options.now, |at| at.0.min(options.now));
            if reactions::insert(conn, *post_id, *user_id, kind, at).await? {
                changed.insert(*post_id);
                report.reactions += 1;
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
