//! What becomes of proposals: an editor accepts or dismisses them. What is accepted goes the way of
//! every edit, with its version, its revision and its event.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::proofreading::corrected;
use super::{Correction, PictureText, SuggestedTag, Suggestion, describing};
use crate::events::{EventKind, NewEvent};
use crate::services::publishing::{self, PostEdit};
use crate::services::words::fold;
use crate::services::{Actor, Refusal, RefusalCode, ServiceError, Services};
use crate::store::posts::{self, PostRow};
use crate::store::proposals::{self, ProposalRow, ProposalStatus};
use crate::store::{Conn, DbError, tags};

/// Which parts of a proposal are wanted. What is absent means all that is safe to take.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    pub id: Uuid,
    /// One of the titles; the first if absent.
    pub title: Option<String>,
    /// Names out of the tags; those that the site has already if absent.
    pub tags: Option<Vec<String>>,
    /// Places in the list of corrections, from 0; all if absent.
    pub corrections: Option<Vec<usize>>,
    /// Places in the list of pictures, from 0; those without a text if absent.
    pub pictures: Option<Vec<usize>>,
}

/// What a proposal proposes; none where a version of this program wrote it that this one cannot read.
pub fn content(row: &ProposalRow) -> Option<Suggestion> {
    let read = serde_json::from_value(row.content.clone());
    read.map_err(|error| tracing::warn!(%error, proposal = %row.id, "a proposal cannot be read")).ok()
}

/// What tells of a change of a proposal. Its subject is the post.
pub fn changed(row: &ProposalRow, actor: Option<Uuid>, at: DateTime<Utc>) -> NewEvent {
    let payload = json!({ "proposal": row.id, "kind": row.kind, "status": row.status });
    NewEvent { kind: EventKind::ProposalChanged, subject: row.post_id, payload, actor, at }
}

/// Puts what was chosen into the post.
///
/// Errors: `StaleVersion` when the post has changed since the proposal was made.
pub async fn accept(
    services: &Services,
    actor: &Actor,
    choice: Choice,
) -> Result<(ProposalRow, PostRow), ServiceError> {
    let editor_id = actor.require(actor.viewer.may_write(), "accept proposals")?;
    let found = proposals::find(&mut *services.db.conn().await?, choice.id).await?;
    let row = waiting(found)?;
    let edit = edit_of(services, &row, &choice).await?;
    let ready = publishing::ready_edit(actor, edit).await?;
    let mut tx = services.db.begin().await?;
    // The post first, as whoever deletes it does.
    posts::lock(&mut tx, row.post_id).await?;
    let row = waiting(proposals::lock(&mut tx, row.id).await?)?;
    let written = Box::pin(publishing::write_edit(&mut tx, actor, ready)).await;
    let (post, told) = written.map_err(|error| of_proposal(error, &row))?;
    let decided = proposals::decide(&mut tx, row.id, ProposalStatus::Accepted, editor_id, actor.now).await?;
    let decided = decided.ok_or_else(|| ServiceError::Internal("a locked proposal was decided".into()))?;
    // What else is proposed is as good for what was just accepted.
    proposals::carry(&mut tx, post.id, row.post_version, post.version).await?;
    Box::pin(services.commit(tx, &[told, changed(&decided, Some(editor_id), actor.now)])).await?;
    Ok((decided, post))
}

/// Lays a proposal aside.
pub async fn dismiss(services: &Services, actor: &Actor, id: Uuid) -> Result<ProposalRow, ServiceError> {
    let editor_id = actor.require(actor.viewer.may_write(), "dismiss proposals")?;
    let mut tx = services.db.begin().await?;
    let row = waiting(proposals::lock(&mut tx, id).await?)?;
    let decided = proposals::decide(&mut tx, row.id, ProposalStatus::Dismissed, editor_id, actor.now).await?;
    let decided = decided.ok_or_else(|| ServiceError::Internal("a locked proposal was decided".into()))?;
    Box::pin(services.commit(tx, &[changed(&decided, Some(editor_id), actor.now)])).await?;
    Ok(decided)
}

