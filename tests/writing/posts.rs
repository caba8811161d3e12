//! Posts from the first draft to the end.

use serde_json::{Value, json};

use crate::deeds::{POST, comment, done, draft, post, post_at, published, refused, text};
use crate::support::{TestApp, code, data};

mod freshness;
mod markdown;
mod permissions;
mod refusals;
mod versions;

#[tokio::test]
async fn a_new_post_is_a_draft_with_a_slug_from_its_title() {
    let app = TestApp::start().await;
    let fields = "post { id title slug status kind language version publishedAt author { handle } }";
    let input = json!({ "title": "  Ink, over a Slow Line's End!  ", "markdown": "Begins." });
    let made = done(&app, &app.tokens.editor, "createPost", fields, input).await;
    let expected = json!({
        "id": made["post"]["id"], "title": "Ink, over a Slow Line's End!", "slug": "ink-over-a-slow-lines-end",
        "status": "DRAFT", "kind": "ARTICLE", "language": "en", "version": 1, "publishedAt": null,
        "author": { "handle": "edgar" },
    });
    assert_eq!(made["post"], expected);
    let id = text(&made["post"]["id"]);
    assert_eq!(post(&app, None, &id, "id").await, Value::Null, "a draft is not there for readers");
    assert_eq!(post(&app, Some(&app.tokens.owner), &id, "id").await["id"], json!(id), "staff find the draft");
}

#[tokio::test]
async fn a_chinese_title_makes_a_chinese_slug() {
    let app = TestApp::start().await;
    let input = json!({ "title": "雨夜：修一把旧椅子", "markdown": "雨。", "language": "zh", "kind": "NOTE" });
    let made = done(&app, &app.tokens.owner, "createPost", "post { slug kind language }", input).await;
    assert_eq!(made["post"], json!({ "slug": "雨夜-修一把旧椅子", "kind": "NOTE", "language": "zh" }));
    let found = post_at(&app, Some(&app.tokens.owner), "雨夜-修一把旧椅子", "title").await;
    assert_eq!(found["title"], "雨夜：修一把旧椅子", "the post is found by its slug");
}

#[tokio::test]
async fn a_post_is_published_taken_back_and_archived() {
    let app = TestApp::start().await;
    let id = draft(&app, "Here and gone").await;
    let owner = &app.tokens.owner;
    let public = async || post(&app, None, &id, "status").await["status"].clone();

    let first = done(&app, owner, "publishPost", POST, json!({ "id": id })).await;
    assert_eq!(first["post"]["status"], "PUBLISHED");
    assert!(first["post"]["publishedAt"].is_string(), "a published post has its date");
    assert_eq!(public().await, "PUBLISHED", "everybody sees it in the very next query");
    let again = done(&app, owner, "publishPost", POST, json!({ "id": id })).await;
    assert_eq!(again["post"], first["post"], "publishing twice changes nothing");

    let back = done(&app, owner, "unpublishPost", POST, json!({ "id": id })).await;
    assert_eq!(back["post"]["status"], "DRAFT");
    assert_eq!(public().await, Value::Null, "what was taken back is gone in the very next query");
    let third = done(&app, owner, "publishPost", POST, json!({ "id": id })).await;
    assert_eq!(third["post"]["publishedAt"], first["post"]["publishedAt"], "the first date is kept");

    let archived = done(&app, owner, "unpublishPost", POST, json!({ "id": id, "archive": true })).await;
    assert_eq!(archived["post"]["status"], "ARCHIVED");
    assert_eq!(public().await, Value::Null, "the archive is not public");
}

