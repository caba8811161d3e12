//! What people say about entities. It outlasts every rebuild: names lead to what they were said to
//! mean, and what is deleted keeps its names so that it does not come back.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::names::{MAX_NAME_CHARS, key, tidy};
use super::{ask_for_all, changed};
use crate::events::NewEvent;
use crate::services::validate::Check;
use crate::services::{Actor, RefusalCode, ServiceError, Services};
use crate::store::entities::{self, EntityChanges, EntityKind, EntityRow, Held, NewEntity, NewName};
use crate::store::jobs::{self, JobRow};
use crate::store::{Conn, Sight, Tx};

/// Most further names that an entity is added with, and most entities that are merged at once.
const MOST_AT_ONCE: usize = 20;
/// Most further names of an entity in a file: it may have become one of many.
const MOST_ALIASES: usize = 1_000;

/// An entity to be added.
#[derive(Clone, Debug)]
pub struct NewThing {
    pub name: String,
    pub kind: EntityKind,
    pub aliases: Vec<String>,
}

/// What an entity is to be called; `None` leaves its kind.
#[derive(Clone, Debug)]
pub struct Renaming {
    pub name: String,
    pub kind: Option<EntityKind>,
}

/// An entity as it was edited on another site, or on this one before.
#[derive(Clone, Debug)]
pub struct Imported {
    pub thing: NewThing,
    /// Names that posts have for it and nobody gave it.
    pub read: Vec<String>,
    pub tag_id: Option<Uuid>,
    pub deleted: bool,
    pub created_at: DateTime<Utc>,
}

/// What [`bring_in`] did.
#[derive(Debug, Default)]
pub struct BroughtIn {
    /// Of each entity that came in.
    pub events: Vec<NewEvent>,
    /// What another entity of the same list has taken: the name of who asked for it, and a sentence.
    pub taken: Vec<(String, String)>,
}

/// Refuses names that are none, and too many; `read` as [`Imported`] has it.
pub fn check(thing: &NewThing, read: &[String]) -> Result<(), ServiceError> {
    let mut check = Check::default();
    check_name(&mut check, "name", &tidy(&thing.name));
    for (field, names) in [("aliases", thing.aliases.as_slice()), ("read", read)] {
        check.that(names.len() <= MOST_ALIASES, RefusalCode::TooLong, field, || {
            format!("{} names: at most {MOST_ALIASES} are allowed", names.len())
        });
        names.iter().for_each(|name| check_name(&mut check, field, &tidy(name)));
    }
    check.done()
}

/// Brings in what was edited elsewhere, in a transaction that nobody else writes to the graph in. What
/// somebody has edited here stays as it is; what was read out of posts becomes a part of it. All posts
/// are read again for it.
pub async fn bring_in(tx: &mut Tx, things: &[Imported], now: DateTime<Utc>) -> Result<BroughtIn, ServiceError> {
    let (mut done, mut new) = (BroughtIn::default(), HashMap::new());
    if things.is_empty() {
        return Ok(done);
    }
    entities::lock(tx).await?;
    for it in things {
        if let Some(id) = bring_one_in(tx, it, &new, &mut done.taken).await? {
            new.insert(id, it.thing.name.as_str());
            done.events.push(changed(id, None, now));
        }
    }
    if !done.events.is_empty() {
        ask_for_all(tx, now).await?;
    }
    Ok(done)
}

