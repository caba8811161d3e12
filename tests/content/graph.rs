//! What was edited of the knowledge graph, out of the site and back in.

use std::time::Duration;

use chrono::Utc;
use inkstone::auth::Viewer;
use inkstone::services::connecting::{self, NewThing, Renaming, key};
use inkstone::services::publishing::{self, PostDraft};
use inkstone::services::{Actor, Services, exporting};
use inkstone::store::entities::{self, EntityKind, EntityRow};
use inkstone::store::{Sight, tags, users};
use uuid::Uuid;

use crate::folders::{Folder, flawless, import, import_with, options, user};
use crate::picture;
use crate::support::TestApp;

/// What was edited: name, kind, further names, the tag's slug, and whether it is deleted.
type Seen = Vec<(String, EntityKind, Vec<String>, Option<String>, bool)>;

async fn edited(services: &Services) -> Seen {
    let mut conn = services.db.conn().await.expect("a connection");
    let rows = entities::edited(&mut conn).await.expect("the entities");
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut aliases = entities::aliases(&mut conn, &ids, Sight::Everything).await.expect("names");
    let tags = tags::all(&mut conn).await.expect("tags");
    let slug = |id| tags.iter().find(|tag| tag.id == id).map(|tag| tag.slug.clone());
    let mut seen: Seen = rows
        .into_iter()
        .map(|row| {
            let names = aliases.remove(&row.id).unwrap_or_default();
            let mut names: Vec<String> = names.into_iter().map(|alias| alias.name).collect();
            names.sort_unstable();
            (row.name, row.kind, names, row.tag_id.and_then(slug), row.deleted)
        })
        .collect();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    seen
}

async fn named(services: &Services, name: &str) -> Option<EntityRow> {
    let mut conn = services.db.conn().await.expect("a connection");
    entities::by_name(&mut conn, &key(name), Sight::Everything).await.expect("an answer")
}

fn thing(name: &str, aliases: &[&str]) -> NewThing {
    let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
    NewThing { name: name.into(), kind: EntityKind::Concept, aliases }
}

