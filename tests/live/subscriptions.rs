//! What each subscription delivers, and to whom, over WebSocket and over SSE.

use serde_json::{Value, json};

use crate::support::live::Sse;
use crate::support::{TestApp, code};
use crate::watch::{Watch, now, standing};
use crate::writing::{COMMENT_ADDED, comment, done, love, moderate, post_id, publish, rename};

const REACTIONS: &str = "subscription($post: ID!, $after: String) {
    reactionCountsChanged(postId: $post, after: $after) { cursor counts { kind count } post { title reactionCounts { count } } }
}";
const PUBLISHED: &str = "subscription($after: String) {
    postPublished(after: $after) { cursor post { title author { handle } } }
}";

/// The text of the next comment.
async fn told(watch: &mut Watch) -> Value {
    watch.event().await["commentAdded"]["comment"]["markdown"].take()
}

#[tokio::test]
async fn a_comment_is_seen_by_editors_when_written_and_by_readers_when_approved() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let variables = json!({ "post": post, "after": now(&app).await });
    let editors = Watch::both(&app, Some(&app.tokens.editor), COMMENT_ADDED, variables.clone()).await;
    let reader = Watch::both(&app, Some(&app.tokens.reader), COMMENT_ADDED, variables.clone()).await;
    let nobody = Watch::both(&app, None, COMMENT_ADDED, variables).await;

    let waiting = comment(&app, &app.tokens.reader, &post, "first words").await;
    assert_eq!(waiting["status"], "PENDING", "a reader's first comment waits");
    let mut editors = editors;
    for editor in &mut editors {
        let seen = editor.event().await["commentAdded"]["comment"].take();
        let transport = editor.transport();
        assert_eq!(seen["markdown"], "first words", "an editor sees it before it is approved, over {transport}");
        assert_eq!(seen["author"]["handle"], "rita");
        assert_eq!(seen["post"]["slug"], "moshuiping-de-yu");
    }

    comment(&app, &app.tokens.editor, &post, "second words").await;
    moderate(&app, &waiting, "APPROVE").await;
    let mut readers: Vec<Watch> = reader.into_iter().chain(nobody).collect();
    for watch in &mut readers {
        let seen = [told(watch).await, told(watch).await];
        let transport = watch.transport();
        assert_eq!(seen, ["second words", "first words"], "readers see it when it is first approved, over {transport}");
    }
    for decision in ["SPAM", "APPROVE"] {
        moderate(&app, &waiting, decision).await;
    }
    comment(&app, &app.tokens.editor, &post, "third words").await;
    for watch in &mut readers {
        assert_eq!(told(watch).await, "third words", "a second approval is not told, over {}", watch.transport());
    }
    for mut editor in editors {
        let seen = [told(&mut editor).await, told(&mut editor).await];
        assert_eq!(seen, ["second words", "third words"], "an approval is not told to editors again");
    }
}

#[tokio::test]
async fn a_subscription_without_a_cursor_begins_now() {
    let app = TestApp::start().await;
    let (here, there) = (post_id(&app).await, publish(&app, "The other transport").await);
    let mut socket = Watch::socket(&app, None, COMMENT_ADDED, json!({ "post": here })).await;
    let mut sse = Watch::sse(&app, None, COMMENT_ADDED, json!({ "post": there })).await;
    standing(&app, 2).await;
    for (watch, post) in [(&mut socket, &here), (&mut sse, &there)] {
        comment(&app, &app.tokens.editor, post, "now").await;
        assert_eq!(told(watch).await, "now", "over {}", watch.transport());
    }
}

#[tokio::test]
async fn comments_on_another_post_are_not_delivered() {
    let app = TestApp::start().await;
    let (here, elsewhere) = (post_id(&app).await, publish(&app, "Elsewhere").await);
    let watches = Watch::both(&app, None, COMMENT_ADDED, json!({ "post": here, "after": now(&app).await })).await;
    comment(&app, &app.tokens.editor, &elsewhere, "not for you").await;
    comment(&app, &app.tokens.editor, &here, "for you").await;
    for mut watch in watches {
        assert_eq!(told(&mut watch).await, "for you", "over {}", watch.transport());
    }
}

#[tokio::test]
async fn nested_fields_are_read_anew_for_each_event() {
    let app = TestApp::start().await;
    let post = publish(&app, "Title 0").await;
    let query = "subscription($post: ID!, $after: String) { commentAdded(postId: $post, after: $after) {
        comment { author { handle } post { title reactionCounts { count } comments { totalCount } } } } }";
    let mut watches = Watch::both(&app, None, query, json!({ "post": post, "after": now(&app).await })).await;
    for n in 1..=3 {
        rename(&app, &post, &format!("Title {n}")).await;
        love(&app, &app.tokens.reader, &post, n % 2 == 1).await;
        let (token, handle) = if n == 2 { (&app.tokens.owner, "olga") } else { (&app.tokens.editor, "edgar") };
        comment(&app, token, &post, "words").await;
        let counts = if n % 2 == 1 { json!([{ "count": 1 }]) } else { json!([]) };
        let wanted = json!({ "author": { "handle": handle }, "post": {
            "title": format!("Title {n}"), "reactionCounts": counts, "comments": { "totalCount": n } } });
        for watch in &mut watches {
            let event = watch.event().await;
            assert_eq!(event["commentAdded"]["comment"], wanted, "event {n} over {}", watch.transport());
        }
    }
}

