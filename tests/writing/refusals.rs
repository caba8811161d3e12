//! Every mutation, what it refuses, and the name of the field that is at fault: as the client
//! wrote it. A mutation that is not in the table fails the test.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::deeds::{comment, done, draft, published, refused};
use crate::support::TestApp;

/// A well-formed reading token that nobody has.
const UNKNOWN_TOKEN: &str = "ink_rdr_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Nothing that one can write makes these fail.
const NEVER_REFUSED: [&str; 4] = ["signOut", "startReading", "setReadingHistory", "rebuildGraph"];

/// A well-formed id of something that does not exist.
fn missing(kind: &str) -> Value {
    json!(URL_SAFE_NO_PAD.encode(format!("{kind}:{}", uuid::Uuid::now_v7().simple())))
}

/// What the table refers to.
struct Site {
    draft: Value,
    published: Value,
    comment: Value,
    deleted: Value,
    deepest: Value,
    tag: Value,
    series: Value,
    olga: Value,
    ink: Value,
}

impl Site {
    async fn of(app: &TestApp) -> Self {
        let owner = &app.tokens.owner;
        let post = published(app, "Talk").await;
        let deleted = comment(app, owner, &post, None, "Gone.").await["id"].take();
        done(app, owner, "deleteComment", "comment { id }", json!({ "id": deleted })).await;
        let mut deepest = comment(app, owner, &post, None, "Deep.").await["id"].take();
        for _ in 0..16 {
            deepest = comment(app, owner, &post, deepest.as_str(), "Deeper.").await["id"].take();
        }
        let found = app.own(
            "{ tag(slug: \"ink\") { id } series(slug: \"a-small-site\") { id } user(handle: \"olga\") { id } \
               mo: user(handle: \"mo\") { id } ink: entity(name: \"ink\") { id } }",
            json!({}),
        );
        let mut found = found.await;
        // So that Olga is the only owner.
        done(app, owner, "updateUser", "user { id }", json!({ "id": found["mo"]["id"], "role": "EDITOR" })).await;
        Self {
            draft: json!(draft(app, "Draft").await),
            comment: comment(app, owner, &post, None, "Here.").await["id"].take(),
            published: json!(post),
            deleted,
            deepest,
            tag: found["tag"]["id"].take(),
            series: found["series"]["id"].take(),
            olga: found["user"]["id"].take(),
            ink: found["ink"]["id"].take(),
        }
    }
}

type Case = (&'static str, Value, &'static [(&'static str, &'static str)]);

fn accounts(site: &Site) -> Vec<Case> {
    let past = "2020-01-01T00:00:00Z";
    let account = |field: &str, value: &str| {
        let mut input = json!({ "handle": "newcomer", "name": "New", "password": "a long enough one" });
        input[field] = json!(value);
        input
    };
    vec![
        ("signUp", account("handle", "x"), &[("INVALID", "handle")]),
        ("signUp", account("handle", "olga"), &[("TAKEN", "handle")]),
        ("signUp", account("name", ""), &[("INVALID", "name")]),
        ("signUp", account("email", "x"), &[("INVALID", "email")]),
        ("signUp", account("email", "olga@example.org"), &[("TAKEN", "email")]),
        ("signUp", account("password", "short"), &[("INVALID", "password")]),
        ("signIn", json!({ "login": "olga", "password": "wrong" }), &[("WRONG_CREDENTIALS", "")]),
        (
            "changePassword",
            json!({ "currentPassword": "wrong", "newPassword": "a long enough one" }),
            &[("WRONG_CREDENTIALS", "currentPassword")],
        ),
        ("changePassword", json!({ "currentPassword": "wrong", "newPassword": "x" }), &[("INVALID", "newPassword")]),
        ("updateUser", json!({ "id": missing("User"), "name": "x" }), &[("NOT_FOUND", "id")]),
        ("updateUser", json!({ "id": missing("User"), "role": "READER" }), &[("NOT_FOUND", "id")]),
        (
            "updateUser",
            json!({ "name": " ", "bio": "b".repeat(2001), "url": "ftp://x", "avatar": "//x" }),
            &[("INVALID", "name"), ("TOO_LONG", "bio"), ("INVALID", "url"), ("INVALID", "avatar")],
        ),
        ("updateUser", json!({ "id": site.olga, "role": "EDITOR" }), &[("WRONG_STATE", "role")]),
        ("createApiKey", json!({ "name": "", "scopes": [] }), &[("INVALID", "name"), ("INVALID", "scopes")]),
        ("createApiKey", json!({ "name": "n".repeat(101), "scopes": ["READ"] }), &[("TOO_LONG", "name")]),
        ("createApiKey", json!({ "name": "n", "scopes": ["READ"], "expiresAt": past }), &[("INVALID", "expiresAt")]),
        ("revokeApiKey", json!({ "id": missing("ApiKey") }), &[("NOT_FOUND", "id")]),
    ]
}

