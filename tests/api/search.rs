//! Searching: what is found, by what, and by whom; against models that stand in for real ones.

use serde_json::{Value, json};

use super::support::{TestApp, code, data};

mod indexing;
mod many;
mod related;

const SEARCH: &str = include_str!("queries/search.graphql");
const CREATE: &str =
    "mutation($input: CreatePostInput!) { createPost(input: $input) { post { id version } userErrors { message } } }";
const PUBLISH: &str = "mutation($id: ID!) { publishPost(input: { id: $id }) { post { slug } userErrors { message } } }";

/// A post of these fields, published.
async fn publish(app: &TestApp, input: Value) -> String {
    let made = app.own(CREATE, json!({ "input": input })).await;
    let id = made["createPost"]["post"]["id"].as_str().unwrap_or_else(|| panic!("no post: {made}")).to_owned();
    app.own(PUBLISH, json!({ "id": id })).await;
    id
}

/// The slugs that a search finds.
async fn found(app: &TestApp, query: &str, mode: &str) -> Vec<String> {
    slugs(&data(app.ask(SEARCH, json!({ "query": query, "mode": mode })).await))
}

fn slugs(data: &Value) -> Vec<String> {
    let nodes = data["search"]["nodes"].as_array().expect("hits");
    nodes.iter().map(|hit| hit["post"]["slug"].as_str().expect("a slug").to_owned()).collect()
}

