//! The transport: what HTTP says around the GraphQL answer.

use reqwest::header::{CONTENT_TYPE, COOKIE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde_json::{Value, json};

use crate::support::{TestApp, code, data};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn post(app: &TestApp) -> RequestBuilder {
    app.http.post(format!("{}/graphql", app.base))
}

fn get(app: &TestApp, path: &str) -> RequestBuilder {
    app.http.get(format!("{}{path}", app.base))
}

/// The address with a query string.
fn ask_by_get(app: &TestApp, parameters: &[(&str, &str)]) -> RequestBuilder {
    let address = Url::parse_with_params(&format!("{}/graphql", app.base), parameters);
    app.http.get(address.expect("an address"))
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("the server answers")
}

/// A refusal: its status, and its body, which must be a GraphQL answer with this request's id.
async fn refused(request: RequestBuilder) -> (StatusCode, Value) {
    let response = send(request.header("x-request-id", "refused-1")).await;
    let status = response.status();
    let body: Value = response.json().await.expect("a refusal is JSON");
    assert_eq!(body["errors"][0]["extensions"]["requestId"], "refused-1", "a refusal should tell its id: {body:#}");
    assert!(body["errors"][0]["message"].is_string(), "a refusal should say why: {body:#}");
    (status, body)
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name).unwrap_or_else(|| panic!("the answer should have the header {name}"));
    value.to_str().expect("a header of text")
}

#[tokio::test]
async fn a_body_that_is_no_graphql_request_is_refused() {
    let app = TestApp::start().await;
    let query = json!({ "query": "{ site { title } }" }).to_string();
    for media_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""]
    {
        let (status, body) = refused(post(&app).header(CONTENT_TYPE, media_type).body(query.clone())).await;
        assert_eq!(status, 415, "the media type {media_type:?}: {body:#}");
        assert!(body.to_string().contains("application/json"), "it should say what to send: {body:#}");
    }
    let (status, _) = refused(post(&app).body(query.clone())).await;
    assert_eq!(status, 415, "a body without a media type");
    for broken in ["", "{", "[]", "null", "7", r#"{"variables":{}}"#, r#"{"query":7}"#, "\u{fffd}"] {
        let (status, body) = refused(post(&app).header(CONTENT_TYPE, "application/json").body(broken)).await;
        assert_eq!(status, 400, "the body {broken:?}: {body:#}");
        assert_eq!(code(&body), "BAD_USER_INPUT");
    }
    for media_type in ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"] {
        let response = send(post(&app).header(CONTENT_TYPE, media_type).body(query.clone())).await;
        assert_eq!(response.status(), 200, "the media type {media_type:?}");
        assert_eq!(header(&response, "content-type"), "application/json");
    }
}

#[tokio::test]
async fn a_document_that_cannot_run_is_the_clients_error() {
    let app = TestApp::start().await;
    let documents =
        ["", "{", "{ nothing }", "{ post }", "query A { site { title } } query B { site { title } }", "{ site }"];
    for query in documents {
        let answer = app.ask(query, json!({})).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{query:?} should be refused: {answer:#}");
        let request = post(&app).header("accept", "application/graphql-response+json").json(&json!({ "query": query }));
        let (status, _) = refused(request).await;
        assert_eq!(status, 400, "{query:?} for a client that knows the newer media type");
    }
    let wrong = app.ask("query($slug: String!) { post(slug: $slug) { id } }", json!({ "slug": 7 })).await;
    assert_eq!(code(&wrong), "BAD_USER_INPUT", "a variable of another type: {wrong:#}");
    let response = send(
        post(&app)
            .header("accept", "application/graphql-response+json, application/json")
            .json(&json!({ "query": "{ site { title } }" })),
    )
    .await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "application/graphql-response+json; charset=utf-8");
}

#[tokio::test]
async fn a_document_that_was_validated_before_is_held_to_its_variables() {
    let app = TestApp::start().await;
    let query = "query($slug: String!, $n: Int) { post(slug: $slug) { slug comments(first: $n) { nodes { id } } } }";
    let first = app.ask(query, json!({ "slug": "about", "n": 2 })).await;
    for _ in 0..2 {
        assert_eq!(app.ask(query, json!({ "slug": "about", "n": 2 })).await, first);
        for wrong in [json!({}), json!({ "slug": null }), json!({ "slug": 7 }), json!({ "slug": "about", "n": "two" })]
        {
            let refused = app.ask(query, wrong.clone()).await;
            assert_eq!(code(&refused), "BAD_USER_INPUT", "{wrong}");
            assert_eq!(refused.get("data"), None, "nothing has run: {wrong} {refused:#}");
        }
    }
}

