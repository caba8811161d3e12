//! Accounts and API keys on the command line.

use serde_json::json;

use crate::process::Place;

/// A site with an owner and a reader.
fn place() -> Place {
    let place = Place::new();
    place
        .succeed_with(&["user", "create", "--handle", "ann", "--role", "owner", "--password-stdin"], "a long secret\n");
    place.succeed_with(
        &["user", "create", "--handle", "ben", "--name", "Ben B.", "--email", "ben@example.org", "--password-stdin"],
        "another long secret\n",
    );
    place
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test]
async fn accounts_are_listed_and_given_roles_and_passwords() {
    let place = place();
    let list = place.succeed(&["user", "list"]);
    let lines: Vec<_> = list.lines().map(words).collect();
    assert_eq!(lines[0], ["HANDLE", "ROLE", "NAME", "EMAIL", "SINCE"]);
    assert_eq!(lines[1][..4], ["ann", "owner", "ann", "-"], "{list}");
    assert_eq!(lines[2][..5], ["ben", "reader", "Ben", "B.", "ben@example.org"], "{list}");
    assert_eq!(lines.len(), 3, "{list}");

    let done = place.run(&["user", "set-role", "ann", "editor"]);
    assert_eq!(done.code, Some(1), "the only owner stays one");
    assert!(done.stderr.contains("this is the only owner"), "{}", done.stderr);
    let done = place.run(&["user", "set-role", "nobody", "editor"]);
    assert!(done.stderr.contains("no user with the handle \"nobody\""), "{}", done.stderr);
    assert_eq!(place.run(&["user", "set-role", "ben", "king"]).code, Some(2), "there is no such role");
    place.succeed(&["user", "set-role", "ben", "owner"]);
    place.succeed(&["user", "set-role", "ann", "editor"]);
    place.succeed_with(&["user", "set-password", "ann", "--password-stdin"], "a new long secret\n");

    let server = place.serve(&["--empty"]);
    let ann = server.sign_in("ann", "a new long secret").await;
    assert_eq!(ann["user"]["role"], "EDITOR", "{ann}");
    assert_eq!(server.sign_in("ben", "another long secret").await["user"]["role"], "OWNER");
}

#[tokio::test]
async fn keys_are_listed_and_revoked_by_name_and_by_id() {
    let place = place();
    let key = |user: &str, name: &str| {
        place.succeed(&["key", "create", "--user", user, "--name", name, "--scopes", "read,write"]).trim().to_owned()
    };
    let (kept, twice, other) = (key("ann", "kept"), key("ann", "twice"), key("ben", "twice"));
    let list = place.succeed(&["key", "list"]);
    assert_eq!(list.lines().count(), 4, "{list}");
    for secret in [&kept, &twice, &other] {
        assert!(!list.contains(secret.as_str()), "no key is shown: {list}");
        assert!(list.contains(&format!("…{}", &secret[secret.len() - 6..])), "but its end: {list}");
    }
    let of_ben = place.succeed(&["key", "list", "--user", "ben"]);
    let line = words(of_ben.lines().nth(1).expect("his key"));
    assert_eq!(line[1..4], ["twice", "ben", "read,write"], "{of_ben}");
    assert_eq!(line[6..], ["never", "never"], "it has no end and was not used: {of_ben}");
    assert_eq!(of_ben.lines().count(), 2, "only his: {of_ben}");

    let done = place.run(&["key", "revoke", "twice"]);
    assert_eq!(done.code, Some(1), "two keys have this name");
    assert!(done.stderr.contains("give the id") && done.stderr.contains(line[0]), "{}", done.stderr);
    let revoked = place.succeed(&["key", "revoke", line[0]]);
    assert!(revoked.contains("is revoked"), "{revoked}");
    place.succeed(&["key", "revoke", "twice", "--user", "ann"]);
    let done = place.run(&["key", "revoke", "twice"]);
    assert!(done.stderr.contains("there is no API key") && done.stderr.contains("key list"), "{}", done.stderr);
    assert_eq!(place.succeed(&["key", "list"]).lines().count(), 2, "one is left");

    let server = place.serve(&["--empty"]);
    let viewer = "{ viewer { handle } }";
    assert_eq!(server.data(Some(&kept), viewer, json!({})).await["viewer"]["handle"], "ann");
    for secret in [&twice, &other] {
        let answer = server.ask(Some(secret), viewer, json!({})).await.expect("an answer");
        assert_eq!(crate::support::code(&answer), "UNAUTHENTICATED", "a revoked key is no good");
        assert!(!server.log().contains(secret.as_str()), "and not logged");
    }
}
