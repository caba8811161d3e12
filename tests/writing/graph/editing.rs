//! What people say about entities, and that it lasts.

use super::*;

const ENTITY: &str = "entity { id name kind aliases postCount }";

/// Has everything read again, as the owner does it.
async fn rebuild(app: &TestApp) {
    let query = "mutation { rebuildGraph { job { id kind state } userErrors { message } } }";
    let asked = app.own(query, json!({})).await["rebuildGraph"].take();
    assert_eq!((&asked["job"]["kind"], &asked["job"]["state"]), (&json!("rebuild_graph"), &json!("QUEUED")));
    settle(app).await;
    let query = "query($id: ID!) { job(id: $id) { state lastError progress { done total } } }";
    let job = app.own(query, json!({ "id": asked["job"]["id"] })).await["job"].take();
    assert_eq!((&job["state"], &job["lastError"]), (&json!("DONE"), &Value::Null));
    assert!(job["progress"]["total"].as_i64() > Some(0), "{job}");
    assert_eq!(job["progress"]["done"], job["progress"]["total"]);
}

#[tokio::test]
async fn a_rebuild_comes_to_the_same() {
    let app = resting().await;
    let all = "{ entities(first: 100) { nodes { id name kind aliases postCount related(first: 5) {
        entity { name } weight } } } }";
    let before = app.own(all, json!({})).await;
    rebuild(&app).await;
    assert_eq!(app.own(all, json!({})).await, before);
}

#[tokio::test]
async fn what_is_merged_renamed_and_deleted_stays_so_when_the_graph_is_rebuilt() {
    let app = resting().await;
    let editor = app.tokens.editor.clone();
    let (ink, paper) = (entity(&app, None, "Ink").await, entity(&app, None, "Paper").await);
    let (graphql, bash) = (id_of(&app, "GraphQL").await, id_of(&app, "Bash").await);

    let input = json!({ "id": ink["id"], "mergedIds": [paper["id"]] });
    let merged = done(&app, &editor, "mergeEntities", ENTITY, input).await["entity"].take();
    assert_eq!((&merged["id"], &merged["name"]), (&ink["id"], &ink["name"]));
    let input = json!({ "id": graphql, "name": "Graph Query Language", "kind": "CONCEPT" });
    let renamed = done(&app, &editor, "renameEntity", ENTITY, input).await["entity"].take();
    assert_eq!((&renamed["name"], &renamed["kind"]), (&json!("Graph Query Language"), &json!("CONCEPT")));
    done(&app, &editor, "deleteEntity", "deletedId", json!({ "id": bash })).await;

    let check = async |when: &str| {
        let both: BTreeSet<String> = slugs(&ink).union(&slugs(&paper)).cloned().collect();
        for name in ["Ink", "墨", "Paper", "纸"] {
            let found = entity(&app, None, name).await;
            assert_eq!((&found["id"], slugs(&found)), (&ink["id"], both.clone()), "{name}, {when}");
        }
        for name in ["GraphQL", "graph query language"] {
            let found = entity(&app, None, name).await;
            assert_eq!((&found["id"], &found["name"]), (&graphql, &json!("Graph Query Language")), "{name}, {when}");
            assert_eq!(found["kind"], "CONCEPT", "{when}");
            assert!(slugs(&found).contains("graphql-diancai"), "{found}, {when}");
        }
        assert_eq!(entity(&app, Some(&editor), "bash").await, Value::Null, "what was deleted, {when}");
        assert!(!names_of(&app, "a-script-is-a-letter").await.contains("Bash"), "{when}");
    };
    check("at once").await;
    settle(&app).await;
    check("when all was read again for the new name").await;
    rebuild(&app).await;
    check("after a rebuild").await;
    for (mutation, more) in [("renameEntity", json!({ "name": "New" })), ("deleteEntity", json!({}))] {
        let mut input = more;
        input["id"] = paper["id"].clone();
        let answer = refused(&app, Some(&editor), mutation, input).await;
        assert_eq!(answer, json!([["NOT_FOUND", "id"]]), "{mutation} of what became a part of another");
    }

    // What was deleted is brought back by its name.
    let input = json!({ "name": "Bash", "kind": "TECHNOLOGY" });
    done(&app, &editor, "addEntity", ENTITY, input).await;
    settle(&app).await;
    assert!(slugs(&entity(&app, None, "Bash").await).contains("a-script-is-a-letter"));
}