#[tokio::test]
async fn get_is_for_queries() {
    let app = TestApp::start().await;
    let response = send(ask_by_get(
        &app,
        &[
            ("query", "query Q($slug: String!) { post(slug: $slug) { slug } }"),
            ("variables", r#"{"slug":"about"}"#),
            ("operationName", "Q"),
        ],
    ))
    .await;
    assert_eq!(response.status(), 200);
    assert_eq!(data(response.json().await.expect("JSON"))["post"]["slug"], "about");

    let mutation = r#"mutation M { react(input: { postId: "x", kind: LIKE }) { userErrors { code } } }"#;
    for query in [mutation.to_owned(), format!("query Q {{ site {{ title }} }} {mutation}")] {
        let (status, body) = refused(ask_by_get(&app, &[("query", &query), ("operationName", "M")])).await;
        assert_eq!(status, 405, "a mutation in an address: {body:#}");
    }
    let (status, body) = refused(get(&app, "/graphql")).await;
    assert_eq!(status, 400, "an address without a query: {body:#}");
    let (status, body) = refused(ask_by_get(&app, &[("query", "{ site { title } }"), ("variables", "{")])).await;
    assert_eq!(status, 400, "variables that are no JSON: {body:#}");
}

#[tokio::test]
async fn a_refusal_is_a_graphql_answer_too() {
    let app = TestApp::start().await;
    let query = json!({ "query": "{ viewer { handle } }" });
    let modern = "application/graphql-response+json,application/json;q=0.9";
    for (accept, wanted) in [(modern, "application/graphql-response+json; charset=utf-8"), ("*/*", "application/json")]
    {
        for request in
            [post(&app).bearer_auth("wrong").json(&query), post(&app).json(&json!({})), get(&app, "/graphql")]
        {
            let refused = send(request.header("accept", accept)).await;
            assert!(refused.status().is_client_error());
            assert_eq!(header(&refused, "content-type"), wanted, "{}", refused.status());
        }
    }
}

#[tokio::test]
async fn a_subscription_needs_a_stream() {
    let app = TestApp::start().await;
    let query = "subscription { postPublished { cursor } }";
    for request in [post(&app).json(&json!({ "query": query })), ask_by_get(&app, &[("query", query)])] {
        let (status, body) = refused(request).await;
        assert_eq!(status, 400, "{body:#}");
        assert!(body.to_string().contains("/graphql/stream"), "it should say where to go: {body:#}");
    }
}

#[tokio::test]
async fn a_bad_bearer_is_refused_and_a_bad_cookie_is_ignored() {
    let app = TestApp::start().await;
    let query = json!({ "query": "{ viewer { handle } }" });
    let bearers = ["Bearer nonsense", "Bearer", "Bearer ", "Basic b2xnYTpv", "Bearer ink_key_0000", ""];
    for bearer in bearers {
        let (status, body) = refused(post(&app).header("authorization", bearer).json(&query)).await;
        assert_eq!((status.as_u16(), code(&body)), (401, "UNAUTHENTICATED"), "authorization: {bearer:?}");
    }
    let mut bytes = b"caf\xe9=\xff; inkstone_session=".to_vec();
    bytes.extend(app.tokens.reader.as_bytes());
    let cookie = reqwest::header::HeaderValue::from_bytes(&bytes).expect("a header of bytes");
    let response = send(post(&app).header(COOKIE, cookie).json(&query)).await;
    let answer = data(response.json().await.expect("JSON"));
    assert_eq!(answer["viewer"]["handle"], "rita", "another cookie's bytes do not hide the session");
    for cookie in ["inkstone_session=nonsense", "inkstone_session=", "other=1", "inkstone_session"] {
        let response = send(post(&app).header(COOKIE, cookie).json(&query)).await;
        assert_eq!(response.status(), 200, "cookie: {cookie:?}");
        let answer = data(response.json().await.expect("JSON"));
        assert_eq!(answer["viewer"], Value::Null, "cookie: {cookie:?} is nobody in particular");
    }
    let by_cookie = format!("a=1; inkstone_session={}; b=2", app.tokens.reader);
    let response = send(post(&app).header(COOKIE, by_cookie).json(&query)).await;
    assert_eq!(data(response.json().await.expect("JSON"))["viewer"]["handle"], "rita");
    let response = send(post(&app).header("authorization", format!("bEARER {}", app.tokens.editor)).json(&query)).await;
    assert_eq!(data(response.json().await.expect("JSON"))["viewer"]["handle"], "edgar");
}

#[tokio::test]
async fn a_request_has_an_id_and_a_trace() {
    let app = TestApp::start().await;
    let wrong = json!({ "query": "{ posts(first: 0) { nodes { id } } }" });
    let response = send(post(&app).header("x-request-id", "mine-1").json(&wrong)).await;
    assert_eq!(header(&response, "x-request-id"), "mine-1");
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["errors"][0]["extensions"]["requestId"], "mine-1", "an error should tell the id: {body:#}");

    for chosen in ["spaces are not", &"x".repeat(65)] {
        let response = send(post(&app).header("x-request-id", chosen).json(&wrong)).await;
        let own = header(&response, "x-request-id").to_owned();
        assert_ne!(own, chosen, "an unfit id should be replaced");
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["errors"][0]["extensions"]["requestId"], own);
    }

    let parent = format!("00-{TRACE_ID}-00f067aa0ba902b7-01");
    let response = send(get(&app, "/healthz").header("traceparent", &parent)).await;
    let answered = header(&response, "traceparent");
    assert!(answered.starts_with(&format!("00-{TRACE_ID}-")), "the trace should go on: {answered}");
    assert_ne!(answered, parent, "with a span of its own");
    for unusable in ["nonsense", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
        let response = send(get(&app, "/healthz").header("traceparent", unusable)).await;
        let answered = header(&response, "traceparent");
        assert_eq!(answered.len(), parent.len(), "a new trace should begin after {unusable:?}: {answered}");
        assert!(!answered.contains("-00000000000000000000000000000000-"), "{answered}");
    }
}

