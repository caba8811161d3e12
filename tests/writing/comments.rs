//! Comments, their threads, and who decides about them.

use serde_json::{Value, json};

use crate::deeds::{COMMENT, attempt, comment, decide, done, draft, picture, published, refused, text};
use crate::support::{TestApp, code, data, stored_text};

/// The comments of a post that everybody sees.
async fn public(app: &TestApp, post: &str) -> Value {
    let query = "query($id: ID!) { post(id: $id) { comments(first: 50) { totalCount nodes { \
                 id status markdown html author { handle } replies { totalCount nodes { id markdown } } } } } }";
    data(app.ask(query, json!({ "id": post })).await)["post"]["comments"].take()
}

#[tokio::test]
async fn a_readers_first_comment_waits_and_the_next_after_an_approval_does_not() {
    let app = TestApp::start().await;
    let (post, reader) = (published(&app, "Talk").await, &app.tokens.reader);
    let first = comment(&app, reader, &post, None, "Hello.").await;
    assert_eq!(first["status"], "PENDING");
    let second = comment(&app, reader, &post, None, "Hello again.").await;
    assert_eq!(second["status"], "PENDING", "nothing of hers was approved yet");
    assert_eq!(public(&app, &post).await["totalCount"], 0, "what waits is not shown");

    assert_eq!(decide(&app, &text(&first["id"]), "APPROVE").await["status"], "APPROVED");
    assert_eq!(public(&app, &post).await["nodes"][0]["markdown"], "Hello.", "shown in the very next query");
    let third = comment(&app, reader, &post, None, "Third.").await;
    assert_eq!(third["status"], "APPROVED", "she is known now");
    assert_eq!(public(&app, &post).await["totalCount"], 2, "the second still waits");
}

#[tokio::test]
async fn comments_of_staff_are_shown_at_once_and_policies_are_kept() {
    let app = TestApp::start().await;
    let post = published(&app, "Talk").await;
    for token in [&app.tokens.owner, &app.tokens.editor] {
        assert_eq!(comment(&app, token, &post, None, "Ours.").await["status"], "APPROVED");
    }
    let open = TestApp::start_with(&[("comment_moderation", "none")]).await;
    let post = published(&open, "Open").await;
    assert_eq!(comment(&open, &open.tokens.reader, &post, None, "Mine.").await["status"], "APPROVED");

    let strict = TestApp::start_with(&[("comment_moderation", "all")]).await;
    let post = published(&strict, "Strict").await;
    let mine = comment(&strict, &strict.tokens.reader, &post, None, "Mine.").await;
    decide(&strict, &text(&mine["id"]), "APPROVE").await;
    assert_eq!(comment(&strict, &strict.tokens.reader, &post, None, "Next.").await["status"], "PENDING");
    let input = json!({ "id": mine["id"], "markdown": "Something else." });
    let edited = done(&strict, &strict.tokens.reader, "editComment", COMMENT, input).await;
    assert_eq!(edited["comment"]["status"], "PENDING", "an approved text cannot be exchanged");
}

