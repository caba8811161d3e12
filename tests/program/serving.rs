//! Starting and stopping.

use std::net::TcpListener;

use serde_json::json;

use crate::process::{Place, Server};
use crate::support::client_builder;

const CREATE: &str = "mutation($input: CreatePostInput!) {
    createPost(input: $input) { post { id } userErrors { message } }
}";

async fn create_post(server: &Server, token: &str, title: &str) {
    let data = server.data(Some(token), CREATE, json!({ "input": { "title": title, "markdown": "Text." } })).await;
    assert_eq!(data["createPost"]["userErrors"], json!([]), "the owner may write");
}

#[tokio::test]
async fn an_empty_directory_becomes_a_site_that_is_still_there_after_a_restart() {
    let place = Place::new();
    let server = place.serve(&[]);
    let public = server.count_posts(None).await;
    assert!(public >= 24, "the demo site shows at least 24 posts, not {public}");
    let token = server.owner_token().await;
    create_post(&server, &token, "Written before the restart").await;
    let (owner, all) = (server.owner(), server.count_posts(Some(&token)).await);
    assert!(all > public, "the owner sees drafts too");
    let done = server.stop("TERM");
    assert_eq!(done.code, Some(0), "SIGTERM is a clean stop: {}", done.stderr);

    let server = place.serve(&[]);
    assert_eq!(server.owner(), owner, "the same handle and password are told again");
    assert_eq!(server.count_posts(Some(&token)).await, all, "posts and the session are still there");
    let data = server.data(Some(&token), r#"{ post(slug: "written-before-the-restart") { title } }"#, json!({})).await;
    assert_eq!(data["post"]["title"], "Written before the restart");
    server.owner_token().await;
    assert_eq!(server.stop("TERM").code, Some(0));

    let file = place.path("data/owner-password");
    assert!(file.exists(), "it is kept while it opens something");
    place.succeed_with(&["user", "set-password", &owner.0, "--password-stdin"], "a password of their own\n");
    let server = place.serve(&[]);
    assert!(!file.exists(), "it opens nothing any more");
    assert_eq!(server.sign_in(&owner.0, "a password of their own").await["user"]["role"], "OWNER");
}

#[tokio::test]
async fn a_wrong_password_does_not_sign_in() {
    let place = Place::new();
    let server = place.serve(&["--empty"]);
    let (handle, password) = server.owner();
    let refused = server.sign_in(&handle, &format!("{password}x")).await;
    assert_eq!(refused["token"], json!(null), "{refused}");
    assert_eq!(refused["userErrors"][0]["code"], "WRONG_CREDENTIALS");
}

#[tokio::test]
async fn without_the_demo_site_there_are_no_posts_and_it_does_not_come_back() {
    let place = Place::new();
    let server = place.serve(&["--empty"]);
    let token = server.owner_token().await;
    assert_eq!(server.count_posts(Some(&token)).await, 0);
    assert_eq!(server.stop("INT").code, Some(0), "Ctrl-C is a clean stop");
    let server = place.serve(&[]);
    assert_eq!(server.count_posts(Some(&token)).await, 0, "a site that has an owner is not given a demo");
}

#[tokio::test]
async fn it_is_ready_once_it_says_so() {
    let place = Place::new();
    let server = place.serve(&["--empty"]);
    for (path, expected) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/nowhere", 404)] {
        let response = client_builder()
            .build()
            .expect("a client")
            .get(format!("{}{path}", server.base))
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused_and_its_user_goes_on() {
    let place = Place::new();
    let server = place.serve(&["--empty"]);
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["demo", "remove"], &["migrate", "status"]] {
        let done = place.run(command);
        assert_eq!(done.code, Some(1), "{command:?}: {done:#?}");
        let said = done.stderr.lines().last().unwrap_or_default();
        let dir = place.path("data").canonicalize().expect("the directory").display().to_string();
        assert!(said.starts_with("inkstone: ") && said.contains("in use by another process"), "{said}");
        assert!(said.contains(&dir), "the sentence should name {dir}: {said}");
    }
    assert_eq!(server.count_posts(None).await, 0, "the first process is not disturbed");
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused() {
    let place = Place::new();
    place.write("file", "in the way");
    let dir = place.path("file").join("data");
    let done = place.run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &dir.display().to_string()]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    let said = done.stderr.lines().last().unwrap_or_default();
    assert!(said.contains("cannot be written") && said.contains(&dir.display().to_string()), "{said}");
    assert!(said.contains("--data-dir"), "it says what to do: {said}");
    assert!(!done.stdout.contains("ready"), "{}", done.stdout);
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_changed() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let done = place.run(&["--listen", &address]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    let said = done.stderr.lines().last().unwrap_or_default();
    assert!(said.contains(&format!("cannot listen on {address}")) && said.contains("--listen"), "{said}");
    assert!(!place.path("data").exists(), "no data directory is made");
}
