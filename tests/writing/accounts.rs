//! Accounts: signing up and in.

use inkstone::app::owner;
use inkstone::store::{identities, users};
use serde_json::{Value, json};

use crate::deeds::{attempt, picture, refused, text};
use crate::support::stored_text;
use crate::support::{PASSWORD, TestApp, code, data};

mod keys;
mod own_keys;
mod profiles;
mod sessions;

const SESSION: &str = "user { handle name role email } token expiresAt";

/// Signs up or in; the payload with its user errors.
async fn begin(app: &TestApp, mutation: &str, input: Value) -> Value {
    data(attempt(app, None, mutation, SESSION, input).await)["done"].take()
}

async fn sign_in(app: &TestApp, login: &str, password: &str) -> Value {
    begin(app, "signIn", json!({ "login": login, "password": password })).await
}

async fn id_of(app: &TestApp, handle: &str) -> uuid::Uuid {
    let mut conn = app.services.db.conn().await.expect("a connection");
    users::by_handle(&mut conn, handle).await.expect("the users are read").expect("there is this user").id
}

/// The handle of the one whom a token names.
async fn viewer(app: &TestApp, token: &str) -> Value {
    data(app.ask_as(Some(token), "{ viewer { handle } }", json!({})).await)["viewer"]["handle"].take()
}

#[tokio::test]
async fn a_start_gives_nobody_a_password_while_an_owner_has_one() {
    let app = TestApp::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let told = owner::introduce(&app.services, folder.path(), true).await.expect("an owner");
    assert_eq!(told, "Sign in as the owner with the handle \"olga\" and your password.", "the demo's owner is older");
    assert!(!folder.path().join("owner-password").exists());
    let mo = id_of(&app, "mo").await;
    let mut conn = app.services.db.conn().await.expect("a connection");
    let hash = identities::password(&mut conn, mo).await.expect("the passwords are read");
    assert_eq!(hash, None, "who came with an import has none");
}

#[tokio::test]
async fn a_new_account_is_a_readers_and_signed_in() {
    let app = TestApp::start().await;
    let input = json!({ "handle": " Wei_Ran-2 ", "name": " 魏然 ", "email": "Wei@Example.org", "password": "山雨欲来风满楼时刻" });
    let answer = refused(&app, None, "signUp", input.clone()).await;
    assert_eq!(answer, json!([["INVALID", "password"]]), "nine characters are too few, also Chinese ones");
    let mut input = input;
    input["password"] = json!("山雨欲来风满楼的时刻");
    let made = begin(&app, "signUp", input).await;
    let user = json!({ "handle": "wei_ran-2", "name": "魏然", "role": "READER", "email": null });
    assert_eq!(made["user"]["handle"], user["handle"], "the handle is lower case: {made}");
    assert_eq!((&made["user"]["name"], &made["user"]["role"]), (&user["name"], &user["role"]));
    assert_eq!(viewer(&app, &text(&made["token"])).await, "wei_ran-2", "the token works");
    assert!(text(&made["expiresAt"]) > chrono::Utc::now().to_rfc3339(), "and will for a while");
    let again = sign_in(&app, "wei@example.ORG", "山雨欲来风满楼的时刻").await;
    assert_eq!(again["user"]["handle"], "wei_ran-2", "the e-mail address in any case signs in");
}

#[tokio::test]
async fn sign_up_tells_what_is_wrong() {
    let app = TestApp::start().await;
    let good =
        json!({ "handle": "weiran", "name": "Wei Ran", "email": "wei@example.org", "password": "a long enough one" });
    let with = |field: &str, value: Value| {
        let mut input = good.clone();
        input["handle"] = json!("newcomer");
        input["email"] = Value::Null;
        input[field] = value;
        input
    };
    for (field, value, expected) in [
        ("handle", json!("olga"), "TAKEN"),
        ("handle", json!(" OLGA "), "TAKEN"),
        ("email", json!("Olga@Example.org"), "TAKEN"),
        ("handle", json!("x"), "INVALID"),
        ("handle", json!("x".repeat(41)), "INVALID"),
        ("handle", json!("ol ga"), "INVALID"),
        ("handle", json!("a@b.example"), "INVALID"),
        ("handle", json!("奥尔加"), "INVALID"),
        ("name", json!(" "), "INVALID"),
        ("name", json!("n".repeat(101)), "TOO_LONG"),
        ("email", json!("not an address"), "INVALID"),
        ("email", json!("a@b@c.example"), "INVALID"),
        ("password", json!("123456789"), "INVALID"),
        ("password", json!("password123"), "INVALID"),
        ("password", json!("zzzzzzzzzzzz"), "INVALID"),
        ("password", json!("ab".repeat(101)), "INVALID"),
    ] {
        let answer = refused(&app, None, "signUp", with(field, value.clone())).await;
        assert_eq!(answer, json!([[expected, field]]), "{field} {value}");
    }
    let all = json!({ "handle": "!", "name": "", "email": "x", "password": "a long enough one" });
    let answer = refused(&app, None, "signUp", all).await;
    assert_eq!(answer, json!([["INVALID", "handle"], ["INVALID", "name"], ["INVALID", "email"]]), "all at once");
}

