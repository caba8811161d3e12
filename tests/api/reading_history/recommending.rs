//! What is recommended, to whom, and why.

use inkstone::store::post_vectors;
use reqwest::Url;

use super::*;

const QUERY: &str = include_str!("../queries/recommendations.graphql");
const REACT: &str = "mutation($id: ID!) { react(input: { postId: $id, kind: LIKE }) { userErrors { message } } }";

async fn recommended(app: &TestApp, who: Option<&str>, variables: Value) -> Value {
    data(app.ask_as(who, QUERY, variables).await)["recommendations"].take()
}

/// Likes a post.
async fn like(app: &TestApp, who: &str, slug: &str) {
    let liked = data(app.ask_as(Some(who), REACT, json!({ "id": id_of(app, slug).await })).await);
    assert_eq!(liked["react"]["userErrors"], json!([]));
}

/// A post of the owner's, published.
async fn publish(app: &TestApp, slug: &str, tags: &[&str]) -> String {
    let input = json!({ "title": slug, "slug": slug, "markdown": "A few words.", "tags": tags, "language": "en" });
    let create = "mutation($input: CreatePostInput!) { createPost(input: $input) { post { id } } }";
    let made = app.own(create, json!({ "input": input })).await;
    let id = made["createPost"]["post"]["id"].as_str().expect("an id").to_owned();
    let publish = "mutation($id: ID!) { publishPost(input: { id: $id }) { post { id } } }";
    app.own(publish, json!({ "id": id })).await;
    id
}

/// The reasons for a post.
fn because<'a>(list: &'a Value, slug: &str) -> &'a Value {
    let nodes = list["nodes"].as_array().expect("a list");
    let node = nodes.iter().find(|node| node["post"]["slug"] == slug);
    &node.unwrap_or_else(|| panic!("{slug} should be recommended: {:?}", slugs(list)))["because"]
}

