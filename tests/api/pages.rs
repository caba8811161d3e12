//! Walking through lists, forwards and backwards.

use serde_json::{Value, json};

use crate::support::{TestApp, code, data};

mod filters;

/// A connection somewhere in the schema.
struct List {
    name: &'static str,
    /// What leads there, such as `tag(slug: "web") { `; empty for a list of the root.
    open: String,
    field: &'static str,
    /// Further arguments of the field, with a comma behind.
    args: &'static str,
    /// False where `totalCount` counts more than the rows of the list.
    counts_its_rows: bool,
}

impl List {
    fn root(name: &'static str, field: &'static str, args: &'static str) -> Self {
        Self { name, open: String::new(), field, args, counts_its_rows: true }
    }

    fn under(name: &'static str, open: String, field: &'static str, args: &'static str) -> Self {
        Self { name, open, field, args, counts_its_rows: true }
    }

    fn query(&self) -> String {
        let Self { open, field, args, .. } = self;
        format!(
            "query($first: Int, $after: String, $last: Int, $before: String) {{
                {open} {field}({args} first: $first, after: $after, last: $last, before: $before) {{
                    totalCount pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
                    edges {{ cursor node {{ id }} }}
                }} {} }}",
            "}".repeat(open.matches('{').count()),
        )
    }

    async fn page(&self, app: &TestApp, arguments: Value) -> Page {
        let mut found = app.own(&self.query(), arguments).await;
        for field in self.open.split('{').filter_map(|part| part.split(['(', ' ']).find(|word| !word.is_empty())) {
            if field != "..." {
                found = found[field].take();
            }
        }
        Page::read(&found[self.field], self.name)
    }

    async fn refusal(&self, app: &TestApp, arguments: &Value) -> String {
        let answer = app.ask_as(Some(&app.tokens.owner), &self.query(), arguments.clone()).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{} with {arguments} should be refused: {answer:#}", self.name);
        answer["errors"][0]["message"].as_str().expect("a message").to_owned()
    }
}

/// A page as it was answered.
struct Page {
    ids: Vec<String>,
    cursors: Vec<String>,
    has_next: bool,
    has_previous: bool,
    total: usize,
}

impl Page {
    fn read(connection: &Value, name: &str) -> Self {
        let edges = connection["edges"].as_array().unwrap_or_else(|| panic!("{name} should have edges: {connection}"));
        let texts = |pointer: &str| -> Vec<String> {
            edges.iter().map(|e| e.pointer(pointer).and_then(Value::as_str).expect("a text").to_owned()).collect()
        };
        let (info, cursors) = (&connection["pageInfo"], texts("/cursor"));
        assert_eq!(info["startCursor"].as_str(), cursors.first().map(String::as_str), "{name}: startCursor");
        assert_eq!(info["endCursor"].as_str(), cursors.last().map(String::as_str), "{name}: endCursor");
        Self {
            ids: texts("/node/id"),
            cursors,
            has_next: info["hasNextPage"].as_bool().expect("hasNextPage"),
            has_previous: info["hasPreviousPage"].as_bool().expect("hasPreviousPage"),
            total: connection["totalCount"].as_u64().and_then(|n| usize::try_from(n).ok()).expect("totalCount"),
        }
    }
}

/// Walks in both directions in steps of `size`; the ids in the order of the list.
async fn walk_both_ways(app: &TestApp, list: &List, size: usize) -> Vec<String> {
    let name = list.name;
    let whole = list.page(app, json!({ "first": 100 })).await;
    assert!(!whole.has_next && !whole.has_previous, "{name}: all of it is on one page, so this test sees all");
    let count = whole.ids.len();
    assert!(count > size, "{name} has {count} rows, too few to walk through in steps of {size}");

    let (mut forwards, mut after) = (Vec::new(), Value::Null);
    while forwards.len() < count {
        let page = list.page(app, json!({ "first": size, "after": after })).await;
        let behind = count - forwards.len();
        assert_eq!(page.ids.len(), size.min(behind), "{name}: rows of a page with {behind} rows to come");
        assert_eq!(page.has_next, behind > size, "{name}: hasNextPage with {behind} rows to come");
        assert_eq!(page.has_previous, !forwards.is_empty(), "{name}: hasPreviousPage after {} rows", forwards.len());
        assert!(!list.counts_its_rows || page.total == count, "{name}: totalCount is {}, rows {count}", page.total);
        after = json!(page.cursors.last());
        forwards.extend(page.ids);
    }
    assert_eq!(forwards, whole.ids, "{name}: forwards in steps of {size} should give the whole list");

    let (mut backwards, mut before) = (Vec::new(), Value::Null);
    while backwards.len() < count {
        let page = list.page(app, json!({ "last": size, "before": before })).await;
        let ahead = count - backwards.len();
        assert_eq!(page.ids.len(), size.min(ahead), "{name}: rows of a page from the end with {ahead} rows left");
        assert_eq!(page.has_previous, ahead > size, "{name}: hasPreviousPage with {ahead} rows left");
        assert_eq!(page.has_next, !backwards.is_empty(), "{name}: hasNextPage with {} rows behind", backwards.len());
        before = json!(page.cursors.first());
        backwards.extend(page.ids.into_iter().rev());
    }
    backwards.reverse();
    assert_eq!(backwards, whole.ids, "{name}: backwards in steps of {size} should give the same order");

    let between = json!({ "first": 100, "after": whole.cursors[0], "before": whole.cursors[count - 1] });
    assert_eq!(list.page(app, between).await.ids, whole.ids[1..count - 1], "{name}: between the first and the last");

    let mut distinct = whole.ids.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), count, "{name}: each row should be there once");
    whole.ids
}

