//! All layers together, as a client and an operator see them.

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use axum::{Router, extract::State};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::{HttpService, RequestId, Surroundings, around, packed};
use crate::config::{Networks, Origins};
use crate::telemetry::capture::Capture;
use crate::telemetry::trace_context::{TRACE_ID, TraceContext};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn app() -> impl HttpService<Body> {
    let routes = Router::new()
        .route("/posts/{slug}", get(async |id: Extension<RequestId>| id.0.to_string()))
        .route("/state", get(async |State(text): State<&'static str>| text))
        .route("/framed", get(async || ([(header::X_FRAME_OPTIONS, "SAMEORIGIN")], "")))
        .route("/healthz", get(async || "ok"))
        .route("/panic", get(async || -> &'static str { panic!("no ink left in {}", "well") }));
    let surroundings = Surroundings { origins: Origins::Listed(Vec::new()), trusted_proxies: Networks::default() };
    around(packed(routes.with_state("shared")), &surroundings)
}

async fn send(request: Request) -> Response {
    app().oneshot(request).await.expect("the router is infallible")
}

async fn fetch(path: &str) -> Response {
    send(Request::get(path).body(Body::empty()).expect("the request is well formed")).await
}

async fn fetch_with(path: &str, headers: &[(&str, &str)]) -> Response {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    send(request.body(Body::empty()).expect("the request is well formed")).await
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), 64 * 1024).await.expect("the body is whole");
    String::from_utf8(bytes.to_vec()).expect("the body is UTF-8")
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("{name} is missing")).to_str().expect("the header is text")
}

#[tokio::test]
async fn a_clients_request_id_is_kept_and_echoed() {
    let response = fetch_with("/posts/a", &[("x-request-id", "client.id_1-x")]).await;
    assert_eq!(header(response.headers(), "x-request-id"), "client.id_1-x");
    assert_eq!(text(response).await, "client.id_1-x", "the handler sees the same id");
}

#[tokio::test]
async fn a_missing_or_unfit_request_id_is_replaced_by_a_uuid_of_version_7() {
    for headers in [&[][..], &[("x-request-id", "no spaces please")], &[("x-request-id", "")]] {
        let response = fetch_with("/posts/a", headers).await;
        let id = Uuid::parse_str(header(response.headers(), "x-request-id")).expect("the id is a UUID");
        assert_eq!(id.get_version_num(), 7, "{headers:?}");
        assert_eq!(text(response).await, id.to_string(), "the handler sees the same id");
    }
}

#[tokio::test]
async fn a_clients_trace_is_continued_with_a_position_of_our_own() {
    let response = fetch_with("/posts/a", &[("traceparent", TRACE)]).await;
    let parent = TraceContext::parse(TRACE).expect("the test's trace is valid");
    let ours = TraceContext::parse(header(response.headers(), "traceparent")).expect("the echo is valid");
    assert_eq!((ours.trace_id(), ours.sampled()), (parent.trace_id(), parent.sampled()));
    assert_ne!(ours.parent_id(), parent.parent_id());
}

#[tokio::test]
async fn without_one_valid_traceparent_a_new_trace_starts() {
    let other = TRACE.replace("4bf9", "5bf9");
    for headers in [&[][..], &[("traceparent", "00-xyz")], &[("traceparent", TRACE), ("traceparent", &other)]] {
        let response = fetch_with("/posts/a", headers).await;
        let ours = TraceContext::parse(header(response.headers(), "traceparent")).expect("the echo is valid");
        assert!(!TRACE.contains(&ours.header()[TRACE_ID]), "{headers:?}");
        assert!(!ours.sampled(), "{headers:?}");
    }
}

#[tokio::test]
async fn a_panic_is_answered_in_json_with_ids_and_headers_and_logged() {
    let log = Capture::start("info", true);
    let response = fetch_with("/panic", &[("x-request-id", "r-panic")]).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(header(response.headers(), "x-request-id"), "r-panic");
    assert_eq!(header(response.headers(), "x-content-type-options"), "nosniff");
    assert_eq!(header(response.headers(), "content-type"), "application/json");
    let body: Value = serde_json::from_str(&text(response).await).expect("the body is JSON");
    let extensions = json!({ "code": "INTERNAL_SERVER_ERROR", "requestId": "r-panic" });
    assert_eq!(body, json!({ "errors": [{ "message": "internal error", "extensions": extensions }] }));

    let lines = log.objects();
    assert_eq!(lines.len(), 2, "the panic and the end of the request: {lines:?}");
    assert_eq!(lines[0]["level"], "ERROR");
    assert_eq!(lines[0]["request_id"], "r-panic");
    assert_eq!(lines[0]["panic"], "no ink left in well");
    assert_eq!(lines[1]["status"], 500);
}

#[tokio::test]
async fn every_kind_of_response_has_the_security_headers_and_ids() {
    for (path, status) in [("/posts/a", 200), ("/nowhere", 404), ("/panic", 500), ("/state", 200)] {
        let response = fetch(path).await;
        let headers = response.headers();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(header(headers, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(headers, "referrer-policy"), "strict-origin-when-cross-origin", "{path}");
        assert_eq!(header(headers, "x-frame-options"), "DENY", "{path}");
        assert!(headers.contains_key("x-request-id") && headers.contains_key("traceparent"), "{path}");
    }
    let wrong_method = send(Request::post("/posts/a").body(Body::empty()).expect("the request is well formed")).await;
    assert_eq!(wrong_method.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(header(wrong_method.headers(), "x-frame-options"), "DENY");
}

#[tokio::test]
async fn a_route_may_set_its_own_security_header() {
    let response = fetch("/framed").await;
    assert_eq!(header(response.headers(), "x-frame-options"), "SAMEORIGIN");
    assert_eq!(response.headers().get_all("x-frame-options").iter().count(), 1);
}

#[tokio::test]
async fn one_line_tells_of_a_finished_request_and_holds_no_query_string() {
    let log = Capture::start("info", true);
    let headers = [("x-request-id", "r-9"), ("traceparent", TRACE)];
    fetch_with("/posts/a?token=ink_ses_secret", &headers).await;
    let lines = log.objects();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!((&line["level"], &line["message"]), (&json!("INFO"), &json!("request finished")));
    assert_eq!((&line["request_id"], &line["method"]), (&json!("r-9"), &json!("GET")));
    assert_eq!((&line["path"], &line["route"]), (&json!("/posts/a"), &json!("/posts/{slug}")));
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(line["status"], 200);
    assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms >= 0.0), "{line}");
    assert!(!log.text().contains("ink_ses_secret"), "{}", log.text());
}

#[tokio::test]
async fn probes_are_logged_at_debug_only() {
    let log = Capture::start("info", true);
    fetch("/healthz").await;
    assert_eq!(log.text(), "");
    drop(log);
    let log = Capture::start("debug", true);
    fetch("/healthz").await;
    assert!(log.objects().iter().any(|line| line["level"] == "DEBUG" && line["route"] == "/healthz"), "{}", log.text());
}

#[tokio::test]
async fn errors_keep_their_request_id_under_a_strict_filter() {
    let log = Capture::start("error", true);
    fetch_with("/panic", &[("x-request-id", "r-strict")]).await;
    let lines = log.objects();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["request_id"], "r-strict");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_final_status() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let guard = metrics::set_default_local_recorder(&recorder);
    for path in ["/posts/a", "/posts/b", "/panic", "/nowhere"] {
        fetch(path).await;
    }
    send(Request::options("/posts/a").body(Body::empty()).expect("the request is well formed")).await;
    drop(guard);
    let shown = recorder.handle().render();
    for (method, route, status, count) in [
        ("GET", "/posts/{slug}", 200, 2),
        ("GET", "/panic", 500, 1),
        ("GET", "unmatched", 404, 1),
        ("OPTIONS", "preflight", 200, 1),
    ] {
        let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
        let line = format!("inkstone_http_requests_total{{{labels}}} {count}");
        assert!(shown.lines().any(|have| have == line), "expected {line}\nin\n{shown}");
    }
    assert!(!shown.contains("/posts/a"), "a path became a label\n{shown}");
}
