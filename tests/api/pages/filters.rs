//! Filters of `posts`, against the same choice made here.

use serde_json::{Value, json};

use crate::support::{TestApp, data};

/// Every post there is, with what filters ask about.
async fn everything(app: &TestApp) -> Vec<Value> {
    let query = "{ posts(first: 100) { totalCount nodes {
        slug kind status language publishedAt author { handle } tags { slug } series { slug } } } }";
    let mut found = app.own(query, json!({})).await;
    let Value::Array(posts) = found["posts"]["nodes"].take() else { panic!("expected a list of posts") };
    assert_eq!(found["posts"]["totalCount"], posts.len(), "all posts should be on one page");
    posts
}

/// Asks with the filter, and compares with the posts for which `wanted` is true.
async fn check(
    app: &TestApp,
    token: Option<&str>,
    all: &[Value],
    filter: Value,
    wanted: impl Fn(&Value) -> bool,
) -> usize {
    let query = "query($filter: PostFilterInput) { posts(filter: $filter, first: 100) { totalCount nodes { slug } } }";
    let found = data(app.ask_as(token, query, json!({ "filter": filter })).await);
    let slugs: Vec<&Value> = found["posts"]["nodes"].as_array().expect("nodes").iter().map(|n| &n["slug"]).collect();
    let visible = |post: &Value| token.is_some() || post["status"] == "PUBLISHED";
    let expected: Vec<&Value> = all.iter().filter(|p| visible(p) && wanted(p)).map(|p| &p["slug"]).collect();
    assert_eq!(slugs, expected, "the posts with {filter}");
    assert_eq!(found["posts"]["totalCount"], expected.len(), "totalCount with {filter}");
    expected.len()
}

fn has_tag(post: &Value, slug: &str) -> bool {
    post["tags"].as_array().expect("tags").iter().any(|tag| tag["slug"] == slug)
}

#[tokio::test]
async fn each_filter_chooses_what_it_says() {
    let app = TestApp::start().await;
    let all = everything(&app).await;
    for token in [None, Some(app.tokens.owner.as_str())] {
        for kind in ["ARTICLE", "NOTE", "PAGE", "PROJECT"] {
            let found = check(&app, token, &all, json!({ "kind": [kind] }), |p| p["kind"] == kind).await;
            assert!(found > 1, "the demo site should have several of kind {kind}");
        }
        let two = |p: &Value| p["kind"] == "NOTE" || p["kind"] == "PAGE";
        check(&app, token, &all, json!({ "kind": ["NOTE", "PAGE"] }), two).await;
        for status in ["DRAFT", "SCHEDULED", "PUBLISHED", "ARCHIVED"] {
            check(&app, token, &all, json!({ "status": [status] }), |p| p["status"] == status).await;
        }
        for tag in ["web", "calligraphy", "no-such-tag"] {
            check(&app, token, &all, json!({ "tag": tag }), |p| has_tag(p, tag)).await;
        }
        for author in ["mo", "olga", "nobody"] {
            check(&app, token, &all, json!({ "author": author }), |p| p["author"]["handle"] == author).await;
        }
        for language in ["en", "zh", "tlh"] {
            check(&app, token, &all, json!({ "language": language }), |p| p["language"] == language).await;
        }
        for series in ["a-small-site", "wenfang-sanji", "no-such-series"] {
            check(&app, token, &all, json!({ "series": series }), |p| p["series"]["slug"] == series).await;
        }
        let all_of_them = json!({ "kind": ["ARTICLE"], "tag": "ink", "language": "zh", "author": "mo" });
        let fits = |p: &Value| p["kind"] == "ARTICLE" && has_tag(p, "ink") && p["language"] == "zh";
        let found = check(&app, token, &all, all_of_them, fits).await;
        assert!(found > 0, "some post should fit all filters at once");
        check(&app, token, &all, json!({}), |_| true).await;
        check(&app, token, &all, Value::Null, |_| true).await;
    }
}

