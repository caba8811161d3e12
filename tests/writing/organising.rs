//! Tags, series and the description of the site.

use serde_json::{Value, json};

use crate::deeds::{POST, attempt, done, draft, post, refused, text};
use crate::support::{TestApp, code, data};

#[tokio::test]
async fn a_tag_is_made_changed_and_deleted() {
    let app = TestApp::start().await;
    let editor = &app.tokens.editor;
    let fields = "tag { id slug name description }";
    let input = json!({ "name": "Rainy Days", "description": "Grey." });
    let made = done(&app, editor, "createTag", fields, input).await["tag"].take();
    let id = made["id"].clone();
    assert_eq!(made, json!({ "id": id, "slug": "rainy-days", "name": "Rainy Days", "description": "Grey." }));
    let input = json!({ "id": id, "slug": "雨天" });
    let moved = done(&app, editor, "updateTag", fields, input).await["tag"].take();
    assert_eq!(moved, json!({ "id": id, "slug": "雨天", "name": "Rainy Days", "description": "Grey." }));
    let untouched = done(&app, editor, "updateTag", fields, json!({ "id": id })).await["tag"].take();
    assert_eq!(untouched, moved, "absent fields stay");
    let found = app.own("{ new: tag(slug: \"雨天\") { id } old: tag(slug: \"rainy-days\") { id } }", json!({})).await;
    assert_eq!(found, json!({ "new": { "id": id }, "old": null }));

    let input = json!({ "title": "Wet", "markdown": "x", "tags": ["雨天"] });
    let post_id = text(&done(&app, editor, "createPost", POST, input).await["post"]["id"]);
    done(&app, editor, "deleteTag", "deletedId", json!({ "id": id })).await;
    assert_eq!(post(&app, Some(editor), &post_id, "tags { slug }").await["tags"], json!([]), "posts lose it");
    for mutation in ["updateTag", "deleteTag"] {
        let answer = refused(&app, Some(editor), mutation, json!({ "id": id })).await;
        assert_eq!(answer, json!([["NOT_FOUND", "id"]]), "{mutation} of what is gone");
    }
}

#[tokio::test]
async fn wrong_tags_are_refused() {
    let app = TestApp::start().await;
    let editor = Some(app.tokens.editor.as_str());
    let id = app.own("{ tag(slug: \"ink\") { id } }", json!({})).await["tag"]["id"].clone();
    for (wrong, expected) in [
        (json!({ "name": "Tea", "slug": "tea" }), json!([["TAKEN", "slug"]])),
        (
            json!({ "name": " ", "slug": "Not A Slug", "description": "d".repeat(1001) }),
            json!([["INVALID", "name"], ["TOO_LONG", "description"], ["INVALID", "slug"]]),
        ),
        (json!({ "name": "n".repeat(61) , "slug": "n" }), json!([["TOO_LONG", "name"]])),
    ] {
        assert_eq!(refused(&app, editor, "createTag", wrong.clone()).await, expected, "{wrong}");
        let mut edit = wrong;
        edit["id"] = id.clone();
        let mut answer = refused(&app, editor, "updateTag", edit).await;
        let mut expected = expected;
        for faults in [&mut answer, &mut expected] {
            faults.as_array_mut().expect("faults").sort_by_key(Value::to_string);
        }
        assert_eq!(answer, expected, "the same when it is changed");
    }
    assert_eq!(refused(&app, editor, "createTag", json!({ "name": "Tea" })).await, json!([["TAKEN", "slug"]]));
    assert_eq!(refused(&app, editor, "createTag", json!({ "name": "!!!" })).await, json!([["INVALID", "slug"]]));
}

