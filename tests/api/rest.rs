//! REST: what is answered below `/api/v1`, to whom, and what caches may do with it.

use std::collections::HashSet;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{TestApp, data};

mod described;

async fn send(app: &TestApp, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = app.http.request(method, format!("{}{path}", app.base));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.expect("the server answers")
}

async fn get(app: &TestApp, path: &str, token: Option<&str>) -> Response {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|value| ("authorization", value.as_str())).collect();
    send(app, Method::GET, path, &headers).await
}

async fn json_of(app: &TestApp, path: &str, token: Option<&str>) -> Value {
    let response = get(app, path, token).await;
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_else(|| panic!("the header {name}"))
}

/// The problem that an answer must be.
async fn problem(response: Response, status: u16, code: &str) -> Value {
    assert_eq!(response.status(), status, "{}", response.url());
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    assert_eq!(header(&response, "cache-control"), "private, no-store", "a problem is not for caches");
    let id = header(&response, "x-request-id").to_owned();
    let path = response.url().path().to_owned();
    let body: Value = response.json().await.expect("a problem is JSON");
    assert_eq!(
        (&body["status"], &body["code"], &body["requestId"], &body["instance"]),
        (&json!(status), &json!(code), &json!(id), &json!(path)),
        "{body:#}"
    );
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "it should say why: {body:#}");
    body
}

async fn slugs(app: &TestApp, query: &str) -> Vec<String> {
    let answer = app.own(query, json!({})).await;
    let nodes = answer.as_object().and_then(|roots| roots.values().next()).expect("a root")["nodes"].clone();
    nodes.as_array().expect("a list").iter().map(|node| node["slug"].as_str().expect("a slug").to_owned()).collect()
}

/// A draft with a slug of its own.
async fn draft(app: &TestApp, slug: &str) -> String {
    let made = "mutation($slug: String) { createPost(input: { title: \"Unseen\", slug: $slug, markdown: \"Not yet.\", tags: [\"zugzwang\"] }) { post { id } userErrors { message } } }";
    let answer = app.own(made, json!({ "slug": slug })).await;
    answer["createPost"]["post"]["id"].as_str().unwrap_or_else(|| panic!("a post: {answer}")).to_owned()
}

#[tokio::test]
async fn a_post_is_what_graphql_says_it_is() {
    let app = TestApp::start().await;
    let slug = slugs(&app, "{ posts(first: 1, filter: { status: [PUBLISHED] }) { nodes { slug } } }").await.remove(0);
    let query = "query($slug: String!) { post(slug: $slug) { id slug title html markdown publishedAt wordCount
        custom outline { id level text } author { id handle } tags { slug name } translations { slug }
        previous { slug } next { slug } reactionCounts { kind count } } site { title links { name url } } }";
    let wanted = data(app.ask(query, json!({ "slug": slug })).await);
    let post = json_of(&app, &format!("/api/v1/posts/{slug}"), None).await;
    fn is_within(wanted: &Value, found: &Value) -> bool {
        match (wanted, found) {
            (Value::Object(wanted), Value::Object(found)) => {
                wanted.iter().all(|(name, value)| found.get(name).is_some_and(|found| is_within(value, found)))
            }
            (Value::Array(wanted), Value::Array(found)) => {
                wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| is_within(wanted, found))
            }
            _ => wanted == found,
        }
    }
    assert!(is_within(&wanted["post"], &post), "{:#}\nshould be in\n{post:#}", wanted["post"]);
    assert!(is_within(&wanted["site"], &json_of(&app, "/api/v1/site", None).await), "the site");
}

#[tokio::test]
async fn whoever_follows_the_links_has_every_post_once() {
    let app = TestApp::start().await;
    let counted = data(app.ask("{ posts(filter: { language: \"zh\" }) { totalCount } }", json!({})).await);
    let mut next = Some("/api/v1/posts?language=zh&first=5&html=true&orderBy=oldest_first".to_owned());
    let (mut seen, mut dates) = (HashSet::new(), Vec::new());
    while let Some(path) = next {
        let response = get(&app, &path, None).await;
        assert_eq!(response.status(), 200, "{path}");
        let link = response.headers().get("link").map(|link| link.to_str().expect("text").to_owned());
        let page: Value = response.json().await.expect("JSON");
        assert_eq!(page["pageInfo"]["hasNextPage"], link.is_some(), "the header and the body agree");
        for post in page["items"].as_array().expect("items") {
            assert!(seen.insert(post["slug"].clone()), "{} came twice", post["slug"]);
            assert!(post["html"].is_string() && post.get("markdown").is_none(), "html was asked for, markdown was not");
            dates.push(post["publishedAt"].as_str().expect("a date").to_owned());
        }
        next = link.map(|link| {
            link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect("a link").to_owned()
        });
    }
    assert_eq!(json!(seen.len()), counted["posts"]["totalCount"]);
    assert!(dates.is_sorted(), "the earliest first, as was asked: {dates:?}");
}