fn posts(site: &Site) -> Vec<Case> {
    let gone = || json!({ "id": missing("Post") });
    let assist = |kind: &str, language: Option<&str>| {
        let mut input = json!({ "kind": kind, "postIds": [site.draft] });
        if let Some(language) = language {
            input["language"] = json!(language);
        }
        input
    };
    let edit = |field: &str, value: Value| {
        let mut input = json!({ "id": site.draft, "basedOnVersion": 1 });
        input[field] = value;
        input
    };
    vec![
        ("createPost", json!({ "title": " ", "markdown": "x", "slug": "x" }), &[("INVALID", "title")]),
        ("createPost", json!({ "title": "x", "markdown": "a\0b" }), &[("INVALID", "markdown")]),
        ("createPost", json!({ "title": "x", "markdown": "x", "slug": "grinding-ink" }), &[("TAKEN", "slug")]),
        (
            "createPost",
            json!({ "title": "x", "markdown": "x", "seriesId": missing("Series") }),
            &[("NOT_FOUND", "seriesId")],
        ),
        (
            "createPost",
            json!({ "title": "x", "markdown": "x", "translationKey": "grinding-ink" }),
            &[("TAKEN", "translationKey")],
        ),
        ("askSite", json!({ "question": " " }), &[("INVALID", "question")]),
        ("askSite", json!({ "question": "x".repeat(2001) }), &[("TOO_LONG", "question")]),
        ("acceptProposal", json!({ "id": missing("Proposal") }), &[("NOT_FOUND", "id")]),
        ("dismissProposal", json!({ "id": missing("Proposal") }), &[("NOT_FOUND", "id")]),
        ("assistPosts", json!({ "kind": "SUMMARY", "postIds": [] }), &[("INVALID", "postIds")]),
        ("assistPosts", json!({ "kind": "SUMMARY", "postIds": [missing("Post")] }), &[("NOT_FOUND", "postIds")]),
        ("assistPosts", assist("SUMMARY", Some("zh")), &[("INVALID", "language")]),
        ("assistPosts", assist("ALT_TEXT", None), &[("WRONG_STATE", "kind")]),
        ("assistPosts", assist("TRANSLATION", None), &[("INVALID", "kind")]),
        ("assistPosts", assist("TRANSLATION", Some("?")), &[("INVALID", "language")]),
        ("assistPosts", assist("TRANSLATION", Some("EN")), &[("INVALID", "postIds")]),
        ("renameConversation", json!({ "id": missing("Conversation"), "title": "x" }), &[("NOT_FOUND", "id")]),
        ("renameConversation", json!({ "id": missing("Conversation"), "title": " " }), &[("INVALID", "title")]),
        ("deleteConversation", json!({ "id": missing("Conversation") }), &[("NOT_FOUND", "id")]),
        ("updatePost", json!({ "id": missing("Post"), "basedOnVersion": 1 }), &[("NOT_FOUND", "id")]),
        ("updatePost", edit("basedOnVersion", json!(7)), &[("STALE_VERSION", "basedOnVersion")]),
        ("updatePost", edit("slug", json!("grinding-ink")), &[("TAKEN", "slug")]),
        ("updatePost", edit("language", json!("?")), &[("INVALID", "language")]),
        ("updatePost", edit("seriesId", missing("Series")), &[("NOT_FOUND", "seriesId")]),
        ("updatePost", edit("translationKey", json!("grinding-ink")), &[("TAKEN", "translationKey")]),
        ("updatePost", edit("cover", json!("x")), &[("INVALID", "cover")]),
        ("updatePost", edit("tags", json!(["!"])), &[("INVALID", "tags")]),
        ("updatePost", edit("description", json!("d".repeat(1001))), &[("TOO_LONG", "description")]),
        ("publishPost", gone(), &[("NOT_FOUND", "id")]),
        ("unpublishPost", gone(), &[("NOT_FOUND", "id")]),
        ("deletePost", gone(), &[("NOT_FOUND", "id")]),
        ("schedulePost", json!({ "id": missing("Post"), "publishAt": "2999-01-01T00:00:00Z" }), &[("NOT_FOUND", "id")]),
        ("schedulePost", json!({ "id": site.draft, "publishAt": "2020-01-01T00:00:00Z" }), &[("INVALID", "publishAt")]),
        (
            "schedulePost",
            json!({ "id": site.published, "publishAt": "2999-01-01T00:00:00Z" }),
            &[("WRONG_STATE", "id")],
        ),
        ("restoreRevision", json!({ "revisionId": missing("Revision") }), &[("NOT_FOUND", "revisionId")]),
    ]
}

