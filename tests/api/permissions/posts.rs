//! Posts that are not published, with all that hangs on them.

use super::*;

/// A post that is not public, between two that are.
struct Hidden {
    /// Also its title, and part of its text.
    slug: String,
    id: String,
    /// An approved comment on it, by the owner.
    comment: String,
    /// What it said before.
    revision: String,
    /// Slugs of the public posts of its language, before and after it.
    before: String,
    after: String,
}

/// The words of all hidden posts.
const POSTS: [&str; 3] = ["zugzwang-draft", "zugzwang-scheduled", "zugzwang-archived"];

/// A draft, a scheduled and an archived post, each with a tag, a series, a translation, a comment
/// and a revision.
async fn hide_posts(app: &TestApp) -> Vec<Hidden> {
    let series = app.own("query($slug: String!) { series(slug: $slug) { id } }", json!({ "slug": SERIES })).await;
    let series = text(&series["series"]["id"]);
    let mut hidden = Vec::new();
    for (at, (slug, language)) in POSTS.into_iter().zip(["fr", "de", "it"]).enumerate() {
        let (before, after) = (format!("before-{language}"), format!("after-{language}"));
        publish(app, &create(app, &before, json!({ "language": language })).await).await;
        let more = json!({
            "language": language, "tags": [TAG], "translationKey": TRANSLATED,
            "seriesId": series, "seriesPosition": 10 + at,
        });
        let id = create(app, slug, more).await;
        let input = json!({ "id": id, "basedOnVersion": 1, "markdown": format!("More of {slug}.") });
        change(app, "updatePost", "UpdatePostInput", "post { id }", input).await;
        match at {
            1 => {
                let input = json!({ "id": id, "publishAt": Utc::now() + Duration::days(1) });
                change(app, "schedulePost", "SchedulePostInput", "post { id }", input).await;
            }
            2 => {
                publish(app, &id).await;
                let input = json!({ "id": id, "archive": true });
                change(app, "unpublishPost", "UnpublishPostInput", "post { id }", input).await;
            }
            _ => {}
        }
        let comment = comment(app, &id, None, &format!("On {slug}.")).await;
        publish(app, &create(app, &after, json!({ "language": language })).await).await;
        let query = "query($id: ID!) { post(id: $id) { revisions(first: 1) { nodes { id } } } }";
        let found = app.own(query, json!({ "id": id })).await;
        let revision = text(&found["post"]["revisions"]["nodes"][0]["id"]);
        hidden.push(Hidden { slug: slug.into(), id, comment, revision, before, after });
    }
    hidden
}

/// The ways to one post alone.
fn ways_to_a_post(hidden: &Hidden) -> Vec<Way> {
    let Hidden { slug, id, comment, revision, before, after } = hidden;
    let words = [slug.as_str()];
    let way = |name: &str, query: String| Way::new(format!("{name} of {slug}"), query, &words);
    vec![
        way("node", format!("{{ node(id: {id:?}) {{ id ... on Post {{ title html markdown }} }} }}")),
        way("nodes", format!("{{ nodes(ids: [{id:?}, {id:?}]) {{ id ... on Post {{ title html }} }} }}")),
        way("post(slug)", format!("{{ post(slug: {slug:?}) {{ title html excerpt }} }}")),
        way("post(id)", format!("{{ post(id: {id:?}) {{ title html excerpt }} }}")),
        way(
            "previous and next",
            format!(
                "{{ a: post(slug: {before:?}) {{ next {{ title }} previous {{ title }} }} \
               b: post(slug: {after:?}) {{ next {{ title }} previous {{ title }} }} }}"
            ),
        ),
        way("node(comment)", format!("{{ node(id: {comment:?}) {{ id ... on Comment {{ markdown }} }} }}")),
        way(
            "the comment's post",
            format!("{{ nodes(ids: [{comment:?}]) {{ ... on Comment {{ post {{ title }} }} }} }}"),
        ),
        way("node(revision)", format!("{{ node(id: {revision:?}) {{ id ... on Revision {{ title markdown }} }} }}")),
        way(
            "the revision's post",
            format!("{{ node(id: {revision:?}) {{ ... on Revision {{ post {{ title }} }} }} }}"),
        ),
        way(
            "the comments below it",
            format!("{{ post(id: {id:?}) {{ comments {{ totalCount nodes {{ markdown }} }} }} }}"),
        ),
    ]
}