#[tokio::test]
async fn one_edits_ones_own_comment_and_nobody_elses() {
    let app = TestApp::start().await;
    let (post, reader, editor) = (published(&app, "Talk").await, &app.tokens.reader, &app.tokens.editor);
    let mine = comment(&app, reader, &post, None, "Helo.").await;
    let input = json!({ "id": mine["id"], "markdown": "Hello, **you**." });
    let edited = done(&app, reader, "editComment", "comment { status html editedAt }", input.clone()).await;
    assert_eq!(edited["comment"]["html"], "<p>Hello, <strong>you</strong>.</p>\n");
    assert!(edited["comment"]["editedAt"].is_string(), "it tells that it was edited");
    assert_eq!(edited["comment"]["status"], "PENDING", "editing approves nothing");

    let theirs = comment(&app, editor, &post, None, "Edgar's.").await;
    let before = picture(&app).await;
    for (who, token, id, expected) in [
        ("nobody in particular", None, &mine["id"], "UNAUTHENTICATED"),
        ("the editor", Some(editor), &mine["id"], "FORBIDDEN"),
        ("a reader", Some(reader), &theirs["id"], "FORBIDDEN"),
    ] {
        let input = json!({ "id": id, "markdown": "Forged." });
        let answer = attempt(&app, token.map(String::as_str), "editComment", COMMENT, input).await;
        assert_eq!(code(&answer), expected, "an edit by {who}");
    }
    for (token, expected) in [(None, "UNAUTHENTICATED"), (Some(reader.as_str()), "FORBIDDEN")] {
        let answer = attempt(&app, token, "deleteComment", COMMENT, json!({ "id": theirs["id"] })).await;
        assert_eq!(code(&answer), expected, "taking somebody else's comment back");
    }
    assert_eq!(picture(&app).await, before, "nothing was changed");

    decide(&app, &text(&theirs["id"]), "HOLD").await;
    for mutation in ["editComment", "deleteComment"] {
        let mut input = json!({ "id": theirs["id"] });
        if mutation == "editComment" {
            input["markdown"] = json!("Forged.");
        }
        let answer = refused(&app, Some(reader), mutation, input).await;
        assert_eq!(answer, json!([["NOT_FOUND", "id"]]), "{mutation} does not tell of what is hidden");
    }
}

#[tokio::test]
async fn a_deleted_comment_leaves_its_place_to_the_replies() {
    let app = TestApp::start().await;
    let (post, reader, editor) = (published(&app, "Talk").await, &app.tokens.reader, &app.tokens.editor);
    let mine = comment(&app, reader, &post, None, "A secret slipped.").await;
    let id = text(&mine["id"]);
    decide(&app, &id, "APPROVE").await;
    let reply = comment(&app, editor, &post, Some(&id), "Careful.").await;
    let gone = done(&app, reader, "deleteComment", COMMENT, json!({ "id": id })).await;
    assert_eq!(gone["comment"]["status"], "DELETED");

    let expected = json!({ "totalCount": 1, "nodes": [{
        "id": id, "status": "DELETED", "markdown": "", "html": "", "author": null,
        "replies": { "totalCount": 1, "nodes": [{ "id": reply["id"], "markdown": "Careful." }] },
    }] });
    assert_eq!(public(&app, &post).await, expected, "the place stays, uncounted, and the text is gone");
    let stored = crate::support::stored_text(&app.services, "(SELECT string_agg(c::text, '') FROM comments c)").await;
    assert!(!stored.contains("slipped"), "the text is not kept in secret");

    let wrong_state = json!([["WRONG_STATE", "id"]]);
    let input = json!({ "id": id, "markdown": "Back." });
    assert_eq!(refused(&app, Some(reader), "editComment", input).await, wrong_state);
    for decision in ["APPROVE", "HOLD", "SPAM"] {
        let input = json!({ "id": id, "decision": decision });
        let answer = refused(&app, Some(editor), "moderateComment", input).await;
        assert_eq!(answer[0][0], "WRONG_STATE", "a deleted comment stays deleted, whatever is decided: {answer}");
    }
    let by_staff = comment(&app, reader, &post, None, "Rude.").await;
    let gone = done(&app, editor, "deleteComment", COMMENT, json!({ "id": by_staff["id"] })).await;
    assert_eq!(gone["comment"]["status"], "DELETED", "an editor may take any comment away");
}

#[tokio::test]
async fn decisions_show_and_hide_at_once() {
    let app = TestApp::start().await;
    let post = published(&app, "Talk").await;
    let id = text(&comment(&app, &app.tokens.reader, &post, None, "Buy ink!").await["id"]);
    for (decision, status, shown) in
        [("APPROVE", "APPROVED", 1), ("SPAM", "SPAM", 0), ("APPROVE", "APPROVED", 1), ("HOLD", "PENDING", 0)]
    {
        assert_eq!(decide(&app, &id, decision).await["status"], status);
        assert_eq!(public(&app, &post).await["totalCount"], shown, "after {decision}");
        assert_eq!(decide(&app, &id, decision).await["status"], status, "{decision} twice is {decision} once");
    }
    decide(&app, &id, "SPAM").await;
    let input = json!({ "id": id, "markdown": "Honest." });
    let answer = refused(&app, Some(&app.tokens.reader), "editComment", input).await;
    assert_eq!(answer, json!([["WRONG_STATE", "id"]]), "spam is not edited into something else");
}