#[tokio::test]
async fn a_series_is_made_changed_and_deleted() {
    let app = TestApp::start().await;
    let editor = &app.tokens.editor;
    let fields = "series { id slug title description language }";
    let input = json!({ "title": "修椅子三记", "language": "zh" });
    let made = done(&app, editor, "createSeries", fields, input).await["series"].take();
    let id = made["id"].clone();
    let expected =
        json!({ "id": id, "slug": "修椅子三记", "title": "修椅子三记", "description": "", "language": "zh" });
    assert_eq!(made, expected);
    let input = json!({ "id": id, "slug": "chairs", "title": "Chairs", "description": "Three.", "language": "en" });
    let changed = done(&app, editor, "updateSeries", fields, input.clone()).await["series"].take();
    assert_eq!(changed, input);

    let (first, second) = (draft(&app, "Chair one").await, draft(&app, "Chair two").await);
    for (post, position) in [(&first, 2), (&second, 1)] {
        let input = json!({ "id": post, "basedOnVersion": 1, "seriesId": id, "seriesPosition": position });
        done(&app, editor, "updatePost", POST, input).await;
    }
    let parts = app.own("{ series(slug: \"chairs\") { posts { nodes { id } } } }", json!({})).await;
    let order = json!([{ "id": second }, { "id": first }]);
    assert_eq!(parts["series"]["posts"]["nodes"], order, "its parts come in their order");

    done(&app, editor, "deleteSeries", "deletedId", json!({ "id": id })).await;
    let left = post(&app, Some(editor), &first, "title series { id }").await;
    assert_eq!(left, json!({ "title": "Chair one", "series": null }), "its posts stay, on their own");
    for mutation in ["updateSeries", "deleteSeries"] {
        let answer = refused(&app, Some(editor), mutation, json!({ "id": id })).await;
        assert_eq!(answer, json!([["NOT_FOUND", "id"]]), "{mutation} of what is gone");
    }
}

#[tokio::test]
async fn wrong_series_are_refused() {
    let app = TestApp::start().await;
    let editor = Some(app.tokens.editor.as_str());
    let taken = json!({ "title": "A Small Site", "slug": "a-small-site", "language": "en" });
    assert_eq!(refused(&app, editor, "createSeries", taken).await, json!([["TAKEN", "slug"]]));
    let wrong = json!({ "title": "", "slug": "-", "description": "d".repeat(2001), "language": "" });
    let expected =
        json!([["INVALID", "title"], ["TOO_LONG", "description"], ["INVALID", "slug"], ["INVALID", "language"]]);
    assert_eq!(refused(&app, editor, "createSeries", wrong).await, expected);
}

#[tokio::test]
async fn the_owner_describes_the_site_and_everybody_reads_it_at_once() {
    let app = TestApp::start().await;
    let fields = "site { title tagline description language links { name url } }";
    let read = async || data(app.ask(&format!("{{ {fields} }}"), json!({})).await)["site"].take();
    let before = read().await;
    let links = json!([{ "name": "Mail", "url": "mailto:a@example.org" }, { "name": "码", "url": "https://git.example.org/a" }]);
    let input = json!({ "title": "干墨", "tagline": "Dry.", "language": "zh", "links": links });
    let changed = done(&app, &app.tokens.owner, "updateSite", fields, input).await["site"].take();
    let expected = json!({
        "title": "干墨", "tagline": "Dry.", "description": before["description"], "language": "zh", "links": links,
    });
    assert_eq!(changed, expected, "absent fields stay, links keep their order");
    assert_eq!(read().await, expected, "the next query of anybody shows it");
    done(&app, &app.tokens.owner, "updateSite", fields, json!({ "tagline": "", "links": [] })).await;
    let emptied = read().await;
    assert_eq!((&emptied["tagline"], &emptied["links"]), (&json!(""), &json!([])), "what may be empty can be emptied");
}

#[tokio::test]
async fn the_site_is_changed_by_its_owner_only_and_checked() {
    let app = TestApp::start().await;
    for (token, expected) in [
        (None, "UNAUTHENTICATED"),
        (Some(app.tokens.reader.as_str()), "FORBIDDEN"),
        (Some(app.tokens.editor.as_str()), "FORBIDDEN"),
    ] {
        let answer = attempt(&app, token, "updateSite", "site { title }", json!({ "title": "Mine" })).await;
        assert_eq!(code(&answer), expected);
    }
    let wrong = json!({
        "title": "", "tagline": "t".repeat(301), "description": "d".repeat(5001), "language": "english!",
        "links": [{ "name": "", "url": "javascript:alert(1)" }, { "name": "Fine", "url": "https://example.org" }],
    });
    let expected = json!([
        ["INVALID", "title"],
        ["INVALID", "language"],
        ["TOO_LONG", "tagline"],
        ["TOO_LONG", "description"],
        ["INVALID", "links"],
        ["INVALID", "links"],
    ]);
    assert_eq!(refused(&app, Some(&app.tokens.owner), "updateSite", wrong).await, expected);
}
