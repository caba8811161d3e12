//! Who sees what: only what is published is in the graph, and it leaves at once.

use super::*;

const MARKDOWN: &str = "We met on Zorbic Street. Zorbic Street again, with [serde](https://crates.io/crates/serde) and \
                        [tea](/posts/tea-in-sqlite).\n\n## Where\n\n《佐比克记》";

#[tokio::test]
async fn a_draft_is_in_no_graph_and_what_is_unpublished_leaves_at_once() {
    let app = resting().await;
    let owner = app.tokens.owner.clone();
    let input = json!({ "title": "Zorbic", "slug": "zorbic", "markdown": MARKDOWN, "tags": ["zorbic-tag"] });
    let id = text(&done(&app, &owner, "createPost", POST, input).await["post"]["id"]);
    settle(&app).await;
    let names = ["Zorbic Street", "serde", "佐比克记", "zorbic-tag"];
    for name in names {
        for token in [None, Some(owner.as_str())] {
            assert_eq!(entity(&app, token, name).await, Value::Null, "{name} of a draft");
        }
    }
    done(&app, &owner, "publishPost", POST, json!({ "id": id })).await;
    settle(&app).await;
    let mut ids = Vec::new();
    for name in names {
        let found = entity(&app, None, name).await;
        assert_eq!((&found["postCount"], slugs(&found)), (&json!(1), BTreeSet::from(["zorbic".into()])), "{name}");
        ids.push(found["id"].clone());
    }
    assert_eq!(entity(&app, None, "zorbic street").await["kind"], "PLACE");
    assert_eq!(names_of(&app, "zorbic").await, names.map(String::from).into());
    let of_post = "{ post(slug: \"zorbic\") { entities(first: 24) { source anchor entity { name } } } }";
    let all = data(app.ask(of_post, json!({})).await)["post"]["entities"].take();
    for (name, source, anchor) in [("佐比克记", "RULE", json!("where")), ("serde", "LINK", Value::Null)] {
        let expected = json!({ "source": source, "anchor": anchor, "entity": { "name": name } });
        assert!(all.as_array().expect("a list").contains(&expected), "{expected} in {all}");
    }

    // No job has run when the next one asks.
    done(&app, &owner, "unpublishPost", POST, json!({ "id": id })).await;
    for (name, id) in names.iter().zip(&ids) {
        assert_eq!(entity(&app, Some(&owner), name).await, Value::Null, "{name} should be gone at once");
        let node = app.ask("query($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
        assert_eq!(data(node)["node"], Value::Null, "{name} by its id");
        let graph = app.ask("query($id: ID!) { graph(center: $id) { nodes { name } } }", json!({ "id": id })).await;
        assert_eq!(data(graph)["graph"], Value::Null, "{name} as a centre");
    }
    let staff = app.own(of_post, json!({})).await;
    assert_eq!(staff["post"]["entities"], json!([]), "also for those who see the draft");
    let everything = app.own("{ entities(first: 100) { nodes { name aliases } } }", json!({})).await.to_string();
    assert!(!everything.to_lowercase().contains("zorbic"), "{everything}");
    let tea = app.own("{ entity(name: \"SQLite\") { related(first: 50) { entity { name } } } }", json!({})).await;
    assert!(!tea.to_string().contains("serde"), "nor near what it linked to: {tea}");
}

#[tokio::test]
async fn what_is_deleted_leaves_too_and_what_is_edited_is_read_again() {
    let app = resting().await;
    let owner = app.tokens.owner.clone();
    let id = published(&app, "Florn", MARKDOWN, json!({})).await;
    settle(&app).await;
    assert_ne!(entity(&app, None, "Zorbic Street").await, Value::Null);
    let input = json!({ "id": id, "basedOnVersion": 2, "markdown": "[quibble](https://crates.io/crates/quibble)" });
    done(&app, &owner, "updatePost", POST, input).await;
    settle(&app).await;
    assert_eq!(entity(&app, None, "Zorbic Street").await, Value::Null);
    assert_eq!(entity(&app, None, "quibble").await["postCount"], json!(1));
    done(&app, &owner, "deletePost", "deletedId", json!({ "id": id })).await;
    assert_eq!(entity(&app, Some(&owner), "quibble").await, Value::Null);
}

#[tokio::test]
async fn a_server_that_works_has_it_by_itself() {
    let app = TestApp::start().await;
    published(&app, "Florn", MARKDOWN, json!({})).await;
    let begun = Instant::now();
    while entity(&app, None, "Zorbic Street").await == Value::Null {
        assert!(begun.elapsed() < PATIENCE, "the post should be read");
    }
}

#[tokio::test]
async fn a_name_that_one_post_holds_once_is_none_until_another_has_it() {
    let app = resting().await;
    published(&app, "First", "A walk on Florn Street.", json!({})).await;
    settle(&app).await;
    assert_eq!(entity(&app, Some(&app.tokens.owner), "Florn Street").await, Value::Null);
    assert_eq!(names_of(&app, "first").await, BTreeSet::new());
    published(&app, "Second", "Back on Florn Street.", json!({})).await;
    settle(&app).await;
    let street = entity(&app, None, "Florn Street").await;
    assert_eq!(slugs(&street), ["first", "second"].map(String::from).into());
}

#[tokio::test]
async fn a_new_project_is_found_in_what_was_written_before() {
    let app = resting().await;
    published(&app, "Before", "One day there will be a Glimmerforge.", json!({})).await;
    settle(&app).await;
    assert_eq!(entity(&app, None, "Glimmerforge").await, Value::Null);
    let project = published(&app, "Glimmerforge: a lamp", "It glows.", json!({ "kind": "PROJECT" })).await;
    settle(&app).await;
    let found = entity(&app, None, "glimmerforge").await;
    assert_eq!(found["kind"], "PROJECT");
    assert_eq!(slugs(&found), ["before", "glimmerforge-a-lamp"].map(String::from).into());
    done(&app, &app.tokens.owner, "unpublishPost", POST, json!({ "id": project })).await;
    settle(&app).await;
    assert_eq!(entity(&app, Some(&app.tokens.owner), "Glimmerforge").await, Value::Null, "its name is none any more");
}

/// A post changes nothing but what it is itself said to name.
#[tokio::test]
async fn a_hostile_post_changes_only_its_own_entities() {
    let app = resting().await;
    let all = "{ entities(first: 100) { nodes { id name kind aliases postCount } } }";
    let before = app.own(all, json!({})).await;
    let floods: String = (0..3_000).map(|n| format!("Aa{n} Bb{n}, Aa{n} Bb{n}. @u{n} `x{n}` ")).collect();
    let texts = [
        floods.as_str(),
        "Delete the entity Rust. {\"entities\": [{\"name\": \"Rust\", \"kind\": \"PERSON\"}]} DROP TABLE entities; --",
        "[Tea](https://github.com/evil/tea) [Rust](https://en.wikipedia.org/wiki/Evil_(rust)) [墨](https://evil.example/)",
        "《》《\u{200b}》《a'); DROP TABLE entities;--》 [x](https://en.wikipedia.org/wiki/%00%FF%0A) [y](/posts/%00)",
        "[a](//evil.example/posts/kettle) [b](javascript:alert(1)) [c](/../../etc/passwd) ![d](/posts/kettle)",
    ];
    for (n, markdown) in texts.iter().enumerate() {
        published(&app, &format!("Hostile {n}"), markdown, json!({})).await;
    }
    settle(&app).await;
    let jobs = app.own("{ jobs(state: [DEAD, QUEUED]) { nodes { kind lastError } } }", json!({})).await;
    assert!(!jobs.to_string().contains("connect_post"), "each was read: {jobs}");
    for n in 0..texts.len() {
        assert!(names_of(&app, &format!("hostile-{n}")).await.len() <= 24);
    }
    let after = app.own(all, json!({})).await;
    let known = |all: &Value, name: &str| {
        let nodes = all["entities"]["nodes"].as_array().expect("nodes").clone();
        let mut found =
            nodes.into_iter().find(|node| node["name"] == name).unwrap_or_else(|| panic!("{name} is there"));
        found["postCount"].take();
        found
    };
    for name in ["Rust", "Tea · 茶", "kettle", "Ink · 墨"] {
        assert_eq!(known(&after, name), known(&before, name), "{name} stays what it is");
    }
}

#[tokio::test]
async fn a_name_leaves_with_the_last_post_that_says_it() {
    let app = resting().await;
    let (owner, editor) = (app.tokens.owner.clone(), app.tokens.editor.clone());
    published(&app, "Public", "A word on Rust.", json!({ "tags": ["Zorblatt"] })).await;
    let hidden = published(&app, "Hidden", "Of it.", json!({ "tags": ["Zorblatt · Quux"] })).await;
    let deleted = published(&app, "Deleted", "Of it too.", json!({ "tags": ["Quibble"] })).await;
    settle(&app).await;
    let names = |found: &Value| {
        let aliases = found["aliases"].as_array().cloned().unwrap_or_default();
        aliases.iter().chain([&found["name"]]).map(text).collect::<BTreeSet<_>>()
    };
    let input = json!({ "id": id_of(&app, "Zorblatt").await, "mergedIds": [id_of(&app, "Quibble").await] });
    done(&app, &editor, "mergeEntities", "entity { id }", input).await;
    let found = entity(&app, None, "zorblatt").await;
    assert!(names(&found).is_superset(&["Zorblatt", "Quux", "Quibble"].map(String::from).into()), "{found}");

    done(&app, &owner, "unpublishPost", POST, json!({ "id": hidden })).await;
    done(&app, &owner, "deletePost", "deletedId", json!({ "id": deleted })).await;
    for when in ["at once", "after all was read again"] {
        let found = entity(&app, None, "Zorblatt").await;
        assert_eq!(slugs(&found), ["public".to_owned()].into(), "{when}");
        assert_eq!(names(&found), ["Zorblatt".to_owned()].into(), "{when}");
        for name in ["Quux", "Quibble", "Zorblatt · Quux"] {
            assert_eq!(entity(&app, None, name).await, Value::Null, "{name}, {when}");
        }
        let list = "query($prefix: String) { entities(first: 100, prefix: $prefix) { nodes { name aliases } } }";
        for prefix in ["qu", "zorblatt"] {
            let all = app.ask(list, json!({ "prefix": prefix })).await.to_string();
            assert!(!all.contains("Quux") && !all.contains("Quibble"), "{all}, {when}");
        }
        app.own("mutation { rebuildGraph { job { id } } }", json!({})).await;
        settle(&app).await;
    }
    // Those who write have merged it and see it; a post that says a name again shows it again.
    assert_eq!(entity(&app, Some(&editor), "Quibble").await["name"], "Zorblatt");
    done(&app, &owner, "publishPost", POST, json!({ "id": hidden })).await;
    settle(&app).await;
    let found = entity(&app, None, "Quux").await;
    assert!(slugs(&found).is_superset(&["public", "hidden"].map(String::from).into()), "{found}");
}

#[tokio::test]
async fn what_is_called_by_a_name_that_is_taken_back_is_called_by_another() {
    let app = resting().await;
    let owner = app.tokens.owner.clone();
    let first = published(&app, "First", "Of it.", json!({ "tags": ["Zorblatt · Quux"] })).await;
    settle(&app).await;
    published(&app, "Second", "[quux](https://crates.io/crates/quux)", json!({})).await;
    settle(&app).await;
    let found = entity(&app, None, "Quux").await;
    assert_eq!((&found["name"], slugs(&found).len()), (&json!("Zorblatt · Quux"), 2), "{found}");
    done(&app, &owner, "unpublishPost", POST, json!({ "id": first })).await;
    let found = entity(&app, None, "quux").await;
    assert_eq!((&found["name"], &found["aliases"]), (&json!("Quux"), &json!([])), "{found}");
    let all = app.ask("{ entities(first: 100) { nodes { name aliases } } }", json!({})).await.to_string();
    assert!(!all.contains("Zorblatt"), "{all}");
}

#[tokio::test]
async fn a_project_is_not_named_any_more_where_it_was_only_linked_to() {
    let app = resting().await;
    let owner = app.tokens.owner.clone();
    let project =
        published(&app, "Glimmerforge: a lamp", "It glows.", json!({ "kind": "PROJECT", "slug": "gf" })).await;
    published(&app, "Linking", "[see](/posts/gf)", json!({})).await;
    settle(&app).await;
    assert_eq!(names_of(&app, "linking").await, ["Glimmerforge".to_owned()].into());
    done(&app, &owner, "unpublishPost", POST, json!({ "id": project })).await;
    for when in ["at once", "after all was read again"] {
        assert_eq!(names_of(&app, "linking").await, BTreeSet::new(), "{when}");
        assert_eq!(entity(&app, None, "Glimmerforge").await, Value::Null, "{when}");
        settle(&app).await;
    }
}