#[tokio::test]
async fn what_was_taken_back_before_it_could_be_told_is_not_told() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let after = now(&app).await;
    let spam = comment(&app, &app.tokens.editor, &post, "to be spam").await;
    let deleted = comment(&app, &app.tokens.editor, &post, "to be deleted").await;
    comment(&app, &app.tokens.editor, &post, "to stay").await;
    moderate(&app, &spam, "SPAM").await;
    let input = json!({ "id": deleted["id"] });
    done(&app, &app.tokens.editor, "deleteComment", "DeleteCommentInput", "comment { id }", input).await;
    let variables = json!({ "post": post, "after": after });
    for mut watch in Watch::both(&app, None, COMMENT_ADDED, variables.clone()).await {
        assert_eq!(told(&mut watch).await, "to stay", "readers do not get spam or deleted comments");
    }
    for mut watch in Watch::both(&app, Some(&app.tokens.editor), COMMENT_ADDED, variables).await {
        let seen = [told(&mut watch).await, told(&mut watch).await];
        assert_eq!(seen, ["to be spam", "to stay"], "editors get what readers do not see, save what is deleted");
    }
}

#[tokio::test]
async fn a_draft_cannot_be_watched_by_the_public() {
    let app = TestApp::start().await;
    let drafts = app.own("{ posts(first: 1, filter: {status: DRAFT}) { nodes { id } } }", json!({})).await;
    let draft = drafts["posts"]["nodes"][0]["id"].clone();
    assert!(draft.is_string(), "the demo site has a draft");
    let viewers = "subscription($post: ID!) { viewerCount(postId: $post) { count } }";
    for query in [COMMENT_ADDED, REACTIONS, viewers] {
        for token in [None, Some(app.tokens.reader.as_str())] {
            for mut watch in Watch::both(&app, token, query, json!({ "post": draft })).await {
                let refusal = watch.refusal().await;
                assert_eq!(code(&refusal), "NOT_FOUND", "over {}: {query}", watch.transport());
            }
        }
    }
    let mut watch = Watch::sse(&app, Some(&app.tokens.editor), viewers, json!({ "post": draft })).await;
    assert_eq!(watch.event().await["viewerCount"]["count"], 1, "an editor may watch a draft");
}

#[tokio::test]
async fn ids_that_name_no_post_are_refused() {
    let app = TestApp::start().await;
    let found = app.own("{ tags(first: 1) { nodes { id } } }", json!({})).await;
    let tag = found["tags"]["nodes"][0]["id"].clone();
    for (id, wanted) in [(json!("nonsense"), "BAD_USER_INPUT"), (tag, "BAD_USER_INPUT")] {
        for mut watch in Watch::both(&app, None, COMMENT_ADDED, json!({ "post": id })).await {
            assert_eq!(code(&watch.refusal().await), wanted, "over {}, for the id {id}", watch.transport());
        }
    }
}

#[tokio::test]
async fn a_post_is_told_when_it_goes_live() {
    let app = TestApp::start().await;
    let after = now(&app).await;
    let watches = Watch::both(&app, None, PUBLISHED, json!({ "after": after })).await;
    let made = done(
        &app,
        &app.tokens.owner,
        "createPost",
        "CreatePostInput",
        "post { id }",
        json!({ "title": "Draft", "markdown": "text" }),
    );
    let draft = made.await["post"]["id"].take();
    publish(&app, "Fresh").await;
    done(&app, &app.tokens.editor, "publishPost", "PostIdInput", "post { id }", json!({ "id": draft })).await;
    for mut watch in watches {
        for title in ["Fresh", "Draft"] {
            let event = watch.event().await;
            let wanted = json!({ "title": title, "author": { "handle": "olga" } });
            assert_eq!(
                event["postPublished"]["post"],
                wanted,
                "in the order of publishing, over {}",
                watch.transport()
            );
        }
    }
}

#[tokio::test]
async fn reaction_counts_are_told_with_each_change() {
    let app = TestApp::start().await;
    let (post, other) = (publish(&app, "Likeable").await, publish(&app, "Other").await);
    let mut watches = Watch::both(&app, None, REACTIONS, json!({ "post": post, "after": now(&app).await })).await;
    for (token, on, count) in
        [(&app.tokens.reader, true, 1), (&app.tokens.editor, true, 2), (&app.tokens.reader, false, 1)]
    {
        love(&app, token, &other, on).await;
        love(&app, token, &post, on).await;
        // Doing it again changes nothing, and so tells nothing.
        love(&app, token, &post, on).await;
        for watch in &mut watches {
            let event = watch.event().await["reactionCountsChanged"].take();
            let transport = watch.transport();
            assert_eq!(event["counts"], json!([{ "kind": "LOVE", "count": count }]), "over {transport}");
            assert_eq!(
                event["post"],
                json!({ "title": "Likeable", "reactionCounts": [{ "count": count }] }),
                "over {transport}"
            );
        }
    }
}

