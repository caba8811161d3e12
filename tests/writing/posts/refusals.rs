//! What is wrong with an input is told, all of it, with the fields.

use serde_json::{Value, json};

use crate::deeds::{POST, attempt, done, draft, refused, text};
use crate::support::{TestApp, code, on_real_servers};

const MEBIBYTE: usize = 1024 * 1024;

#[tokio::test]
async fn all_faults_of_an_input_are_told_at_once() {
    let app = TestApp::start().await;
    let owner = Some(app.tokens.owner.as_str());
    let mut wrong = json!({
        "title": "  ", "markdown": "x", "slug": "Not A Slug", "language": "english!",
        "description": "d".repeat(1001), "cover": "javascript:alert(1)", "tags": (0..51).map(|n| format!("t{n}")).collect::<Vec<_>>(),
    });
    let expected = json!([
        ["INVALID", "title"],
        ["INVALID", "slug"],
        ["INVALID", "language"],
        ["TOO_LONG", "description"],
        ["INVALID", "cover"],
        ["TOO_LONG", "tags"],
    ]);
    assert_eq!(refused(&app, owner, "createPost", wrong.clone()).await, expected);
    wrong["id"] = json!(draft(&app, "Fine").await);
    wrong["basedOnVersion"] = json!(1);
    assert_eq!(refused(&app, owner, "updatePost", wrong).await, expected, "an edit is checked in the same way");
}

#[tokio::test]
async fn each_single_fault_is_refused_by_creating_and_by_editing() {
    let app = TestApp::start().await;
    let owner = Some(app.tokens.owner.as_str());
    let id = draft(&app, "Fine").await;
    let missing = missing_series(&app).await;
    let long_key: String = (0..3000).map(|n| char::from(b'a' + (n * n % 23) as u8)).collect();
    let faults = [
        ("title", json!("字".repeat(301)), "TOO_LONG"),
        ("title", json!("a\0b"), "INVALID"),
        ("markdown", json!("a".repeat(MEBIBYTE + 1)), "TOO_LONG"),
        ("markdown", json!("a\0b"), "INVALID"),
        ("slug", json!("grinding-ink"), "TAKEN"),
        ("slug", json!(""), "INVALID"),
        ("slug", json!("x".repeat(101)), "INVALID"),
        ("slug", json!("../etc"), "INVALID"),
        ("cover", json!("//evil.example/a.png"), "INVALID"),
        ("cover", json!("data:text/html,x"), "INVALID"),
        ("cover", json!(format!("/{}", "a".repeat(2000))), "TOO_LONG"),
        ("tags", json!(["fine", "  "]), "INVALID"),
        ("tags", json!(["!!!"]), "INVALID"),
        ("tags", json!(["t".repeat(61)]), "TOO_LONG"),
        ("seriesId", json!(missing), "NOT_FOUND"),
        ("translationKey", json!("grinding-ink"), "TAKEN"),
        ("translationKey", json!(""), "INVALID"),
        ("translationKey", json!(long_key), "TOO_LONG"),
    ];
    for (field, value, expected) in faults {
        let short = value.to_string().chars().take(30).collect::<String>();
        let mut new = json!({ "title": "Another", "markdown": "x" });
        new[field] = value.clone();
        let answer = refused(&app, owner, "createPost", new).await;
        assert_eq!(answer, json!([[expected, field]]), "createPost with {field} {short}");
        let mut edit = json!({ "id": id, "basedOnVersion": 1 });
        edit[field] = value;
        let answer = refused(&app, owner, "updatePost", edit).await;
        assert_eq!(answer, json!([[expected, field]]), "updatePost with {field} {short}");
    }
    let answer = refused(&app, owner, "createPost", json!({ "title": "…", "markdown": "x" })).await;
    assert_eq!(answer, json!([["INVALID", "slug"]]), "a title without a letter makes no slug");
    let answer = refused(&app, owner, "createPost", json!({ "title": "Fine", "markdown": "x" })).await;
    assert_eq!(answer, json!([["TAKEN", "slug"]]), "two posts of one title need two slugs");
}

/// The id of a series that was there.
async fn missing_series(app: &TestApp) -> Value {
    let input = json!({ "title": "Short lived", "language": "en" });
    let id = done(app, &app.tokens.owner, "createSeries", "series { id }", input).await["series"]["id"].take();
    done(app, &app.tokens.owner, "deleteSeries", "deletedId", json!({ "id": id })).await;
    id
}

