//! Profiles, roles, passwords, and where one is signed in.

use inkstone::auth::Scope;
use serde_json::{Value, json};

use super::{sign_in, viewer};
use crate::deeds::{attempt, done, picture, refused, text};
use crate::support::live::Socket;
use crate::support::{PASSWORD, TestApp, code, data, on_real_servers};

const USER: &str = "user { handle name bio url avatar role }";
const NEW: &str = "a quite different password";

async fn id_of(app: &TestApp, handle: &str) -> Value {
    app.own("query($handle: String!) { user(handle: $handle) { id } }", json!({ "handle": handle })).await["user"]["id"]
        .take()
}

async fn ends(app: &TestApp, token: &str) -> bool {
    let answer = app.ask_as(Some(token), "{ viewer { handle } }", json!({})).await;
    answer["data"]["viewer"].is_null() && code(&answer) == "UNAUTHENTICATED"
}

#[tokio::test]
async fn one_changes_ones_own_profile() {
    let app = TestApp::start().await;
    let rita = &app.tokens.reader;
    let input = json!({ "name": " 丽塔 ", "bio": "Reads.", "url": "https://rita.example", "avatar": "/rita.png" });
    let changed = done(&app, rita, "updateUser", USER, input).await["user"].take();
    let mut expected = json!({ "handle": "rita", "name": "丽塔", "bio": "Reads.", "url": "https://rita.example",
        "avatar": "/rita.png", "role": "READER" });
    assert_eq!(changed, expected);
    let input = json!({ "url": null, "avatar": "https://cdn.example/rita.png" });
    done(&app, rita, "updateUser", USER, input).await;
    (expected["url"], expected["avatar"]) = (Value::Null, json!("https://cdn.example/rita.png"));
    let query = "{ user(handle: \"rita\") { handle name bio url avatar role } }";
    assert_eq!(data(app.ask(query, json!({})).await)["user"], expected, "everybody reads the new one, null empties");
    let id = id_of(&app, "rita").await;
    let node = "query($id: ID!) { node(id: $id) { ... on User { name } } }";
    assert_eq!(data(app.ask(node, json!({ "id": id })).await)["node"]["name"], "丽塔", "also out of the cache");
}

#[tokio::test]
async fn only_the_owner_changes_others_and_roles() {
    let app = TestApp::start().await;
    let (rita, edgar) = (id_of(&app, "rita").await, id_of(&app, "edgar").await);
    let before = picture(&app).await;
    for (who, token, input, expected) in [
        ("nobody", None, json!({ "name": "x" }), "UNAUTHENTICATED"),
        ("a reader, of an editor", Some(&app.tokens.reader), json!({ "id": edgar, "name": "x" }), "FORBIDDEN"),
        ("an editor, of a reader", Some(&app.tokens.editor), json!({ "id": rita, "name": "x" }), "FORBIDDEN"),
        ("a reader, who would be owner", Some(&app.tokens.reader), json!({ "role": "OWNER" }), "FORBIDDEN"),
        ("an editor, who would be owner", Some(&app.tokens.editor), json!({ "role": "OWNER" }), "FORBIDDEN"),
    ] {
        let answer = attempt(&app, token.map(String::as_str), "updateUser", USER, input).await;
        assert_eq!(code(&answer), expected, "{who}");
    }
    assert_eq!(picture(&app).await, before, "nothing was changed");
    let input = json!({ "id": rita, "role": "EDITOR", "bio": "Writes now." });
    let changed = done(&app, &app.tokens.owner, "updateUser", USER, input).await;
    assert_eq!((&changed["user"]["role"], &changed["user"]["bio"]), (&json!("EDITOR"), &json!("Writes now.")));
    let input = json!({ "title": "Mine", "markdown": "x" });
    done(&app, &app.tokens.reader, "createPost", "post { id }", input).await;
}