fn discussion(site: &Site) -> Vec<Case> {
    let reply = |parent: &Value| json!({ "postId": site.published, "parentId": parent, "markdown": "x" });
    vec![
        ("addComment", json!({ "postId": missing("Post"), "markdown": "x" }), &[("NOT_FOUND", "postId")]),
        ("addComment", reply(&missing("Comment")), &[("NOT_FOUND", "parentId")]),
        ("addComment", reply(&site.deleted), &[("NOT_FOUND", "parentId")]),
        ("addComment", reply(&site.deepest), &[("WRONG_STATE", "parentId")]),
        ("addComment", json!({ "postId": site.published, "markdown": "" }), &[("INVALID", "markdown")]),
        ("editComment", json!({ "id": missing("Comment"), "markdown": "x" }), &[("NOT_FOUND", "id")]),
        ("editComment", json!({ "id": site.deleted, "markdown": "x" }), &[("WRONG_STATE", "id")]),
        (
            "editComment",
            json!({ "id": site.comment, "markdown": "x".repeat(16 * 1024 + 1) }),
            &[("TOO_LONG", "markdown")],
        ),
        ("deleteComment", json!({ "id": missing("Comment") }), &[("NOT_FOUND", "id")]),
        ("moderateComment", json!({ "id": missing("Comment"), "decision": "SPAM" }), &[("NOT_FOUND", "id")]),
        ("moderateComment", json!({ "id": site.deleted, "decision": "SPAM" }), &[("WRONG_STATE", "id")]),
        ("react", json!({ "postId": missing("Post"), "kind": "LIKE" }), &[("NOT_FOUND", "postId")]),
        ("unreact", json!({ "postId": missing("Post"), "kind": "LIKE" }), &[("NOT_FOUND", "postId")]),
        ("recordRead", json!({ "postId": missing("Post") }), &[("NOT_FOUND", "postId")]),
        ("recordRead", json!({ "postId": site.draft }), &[("NOT_FOUND", "postId")]),
        ("recordRead", json!({ "postId": site.published, "readingToken": "x" }), &[("INVALID", "readingToken")]),
        ("forgetReading", json!({ "readingToken": "x" }), &[("INVALID", "readingToken")]),
        ("forgetReading", json!({ "readingToken": UNKNOWN_TOKEN }), &[("NOT_FOUND", "readingToken")]),
    ]
}

fn surroundings(site: &Site) -> Vec<Case> {
    let series = |field: &str, value: &str| {
        let mut input = json!({ "title": "Parts", "language": "en" });
        input[field] = json!(value);
        input
    };
    let long = "d".repeat(2001);
    vec![
        ("createTag", json!({ "name": " ", "slug": "x" }), &[("INVALID", "name")]),
        ("createTag", json!({ "name": "Tea" }), &[("TAKEN", "slug")]),
        ("createTag", json!({ "name": "x", "description": long }), &[("TOO_LONG", "description")]),
        ("updateTag", json!({ "id": missing("Tag"), "name": "x" }), &[("NOT_FOUND", "id")]),
        ("updateTag", json!({ "id": site.tag, "slug": "tea" }), &[("TAKEN", "slug")]),
        ("updateTag", json!({ "id": site.tag, "name": "" }), &[("INVALID", "name")]),
        ("deleteTag", json!({ "id": missing("Tag") }), &[("NOT_FOUND", "id")]),
        ("createSeries", series("slug", "a-small-site"), &[("TAKEN", "slug")]),
        ("createSeries", series("language", "?"), &[("INVALID", "language")]),
        ("createSeries", series("description", &long), &[("TOO_LONG", "description")]),
        ("updateSeries", json!({ "id": missing("Series"), "title": "x" }), &[("NOT_FOUND", "id")]),
        ("updateSeries", json!({ "id": site.series, "title": " " }), &[("INVALID", "title")]),
        ("deleteSeries", json!({ "id": missing("Series") }), &[("NOT_FOUND", "id")]),
        ("updateSite", json!({ "title": "", "language": "?" }), &[("INVALID", "title"), ("INVALID", "language")]),
        ("updateSite", json!({ "tagline": "t".repeat(301) }), &[("TOO_LONG", "tagline")]),
        ("updateSite", json!({ "description": "d".repeat(5001) }), &[("TOO_LONG", "description")]),
        ("updateSite", json!({ "links": [{ "name": "x", "url": "javascript:x" }] }), &[("INVALID", "links")]),
        ("deployModel", json!({ "model": "gpt-9" }), &[("NOT_FOUND", "model")]),
        ("retryJob", json!({ "id": missing("Job") }), &[("NOT_FOUND", "id")]),
        ("cancelJob", json!({ "id": missing("Job") }), &[("NOT_FOUND", "id")]),
    ]
}

