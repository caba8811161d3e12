//! Comments that wait, and comments that are spam.

use super::*;

/// On a public post: comments that wait and comments that are spam, some with an approved reply.
#[tokio::test]
async fn comments_that_are_not_approved_are_seen_by_staff_only() {
    let app = TestApp::start().await;
    let post = id_of_post(&app, TRANSLATED).await;
    let thread = comment(&app, &post, None, "A thread.").await;
    let mut ways = Vec::new();
    for (word, decision) in [("zugzwang-pending", "HOLD"), ("zugzwang-spam", "SPAM")] {
        let id = comment(&app, &post, Some(&thread), word).await;
        let reply = comment(&app, &post, Some(&id), "An approved reply.").await;
        moderate(&app, &id, decision).await;
        let way = |name: &str, query: String| Way::new(format!("{name} of {word}"), query, &[word]);
        ways.extend([
            way("node", format!("{{ node(id: {id:?}) {{ id ... on Comment {{ markdown html }} }} }}")),
            way("nodes", format!("{{ nodes(ids: [{id:?}]) {{ id ... on Comment {{ markdown }} }} }}")),
            way("parent", format!("{{ node(id: {reply:?}) {{ ... on Comment {{ parent {{ markdown }} }} }} }}")),
            way("replies", format!("{{ node(id: {thread:?}) {{ ... on Comment {{ replies {{ nodes {{ markdown }} }} }} }} }}")),
            way("latest replies", format!(
                "{{ node(id: {thread:?}) {{ ... on Comment {{ replies(last: 9, orderBy: NEWEST_FIRST) {{ nodes {{ html }} }} }} }} }}"
            )),
        ]);
        let top = comment(&app, &post, None, word).await;
        moderate(&app, &top, decision).await;
        ways.push(way(
            "Post.comments",
            format!("{{ post(id: {post:?}) {{ comments(first: 100) {{ nodes {{ markdown }} }} }} }}"),
        ));
    }
    let both = ["zugzwang-pending", "zugzwang-spam"];
    ways.push(Way::new("comments", "{ comments(first: 100) { nodes { markdown } } }", &both));
    ways.push(Way::new(
        "comments by status",
        "{ p: comments(status: PENDING) { nodes { markdown } } s: comments(status: SPAM) { nodes { markdown } } }",
        &both,
    ));
    seen_by_staff_only(&app, &ways).await;
}

#[tokio::test]
async fn no_count_tells_of_comments_that_are_not_approved() {
    let app = TestApp::start().await;
    let post = id_of_post(&app, TRANSLATED).await;
    let thread = comment(&app, &post, None, "A thread.").await;
    let query = format!(
        "{{
            comments(first: 1) {{ totalCount }}
            pending: comments(status: PENDING) {{ totalCount }}
            spam: comments(status: SPAM) {{ totalCount }}
            post(id: {post:?}) {{ comments(first: 1) {{ totalCount }} }}
            node(id: {thread:?}) {{ ... on Comment {{ replies(first: 1) {{ totalCount }} }} }}
        }}"
    );
    let public = data(app.ask(&query, json!({})).await);
    let mut staff = app.own(&query, json!({})).await;
    let spam = comment(&app, &post, Some(&thread), "zugzwang").await;
    moderate(&app, &spam, "SPAM").await;
    let held = comment(&app, &post, None, "zugzwang").await;
    moderate(&app, &held, "HOLD").await;
    for token in [None, Some(app.tokens.reader.as_str())] {
        let counts = data(app.ask_as(token, &query, json!({})).await);
        assert_eq!(counts, public, "who may not see the new comments should not count them");
        assert_eq!((&counts["pending"]["totalCount"], &counts["spam"]["totalCount"]), (&json!(0), &json!(0)));
    }
    for (pointer, more) in
        [("/comments", 2), ("/pending", 1), ("/spam", 1), ("/post/comments", 2), ("/node/replies", 1)]
    {
        add(&mut staff, &format!("{pointer}/totalCount"), more);
    }
    assert_eq!(app.own(&query, json!({})).await, staff, "the owner should count them all");
}

#[tokio::test]
async fn a_readers_comment_that_waits_is_told_to_its_author_once_and_to_nobody_else() {
    let app = TestApp::start().await;
    let post = id_of_post(&app, TRANSLATED).await;
    let query = "mutation($input: AddCommentInput!) { addComment(input: $input) { comment { id status } userErrors { code } } }";
    let input = json!({ "input": { "postId": post, "markdown": "zugzwang" } });
    let added = data(app.ask_as(Some(&app.tokens.reader), query, input).await);
    let comment = &added["addComment"]["comment"];
    assert_eq!(comment["status"], "PENDING", "a first comment waits for an editor");
    let by_node = format!("{{ node(id: {}) {{ ... on Comment {{ markdown }} }} }}", comment["id"]);
    seen_by_staff_only(&app, &[Way::new("node", &by_node, &["zugzwang"])]).await;
    moderate(&app, comment["id"].as_str().expect("an id"), "APPROVE").await;
    let answer = data(app.ask(&by_node, json!({})).await);
    assert_eq!(answer["node"]["markdown"], "zugzwang", "everybody sees it once it is approved");
}

#[tokio::test]
async fn a_comment_that_waits_takes_no_replies_and_no_changes_from_readers() {
    let app = TestApp::start().await;
    let post = id_of_post(&app, TRANSLATED).await;
    let held = comment(&app, &post, None, "zugzwang").await;
    moderate(&app, &held, "HOLD").await;
    let attempts = [
        (
            "addComment",
            "AddCommentInput",
            "parentId",
            json!({ "postId": post, "parentId": held, "markdown": "May I?" }),
        ),
        ("editComment", "EditCommentInput", "id", json!({ "id": held, "markdown": "May I?" })),
        ("deleteComment", "DeleteCommentInput", "id", json!({ "id": held })),
    ];
    for (mutation, of, field, input) in attempts {
        let query = format!(
            "mutation($input: {of}!) {{ done: {mutation}(input: $input) {{ comment {{ markdown }} userErrors {{ code field }} }} }}"
        );
        let answer = data(app.ask_as(Some(&app.tokens.reader), &query, json!({ "input": input })).await);
        let wanted = json!({ "comment": null, "userErrors": [{ "code": "NOT_FOUND", "field": field }] });
        assert_eq!(answer["done"], wanted, "{mutation} should not know of the comment");
    }
}