#[tokio::test]
async fn what_was_edited_of_the_graph_comes_along_and_does_not_undo_what_was_edited_there() {
    let app = TestApp::start().await;
    let services = &app.services;
    let olga = Actor { viewer: Viewer::trusted(user(services, "olga").await), now: Utc::now() };
    let draft = PostDraft {
        title: "Drying".into(),
        markdown: "Of a ghost and of zorbium.".into(),
        tags: vec!["Wet zink".into()],
        ..PostDraft::default()
    };
    let post = publishing::create(services, &olga, draft).await.expect("a draft");
    publishing::publish(services, &olga, post.id).await.expect("a post");
    let tag = async {
        loop {
            match named(services, "Wet zink").await {
                Some(tag) => return tag,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let tag = tokio::time::timeout(Duration::from_secs(60), tag).await.expect("the tag is an entity");
    let zorbium = connecting::add(services, &olga, thing("Zorbium", &["Zb"])).await.expect("added");
    let other = connecting::add(services, &olga, thing("Zorbic matter", &[])).await.expect("added");
    connecting::merge(services, &olga, zorbium.id, &[other.id]).await.expect("merged");
    let ghost = connecting::add(services, &olga, thing("Ghost", &[])).await.expect("added");
    connecting::delete(services, &olga, ghost.id).await.expect("deleted");
    let to = Renaming { name: "Ink that is wet".into(), kind: None };
    connecting::rename(services, &olga, tag.id, to).await.expect("renamed");
    let before = edited(services).await;
    let expected: Seen = vec![
        ("Ghost".into(), EntityKind::Concept, vec![], None, true),
        ("Ink that is wet".into(), EntityKind::Tag, vec!["Wet zink".into()], Some("wet-zink".into()), false),
        ("Zorbium".into(), EntityKind::Concept, vec!["Zb".into(), "Zorbic matter".into()], None, false),
    ];
    assert_eq!(before, expected);

    let (folder, options) = (Folder::new(&[]), options(services).await);
    exporting::export(services, folder.path(), false).await.expect("an export");
    let file = std::fs::read_to_string(folder.path().join("entities.toml")).expect("the file");
    let file: String = file.split_whitespace().collect();
    assert!(file.contains("read=[\"Wetzink\"") && file.contains("aliases=[\"Zb\",\"Zorbicmatter\""), "{file}");
    picture::empty(services).await;
    users::insert(&mut services.db.conn().await.expect("a connection"), &options.author).await.expect("olga");
    let report = import_with(services, folder.path(), &options).await;
    flawless(&report);
    assert_eq!((report.entities, edited(services).await), (3, before.clone()));
    let again = import_with(services, folder.path(), &options).await;
    assert_eq!((again.entities, edited(services).await), (0, before), "a second import changes nothing");

    let zorbium = named(services, "zb").await.expect("it goes by its other name");
    let to = Renaming { name: "Zorbium 2".into(), kind: Some(EntityKind::Technology) };
    connecting::rename(services, &olga, zorbium.id, to).await.expect("renamed");
    let later = edited(services).await;
    assert_eq!(import_with(services, folder.path(), &options).await.entities, 0);
    assert_eq!(edited(services).await, later, "what somebody edited here stays");
}

#[tokio::test]
async fn a_name_that_is_none_and_a_tag_that_is_not_there_are_told_by_their_lines() {
    let app = TestApp::start().await;
    let text = "[[entities]]\nname = \"…\"\nkind = \"PLACE\"\n\n[[entities]]\nname = \"Zorbia\"\nkind = \"PLACE\"\n\
                tag = \"none-such\"\n\n[[entities]]\nname = \"X\"\nkind = \"PLANET\"\n";
    let folder = Folder::new(&[("entities.toml", text)]);
    let report = import(&app.services, folder.path()).await;
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let told = |line: usize, what: &str| {
        let place = format!("entities.toml:{line}: ");
        problems.iter().any(|problem| problem.contains(&place) && problem.contains(what))
    };
    assert!(told(1, "is no name"), "{problems:#?}");
    assert!(told(5, "there is no tag \"none-such\""), "{problems:#?}");
    assert!(problems.iter().any(|problem| problem.contains("PLANET")), "{problems:#?}");
    assert_eq!((problems.len(), report.entities), (3, 1));
    assert!(edited(&app.services).await.iter().any(|(name, ..)| name == "Zorbia"));
}

#[tokio::test]
async fn what_two_entities_of_a_file_both_want_goes_to_the_first_and_is_told() {
    let app = TestApp::start().await;
    let many: Vec<String> = (0..1_001).map(|n| format!("\"alias {n}\"")).collect();
    let text = format!(
        "[[entities]]\nname = \"Alpha\"\nkind = \"CONCEPT\"\naliases = [\"Café\"]\ntag = \"zinc\"\n\n\
         [[entities]]\nname = \"Beta\"\nkind = \"CONCEPT\"\naliases = [\"cafe\", \"Bistro\"]\ntag = \"zinc\"\n\n\
         [[entities]]\nname = \"ALPHA\"\nkind = \"PLACE\"\n\n\
         [[entities]]\nname = \"Many\"\nkind = \"PLACE\"\naliases = [{}]\n",
        many.join(", ")
    );
    let tags = "[[tags]]\nslug = \"zinc\"\nname = \"Zinc\"\n";
    let folder = Folder::new(&[("entities.toml", &text), ("tags.toml", tags)]);
    let report = import(&app.services, folder.path()).await;
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    for told in [
        "entities.toml:7: the alias \"cafe\" is left out: it is a name of \"Alpha\"",
        "entities.toml:7: `tag` is left out: it is the tag of \"Alpha\"",
        "entities.toml:13: \"ALPHA\" is left out: it is a name of \"Alpha\"",
        "entities.toml:17: `aliases`: 1001 names: at most 1000 are allowed",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(told)), "{told}: {problems:#?}");
    }
    assert_eq!((problems.len(), report.entities), (4, 2), "{problems:#?}");
    let seen = edited(&app.services).await;
    let beta = seen.iter().find(|(name, ..)| name == "Beta").expect("it came in");
    assert_eq!((&beta.2[..], &beta.3), (&["Bistro".to_owned()][..], &None));
}
