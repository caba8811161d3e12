//! Who has written reads it in the very next query, out of a warm cache.

use serde_json::{Value, json};

use crate::deeds::{POST, done, post, post_at, published, text};
use crate::support::{TestApp, data};

const SHOWN: &str = "title html tags { name } reactionCounts { kind count } comments { totalCount }";

/// What everybody sees, by id and by slug, which must be the same.
async fn shown(app: &TestApp, id: &str, slug: &str) -> Value {
    let by_id = post(app, None, id, SHOWN).await;
    assert_eq!(post_at(app, None, slug, SHOWN).await, by_id, "by slug and by id the same is shown");
    by_id
}

#[tokio::test]
async fn the_next_query_shows_the_edit_by_slug_and_by_id() {
    let app = TestApp::start().await;
    let id = published(&app, "Fresh").await;
    for version in 2..12 {
        shown(&app, &id, "fresh").await;
        let (title, tag) = (format!("Fresh {version}"), format!("Tag {version}"));
        let input = json!({
            "id": id, "basedOnVersion": version, "title": title, "markdown": format!("Text **{version}**."), "tags": [tag],
        });
        done(&app, &app.tokens.owner, "updatePost", POST, input).await;
        let now = shown(&app, &id, "fresh").await;
        assert_eq!(now["title"], title);
        assert!(text(&now["html"]).contains(&format!("<strong>{version}</strong>")), "the new html: {}", now["html"]);
        assert_eq!(now["tags"], json!([{ "name": tag }]));
    }
}

#[tokio::test]
async fn a_new_slug_leads_to_the_post_and_the_old_one_nowhere() {
    let app = TestApp::start().await;
    let id = published(&app, "Old name").await;
    shown(&app, &id, "old-name").await;
    assert_eq!(post_at(&app, None, "new-name", "id").await, Value::Null, "asked before it is there");
    let input = json!({ "id": id, "basedOnVersion": 2, "slug": "new-name" });
    done(&app, &app.tokens.owner, "updatePost", POST, input).await;
    assert_eq!(post_at(&app, None, "new-name", "id").await["id"], json!(id));
    assert_eq!(post_at(&app, None, "old-name", "id").await, Value::Null);
    let other = published(&app, "Old name").await;
    assert_eq!(post_at(&app, None, "old-name", "id").await["id"], json!(other), "the old slug can be given anew");
}

#[tokio::test]
async fn the_next_query_counts_reactions_and_comments_and_knows_renamed_tags() {
    let app = TestApp::start().await;
    let id = published(&app, "Counted").await;
    let input = json!({ "id": id, "basedOnVersion": 2, "tags": ["renamed"] });
    done(&app, &app.tokens.owner, "updatePost", POST, input).await;
    let tag = app.own("{ tag(slug: \"renamed\") { id } }", json!({})).await["tag"]["id"].clone();
    for (n, token) in [&app.tokens.owner, &app.tokens.editor, &app.tokens.reader].into_iter().enumerate() {
        shown(&app, &id, "counted").await;
        done(&app, token, "react", POST, json!({ "postId": id, "kind": "LOVE" })).await;
        done(&app, &app.tokens.editor, "addComment", "comment { id }", json!({ "postId": id, "markdown": "So." }))
            .await;
        let name = format!("Renamed {n}");
        done(&app, &app.tokens.owner, "updateTag", "tag { id }", json!({ "id": tag, "name": name })).await;
        let now = shown(&app, &id, "counted").await;
        assert_eq!(now["reactionCounts"], json!([{ "kind": "LOVE", "count": n + 1 }]));
        assert_eq!(now["comments"]["totalCount"], n + 1);
        assert_eq!(now["tags"], json!([{ "name": name }]), "posts show the new name of their tag");
    }
    done(&app, &app.tokens.owner, "deleteTag", "deletedId", json!({ "id": tag })).await;
    assert_eq!(shown(&app, &id, "counted").await["tags"], json!([]), "posts lose a deleted tag");
}

#[tokio::test]
async fn mutations_of_one_request_see_each_other() {
    let app = TestApp::start().await;
    let id = published(&app, "Together").await;
    shown(&app, &id, "together").await;
    let query = "mutation($id: ID!) {
        tag: createTag(input: { name: \"Just Made\" }) { tag { slug } }
        first: updatePost(input: { id: $id, basedOnVersion: 2, title: \"One\", tags: [\"just-made\"], markdown: \"*1*\" }) {
            post { ...shown }
        }
        second: updatePost(input: { id: $id, basedOnVersion: 3, title: \"Two\", markdown: \"*2*\" }) { post { ...shown } }
        react(input: { postId: $id, kind: LIKE }) { post { ...shown } }
        stale: updatePost(input: { id: $id, basedOnVersion: 3, title: \"Three\" }) { post { title } userErrors { code } }
        unreact(input: { postId: $id, kind: LIKE }) { post { ...shown } }
      }
      fragment shown on Post { title html version tags { name } reactionCounts { count } viewerHasReacted }";
    let done = data(app.ask_as(Some(&app.tokens.owner), query, json!({ "id": id })).await);
    let shown = |title: &str, version: i32, html: &str, likes: Value, own: Value| {
        json!({ "title": title, "version": version, "html": format!("<p><em>{html}</em></p>\n"),
                "tags": [{ "name": "Just Made" }], "reactionCounts": likes, "viewerHasReacted": own })
    };
    assert_eq!(done["first"]["post"], shown("One", 3, "1", json!([]), json!([])));
    assert_eq!(done["second"]["post"], shown("Two", 4, "2", json!([]), json!([])));
    assert_eq!(done["react"]["post"], shown("Two", 4, "2", json!([{ "count": 1 }]), json!(["LIKE"])));
    assert_eq!(done["stale"], json!({ "post": null, "userErrors": [{ "code": "STALE_VERSION" }] }));
    assert_eq!(done["unreact"]["post"], shown("Two", 4, "2", json!([]), json!([])));
}
