//! Reactions to posts.

use serde_json::{Value, json};

use crate::deeds::{attempt, done, draft, picture, post, published, refused};
use crate::support::{TestApp, code};

const SEEN: &str = "reactionCounts { kind count } viewerHasReacted";
const ANSWER: &str = "post { reactionCounts { kind count } viewerHasReacted }";

#[tokio::test]
async fn reacting_twice_counts_once_and_is_taken_back() {
    let app = TestApp::start().await;
    let (id, reader) = (published(&app, "Liked").await, &app.tokens.reader);
    let input = json!({ "postId": id, "kind": "LIKE" });
    let liked = json!({ "reactionCounts": [{ "kind": "LIKE", "count": 1 }], "viewerHasReacted": ["LIKE"] });
    let mut seen = Vec::new();
    for _ in 0..2 {
        assert_eq!(done(&app, reader, "react", ANSWER, input.clone()).await["post"], liked);
        assert_eq!(post(&app, Some(reader), &id, SEEN).await, liked, "the next query says so too");
        seen.push(picture(&app).await);
    }
    assert_eq!(seen[0], seen[1], "the second time changes nothing and tells nobody");

    let none = json!({ "reactionCounts": [], "viewerHasReacted": [] });
    for _ in 0..2 {
        assert_eq!(done(&app, reader, "unreact", ANSWER, input.clone()).await["post"], none);
        assert_eq!(post(&app, Some(reader), &id, SEEN).await, none);
    }
}

#[tokio::test]
async fn everybody_is_counted_and_each_sees_their_own() {
    let app = TestApp::start().await;
    let id = published(&app, "Liked").await;
    let (owner, editor, reader) = (&app.tokens.owner, &app.tokens.editor, &app.tokens.reader);
    for (token, kind) in
        [(owner, "LOVE"), (editor, "LOVE"), (reader, "CURIOUS"), (reader, "LOVE"), (reader, "INSIGHTFUL")]
    {
        done(&app, token, "react", ANSWER, json!({ "postId": id, "kind": kind })).await;
    }
    done(&app, reader, "unreact", ANSWER, json!({ "postId": id, "kind": "INSIGHTFUL" })).await;
    let counts = async |token: Option<&String>| {
        let mut seen = post(&app, token.map(String::as_str), &id, SEEN).await;
        seen["reactionCounts"].as_array_mut().expect("counts").sort_by_key(Value::to_string);
        (seen["reactionCounts"].take(), seen["viewerHasReacted"].take())
    };
    let all = json!([{ "kind": "CURIOUS", "count": 1 }, { "kind": "LOVE", "count": 3 }]);
    let mut sorted = all.clone();
    sorted.as_array_mut().expect("counts").sort_by_key(Value::to_string);
    assert_eq!(counts(None).await, (sorted.clone(), json!([])), "nobody in particular has not reacted");
    assert_eq!(counts(Some(editor)).await, (sorted.clone(), json!(["LOVE"])));
    let (shared, mut own) = counts(Some(reader)).await;
    own.as_array_mut().expect("kinds").sort_by_key(Value::to_string);
    assert_eq!((shared, own), (sorted, json!(["CURIOUS", "LOVE"])));
}

#[tokio::test]
async fn reactions_need_somebody_and_a_post_that_they_see() {
    let app = TestApp::start().await;
    let (id, hidden) = (published(&app, "Liked").await, draft(&app, "Hidden").await);
    let before = picture(&app).await;
    for mutation in ["react", "unreact"] {
        let answer = attempt(&app, None, mutation, ANSWER, json!({ "postId": id, "kind": "LIKE" })).await;
        assert_eq!(code(&answer), "UNAUTHENTICATED", "{mutation} by nobody in particular");
        let input = json!({ "postId": hidden, "kind": "LIKE" });
        let answer = refused(&app, Some(&app.tokens.reader), mutation, input).await;
        assert_eq!(answer, json!([["NOT_FOUND", "postId"]]), "{mutation} on a draft");
        let wrong = json!({ "postId": id, "kind": "HATE" });
        let answer = attempt(&app, Some(&app.tokens.reader), mutation, ANSWER, wrong).await;
        assert!(answer["errors"][0]["message"].is_string(), "there is no such reaction: {answer}");
    }
    assert_eq!(picture(&app).await, before, "nothing was changed");
}