#[tokio::test]
async fn posts_are_walked_in_each_order() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for (name, args) in [
        ("posts, newest first", "orderBy: NEWEST_FIRST,"),
        ("posts, oldest first", "orderBy: OLDEST_FIRST,"),
        ("posts, recently updated first", "orderBy: RECENTLY_UPDATED_FIRST,"),
    ] {
        let list = List::root(name, "posts", args);
        // One at a time: each border of a page lies between two posts of the same date once.
        ids.push(walk_both_ways(&app, &list, 1).await);
        walk_both_ways(&app, &list, 7).await;
    }
    let reversed: Vec<String> = ids[1].iter().rev().cloned().collect();
    assert_eq!(ids[0], reversed, "newest first should be the reverse of oldest first");

    let query = "{ new: posts(first: 100) { nodes { id publishedAt } }
        changed: posts(first: 100, orderBy: RECENTLY_UPDATED_FIRST) { nodes { id updatedAt } } }";
    let found = data(app.ask(query, json!({})).await);
    for (list, date) in [("new", "publishedAt"), ("changed", "updatedAt")] {
        let dates: Vec<&str> =
            found[list]["nodes"].as_array().expect("nodes").iter().map(|n| n[date].as_str().expect("a date")).collect();
        assert!(dates.is_sorted_by(|a, b| a >= b), "{list}: {date} should fall: {dates:?}");
    }
}

/// Every connection but the root's posts. Some lists of the demo site are short: they are filled.
async fn lists(app: &TestApp) -> Vec<List> {
    let query = r#"{ post(slug: "grinding-ink") { id comments(first: 1) { nodes { id } } } }"#;
    let found = app.own(query, json!({})).await;
    let (post, thread) = (&found["post"]["id"], &found["post"]["comments"]["nodes"][0]["id"]);
    let add = "mutation($input: AddCommentInput!) { addComment(input: $input) { userErrors { message } } }";
    for n in 0..6 {
        for parent in [&Value::Null, thread] {
            let input = json!({ "postId": post, "parentId": parent, "markdown": format!("The {n}th.") });
            let added = app.own(add, json!({ "input": input })).await;
            assert_eq!(added["addComment"]["userErrors"], json!([]), "the comment should be added");
        }
    }
    for n in 0..4 {
        let add = "mutation($input: CreateSeriesInput!) { createSeries(input: $input) { series { id } } }";
        let made = app.own(add, json!({ "input": { "title": format!("Series {n}"), "language": "en" } })).await;
        // Without a published part it would not be in the public's list.
        let add = "mutation($input: CreatePostInput!) { createPost(input: $input) { post { id } } }";
        let part = json!({ "title": "Part", "slug": format!("part-of-{n}"), "markdown": "x", "seriesId": made["createSeries"]["series"]["id"] });
        let made = app.own(add, json!({ "input": part })).await;
        let publish = "mutation($input: PostIdInput!) { publishPost(input: $input) { userErrors { message } } }";
        app.own(publish, json!({ "input": { "id": made["createPost"]["post"]["id"] } })).await;
    }
    let on_post = || r#"post(slug: "grinding-ink") {"#.to_owned();
    let on_thread = || format!("node(id: {thread}) {{ ... on Comment {{");
    let mut lists = vec![
        List::root("tags", "tags", ""),
        List::root("series", "allSeries", ""),
        List::root("users", "users", ""),
        List::root("comments", "comments", "status: APPROVED,"),
        List::under("tag.posts", r#"tag(slug: "calligraphy") {"#.into(), "posts", ""),
        List::under("series.posts", r#"series(slug: "a-small-site") {"#.into(), "posts", ""),
        List::under("user.posts", r#"user(handle: "mo") {"#.into(), "posts", ""),
        List::under("replies", on_thread(), "replies", ""),
        List::under("replies, newest first", on_thread(), "replies", "orderBy: NEWEST_FIRST,"),
        List::under("comments of a post", on_post(), "comments", ""),
        List::under("comments of a post, newest first", on_post(), "comments", "orderBy: NEWEST_FIRST,"),
    ];
    for list in &mut lists {
        // It counts the replies too.
        list.counts_its_rows = !list.name.starts_with("comments of a post");
    }
    lists
}

#[tokio::test]
async fn every_list_is_walked_both_ways() {
    let app = TestApp::start().await;
    for list in lists(&app).await {
        if list.name == "comments" {
            // More than one page can hold.
            continue;
        }
        for size in [2, 5] {
            let count = list.page(&app, json!({ "first": 100 })).await.ids.len();
            if count > size {
                walk_both_ways(&app, &list, size).await;
            } else {
                assert_eq!(list.name, "series.posts", "only the series is as short as {count}");
            }
        }
    }
}

#[tokio::test]
async fn a_list_of_more_than_a_page_can_hold_is_walked_to_its_end() {
    let app = TestApp::start().await;
    let lists = lists(&app).await;
    let list = lists.iter().find(|list| list.name == "comments").expect("the list of comments");
    let (mut ids, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = list.page(&app, json!({ "first": 40, "after": after })).await;
        after = json!(page.cursors.last());
        ids.extend(page.ids);
        if !page.has_next {
            assert_eq!(ids.len(), page.total, "totalCount should be what a walk finds");
            break;
        }
    }
    assert!(ids.len() > 100, "the list has {} comments, too few for this test", ids.len());
    let everything: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!(everything.len(), ids.len(), "each comment should be there once");
}

#[tokio::test]
async fn the_total_of_a_posts_comments_holds_every_reply() {
    let app = TestApp::start().await;
    let query = r#"{ post(slug: "grinding-ink") { comments(first: 9) { totalCount nodes { replies(first: 9) {
        nodes { replies(first: 9) { nodes { replies(first: 9) { nodes { id } } } } } } } } } }"#;
    let found = data(app.ask(query, json!({})).await);
    let comments = &found["post"]["comments"];
    assert_eq!(comments["totalCount"], 6, "the demo site has six comments here: {comments:#}");
    assert_eq!(count(comments), 6, "a walk through the threads should find as many");
}

