//! Replies below what is hidden: approved themselves, and reached by readers in no way.

use super::*;

/// A thread whose second comment is hidden by `decision`, with two approved answers below it:
/// the thread, the hidden one, the answer and the answer to that.
async fn thread(app: &TestApp, post: &str, word: &str, decision: &str) -> [String; 4] {
    let top = comment(app, post, None, "A thread.").await;
    let hidden = comment(app, post, Some(&top), "To be hidden.").await;
    let answer = comment(app, post, Some(&hidden), &format!("{word}-answer")).await;
    let last = comment(app, post, Some(&answer), &format!("{word}-last")).await;
    moderate(app, &hidden, decision).await;
    [top, hidden, answer, last]
}

#[tokio::test]
async fn answers_below_a_hidden_comment_are_seen_by_staff_only() {
    let app = TestApp::start().await;
    let post = id_of_post(&app, TRANSLATED).await;
    let mut ways = Vec::new();
    let mut words = Vec::new();
    for (word, decision) in [("zugzwang-held", "HOLD"), ("zugzwang-spam", "SPAM")] {
        let [top, hidden, answer, last] = thread(&app, &post, word, decision).await;
        let (answered, lasted) = (format!("{word}-answer"), format!("{word}-last"));
        let both = [answered.as_str(), lasted.as_str()];
        let on = |id: &str, fields: &str| format!("{{ node(id: {id:?}) {{ ... on Comment {{ {fields} }} }} }}");
        let mut way = |name: &str, query: String, words: &[&str]| {
            ways.push(Way::new(format!("{name} of {word}"), query, words));
        };
        way("node", on(&answer, "markdown"), &[&answered]);
        way("node, deeper", on(&last, "html"), &[&lasted]);
        way("nodes", format!("{{ nodes(ids: [{answer:?}, {last:?}]) {{ ... on Comment {{ markdown }} }} }}"), &both);
        way("parent", on(&last, "parent { markdown }"), &[&answered]);
        way("replies of the hidden one", on(&hidden, "replies { nodes { markdown } }"), &[&answered]);
        way("replies of the answer", on(&answer, "replies { nodes { markdown } }"), &[&lasted]);
        way(
            "replies, all the way down",
            on(&top, "replies { nodes { replies { nodes { markdown replies { nodes { markdown } } } } } }"),
            &both,
        );
        words.extend([answered, lasted]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let inner = "nodes { markdown replies(first: 3) { nodes { markdown } } }";
    let down =
        format!("nodes {{ markdown replies(first: 3) {{ nodes {{ markdown replies(first: 3) {{ {inner} }} }} }} }}");
    let newest = format!("comments(first: 5, orderBy: NEWEST_FIRST) {{ {down} }}");
    ways.push(Way::new("Post.comments", format!("{{ post(id: {post:?}) {{ {newest} }} }}"), &words));
    ways.push(Way::new("comments", "{ comments(first: 100) { nodes { markdown } } }", &words));
    ways.push(Way::new(
        "approved comments",
        "{ comments(status: APPROVED, first: 100) { nodes { markdown } } }",
        &words,
    ));
    seen_by_staff_only(&app, &ways).await;
}

#[tokio::test]
async fn no_count_tells_of_answers_below_a_hidden_comment() {
    let app = TestApp::start().await;
    let post = id_of_post(&app, TRANSLATED).await;
    let [top, hidden, answer, _] = thread(&app, &post, "zugzwang", "APPROVE").await;
    let query = format!(
        "{{ comments(first: 1) {{ totalCount }} approved: comments(first: 1, status: APPROVED) {{ totalCount }}
            post(id: {post:?}) {{ comments(first: 1) {{ totalCount }} }}
            top: node(id: {top:?}) {{ ... on Comment {{ replies(first: 1) {{ totalCount }} }} }} }}"
    );
    let shown = data(app.ask(&query, json!({})).await);
    moderate(&app, &hidden, "SPAM").await;
    let mut expected = shown.clone();
    for (pointer, less) in [("/comments", 3), ("/approved", 3), ("/post/comments", 3), ("/top/replies", 1)] {
        add(&mut expected, &format!("{pointer}/totalCount"), -less);
    }
    for token in [None, Some(app.tokens.reader.as_str())] {
        let counts = data(app.ask_as(token, &query, json!({})).await);
        assert_eq!(counts, expected, "what is below spam is not counted");
    }
    // Whoever hid it answers it and finds it again with all that hangs on it.
    moderate(&app, &hidden, "APPROVE").await;
    assert_eq!(data(app.ask(&query, json!({})).await), shown, "approved again, it is all there again");
    let last = format!("{{ node(id: {answer:?}) {{ ... on Comment {{ replies {{ nodes {{ markdown }} }} }} }} }}");
    let found = data(app.ask(&last, json!({})).await);
    assert_eq!(found["node"]["replies"]["nodes"][0]["markdown"], "zugzwang-last");
}

