//! API keys: what each scope allows, and what it does not.

use chrono::{Duration, Utc};
use inkstone::auth::Scope;
use serde_json::{Value, json};

use super::viewer;
use crate::deeds::{attempt, comment, draft, picture, post, published};
use crate::support::{TestApp, code};

#[tokio::test]
async fn a_key_may_what_its_scopes_say_and_nothing_else() {
    let app = TestApp::start().await;
    let (id, hidden) = (published(&app, "Open").await, draft(&app, "Hidden").await);
    let waiting = comment(&app, &app.tokens.reader, &id, None, "Waiting.").await["id"].clone();
    let deeds = [
        (Scope::Write, "createPost", "post { slug }", json!({ "title": "By a key", "markdown": "x" })),
        (Scope::Write, "createTag", "tag { slug }", json!({ "name": "By a key" })),
        (Scope::Write, "updateSite", "site { title }", json!({ "title": "By a key" })),
        (Scope::Comment, "addComment", "comment { depth }", json!({ "postId": id, "markdown": "By a key." })),
        (Scope::Comment, "react", "post { slug }", json!({ "postId": id, "kind": "LIKE" })),
        (Scope::Moderate, "moderateComment", "comment { status }", json!({ "id": waiting, "decision": "APPROVE" })),
    ];
    for scope in Scope::ALL {
        let token = app.key("olga", &[scope]).await;
        assert_eq!(viewer(&app, &token).await, "olga", "every key says whose it is");
        let seen = post(&app, Some(&token), &hidden, "id").await;
        assert_eq!(seen != Value::Null, scope == Scope::Read, "a draft, by a key to {}", scope.as_str());
        for (needed, mutation, selection, input) in &deeds {
            let before = picture(&app).await;
            let answer = attempt(&app, Some(&token), mutation, selection, input.clone()).await;
            if scope == *needed {
                assert_eq!(
                    answer["data"]["done"]["userErrors"],
                    json!([]),
                    "{mutation} by a key to {}",
                    scope.as_str()
                );
            } else {
                assert_eq!(code(&answer), "FORBIDDEN", "{mutation} by a key to {}", scope.as_str());
                assert_eq!(picture(&app).await, before, "{mutation} changed nothing");
            }
        }
    }
}

#[tokio::test]
async fn a_key_is_no_more_than_its_user() {
    let app = TestApp::start().await;
    let hidden = draft(&app, "Hidden").await;
    let token = app.key("rita", &Scope::ALL).await;
    assert_eq!(post(&app, Some(&token), &hidden, "id").await, Value::Null, "a reader's key sees no drafts");
    let token = app.key("edgar", &Scope::ALL).await;
    let answer = attempt(&app, Some(&token), "updateSite", "site { title }", json!({ "title": "Edgar's" })).await;
    assert_eq!(code(&answer), "FORBIDDEN", "an editor's key does not change the site");
}

#[tokio::test]
async fn a_key_is_good_until_it_expires_and_is_no_session() {
    let app = TestApp::start().await;
    let token = app.key_until("olga", &Scope::ALL, Some(Utc::now() + Duration::hours(1))).await;
    assert_eq!(viewer(&app, &token).await, "olga");
    let out = app.ask_as(Some(&token), "mutation { signOut { signedOut } }", json!({})).await;
    assert_eq!(out["data"]["signOut"]["signedOut"], false, "a key is not ended by signing out");
    assert_eq!(viewer(&app, &token).await, "olga");

    let expired = app.key_until("olga", &Scope::ALL, Some(Utc::now() - Duration::milliseconds(1))).await;
    let as_session = token.replace("ink_key_", "ink_ses_");
    for (what, wrong) in [("an expired key", expired), ("a key as a session", as_session), ("a word", "secret".into())]
    {
        let answer = app.ask_as(Some(&wrong), "{ viewer { handle } }", json!({})).await;
        assert_eq!(code(&answer), "UNAUTHENTICATED", "{what}");
    }
}
