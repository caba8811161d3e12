//! What was read out of a post, kept: names become entities, and what somebody has edited stays.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::names::key;
use super::reading::{Finding, Found, MAX_ENTITIES, stronger};
use crate::store::entities::{self, EntityChanges, Held, NewEntity, NewName};
use crate::store::post_entities::{self, Mention, MentionSource};
use crate::store::{Conn, DbError};

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The post names something else than before.
    pub changed: bool,
    /// There is a name that other posts may hold and that nobody has looked for.
    pub introduced: bool,
}

/// Replaces what the graph knows of a post; what a model has read stays if `keeps_model`.
///
/// On a transaction that holds the graph's lock and the post's.
pub async fn keep(
    conn: &mut Conn,
    post_id: Uuid,
    found: &Found,
    keeps_model: bool,
    now: DateTime<Utc>,
) -> Result<Kept, DbError> {
    let (resolved, introduced) = resolve(conn, &found.findings, now).await?;
    entities::say(conn, post_id, &names(&found.findings), keeps_model).await?;
    let before = post_entities::of_post(conn, post_id).await?;
    let mut mentions = mentions(post_id, &found.findings, &resolved);
    let of_model = before.iter().filter(|mention| keeps_model && mention.source == MentionSource::Model);
    add_more(&mut mentions, of_model.cloned());
    let changed = replace(conn, post_id, before, mentions).await?;
    let other_links = post_entities::links(conn, post_id).await? != found.links;
    if other_links {
        post_entities::set_links(conn, post_id, &found.links).await?;
    }
    Ok(Kept { changed: changed || other_links, introduced })
}

/// Adds what a model has read to what the graph knows of a post, in place of what one read before.
///
/// On a transaction that holds the graph's lock and the post's. True if that changes something.
pub async fn add(conn: &mut Conn, post_id: Uuid, read: &[Finding], now: DateTime<Utc>) -> Result<bool, DbError> {
    let (resolved, _) = resolve(conn, read, now).await?;
    entities::say_by_model(conn, post_id, &names(read)).await?;
    let before = post_entities::of_post(conn, post_id).await?;
    let mut all: Vec<Mention> =
        before.iter().filter(|mention| mention.source != MentionSource::Model).cloned().collect();
    add_more(&mut all, mentions(post_id, read, &resolved));
    replace(conn, post_id, before, all).await
}

