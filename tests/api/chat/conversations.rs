//! What one has asked: it can be looked at, renamed, taken along and deleted, by oneself alone.

use chrono::Utc;
use inkstone::auth::Scope;
use inkstone::services::chatting::conversations::MAX_MESSAGES;
use inkstone::store::messages::{self, MessageRow, Speaker};
use inkstone::store::users;

use super::*;

const LIST: &str = "query($first: Int, $after: String) { conversations(first: $first, after: $after) {
    nodes { id title } pageInfo { hasNextPage endCursor }
} }";
const ONE: &str = "query($id: ID!) {
    conversation(id: $id) { id title markdown messages(first: 10) { nodes {
        id role text finishReason model promptTokens completionTokens citations { index title headingPath url excerpt post { slug } }
    } } }
    node(id: $id) { __typename id }
}";
const RENAME: &str = "mutation($input: RenameConversationInput!) { renameConversation(input: $input) {
    conversation { title } userErrors { code field }
} }";
const DELETE: &str = "mutation($input: DeleteConversationInput!) { deleteConversation(input: $input) {
    deletedId userErrors { code field }
} }";

async fn asked(app: &TestApp, token: &str, question: &str) -> Value {
    ask(app, Some(token), json!({ "question": question })).await["conversationId"].take()
}

#[tokio::test]
async fn what_was_asked_is_kept_for_members() {
    let (app, _) = site(&[("public_url", "https://ink.example")]).await;
    let reader = app.tokens.reader.clone();
    let id = asked(&app, &reader, QUESTION).await;
    let found = data(app.ask_as(Some(&reader), ONE, json!({ "id": id })).await);
    assert_eq!(found["node"], json!({ "__typename": "Conversation", "id": id }));
    let said = &found["conversation"]["messages"]["nodes"];
    assert_eq!((&said[0]["role"], &said[0]["text"]), (&json!("USER"), &json!(QUESTION)));
    assert_eq!((&said[0]["finishReason"], &said[0]["citations"]), (&Value::Null, &json!([])));
    let answer = &said[1];
    assert_eq!((&answer["role"], &answer["text"]), (&json!("ASSISTANT"), &json!("It has 93 degrees [1].")));
    assert_eq!((&answer["finishReason"], &answer["model"]), (&json!("STOP"), &json!("scripted/test")));
    assert_eq!((&answer["promptTokens"], &answer["completionTokens"]), (&json!(7), &json!(5)));
    assert_eq!(answer["citations"][0]["post"]["slug"], "zorbic-kettle");
    let markdown = found["conversation"]["markdown"].as_str().expect("a text");
    assert!(markdown.starts_with(&format!("# {QUESTION}\n\n## ")), "{markdown}");
    assert!(markdown.contains(&format!("\n> {QUESTION}\n\nIt has 93 degrees [1].\n\n- \\[1\\] [")), "{markdown}");
    assert!(markdown.contains("](https://ink.example/posts/zorbic-kettle"), "{markdown}");
    let node = "query($id: ID!) { node(id: $id) { __typename ... on ChatMessage { text } } }";
    let message = data(app.ask_as(Some(&reader), node, json!({ "id": answer["id"] })).await);
    assert_eq!(message["node"], json!({ "__typename": "ChatMessage", "text": "It has 93 degrees [1]." }));
}

#[tokio::test]
async fn a_list_has_the_last_used_first() {
    let (app, _) = site(&[]).await;
    let reader = app.tokens.reader.clone();
    let first = asked(&app, &reader, "First: how hot is the zorbic kettle?").await;
    let second = asked(&app, &reader, "Second: how hot is the zorbic kettle?").await;
    ask(&app, Some(&reader), json!({ "question": QUESTION, "conversationId": first })).await;
    let page = data(app.ask_as(Some(&reader), LIST, json!({ "first": 1 })).await);
    let page = &page["conversations"];
    assert_eq!(page["nodes"], json!([{ "id": first, "title": "First: how hot is the zorbic kettle?" }]));
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let next = json!({ "first": 1, "after": page["pageInfo"]["endCursor"] });
    let next = data(app.ask_as(Some(&reader), LIST, next).await);
    assert_eq!(next["conversations"]["nodes"][0]["id"], second);
    let wrong = app.ask_as(Some(&reader), LIST, json!({ "after": "nonsense" })).await;
    assert_eq!(code(&wrong), "BAD_USER_INPUT");
}

