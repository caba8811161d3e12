//! Every write of posts, tags, series and the site is refused to whom it is not for.

use inkstone::auth::Scope;
use serde_json::{Value, json};

use crate::deeds::{attempt, comment, draft, picture, published};
use crate::support::{TestApp, code};

/// The writes that are for the owner and editors, each with what it selects and its input.
async fn staff_writes(app: &TestApp) -> Vec<(&'static str, &'static str, Value)> {
    let (post, draft) = (published(app, "Not theirs").await, draft(app, "Not theirs either").await);
    let edit = json!({ "id": post, "basedOnVersion": 2, "markdown": "Ours." });
    attempt(app, Some(&app.tokens.owner), "updatePost", "post { id }", edit).await;
    let fields = "query($id: ID!) { post(id: $id) { revisions { nodes { id } } } tag(slug: \"ink\") { id } \
                  series(slug: \"a-small-site\") { id } }";
    let ids = app.own(fields, json!({ "id": post })).await;
    let (tag, series) = (&ids["tag"]["id"], &ids["series"]["id"]);
    let revision = &ids["post"]["revisions"]["nodes"][0]["id"];
    assert!(revision.is_string() && tag.is_string() && series.is_string(), "there is something to change: {ids}");
    let note = comment(app, &app.tokens.reader, &post, None, "Waiting.").await["id"].clone();
    vec![
        ("createPost", "post { id }", json!({ "title": "Theirs", "markdown": "x", "tags": ["theirs"] })),
        ("updatePost", "post { id }", json!({ "id": post, "basedOnVersion": 3, "title": "Theirs" })),
        ("schedulePost", "post { id }", json!({ "id": draft, "publishAt": "2999-01-01T00:00:00Z" })),
        ("publishPost", "post { id }", json!({ "id": draft })),
        ("unpublishPost", "post { id }", json!({ "id": post })),
        ("deletePost", "deletedId", json!({ "id": post })),
        ("restoreRevision", "post { id }", json!({ "revisionId": revision })),
        ("createTag", "tag { id }", json!({ "name": "Theirs too" })),
        ("updateTag", "tag { id }", json!({ "id": tag, "name": "Theirs" })),
        ("deleteTag", "deletedId", json!({ "id": tag })),
        ("createSeries", "series { id }", json!({ "title": "Theirs", "language": "en" })),
        ("updateSeries", "series { id }", json!({ "id": series, "title": "Theirs" })),
        ("deleteSeries", "deletedId", json!({ "id": series })),
        ("updateSite", "site { title }", json!({ "title": "Theirs" })),
        ("moderateComment", "comment { id }", json!({ "id": note, "decision": "APPROVE" })),
    ]
}

#[tokio::test]
async fn staff_writes_are_refused_to_everybody_else_and_change_nothing() {
    let app = TestApp::start().await;
    let writes = staff_writes(&app).await;
    let scopes = [Scope::Read, Scope::Comment];
    let (owners, readers) = (app.key("olga", &scopes).await, app.key("rita", &Scope::ALL).await);
    let before = picture(&app).await;
    let askers = [
        ("nobody in particular", None, "UNAUTHENTICATED"),
        ("a stranger's token", Some("ink_ses_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "UNAUTHENTICATED"),
        ("a reader", Some(app.tokens.reader.as_str()), "FORBIDDEN"),
        ("a reader's key with every scope", Some(readers.as_str()), "FORBIDDEN"),
        ("the owner's key without the scopes", Some(owners.as_str()), "FORBIDDEN"),
    ];
    for (who, token, expected) in askers {
        for (mutation, selection, input) in &writes {
            let answer = attempt(&app, token, mutation, selection, input.clone()).await;
            assert_eq!(code(&answer), expected, "{mutation} by {who}");
        }
    }
    assert_eq!(picture(&app).await, before, "nothing was changed");
}

#[tokio::test]
async fn the_same_writes_are_allowed_to_an_editor_save_the_site() {
    let app = TestApp::start().await;
    for (mutation, selection, input) in staff_writes(&app).await {
        let before = picture(&app).await;
        let answer = attempt(&app, Some(&app.tokens.editor), mutation, selection, input).await;
        if mutation == "updateSite" {
            assert_eq!(code(&answer), "FORBIDDEN", "the site is the owner's");
            assert_eq!(picture(&app).await, before, "nothing was changed");
            continue;
        }
        // What was deleted before is not there any more; being told so is being allowed to ask.
        let errors = answer["data"]["done"]["userErrors"].as_array().expect("a payload");
        assert!(errors.iter().all(|e| e["code"] == "NOT_FOUND"), "{mutation} by an editor: {answer}");
        assert!(!errors.is_empty() || picture(&app).await != before, "{mutation} should change something");
    }
}
