//! What the pages of a site cost in SQL statements, with cold and with warm caches.
//!
//! Snapshots hold the numbers: whoever changes one shows it in the diff. A number never depends on
//! how many rows there are.

use serde_json::{Value, json};

use crate::support::{TestApp, data};

/// A server of its own for each query, so that it finds the caches cold; then it asks again.
async fn cold_and_warm(reader: bool, query: &str, variables: Value) -> (Value, Value) {
    let app = TestApp::start().await;
    let token = reader.then_some(app.tokens.reader.as_str());
    let (first, cold) = app.respond(token, query, variables.clone()).await;
    let (second, warm) = app.respond(token, query, variables).await;
    let first = data(first);
    assert_eq!(first, data(second), "the cache should answer what the database did");
    assert!(warm <= cold, "warm caches should not cost more: {warm} statements, cold {cold}");
    assert!(cold > 0, "the statements should be counted");
    (first, json!({ "cold": cold, "warm": warm }))
}

const POST_PAGE: &str = include_str!("queries/post_page.graphql");
const TAG_CLOUD: &str = include_str!("queries/tag_cloud.graphql");
const USER_PAGE: &str = include_str!("queries/user_page.graphql");
const RICH_LIST: &str = include_str!("queries/rich_list.graphql");

#[tokio::test]
async fn a_page_of_a_post() {
    // In a series, with threads that go deep.
    let in_series = json!({ "slug": "the-late-commit" });
    let (mut page, cost) = cold_and_warm(false, POST_PAGE, in_series.clone()).await;
    let html = page["post"]["html"].take();
    assert!(html.as_str().is_some_and(|html| html.len() > 1000), "the page should come with its text");
    insta::assert_snapshot!("post_page", format!("{page:#}"));
    insta::assert_snapshot!("post_page_statements", format!("{cost:#}"));

    let (_, of_reader) = cold_and_warm(true, POST_PAGE, in_series).await;
    insta::assert_snapshot!("post_page_of_a_reader_statements", format!("{of_reader:#}"));

    let (page, cost) = cold_and_warm(false, POST_PAGE, json!({ "slug": "grinding-ink" })).await;
    assert_eq!(page["post"]["translations"], json!([{ "slug": "yan-mo", "language": "zh" }]));
    insta::assert_snapshot!("translated_post_page_statements", format!("{cost:#}"));
}

#[tokio::test]
async fn a_cloud_of_tags() {
    let (cloud, cost) = cold_and_warm(false, TAG_CLOUD, json!({ "first": 100 })).await;
    insta::assert_snapshot!("tag_cloud", format!("{cloud:#}"));
    insta::assert_snapshot!("tag_cloud_statements", format!("{cost:#}"));
    let (_, of_two) = cold_and_warm(false, TAG_CLOUD, json!({ "first": 2 })).await;
    assert_eq!(of_two, cost, "2 tags should cost what all cost");
}

#[tokio::test]
async fn a_page_of_a_user() {
    let variables = |first: u32| json!({ "handle": "mo", "first": first });
    let (page, cost) = cold_and_warm(false, USER_PAGE, variables(20)).await;
    insta::assert_snapshot!("user_page", format!("{page:#}"));
    insta::assert_snapshot!("user_page_statements", format!("{cost:#}"));
    let (_, of_five) = cold_and_warm(false, USER_PAGE, variables(5)).await;
    assert_eq!(of_five, cost, "5 posts should cost what 20 cost");
}

/// Without the authors and parents of replies: each costs a statement only if it is not known from
/// the fields above, which depends on the posts.
#[tokio::test]
async fn a_list_costs_the_same_for_five_posts_and_for_twenty() {
    let (_, twenty) = cold_and_warm(true, RICH_LIST, json!({ "first": 20 })).await;
    insta::assert_snapshot!("rich_list_statements", format!("{twenty:#}"));
    let (_, five) = cold_and_warm(true, RICH_LIST, json!({ "first": 5 })).await;
    assert_eq!(five, twenty, "5 posts should cost what 20 cost");
}

#[tokio::test]
async fn translations_cost_the_same_for_two_posts_and_for_twenty() {
    let query =
        "query($first: Int!) { posts(first: $first, orderBy: OLDEST_FIRST) { nodes { slug translations { slug } } } }";
    let (_, twenty) = cold_and_warm(false, query, json!({ "first": 20 })).await;
    insta::assert_snapshot!("translations_statements", format!("{twenty:#}"));
    let (_, two) = cold_and_warm(false, query, json!({ "first": 2 })).await;
    assert_eq!(two, twenty, "2 posts should cost what 20 cost");
}

/// The totals and the texts are read when they are asked for, and not before.
#[tokio::test]
async fn what_is_not_asked_for_costs_nothing() {
    let app = TestApp::start().await;
    let cost = async |query: &str| {
        let (answer, statements) = app.respond(None, query, json!({})).await;
        data(answer);
        statements
    };
    assert_eq!(cost("{ posts { nodes { title excerpt } } }").await, 1, "a plain list is one statement");
    assert_eq!(cost("{ posts(first: 5) { totalCount nodes { title } } }").await, 2, "its total is a second one");
    assert_eq!(cost("{ posts(first: 6) { totalCount } }").await, 2, "the total alone still walks the list");
    assert_eq!(cost("{ posts(first: 6) { nodes { title } } }").await, 0, "and the next one finds it");
    assert_eq!(cost("{ viewer { handle } }").await, 0, "nobody in particular is known without asking");
    assert_eq!(cost("{ __typename }").await, 0);
}