#[tokio::test]
async fn what_is_open_ends_when_the_role_changes_and_begins_anew_with_it() {
    let app = TestApp::start().await;
    let watch = "subscription { postPublished { post { id } } }";
    let mut socket = Socket::connect(&app, Some(&app.tokens.editor)).await;
    socket.subscribe("1", watch, json!({})).await;
    socket.subscribe("2", "{ viewer { role } }", json!({})).await;
    assert_eq!(socket.event().await["viewer"]["role"], "EDITOR");
    assert_eq!(socket.receive().await["type"], "complete");
    let edgar = id_of(&app, "edgar").await;
    done(&app, &app.tokens.owner, "updateUser", USER, json!({ "id": edgar, "role": "READER" })).await;
    let frame = socket.closed().await.expect("a close frame");
    assert_eq!(u16::from(frame.code), 4403, "{}", frame.reason);
    let mut socket = Socket::connect(&app, Some(&app.tokens.editor)).await;
    socket.subscribe("3", "{ viewer { role } }", json!({})).await;
    assert_eq!(socket.event().await["viewer"]["role"], "READER", "the session goes on with the new rights");
}

#[tokio::test]
async fn the_last_owner_stays_one() {
    let app = TestApp::start().await;
    // The demo's owner goes first, so that Olga is the only one.
    let (mo, olga) = (id_of(&app, "mo").await, id_of(&app, "olga").await);
    let owner = &app.tokens.owner;
    done(&app, owner, "updateUser", USER, json!({ "id": mo, "role": "EDITOR" })).await;
    for role in ["EDITOR", "READER"] {
        let answer = refused(&app, Some(owner), "updateUser", json!({ "id": olga, "role": role })).await;
        assert_eq!(answer, json!([["WRONG_STATE", "role"]]), "nobody could make another owner");
    }
    done(&app, owner, "updateUser", USER, json!({ "role": "OWNER", "name": "Olga" })).await;
    done(&app, owner, "updateUser", USER, json!({ "id": mo, "role": "OWNER" })).await;
    done(&app, owner, "updateUser", USER, json!({ "role": "EDITOR" })).await;
}

#[tokio::test]
async fn two_owners_who_step_back_at_once_leave_one() {
    if !on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let owner = &app.tokens.owner;
    let (mo, edgar) = (id_of(&app, "mo").await, id_of(&app, "edgar").await);
    done(&app, owner, "updateUser", USER, json!({ "id": mo, "role": "EDITOR" })).await;
    for _ in 0..10 {
        done(&app, owner, "updateUser", USER, json!({ "id": edgar, "role": "OWNER" })).await;
        let step_back =
            async |token: &str| attempt(&app, Some(token), "updateUser", USER, json!({ "role": "EDITOR" })).await;
        let (one, other) = tokio::join!(step_back(owner), step_back(&app.tokens.editor));
        let refused = [&one, &other].map(|answer| answer["data"]["done"]["userErrors"][0]["code"] == "WRONG_STATE");
        assert!(refused[0] != refused[1], "one of two steps back: {one} {other}");
        let (left, gone) = if refused[0] { (owner, "edgar") } else { (&app.tokens.editor, "olga") };
        if gone == "olga" {
            let olga = id_of_as(&app, left, "olga").await;
            done(&app, left, "updateUser", USER, json!({ "id": olga, "role": "OWNER" })).await;
        }
    }
}