#[tokio::test]
async fn one_signs_in_by_handle_and_by_address() {
    let app = TestApp::start().await;
    for login in ["rita", "RITA", " rita ", "rita@example.org", "Rita@Example.Org"] {
        let session = sign_in(&app, login, PASSWORD).await;
        assert_eq!(session["user"]["handle"], "rita", "signing in as {login:?}: {session}");
        assert_eq!(viewer(&app, &text(&session["token"])).await, "rita");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let app = TestApp::start().await;
    let before = picture(&app).await;
    let wrong =
        attempt(&app, None, "signIn", SESSION, json!({ "login": "rita", "password": "not her password" })).await;
    let faults = &wrong["data"]["done"]["userErrors"];
    assert_eq!((&faults[0]["code"], &faults[0]["field"]), (&json!("WRONG_CREDENTIALS"), &Value::Null));
    assert_eq!(wrong["data"]["done"]["token"], Value::Null);
    // `mo` is a user of the demo site, who has no password.
    let long = "p".repeat(5000);
    for (login, password) in [
        ("nobody-here", "not her password"),
        ("nobody@example.org", PASSWORD),
        ("mo", ""),
        ("mo", PASSWORD),
        ("", ""),
        ("rita", ""),
        ("rita", &*PASSWORD.to_uppercase()),
        ("rita", &format!("{PASSWORD} ")),
        ("rita", &long),
        ("%", PASSWORD),
    ] {
        let answer = attempt(&app, None, "signIn", SESSION, json!({ "login": login, "password": password })).await;
        assert_eq!(answer["data"], wrong["data"], "{login:?} gets the same answer as a wrong password");
    }
    assert_eq!(picture(&app).await, before, "no session was begun");
}

#[tokio::test]
async fn a_password_cannot_be_guessed_in_a_row() {
    let app = TestApp::start_with(&[("trusted_proxies", "127.0.0.1")]).await;
    let from = async |address: &str, login: &str, password: &str| {
        let query = format!(
            "mutation($input: SignInInput!) {{ done: signIn(input: $input) {{ {SESSION} userErrors {{ code }} }} }}"
        );
        let body = json!({ "query": query, "variables": { "input": { "login": login, "password": password } } });
        let asked = app.http.post(format!("{}/graphql", app.base)).header("x-forwarded-for", address).json(&body);
        asked.send().await.expect("an answer").json::<Value>().await.expect("JSON")
    };
    let is_wrong = |answer: Value| assert_eq!(answer["data"]["done"]["userErrors"][0]["code"], "WRONG_CREDENTIALS");
    let is_rita = |answer: Value| assert_eq!(answer["data"]["done"]["user"]["handle"], "rita", "{answer}");
    for _ in 0..9 {
        is_wrong(from("198.51.100.7", "rita", "not her password").await);
    }
    is_rita(from("198.51.100.7", "rita", PASSWORD).await);
    for login in ["rita", "nobody-here"] {
        for n in 0..10 {
            let login = if n % 2 == 0 { login.to_owned() } else { login.to_uppercase() };
            is_wrong(from("198.51.100.7", &login, "wrong").await);
        }
        let refused = from("198.51.100.7", login, PASSWORD).await;
        assert_eq!(code(&refused), "RATE_LIMITED", "also the right one, which nobody learns so");
        let message = refused["errors"][0]["message"].as_str().expect("a message");
        assert!(message.contains("too many attempts with a wrong password: try again in "), "{message}");
    }
    is_rita(from("198.51.100.8", "rita", PASSWORD).await);
    is_rita(from("198.51.100.7", "rita@example.org", PASSWORD).await);

    let change = "mutation($input: ChangePasswordInput!) { changePassword(input: $input) { userErrors { code } } }";
    let input = json!({ "input": { "currentPassword": "not it", "newPassword": "a long enough one" } });
    for _ in 0..10 {
        let answer = app.ask_as(Some(&app.tokens.editor), change, input.clone()).await;
        assert_eq!(answer["data"]["changePassword"]["userErrors"][0]["code"], "WRONG_CREDENTIALS", "{answer}");
    }
    assert_eq!(code(&app.ask_as(Some(&app.tokens.editor), change, input).await), "RATE_LIMITED");
}

#[tokio::test]
async fn a_closed_site_takes_no_accounts_but_lets_the_old_ones_in() {
    let app = TestApp::start_with(&[("sign_up", "closed")]).await;
    let input = json!({ "handle": "weiran", "name": "Wei Ran", "password": "a long enough one" });
    assert_eq!(refused(&app, None, "signUp", input).await, json!([["CLOSED", null]]));
    assert_eq!(sign_in(&app, "rita", PASSWORD).await["user"]["handle"], "rita");
}

#[tokio::test]
async fn no_secret_is_stored_in_clear() {
    let app = TestApp::start().await;
    let session = text(&sign_in(&app, "rita", PASSWORD).await["token"]);
    let key = app.key("rita", &inkstone::auth::Scope::ALL).await;
    let tables = ["sessions", "api_keys", "identities", "users", "events"];
    let rows = tables.map(|table| format!("coalesce((SELECT string_agg(t::text, ' ') FROM {table} t), '')"));
    let stored = stored_text(&app.services, &rows.join(" || ")).await;
    assert!(stored.contains("$argon2id$"), "passwords are hashed with argon2id");
    assert!(stored.contains(&key[key.len() - 6..]), "a key can be told from others by its end");
    let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    for secret in [PASSWORD, &session, &session["ink_ses_".len()..], &key, &key["ink_key_".len()..]] {
        assert!(!stored.contains(secret), "a secret is stored in clear");
        assert!(!stored.contains(&hex(secret)), "a secret is stored in clear, as bytes");
    }
    assert_eq!(
        code(&app.ask_as(Some(&key[..key.len() - 1]), "{ viewer { handle } }", json!({})).await),
        "UNAUTHENTICATED"
    );
}