#[tokio::test]
async fn replies_need_a_comment_that_the_answerer_can_see_on_this_post() {
    let app = TestApp::start().await;
    let (post, other) = (published(&app, "Talk").await, published(&app, "Other talk").await);
    let (reader, editor) = (&app.tokens.reader, &app.tokens.editor);
    let pending = comment(&app, reader, &post, None, "Waiting.").await;
    let elsewhere = comment(&app, editor, &other, None, "Elsewhere.").await;
    let deleted = comment(&app, editor, &post, None, "Gone.").await;
    done(&app, editor, "deleteComment", COMMENT, json!({ "id": deleted["id"] })).await;
    for (what, parent) in [("pending", &pending), ("of another post", &elsewhere), ("deleted", &deleted)] {
        let input = json!({ "postId": post, "parentId": parent["id"], "markdown": "So?" });
        let answer = refused(&app, Some(reader), "addComment", input).await;
        assert_eq!(answer, json!([["NOT_FOUND", "parentId"]]), "a reply to a comment that is {what}");
    }
    let answer = comment(&app, editor, &post, pending["id"].as_str(), "I see you.").await;
    assert_eq!(answer["depth"], 1, "an editor sees what waits and may answer it");
    let shown = public(&app, &post).await;
    let statuses: Vec<_> = shown["nodes"].as_array().expect("comments").iter().map(|c| &c["status"]).collect();
    assert_eq!(statuses, ["DELETED"], "only the place of the deleted one is shown");

    let hidden = draft(&app, "Secret talk").await;
    for token in [reader, &app.tokens.owner] {
        let input = json!({ "postId": hidden, "markdown": "Hm." });
        if token == reader {
            let answer = refused(&app, Some(token), "addComment", input).await;
            assert_eq!(answer, json!([["NOT_FOUND", "postId"]]), "a draft cannot be found by commenting");
        } else {
            done(&app, token, "addComment", COMMENT, input).await;
        }
    }
    let answer = attempt(&app, None, "addComment", COMMENT, json!({ "postId": post, "markdown": "Me too." })).await;
    assert_eq!(code(&answer), "UNAUTHENTICATED");
}

#[tokio::test]
async fn threads_are_at_most_sixteen_replies_deep() {
    let app = TestApp::start().await;
    let (post, editor) = (published(&app, "Deep").await, &app.tokens.editor);
    let mut parent = None;
    for depth in 0..=16 {
        let added = comment(&app, editor, &post, parent.as_deref(), "Deeper.").await;
        assert_eq!(added["depth"], depth);
        parent = added["id"].as_str().map(str::to_owned);
    }
    let input = json!({ "postId": post, "parentId": parent, "markdown": "Too deep." });
    assert_eq!(refused(&app, Some(editor), "addComment", input).await, json!([["WRONG_STATE", "parentId"]]));
    assert_eq!(public(&app, &post).await["totalCount"], 17);
}

#[tokio::test]
async fn empty_and_too_long_comments_are_refused() {
    let app = TestApp::start().await;
    let (post, editor) = (published(&app, "Talk").await, &app.tokens.editor);
    let longest = "墨".repeat(16 * 1024 / 3) + "a";
    assert_eq!(longest.len(), 16 * 1024);
    let id = comment(&app, editor, &post, None, &longest).await["id"].clone();
    for (markdown, expected) in [
        ("", "INVALID"),
        (" \n\t\u{3000}", "INVALID"),
        ("a\0b", "INVALID"),
        (&*(longest + "a"), "TOO_LONG"),
        (&*"a".repeat(16 * 1024 + 1), "TOO_LONG"),
    ] {
        let expected = json!([[expected, "markdown"]]);
        let what: String = markdown.chars().take(5).collect();
        let input = json!({ "postId": post, "markdown": markdown });
        assert_eq!(refused(&app, Some(editor), "addComment", input).await, expected, "adding {what:?}…");
        let input = json!({ "id": id, "markdown": markdown });
        assert_eq!(refused(&app, Some(editor), "editComment", input).await, expected, "editing to {what:?}…");
    }
}

