//! The bounds of one operation, on every way in.

use std::time::Duration;

use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use inkstone::store::Tx;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::support::live::{PATIENCE, Socket, Sse};
use crate::support::{TestApp, code, data};

const MODERN: &str = "application/graphql-response+json";

/// Asks over HTTP for the newer media type: status and body.
async fn ask(app: &TestApp, body: Value) -> (u16, Value) {
    let request = app.http.post(format!("{}/graphql", app.base)).header("accept", MODERN).json(&body);
    let response = request.send().await.expect("the server answers");
    (response.status().as_u16(), response.json().await.expect("the answer is JSON"))
}

/// Until it is dropped, nobody can read a post.
async fn nobody_reads_posts(app: &TestApp) -> Tx {
    let mut tx = app.services.db.begin().await.expect("a transaction");
    tx.batch_execute("LOCK TABLE posts IN ACCESS EXCLUSIVE MODE").await.expect("the lock");
    tx
}

/// Statements of this test's own database that wait for a lock.
async fn statements_that_wait(app: &TestApp) -> i64 {
    let count =
        "(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
    let count = diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(count));
    count.get_result(&mut *app.services.db.conn().await.expect("a connection")).await.expect("a number")
}

async fn all_is_given_up(app: &TestApp) {
    let ended = async { while statements_that_wait(app).await > 0 {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("Postgres gives up what nobody waits for");
}

#[tokio::test]
async fn a_query_whose_client_has_gone_is_given_up_in_the_database() {
    if !crate::support::on_real_servers() {
        return;
    }
    let app = TestApp::start().await;
    let held = nobody_reads_posts(&app).await;
    let mut asking = Box::pin(ask(&app, json!({ "query": "{ posts { nodes { title } } }" })));
    let begun = async {
        while statements_that_wait(&app).await == 0 {
            tokio::select! {
                biased;
                _ = &mut asking => panic!("nobody can read posts"),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.expect("the statement waits");
    drop(asking);
    all_is_given_up(&app).await;
    drop(held);
    let (status, answer) = ask(&app, json!({ "query": "{ posts { nodes { title } } }" })).await;
    assert_eq!(status, 200, "the connections can be used again: {answer:#}");
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_given_up_on_every_way_in() {
    let app = TestApp::start_with(&[("query_timeout_ms", "200")]).await;
    let query = "query TooLong { posts { nodes { title } } }";
    let held = nobody_reads_posts(&app).await;

    let (status, answer) = ask(&app, json!({ "query": query })).await;
    assert_eq!((status, code(&answer)), (504, "REQUEST_TIMEOUT"), "{answer:#}");
    assert_eq!(answer.get("data"), None, "what was given up has no data: {answer:#}");
    let (older, _) = app.respond(None, query, json!({})).await;
    assert_eq!(code(&older), "REQUEST_TIMEOUT", "the older media type tells it, too");

    let mut sse = Sse::open(&app, None, None, query, json!({})).await;
    let answer = sse.next().await.expect("an answer");
    assert_eq!(code(&answer.data), "REQUEST_TIMEOUT", "over SSE: {:#}", answer.data);
    assert_eq!(sse.next().await.expect("the end").event, "complete");

    let mut socket = Socket::connect(&app, None).await;
    socket.subscribe("1", query, json!({})).await;
    let answer = socket.receive().await;
    assert_eq!(answer["type"], "error", "{answer:#}");
    assert_eq!(answer["payload"][0]["extensions"]["code"], "REQUEST_TIMEOUT", "over a WebSocket: {answer:#}");
    if crate::support::on_real_servers() {
        all_is_given_up(&app).await;
    }
    drop(held);

    let metrics = app.metrics().await;
    let wanted = r#"inkstone_graphql_operations_total{type="query",name="TooLong",outcome="server_error"}"#;
    assert!(metrics.contains(wanted), "what was given up should be counted");
}

#[tokio::test]
async fn what_did_not_begin_has_no_data() {
    let app = TestApp::start().await;
    for query in ["{", "{ nothing }", "query A { site { title } } query B { site { title } }"] {
        let (status, answer) = ask(&app, json!({ "query": query })).await;
        assert_eq!((status, answer.get("data")), (400, None), "{query}: {answer:#}");
    }
    let (status, answer) = ask(&app, json!({ "query": "{ posts(first: 0) { nodes { id } } }" })).await;
    assert_eq!(status, 200, "a field that failed is no failed request");
    assert_eq!(answer["data"], Value::Null, "what began has data, if only null: {answer:#}");
    assert!(answer.as_object().is_some_and(|answer| answer.contains_key("data")), "{answer:#}");
}

#[tokio::test]
async fn the_cost_is_told_to_who_asks_for_it() {
    let app = TestApp::start_with(&[("max_query_cost", "1000")]).await;
    let query = |first: u32| format!("{{ posts(first: {first}) {{ nodes {{ title slug }} }} }}");
    let (_, answer) = ask(&app, json!({ "query": query(10), "extensions": { "cost": true } })).await;
    let cost = answer["extensions"]["cost"].clone();
    assert_eq!(cost["limit"], 1000, "{answer:#}");
    let told = cost["requested"].as_u64().expect("a cost");
    assert!((20..100).contains(&told), "about two a row: {cost}");
    let (_, unasked) = ask(&app, json!({ "query": query(10) })).await;
    assert_eq!(unasked.get("extensions"), None, "who does not ask is not told");

    let dear = "{ posts(first: 100) { nodes { title slug excerpt html } } }";
    let (answer, statements) = app.respond(None, dear, json!({})).await;
    assert_eq!((code(&answer), statements), ("BAD_USER_INPUT", 0), "{answer:#}");
    let message = answer["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("at most 1000"), "it tells the limit: {message}");
}

#[tokio::test]
async fn an_answer_does_not_grow_without_bound() {
    let app = TestApp::start().await;
    let long = "many words ".repeat(80_000);
    let created = app
        .own(
            "mutation($text: String!) { createPost(input: { title: \"Long\", markdown: $text }) { post { id } userErrors { message } } }",
            json!({ "text": long }),
        )
        .await;
    let id = created["createPost"]["post"]["id"].as_str().unwrap_or_else(|| panic!("a post: {created:#}")).to_owned();
    let texts = |times: usize| {
        let fields: String = (0..times).map(|n| format!("a{n}: markdown ")).collect();
        format!("query($id: ID!) {{ node(id: $id) {{ ... on Post {{ {fields} }} }} }}")
    };
    let owner = Some(app.tokens.owner.as_str());
    data(app.ask_as(owner, &texts(15), json!({ "id": id })).await);
    let answer = app.ask_as(owner, &texts(25), json!({ "id": id })).await;
    assert_eq!(code(&answer), "BAD_USER_INPUT");
    assert!(answer["errors"][0]["message"].as_str().is_some_and(|m| m.contains("16 MiB")), "it tells the limit");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_in_words() {
    let app = TestApp::start_with(&[("max_body_bytes", "2048")]).await;
    for path in ["/graphql", "/graphql/stream"] {
        let body = json!({ "query": "{ site { title } }", "x": "y".repeat(4096) }).to_string();
        let request = app.http.post(format!("{}{path}", app.base)).header(CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status(), 413, "{path}");
        let answer: Value = response.json().await.expect("a refusal is JSON");
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{path}");
        assert!(answer.to_string().contains("2048 bytes"), "it tells the limit: {answer:#}");
    }
}

#[tokio::test]
async fn one_operation_does_not_take_all_connections() {
    let app = TestApp::start_with(&[("database_pool_size", "5"), ("query_timeout_ms", "2000")]).await;
    // Twenty root fields that all wait for the lock, and somebody else who needs one connection.
    let many: String = (0..20).map(|n| format!("a{n}: posts(first: {}) {{ nodes {{ slug }} }} ", n + 1)).collect();
    let held = nobody_reads_posts(&app).await;
    let many = format!("{{ {many} }}");
    let greedy = app.ask(&many, json!({}));
    let modest = async {
        if !crate::support::on_real_servers() {
            // The embedded database has one session for all: there, everybody waits for the lock's holder.
            return Value::Null;
        }
        // One connection holds the lock, four are the greedy operation's at most.
        app.ask("{ tags(first: 1) { nodes { slug } } }", json!({})).await
    };
    let release = async {
        let metrics = || app.services.db.pool_state();
        let limit = std::time::Instant::now() + std::time::Duration::from_millis(1500);
        while metrics().connections - metrics().idle < 2 && std::time::Instant::now() < limit {
            tokio::task::yield_now().await;
        }
        drop(held);
    };
    let (greedy, modest, ()) = tokio::join!(greedy, modest, release);
    assert_eq!(data(greedy).as_object().map(|all| all.len()), Some(20), "all its fields are answered in the end");
    assert!(modest.is_null() || modest.get("errors").is_none(), "{modest:#}");
}