/// The ways to lists that hold all hidden posts.
fn ways_to_lists() -> Vec<Way> {
    let mut ways = vec![
        Way::new("posts", "{ posts(first: 100) { nodes { title } } }", &POSTS),
        Way::new(
            "posts by status",
            "{ posts(filter: { status: [DRAFT, SCHEDULED, ARCHIVED] }, first: 100) { nodes { title html } } }",
            &POSTS,
        ),
        Way::new(
            "posts by author, tag and series",
            format!(
                r#"{{ posts(filter: {{ author: "olga", tag: "{TAG}", series: "{SERIES}" }}) {{ nodes {{ title }} }} }}"#
            ),
            &POSTS,
        ),
        Way::new(
            "tag.posts",
            format!(r#"{{ tag(slug: "{TAG}") {{ posts(first: 100) {{ nodes {{ title }} }} }} }}"#),
            &POSTS,
        ),
        Way::new("user.posts", r#"{ user(handle: "olga") { posts(first: 100) { nodes { title } } } }"#, &POSTS),
        Way::new(
            "series.posts",
            format!(r#"{{ series(slug: "{SERIES}") {{ posts(first: 100) {{ nodes {{ title }} }} }} }}"#),
            &POSTS,
        ),
        Way::new("translations", format!(r#"{{ post(slug: "{TRANSLATED}") {{ translations {{ title }} }} }}"#), &POSTS),
        Way::new("comments", "{ comments(first: 100) { nodes { markdown post { title } } } }", &POSTS),
    ];
    for (status, slug) in ["DRAFT", "SCHEDULED", "ARCHIVED"].into_iter().zip(POSTS) {
        for order in ["NEWEST_FIRST", "OLDEST_FIRST", "RECENTLY_UPDATED_FIRST"] {
            let query = format!(
                "{{ posts(filter: {{ status: {status} }}, orderBy: {order}, last: 100) {{ nodes {{ title }} }} }}"
            );
            ways.push(Way::new(format!("posts with status {status}, {order}"), query, &[slug]));
        }
    }
    ways
}

#[tokio::test]
async fn posts_that_are_not_published_are_seen_by_staff_only() {
    let app = TestApp::start().await;
    let hidden = hide_posts(&app).await;
    let ways: Vec<Way> = hidden.iter().flat_map(ways_to_a_post).chain(ways_to_lists()).collect();
    seen_by_staff_only(&app, &ways).await;
}

#[tokio::test]
async fn no_count_tells_of_posts_that_are_not_published() {
    let app = TestApp::start().await;
    let query = format!(
        r#"{{
            posts(first: 1) {{ totalCount }}
            hidden: posts(filter: {{ status: [DRAFT, SCHEDULED, ARCHIVED] }}) {{ totalCount }}
            comments(first: 1) {{ totalCount }}
            tag(slug: "{TAG}") {{ posts(first: 1) {{ totalCount }} }}
            series(slug: "{SERIES}") {{ posts(first: 1) {{ totalCount }} }}
            user(handle: "olga") {{ posts(first: 1) {{ totalCount }} }}
        }}"#
    );
    let (public, staff) = (app.ask(&query, json!({})).await, app.own(&query, json!({})).await);
    let public = data(public);
    hide_posts(&app).await;
    let key = key_without_read(&app).await;

    let mut wanted = public.clone();
    // The three public posts before the hidden ones, and the three after them.
    add(&mut wanted, "/posts/totalCount", 6);
    add(&mut wanted, "/user/posts/totalCount", 6);
    for (who, token) in
        [("nobody", None), ("a reader", Some(&app.tokens.reader)), ("a key that may not read", Some(&key))]
    {
        let counts = data(app.ask_as(token.map(String::as_str), &query, json!({})).await);
        assert_eq!(counts, wanted, "{who} should count public things only");
        assert_eq!(counts["hidden"]["totalCount"], 0, "{who} should count none by status");
    }

    let mut wanted = staff;
    for (pointer, more) in [("/posts", 9), ("/hidden", 3), ("/comments", 3), ("/tag/posts", 3), ("/series/posts", 3)] {
        add(&mut wanted, &format!("{pointer}/totalCount"), more);
    }
    add(&mut wanted, "/user/posts/totalCount", 9);
    for token in [&app.tokens.owner, &app.tokens.editor] {
        let counts = data(app.ask_as(Some(token), &query, json!({})).await);
        assert_eq!(counts, wanted, "staff should count everything");
    }
}

#[tokio::test]
async fn an_unpublished_post_is_gone_at_once_by_every_way() {
    let app = TestApp::start().await;
    let id = create(&app, "zugzwang-draft", json!({ "tags": [TAG] })).await;
    publish(&app, &id).await;
    let comment = comment(&app, &id, None, "On zugzwang-draft.").await;
    let by_node = format!("{{ node(id: {id:?}) {{ ... on Post {{ title html }} }} }}");
    let ways = [
        Way::new("node", &by_node, &["zugzwang-draft"]),
        Way::new("post(slug)", r#"{ post(slug: "zugzwang-draft") { title } }"#, &["zugzwang-draft"]),
        Way::new(
            "node(comment)",
            format!("{{ node(id: {comment:?}) {{ ... on Comment {{ markdown }} }} }}"),
            &["zugzwang-draft"],
        ),
        Way::new(
            "tag.posts",
            format!(r#"{{ tag(slug: "{TAG}") {{ posts {{ nodes {{ title }} }} }} }}"#),
            &["zugzwang-draft"],
        ),
    ];
    for way in &ways {
        let answer = data(app.ask(&way.query, json!({})).await).to_string();
        assert!(answer.contains("zugzwang-draft"), "while it is published, {} should show it: {answer}", way.name);
    }
    change(&app, "unpublishPost", "UnpublishPostInput", "post { id }", json!({ "id": id })).await;
    seen_by_staff_only(&app, &ways).await;
}

#[tokio::test]
async fn revisions_are_for_staff_also_those_of_public_posts() {
    let app = TestApp::start().await;
    let id = create(&app, "public", json!({ "markdown": "zugzwang" })).await;
    publish(&app, &id).await;
    let found = app.own("query($id: ID!) { post(id: $id) { version } }", json!({ "id": id })).await;
    let input = json!({ "id": id, "basedOnVersion": found["post"]["version"], "markdown": "It was taken out." });
    change(&app, "updatePost", "UpdatePostInput", "post { id }", input).await;
    let query = format!(
        "{{ post(id: {id:?}) {{ revisions {{ nodes {{ id markdown post {{ slug }} editor {{ handle }} }} }} }} }}"
    );
    let mut revisions = Vec::new();
    for token in [&app.tokens.owner, &app.tokens.editor] {
        let found = data(app.ask_as(Some(token), &query, json!({})).await);
        revisions = found["post"]["revisions"]["nodes"].as_array().expect("revisions").clone();
        assert!(found.to_string().contains("zugzwang"), "staff should see what it said before: {found:#}");
    }
    let blind = key_without_read(&app).await;
    for token in [None, Some(&app.tokens.reader), Some(&blind)] {
        let answer = app.ask_as(token.map(String::as_str), &query, json!({})).await;
        assert_eq!(code(&answer), "FORBIDDEN", "revisions should be refused: {answer:#}");
        assert!(!answer.to_string().contains("zugzwang"), "nothing of them should be told: {answer:#}");
    }
    let ids: Vec<&Value> = revisions.iter().map(|r| &r["id"]).collect();
    let query = format!("{{ nodes(ids: {}) {{ ... on Revision {{ markdown }} }} }}", json!(ids));
    seen_by_staff_only(&app, &[Way::new("nodes(revisions)", query, &["zugzwang"])]).await;
    let read_only = app.key("edgar", &[Scope::Read]).await;
    let query = format!("{{ node(id: {}) {{ ... on Revision {{ markdown }} }} }}", ids[0]);
    let found = data(app.ask_as(Some(&read_only), &query, json!({})).await);
    assert_ne!(found["node"], Value::Null, "an editor's key that may only read should see revisions");
}

#[tokio::test]
async fn a_hidden_post_takes_no_reactions_and_no_comments_from_readers() {
    let app = TestApp::start().await;
    let react =
        "mutation($input: ReactInput!) { done: react(input: $input) { post { title } userErrors { code field } } }";
    let unreact =
        "mutation($input: ReactInput!) { done: unreact(input: $input) { post { title } userErrors { code field } } }";
    let answer = "mutation($input: AddCommentInput!) { done: addComment(input: $input) { comment { post { title } } userErrors { code field } } }";
    for Hidden { slug, id, comment, .. } in hide_posts(&app).await {
        let attempts = [
            (react, json!({ "postId": id, "kind": "LIKE" })),
            (unreact, json!({ "postId": id, "kind": "LIKE" })),
            (answer, json!({ "postId": id, "markdown": "May I?" })),
            (answer, json!({ "postId": id, "parentId": comment, "markdown": "May I?" })),
        ];
        for (query, input) in attempts {
            let reader = app.ask_as(Some(&app.tokens.reader), query, json!({ "input": input })).await;
            let done = &data(reader)["done"];
            assert_eq!(done["userErrors"], json!([{ "code": "NOT_FOUND", "field": "postId" }]), "{slug}: {input}");
            assert!(!done.to_string().contains("zugzwang"), "{slug} should not be told: {done}");
            let nobody = app.ask(query, json!({ "input": input })).await;
            assert_eq!(code(&nobody), "UNAUTHENTICATED", "{slug}: {input}");
        }
        let counts = app
            .own(
                "query($id: ID!) { post(id: $id) { reactionCounts { count } comments { totalCount } } }",
                json!({ "id": id }),
            )
            .await;
        assert_eq!(counts["post"], json!({ "reactionCounts": [], "comments": { "totalCount": 1 } }), "{slug}");
    }
}
