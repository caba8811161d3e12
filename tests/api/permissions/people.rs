//! Addresses, the list of users, and what keys see.

use super::*;

#[tokio::test]
async fn an_email_address_is_told_to_its_owner_and_to_the_sites_owner() {
    let app = TestApp::start().await;
    let query = r#"{ olga: user(handle: "olga") { email } edgar: user(handle: "edgar") { email } rita: user(handle: "rita") { email } }"#;
    let key = key_without_read(&app).await;
    let none: [&str; 0] = [];
    let cases = [
        ("nobody", None, &none[..]),
        ("the owner", Some(&app.tokens.owner), &["olga", "edgar", "rita"][..]),
        ("an editor", Some(&app.tokens.editor), &["edgar"][..]),
        ("a reader", Some(&app.tokens.reader), &["rita"][..]),
        ("a key of the owner that may not read", Some(&key), &none[..]),
    ];
    for (who, token, seen) in cases {
        let found = data(app.ask_as(token.map(String::as_str), query, json!({})).await);
        for handle in ["olga", "edgar", "rita"] {
            let wanted = if seen.contains(&handle) { json!(format!("{handle}@example.org")) } else { Value::Null };
            assert_eq!(found[handle]["email"], wanted, "what {who} learns of {handle}'s address");
        }
        let listed = data(
            app.ask_as(token.map(String::as_str), "{ users(first: 100) { nodes { handle email } } }", json!({})).await,
        );
        let told = listed.to_string().matches("@example.org").count();
        assert!(told <= seen.len(), "{who} learns {told} addresses from the list of users, expected {seen:?}");
    }
}

#[tokio::test]
async fn the_public_list_of_users_holds_staff_only() {
    let app = TestApp::start().await;
    let query = "{ users(first: 100) { totalCount nodes { handle role } } }";
    let key = key_without_read(&app).await;
    for token in [None, Some(&app.tokens.reader), Some(&key)] {
        let users = data(app.ask_as(token.map(String::as_str), query, json!({})).await);
        let handles: Vec<&Value> = nodes(&users["users"]).iter().map(|user| &user["handle"]).collect();
        assert_eq!(json!(handles), json!(["edgar", "mo", "olga", "shuyi"]), "the public should see who writes here");
        assert_eq!(users["users"]["totalCount"], 4);
    }
    for token in [&app.tokens.owner, &app.tokens.editor] {
        let users = data(app.ask_as(Some(token), query, json!({})).await);
        assert!(nodes(&users["users"]).iter().any(|user| user["role"] == "READER"), "staff should see readers too");
        assert_eq!(users["users"]["totalCount"], nodes(&users["users"]).len());
    }
}

#[tokio::test]
async fn the_list_of_users_is_filtered_by_role_within_what_one_sees() {
    let app = TestApp::start().await;
    let query = "query($role: UserRole) { users(first: 100, role: $role) { totalCount nodes { handle role } } }";
    for (token, readers) in [(None, false), (Some(&app.tokens.reader), false), (Some(&app.tokens.editor), true)] {
        for role in ["OWNER", "EDITOR", "READER"] {
            let users = data(app.ask_as(token.map(String::as_str), query, json!({ "role": role })).await);
            let found = nodes(&users["users"]);
            assert!(found.iter().all(|user| user["role"] == role), "only {role}: {found:?}");
            assert_eq!(users["users"]["totalCount"], found.len(), "the total counts the same ones");
            assert_eq!(!found.is_empty(), role != "READER" || readers, "{role}, staff asking: {readers}");
        }
    }
}

fn nodes(connection: &Value) -> &[Value] {
    connection["nodes"].as_array().expect("nodes")
}

#[tokio::test]
async fn a_key_sees_with_the_read_scope_what_its_user_sees_and_no_more() {
    let app = TestApp::start().await;
    create(&app, "zugzwang-draft", json!({})).await;
    let query = r#"{ viewer { handle } post(slug: "zugzwang-draft") { title } }"#;
    let cases = [
        ("olga", vec![Scope::Read], true),
        ("edgar", vec![Scope::Read], true),
        ("olga", vec![Scope::Write, Scope::Comment, Scope::Moderate], false),
        ("rita", Scope::ALL.to_vec(), false),
    ];
    for (handle, scopes, seen) in cases {
        let token = app.key(handle, &scopes).await;
        let found = data(app.ask_as(Some(&token), query, json!({})).await);
        assert_eq!(found["viewer"]["handle"], handle, "a key should speak for its user");
        assert_eq!(found["post"] != Value::Null, seen, "a key of {handle} with {scopes:?} and a draft");
    }
}