fn waiting(found: Option<ProposalRow>) -> Result<ProposalRow, ServiceError> {
    let row = found.ok_or_else(|| ServiceError::not_found("id", "proposal"))?;
    let was = match row.status {
        ProposalStatus::Pending => return Ok(row),
        ProposalStatus::Accepted => "accepted",
        ProposalStatus::Dismissed => "dismissed",
    };
    Err(ServiceError::refuse(RefusalCode::WrongState, "id", format!("the proposal was {was} already: ask for another")))
}

/// The client named a proposal, and no version.
fn of_proposal(error: ServiceError, row: &ProposalRow) -> ServiceError {
    match &error {
        ServiceError::Refused(refusals) if refusals.iter().any(|it| it.code == RefusalCode::StaleVersion) => {
            let message = format!(
                "the post has changed since the proposal was made of its version {}: dismiss it and ask for another",
                row.post_version
            );
            ServiceError::refuse(RefusalCode::StaleVersion, "id", message)
        }
        ServiceError::Refused(refusals) => {
            let of_id = |it: &Refusal| Refusal { field: Some("id"), ..it.clone() };
            ServiceError::Refused(refusals.iter().map(of_id).collect())
        }
        _ => error,
    }
}

async fn edit_of(services: &Services, row: &ProposalRow, choice: &Choice) -> Result<PostEdit, ServiceError> {
    let content = content(row).ok_or_else(|| ServiceError::Internal(format!("the proposal {} is broken", row.id)))?;
    fits(&content, choice)?;
    let mut edit = PostEdit { id: row.post_id, based_on_version: row.post_version, ..PostEdit::default() };
    match content {
        Suggestion::Summary { text } => edit.description = Some(Some(text)),
        Suggestion::Titles { titles } => edit.title = Some(title_of(&titles, choice.title.as_deref())?),
        Suggestion::Tags { tags: proposed } => {
            let chosen = tags_of(&proposed, choice.tags.as_deref())?;
            edit.tags = Some(with_own_tags(&mut *services.db.conn().await?, row.post_id, &chosen).await?);
        }
        Suggestion::Proofreading { corrections, .. } => {
            let chosen = corrections_of(&corrections, choice.corrections.as_deref())?;
            edit.markdown = Some(corrected_text(services, row.post_id, &chosen).await?);
        }
        Suggestion::AltTexts { pictures, .. } => {
            let chosen = pictures_of(&pictures, choice.pictures.as_deref())?;
            let edits: Vec<Correction> = chosen.into_iter().map(describing::as_correction).collect();
            let edits: Vec<&Correction> = edits.iter().collect();
            edit.markdown = Some(corrected_text(services, row.post_id, &edits).await?);
        }
        Suggestion::Translation { .. } => {
            let message = "a translation is a draft already: there is nothing to accept";
            return Err(ServiceError::refuse(RefusalCode::WrongState, "id", message));
        }
    }
    Ok(edit)
}

/// Errors: something is chosen out of what the proposal does not have.
fn fits(content: &Suggestion, choice: &Choice) -> Result<(), ServiceError> {
    let given = [
        ("title", choice.title.is_some(), matches!(content, Suggestion::Titles { .. })),
        ("tags", choice.tags.is_some(), matches!(content, Suggestion::Tags { .. })),
        ("corrections", choice.corrections.is_some(), matches!(content, Suggestion::Proofreading { .. })),
        ("pictures", choice.pictures.is_some(), matches!(content, Suggestion::AltTexts { .. })),
    ];
    match given.into_iter().find(|(_, is_given, is_of)| *is_given && !is_of) {
        Some((field, ..)) => {
            let message = format!("the proposal has no {field} to choose from: leave `{field}` out");
            Err(ServiceError::refuse(RefusalCode::Invalid, field, message))
        }
        None => Ok(()),
    }
}

fn title_of(titles: &[String], chosen: Option<&str>) -> Result<String, ServiceError> {
    let found = match chosen {
        Some(wanted) => titles.iter().find(|title| *title == wanted),
        None => titles.first(),
    };
    found.cloned().ok_or_else(|| {
        let message = format!("title is none of those that are proposed: {}", titles.join(", "));
        ServiceError::refuse(RefusalCode::Invalid, "title", message)
    })
}

