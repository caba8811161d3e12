//! Answers to anonymous queries: kept, revalidated, and never older than what they tell of.

use reqwest::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, ETAG, IF_NONE_MATCH, VARY,
};
use reqwest::{Method, Response, Url};
use serde_json::{Value, json};

use crate::support::{TestApp, client_builder, data, on_real_servers, points_left};

const POST: &str = "query($slug: String!) { post(slug: $slug) { id title version } }";

fn address(app: &TestApp, query: &str) -> Url {
    let parameters = [("query", query), ("variables", r#"{"slug":"about"}"#)];
    Url::parse_with_params(&format!("{}/graphql", app.base), parameters).expect("an address")
}

async fn get(app: &TestApp, query: &str) -> Response {
    app.http.get(address(app, query)).send().await.expect("the server answers")
}

fn header<'a>(response: &'a Response, name: &reqwest::header::HeaderName) -> &'a str {
    response.headers().get(name).map(|v| v.to_str().expect("text")).unwrap_or_default()
}

fn statements(response: &Response) -> String {
    let timing = response.headers().get("server-timing");
    timing.map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
}

async fn rename(app: &TestApp, title: &str) {
    let post = data(get(app, POST).await.json().await.expect("JSON"))["post"].take();
    let input = json!({ "id": post["id"], "basedOnVersion": post["version"], "title": title });
    let renamed = app
        .own(
            "mutation($input: UpdatePostInput!) { updatePost(input: $input) { userErrors { message } } }",
            json!({ "input": input }),
        )
        .await;
    assert_eq!(renamed["updatePost"]["userErrors"], json!([]));
}

#[tokio::test]
async fn who_has_the_answer_is_told_so_until_it_changes() {
    let app = TestApp::start().await;
    let first = get(&app, POST).await;
    let etag = header(&first, &ETAG).to_owned();
    assert_eq!(header(&first, &CACHE_CONTROL), "public, max-age=10");
    assert!(header(&first, &VARY).contains("authorization"), "{}", header(&first, &VARY));
    assert!(etag.len() > 10, "{etag}");
    let again = app.http.get(address(&app, POST)).header(IF_NONE_MATCH, &etag).send().await.expect("an answer");
    assert_eq!(again.status(), 304);
    assert_eq!(again.bytes().await.expect("nothing").len(), 0);

    rename(&app, "Another title").await;
    let changed = app.http.get(address(&app, POST)).header(IF_NONE_MATCH, &etag).send().await.expect("an answer");
    assert_eq!(changed.status(), 200, "who wrote it reads it at once");
    assert_ne!(header(&changed, &ETAG), etag);
    assert_eq!(data(changed.json().await.expect("JSON"))["post"]["title"], "Another title");
}

#[tokio::test]
async fn an_answer_is_made_once() {
    let app = TestApp::start().await;
    let query = "query($slug: String!) { post(slug: $slug) { comments(first: 2) { totalCount } } }";
    assert!(!statements(&get(&app, query).await).is_empty(), "the first answer took statements");
    let kept = get(&app, query).await;
    assert_eq!(statements(&kept), "", "the second was not made at all");
    assert_eq!(kept.status(), 200);
    let bare = app.http.get(address(&app, query)).header("accept", "application/graphql-response+json");
    let bare = bare.send().await.expect("an answer");
    assert!(!statements(&bare).is_empty(), "another media type is another answer");
    assert!(header(&bare, &CONTENT_TYPE).starts_with("application/graphql-response+json"));
}

async fn post(app: &TestApp, body: &Value) -> Response {
    app.http.post(format!("{}/graphql", app.base)).json(body).send().await.expect("the server answers")
}

#[tokio::test]
async fn the_same_body_gets_the_kept_answer_until_it_changes() {
    let app = TestApp::start().await;
    let body = json!({ "query": POST, "variables": { "slug": "about" } });
    let first = post(&app, &body).await;
    assert!(!statements(&first).is_empty(), "the first answer took statements");
    for name in [CACHE_CONTROL, ETAG] {
        assert_eq!(first.headers().get(&name), None, "no proxy keeps an answer to POST");
    }
    let kept = app.http.post(format!("{}/graphql", app.base)).json(&body).header(IF_NONE_MATCH, "*");
    let kept = kept.send().await.expect("an answer");
    assert_eq!((kept.status().as_u16(), statements(&kept).as_str()), (200, ""), "the second was not made at all");
    let type_of = |response: &Response| header(response, &CONTENT_TYPE).to_owned();
    assert_eq!(type_of(&kept), type_of(&first));
    assert_eq!(kept.text().await.expect("text"), first.text().await.expect("text"));
    let anew = app.http.post(format!("{}/graphql", app.base)).json(&body).header(CACHE_CONTROL, "max-age=0, No-Cache");
    assert!(!statements(&anew.send().await.expect("an answer")).is_empty(), "who asks so has it made anew");

    rename(&app, "Another title").await;
    let changed = post(&app, &body).await;
    assert_eq!(data(changed.json().await.expect("JSON"))["post"]["title"], "Another title");
}

