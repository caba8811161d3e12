//! The knowledge graph: what comes out of posts, and what people say about it.

use std::collections::BTreeSet;
use std::time::Instant;

use inkstone::jobs::run_due;
use serde_json::{Value, json};

use crate::deeds::{POST, attempt, done, refused, text};
use crate::support::live::PATIENCE;
use crate::support::{TestApp, code, data};

mod editing;
mod model;
mod sight;

/// A server that does no jobs by itself: the test says when.
async fn resting() -> TestApp {
    TestApp::start_with(&[("job_workers", "0")]).await
}

/// Does all that is to be done.
async fn settle(app: &TestApp) {
    Box::pin(run_due(&app.services)).await.expect("the jobs are done");
}

/// Publishes a post in English as the owner; its id.
async fn published(app: &TestApp, title: &str, markdown: &str, more: Value) -> String {
    let mut input = json!({ "title": title, "markdown": markdown, "language": "en" });
    for (name, value) in more.as_object().expect("fields") {
        input[name] = value.clone();
    }
    let id = text(&done(app, &app.tokens.owner, "createPost", POST, input).await["post"]["id"]);
    done(app, &app.tokens.owner, "publishPost", POST, json!({ "id": id })).await;
    id
}

/// An entity by one of its names, as somebody sees it.
async fn entity(app: &TestApp, token: Option<&str>, name: &str) -> Value {
    let query = "query($name: String!) { entity(name: $name) {
        id name kind aliases postCount tag { slug } posts(first: 50) { nodes { slug } } } }";
    data(app.ask_as(token, query, json!({ "name": name })).await)["entity"].take()
}

async fn id_of(app: &TestApp, name: &str) -> Value {
    let mut found = entity(app, Some(&app.tokens.owner), name).await;
    assert_ne!(found, Value::Null, "there should be an entity {name:?}");
    found["id"].take()
}

/// Names of what a post names, without who wrote it: beside the demo site's author that says something.
async fn names_of(app: &TestApp, slug: &str) -> BTreeSet<String> {
    let query = "query($slug: String!) { post(slug: $slug) { entities(first: 24) { entity { name } } } }";
    let found = data(app.ask(query, json!({ "slug": slug })).await);
    let all = found["post"]["entities"].as_array().unwrap_or_else(|| panic!("the post {slug}: {found}"));
    all.iter().map(|one| text(&one["entity"]["name"])).filter(|name| name != "OLGA").collect()
}

fn slugs(entity: &Value) -> BTreeSet<String> {
    entity["posts"]["nodes"].as_array().expect("posts").iter().map(|post| text(&post["slug"])).collect()
}

#[tokio::test]
async fn the_demo_site_names_its_projects_people_and_technologies() {
    let app = TestApp::start().await;
    let rust = entity(&app, None, "RUST").await;
    assert_eq!((&rust["name"], &rust["kind"]), (&json!("Rust"), &json!("TECHNOLOGY")));
    assert_eq!(rust["tag"]["slug"], "rust", "the tag is the technology of its name");
    assert!(slugs(&rust).is_superset(&["kettle", "two-clocks"].map(String::from).into()), "{rust}");
    let postgres = entity(&app, None, "postgres").await;
    assert_eq!((&postgres["name"], &postgres["tag"]["slug"]), (&json!("PostgreSQL"), &json!("postgres")));
    let tea = entity(&app, None, "茶").await;
    assert_eq!((&tea["name"], &tea["kind"]), (&json!("Tea · 茶"), &json!("TAG")));
    assert_eq!(tea["aliases"], json!(["Tea", "茶"]), "in both languages");
    let kettle = entity(&app, None, "kettle").await;
    assert_eq!(kettle["kind"], "PROJECT");
    let naming = ["kettle", "tea-in-sqlite", "cha-ye-shujuku", "two-clocks", "copying-as-reading"];
    assert!(slugs(&kettle).is_superset(&naming.map(String::from).into()), "who links to it: {kettle}");
    let series = entity(&app, None, "文房三记").await;
    assert_eq!((&series["kind"], &series["name"]), (&json!("PROJECT"), &json!("文房三记")));
    assert!(slugs(&series).contains("about"), "also who only names it: {series}");
    let shuyi = entity(&app, None, "Shu Yi").await;
    assert_eq!((&shuyi["kind"], &shuyi["name"]), (&json!("PERSON"), &json!("舒怡 Shu Yi")));
    assert!(slugs(&shuyi).is_superset(&["about", "jiaodui-jiaoben"].map(String::from).into()), "{shuyi}");
    for nonsense in ["the", "ORDER BY", "SELECT", "Evening 17", "id", "墨水", "The Stone"] {
        assert_eq!(entity(&app, None, nonsense).await, Value::Null, "{nonsense:?} is nothing");
    }
}