fn tags_of<'a>(proposed: &'a [SuggestedTag], chosen: Option<&[String]>) -> Result<Vec<&'a SuggestedTag>, ServiceError> {
    let all = || proposed.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>().join(", ");
    let refuse = |why: String| Err(ServiceError::refuse(RefusalCode::Invalid, "tags", why));
    let Some(wanted) = chosen else {
        // A new tag is a decision about the site.
        let known: Vec<_> = proposed.iter().filter(|tag| tag.tag_id.is_some()).collect();
        return match known.is_empty() {
            true => refuse(format!("the site has none of these tags yet: name those that it shall have: {}", all())),
            false => Ok(known),
        };
    };
    let is = |tag: &SuggestedTag, name: &str| tag.slug == name || fold(&tag.name) == fold(name);
    match wanted.iter().find(|name| !proposed.iter().any(|tag| is(tag, name))) {
        Some(name) => refuse(format!("{name:?} is none of the tags that are proposed: {}", all())),
        None => Ok(proposed.iter().filter(|tag| wanted.iter().any(|name| is(tag, name))).collect()),
    }
}

/// The tags that a post has, and these behind them.
async fn with_own_tags(conn: &mut Conn, post_id: Uuid, chosen: &[&SuggestedTag]) -> Result<Vec<String>, DbError> {
    let own = tags::by_posts(conn, &[post_id]).await?.remove(&post_id).unwrap_or_default();
    let ids: Vec<Uuid> = chosen.iter().filter_map(|tag| tag.tag_id).collect();
    let known = tags::by_ids(conn, &ids).await?;
    let name = |tag: &&SuggestedTag| {
        let there = known.iter().find(|row| Some(row.id) == tag.tag_id);
        there.map_or_else(|| tag.name.clone(), |row| row.slug.clone())
    };
    Ok(own.into_iter().map(|tag| tag.slug).chain(chosen.iter().map(name)).collect())
}

fn corrections_of<'a>(all: &'a [Correction], chosen: Option<&[usize]>) -> Result<Vec<&'a Correction>, ServiceError> {
    chosen.map_or_else(|| Ok(all.iter().collect()), |wanted| in_places(all, wanted, "corrections"))
}

fn pictures_of<'a>(all: &'a [PictureText], chosen: Option<&[usize]>) -> Result<Vec<&'a PictureText>, ServiceError> {
    if let Some(wanted) = chosen {
        return in_places(all, wanted, "pictures");
    }
    // What somebody has written is not taken away unasked.
    let bare: Vec<_> = all.iter().filter(|it| it.original.trim().is_empty()).collect();
    if bare.is_empty() {
        let message = "each picture has a text already: name the `pictures` that shall have the proposed one";
        return Err(ServiceError::refuse(RefusalCode::Invalid, "pictures", message));
    }
    Ok(bare)
}

fn in_places<'a, T>(all: &'a [T], wanted: &[usize], field: &'static str) -> Result<Vec<&'a T>, ServiceError> {
    if let Some(place) = wanted.iter().find(|place| **place >= all.len()) {
        let message = format!("there is nothing at place {place}: the proposal has {} {field}, from 0", all.len());
        return Err(ServiceError::refuse(RefusalCode::Invalid, field, message));
    }
    Ok(all.iter().enumerate().filter(|(place, _)| wanted.contains(place)).map(|(_, it)| it).collect())
}

/// The post's text with these corrections. Where the text is another, it stays: so is the version then,
/// which the edit is refused for.
async fn corrected_text(services: &Services, post_id: Uuid, chosen: &[&Correction]) -> Result<String, DbError> {
    let body = posts::bodies(&mut *services.db.conn().await?, &[post_id]).await?.pop();
    let markdown = body.map(|body| body.markdown).unwrap_or_default();
    Ok(corrected(&markdown, chosen).unwrap_or(markdown))
}