#[tokio::test]
async fn a_reader_is_told_what_is_near_and_why() {
    let app = start().await;
    let rita = app.tokens.reader.clone();
    for slug in ["ink-one", "ink-two", "ink-three", "ink-four"] {
        publish(&app, slug, &["Zorbic"]).await;
    }
    read(&app, Some(&rita), "ink-one", None).await;
    like(&app, &rita, "ink-two").await;
    let comment = "mutation($id: ID!) { addComment(input: { postId: $id, markdown: \"x\" }) { comment { id } } }";
    data(app.ask_as(Some(&rita), comment, json!({ "id": id_of(&app, "ink-four").await })).await);
    read(&app, Some(&rita), "grinding-ink", None).await;

    let list = recommended(&app, Some(&rita), json!({ "first": 100 })).await;
    let shown = slugs(&list);
    for known in ["ink-one", "ink-two", "ink-four", "grinding-ink", "yan-mo"] {
        assert!(!shown.iter().any(|slug| slug == known), "{known} is known, or its translation is: {shown:?}");
    }
    let near = because(&list, "ink-three").as_array().expect("reasons").clone();
    let told: Vec<_> = near.iter().map(|reason| (reason["kind"].as_str(), reason["post"]["slug"].as_str())).collect();
    assert!(told.contains(&(Some("COMMENTED"), Some("ink-four"))), "{told:?}");
    assert!(told.contains(&(Some("LIKED"), Some("ink-two"))), "{told:?}");
    for node in list["nodes"].as_array().expect("nodes") {
        assert_eq!(node["post"]["status"], "PUBLISHED");
        assert_ne!(node["post"]["kind"], "PAGE", "{node}");
        let near = |kind: &Value| ["READ", "LIKED", "COMMENTED"].contains(&kind.as_str().unwrap_or_default());
        for reason in node["because"].as_array().expect("reasons") {
            assert_eq!(near(&reason["kind"]), reason["post"].is_object(), "{reason}");
        }
        assert!(node["because"].as_array().is_some_and(|all| !all.is_empty()), "{node}");
    }
    let scores: Vec<_> = list["nodes"].as_array().expect("nodes").iter().map(|n| n["score"].as_f64()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");

    // A token's history is its own: nothing of Rita's is in it.
    let token = begin(&app).await;
    read(&app, None, "two-clocks", Some(&token)).await;
    let other = recommended(&app, None, json!({ "readingToken": token, "first": 100 })).await;
    for node in other["nodes"].as_array().expect("nodes") {
        for post in node["because"].as_array().expect("reasons").iter().map(|reason| &reason["post"]) {
            assert!(post.is_null() || post["slug"] == "two-clocks", "{node}");
        }
    }
    assert!(slugs(&other).contains(&"grinding-ink".to_owned()));
    assert!(!slugs(&other).contains(&"two-clocks".to_owned()));
}

#[tokio::test]
async fn a_page_takes_few_statements() {
    let app = start().await;
    let rita = app.tokens.reader.clone();
    for slug in ["grinding-ink", "two-clocks", "wet-stone", "the-24-bus"] {
        read(&app, Some(&rita), slug, None).await;
    }
    let token = begin(&app).await;
    read(&app, None, "grinding-ink", Some(&token)).await;
    // What counts the site's words in the background is not of the query, and does not come each time.
    for (who, variables) in
        [(Some(rita.as_str()), json!({})), (None, json!({ "readingToken": token })), (None, json!({}))]
    {
        let mut least = u32::MAX;
        for _ in 0..3 {
            let (answer, statements) = app.respond(who, QUERY, variables.clone()).await;
            assert!(!slugs(&data(answer)["recommendations"]).is_empty());
            least = least.min(statements);
        }
        assert!(least <= 4, "{least} statements");
    }
}

#[tokio::test]
async fn who_is_not_known_gets_what_is_popular_and_new() {
    let app = start().await;
    let mut conn = app.services.db.conn().await.expect("a connection");
    for table in ["reactions", "comments"] {
        // The demo site is as if it had been written today.
        diesel::sql_query(format!("DELETE FROM {table}")).execute(&mut *conn).await.expect("nobody said anything");
    }
    drop(conn);
    let new = publish(&app, "brand-new", &[]).await;
    for who in [&app.tokens.owner, &app.tokens.editor, &app.tokens.reader] {
        for slug in ["wet-stone", "yan-tai"] {
            like(&app, who, slug).await;
        }
    }
    read(&app, None, "wet-stone", None).await;
    let list = recommended(&app, None, json!({ "first": 100 })).await;
    let shown = slugs(&list);
    assert_eq!(shown[0], "wet-stone", "what was liked and read most this week: {shown:?}");
    assert_eq!(because(&list, "wet-stone"), &json!([{ "kind": "POPULAR", "post": null }]));
    assert_eq!(because(&list, "brand-new"), &json!([{ "kind": "NEW", "post": null }]));
    let in_chinese = recommended(&app, None, json!({ "language": "zh", "first": 3 })).await;
    assert_eq!(slugs(&in_chinese)[0], "yan-tai", "the language that was asked for comes first");
    let unique: std::collections::HashSet<_> = shown.iter().collect();
    assert_eq!(unique.len(), shown.len());
    assert!(!(unique.contains(&"grinding-ink".to_owned()) && unique.contains(&"yan-mo".to_owned())), "one piece once");

    let popular = "query($language: String) { popular(first: 5, language: $language) { nodes { post { slug } because { kind } } } }";
    let found = data(app.ask(popular, json!({})).await)["popular"].take();
    assert_eq!(slugs(&found)[0], "wet-stone");
    assert!(!slugs(&found).contains(&"brand-new".to_owned()), "nobody read it yet");
    assert_eq!(code(&app.ask(popular, json!({ "language": "?" })).await), "BAD_USER_INPUT");

    // What is not published is not recommended, however popular it was.
    let unpublish = "mutation($id: ID!) { unpublishPost(input: { id: $id }) { post { id } } }";
    app.own(unpublish, json!({ "id": id_of(&app, "wet-stone").await })).await;
    app.own(unpublish, json!({ "id": new })).await;
    for who in [None, Some(app.tokens.reader.as_str()), Some(app.tokens.editor.as_str())] {
        let shown = slugs(&recommended(&app, who, json!({ "first": 100 })).await);
        assert!(!shown.iter().any(|slug| slug == "wet-stone" || slug == "brand-new"), "{shown:?}");
    }
    assert!(!slugs(&data(app.ask(popular, json!({})).await)["popular"]).contains(&"wet-stone".to_owned()));
}

#[tokio::test]
async fn nobody_is_told_to_read_what_they_wrote() {
    let app = start().await;
    publish(&app, "by-olga", &[]).await;
    let of_others = recommended(&app, Some(&app.tokens.reader), json!({ "first": 100 })).await;
    assert!(slugs(&of_others).contains(&"by-olga".to_owned()));
    let own = recommended(&app, Some(&app.tokens.owner), json!({ "first": 100 })).await;
    for node in own["nodes"].as_array().expect("nodes") {
        assert_ne!(node["post"]["author"]["handle"], "olga");
    }
    assert!(!slugs(&own).is_empty());
}

#[tokio::test]
async fn without_any_model_tags_and_numbers_do() {
    let app = TestApp::start_on(inkstone::inference::Engine::default(), &[("job_workers", "0")]).await;
    let mut conn = app.services.db.conn().await.expect("a connection");
    let all = diesel::sql_query("DELETE FROM post_vectors");
    all.execute(&mut *conn).await.expect("the vectors are gone");
    assert_eq!(post_vectors::best_model(&mut conn).await.expect("it is asked for"), None);
    drop(conn);
    let rita = app.tokens.reader.clone();
    publish(&app, "tagged-one", &["Zorbic"]).await;
    publish(&app, "tagged-two", &["Zorbic"]).await;
    read(&app, Some(&rita), "tagged-one", None).await;
    let list = recommended(&app, Some(&rita), json!({})).await;
    assert_eq!(slugs(&list)[0], "tagged-two");
    assert_eq!(because(&list, "tagged-two"), &json!([{ "kind": "READ", "post": { "slug": "tagged-one" } }]));
    assert!(slugs(&list).len() > 5, "what is new fills the list");
}

#[tokio::test]
async fn pages_go_on_and_what_is_no_page_is_refused() {
    let app = start().await;
    let token = begin(&app).await;
    read(&app, None, "grinding-ink", Some(&token)).await;
    let whole = recommended(&app, None, json!({ "readingToken": token, "first": 100 })).await;
    let first = recommended(&app, None, json!({ "readingToken": token, "first": 3 })).await;
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let next = json!({ "readingToken": token, "first": 3, "after": first["pageInfo"]["endCursor"] });
    let next = recommended(&app, None, next).await;
    assert_eq!([slugs(&first), slugs(&next)].concat(), slugs(&whole)[..6]);
    let last = json!({ "readingToken": token, "last": 2, "before": next["pageInfo"]["endCursor"] });
    let last = recommended(&app, None, last).await;
    assert_eq!(slugs(&last), slugs(&whole)[3..5]);
    assert_eq!(last["pageInfo"]["hasPreviousPage"], true);
    for (name, value) in [
        ("first", json!(0)),
        ("first", json!(101)),
        ("after", json!("nonsense")),
        ("language", json!("english!")),
        ("language", json!("x".repeat(10_000))),
        ("readingToken", json!("")),
        ("readingToken", json!(app.tokens.reader)),
        ("readingToken", json!("x".repeat(10_000))),
    ] {
        let mut variables = json!({});
        variables[name] = value;
        assert_eq!(code(&app.ask(QUERY, variables).await), "BAD_USER_INPUT", "{name}");
    }
    let search = data(app.ask("{ search(query: \"ink\", first: 1) { pageInfo { endCursor } } }", json!({})).await);
    let cursor = json!({ "after": search["search"]["pageInfo"]["endCursor"] });
    assert_eq!(code(&app.ask(QUERY, cursor).await), "BAD_USER_INPUT", "a cursor of another list");
}

#[tokio::test]
async fn what_came_of_a_token_is_kept_in_no_cache() {
    let app = start().await;
    let token = begin(&app).await;
    read(&app, None, "grinding-ink", Some(&token)).await;
    let get = async |query: &str| {
        let address = Url::parse_with_params(&format!("{}/graphql", app.base), [("query", query)]).expect("an address");
        let answer = app.http.get(address).send().await.expect("the server answers");
        answer.headers()["cache-control"].to_str().expect("text").to_owned()
    };
    for field in ["recommendations", "readingHistory"] {
        let query = format!("{{ {field}(readingToken: \"{token}\") {{ nodes {{ post {{ slug }} }} }} }}");
        assert_eq!(get(&query).await, "private, no-store", "{field}");
    }
    assert!(get("{ popular { nodes { post { slug } } } }").await.starts_with("public"));
    assert!(get("{ recommendations { nodes { post { slug } } } }").await.starts_with("public"));
}