fn count(connection: &Value) -> usize {
    let nodes = connection["nodes"].as_array().into_iter().flatten();
    nodes.map(|node| 1 + count(&node["replies"])).sum()
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused_by_every_list() {
    let app = TestApp::start().await;
    let mut lists = lists(&app).await;
    lists.push(List::root("posts", "posts", ""));
    let foreign = List::root("tags", "tags", "").page(&app, json!({ "first": 1 })).await.cursors.remove(0);
    let foreign_to_tags = List::root("users", "users", "").page(&app, json!({ "first": 1 })).await.cursors.remove(0);
    for list in &lists {
        let foreign = if list.name == "tags" { &foreign_to_tags } else { &foreign };
        let cases = [
            (json!({ "first": 0 }), "`first` is 0"),
            (json!({ "first": 101 }), "`first` is 101"),
            (json!({ "first": -1 }), "`first` is -1"),
            (json!({ "last": 0 }), "`last` is 0"),
            (json!({ "last": 101 }), "`last` is 101"),
            (json!({ "last": i32::MIN }), "`last` is -2147483648"),
            (json!({ "first": 1, "last": 1 }), "`first` and `last`"),
            (json!({ "after": "garbage" }), "`after` is \"garbage\""),
            (json!({ "before": "" }), "`before` is \"\""),
            (json!({ "after": "💥" }), "`after` is"),
            (json!({ "after": foreign }), "`after` is"),
            (json!({ "last": 1, "before": foreign }), "`before` is"),
        ];
        for (arguments, named) in cases {
            let message = list.refusal(&app, &arguments).await;
            assert!(message.contains(named), "{} with {arguments} should name {named}: {message}", list.name);
        }
    }
    let by_date = List::root("posts", "posts", "").page(&app, json!({ "first": 1 })).await.cursors.remove(0);
    let other_order = List::root("posts, oldest first", "posts", "orderBy: OLDEST_FIRST,");
    let message = other_order.refusal(&app, &json!({ "after": by_date })).await;
    assert!(message.contains("`after`"), "a cursor of another order should be refused: {message}");
}

/// A cursor is opaque, not signed: whoever makes one up must not find a way to break a statement.
#[tokio::test]
async fn a_made_up_cursor_is_refused() {
    use base64::Engine;

    let app = TestApp::start().await;
    let id = "0190f5a87c5a7b3c8f0e0123456789ab";
    let made_up = [
        ("posts", "posts-new", "sabc"),
        ("posts", "posts-new", "i7"),
        ("posts", "posts-new", "t8210266876799999999"),
        ("posts", "posts-new", "t-8334601228800000000"),
        ("posts", "posts-new", "t9223372036854775807"),
        ("tags", "tags", "t0"),
        ("tags", "tags", "i0"),
        ("users", "users", "i0"),
        ("comments", "comments", "sabc"),
    ];
    for (field, list, key) in made_up {
        let cursor = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{list}:{id}:{key}"));
        for arguments in [json!({ "first": 1, "after": cursor }), json!({ "last": 1, "before": cursor })] {
            let message = List::root(field, field, "").refusal(&app, &arguments).await;
            assert!(message.contains("cursor"), "{list}:{key} should be refused as a cursor: {message}");
        }
    }
}