#[tokio::test]
async fn readers_do_not_answer_below_what_is_hidden_but_below_what_is_deleted() {
    let app = TestApp::start().await;
    let post = id_of_post(&app, TRANSLATED).await;
    let [_, hidden, answer, last] = thread(&app, &post, "zugzwang", "HOLD").await;
    let query =
        "mutation($input: AddCommentInput!) { addComment(input: $input) { comment { id } userErrors { code field } } }";
    let reply = async |parent: &str| {
        let input = json!({ "input": { "postId": post, "parentId": parent, "markdown": "May I?" } });
        data(app.ask_as(Some(&app.tokens.reader), query, input).await)["addComment"].take()
    };
    let not_found = json!({ "comment": null, "userErrors": [{ "code": "NOT_FOUND", "field": "parentId" }] });
    for parent in [&answer, &last] {
        assert_eq!(reply(parent).await, not_found, "an answer to what a reader cannot see");
    }
    for mutation in ["editComment", "deleteComment"] {
        let (of, more) =
            if mutation == "editComment" { ("EditCommentInput", true) } else { ("DeleteCommentInput", false) };
        let mut input = json!({ "id": answer });
        if more {
            input["markdown"] = json!("May I?");
        }
        let query =
            format!("mutation($input: {of}!) {{ done: {mutation}(input: $input) {{ userErrors {{ code field }} }} }}");
        let told = data(app.ask_as(Some(&app.tokens.reader), &query, json!({ "input": input })).await);
        assert_eq!(told["done"]["userErrors"], json!([{ "code": "NOT_FOUND", "field": "id" }]), "{mutation}");
    }
    moderate(&app, &hidden, "APPROVE").await;
    change(&app, "deleteComment", "DeleteCommentInput", "comment { id }", json!({ "id": hidden })).await;
    let told = reply(&answer).await;
    assert_eq!(told["userErrors"], json!([]), "a deleted comment with answers keeps their place: {told}");
    let seen = data(
        app.ask(
            &format!("{{ node(id: {last:?}) {{ ... on Comment {{ markdown parent {{ parent {{ status }} }} }} }} }}"),
            json!({}),
        )
        .await,
    );
    assert_eq!(seen["node"], json!({ "markdown": "zugzwang-last", "parent": { "parent": { "status": "DELETED" } } }));
}

#[tokio::test]
async fn a_comment_that_readers_did_not_see_leaves_no_place_behind() {
    let app = TestApp::start().await;
    let post = id_of_post(&app, TRANSLATED).await;
    let by_reader = "mutation($input: AddCommentInput!) { addComment(input: $input) { comment { id } } }";
    let delete = "mutation($input: DeleteCommentInput!) { deleteComment(input: $input) { comment { status } userErrors { code } } }";
    let public = format!("{{ post(id: {post:?}) {{ comments(first: 100) {{ totalCount nodes {{ id status }} }} }} }}");
    let before = data(app.ask(&public, json!({})).await);
    for decisions in [&[][..], &["SPAM"], &["APPROVE", "SPAM"], &["APPROVE", "HOLD"]] {
        let input = json!({ "input": { "postId": post, "markdown": "zugzwang" } });
        let mut added = data(app.ask_as(Some(&app.tokens.reader), by_reader, input).await);
        let id = text(&added["addComment"]["comment"]["id"].take());
        let (approvals, hiding) = decisions.split_at(decisions.iter().filter(|one| **one == "APPROVE").count());
        for decision in approvals {
            moderate(&app, &id, decision).await;
        }
        comment(&app, &post, Some(&id), "zugzwang, an answer").await;
        for decision in hiding {
            moderate(&app, &id, decision).await;
        }
        let gone = data(app.ask_as(Some(&app.tokens.reader), delete, json!({ "input": { "id": id } })).await);
        assert_eq!(gone["deleteComment"], json!({ "comment": { "status": "DELETED" }, "userErrors": [] }));
        assert_eq!(
            data(app.ask(&public, json!({})).await),
            before,
            "deleted after {decisions:?}, readers see no trace"
        );
        let node =
            format!("{{ node(id: {id:?}) {{ id ... on Comment {{ replies {{ totalCount nodes {{ id }} }} }} }} }}");
        assert_eq!(data(app.ask(&node, json!({})).await)["node"], Value::Null, "nor by its id");
        assert_eq!(app.own(&node, json!({})).await["node"]["replies"]["totalCount"], 1, "staff see its place");
        let again = data(app.ask_as(Some(&app.tokens.reader), delete, json!({ "input": { "id": id } })).await);
        assert_eq!(again["deleteComment"]["userErrors"], json!([]), "deleting twice is deleting once");
        assert_eq!(data(app.ask(&public, json!({})).await), before, "and brings nothing back");
    }
}