#[tokio::test]
async fn what_is_added_is_found_in_posts_and_only_then_public() {
    let app = resting().await;
    let editor = app.tokens.editor.clone();
    let input = json!({ "name": "Bus line 24", "kind": "PLACE", "aliases": ["24 路", "the 24 bus", "bus line 24"] });
    let added = done(&app, &editor, "addEntity", ENTITY, input).await["entity"].take();
    assert_eq!((&added["name"], &added["postCount"]), (&json!("Bus line 24"), &json!(0)));
    assert_eq!(added["aliases"], json!(["24 路", "the 24 bus"]), "each name once");
    assert_eq!(entity(&app, None, "Bus line 24").await, Value::Null, "nothing public tells of it yet");
    assert_ne!(entity(&app, Some(&editor), "24 路").await, Value::Null, "who writes sees it");
    settle(&app).await;
    let found = entity(&app, None, "24 路").await;
    assert!(slugs(&found).is_superset(&["24-lu-gongjiao", "yeli-de-shengyin"].map(String::from).into()), "{found}");
    assert_eq!(found["kind"], "PLACE");
}

#[tokio::test]
async fn nobody_edits_the_graph_who_does_not_write() {
    let app = resting().await;
    let id = id_of(&app, "Rust").await;
    let deeds = [
        ("addEntity", "entity { id }", json!({ "name": "New", "kind": "CONCEPT" })),
        ("renameEntity", "entity { id }", json!({ "id": id, "name": "New" })),
        ("mergeEntities", "entity { id }", json!({ "id": id, "mergedIds": [id] })),
        ("deleteEntity", "deletedId", json!({ "id": id })),
    ];
    let before = entity(&app, None, "Rust").await;
    for (mutation, selection, input) in deeds {
        for (token, expected) in [(None, "UNAUTHENTICATED"), (Some(app.tokens.reader.as_str()), "FORBIDDEN")] {
            let answer = attempt(&app, token, mutation, selection, input.clone()).await;
            assert_eq!(code(&answer), expected, "{mutation}");
        }
    }
    let rebuild = "mutation { rebuildGraph { job { id } userErrors { message } } }";
    for (token, expected) in [
        (None, "UNAUTHENTICATED"),
        (Some(app.tokens.reader.as_str()), "FORBIDDEN"),
        (Some(app.tokens.editor.as_str()), "FORBIDDEN"),
    ] {
        assert_eq!(code(&app.ask_as(token, rebuild, json!({})).await), expected);
    }
    assert_eq!(entity(&app, None, "Rust").await, before);
    let tag = app.own("{ tag(slug: \"ink\") { id } }", json!({})).await["tag"]["id"].clone();
    let answer = attempt(&app, Some(&app.tokens.editor), "deleteEntity", "deletedId", json!({ "id": tag })).await;
    assert_eq!(code(&answer), "BAD_USER_INPUT", "an id of something else");
}

/// Answers that are kept for everybody are made anew when the graph has changed.
#[tokio::test]
async fn an_answer_that_was_kept_shows_the_edit() {
    let app = resting().await;
    let get = async || {
        let query = "%7Bentity(name:%22Rust%22)%7Bname%7D%7D";
        let asked = app.http.get(format!("{}/graphql?query={query}", app.base)).send().await;
        asked.expect("an answer").json::<Value>().await.expect("JSON")["data"]["entity"]["name"].take()
    };
    assert_eq!(get().await, json!("Rust"));
    let input = json!({ "id": id_of(&app, "Rust").await, "name": "The Rust language" });
    done(&app, &app.tokens.owner, "renameEntity", ENTITY, input).await;
    assert_eq!(get().await, json!("The Rust language"));
}