fn graph(site: &Site) -> Vec<Case> {
    let add = |name: &str, aliases: &[&str]| json!({ "name": name, "kind": "CONCEPT", "aliases": aliases });
    let rename = |name: &str| json!({ "id": site.ink, "name": name });
    let gone = || missing("Entity");
    vec![
        ("addEntity", add(" ", &[]), &[("INVALID", "name")]),
        ("addEntity", add("--", &[]), &[("INVALID", "name")]),
        ("addEntity", add("tea", &[]), &[("TAKEN", "name")]),
        ("addEntity", add("New", &["茶"]), &[("TAKEN", "aliases")]),
        ("addEntity", add("New", &["n".repeat(61).as_str()]), &[("TOO_LONG", "aliases")]),
        ("addEntity", add("New", &["a"; 21]), &[("TOO_LONG", "aliases")]),
        ("renameEntity", json!({ "id": gone(), "name": "New" }), &[("NOT_FOUND", "id")]),
        ("renameEntity", rename("n".repeat(61).as_str()), &[("TOO_LONG", "name")]),
        ("renameEntity", rename("a\nb\u{7}"), &[("INVALID", "name")]),
        ("renameEntity", rename("TEA"), &[("TAKEN", "name")]),
        ("mergeEntities", json!({ "id": site.ink, "mergedIds": [] }), &[("INVALID", "mergedIds")]),
        ("mergeEntities", json!({ "id": site.ink, "mergedIds": [site.ink] }), &[("INVALID", "mergedIds")]),
        ("mergeEntities", json!({ "id": site.ink, "mergedIds": [gone()] }), &[("NOT_FOUND", "mergedIds")]),
        ("mergeEntities", json!({ "id": site.ink, "mergedIds": vec![gone(); 21] }), &[("TOO_LONG", "mergedIds")]),
        ("mergeEntities", json!({ "id": gone(), "mergedIds": [site.ink] }), &[("NOT_FOUND", "id")]),
        ("deleteEntity", json!({ "id": gone() }), &[("NOT_FOUND", "id")]),
    ]
}

#[tokio::test]
async fn every_refusal_names_the_field_as_the_client_wrote_it() {
    let app = TestApp::start().await;
    let site = Site::of(&app).await;
    let table = [accounts(&site), posts(&site), discussion(&site), surroundings(&site), graph(&site)].concat();
    for (mutation, input, expected) in &table {
        let expected: Value =
            expected.iter().map(|(code, field)| json!([code, (!field.is_empty()).then_some(field)])).collect();
        let answer = refused(&app, Some(&app.tokens.owner), mutation, input.clone()).await;
        let shown: String = input.to_string().chars().take(120).collect();
        assert_eq!(answer, expected, "{mutation} with {shown}");
        for field in answer.as_array().expect("faults").iter().filter_map(|fault| fault[1].as_str()) {
            assert!(
                input.get(field).is_some() || field == "slug",
                "{mutation} names {field}, which nobody wrote: {shown}"
            );
        }
    }
    let tried: BTreeSet<&str> = table.iter().map(|(mutation, ..)| *mutation).collect();
    let schema = app.ask("{ __schema { mutationType { fields { name } } } }", json!({})).await;
    let fields = schema["data"]["__schema"]["mutationType"]["fields"].as_array().expect("mutations");
    for name in fields.iter().filter_map(|field| field["name"].as_str()) {
        assert!(tried.contains(name) || NEVER_REFUSED.contains(&name), "{name} is not in the table of refusals");
    }
}