#[tokio::test]
async fn a_deleted_post_is_gone_with_its_comments_and_its_slug_is_free() {
    let app = TestApp::start().await;
    let id = published(&app, "Soon gone").await;
    let note = comment(&app, &app.tokens.editor, &id, None, "A last word.").await;
    assert_eq!(post_at(&app, None, "soon-gone", "id").await["id"], json!(id));

    let gone = done(&app, &app.tokens.owner, "deletePost", "deletedId", json!({ "id": id })).await;
    assert_eq!(gone["deletedId"], json!(id));
    assert_eq!(post_at(&app, None, "soon-gone", "id").await, Value::Null, "not by its slug");
    let ids = json!({ "ids": [id, note["id"]] });
    assert_eq!(app.own("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids).await["nodes"], json!([null, null]));
    let owner = Some(app.tokens.owner.as_str());
    for mutation in ["deletePost", "publishPost", "unpublishPost"] {
        let answer = refused(&app, owner, mutation, json!({ "id": id })).await;
        assert_eq!(answer, json!([["NOT_FOUND", "id"]]), "{mutation} of what is gone");
    }
    assert_ne!(published(&app, "Soon gone").await, id, "the slug can be used again");
}

#[tokio::test]
async fn every_field_is_changed_and_emptied_again() {
    let app = TestApp::start().await;
    let owner = &app.tokens.owner;
    let id = draft(&app, "Plain").await;
    let series = app.own("{ series(slug: \"a-small-site\") { id } }", json!({})).await["series"]["id"].clone();
    let fields = "post { title markdown slug kind language description cover series { slug } seriesPosition \
                  translations { slug } custom version }";
    let full = json!({
        "id": id, "basedOnVersion": 1, "title": "Full", "markdown": "Other.", "slug": "full", "kind": "PROJECT",
        "language": "de", "description": "All of it.", "cover": "/a.jpg", "seriesId": series, "seriesPosition": 7,
        "translationKey": "grinding-ink", "custom": { "mood": "dry" },
    });
    let changed = done(&app, owner, "updatePost", fields, full).await;
    let expected = json!({
        "title": "Full", "markdown": "Other.", "slug": "full", "kind": "PROJECT", "language": "de",
        "description": "All of it.", "cover": "/a.jpg", "series": { "slug": "a-small-site" }, "seriesPosition": 7,
        "translations": changed["post"]["translations"], "custom": { "mood": "dry" }, "version": 2,
    });
    assert_eq!(changed["post"], expected);
    assert!(changed["post"]["translations"].to_string().contains("grinding-ink"), "it is among its translations");

    let untouched = done(&app, owner, "updatePost", fields, json!({ "id": id, "basedOnVersion": 2 })).await;
    let same = |post: &Value| {
        let mut post = post.clone();
        post["version"] = json!(0);
        post
    };
    assert_eq!(same(&untouched["post"]), same(&expected), "absent fields stay as they are");

    let empty = json!({
        "id": id, "basedOnVersion": untouched["post"]["version"], "description": null, "cover": null,
        "seriesId": null, "seriesPosition": null, "translationKey": null, "custom": {}, "tags": [],
    });
    let emptied = done(&app, owner, "updatePost", fields, empty).await;
    for name in ["description", "cover", "series", "seriesPosition"] {
        assert_eq!(emptied["post"][name], Value::Null, "null empties {name}");
    }
    assert_eq!(emptied["post"]["translations"], json!([]), "null takes it out of its group");
    assert_eq!(emptied["post"]["custom"], json!({}));
    assert_eq!(emptied["post"]["title"], "Full", "what was not named stays");
}

#[tokio::test]
async fn custom_fields_come_back_as_they_were_given() {
    let app = TestApp::start().await;
    let custom = json!({
        "text": "墨 \"quoted\" \\ 🖋", "number": 1.5, "large": 9_007_199_254_740_993_i64, "none": null, "yes": true,
        "list": [1, "two", { "three": [] }], "": { "a.b": "c" },
    });
    let input = json!({ "title": "Custom", "markdown": "", "custom": custom });
    let made = done(&app, &app.tokens.owner, "createPost", "post { id custom }", input).await;
    assert_eq!(made["post"]["custom"], custom);
    let id = text(&made["post"]["id"]);
    assert_eq!(post(&app, Some(&app.tokens.owner), &id, "custom").await["custom"], custom);

    let query = "mutation($input: CreatePostInput!) { createPost(input: $input) { post { id } } }";
    for wrong in [json!([1]), json!("text"), json!(1)] {
        let input = json!({ "input": { "title": "Custom", "markdown": "", "custom": wrong } });
        let answer = app.ask_as(Some(&app.tokens.owner), query, input).await;
        assert!(answer["errors"][0]["message"].is_string(), "{wrong} is no object of fields: {answer}");
    }
    let nul = json!({ "input": { "title": "Custom", "markdown": "", "custom": { "a": "\0" } } });
    let answer = app.ask_as(Some(&app.tokens.owner), query, nul).await;
    assert_eq!(code(&answer), "BAD_USER_INPUT", "a text that cannot be stored is the client's fault");
}

#[tokio::test]
async fn tags_are_made_on_the_way_and_keep_their_order() {
    let app = TestApp::start().await;
    let owner = &app.tokens.owner;
    let fields = "post { id version tags { slug name } }";
    let tags = json!(["Slow Ink", "tea", " 砚台 ", "slow-ink"]);
    let input = json!({ "title": "Tagged", "markdown": "", "tags": tags });
    let made = done(&app, owner, "createPost", fields, input).await["post"].take();
    let slugs = |post: &Value| -> Vec<String> {
        post["tags"].as_array().expect("tags").iter().map(|tag| text(&tag["slug"])).collect()
    };
    assert_eq!(slugs(&made), ["slow-ink", "tea", "砚台"], "each once, in the order given");
    assert_eq!(made["tags"][0]["name"], "Slow Ink", "a new tag is called as it was written");
    assert_eq!(made["tags"][1]["name"], "Tea · 茶", "a tag that exists keeps its name");

    let input = json!({ "id": made["id"], "basedOnVersion": 1, "tags": ["砚台", "paper", "slow-ink"] });
    let moved = done(&app, owner, "updatePost", fields, input).await["post"].take();
    assert_eq!(slugs(&moved), ["砚台", "paper", "slow-ink"]);
    let read = post(&app, Some(owner), &text(&made["id"]), "tags { slug }").await;
    assert_eq!(slugs(&read), ["砚台", "paper", "slow-ink"], "the next query gives the new order");
    let public =
        async || data(app.ask("{ tag(slug: \"砚台\") { name posts { totalCount } } }", json!({})).await)["tag"].take();
    assert_eq!(public().await, json!(null), "what only a draft is about is not told");
    let other = json!({ "title": "Tagged too", "markdown": "", "tags": ["砚台"] });
    let other = done(&app, owner, "createPost", POST, other).await["post"]["id"].take();
    done(&app, owner, "publishPost", POST, json!({ "id": other })).await;
    assert_eq!(public().await, json!({ "name": "砚台", "posts": { "totalCount": 1 } }), "the draft is not counted");
}