#[tokio::test]
async fn only_an_anonymous_query_without_errors_is_kept_by_its_body() {
    let app = TestApp::start().await;
    let is_made_again = async |token: Option<&str>, body: Value| {
        let mut last = String::new();
        for _ in 0..2 {
            let mut request = app.http.post(format!("{}/graphql", app.base)).json(&body);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            last = statements(&request.send().await.expect("an answer"));
        }
        !last.is_empty()
    };
    let named = json!({ "query": "query Named { site { title } } query Other { viewer { handle } }", "operationName": "Named" });
    assert!(!is_made_again(None, named.clone()).await);
    let other = json!({ "query": named["query"], "operationName": "Other" });
    assert_eq!(data(post(&app, &other).await.json().await.expect("JSON")), json!({ "viewer": null }));
    assert!(is_made_again(Some(&app.tokens.reader), json!({ "query": "{ viewer { handle } }" })).await);
    assert!(
        is_made_again(None, json!({ "query": "{ models { name state } }" })).await,
        "models change without an event"
    );
    assert!(
        is_made_again(None, json!({ "query": "{ jobs(first: 1) { nodes { id } } site { title } }" })).await,
        "it failed"
    );
    let long = format!("{{ site {{ title }} }} # {}", "x".repeat(9000));
    assert!(is_made_again(None, json!({ "query": long })).await, "too long to be kept");
    let list = json!([{ "query": "{ site { title } }" }]);
    assert!(is_made_again(None, list).await, "a list is not kept");
    let start = json!({ "query": "mutation { startReading { readingToken } }" });
    let tokens: Vec<_> = [post(&app, &start).await, post(&app, &start).await].into();
    let mut seen = Vec::new();
    for token in tokens {
        seen.push(data(token.json().await.expect("JSON"))["startReading"]["readingToken"].to_string());
    }
    assert_ne!(seen[0], seen[1], "a mutation is done each time");
}