#[tokio::test]
async fn a_key_does_only_what_its_scopes_name() {
    let app = TestApp::start().await;
    let read_only = app.key("olga", &[Scope::Read]).await;
    let post = id_of_post(&app, TRANSLATED).await;
    let attempts = [
        ("createPost", "CreatePostInput", json!({ "title": "x", "markdown": "x" })),
        ("addComment", "AddCommentInput", json!({ "postId": post, "markdown": "x" })),
        ("react", "ReactInput", json!({ "postId": post, "kind": "LIKE" })),
    ];
    for (mutation, of, input) in attempts {
        let query = format!("mutation($input: {of}!) {{ {mutation}(input: $input) {{ userErrors {{ message }} }} }}");
        let answer = app.ask_as(Some(&read_only), &query, json!({ "input": input })).await;
        assert_eq!(code(&answer), "FORBIDDEN", "{mutation} with a key that may only read: {answer:#}");
    }
}

/// Takes her only key back in the database, of which the server hears nothing.
async fn revoke_key_of_rita(app: &TestApp) {
    let mut conn = app.services.db.conn().await.expect("a connection");
    let all = api_keys::all(&mut conn).await.expect("the keys");
    let (of_rita, _) = all.iter().find(|(_, handle)| handle == "rita").expect("the key of rita");
    api_keys::revoke(&mut conn, of_rita.id, Utc::now()).await.expect("an answer").expect("it is revoked");
}

/// Tokens that come at once are looked up together, and each opens what it would have opened alone.
#[tokio::test]
async fn tokens_that_come_at_once_open_each_its_own() {
    let app = TestApp::start().await;
    let now = Utc::now();
    let mut keys = Vec::new();
    for lives in [None, Some(Duration::milliseconds(100))] {
        keys.push(app.key_until("edgar", &[Scope::Read], lives.map(|lives| now + lives)).await);
    }
    let revoked = app.key("rita", &[Scope::Read]).await;
    revoke_key_of_rita(&app).await;
    let unknown = inkstone::auth::SessionToken::generate().0.expose().to_owned();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let tokens = [
        (&app.tokens.owner, Some("olga")),
        (&app.tokens.reader, Some("rita")),
        (&keys[0], Some("edgar")),
        (&keys[1], None),
        (&revoked, None),
        (&unknown, None),
    ];
    let asked = (0..60).map(|n| {
        let (token, handle) = tokens[n % tokens.len()];
        let app = &app;
        async move { (n, handle, app.ask_as(Some(token), "{ viewer { handle } }", json!({})).await) }
    });
    for (n, handle, answer) in futures_util::future::join_all(asked).await {
        match handle {
            Some(handle) => assert_eq!(answer["data"]["viewer"]["handle"], handle, "{n}: {answer}"),
            None => assert_eq!(code(&answer), "UNAUTHENTICATED", "{n}: {answer}"),
        }
    }
}

/// The only process there is looks a token up again when it has changed rights itself; where others may have
/// changed them, each time.
#[tokio::test]
async fn a_token_is_looked_up_when_rights_may_have_changed() {
    let app = TestApp::start().await;
    let handle = async |token: &str| app.ask_as(Some(token), "{ viewer { handle } }", json!({})).await;
    let key = app.key("rita", &[Scope::Read]).await;
    assert_eq!(data(handle(&key).await)["viewer"]["handle"], "rita");
    revoke_key_of_rita(&app).await;
    if crate::support::on_real_servers() {
        assert_eq!(code(&handle(&key).await), "UNAUTHENTICATED", "whoever took it back");
    } else {
        assert_eq!(data(handle(&key).await)["viewer"]["handle"], "rita", "nobody else could have taken it back");
    }
    let rename = "mutation($input: UpdateUserInput!) { updateUser(input: $input) { userErrors { message } } }";
    let renamed =
        app.ask_as(Some(&app.tokens.editor), rename, json!({ "input": { "name": "Edgar the Second" } })).await;
    assert_eq!(data(renamed)["updateUser"]["userErrors"], json!([]));
    assert_eq!(code(&handle(&key).await), "UNAUTHENTICATED", "after a change of any account");
    let named = app.ask_as(Some(&app.tokens.editor), "{ viewer { name } }", json!({})).await;
    assert_eq!(data(named)["viewer"]["name"], "Edgar the Second");
}

#[tokio::test]
async fn a_key_that_was_used_ends_when_it_was_to_end() {
    let app = TestApp::start().await;
    let now = Utc::now();
    let key = app.key_until("rita", &[Scope::Read], Some(now + Duration::seconds(2))).await;
    let ask = async || app.ask_as(Some(&key), "{ viewer { handle } }", json!({})).await;
    assert_eq!(data(ask().await)["viewer"]["handle"], "rita");
    tokio::time::sleep((now + Duration::seconds(2) - Utc::now()).to_std().unwrap_or_default()).await;
    assert_eq!(code(&ask().await), "UNAUTHENTICATED");
}