/// Waits until a search finds, or does not find, a post: search learns of changes a moment later.
async fn until(app: &TestApp, query: &str, mode: &str, slug: &str, is_there: bool) {
    let waiting = async {
        while found(app, query, mode).await.iter().any(|found| found == slug) != is_there {
            tokio::task::yield_now().await;
        }
    };
    let done = tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await;
    done.unwrap_or_else(|_| panic!("{query:?} should {}find {slug}", if is_there { "" } else { "not " }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_found_by_its_words_and_only_that() {
    let app = TestApp::start().await;
    let markdown = "# Lamp\n\nSoot of the *zephyrine* lamp.\n\n## Oil\n\nRapeseed, pressed cold. 松烟墨很细。\n";
    let made = app
        .own(
            CREATE,
            json!({ "input": { "title": "On lamps", "slug": "lamps", "markdown": markdown, "tags": ["Quillwork"] } }),
        )
        .await;
    let id = made["createPost"]["post"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(found(&app, "zephyrine", "WORDS").await, Vec::<String>::new(), "a draft is not found");
    app.own(PUBLISH, json!({ "id": id })).await;
    until(&app, "zephyrine", "WORDS", "lamps", true).await;
    for query in [
        "Zephyrine",
        "zephyri",
        "zephyrines lamp",
        "quillwork",
        "松烟",
        "松煙",
        "烟",
        "细",
        "\"soot of the\"",
        "rapeseeds -paper",
    ] {
        assert!(found(&app, query, "WORDS").await.contains(&"lamps".to_owned()), "{query}");
    }
    for query in ["\"of soot\"", "zephyrine -rapeseed", "松墨", "zephyrine -\"pressed cold\""] {
        assert!(!found(&app, query, "WORDS").await.contains(&"lamps".to_owned()), "{query}");
    }
    let hit =
        data(app.ask(SEARCH, json!({ "query": "rapeseed", "mode": "WORDS" })).await)["search"]["nodes"][0].clone();
    assert_eq!(hit["headingPath"], json!(["Lamp", "Oil"]));
    assert_eq!(hit["anchor"], "oil");
    assert_eq!(hit["snippet"]["ranges"], json!([{ "start": 0, "end": 8 }]));
    assert_eq!(hit["reasons"], json!(["WORDS"]));

    const UPDATE: &str =
        "mutation($input: UpdatePostInput!) { updatePost(input: $input) { post { version } userErrors { message } } }";
    let edit = json!({ "input": { "id": id, "basedOnVersion": 2, "markdown": "# Lamp\n\nNow of the cressetine.\n" } });
    assert_eq!(app.own(UPDATE, edit).await["updatePost"]["userErrors"], json!([]));
    until(&app, "cressetine", "WORDS", "lamps", true).await;
    assert!(found(&app, "zephyrine ", "WORDS").await.is_empty(), "what was taken out is not found any more");

    const UNPUBLISH: &str =
        "mutation($id: ID!) { unpublishPost(input: { id: $id }) { post { status } userErrors { message } } }";
    app.own(UNPUBLISH, json!({ "id": id })).await;
    for mode in ["WORDS", "MEANING", "HYBRID"] {
        let all = found(&app, "cressetine", mode).await;
        assert!(!all.contains(&"lamps".to_owned()), "it is gone at once ({mode}): {all:?}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_word_is_read_as_the_one_that_is_like_it() {
    let app = TestApp::start().await;
    publish(&app, json!({ "title": "Marbling", "slug": "marbling", "markdown": "The carragheenan bath." })).await;
    until(&app, "carragheenan", "WORDS", "marbling", true).await;
    until(&app, "caragheenan ", "WORDS", "marbling", true).await;
    let answer = data(app.ask(SEARCH, json!({ "query": "caragheenan bath", "mode": "WORDS" })).await);
    assert_eq!(answer["search"]["corrections"], json!([{ "typed": "caragheenan", "meant": "carragheenan" }]));
    let range = answer["search"]["nodes"][0]["snippet"]["ranges"][0].clone();
    assert_eq!(range, json!({ "start": 4, "end": 16 }), "what is meant is marked");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn meaning_finds_what_words_do_not_and_pages_go_on() {
    let app = TestApp::start().await;
    for n in 0..5 {
        let markdown = format!("vellum quire gathering folio {n}");
        publish(&app, json!({ "title": format!("Codex {n}"), "slug": format!("codex-{n}"), "markdown": markdown }))
            .await;
    }
    for n in 0..5 {
        until(&app, "vellum quire gathering folio", "MEANING", &format!("codex-{n}"), true).await;
    }
    let first = data(app.ask(SEARCH, json!({ "query": "vellum quire", "first": 3 })).await);
    assert_eq!(first["search"]["degraded"], false);
    assert_eq!(first["search"]["pageInfo"]["hasNextPage"], true);
    let cursor = first["search"]["pageInfo"]["endCursor"].clone();
    let second = data(app.ask(SEARCH, json!({ "query": "vellum quire", "first": 3, "after": cursor })).await);
    let all = [slugs(&first), slugs(&second)].concat();
    let mut each = all.clone();
    each.sort();
    each.dedup();
    assert_eq!(each.len(), all.len(), "no post comes twice: {all:?}");
    assert!((0..5).all(|n| all.contains(&format!("codex-{n}"))), "{all:?}");
    const LAST: &str = "query($q: String!, $before: String) { search(query: $q, last: 2, before: $before) { nodes { post { slug } } pageInfo { hasPreviousPage } } }";
    let before = second["search"]["pageInfo"]["endCursor"].clone();
    let last = data(app.ask(LAST, json!({ "q": "vellum quire", "before": before })).await);
    let shown = slugs(&second);
    let expected: Vec<_> = all[..all.len() - 1].iter().rev().take(2).rev().cloned().collect();
    assert_eq!(slugs(&last), expected, "the two before {:?}", shown.last());
    assert_eq!(last["search"]["pageInfo"]["hasPreviousPage"], true);
    let filter = json!({ "query": "vellum quire", "filter": { "language": "zh" } });
    assert!(!slugs(&data(app.ask(SEARCH, filter).await)).iter().any(|slug| slug.starts_with("codex")));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_words_answer_and_say_so() {
    let app = TestApp::start_on(inkstone::inference::Engine::default(), &[]).await;
    let answer = data(app.ask(SEARCH, json!({ "query": "ink" })).await);
    assert_eq!(answer["search"]["degraded"], true);
    assert!(!slugs(&answer).is_empty());
    assert_eq!(code(&app.ask(SEARCH, json!({ "query": "ink", "mode": "MEANING" })).await), "NOT_FOUND");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_query_is_refused() {
    let app = TestApp::start().await;
    for (query, says) in
        [("", "is empty"), ("  ", "is empty"), (&*"墨".repeat(10_000), "10000 characters"), ("a\0b", "NUL")]
    {
        let answer = app.ask(SEARCH, json!({ "query": query })).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{query:?}");
        let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains(says), "{message}");
    }
    for (name, value) in [("first", json!(0)), ("first", json!(101)), ("after", json!("nonsense"))] {
        let mut variables = json!({ "query": "ink" });
        variables[name] = value;
        assert_eq!(code(&app.ask(SEARCH, variables).await), "BAD_USER_INPUT", "{name}");
    }
    // Whatever signs it is made of, it is data.
    for query in ["'; DROP TABLE posts; --", "a & b | !c:*", "\\ ' \" <->", "((((", "- -- \"\" ' ", "😀", "%_*?"] {
        data(app.ask(SEARCH, json!({ "query": query, "mode": "WORDS" })).await);
        data(app.ask("query($q: String!) { suggest(prefix: $q) { text } }", json!({ "q": query })).await);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_is_completed() {
    let app = TestApp::start().await;
    let suggest = "query($q: String!) { suggest(prefix: $q) { kind text tag { slug } post { slug } } }";
    let answer = data(app.ask(suggest, json!({ "q": "calli" })).await);
    let all = answer["suggest"].as_array().expect("a list").clone();
    assert!(all.iter().any(|it| it["kind"] == "TAG" && it["tag"]["slug"] == "calligraphy"), "{all:?}");
    let word = data(app.ask(suggest, json!({ "q": "wet inksto" })).await);
    assert!(
        word["suggest"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|it| it["text"] == "wet inkstone" || it["text"] == "wet inkstones"),
        "{word}"
    );
    let title = data(app.ask(suggest, json!({ "q": "一个" })).await);
    assert!(title["suggest"].as_array().expect("a list").iter().any(|it| it["kind"] == "POST"), "{title}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_searches_too() {
    let app = TestApp::start().await;
    let get = async |path: &str| app.http.get(format!("{}{path}", app.base)).send().await.expect("an answer");
    let found: Value = get("/api/v1/search?q=grinding+ink&first=3&mode=words").await.json().await.expect("JSON");
    assert_eq!(found["items"][0]["post"]["slug"], "grinding-ink", "{found:#}");
    assert!(found["items"][0]["snippet"]["ranges"].as_array().is_some_and(|ranges| !ranges.is_empty()));
    let suggested: Value = get("/api/v1/suggest?q=calli").await.json().await.expect("JSON");
    assert_eq!(suggested[0]["tag"]["slug"], "calligraphy");
    let related: Value = get("/api/v1/posts/grinding-ink/related?first=2").await.json().await.expect("JSON");
    assert_eq!(related.as_array().map(Vec::len), Some(2));
    for (path, status) in [("/api/v1/search", 400), ("/api/v1/search?q=", 400), ("/api/v1/posts/nothing/related", 404)]
    {
        assert_eq!(get(path).await.status(), status, "{path}");
    }
    app.stop().await;
}

/// Each language has statements of its own, which are kept: of the site's languages only.
#[tokio::test(flavor = "multi_thread")]
async fn a_language_that_the_site_does_not_have_is_looked_for_nowhere() {
    let app = TestApp::start().await;
    let kept = "(SELECT count(*)::text FROM pg_prepared_statements)";
    let in_language = async |language: &str, mode: &str| {
        let variables = json!({ "query": "grinding ink", "mode": mode, "filter": { "language": language } });
        app.ask(SEARCH, variables).await
    };
    for mode in ["HYBRID", "MEANING", "WORDS"] {
        for language in ["copy-from-stdin", "xx", "1aaaa"] {
            assert_eq!(data(in_language(language, mode).await)["search"]["nodes"], json!([]), "{language} {mode}");
        }
    }
    if !crate::support::on_real_servers() {
        let before: u32 = crate::support::stored_text(&app.services, kept).await.parse().expect("a number");
        for n in 0..20 {
            in_language(&format!("x{n}"), "MEANING").await;
        }
        let after: u32 = crate::support::stored_text(&app.services, kept).await.parse().expect("a number");
        assert!(after < before + 5, "{before}, then {after} statements");
    }
    for filter in
        [json!({ "language": "x".repeat(401) }), json!({ "tag": "a\u{0}" }), json!({ "series": "x".repeat(401) })]
    {
        let answer = app.ask(SEARCH, json!({ "query": "ink", "filter": filter })).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{filter}: {answer:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_of_which_no_stem_is_left_is_looked_for_as_it_is() {
    let app = TestApp::start().await;
    let greek =
        json!({ "title": "Μελάνι", "slug": "melani", "markdown": "Όταν το μελάνι στεγνώσει.", "language": "el" });
    publish(&app, greek).await;
    until(&app, "μελάνι", "WORDS", "melani", true).await;
    for query in ["όταν ", "ηκα", "ισω ink", "-όταν ink"] {
        let answer = app.ask(SEARCH, json!({ "query": query, "mode": "WORDS" })).await;
        assert_eq!(answer.get("errors"), None, "{query}: {answer:#}");
    }
    assert!(found(&app, "όταν ", "WORDS").await.contains(&"melani".to_owned()));
}