#[tokio::test]
async fn health_and_readiness_are_told() {
    let app = TestApp::start().await;
    for (path, wanted) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let response = send(get(&app, path)).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.text().await.expect("text"), wanted, "{path}");
    }
}

#[tokio::test]
async fn an_address_or_a_method_that_nobody_serves_is_told_in_the_usual_form() {
    let app = TestApp::start().await;
    for path in ["/nothing-here", "/graphql/nothing", "/.env"] {
        let (status, body) = refused(get(&app, path)).await;
        assert_eq!((status.as_u16(), code(&body)), (404, "NOT_FOUND"), "{path}");
    }
    for (path, method) in [("/graphql", "DELETE"), ("/feed.xml", "POST"), ("/healthz", "POST"), ("/", "PUT")] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let response = send(app.http.request(method.clone(), format!("{}{path}", app.base))).await;
        assert!(header(&response, "allow").contains("GET"), "{method} {path}");
        let (status, body) = (response.status(), response.json::<Value>().await.expect("JSON"));
        assert_eq!((status.as_u16(), code(&body)), (405, "BAD_USER_INPUT"), "{method} {path}");
        assert!(body["errors"][0]["extensions"]["requestId"].is_string(), "{body:#}");
    }
}

#[tokio::test]
async fn metrics_tell_of_every_room() {
    let app = TestApp::start().await;
    let query = "query MetricsTest { posts(first: 1) { nodes { tags { slug } } } }";
    let request = json!({ "query": query, "operationName": "MetricsTest" });
    assert_eq!(send(post(&app).json(&request)).await.status(), 200);
    let response = send(get(&app, "/metrics")).await;
    assert!(header(&response, "content-type").starts_with("text/plain; version=0.0.4"));
    let text = response.text().await.expect("text");
    for wanted in [
        r#"inkstone_http_requests_total{method="POST",route="/graphql",status="200"}"#,
        r#"inkstone_graphql_operations_total{type="query",name="MetricsTest",outcome="success"}"#,
        "inkstone_sql_statements_total ",
        "inkstone_cache_requests_total{",
        r#"inkstone_db_connections{state="in_use"}"#,
        r#"inkstone_db_connections{state="idle"}"#,
        "inkstone_http_request_duration_seconds_bucket{",
        "inkstone_sql_statement_duration_seconds_bucket{",
    ] {
        assert!(text.contains(wanted), "the metrics should hold {wanted}");
    }
    assert!(!text.contains("posts(first"), "no text of a client is a label");
    let sent: u64 = value(&text, "inkstone_sql_statements_total ");
    assert!(sent > 0, "statements should be counted");
}