async fn id_of_as(app: &TestApp, token: &str, handle: &str) -> Value {
    let query = format!("{{ user(handle: {handle:?}) {{ id }} }}");
    data(app.ask_as(Some(token), &query, json!({})).await)["user"]["id"].take()
}

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_ends_the_other_sessions() {
    let app = TestApp::start().await;
    let (here, other) = (&app.tokens.reader, text(&sign_in(&app, "rita", PASSWORD).await["token"]));
    let program = app.key("rita", &[Scope::Read]).await;
    viewer(&app, &program).await;
    for (current, new, expected) in [
        ("not her password", NEW, json!([["WRONG_CREDENTIALS", "currentPassword"]])),
        ("", NEW, json!([["WRONG_CREDENTIALS", "currentPassword"]])),
        (PASSWORD, "short", json!([["INVALID", "newPassword"]])),
        (PASSWORD, "password123", json!([["INVALID", "newPassword"]])),
    ] {
        let input = json!({ "currentPassword": current, "newPassword": new });
        assert_eq!(refused(&app, Some(here), "changePassword", input).await, expected, "{current:?} to {new:?}");
    }
    let input = json!({ "currentPassword": PASSWORD, "newPassword": NEW });
    let answer = attempt(&app, None, "changePassword", "user { handle }", input.clone()).await;
    assert_eq!(code(&answer), "UNAUTHENTICATED");
    let changed = done(&app, here, "changePassword", "user { handle }", input).await;
    assert_eq!(changed["user"]["handle"], "rita");
    assert_eq!(viewer(&app, here).await, "rita", "this session goes on");
    assert!(ends(&app, &other).await, "the other one has ended");
    assert_eq!(viewer(&app, &program).await, "rita", "keys are taken back one by one");
    assert_eq!(sign_in(&app, "rita", PASSWORD).await["userErrors"][0]["code"], "WRONG_CREDENTIALS");
    assert_eq!(sign_in(&app, "rita", NEW).await["user"]["handle"], "rita");
}

#[tokio::test]
async fn sessions_are_listed_and_all_ended_at_once() {
    let app = TestApp::start().await;
    let (here, other) = (&app.tokens.reader, text(&sign_in(&app, "rita", PASSWORD).await["token"]));
    let query = "{ viewer { sessions { nodes { isCurrent createdAt expiresAt } } } }";
    let list = data(app.ask_as(Some(here), query, json!({})).await)["viewer"]["sessions"]["nodes"].take();
    let current: Vec<_> = list.as_array().expect("sessions").iter().map(|session| &session["isCurrent"]).collect();
    assert_eq!(current, [&json!(false), &json!(true)], "the newest first, and this one is known: {list}");
    let out = "mutation { signOut(input: { everywhere: true }) { signedOut } }";
    assert_eq!(code(&app.ask(out, json!({})).await), "UNAUTHENTICATED", "nobody is signed in nowhere");
    assert_eq!(data(app.ask_as(Some(here), out, json!({})).await)["signOut"]["signedOut"], true);
    assert!(ends(&app, here).await && ends(&app, &other).await, "both have ended");
    assert_eq!(viewer(&app, &app.tokens.editor).await, "edgar", "others' go on");
}

#[tokio::test]
async fn an_operation_signs_in_once() {
    let app = TestApp::start().await;
    let before = picture(&app).await;
    let attempts: String = (0..5)
        .map(|n| {
            format!(
                "a{n}: signIn(input: {{ login: \"rita\", password: \"guess {n}\" }}) {{ token userErrors {{ code }} }} "
            )
        })
        .collect();
    let answer = app.ask(&format!("mutation {{ {attempts} }}"), json!({})).await;
    assert_eq!(code(&answer), "BAD_USER_INPUT", "a burst of guesses in one request: {answer}");
    assert_eq!(picture(&app).await, before);
    let right = format!("{{ login: \"rita\", password: {PASSWORD:?} }}");
    let mixed = format!(
        "mutation {{ a: signUp(input: {{ handle: \"new\", name: \"New\", password: \"short\" }}) {{ token }} \
         b: signIn(input: {right}) {{ token }} }}"
    );
    let answer = app.ask(&mixed, json!({})).await;
    assert_eq!(code(&answer), "BAD_USER_INPUT", "also of two kinds: {answer}");
    assert_eq!(picture(&app).await, before, "no session was begun");
    let twice = "mutation($input: ChangePasswordInput!) { a: changePassword(input: $input) { user { id } } \
                 b: changePassword(input: $input) { user { id } } }";
    let input = json!({ "input": { "currentPassword": "guess", "newPassword": NEW } });
    let answer = app.ask_as(Some(&app.tokens.reader), twice, input).await;
    assert_eq!(code(&answer), "BAD_USER_INPUT", "nor is the current password guessed that way");
}