#[tokio::test]
async fn the_html_of_a_comment_has_formatting_but_no_html_and_no_images() {
    let app = TestApp::start().await;
    let post = published(&app, "Talk").await;
    let markdown = "# Loud\n\n<b onclick=x>bold</b> ![pixel](https://evil.example/p.gif) *soft* `code`\n\n\
                    > quote\n\n- [link](https://example.org)\n\n| a |\n|---|\n| b |";
    let html = text(&comment(&app, &app.tokens.editor, &post, None, markdown).await["html"]);
    for part in
        ["<em>soft</em>", "<code>code</code>", "<blockquote>", "<li>", "href=\"https://example.org\"", "nofollow"]
    {
        assert!(html.contains(part), "expected {part} in {html}");
    }
    for part in ["<img", "<b>", "<b ", "<h1", "<table"] {
        assert!(!html.contains(part), "{part} should not be in {html}");
    }
}

/// Those that come while others are being written share a transaction, and nothing else.
#[tokio::test]
async fn comments_that_come_at_once_are_written_together_and_each_gets_its_own_answer() {
    let app = TestApp::start().await;
    let (post, other) = (published(&app, "Talk").await, published(&app, "Elsewhere").await);
    let hidden = draft(&app, "Hidden").await;
    let asked = text(&comment(&app, &app.tokens.editor, &post, None, "Asked.").await["id"]);
    let number = async |sql: &str| stored_text(&app.services, sql).await.parse::<u32>().expect("a number");
    let transactions = "(SELECT count(DISTINCT xid)::text FROM events WHERE kind = 'comment.added')";
    let events = "(SELECT count(*)::text FROM events WHERE kind = 'comment.added')";
    let before = (number(transactions).await, number(events).await);
    let attempts = (0..60).map(|n| {
        let (token, post, parent) = match n % 6 {
            0 => (&app.tokens.reader, &post, None),
            1 => (&app.tokens.editor, &other, None),
            2 => (&app.tokens.reader, &hidden, None),
            3 => (&app.tokens.editor, &post, Some(&asked)),
            4 => (&app.tokens.editor, &other, Some(&asked)),
            _ => (&app.tokens.owner, &hidden, None),
        };
        let input = json!({ "postId": post, "parentId": parent, "markdown": format!("Number {n}.") });
        attempt(&app, Some(token), "addComment", COMMENT, input)
    });
    for (n, answer) in futures_util::future::join_all(attempts).await.into_iter().enumerate() {
        let answer = &answer["data"]["done"];
        let fault = &answer["userErrors"][0];
        match n % 6 {
            2 => assert_eq!((&fault["code"], &fault["field"]), (&json!("NOT_FOUND"), &json!("postId")), "{answer:#}"),
            4 => assert_eq!((&fault["code"], &fault["field"]), (&json!("NOT_FOUND"), &json!("parentId")), "{answer:#}"),
            kind => {
                let status = if kind == 0 { "PENDING" } else { "APPROVED" };
                assert_eq!(answer["comment"]["markdown"], format!("Number {n}."), "{answer:#}");
                assert_eq!(answer["comment"]["status"], status, "{answer:#}");
            }
        }
    }
    assert_eq!(number("(SELECT count(*)::text FROM comments WHERE markdown LIKE 'Number %')").await, 40);
    assert_eq!(number(events).await - before.1, 40, "each has its event");
    let taken = number(transactions).await - before.0;
    assert!(taken < 30, "40 comments in {taken} transactions");
    assert_eq!(public(&app, &post).await["totalCount"], 11, "the first, and the answers to it");
    assert_eq!(public(&app, &post).await["nodes"][0]["replies"]["totalCount"], 10);
    assert_eq!(public(&app, &other).await["totalCount"], 10);
}
