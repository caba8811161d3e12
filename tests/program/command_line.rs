//! The commands.

use std::path::Path;

use serde_json::json;

use crate::process::{Place, files, finish};

/// A site with an owner and nothing else.
fn site_of_ann() -> Place {
    let place = Place::new();
    place
        .succeed_with(&["user", "create", "--handle", "ann", "--role", "owner", "--password-stdin"], "a long secret\n");
    place
}

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_schema_is_the_committed_one() {
    let place = Place::new();
    let printed = place.succeed(&["schema"]);
    let committed = std::fs::read_to_string(repository("schema.graphql")).expect("schema.graphql is committed");
    assert!(printed == committed, "schema.graphql is out of date: `inkstone schema > schema.graphql` renews it");
    assert!(!place.path("data").exists(), "printing the schema touches no database");
}

#[test]
fn the_help_names_every_command_and_shows_how_to_begin() {
    let help = Place::new().succeed(&["--help"]);
    for word in ["serve", "import", "export", "migrate", "schema", "config", "user", "key", "demo", "DATABASE_URL"] {
        assert!(help.contains(word), "the help should mention {word}:\n{help}");
    }
}

#[test]
fn settings_are_printed_without_their_secrets() {
    let place = Place::new();
    place.write("inkstone.toml", "max_query_depth = 9\n");
    let mut command = place.command(&["config", "--listen", "127.0.0.1:5"]);
    command.env("DATABASE_URL", "postgres://me:hunter2@db/site?password=hunter3").env("INKSTONE_SIGN_UP", "closed");
    let done = finish(&mut command, "");
    assert_eq!(done.code, Some(0), "{done:#?}");
    for line in [
        "listen = \"127.0.0.1:5\" # --listen",
        "sign_up = \"closed\" # INKSTONE_SIGN_UP",
        "database_url = \"postgres://me:***@db/site?***\" # DATABASE_URL",
        "demo = \"auto\" # default",
    ] {
        assert!(done.stdout.contains(line), "expected {line:?} in\n{}", done.stdout);
    }
    assert!(done.stdout.contains("max_query_depth = 9 # max_query_depth (inkstone.toml:1)"), "{}", done.stdout);
    assert!(!done.stdout.contains("hunter"), "a secret is shown:\n{}", done.stdout);
}

#[test]
fn wrong_settings_are_refused_all_at_once() {
    let place = Place::new();
    place.write("inkstone.toml", "\nmax_query_depth = 2\n");
    let mut command = place.command(&["--listen", "localhost", "--set", "lisen=x"]);
    command.env("INKSTONE_DEMO", "maybe").env("REDIS_URL", "hunter2");
    let done = finish(&mut command, "");
    assert_eq!(done.code, Some(1), "{done:#?}");
    for sentence in [
        "--listen is \"localhost\": expected an address with a port",
        "max_query_depth (inkstone.toml:2) is \"2\": expected a number from 3 to 100",
        "INKSTONE_DEMO is \"maybe\": expected auto, always or never",
        "--set: there is no setting \"lisen\"; did you mean listen?",
        "REDIS_URL is \"***\": expected a URL such as",
    ] {
        assert!(done.stderr.contains(sentence), "expected {sentence:?} in\n{}", done.stderr);
    }
    assert!(!place.path("data").exists(), "nothing was started");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let place = Place::new();
    for wrong in [&["fly"][..], &["import"], &["key", "create", "--user", "ann", "--name", "x", "--scopes", "fly"]] {
        let done = place.run(wrong);
        assert_eq!(done.code, Some(2), "{wrong:?}: {done:#?}");
        assert!(done.stderr.contains("error: "), "{}", done.stderr);
    }
}