#[tokio::test]
async fn what_is_given_out_again_is_counted_and_paid_for() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "1000")]).await;
    let body = json!({ "query": "query GivenOutAgain { posts(first: 5) { nodes { title } } }" });
    let left = async || {
        let answer = post(&app, &body).await;
        points_left(&answer)
    };
    let made = left().await;
    let kept = left().await;
    assert!((8..=10).contains(&(made - kept)), "{made}, then {kept}: a request costs 10, and some come back");
    let metrics = app.metrics().await;
    let line = "inkstone_graphql_operations_total{type=\"query\",name=\"GivenOutAgain\",outcome=\"success\"} 2";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_kept_answer_is_what_its_route_would_give() {
    let app = TestApp::start_with(&[("cors_origins", "https://blog.example")]).await;
    let query = "query($slug: String!) { post(slug: $slug) { title html } }";
    let ask = async |headers: &[(&str, &str)]| {
        let asked =
            headers.iter().fold(app.http.get(address(&app, query)), |asked, (name, value)| asked.header(*name, *value));
        let answer = asked.send().await.expect("an answer");
        let mut told: Vec<_> = answer.headers().iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        told.retain(|line| {
            !["x-request-id", "traceparent", "date", "server-timing", "ratelimit:"]
                .iter()
                .any(|own| line.starts_with(own))
        });
        told.sort();
        (statements(&answer), told, answer.status().as_u16(), answer.bytes().await.expect("a body"))
    };
    for packing in ["gzip", "br", "zstd", "identity", "gzip;q=0, br"] {
        let of_other_site = [("accept-encoding", packing), ("origin", "https://blog.example")];
        let (made_with, made, ..) = ask(&of_other_site).await;
        let (kept_with, kept, status, body) = ask(&of_other_site).await;
        assert!(!made_with.is_empty() && kept_with.is_empty(), "{packing}: the first is made, the second is not");
        assert_eq!(made, kept, "{packing}");
        assert!(kept.iter().any(|line| line == "access-control-allow-origin: \"https://blog.example\""), "{kept:?}");
        let first: &[u8] = match packing {
            "gzip" => b"\x1f\x8b",
            "zstd" => b"\x28\xb5\x2f\xfd",
            "identity" => b"{\"data\"",
            _ => b"",
        };
        assert!(status == 200 && body.starts_with(first) && body.len() > 100, "{packing}");
        let (_, elsewhere, ..) = ask(&[("accept-encoding", packing), ("origin", "https://elsewhere.example")]).await;
        assert!(!elsewhere.iter().any(|line| line.starts_with("access-control-allow-origin")), "{elsewhere:?}");
    }
    let in_two = [("accept-encoding", "deflate"), ("accept-encoding", "gzip")];
    let (.., packed) = ask(&in_two).await;
    let (.., plain) = ask(&in_two[..1]).await;
    assert!(packed.starts_with(b"\x1f\x8b") && plain.starts_with(b"{"), "who takes less is not given what others take");

    let etag = header(&get(&app, query).await, &ETAG).to_owned();
    let known = [("accept-encoding", "gzip"), ("if-none-match", etag.as_str())];
    let (with, told, status, body) = ask(&known).await;
    assert_eq!((with.as_str(), status, body.len()), ("", 304, 0));
    assert!(!told.iter().any(|line| line.starts_with("content-")), "{told:?}");
    let head = app.http.head(address(&app, query)).header(IF_NONE_MATCH, &etag).send().await.expect("an answer");
    assert_eq!(head.status(), 304);
    let unkept =
        in_two.iter().fold(app.http.get(address(&app, query)), |asked, (name, value)| asked.header(*name, *value));
    let unkept = unkept.header(IF_NONE_MATCH, etag).send().await.expect("an answer");
    assert_eq!(unkept.status(), 304, "also where nothing is kept");

    let metrics = app.metrics().await;
    for (method, count) in [("GET", 2), ("HEAD", 1)] {
        let labels = format!("method=\"{method}\",route=\"/graphql\",status=\"304\"");
        let line = format!("inkstone_http_requests_total{{{labels}}} {count}");
        assert!(metrics.contains(&line), "a kept answer counts for its route: {metrics}");
    }
}

#[tokio::test]
async fn head_tells_what_get_tells_without_the_body() {
    let app = TestApp::start().await;
    let newer = client_builder().http2_prior_knowledge().build().expect("a client");
    let query = address(&app, "{ site { title description } posts(first: 5) { nodes { title } } }");
    for (client, packing) in [(&app.http, "gzip"), (&newer, "br"), (&app.http, "identity")] {
        let ask = async |method: Method| {
            let asked = client.request(method, query.clone()).header("accept-encoding", packing);
            let answer = asked.send().await.expect("an answer");
            let told = [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, ETAG, VARY, CACHE_CONTROL];
            let told = told.map(|name| header(&answer, &name).to_owned());
            let made = statements(&answer);
            (answer.status().as_u16(), told, made, answer.bytes().await.expect("a body").len())
        };
        let (status, told, made, length) = ask(Method::HEAD).await;
        assert_eq!((status, length), (200, 0), "{packing}");
        assert!(!made.is_empty(), "{packing}: HEAD comes before any GET");
        let (_, of_get, made, length) = ask(Method::GET).await;
        assert_eq!((told, made.as_str()), (of_get.clone(), ""), "{packing}: what HEAD had made is given out");
        assert_eq!(of_get[1], length.to_string());
        let (_, again, made, length) = ask(Method::HEAD).await;
        assert_eq!((again, made.as_str(), length), (of_get, "", 0), "{packing}");
    }
}

