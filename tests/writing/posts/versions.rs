//! Editing at the same time, and going back.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::deeds::{POST, attempt, done, draft, post, refused, text};
use crate::support::{TestApp, data};

const ALL: &str = "title slug markdown html version tags { slug } custom \
                   revisions(first: 100) { nodes { id version title markdown editor { handle } } }";

#[tokio::test]
async fn an_edit_of_the_version_that_is_there_is_made_and_the_old_text_kept() {
    let app = TestApp::start().await;
    let id = draft(&app, "First words").await;
    let input = json!({ "id": id, "basedOnVersion": 1, "title": "Second words", "markdown": "New." });
    let edited = done(&app, &app.tokens.editor, "updatePost", POST, input).await;
    assert_eq!(edited["post"]["version"], 2);
    assert_eq!(edited["post"]["slug"], "first-words", "the slug stays: links lead to it");
    let now = post(&app, Some(&app.tokens.owner), &id, ALL).await;
    assert_eq!((&now["title"], &now["markdown"]), (&json!("Second words"), &json!("New.")));
    let mut kept = now["revisions"]["nodes"].clone();
    kept[0]["id"] = Value::Null;
    let expected = json!([{
        "id": null, "version": 1, "title": "First words", "markdown": "It says *First words*.",
        "editor": { "handle": "edgar" },
    }]);
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn a_stale_edit_is_refused_and_nothing_is_lost() {
    let app = TestApp::start().await;
    let id = draft(&app, "Contested").await;
    let owner = Some(app.tokens.owner.as_str());
    let input = json!({ "id": id, "basedOnVersion": 1, "markdown": "Edgar's.", "tags": ["edgar"] });
    done(&app, &app.tokens.editor, "updatePost", POST, input).await;
    let before = post(&app, owner, &id, ALL).await;
    for version in [1, 0, -1, 3, i32::MAX] {
        let input = json!({
            "id": id, "basedOnVersion": version, "title": "Olga's", "markdown": "Olga's.", "tags": ["olga"],
            "custom": { "by": "olga" },
        });
        let answer = refused(&app, owner, "updatePost", input).await;
        assert_eq!(answer, json!([["STALE_VERSION", "basedOnVersion"]]), "based on {version}");
    }
    assert_eq!(post(&app, owner, &id, ALL).await, before, "the other's edit stands as it was");
    let tag = app.own("{ tag(slug: \"olga\") { id } }", json!({})).await;
    assert_eq!(tag["tag"], Value::Null, "a refused edit makes no tags");
}

#[tokio::test]
async fn of_edits_at_the_same_time_exactly_one_wins() {
    let app = TestApp::start().await;
    let id = draft(&app, "Race").await;
    let owner = Some(app.tokens.owner.as_str());
    for round in 1..=3 {
        let edits = (0..8).map(|n| {
            let text = format!("Round {round}, edit {n}.");
            let input = json!({ "id": id, "basedOnVersion": round, "markdown": text, "custom": { "n": n } });
            attempt(&app, owner, "updatePost", "post { markdown version }", input)
        });
        let answers: Vec<Value> = join_all(edits).await.into_iter().map(|a| data(a)["done"].take()).collect();
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a["post"].is_object());
        assert_eq!(won.len(), 1, "exactly one edit wins: {answers:#?}");
        assert!(lost.iter().all(|a| a["userErrors"][0]["code"] == "STALE_VERSION"), "the others are told: {lost:#?}");
        let now = post(&app, owner, &id, "markdown version custom revisions { nodes { version } }").await;
        assert_eq!(now["markdown"], won[0]["post"]["markdown"], "the winner's text is what is stored");
        assert!(text(&now["markdown"]).contains(&format!("edit {}.", now["custom"]["n"])), "and not mixed: {now}");
        assert_eq!(now["version"], round + 1);
        assert_eq!(now["revisions"]["nodes"].as_array().map(Vec::len), Some(round as usize), "one revision a round");
    }
}

#[tokio::test]
async fn a_revision_is_brought_back_and_what_it_replaced_is_kept() {
    let app = TestApp::start().await;
    let owner = &app.tokens.owner;
    let id = draft(&app, "Draft one").await;
    let input = json!({ "id": id, "basedOnVersion": 1, "title": "Draft two", "markdown": "# Two", "slug": "two" });
    done(&app, owner, "updatePost", POST, input).await;
    let warm = post(&app, Some(owner), &id, ALL).await;
    assert!(text(&warm["html"]).contains("Two"));
    let revision = &warm["revisions"]["nodes"][0]["id"];

    let input = json!({ "revisionId": revision });
    let restored = done(&app, owner, "restoreRevision", POST, input).await;
    assert_eq!(restored["post"]["title"], "Draft one");
    assert_eq!(restored["post"]["version"], 3, "going back is a change too");
    let now = post(&app, Some(owner), &id, ALL).await;
    assert_eq!(now["markdown"], "It says *Draft one*.");
    assert!(text(&now["html"]).contains("<em>Draft one</em>"), "the html follows: {}", now["html"]);
    assert_eq!(now["slug"], "two", "only the text goes back");
    let versions: Vec<_> =
        now["revisions"]["nodes"].as_array().expect("revisions").iter().map(|r| &r["version"]).collect();
    assert_eq!(versions, [&json!(2), &json!(1)], "newest first, and the replaced text is among them");

    done(&app, owner, "deletePost", "deletedId", json!({ "id": id })).await;
    let answer = refused(&app, Some(owner), "restoreRevision", json!({ "revisionId": revision })).await;
    assert_eq!(answer, json!([["NOT_FOUND", "revisionId"]]), "revisions go with their post");
}