/// `new` are those that came in before, by their ids.
async fn bring_one_in(
    tx: &mut Tx,
    it: &Imported,
    new: &HashMap<Uuid, &str>,
    taken: &mut Vec<(String, String)>,
) -> Result<Option<Uuid>, ServiceError> {
    let mut say = |what: String, by: &Held| {
        if let Some(by) = new.get(&by.id) {
            taken.push((it.thing.name.clone(), format!("{what} {by:?}")));
        }
    };
    let names = std::iter::once(&it.thing.name).chain(&it.thing.aliases).chain(&it.read);
    let names: Vec<String> = names.map(|name| tidy(name)).collect();
    let given = 1 + it.thing.aliases.len();
    let keys: Vec<String> = names.iter().map(|name| key(name)).collect();
    let held: HashMap<String, Held> = entities::named(tx, &keys).await?.into_iter().collect();
    let of_tag = match it.tag_id {
        Some(tag_id) => entities::of_tags(tx, &[tag_id]).await?.pop(),
        None => None,
    };
    if let Some(by) = held.get(&keys[0]).filter(|by| by.edited) {
        say(format!("{:?} is left out: it is a name of", it.thing.name), by);
        return Ok(None);
    }
    let mut tag_id = it.tag_id;
    if let Some(by) = of_tag.as_ref().filter(|by| by.edited) {
        say("`tag` is left out: it is the tag of".to_owned(), by);
        tag_id = None;
    }
    let (mut free, mut read) = (Vec::with_capacity(given), Vec::new());
    for (n, (name, key)) in names.into_iter().zip(&keys).enumerate() {
        match held.get(key).filter(|by| by.edited) {
            None if n < given => free.push(name),
            None => read.push(name),
            Some(by) => say(format!("the alias {name:?} is left out: it is a name of"), by),
        }
    }
    let mut others: Vec<Uuid> = held.values().chain(&of_tag).filter(|held| !held.edited).map(|held| held.id).collect();
    others.sort_unstable();
    others.dedup();
    let row = NewEntity {
        id: Uuid::now_v7(),
        kind: it.thing.kind,
        key: keys[0].clone(),
        name: free[0].clone(),
        tag_id: None,
        edited: true,
        created_at: it.created_at,
    };
    entities::insert(tx, std::slice::from_ref(&row)).await?;
    entities::absorb(tx, &others, row.id).await?;
    give_names(tx, row.id, &free).await?;
    entities::add_names(tx, &new_names(row.id, &read)).await?;
    let changes = EntityChanges { tag_id, deleted: Some(it.deleted), ..EntityChanges::default() };
    entities::change(tx, row.id, &changes).await?;
    if it.deleted {
        entities::forget_mentions(tx, row.id).await?;
    }
    Ok(Some(row.id))
}

/// Adds an entity; every post is read again for its names.
pub async fn add(services: &Services, actor: &Actor, new: NewThing) -> Result<EntityRow, ServiceError> {
    let user_id = actor.require(actor.viewer.may_write(), "add entities")?;
    let name = tidy(&new.name);
    let aliases: Vec<String> = new.aliases.iter().map(|alias| tidy(alias)).collect();
    let mut check = Check::default();
    check_name(&mut check, "name", &name);
    check.that(aliases.len() <= MOST_AT_ONCE, RefusalCode::TooLong, "aliases", || {
        format!("{} aliases: at most {MOST_AT_ONCE} are allowed", aliases.len())
    });
    aliases.iter().for_each(|alias| check_name(&mut check, "aliases", alias));
    check.done()?;
    let mut tx = begin(services).await?;
    let by_name = free(&mut tx, "name", std::slice::from_ref(&name), None).await?;
    let hidden = [by_name, free(&mut tx, "aliases", &aliases, None).await?];
    let row = NewEntity {
        id: Uuid::now_v7(),
        kind: new.kind,
        key: key(&name),
        name: name.clone(),
        tag_id: None,
        edited: true,
        created_at: actor.now,
    };
    entities::insert(&mut tx, std::slice::from_ref(&row)).await?;
    entities::absorb(&mut tx, &hidden.concat(), row.id).await?;
    let mut names = vec![name];
    names.extend(aliases);
    give_names(&mut tx, row.id, &names).await?;
    ask_for_all(&mut tx, actor.now).await?;
    finish(services, tx, row.id, user_id, actor.now).await
}

/// Gives an entity another name; it keeps the old one as well. Every post is read again for it.
pub async fn rename(services: &Services, actor: &Actor, id: Uuid, to: Renaming) -> Result<EntityRow, ServiceError> {
    let user_id = actor.require(actor.viewer.may_write(), "rename entities")?;
    let name = tidy(&to.name);
    let mut check = Check::default();
    check_name(&mut check, "name", &name);
    check.done()?;
    let mut tx = begin(services).await?;
    find(&mut tx, id, "id").await?;
    let hidden = free(&mut tx, "name", std::slice::from_ref(&name), Some(id)).await?;
    entities::absorb(&mut tx, &hidden, id).await?;
    let changes = EntityChanges {
        kind: to.kind,
        name: Some(name.clone()),
        key: Some(key(&name)),
        edited: Some(true),
        ..EntityChanges::default()
    };
    entities::change(&mut tx, id, &changes).await?;
    give_names(&mut tx, id, &[name]).await?;
    ask_for_all(&mut tx, actor.now).await?;
    finish(services, tx, id, user_id, actor.now).await
}

