//! Tags and series that no published post has: they tell of drafts.

use super::*;

/// The ways to a tag and a series that carry the words.
fn ways(tag: &str, series: &str) -> Vec<Way> {
    let of_tag = ["zugzwang-tag"];
    let of_series = ["zugzwang-series"];
    vec![
        Way::new("tag(slug)", r#"{ tag(slug: "zugzwang-tag") { slug name description } }"#, &of_tag),
        Way::new("tags", "{ tags(first: 100) { nodes { slug } } }", &of_tag),
        Way::new("tags, from the end", "{ tags(last: 100) { edges { node { name } } } }", &of_tag),
        Way::new("node(tag)", format!("{{ node(id: {tag:?}) {{ id ... on Tag {{ slug }} }} }}"), &of_tag),
        Way::new("nodes(tag)", format!("{{ nodes(ids: [{tag:?}]) {{ ... on Tag {{ name }} }} }}"), &of_tag),
        Way::new("series(slug)", r#"{ series(slug: "zugzwang-series") { slug title } }"#, &of_series),
        Way::new("allSeries", "{ allSeries(first: 100) { nodes { slug } } }", &of_series),
        Way::new("node(series)", format!("{{ node(id: {series:?}) {{ id ... on Series {{ slug }} }} }}"), &of_series),
    ]
}

const COUNTS: &str = "{ tags(first: 1) { totalCount } allSeries(first: 1) { totalCount } }";

#[tokio::test]
async fn what_only_drafts_are_about_is_seen_by_staff_only() {
    let app = TestApp::start().await;
    let (public, staff) = (data(app.ask(COUNTS, json!({})).await), app.own(COUNTS, json!({})).await);
    let input = json!({ "title": "zugzwang-series", "language": "en" });
    let series = change(&app, "createSeries", "CreateSeriesInput", "series { id }", input).await;
    let series = text(&series["series"]["id"]);
    let more = json!({ "tags": ["zugzwang-tag", TAG], "seriesId": series, "seriesPosition": 1 });
    let post = create(&app, "hidden", more).await;
    let tag = app.own(r#"{ tag(slug: "zugzwang-tag") { id } }"#, json!({})).await;
    let tag = text(&tag["tag"]["id"]);
    let ways = ways(&tag, &series);
    seen_by_staff_only(&app, &ways).await;
    let mut wanted = staff;
    add(&mut wanted, "/tags/totalCount", 1);
    add(&mut wanted, "/allSeries/totalCount", 1);
    assert_eq!(data(app.ask(COUNTS, json!({})).await), public, "the public should not count them");
    assert_eq!(app.own(COUNTS, json!({})).await, wanted, "the owner should count them");

    publish(&app, &post).await;
    for way in &ways {
        let answer = data(app.ask(&way.query, json!({})).await).to_string();
        assert!(answer.contains(&way.words[0]), "with a published post, {} should show it: {answer}", way.name);
    }
    let of_post = r#"{ post(slug: "hidden") { tags { slug } series { slug } } }"#;
    let expected =
        json!({ "tags": [{ "slug": "zugzwang-tag" }, { "slug": TAG }], "series": { "slug": "zugzwang-series" } });
    assert_eq!(data(app.ask(of_post, json!({})).await)["post"], expected);

    change(&app, "unpublishPost", "UnpublishPostInput", "post { id }", json!({ "id": post })).await;
    seen_by_staff_only(&app, &ways).await;
}

#[tokio::test]
async fn what_was_made_ahead_of_its_first_post_is_not_public_yet() {
    let app = TestApp::start().await;
    let made = change(&app, "createTag", "CreateTagInput", "tag { id }", json!({ "name": "zugzwang-tag" })).await;
    let tag = text(&made["tag"]["id"]);
    let input = json!({ "title": "zugzwang-series", "language": "en" });
    let made = change(&app, "createSeries", "CreateSeriesInput", "series { id }", input).await;
    seen_by_staff_only(&app, &ways(&tag, &text(&made["series"]["id"]))).await;
}
