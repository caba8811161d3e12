//! Rate limits: who asks too much is told so, with when to come back.

use inkstone::auth::Scope;
use serde_json::{Value, json};

use crate::support::asking::publish;
use crate::support::live::{Socket, Sse};
use crate::support::{TestApp, code, points_left};

const DEAR: &str = "{ posts(first: 100) { nodes { title slug excerpt } } }";

/// Made anew each time: what is given out again is cheap.
async fn ask(app: &TestApp, token: Option<&str>, query: &str) -> reqwest::Response {
    let request = app.http.post(format!("{}/graphql", app.base)).header("cache-control", "no-cache");
    let mut request = request.json(&json!({ "query": query }));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.expect("the server answers")
}

fn header(response: &reqwest::Response, name: &str) -> String {
    let value = response.headers().get(name).unwrap_or_else(|| panic!("the header {name}"));
    value.to_str().expect("text").to_owned()
}

#[tokio::test]
async fn who_asks_too_much_is_refused_on_every_way_in_and_others_are_served() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "1000")]).await;
    let first = ask(&app, None, DEAR).await;
    assert_eq!(first.status(), 200);
    assert_eq!(header(&first, "ratelimit-policy"), "\"cost\";q=1000;w=60");
    assert!(header(&first, "ratelimit").starts_with("\"cost\";r="), "{}", header(&first, "ratelimit"));
    for _ in 0..2 {
        assert_eq!(ask(&app, None, DEAR).await.status(), 200, "three of about 320 points are within 1000");
    }
    let refused = ask(&app, None, DEAR).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = header(&refused, "retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let answer: Value = refused.json().await.expect("JSON");
    assert_eq!(code(&answer), "RATE_LIMITED");
    assert!(answer["errors"][0]["message"].as_str().is_some_and(|m| m.contains("1000 points")), "{answer:#}");

    let mut socket = Socket::connect(&app, None).await;
    socket.subscribe("1", DEAR, json!({})).await;
    let answer = socket.receive().await;
    assert_eq!(answer["payload"][0]["extensions"]["code"], "RATE_LIMITED", "over a WebSocket: {answer:#}");
    let stream = app.http.post(format!("{}/graphql/stream", app.base)).json(&json!({ "query": DEAR }));
    assert_eq!(stream.send().await.expect("an answer").status(), 429, "over SSE");

    let signed_in = ask(&app, Some(&app.tokens.reader), DEAR).await;
    assert_eq!(signed_in.status(), 200, "a user has an account of one's own");
    let mut cheap = Sse::open(&app, None, None, "{ __typename }", json!({})).await;
    assert_eq!(cheap.next().await.expect("an answer").event, "next", "what is left can be spent");
}

#[tokio::test]
async fn streams_and_lists_say_how_the_account_stands() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "1000")]).await;
    let post = async |path: &str, accept: &str, body: Value| {
        let request = app.http.post(format!("{}{path}", app.base)).header("accept", accept).json(&body);
        request.send().await.expect("the server answers")
    };
    let subscription = json!({ "query": "subscription { postPublished { cursor } }" });
    let mut before = 1000;
    for (path, accept) in [
        ("/graphql/stream", "text/event-stream"),
        ("/graphql", "text/event-stream"),
        ("/graphql", "multipart/mixed;subscriptionSpec=1.0"),
    ] {
        let opened = post(path, accept, subscription.clone()).await;
        assert!(points_left(&opened) < before, "{path} {accept}");
        before = points_left(&opened);
    }
    let reserved = app.http.put(format!("{}/graphql/stream", app.base)).send().await.expect("an answer");
    assert!(points_left(&reserved) < before, "a reserved stream");
    let list = post("/graphql", "application/json", json!([{ "query": DEAR }, { "query": "{ __typename }" }])).await;
    assert!(points_left(&list) < 700, "a list: {}", points_left(&list));
    let overdrawn = json!([{ "query": DEAR }, { "query": DEAR }, { "query": DEAR }, { "query": "{ nothing }" }]);
    let overdrawn = post("/graphql", "application/json", overdrawn).await;
    let wait: u64 = header(&overdrawn, "retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
}

#[tokio::test]
async fn what_is_refused_for_other_reasons_is_not_free() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "100")]).await;
    for wrong in ["{", "{ nothing }"] {
        for _ in 0..3 {
            assert_eq!(ask(&app, None, wrong).await.status(), 200);
        }
    }
    for _ in 0..3 {
        assert_eq!(ask(&app, Some("nonsense"), "{ __typename }").await.status(), 401);
    }
    for (token, query) in [(None, "{"), (Some("nonsense"), "{ __typename }"), (None, DEAR)] {
        let last = ask(&app, token, query).await;
        let status = last.status();
        if status != 429 {
            assert_eq!(ask(&app, token, query).await.status(), 429, "ten requests of ten points are a hundred");
        }
    }
}