#[tokio::test]
async fn what_is_no_post_yet_is_there_for_staff_only() {
    let app = TestApp::start().await;
    let id = draft(&app, "unseen").await;
    let comment = format!(
        "mutation {{ addComment(input: {{ postId: \"{}\", markdown: \"first\" }}) {{ comment {{ id }} }} }}",
        data(app.ask("{ posts(first: 1) { nodes { id } } }", json!({})).await)["posts"]["nodes"][0]["id"]
            .as_str()
            .expect("an id")
    );
    let pending = data(app.ask_as(Some(&app.tokens.reader), &comment, json!({})).await)["addComment"]["comment"].take();
    let one = "/api/v1/posts/unseen";
    let replies = format!("/api/v1/comments/{}/replies", pending["id"].as_str().expect("an id"));
    let not_a_comment = format!("/api/v1/comments/{id}/replies");
    for token in [None, Some(app.tokens.reader.as_str())] {
        problem(get(&app, one, token).await, 404, "NOT_FOUND").await;
        problem(get(&app, "/api/v1/posts/unseen/comments", token).await, 404, "NOT_FOUND").await;
        problem(get(&app, "/api/v1/tags/zugzwang", token).await, 404, "NOT_FOUND").await;
        let drafts = json_of(&app, "/api/v1/posts?status=DRAFT", token).await;
        assert_eq!(drafts["items"], json!([]), "drafts are for staff");
    }
    problem(get(&app, &replies, None).await, 404, "NOT_FOUND").await;
    for token in [app.tokens.editor.as_str(), app.tokens.owner.as_str()] {
        let response = get(&app, one, Some(token)).await;
        assert_eq!(header(&response, "cache-control"), "private, no-store", "a draft is for no cache");
        assert!(response.headers().get("etag").is_none(), "what is not to be kept needs no tag");
        assert_eq!(response.json::<Value>().await.expect("JSON")["id"], id.as_str());
        let drafts = json_of(&app, "/api/v1/posts?status=draft,scheduled", Some(token)).await;
        assert!(drafts["items"].as_array().is_some_and(|items| items.iter().any(|post| post["id"] == id.as_str())));
        assert_eq!(json_of(&app, &replies, Some(token)).await["items"], json!([]));
        problem(get(&app, &not_a_comment, Some(token)).await, 404, "NOT_FOUND").await;
    }
}

#[tokio::test]
async fn who_has_it_already_is_told_so_until_it_changes() {
    let app = TestApp::start().await;
    let first = get(&app, "/api/v1/site", None).await;
    assert!(header(&first, "cache-control").starts_with("public, max-age="), "{:?}", first.headers());
    assert!(first.headers().get_all("vary").iter().any(|v| v == "accept, authorization, cookie"));
    let etag = header(&first, "etag").to_owned();
    let known = [("if-none-match", etag.as_str())];
    let again = send(&app, Method::GET, "/api/v1/site", &known).await;
    assert_eq!((again.status().as_u16(), header(&again, "etag")), (304, etag.as_str()), "nothing changed");
    let head = send(&app, Method::HEAD, "/api/v1/site", &[]).await;
    assert_eq!((head.status().as_u16(), header(&head, "etag")), (200, etag.as_str()), "HEAD tells the same");
    app.own("mutation { updateSite(input: { title: \"Anew\" }) { site { title } } }", json!({})).await;
    let changed = send(&app, Method::GET, "/api/v1/site", &known).await;
    assert_eq!(changed.status(), 200, "another title is another representation");
    assert_eq!(changed.json::<Value>().await.expect("JSON")["title"], "Anew");
}

#[tokio::test]
async fn the_door_of_one_api_does_not_open_the_other() {
    let app = TestApp::start().await;
    let kept = get(&app, "/api/v1/site", None).await;
    assert_eq!(kept.status(), 200);
    // The address of what is kept, as the query of another.
    let other = get(&app, "/graphql?/api/v1/site", None).await;
    assert_eq!(other.status(), 400, "it holds no GraphQL request");
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem() {
    let app = TestApp::start().await;
    for path in [
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/site",
        "/api/v1/tags/no-such-tag",
        "/api/v1/posts/no-such-post",
        "/api/v1/posts/no-such-post/comments",
        "/api/v1/users/nobody",
        "/api/v1/series/none",
        "/api/feed.xml/more",
    ] {
        problem(get(&app, path, None).await, 404, "NOT_FOUND").await;
    }
    for (path, named) in [
        ("/api/v1/site?fields=title", "fields"),
        ("/api/v1/posts?first=many", "first"),
        ("/api/v1/search", "the parameter `q` is missing"),
        ("/api/v1/posts?first=0", "first"),
        ("/api/v1/posts?first=101", "first"),
        ("/api/v1/posts?first=5&first=6", "first"),
        ("/api/v1/posts?slug=x", "slug"),
        ("/api/v1/posts?html=maybe", "html"),
        ("/api/v1/posts?kind=NOTE,essay", "expected one of ARTICLE, NOTE, "),
        ("/api/v1/posts?orderBy=sideways", "\"sideways\": expected one of "),
        ("/api/v1/posts?publishedFrom=yesterday", "a time such as 2026-"),
        ("/api/v1/posts?after=nowhere", "after"),
        ("/api/v1/posts/a%00b", "NUL"),
        ("/api/v1/tags/%FF", "UTF-8"),
    ] {
        let body = problem(get(&app, path, None).await, 400, "BAD_USER_INPUT").await;
        assert!(body["detail"].as_str().is_some_and(|detail| detail.contains(named)), "{path}: {body:#}");
    }
    let refused = get(&app, "/api/v1/site", Some("no-token")).await;
    assert_eq!(header(&refused, "www-authenticate"), "Bearer");
    problem(refused, 401, "UNAUTHENTICATED").await;
    let refused = send(&app, Method::POST, "/api/v1/site", &[]).await;
    assert_eq!(header(&refused, "allow"), "GET,HEAD");
    problem(refused, 405, "BAD_USER_INPUT").await;
}

#[tokio::test]
async fn who_asks_too_much_is_told_when_to_come_back() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "60")]).await;
    let served = get(&app, "/api/v1/site", None).await;
    assert_eq!(served.status(), 200, "the first is within 60 points");
    assert!(header(&served, "ratelimit").starts_with("\"cost\";r="));
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(get(&app, "/api/v1/site", None).await);
    }
    let refused = answers.pop().expect("the last");
    assert!(header(&refused, "retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    problem(refused, 429, "RATE_LIMITED").await;
}