#[tokio::test]
async fn the_longest_that_is_allowed_is_accepted() {
    let app = TestApp::start().await;
    let markdown = "一 word\n\n".repeat(MEBIBYTE / 10) + "12345";
    let markdown = format!("{markdown}{}", "a".repeat(MEBIBYTE - markdown.len()));
    assert_eq!(markdown.len(), MEBIBYTE);
    let input = json!({ "title": "字".repeat(300), "slug": "x".repeat(100), "markdown": markdown, "description": "d".repeat(1000) });
    let made = done(&app, &app.tokens.owner, "createPost", "post { title markdown }", input).await;
    assert_eq!(text(&made["post"]["title"]).chars().count(), 300);
    assert_eq!(text(&made["post"]["markdown"]).len(), MEBIBYTE, "nothing is cut");
}

#[tokio::test]
async fn a_group_of_translations_has_one_post_a_language() {
    let app = TestApp::start().await;
    let owner = &app.tokens.owner;
    let input = json!({ "title": "Reiben", "markdown": "x", "language": "de", "translationKey": "grinding-ink" });
    let made = done(&app, owner, "createPost", "post { id translations { language } }", input).await;
    assert_eq!(made["post"]["translations"], json!([{ "language": "en" }, { "language": "zh" }]));
    let edit = json!({ "id": made["post"]["id"], "basedOnVersion": 1, "language": "zh" });
    let answer = refused(&app, Some(owner), "updatePost", edit.clone()).await;
    assert_eq!(answer, json!([["TAKEN", "language"]]), "another post is the Chinese one already");
    let mut moved = edit;
    moved["translationKey"] = Value::Null;
    done(&app, owner, "updatePost", POST, moved).await;
    let back = json!({ "id": made["post"]["id"], "basedOnVersion": 2, "translationKey": "grinding-ink" });
    let answer = refused(&app, Some(owner), "updatePost", back).await;
    assert_eq!(answer, json!([["TAKEN", "translationKey"]]), "now it is Chinese, as another one there");
    let both =
        json!({ "id": made["post"]["id"], "basedOnVersion": 2, "translationKey": "grinding-ink", "language": "de" });
    let joined = done(&app, owner, "updatePost", "post { translations { language } }", both).await;
    assert_eq!(joined["post"]["translations"], json!([{ "language": "en" }, { "language": "zh" }]));
    let away = json!({ "id": made["post"]["id"], "basedOnVersion": 3, "translationKey": "alone", "language": "zh" });
    done(&app, owner, "updatePost", POST, away).await;
}

/// The database keeps it, not a look before the write: of two writers at once one is refused.
#[tokio::test]
async fn a_group_of_translations_has_one_post_a_language_also_when_two_write_at_once() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let owner = app.tokens.owner.as_str();
    let one_wins = |answers: Vec<Value>, field: &str| {
        let refusals: Vec<Value> = answers
            .iter()
            .map(|answer| answer["data"]["done"]["userErrors"].clone())
            .filter(|e| *e != json!([]))
            .collect();
        assert_eq!(refusals.len(), answers.len() - 1, "one is accepted: {answers:?}");
        for refusal in refusals {
            let told = json!([refusal[0]["code"], refusal[0]["field"]]);
            assert_eq!(told, json!(["TAKEN", field]), "the others are told why: {refusal}");
        }
    };
    for round in 0..5 {
        let create = |n: usize| {
            let input = json!({ "title": format!("Race {round} {n}"), "markdown": "x", "language": "fr",
                "translationKey": format!("race-{round}") });
            attempt(&app, Some(owner), "createPost", POST, input)
        };
        one_wins(futures_util::future::join_all((0..4).map(create)).await, "translationKey");

        let mut posts = Vec::new();
        for language in ["de", "it", "es"] {
            let input = json!({ "title": format!("Change {round} {language}"), "markdown": "x", "language": language,
                "translationKey": format!("change-{round}") });
            posts.push(done(&app, owner, "createPost", POST, input).await["post"]["id"].take());
        }
        let change = |id: &Value| {
            let input = json!({ "id": id, "basedOnVersion": 1, "language": "ja" });
            attempt(&app, Some(owner), "updatePost", POST, input)
        };
        one_wins(futures_util::future::join_all(posts.iter().map(change)).await, "language");
    }
}

#[tokio::test]
async fn ids_of_something_else_are_errors_of_the_request() {
    let app = TestApp::start().await;
    let tag = app.own("{ tag(slug: \"ink\") { id } }", json!({})).await["tag"]["id"].clone();
    for id in [json!("nonsense"), json!(""), tag] {
        let answer = attempt(&app, Some(&app.tokens.owner), "publishPost", POST, json!({ "id": id })).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{id} is not the id of a post");
    }
}