/// All names of what was found, as they are compared, each once.
fn names(findings: &[Finding]) -> Vec<String> {
    let all = findings.iter().flat_map(|finding| &finding.names).map(|name| key(name)).filter(|key| !key.is_empty());
    all.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Adds mentions; of two of one entity the weightier counts.
fn add_more(mentions: &mut Vec<Mention>, more: impl IntoIterator<Item = Mention>) {
    for mention in more {
        match mentions.iter_mut().find(|known| known.entity_id == mention.entity_id) {
            Some(known) if known.weight < mention.weight => *known = mention,
            Some(_) => {}
            None => mentions.push(mention),
        }
    }
}

async fn replace(
    conn: &mut Conn,
    post_id: Uuid,
    before: Vec<Mention>,
    mut mentions: Vec<Mention>,
) -> Result<bool, DbError> {
    mentions.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    mentions.truncate(MAX_ENTITIES);
    mentions.sort_by_key(|mention| mention.entity_id);
    if before == mentions {
        return Ok(false);
    }
    post_entities::replace(conn, post_id, &mentions).await?;
    Ok(true)
}

/// One for each entity: two names of it are the same.
fn mentions(post_id: Uuid, findings: &[Finding], resolved: &[Option<Uuid>]) -> Vec<Mention> {
    let mut all: Vec<Mention> = Vec::new();
    for (finding, entity_id) in findings.iter().zip(resolved) {
        let Some(entity_id) = *entity_id else { continue };
        match all.iter_mut().find(|mention| mention.entity_id == entity_id) {
            Some(known) => known.weight = known.weight.max(finding.weight),
            None => all.push(Mention {
                post_id,
                entity_id,
                weight: finding.weight,
                source: finding.source,
                anchor: finding.anchor.clone(),
            }),
        }
    }
    all
}

/// The entity of each finding, made if there is none, and whether one that others may name is new.
/// None for what somebody has deleted.
async fn resolve(
    conn: &mut Conn,
    findings: &[Finding],
    now: DateTime<Utc>,
) -> Result<(Vec<Option<Uuid>>, bool), DbError> {
    let mut by_key: HashMap<String, Held> = entities::named(conn, &names(findings)).await?.into_iter().collect();
    let tag_ids: Vec<Uuid> = findings.iter().filter_map(|finding| finding.tag_id).collect();
    let of_tags = entities::of_tags(conn, &tag_ids).await?;
    let (mut resolved, mut introduced) = (Vec::with_capacity(findings.len()), false);
    for finding in findings {
        let keys: Vec<String> = finding.names.iter().map(|name| key(name)).filter(|key| !key.is_empty()).collect();
        let of_tag = of_tags.iter().find(|held| held.tag_id.is_some() && held.tag_id == finding.tag_id);
        let held = of_tag.or_else(|| keys.iter().find_map(|key| by_key.get(key))).cloned();
        let held = match held {
            Some(held) => grown(conn, held, finding, of_tag.is_some()).await?,
            None => {
                introduced |= finding.introduces;
                made(conn, finding, now).await?
            }
        };
        name(conn, &held, finding, &by_key).await?;
        for key in keys {
            by_key.entry(key).or_insert_with(|| held.clone());
        }
        resolved.push((!held.deleted).then_some(held.id));
    }
    Ok((resolved, introduced))
}

async fn made(conn: &mut Conn, finding: &Finding, now: DateTime<Utc>) -> Result<Held, DbError> {
    let name = finding.names.first().cloned().unwrap_or_default();
    let row = NewEntity {
        id: Uuid::now_v7(),
        kind: finding.kind,
        key: key(&name),
        name,
        tag_id: finding.tag_id,
        edited: false,
        created_at: now,
    };
    entities::insert(conn, std::slice::from_ref(&row)).await?;
    let NewEntity { id, kind, name, tag_id, edited, created_at, .. } = row;
    Ok(Held { id, kind, name, tag_id, edited, deleted: false, created_at })
}

/// An entity with what a finding says more of it. What somebody has edited stays as it is.
async fn grown(conn: &mut Conn, held: Held, finding: &Finding, is_of_tag: bool) -> Result<Held, DbError> {
    let mut changes = EntityChanges::default();
    if !held.edited && finding.source != MentionSource::Model {
        let kind = stronger(held.kind, finding.kind);
        changes.kind = (kind != held.kind).then_some(kind);
        // A tag that was renamed.
        let name = finding.names.first().filter(|name| is_of_tag && **name != held.name && !key(name).is_empty());
        changes.key = name.map(|name| key(name));
        changes.name = name.cloned();
    }
    if held.tag_id.is_none() && !held.deleted {
        changes.tag_id = finding.tag_id;
    }
    if changes != EntityChanges::default() {
        entities::change(conn, held.id, &changes).await?;
    }
    let kind = changes.kind.unwrap_or(held.kind);
    Ok(Held { kind, tag_id: held.tag_id.or(changes.tag_id), ..held })
}

/// Adds the names of a finding that mean nothing yet.
async fn name(conn: &mut Conn, held: &Held, finding: &Finding, by_key: &HashMap<String, Held>) -> Result<(), DbError> {
    let mut new: Vec<NewName> = Vec::new();
    for name in &finding.names {
        let key = key(name);
        if !key.is_empty() && !by_key.contains_key(&key) && new.iter().all(|other| other.key != key) {
            new.push(NewName { key, entity_id: held.id, name: name.clone() });
        }
    }
    entities::add_names(conn, &new).await
}
