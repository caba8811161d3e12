//! What somebody has said about the entities of the knowledge graph.

use std::collections::HashMap;

use uuid::Uuid;

use super::ImportReport;
use super::problems::Entries;
use super::run::Run;
use crate::services::ServiceError;
use crate::services::connecting::{self, Imported, NewThing};
use crate::services::content_folder::{ENTITIES, EntityKind as FileKind, EntityToml};
use crate::store::entities::EntityKind;
use crate::store::tags;

/// Brings in what nobody has edited here; the rest stays as it is. Before the posts, which are read by it.
pub async fn import(
    run: &mut Run<'_>,
    wanted: &[EntityToml],
    entries: &mut Entries<'_>,
    report: &mut ImportReport,
) -> Result<(), ServiceError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let now = run.options.now;
    let mut tx = run.step().await?;
    let tags: HashMap<String, Uuid> = tags::all(&mut tx).await?.into_iter().map(|tag| (tag.slug, tag.id)).collect();
    let mut things = Vec::new();
    for entity in wanted {
        let thing = NewThing { name: entity.name.clone(), kind: kind(entity.kind), aliases: entity.aliases.clone() };
        if !entries.fits(ENTITIES, &entity.name, connecting::check(&thing, &entity.read)) {
            continue;
        }
        let tag_id = entity.tag.as_ref().and_then(|slug| tags.get(slug).copied());
        if let (Some(slug), None) = (&entity.tag, tag_id) {
            entries.say(ENTITIES, &entity.name, format!("`tag`: there is no tag {slug:?}; the entity has none"));
        }
        let created_at = entity.created.map_or(now, |at| at.0);
        things.push(Imported { thing, read: entity.read.clone(), tag_id, deleted: entity.deleted, created_at });
    }
    let done = connecting::bring_in(&mut tx, &things, now).await?;
    report.entities += done.events.len();
    for (name, why) in done.taken {
        entries.say(ENTITIES, &name, why);
    }
    run.end(tx, &done.events).await
}

fn kind(kind: FileKind) -> EntityKind {
    match kind {
        FileKind::Person => EntityKind::Person,
        FileKind::Project => EntityKind::Project,
        FileKind::Place => EntityKind::Place,
        FileKind::Technology => EntityKind::Technology,
        FileKind::Tag => EntityKind::Tag,
        FileKind::Concept => EntityKind::Concept,
    }
}