/// All of it, to be read: whoever changes a rule sees what becomes of it.
#[tokio::test]
async fn what_comes_out_of_the_demo_site() {
    let app = TestApp::start().await;
    let all = app.ask("{ entities(first: 100) { totalCount nodes { name kind postCount } } }", json!({})).await;
    let all = data(all)["entities"].take();
    let nodes = all["nodes"].as_array().expect("nodes");
    assert_eq!(all["totalCount"], json!(nodes.len()), "it is not many");
    let lines: Vec<String> = nodes
        .iter()
        .map(|one| format!("{} {} {}", one["kind"].as_str().unwrap_or("?"), one["postCount"], one["name"]))
        .collect();
    insta::assert_snapshot!("demo_entities", lines.join("\n"));
}

#[tokio::test]
async fn what_is_near_comes_first_and_the_graph_is_bounded() {
    let app = TestApp::start().await;
    let query = "query($name: String!, $first: Int!) { entity(name: $name) { id
        related(first: $first) { entity { id name } weight sharedPosts } } }";
    let tea = data(app.ask(query, json!({ "name": "Tea", "first": 50 })).await)["entity"].take();
    let related = tea["related"].as_array().expect("a list");
    let names: Vec<&str> = related.iter().filter_map(|one| one["entity"]["name"].as_str()).collect();
    assert!(names[..6].contains(&"kettle") && names.contains(&"SQLite"), "{names:?}");
    assert!(!names.contains(&"Tea · 茶"), "not itself");
    let weights: Vec<f64> = related.iter().filter_map(|one| one["weight"].as_f64()).collect();
    assert!(weights.windows(2).all(|two| two[0] >= two[1]), "{weights:?}");
    assert!(weights.iter().all(|weight| (0.0..=1.0).contains(weight)), "{weights:?}");

    let query =
        "query($center: ID!, $depth: Int!, $first: Int!) { graph(center: $center, depth: $depth, first: $first) {
        nodes { id name } edges { from { id } to { id } weight sharedPosts } } }";
    let mut sizes = Vec::new();
    for (depth, first) in [(1, 5), (1, 100), (2, 100), (3, 100)] {
        let variables = json!({ "center": tea["id"], "depth": depth, "first": first });
        let (answer, statements) = app.respond(None, query, variables).await;
        let graph = data(answer)["graph"].take();
        let nodes = graph["nodes"].as_array().expect("nodes");
        let ids: BTreeSet<String> = nodes.iter().map(|node| text(&node["id"])).collect();
        assert_eq!(nodes[0]["id"], tea["id"], "the centre comes first");
        assert_eq!(ids.len(), nodes.len(), "each once");
        assert!(nodes.len() <= first && statements <= depth + 2, "{} nodes, {statements} statements", nodes.len());
        let edges = graph["edges"].as_array().expect("edges");
        assert!(!edges.is_empty() && edges.len() <= 4 * first);
        for edge in edges {
            let ends = [text(&edge["from"]["id"]), text(&edge["to"]["id"])];
            assert!(ends[0] != ends[1] && ends.iter().all(|end| ids.contains(end)), "{edge}");
        }
        sizes.push(nodes.len());
    }
    assert!(sizes[0] == 5 && sizes[1] > 5 && sizes[2] >= sizes[1], "{sizes:?}");
    for (depth, first) in [(0, 5), (4, 5), (1, 0), (1, 101)] {
        let variables = json!({ "center": tea["id"], "depth": depth, "first": first });
        assert_eq!(code(&app.ask(query, variables).await), "BAD_USER_INPUT", "depth {depth}, first {first}");
    }
}