/// Makes one entity of several: `id` gets all names and posts of the others.
pub async fn merge(services: &Services, actor: &Actor, id: Uuid, others: &[Uuid]) -> Result<EntityRow, ServiceError> {
    let user_id = actor.require(actor.viewer.may_write(), "merge entities")?;
    let mut check = Check::default();
    check.that(!others.is_empty(), RefusalCode::Invalid, "mergedIds", || {
        "mergedIds is empty: name what is to become a part".into()
    });
    check.that(others.len() <= MOST_AT_ONCE, RefusalCode::TooLong, "mergedIds", || {
        format!("{} entities: at most {MOST_AT_ONCE} can be merged at once", others.len())
    });
    check.that(!others.contains(&id), RefusalCode::Invalid, "mergedIds", || {
        "an entity cannot become a part of itself".into()
    });
    check.done()?;
    let mut tx = begin(services).await?;
    find(&mut tx, id, "id").await?;
    for other in others {
        find(&mut tx, *other, "mergedIds").await?;
    }
    entities::absorb(&mut tx, others, id).await?;
    entities::change(&mut tx, id, &EntityChanges { edited: Some(true), ..EntityChanges::default() }).await?;
    entities::give_own_name(&mut tx, id).await?;
    finish(services, tx, id, user_id, actor.now).await
}

/// Takes an entity out of the graph, for good.
pub async fn delete(services: &Services, actor: &Actor, id: Uuid) -> Result<(), ServiceError> {
    let user_id = actor.require(actor.viewer.may_write(), "delete entities")?;
    let mut tx = begin(services).await?;
    find(&mut tx, id, "id").await?;
    let changes = EntityChanges { edited: Some(true), deleted: Some(true), ..EntityChanges::default() };
    entities::change(&mut tx, id, &changes).await?;
    entities::forget_mentions(&mut tx, id).await?;
    Box::pin(services.commit(tx, &[changed(id, Some(user_id), actor.now)])).await?;
    Ok(())
}

/// Has all posts read again; the job that does it. For the owner.
pub async fn rebuild_all(services: &Services, actor: &Actor) -> Result<JobRow, ServiceError> {
    actor.require(actor.viewer.may_change_jobs(), "rebuild the graph")?;
    let mut tx = services.db.begin().await?;
    let id = ask_for_all(&mut tx, actor.now).await?;
    let job = jobs::find(&mut tx, id).await?;
    Box::pin(services.commit(tx, &[])).await?;
    job.ok_or_else(|| ServiceError::Internal("a job that was just asked for is gone".into()))
}

async fn begin(services: &Services) -> Result<Tx, ServiceError> {
    let mut tx = services.db.begin().await?;
    entities::lock(&mut tx).await?;
    Ok(tx)
}

async fn finish(
    services: &Services,
    mut tx: Tx,
    id: Uuid,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<EntityRow, ServiceError> {
    let row = find(&mut tx, id, "id").await?;
    Box::pin(services.commit(tx, &[changed(id, Some(user_id), now)])).await?;
    Ok(row)
}

/// An entity that those who write can see.
async fn find(conn: &mut Conn, id: Uuid, field: &'static str) -> Result<EntityRow, ServiceError> {
    let found = entities::by_ids(conn, &[id], Sight::Everything).await?.pop();
    found.ok_or_else(|| ServiceError::not_found(field, "entity"))
}

/// Refuses names of other entities that can be seen; gives the ids of those that cannot, whose names
/// are free.
async fn free(
    conn: &mut Conn,
    field: &'static str,
    names: &[String],
    own: Option<Uuid>,
) -> Result<Vec<Uuid>, ServiceError> {
    let keys: Vec<String> = names.iter().map(|name| key(name)).collect();
    let mut ids: Vec<Uuid> = entities::named(conn, &keys).await?.into_iter().map(|(_, held)| held.id).collect();
    ids.retain(|id| Some(*id) != own);
    ids.sort_unstable();
    ids.dedup();
    match entities::by_ids(conn, &ids, Sight::Everything).await?.into_iter().next() {
        None => Ok(ids),
        Some(other) => {
            let message = format!("the entity {:?} has this name: merge the two instead", other.name);
            Err(ServiceError::refuse(RefusalCode::Taken, field, message))
        }
    }
}

async fn give_names(conn: &mut Conn, id: Uuid, names: &[String]) -> Result<(), ServiceError> {
    Ok(entities::give_names(conn, &new_names(id, names)).await?)
}

/// Each name once.
fn new_names(id: Uuid, names: &[String]) -> Vec<NewName> {
    let mut rows: Vec<NewName> = Vec::new();
    for name in names {
        let key = key(name);
        if rows.iter().all(|row| row.key != key) {
            rows.push(NewName { key, entity_id: id, name: name.clone() });
        }
    }
    rows
}

fn check_name(check: &mut Check, field: &'static str, name: &str) {
    check.text(field, name, MAX_NAME_CHARS);
    check.that(name.is_empty() || !key(name).is_empty(), RefusalCode::Invalid, field, || {
        format!("{name:?} is no name: it needs a letter or a digit")
    });
}