#[tokio::test]
async fn a_span_of_time_holds_its_beginning_and_not_its_end() {
    let app = TestApp::start().await;
    let all = everything(&app).await;
    let mut dates: Vec<&str> =
        all.iter().filter(|p| p["status"] == "PUBLISHED").map(|p| p["publishedAt"].as_str().expect("a date")).collect();
    dates.sort_unstable();
    let (from, to) = (dates[5], dates[20]);
    assert!(from < to, "the dates should differ");
    let at = |p: &Value| p["publishedAt"].as_str().unwrap_or_default().to_owned();
    let span = json!({ "from": from, "to": to });
    let between = |p: &Value| at(p).as_str() >= from && at(p).as_str() < to;
    check(&app, None, &all, json!({ "publishedBetween": span }), between).await;
    check(&app, None, &all, json!({ "publishedBetween": { "from": from } }), |p| at(p).as_str() >= from).await;
    check(&app, None, &all, json!({ "publishedBetween": { "to": to } }), |p| at(p).as_str() < to).await;
    check(&app, None, &all, json!({ "publishedBetween": {} }), |_| true).await;
    check(&app, None, &all, json!({ "publishedBetween": { "from": to, "to": from } }), |_| false).await;
    check(&app, None, &all, json!({ "publishedBetween": { "from": from, "to": from } }), |_| false).await;
}

#[tokio::test]
async fn a_filter_goes_on_over_pages() {
    let app = TestApp::start().await;
    let query = r#"query($after: String) {
        posts(filter: { tag: "calligraphy" }, first: 2, after: $after) {
            totalCount pageInfo { hasNextPage endCursor } nodes { slug tags { slug } } } }"#;
    let (mut slugs, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut found = data(app.ask(query, json!({ "after": after })).await);
        let page = found["posts"].take();
        slugs.extend(page["nodes"].as_array().expect("nodes").iter().map(|node| {
            assert!(has_tag(node, "calligraphy"), "{} is not about calligraphy", node["slug"]);
            node["slug"].clone()
        }));
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            assert_eq!(page["totalCount"], slugs.len(), "totalCount should be what the walk finds");
            break;
        }
    }
    assert!(slugs.len() > 4, "the demo site should have more than two pages about calligraphy");
}

#[tokio::test]
async fn a_date_that_no_post_can_have_is_refused_with_what_is_allowed() {
    let app = TestApp::start().await;
    for name in ["from", "to"] {
        for at in ["-4713-01-01T00:00:00Z", "-262000-01-01T00:00:00Z", "0999-12-31T00:00:00Z", "+10000-01-01T00:00:00Z"]
        {
            let query = format!("{{ posts(filter: {{ publishedBetween: {{ {name}: {at:?} }} }}) {{ totalCount }} }}");
            let answer = app.ask(&query, json!({})).await;
            assert_eq!(crate::support::code(&answer), "BAD_USER_INPUT", "{name} {at}: {answer:#}");
            let message = answer["errors"][0]["message"].as_str().expect("a message");
            let says = format!("`publishedBetween.{name}`");
            assert!(message.contains(&says) && message.contains("in the years 1000 to 9999"), "{message}");
        }
        let edge = format!(
            "{{ posts(filter: {{ publishedBetween: {{ {name}: \"1000-01-01T00:00:00Z\" }} }}) {{ totalCount }} }}"
        );
        data(app.ask(&edge, json!({})).await);
    }
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_is_refused() {
    let app = TestApp::start().await;
    for filter in
        ["{ kind: [POEM] }", "{ status: [GONE] }", r#"{ publishedBetween: { from: "yesterday" } }"#, "{ color: 1 }"]
    {
        let answer = app.ask(&format!("{{ posts(filter: {filter}) {{ nodes {{ id }} }} }}"), json!({})).await;
        assert_eq!(crate::support::code(&answer), "BAD_USER_INPUT", "{filter} should be refused: {answer:#}");
    }
}
