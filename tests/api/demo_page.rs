//! The demo page's files, as a browser gets them.

use reqwest::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
use reqwest::{Method, Response, StatusCode};

use crate::support::TestApp;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const FILES: [(&str, &str); 15] = [
    ("/demo", "text/html; charset=utf-8"),
    ("/demo/style.css", "text/css; charset=utf-8"),
    ("/demo/account.js", SCRIPT),
    ("/demo/address.js", SCRIPT),
    ("/demo/api.js", SCRIPT),
    ("/demo/chat.js", SCRIPT),
    ("/demo/comments.js", SCRIPT),
    ("/demo/demo.js", SCRIPT),
    ("/demo/elements.js", SCRIPT),
    ("/demo/list.js", SCRIPT),
    ("/demo/live.js", SCRIPT),
    ("/demo/post.js", SCRIPT),
    ("/demo/reading.js", SCRIPT),
    ("/demo/search.js", SCRIPT),
    ("/demo/words.js", SCRIPT),
];

async fn ask(app: &TestApp, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = app.http.request(method, format!("{}{path}", app.base));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.expect("the server answers")
}

async fn get(app: &TestApp, path: &str) -> Response {
    ask(app, Method::GET, path, &[]).await
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name).unwrap_or_else(|| panic!("the answer should have the header {name}"));
    value.to_str().expect("a header of text")
}

#[tokio::test]
async fn the_page_and_its_files_have_their_types_and_a_strict_policy() {
    let app = TestApp::start().await;
    for (path, content_type) in FILES {
        let response = get(&app, path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&response, "content-type"), content_type, "{path}");
        assert_eq!(header(&response, "cache-control"), "no-cache", "{path}: its name stays when it changes");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{path}");
        let policy = header(&response, "content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.split("; ").any(|said| said == part), "{path}: {part} in {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("  "), "{path}: {policy}");
    }
}

#[tokio::test]
async fn the_page_has_one_script_of_its_own_and_names_no_other_server() {
    let app = TestApp::start().await;
    let page = get(&app, "/demo").await.text().await.expect("the page is text");
    assert_eq!(page.matches("<script").count(), 1, "one script: {page}");
    assert!(page.contains(r#"<script type="module" src="demo/demo.js"></script>"#), "{page}");
    assert!(page.contains(r#"<link rel="stylesheet" href="demo/style.css">"#), "{page}");
    assert!(!page.contains("style=") && !page.contains("<style"), "the policy forbids styles in the page: {page}");
    for (path, _) in FILES {
        let text = get(&app, path).await.text().await.expect("a file of text");
        // An XML namespace is a name and asks for nothing.
        let addresses = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!addresses.contains("://"), "{path} should name no other server");
        // Each module that is loaded is a file of ours too.
        for line in text.lines().filter(|line| line.starts_with("import ")) {
            let name = line.split('"').nth(1).unwrap_or_else(|| panic!("{path}: what is imported by {line}?"));
            let file = format!("/demo/{}", name.trim_start_matches("./"));
            assert!(FILES.iter().any(|(path, _)| *path == file), "{path} imports {name}");
        }
    }
}

#[tokio::test]
async fn who_has_a_file_does_not_get_it_again() {
    let app = TestApp::start().await;
    for (path, _) in FILES {
        let etag = header(&get(&app, path).await, "etag").to_owned();
        assert!(etag.starts_with("W/\"") && etag.ends_with('"'), "{path}: {etag}");
        for known in [etag.as_str(), etag.trim_start_matches("W/"), "*"] {
            let again = ask(&app, Method::GET, path, &[(IF_NONE_MATCH.as_str(), known)]).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path} with {known}");
            assert_eq!(header(&again, "etag"), etag, "{path} with {known}");
            assert!(again.bytes().await.expect("a body").is_empty(), "{path} with {known}");
        }
        let other = ask(&app, Method::GET, path, &[(IF_NONE_MATCH.as_str(), "\"0123456789abcdef\"")]).await;
        assert_eq!(other.status(), StatusCode::OK, "{path}: what it has is another version");
    }
}

#[tokio::test]
async fn files_are_packed_for_who_takes_that_and_head_tells_without_a_body() {
    let app = TestApp::start().await;
    for (path, content_type) in FILES {
        let packed = ask(&app, Method::GET, path, &[(ACCEPT_ENCODING.as_str(), "gzip")]).await;
        assert_eq!(header(&packed, "content-encoding"), "gzip", "{path}");
        assert_eq!(packed.bytes().await.expect("a body")[..2], [0x1f, 0x8b], "{path} should begin as gzip does");
        let head = ask(&app, Method::HEAD, path, &[]).await;
        assert_eq!(head.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&head, "content-type"), content_type, "{path}");
        assert!(head.bytes().await.expect("no body").is_empty(), "{path}");
    }
}

#[tokio::test]
async fn below_it_is_nothing_else_and_it_takes_no_other_method() {
    let app = TestApp::start().await;
    for path in ["/demo/", "/demo/index.html", "/demo/nothing.js", "/demo/%2e%2e/Cargo.toml", "/demo/demo.js/x"] {
        let response = get(&app, path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let post = ask(&app, Method::POST, "/demo", &[]).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
}