fn value(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("a line of {name}"));
    line[name.len()..].trim().parse().expect("a count")
}

#[tokio::test]
async fn a_query_that_asks_for_too_much_is_refused() {
    let app = TestApp::start().await;
    let nested = |depth: usize| {
        format!("{{ comments(first: 1) {{ nodes {{ {} id {} }} }} }}", "parent { ".repeat(depth), "}".repeat(depth))
    };
    let fine = app.ask(&nested(10), json!({})).await;
    assert_eq!(fine.get("errors"), None, "a query of depth 13 is within the limit of 15: {fine:#}");
    let deep = nested(13);
    let wide =
        "{ posts(first: 100) { nodes { comments(first: 100) { nodes { replies(first: 100) { nodes { id } } } } } } }";
    let hundred =
        "{ posts(last: 100) { nodes { comments(last: 100) { nodes { replies(last: 100) { nodes { id } } } } } } }";
    for query in [deep.as_str(), wide, hundred] {
        let (answer, statements) = app.respond(None, query, json!({})).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{query} should be refused: {answer:#}");
        assert_eq!(statements, 0, "{query} should not reach the database");
    }
    let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    let answer = app.ask("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", json!({ "ids": many })).await;
    assert_eq!(code(&answer), "BAD_USER_INPUT", "101 ids should be refused: {answer:#}");
    assert!(answer.to_string().contains("100"), "it should tell the limit: {answer:#}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let app = TestApp::start_with(&[("max_body_bytes", "1024")]).await;
    let body = |length: usize| {
        let query = "{ site { title } }";
        let frame = json!({ "query": "" }).to_string().len();
        json!({ "query": format!("{query}{}", " ".repeat(length - frame - query.len())) }).to_string()
    };
    let just = body(1024);
    assert_eq!(just.len(), 1024);
    let response = send(post(&app).header(CONTENT_TYPE, "application/json").body(just)).await;
    assert_eq!(response.status(), 200, "a body of just the limit");
    let response = send(post(&app).header(CONTENT_TYPE, "application/json").body(body(1025))).await;
    assert_eq!(response.status(), 413, "a body of one byte more");
    assert!(response.headers().contains_key("x-request-id"));
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let app = TestApp::start().await;
    let requests = [
        post(&app).json(&json!({ "query": "{ site { title } }" })),
        post(&app).body("nonsense"),
        get(&app, "/"),
        get(&app, "/healthz"),
        get(&app, "/nothing-here"),
    ];
    for request in requests {
        let response = send(request).await;
        let what = format!("{} {}", response.status(), response.url().path());
        assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{what}");
        assert_eq!(header(&response, "x-frame-options"), "DENY", "{what}");
        assert_eq!(header(&response, "referrer-policy"), "strict-origin-when-cross-origin", "{what}");
    }
}

/// Postgres cannot hold this character in a text; asking for it is no defect of the server.
#[tokio::test]
async fn a_text_with_a_nul_names_nothing() {
    let app = TestApp::start().await;
    let queries = [
        "query($t: String!) { found: post(slug: $t) { id } }",
        "query($t: String!) { found: tag(slug: $t) { id } }",
        "query($t: String!) { found: series(slug: $t) { id } }",
        "query($t: String!) { found: user(handle: $t) { id } }",
        "query($t: String!) { posts(filter: { tag: $t }) { nodes { id } } }",
        "query($t: String!) { posts(filter: { author: $t }) { nodes { id } } }",
        "query($t: String!) { posts(filter: { series: $t }) { nodes { id } } }",
        "query($t: String!) { posts(filter: { language: $t }) { nodes { id } } }",
    ];
    for query in queries {
        let answer = app.ask(query, json!({ "t": "a\u{0}b" })).await;
        let internal = answer.to_string().contains("INTERNAL_SERVER_ERROR");
        assert!(!internal, "{query} with a NUL should find nothing or be refused: {answer:#}");
    }
}
