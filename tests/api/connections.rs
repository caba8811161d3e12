//! Connections: how many, for how long, in which protocol, and from whose pages.

use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ORIGIN};
use reqwest::{Certificate, Method, Version};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::live::PATIENCE;
use crate::support::{TestApp, client_builder};

fn address(app: &TestApp) -> &str {
    app.base.strip_prefix("http://").expect("an address")
}

/// Reads until the server closes; an error is a close as well.
async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the server should close the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_let_go() {
    let app = TestApp::start_with(&[("header_timeout_ms", "300")]).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut stream = TcpStream::connect(address(&app)).await.expect("a connection");
        stream.write_all(begun.as_bytes()).await.expect("the server listens");
        let answer = read_to_end(&mut stream).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "after {begun:?}: {answer}");
    }
    // Having asked once does not keep a connection for ever.
    let mut idle = TcpStream::connect(address(&app)).await.expect("a connection");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("the server listens");
    assert!(read_to_end(&mut idle).await.starts_with("HTTP/1.1 200"), "the answer comes before the end");
}

#[tokio::test]
async fn garbage_and_huge_heads_are_refused_while_others_are_served() {
    let app = TestApp::start().await;
    let huge = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-huge: {}\r\n\r\n", "y".repeat(200_000));
    for garbage in ["\0\u{1}\u{2} nothing\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", &huge] {
        let mut stream = TcpStream::connect(address(&app)).await.expect("a connection");
        let _ = stream.write_all(garbage.as_bytes()).await;
        let answer = read_to_end(&mut stream).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "it is no request: {answer}");
        assert_eq!(app.http.get(format!("{}/healthz", app.base)).send().await.expect("served").status(), 200);
    }
}

#[tokio::test]
async fn more_connections_than_allowed_are_let_go() {
    let app = TestApp::start_with(&[("max_connections", "3")]).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address(&app)).await.expect("a connection");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("the server listens");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200");
        held.push(stream);
    }
    let mut fourth = TcpStream::connect(address(&app)).await.expect("the kernel accepts");
    let _ = fourth.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(read_to_end(&mut fourth).await, "", "there is no room for a fourth");
    held.pop();
    let again = async {
        loop {
            // A client of its own each time: it must not keep the connection.
            let asked = client_builder().build().expect("a client").get(format!("{}/healthz", app.base)).send().await;
            if asked.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("there is room again");
}

#[tokio::test]
async fn http_2_is_spoken_without_tls() {
    let app = TestApp::start().await;
    let client = client_builder().http2_prior_knowledge().build().expect("a client");
    let asked = client.post(format!("{}/graphql", app.base)).json(&json!({ "query": "{ __typename }" }));
    let answer = asked.send().await.expect("the server answers");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
}

#[tokio::test]
async fn https_is_served_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let path = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let app = TestApp::start_with(&[("tls_certificate", &path(&certificate)), ("tls_key", &path(&key))]).await;

    let root = Certificate::from_der(made.cert.der()).expect("a certificate");
    let (_, port) = address(&app).rsplit_once(':').expect("a port");
    for (only_old, spoken) in [(false, Version::HTTP_2), (true, Version::HTTP_11)] {
        let client = client_builder().tls_certs_only([root.clone()]).https_only(true);
        let client = if only_old { client.http1_only() } else { client };
        let client = client.resolve("localhost", address(&app).parse().expect("an address")).build().expect("a client");
        let asked =
            client.post(format!("https://localhost:{port}/graphql")).json(&json!({ "query": "{ __typename }" }));
        let answer = asked.send().await.expect("the server answers");
        assert_eq!((answer.status().as_u16(), answer.version()), (200, spoken));
        assert_eq!(answer.json::<Value>().await.expect("JSON"), json!({ "data": { "__typename": "Query" } }));
    }
    let plain =
        client_builder().build().expect("a client").get(format!("http://{}/healthz", address(&app))).send().await;
    assert!(plain.is_err(), "nothing is answered without TLS");
}

#[tokio::test]
async fn pages_of_other_sites_may_ask_only_if_they_are_listed() {
    let app = TestApp::start_with(&[("cors_origins", "https://blog.example, http://localhost:3000")]).await;
    let preflight = async |origin: &'static str| {
        let request = app.http.request(Method::OPTIONS, format!("{}/graphql", app.base)).header(ORIGIN, origin);
        let request = request.header("access-control-request-method", "POST");
        let request = request.header("access-control-request-headers", "content-type,authorization");
        request.send().await.expect("the server answers")
    };
    let allowed = |response: &reqwest::Response| {
        let header = response.headers().get("access-control-allow-origin");
        header.map(|value| value.to_str().expect("text").to_owned())
    };
    for origin in ["https://blog.example", "http://localhost:3000"] {
        let response = preflight(origin).await;
        assert_eq!((response.status().as_u16(), allowed(&response).as_deref()), (200, Some(origin)));
        assert_eq!(response.headers()["access-control-allow-credentials"], "true", "with the reader's cookie");
        let asked = app.http.post(format!("{}/graphql", app.base)).header(ORIGIN, origin);
        let answer = asked.json(&json!({ "query": "{ __typename }" })).send().await.expect("an answer");
        assert_eq!(allowed(&answer).as_deref(), Some(origin));
    }
    for origin in ["https://evil.example", "null", "https://blog.example.evil.example"] {
        assert_eq!(allowed(&preflight(origin).await), None, "{origin}");
    }
    let open = TestApp::start_with(&[("cors_origins", "*")]).await;
    let asked = open.http.get(format!("{}/healthz", open.base)).header(ORIGIN, "https://any.example");
    let answer = asked.send().await.expect("an answer");
    assert_eq!(allowed(&answer).as_deref(), Some("*"));
    assert_eq!(answer.headers().get("access-control-allow-credentials"), None, "any site, but without cookies");
}

#[tokio::test]
async fn answers_are_compressed_and_streams_are_not() {
    let app = TestApp::start().await;
    let body = json!({ "query": "{ posts(first: 20) { nodes { title html } } }" });
    for coding in ["gzip", "br", "zstd"] {
        let asked = app.http.post(format!("{}/graphql", app.base)).header(ACCEPT_ENCODING, coding).json(&body);
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.headers()[CONTENT_ENCODING], coding);
        assert!(answer.headers()["vary"].to_str().is_ok_and(|vary| vary.contains("accept-encoding")));
        let plain = app.http.post(format!("{}/graphql", app.base)).json(&body).send().await.expect("an answer");
        let (packed, plain) = (answer.bytes().await.expect("bytes").len(), plain.bytes().await.expect("bytes").len());
        assert!(packed * 2 < plain, "{coding}: {packed} bytes instead of {plain}");
    }
    let stream = app.http.post(format!("{}/graphql/stream", app.base)).header(ACCEPT_ENCODING, "gzip, br, zstd");
    let stream = stream.json(&json!({ "query": "subscription { postPublished { cursor } }" }));
    let stream = tokio::time::timeout(Duration::from_secs(5), stream.send()).await.expect("at once").expect("a stream");
    assert_eq!(stream.headers().get(CONTENT_ENCODING), None, "a stream's events must not wait in a compressor");
}
