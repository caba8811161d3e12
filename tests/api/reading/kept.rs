//! Pages that the process keeps: they cost no statement, and are never older than what is on them.

use super::*;
use crate::support::live::PATIENCE;

const PAGE: &str = "{
    posts(first: 30) { nodes { slug title tags { name } comments(first: 5) { nodes { markdown status author { handle } } } } }
    user(handle: \"mo\") { posts(first: 30) { nodes { slug } } }
    tag(slug: \"small-tools\") { posts(first: 30) { nodes { slug } } }
}";

/// What everybody sees, once with what is kept and once with what the database has.
async fn seen(app: &TestApp) -> Value {
    let (answer, _) = app.respond(None, PAGE, json!({})).await;
    let again = async {
        loop {
            let (again, statements) = app.respond(None, PAGE, json!({})).await;
            assert_eq!(answer, again);
            // All is kept but what the user and the tag are. The log tells of a change once more.
            if statements == 2 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("the pages are kept");
    data(answer)
}

fn post<'a>(page: &'a Value, slug: &str) -> &'a Value {
    let nodes = page["posts"]["nodes"].as_array().expect("posts");
    nodes.iter().find(|node| node["slug"] == slug).unwrap_or(&Value::Null)
}

fn comments(page: &Value, slug: &str) -> Vec<String> {
    let nodes = post(page, slug)["comments"]["nodes"].as_array().expect("comments").iter();
    nodes.map(|node| node["markdown"].as_str().expect("a text").to_owned()).collect()
}

fn has(list: &Value, slug: &str) -> bool {
    list["posts"]["nodes"].as_array().expect("posts").iter().any(|node| node["slug"] == slug)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_kept_is_as_new_as_what_is_on_it() {
    let app = TestApp::start_with(&[("job_workers", "0")]).await;
    let change = async |mutation: &str, input: Value| {
        let done = app.own(mutation, json!({ "input": input })).await;
        assert!(!done.to_string().contains("\"message\""), "{done}");
        done
    };
    let before = seen(&app).await;
    let (slug, other) = ("grinding-ink", "two-clocks");
    let found = data(app.ask("{ post(slug: \"grinding-ink\") { id version } }", json!({})).await);
    let (id, version) = (found["post"]["id"].clone(), found["post"]["version"].clone());

    let add =
        "mutation($input: AddCommentInput!) { addComment(input: $input) { comment { id } userErrors { message } } }";
    let added = change(add, json!({ "postId": id, "markdown": "A zephyrine remark." })).await;
    let comment = added["addComment"]["comment"]["id"].clone();
    let page = seen(&app).await;
    assert_eq!(comments(&page, slug).len(), comments(&before, slug).len() + 1, "{page:#}");
    assert_eq!(comments(&page, other), comments(&before, other));

    let edit =
        "mutation($input: EditCommentInput!) { editComment(input: $input) { comment { id } userErrors { message } } }";
    change(edit, json!({ "id": comment, "markdown": "Another remark." })).await;
    assert!(comments(&seen(&app).await, slug).contains(&"Another remark.".to_owned()));
    let moderate = "mutation($input: ModerateCommentInput!) { moderateComment(input: $input) { comment { id } userErrors { message } } }";
    change(moderate, json!({ "id": comment, "decision": "SPAM" })).await;
    assert_eq!(comments(&seen(&app).await, slug), comments(&before, slug));

    let update =
        "mutation($input: UpdatePostInput!) { updatePost(input: $input) { post { id } userErrors { message } } }";
    change(update, json!({ "id": id, "basedOnVersion": version, "title": "Grinding again", "tags": ["small-tools"] }))
        .await;
    let page = seen(&app).await;
    assert_eq!(
        (&post(&page, slug)["title"], &post(&page, slug)["tags"]),
        (&json!("Grinding again"), &json!([{ "name": "Small tools · 小工具" }]))
    );
    assert!(has(&page["tag"], slug) && !has(&before["tag"], slug), "{page:#}");
    let unpublish =
        "mutation($input: PostIdInput!) { unpublishPost(input: $input) { post { id } userErrors { message } } }";
    change(unpublish, json!({ "id": id })).await;
    let page = seen(&app).await;
    assert!(post(&page, slug).is_null() && !has(&page["tag"], slug) && !has(&page["user"], slug), "{page:#}");
    app.stop().await;
}

/// Who may see more is not shown what is kept for everybody, and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_everybody_is_for_everybody() {
    let app = TestApp::start().await;
    let list = "{ posts(first: 100) { nodes { slug status } } }";
    let drafts = |answer: &Value| answer.to_string().matches("DRAFT").count();
    for _ in 0..2 {
        let (all, public) = (app.own(list, json!({})).await, data(app.ask(list, json!({})).await));
        assert!(drafts(&all) > 0 && drafts(&public) == 0, "{all:#} {public:#}");
    }
    app.stop().await;
}