#[tokio::test]
async fn an_account_and_a_key_are_made_and_work() {
    let place = site_of_ann();
    let made = place.succeed(&["user", "create", "--handle", "ben", "--name", "Ben B.", "--role", "editor"]);
    let (_, made_up) = made.split_once("Its password is ").expect("a password that was made up is told");
    let key = place.succeed(&["key", "create", "--user", "ann", "--name", "ci", "--scopes", "read,write"]);
    let reading = place.succeed(&["key", "create", "--user", "ann", "--name", "r", "--scopes", "read"]);

    let server = place.serve(&["--empty"]);
    let ann = server.sign_in("ann", "a long secret").await;
    assert_eq!(ann["user"], json!({ "handle": "ann", "role": "OWNER" }), "{ann}");
    let ben = server.sign_in("ben", made_up.trim()).await;
    assert_eq!(ben["user"]["role"], "EDITOR", "{ben}");

    let create = r#"mutation { createPost(input: { title: "By key", markdown: "x" }) { post { author { handle } } } }"#;
    let data = server.data(Some(key.trim()), create, json!({})).await;
    assert_eq!(data["createPost"]["post"]["author"]["handle"], "ann", "the key acts as its user");
    let refused = server.ask(Some(reading.trim()), create, json!({})).await.expect("an answer");
    assert_eq!(crate::support::code(&refused), "FORBIDDEN", "a key may only what its scopes say");
    let another = r#"mutation { createApiKey(input: { name: "x", scopes: [READ] }) { secret } }"#;
    let refused = server.ask(Some(key.trim()), another, json!({})).await.expect("an answer");
    let said = refused["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(said.contains("an API key is not enough to make API keys: sign in"), "a key makes no keys: {refused:#}");
    assert!(!server.log().contains(key.trim()), "a key is never logged");
}

#[test]
fn a_second_account_of_the_same_handle_and_a_short_password_are_refused() {
    let place = site_of_ann();
    for (handle, password, says) in [("ann", "another secret\n", "ann"), ("bea", "short\n", "10")] {
        let mut command = place.command(&["user", "create", "--handle", handle, "--password-stdin"]);
        let done = finish(&mut command, password);
        assert_eq!(done.code, Some(1), "{done:#?}");
        let said = done.stderr.lines().last().unwrap_or_default();
        assert!(said.starts_with("inkstone: ") && said.contains(says), "{said}");
    }
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one() {
    let place = site_of_ann();
    place.succeed_with(&["user", "password", "ann", "--password-stdin"], "another long secret\n");
    let server = place.serve(&["--empty"]);
    assert_eq!(server.sign_in("ann", "a long secret").await["userErrors"][0]["code"], "WRONG_CREDENTIALS");
    assert_eq!(server.sign_in("ann", "another long secret").await["user"]["handle"], "ann");
}

/// Ann was there before the import, since another moment: users who are there stay as they are.
fn without_the_beginning_of_ann(text: &str) -> String {
    let mut is_ann = false;
    let mut kept = String::new();
    for line in text.lines() {
        is_ann = if line.starts_with("[[") { false } else { is_ann || line == "handle = \"ann\"" };
        if !(is_ann && line.starts_with("created = ")) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn what_is_exported_is_imported_again() {
    let place = site_of_ann();
    let site = repository("examples/site").display().to_string();
    let first = place.succeed(&["import", &site]);
    assert!(first.contains(" 0 updated, 0 unchanged") && first.contains("; 0 problems"), "{first}");
    let again = place.succeed(&["import", &site]);
    assert!(again.starts_with("0 posts created, 0 updated, "), "a second run changes nothing: {again}");
    assert!(again.contains("; 0 new comments"), "{again}");
    place.succeed(&["export", "out"]);

    let other = site_of_ann();
    let from = place.path("out").display().to_string();
    let dry = other.succeed(&["import", "--dry-run", &from]);
    assert!(dry.contains("would be created"), "{dry}");
    let third = other.succeed(&["import", &from]);
    assert_eq!(third.split(' ').next(), first.split(' ').next(), "as many posts as before: {third}");
    other.succeed(&["export", "out"]);
    let (before, after) = (files(&place.path("out")), files(&other.path("out")));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "the same files are written");
    for (path, text) in &before {
        let same = if path.ends_with("users.toml") {
            without_the_beginning_of_ann(text) == without_the_beginning_of_ann(&after[path])
        } else {
            *text == after[path]
        };
        assert!(same, "{} differs after a round trip", path.display());
    }
    let done = other.run(&["export", "out"]);
    assert_eq!(done.code, Some(1), "a folder that is not empty is left alone");
    assert!(done.stderr.contains("is not empty") && done.stderr.contains("--force"), "{}", done.stderr);
}

#[test]
fn an_import_with_a_broken_file_imports_the_rest_and_fails() {
    let place = site_of_ann();
    place.write("site/good.md", "---\ntitle: Good\n---\nText.\n");
    place.write("site/bad.md", "---\ntitle: Bad\ndate: soon\n---\nText.\n");
    let done = place.run(&["import", "site"]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.stdout.starts_with("1 posts created, 0 updated, 0 unchanged"), "{}", done.stdout);
    assert!(done.stderr.contains("site/bad.md:3: `date` must be"), "{}", done.stderr);
}

#[test]
fn an_import_needs_an_owner_or_an_author() {
    let place = Place::new();
    place.write("site/good.md", "---\ntitle: Good\n---\nText.\n");
    let done = place.run(&["import", "site"]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.stderr.contains("inkstone user create"), "it says what to do: {}", done.stderr);
    let done = place.run(&["import", "--author", "nobody", "site"]);
    assert!(done.stderr.contains("there is no user with the handle \"nobody\""), "{}", done.stderr);
}

#[tokio::test]
async fn the_demo_site_goes_away_and_stays_away() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (owner, token) = (server.owner(), server.owner_token().await);
    let create = r#"mutation { createPost(input: { title: "Mine", markdown: "x" }) { post { id } } }"#;
    server.data(Some(&token), create, json!({})).await;
    assert_eq!(server.stop("TERM").code, Some(0));

    let removed = place.succeed(&["demo", "remove"]);
    assert!(removed.contains("demo posts and"), "{removed}");
    let server = place.serve(&[]);
    assert_eq!(server.owner(), owner, "the owner keeps the account that everything was done with");
    assert_eq!(server.count_posts(Some(&token)).await, 1, "only what the owner wrote is left");
}

#[tokio::test]
async fn a_demo_site_that_was_removed_untouched_does_not_come_back() {
    let place = Place::new();
    let server = place.serve(&[]);
    let token = server.owner_token().await;
    assert_eq!(server.stop("TERM").code, Some(0));
    place.succeed(&["demo", "remove"]);
    let server = place.serve(&[]);
    assert_eq!(server.count_posts(Some(&token)).await, 0, "no posts, and the owner's session still holds");
}

#[test]
fn the_schema_goes_down_and_up_again() {
    let place = Place::new();
    let status = || place.succeed(&["migrate", "status"]);
    assert!(status().starts_with("applied []\npending ["), "{}", status());
    let up = place.succeed(&["migrate"]);
    assert!(up.starts_with("ran [\""), "{up}");
    let applied = status();
    assert!(applied.ends_with("pending []\n"), "{applied}");
    assert_eq!(place.succeed(&["migrate", "up"]), "ran []\n", "nothing is left to run");
    let down = place.succeed(&["migrate", "down", "--all"]);
    assert!(down.starts_with("took back [\""), "{down}");
    assert!(status().starts_with("applied []\n"), "{}", status());
    assert_eq!(place.succeed(&["migrate", "up"]), up, "the same migrations run again");
    assert_eq!(status(), applied);
    place.succeed(&["user", "create", "--handle", "ann"]);
}

#[test]
fn a_database_that_is_not_there_is_named_with_the_reason() {
    let place = Place::new();
    let mut command = place.command(&["user", "list"]);
    let done = finish(command.env("DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/site"), "");
    assert_eq!(done.code, Some(1), "{done:#?}");
    let said = done.stderr.lines().last().unwrap_or_default();
    assert!(said.contains("127.0.0.1:1: ") && said.to_lowercase().contains("connection refused"), "{said}");
    assert!(!done.stderr.contains("hunter"), "a secret is shown:\n{}", done.stderr);
}

#[tokio::test]
async fn why_there_is_no_model_is_said() {
    let place = site_of_ann();
    let done = place.run(&["models", "pull", "multilingual-e5-small", "--offline"]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.stderr.contains("`inkstone models pull multilingual-e5-small/q4_0`"), "{}", done.stderr);
    let chosen = place.succeed(&["models", "deploy", "bge-reranker-base"]);
    assert!(chosen.contains("bge-reranker-base/") && chosen.contains("It is not here"), "{chosen}");

    let server = place.serve(&["--empty", "--set", "rerank_model=none"]);
    let ann = server.sign_in("ann", "a long secret").await;
    let token = ann["token"].as_str();
    for (query, why) in [
        ("{ embed(input: { texts: [\"x\"] }) { model } }", "`inkstone models pull multilingual-e5-small/f32`"),
        ("{ rerank(input: { query: \"x\", texts: [\"x\"] }) { model } }", "`rerank_model` is \"none\""),
    ] {
        let answer = server.ask(token, query, json!({})).await.expect("an answer");
        assert!(answer["errors"][0]["message"].as_str().is_some_and(|said| said.contains(why)), "{query}: {answer:#}");
    }
}