#[tokio::test]
async fn who_takes_no_packing_at_all_is_answered_unpacked() {
    let app = TestApp::start().await;
    for packing in ["identity;q=0", "*;q=0", "identity;q=0, compress"] {
        for path in ["/graphql?query={site{title}}", "/feed.xml", "/nothing"] {
            let ask = async |packing: &str| {
                let asked = app.http.get(format!("{}{path}", app.base)).header("accept-encoding", packing);
                asked.send().await.expect("an answer")
            };
            let (unpacked, expected) = (ask(packing).await, ask("identity").await);
            assert_eq!(unpacked.status(), expected.status(), "{path} {packing}");
            assert_eq!(header(&unpacked, &CONTENT_ENCODING), "", "{path} {packing}");
            if expected.status() == 200 {
                assert_eq!(unpacked.text().await.expect("text"), expected.text().await.expect("text"), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn the_answer_to_a_body_is_kept_packed() {
    let app = TestApp::start().await;
    let body = json!({ "query": "{ posts(first: 5) { nodes { title html } } }" });
    for (packing, first) in [("gzip", &b"\x1f\x8b"[..]), ("zstd", b"\x28\xb5\x2f\xfd"), ("identity", b"{\"data\"")] {
        let ask = async || {
            let asked = app.http.post(format!("{}/graphql", app.base)).header("accept-encoding", packing);
            let answer = asked.json(&body).send().await.expect("an answer");
            let told = [CONTENT_TYPE, CONTENT_ENCODING, VARY].map(|name| header(&answer, &name).to_owned());
            (statements(&answer), told, answer.bytes().await.expect("a body"))
        };
        let ((made_with, made_told, made), (kept_with, kept_told, kept)) = (ask().await, ask().await);
        assert!(!made_with.is_empty() && kept_with.is_empty(), "{packing}: the first is made, the second is not");
        assert_eq!((made_told, made), (kept_told, kept.clone()), "{packing}");
        assert!(kept.starts_with(first), "{packing}: {kept:?}");
    }
}

#[tokio::test]
async fn who_has_nothing_left_is_not_given_what_is_kept() {
    for (path, kind) in
        [("/graphql?query={site{title}}", "application/json"), ("/api/v1/site", "application/problem+json")]
    {
        let app = TestApp::start_with(&[("rate_limit_per_minute", "60")]).await;
        let get = async || app.http.get(format!("{}{path}", app.base)).send().await.expect("an answer");
        assert!(!statements(&get().await).is_empty(), "{path}");
        assert_eq!(statements(&get().await), "", "{path} is given out again");
        for _ in 0..5 {
            get().await;
        }
        let last = get().await;
        assert_eq!(last.status(), 429, "{path}");
        assert_eq!(header(&last, &CONTENT_TYPE), kind);
        assert!(last.headers().contains_key("retry-after"));
    }
}

#[tokio::test]
async fn what_somebody_in_particular_is_told_is_nobody_elses() {
    let app = TestApp::start().await;
    let query = "query($slug: String!) { viewer { handle } post(slug: $slug) { id } }";
    let of_reader = app.http.get(address(&app, query)).bearer_auth(&app.tokens.reader).send().await.expect("an answer");
    assert_eq!(header(&of_reader, &CACHE_CONTROL), "private, no-store");
    assert_eq!(of_reader.headers().get(ETAG), None);
    assert_eq!(data(of_reader.json().await.expect("JSON"))["viewer"]["handle"], "rita");
    assert_eq!(data(get(&app, query).await.json().await.expect("JSON"))["viewer"], Value::Null);
    let cookie = format!("inkstone_session={}", app.tokens.editor);
    let of_editor = app.http.get(address(&app, query)).header(COOKIE, cookie).send().await.expect("an answer");
    assert_eq!(header(&of_editor, &CACHE_CONTROL), "private, no-store");
    assert_eq!(data(of_editor.json().await.expect("JSON"))["viewer"]["handle"], "edgar");
}

#[tokio::test]
async fn what_failed_is_not_kept() {
    let app = TestApp::start().await;
    for query in ["{ nothing }", "{ posts(first: 0) { nodes { id } } }", "query {"] {
        let failed = get(&app, query).await;
        assert_eq!(header(&failed, &CACHE_CONTROL), "private, no-store", "{query}");
        assert_eq!(failed.headers().get(ETAG), None, "{query}");
    }
}

#[tokio::test]
async fn another_replica_drops_its_answer_when_it_reads_the_event() {
    if !on_real_servers() {
        return;
    }
    let one = TestApp::start().await;
    let other = TestApp::replica_of(&one, &[]).await;
    get(&other, POST).await;
    rename(&one, "Changed elsewhere").await;
    let mut title = String::new();
    for _ in 0..100 {
        title = data(get(&other, POST).await.json().await.expect("JSON"))["post"]["title"].to_string();
        if title == "\"Changed elsewhere\"" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the other replica still tells {title} after 5 s");
}