/// Packing takes longer than giving out again what was kept packed.
#[tokio::test]
async fn a_large_answer_is_paid_for_by_its_size() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "1000")]).await;
    publish(&app, "long", "Long", &"ink ".repeat(25_000)).await;
    let one = json!({ "query": "{ post(slug: \"long\") { markdown } }" });
    let post = async |body: &Value| {
        let answer = app.http.post(format!("{}/graphql", app.base)).json(body).send().await;
        points_left(&answer.expect("the server answers"))
    };
    let rest = async |path: &str| {
        points_left(&app.http.get(format!("{}{path}", app.base)).send().await.expect("the server answers"))
    };
    let mut left = rest("/api/v1/site").await;
    // Some come back in between.
    let mut cost = |now: u64| std::mem::replace(&mut left, now).saturating_sub(now);
    let costs = [
        cost(post(&one).await),
        cost(post(&one).await),
        cost(post(&json!([one])).await),
        cost(rest("/api/v1/posts/long").await),
        cost(rest("/api/v1/posts/long").await),
    ];
    let [made, kept, list, plain, kept_plain] = costs;
    assert!(made > 130 && kept <= 10, "an answer to a body is kept packed: {costs:?}");
    assert!(list > 130, "a list is not: {costs:?}");
    assert!(plain > 200 && kept_plain <= 10, "nor is plain JSON, which has it as HTML too, free: {costs:?}");
    let refused = app.http.post(format!("{}/graphql", app.base)).json(&json!([one, one, one, one])).send().await;
    let refused: Value = refused.expect("the server answers").json().await.expect("JSON");
    assert_eq!(code(&refused[3]), "RATE_LIMITED", "{:.300}", refused[3].to_string());
}

/// What was let in is answered: its size is known only when it is made.
#[tokio::test]
async fn what_an_answer_costs_is_owed_where_it_is_not_there() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "300")]).await;
    publish(&app, "long", "Long", &"ink ".repeat(25_000)).await;
    let query = "{ post(slug: \"long\") { markdown } }";
    let mut answered = Vec::new();
    for _ in 0..5 {
        let answer = ask(&app, None, query).await;
        answered.push((answer.status().as_u16(), points_left(&answer)));
    }
    assert_eq!(answered[0].0, 200, "{answered:?}");
    let owing = answered.iter().position(|(status, _)| *status == 429).expect("five times are too much");
    assert_eq!(answered[owing - 1], (200, 0), "who had enough for the operation is answered: {answered:?}");
}

#[tokio::test]
async fn each_key_of_staff_has_an_account_and_a_reader_one_for_all_of_theirs() {
    let app = TestApp::start_with(&[("rate_limit_per_minute", "1000")]).await;
    let spend_all = async |token: &str| {
        for _ in 0..3 {
            assert_eq!(ask(&app, Some(token), DEAR).await.status(), 200);
        }
        assert_eq!(ask(&app, Some(token), DEAR).await.status(), 429);
    };
    spend_all(&app.key("olga", &[Scope::Read]).await).await;
    spend_all(&app.key("olga", &[Scope::Read]).await).await;
    spend_all(&app.tokens.owner).await;
    spend_all(&app.key("rita", &[Scope::Read]).await).await;
    for token in [app.key("rita", &[Scope::Read]).await, app.tokens.reader.clone()] {
        assert_eq!(ask(&app, Some(&token), DEAR).await.status(), 429, "who makes another key is still the same reader");
    }
}

#[tokio::test]
async fn a_client_behind_a_trusted_proxy_has_an_account_of_its_own() {
    let settings = [("rate_limit_per_minute", "1000"), ("trusted_proxies", "127.0.0.1, ::1")];
    let app = TestApp::start_with(&settings).await;
    let ask = async |from: &'static str| {
        let request = app.http.post(format!("{}/graphql", app.base)).header("x-forwarded-for", from);
        let request = request.header("cache-control", "no-cache");
        request.json(&json!({ "query": DEAR })).send().await.expect("an answer").status().as_u16()
    };
    for _ in 0..3 {
        assert_eq!(ask("198.51.100.1").await, 200);
    }
    assert_eq!(ask("198.51.100.1").await, 429);
    assert_eq!(ask("203.0.113.9, 198.51.100.1").await, 429, "what the client made up does not count");
    assert_eq!(ask("198.51.100.2").await, 200);
}

#[tokio::test]
async fn replicas_count_together() {
    if !crate::support::on_real_servers() {
        return;
    }
    let namespace = format!("rate-{}", uuid::Uuid::now_v7());
    let settings = [("rate_limit_per_minute", "1000"), ("redis_namespace", &namespace)];
    let one = TestApp::start_with(&settings).await;
    let two = TestApp::replica_of(&one, &settings).await;
    let token = Some(one.tokens.reader.as_str());
    assert_eq!(ask(&one, token, DEAR).await.status(), 200);
    assert_eq!(ask(&two, token, DEAR).await.status(), 200);
    assert_eq!(ask(&one, token, DEAR).await.status(), 200);
    assert_eq!(ask(&two, token, DEAR).await.status(), 429, "what was spent at one is spent at the other");
}