/// GraphQL allows one field at the root of a subscription; with two, one cursor would have to
/// stand for two places.
#[tokio::test]
async fn two_fields_at_the_root_are_refused() {
    let app = TestApp::start().await;
    let two = "subscription { a: postPublished { cursor } b: postPublished { cursor } }";
    let by_fragment = "subscription { ...two } fragment two on Subscription { a: postPublished { cursor } b: postPublished { cursor } }";
    for query in [two, by_fragment] {
        for mut watch in Watch::both(&app, None, query, json!({})).await {
            let refused = tokio::time::timeout(std::time::Duration::from_secs(3), watch.refusal()).await;
            let refusal = refused.expect("it should be refused at once");
            assert_eq!(code(&refusal), "BAD_USER_INPUT", "over {}: {query}", watch.transport());
        }
    }
}

#[tokio::test]
async fn a_query_over_sse_is_answered_and_complete() {
    let app = TestApp::start().await;
    let mut sse = Sse::open(&app, Some(&app.tokens.owner), None, "{ viewer { handle } }", json!({})).await;
    let answer = sse.next().await.expect("an answer");
    assert_eq!(answer.data, json!({ "data": { "viewer": { "handle": "olga" } } }));
    assert_eq!(sse.next().await.expect("an end").event, "complete");
    assert_eq!(sse.next().await, None, "nothing comes behind the end");
}

#[tokio::test]
async fn a_browser_hears_that_a_stream_is_complete() {
    let app = TestApp::start().await;
    let address = format!("{}/graphql/stream?query=%7B__typename%7D", app.base);
    let text = app.http.get(address).send().await.expect("an answer").text().await.expect("text");
    assert!(text.contains("event: complete\ndata:"), "without data an EventSource says nothing of it: {text:?}");
}

#[tokio::test]
async fn a_subscription_at_the_common_address_is_answered_with_events() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let request = app.http.post(format!("{}/graphql", app.base)).header(
        "accept",
        "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
    );
    let body = json!({ "query": COMMENT_ADDED, "variables": { "post": post, "after": now(&app).await } });
    let mut sse = Sse::of(request.json(&body).send().await.expect("an answer"));
    comment(&app, &app.tokens.editor, &post, "one").await;
    let event = sse.next().await.expect("an event");
    assert_eq!(event.data["data"]["commentAdded"]["comment"]["markdown"], "one", "as urql asks: {event:?}");
}

/// Those who have not signed in and ask for the same share what is done for them: nobody may hear
/// an event twice for it, or miss one, whoever else comes and goes.
#[tokio::test]
async fn each_of_many_who_ask_for_the_same_hears_each_event_once() {
    let app = TestApp::start().await;
    let post = post_id(&app).await;
    let variables = json!({ "post": post });
    let mut many = Vec::new();
    for _ in 0..20 {
        // A stream's head is sent when it has joined the others.
        many.push(Watch::sse(&app, None, COMMENT_ADDED, variables.clone()).await);
    }
    let mut reader = Watch::sse(&app, Some(&app.tokens.reader), COMMENT_ADDED, variables.clone()).await;
    standing(&app, 1).await;
    comment(&app, &app.tokens.reader, &post, "waits for an editor").await;
    comment(&app, &app.tokens.editor, &post, "one").await;
    comment(&app, &app.tokens.editor, &post, "two").await;
    for watch in many.iter_mut().chain([&mut reader]) {
        assert_eq!([told(watch).await, told(watch).await], ["one", "two"]);
    }
    many.truncate(1);
    comment(&app, &app.tokens.editor, &post, "three").await;
    assert_eq!(told(&mut many[0]).await, "three", "who came first may leave first");
    let mut late = Watch::sse(&app, None, COMMENT_ADDED, variables.clone()).await;
    comment(&app, &app.tokens.editor, &post, "four").await;
    assert_eq!(told(&mut reader).await, "three", "who has signed in hears the same");
    for watch in [&mut many[0], &mut late, &mut reader] {
        assert_eq!(told(watch).await, "four", "who came late hears what came later");
    }
    drop((many, late));
    let mut again = Watch::sse(&app, None, COMMENT_ADDED, variables).await;
    standing(&app, 1).await;
    comment(&app, &app.tokens.editor, &post, "five").await;
    assert_eq!(told(&mut again).await, "five", "after all have gone, the next begins anew");
}

#[tokio::test]
async fn a_subscription_outlives_the_time_that_a_query_has() {
    let app = TestApp::start_with(&[("query_timeout_ms", "100")]).await;
    let post = post_id(&app).await;
    let watches = Watch::both(&app, None, COMMENT_ADDED, json!({ "post": post, "after": now(&app).await })).await;
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    comment(&app, &app.tokens.editor, &post, "much later").await;
    for mut watch in watches {
        assert_eq!(told(&mut watch).await, "much later", "over {}", watch.transport());
    }
}