#[tokio::test]
async fn entities_are_listed_by_name_kind_and_beginning() {
    let app = TestApp::start().await;
    let query = "query($kind: EntityKind, $prefix: String, $first: Int, $after: String, $last: Int) {
        entities(kind: $kind, prefix: $prefix, first: $first, after: $after, last: $last) {
            totalCount nodes { name } edges { cursor } pageInfo { hasNextPage endCursor } } }";
    let ask = async |variables: Value| data(app.ask(query, variables).await)["entities"].take();
    let projects = ask(json!({ "kind": "PROJECT" })).await;
    let names = projects["nodes"].to_string();
    assert!(names.contains("kettle") && names.contains("格子") && !names.contains("Rust"), "{names}");
    let found = ask(json!({ "prefix": "POSTG" })).await;
    assert_eq!(found["nodes"], json!([{ "name": "PostgreSQL" }]), "by any of its names");
    assert_eq!(ask(json!({ "prefix": "小工" })).await["nodes"], json!([{ "name": "Small tools · 小工具" }]));
    let all = ask(json!({ "first": 100 })).await;
    let first = ask(json!({ "first": 3 })).await;
    let second = ask(json!({ "first": 3, "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!(first["pageInfo"]["hasNextPage"], json!(true));
    assert_eq!(first["totalCount"], all["totalCount"]);
    let both = [first["nodes"].as_array().expect("nodes").clone(), second["nodes"].as_array().expect("nodes").clone()];
    assert_eq!(json!(both.concat()), json!(all["nodes"].as_array().expect("nodes")[..6]), "page by page");
    let last = ask(json!({ "last": 2 })).await;
    let all = all["nodes"].as_array().expect("nodes");
    assert_eq!(last["nodes"], json!(all[all.len() - 2..]));
    for wrong in [json!({ "first": 101 }), json!({ "prefix": "x".repeat(201) }), json!({ "after": "tags" })] {
        assert_eq!(code(&app.ask(query, wrong.clone()).await), "BAD_USER_INPUT", "{wrong}");
    }
}

#[tokio::test]
async fn an_entity_is_asked_for_by_name_or_id() {
    let app = TestApp::start().await;
    let id = id_of(&app, "Rust").await;
    let query = "query($name: String, $id: ID) { entity(name: $name, id: $id) { name } }";
    assert_eq!(data(app.ask(query, json!({ "id": id })).await), json!({ "entity": { "name": "Rust" } }));
    let node = app.ask("query($id: ID!) { node(id: $id) { id ... on Entity { name } } }", json!({ "id": id })).await;
    assert_eq!(data(node)["node"], json!({ "id": id, "name": "Rust" }));
    for nothing in ["", "--", "nobody has this name"] {
        assert_eq!(data(app.ask(query, json!({ "name": nothing })).await)["entity"], Value::Null, "{nothing:?}");
    }
    for wrong in
        [json!({}), json!({ "name": "Rust", "id": id }), json!({ "id": "x" }), json!({ "name": "x".repeat(201) })]
    {
        assert_eq!(code(&app.ask(query, wrong.clone()).await), "BAD_USER_INPUT", "{wrong}");
    }
}

#[tokio::test]
async fn what_posts_name_costs_the_same_for_two_and_for_twenty() {
    let app = resting().await;
    let query = "query($first: Int!) { posts(first: $first) { nodes { entities(first: 5) {
        weight source anchor entity { name aliases related(first: 3) { entity { name } } tag { slug } } } } } }";
    let mut costs = Vec::new();
    for first in [2, 20, 20] {
        let (answer, statements) = app.respond(None, query, json!({ "first": first })).await;
        data(answer);
        costs.push(statements);
    }
    assert!(costs[1] <= 6, "posts, entities, aliases, related, tags and who may see them: {costs:?}");
    assert!(costs[0] <= costs[1] && costs[2] <= costs[1], "{costs:?}");
    let plain = "{ posts(first: 19) { nodes { entities { entity { name postCount } } } } }";
    let (answer, statements) = app.respond(None, plain, json!({})).await;
    data(answer);
    assert_eq!(statements, 2, "a page of posts is one statement, and what they name another");
    let posts = "{ entities(first: 20) { nodes { posts(first: 2) { nodes { slug } } } } }";
    let (answer, statements) = app.respond(None, posts, json!({})).await;
    data(answer);
    assert_eq!(statements, 2, "entities, and the posts of all of them");
    for first in [0, 25] {
        let query = format!("{{ posts(first: 1) {{ nodes {{ entities(first: {first}) {{ weight }} }} }} }}");
        assert_eq!(code(&app.ask(&query, json!({})).await), "BAD_USER_INPUT");
    }
    let dear = "{ entities(first: 100) { nodes { related(first: 50) { entity { related(first: 50) { weight } } } } } }";
    let refused = app.ask(dear, json!({})).await;
    assert_eq!(code(&refused), "BAD_USER_INPUT", "it would cost too much");
}