#[tokio::test]
async fn it_is_renamed_and_deleted_by_its_user() {
    let (app, _) = site(&[]).await;
    let reader = app.tokens.reader.clone();
    let id = asked(&app, &reader, QUESTION).await;
    let rename = async |token: &str, title: &str| {
        let input = json!({ "input": { "id": id, "title": title } });
        data(app.ask_as(Some(token), RENAME, input).await)["renameConversation"].take()
    };
    assert_eq!(rename(&reader, "  Kettles ").await["conversation"]["title"], "Kettles");
    let too_long = "x".repeat(201);
    for (title, code) in [("", "INVALID"), ("a\nb", "INVALID"), (too_long.as_str(), "TOO_LONG")] {
        let refused = rename(&reader, title).await;
        assert_eq!(refused["userErrors"], json!([{ "code": code, "field": "title" }]), "{title:?}");
    }
    let delete = async |token: &str| {
        data(app.ask_as(Some(token), DELETE, json!({ "input": { "id": id } })).await)["deleteConversation"].take()
    };
    let unknown = json!([{ "code": "NOT_FOUND", "field": "id" }]);
    for other in [&app.tokens.owner, &app.tokens.editor] {
        assert_eq!(rename(other, "Mine").await["userErrors"], unknown);
        assert_eq!(delete(other).await["userErrors"], unknown);
    }
    assert_eq!(delete(&reader).await["deletedId"], id);
    assert_eq!(delete(&reader).await["userErrors"], unknown);
    let gone = data(app.ask_as(Some(&reader), ONE, json!({ "id": id })).await);
    assert_eq!((&gone["conversation"], &gone["node"]), (&Value::Null, &Value::Null));
    let input = json!({ "question": QUESTION, "conversationId": id });
    let refused = data(app.ask_as(Some(&reader), ASK, json!({ "input": input })).await);
    assert_eq!(refused["askSite"]["userErrors"][0]["code"], "NOT_FOUND");
}

#[tokio::test]
async fn nobody_else_sees_it() {
    let (app, _) = site(&[]).await;
    let reader = app.tokens.reader.clone();
    let id = asked(&app, &reader, QUESTION).await;
    let found = data(app.ask_as(Some(&reader), ONE, json!({ "id": id })).await);
    let message = found["conversation"]["messages"]["nodes"][1]["id"].clone();
    let key = app.key("rita", &Scope::ALL).await;
    for (who, token) in [
        ("the owner", Some(app.tokens.owner.as_str())),
        ("an editor", Some(app.tokens.editor.as_str())),
        ("a key of the reader's own", Some(key.as_str())),
        ("nobody", None),
    ] {
        let found = data(app.ask_as(token, ONE, json!({ "id": id })).await);
        assert_eq!((&found["conversation"], &found["node"]), (&Value::Null, &Value::Null), "{who}");
        let node = "query($id: ID!) { node(id: $id) { id } }";
        assert_eq!(data(app.ask_as(token, node, json!({ "id": message })).await)["node"], Value::Null, "{who}");
    }
    let mine = data(app.ask_as(Some(&app.tokens.owner), LIST, json!({})).await);
    assert_eq!(mine["conversations"]["nodes"], json!([]), "the owner has asked nothing");
    assert_eq!(code(&app.ask(LIST, json!({})).await), "UNAUTHENTICATED");
    assert_eq!(code(&app.ask_as(Some(&key), LIST, json!({})).await), "FORBIDDEN");
    let rename = json!({ "input": { "id": id, "title": "x" } });
    assert_eq!(code(&app.ask_as(Some(&key), RENAME, rename.clone()).await), "FORBIDDEN");
    assert_eq!(code(&app.ask(RENAME, rename).await), "UNAUTHENTICATED");
}

#[tokio::test]
async fn what_was_taken_back_is_not_quoted_any_more() {
    let (app, _) = site(&[]).await;
    let reader = app.tokens.reader.clone();
    let id = asked(&app, &reader, QUESTION).await;
    let post = data(app.ask("{ post(slug: \"zorbic-kettle\") { id } }", json!({})).await)["post"]["id"].take();
    let unpublish = "mutation($input: PostIdInput!) { unpublishPost(input: $input) { post { status } } }";
    app.own(unpublish, json!({ "input": { "id": post } })).await;
    let found = data(app.ask_as(Some(&reader), ONE, json!({ "id": id })).await);
    let citation = &found["conversation"]["messages"]["nodes"][1]["citations"][0];
    assert_eq!((&citation["post"], &citation["excerpt"]), (&Value::Null, &Value::Null));
    assert_eq!(citation["title"], "The zorbic kettle", "what the answer was written from is still named");
    assert_eq!(citation["headingPath"], json!([]));
    let url = citation["url"].as_str().expect("a URL");
    assert!(url.ends_with("/posts/zorbic-kettle"), "without the heading: {url}");
}

#[tokio::test]
async fn a_conversation_has_an_end() {
    let (app, _) = site(&[]).await;
    let reader = app.tokens.reader.clone();
    let answer = ask(&app, Some(&reader), json!({ "question": QUESTION })).await;
    let mut conn = app.services.db.conn().await.expect("a connection");
    let user = users::by_handle(&mut conn, "rita").await.expect("the users are read").expect("rita");
    let page = inkstone::store::Page { limit: 1, after: None, before: None, from_end: false };
    let kept = inkstone::store::conversations::page(&mut conn, user.id, &page).await.expect("a page").rows.remove(0);
    for _ in 2..MAX_MESSAGES {
        let row = MessageRow {
            id: uuid::Uuid::now_v7(),
            conversation_id: kept.id,
            role: Speaker::User,
            content: "x".into(),
            citations: json!([]),
            finish: None,
            model: None,
            prompt_tokens: 0,
            completion_tokens: 0,
            created_at: Utc::now(),
        };
        messages::insert(&mut conn, &row).await.expect("a message");
    }
    drop(conn);
    let input = json!({ "question": QUESTION, "conversationId": answer["conversationId"] });
    let refused = data(app.ask_as(Some(&reader), ASK, json!({ "input": input })).await);
    assert_eq!(refused["askSite"]["userErrors"][0]["code"], "WRONG_STATE");
    let message = refused["askSite"]["userErrors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("begin another"), "{message}");
}
