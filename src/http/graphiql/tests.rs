//! The explorer's files, as a browser gets them.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::Method;
use tower::ServiceExt;

use super::*;

async fn fetch(path: &str, headers: &[(&str, &str)]) -> Response {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    let request = request.body(Body::empty()).expect("the request is well formed");
    routes::<()>().oneshot(request).await.expect("the router is infallible")
}

async fn bytes(response: Response) -> Vec<u8> {
    to_bytes(response.into_body(), 16 * 1024 * 1024).await.expect("the body is whole").to_vec()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name).unwrap_or_else(|| panic!("the answer should have the header {name}"));
    value.to_str().expect("a header of text")
}

fn path_of(ending: &str) -> String {
    let file = ASSETS.iter().find(|file| file.name.ends_with(ending));
    format!("/assets/{}", file.unwrap_or_else(|| panic!("there should be an asset *{ending}")).name)
}

#[tokio::test]
async fn the_page_is_html_with_a_strict_policy_and_is_asked_for_each_time() {
    let response = fetch("/", &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
    assert_eq!(header(&response, "cache-control"), "no-cache");
    assert!(!response.headers().contains_key("content-encoding"), "the page is sent as it is");
    let policy = header(&response, "content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe-eval") && !policy.contains("script-src 'self' 'unsafe"), "{policy}");
    assert!(!policy.contains("  ") && !policy.contains("http"), "{policy}");
}

#[tokio::test]
async fn all_that_the_page_names_is_there_and_it_has_no_inline_script() {
    let page = String::from_utf8(bytes(fetch("/", &[]).await).await).expect("the page is UTF-8");
    let named: Vec<_> = page.split(['"', '\'']).filter(|text| text.starts_with("./")).collect();
    assert!(named.iter().any(|path| path.ends_with(".js")), "the page should load a script: {page}");
    for path in named {
        let response = fetch(path.trim_start_matches('.'), &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    for script in page.split("<script").skip(1) {
        let (attributes, rest) = script.split_once('>').expect("a tag ends");
        assert!(attributes.contains("src=\"./assets/"), "a script of another place: {attributes}");
        assert!(rest.starts_with("</script>"), "an inline script, which the policy forbids: {rest}");
    }
    assert!(!page.contains("://"), "the page should name no other server: {page}");
}

#[tokio::test]
async fn assets_have_their_type_are_gzipped_and_kept_for_ever() {
    let types = [
        (".js", "text/javascript; charset=utf-8"),
        (".css", "text/css; charset=utf-8"),
        (".ttf", "font/ttf"),
        (".svg", "image/svg+xml"),
    ];
    for (ending, content_type) in types {
        let path = path_of(ending);
        let response = fetch(&path, &[("accept-encoding", "gzip, deflate, br")]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&response, "content-type"), content_type, "{path}");
        assert_eq!(header(&response, "content-encoding"), "gzip", "{path}");
        assert_eq!(header(&response, "vary"), "accept-encoding", "{path}");
        assert_eq!(header(&response, "cache-control"), "public, max-age=31536000, immutable", "{path}");
        assert_eq!(bytes(response).await[..2], [0x1f, 0x8b], "{path} should begin as gzip does");
    }
}

#[tokio::test]
async fn the_licences_are_text_and_are_asked_for_each_time() {
    let response = fetch("/assets/licenses.txt", &[]).await;
    assert_eq!(header(&response, "content-type"), "text/plain; charset=utf-8");
    assert_eq!(header(&response, "cache-control"), "no-cache", "its name stays when its content changes");
}

#[tokio::test]
async fn every_asset_is_found_and_of_a_known_type() {
    for file in ASSETS {
        assert_eq!(fetch(&format!("/assets/{}", file.name), &[]).await.status(), StatusCode::OK, "{}", file.name);
        assert_ne!(content_type(file.name), "application/octet-stream", "{} needs a type", file.name);
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let js = path_of(".js");
    let others = [
        "/assets/nothing.js",
        "/assets/",
        "/assets",
        "/assets/../Cargo.toml",
        "/assets/%2e%2e%2fCargo.toml",
        "/index.html",
    ];
    let with_ending = format!("{js}.gz");
    for path in others.into_iter().chain([with_ending.as_str()]) {
        let response = fetch(path, &[]).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(!response.headers().contains_key("cache-control"), "{path} may be there after an upgrade");
    }
    let post = Request::builder().method(Method::POST).uri(&js).body(Body::empty()).expect("a request");
    let response = routes::<()>().oneshot(post).await.expect("the router is infallible");
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn who_has_a_file_already_does_not_get_it_again() {
    for path in ["/".to_owned(), path_of(".js"), "/assets/licenses.txt".to_owned()] {
        let first = fetch(&path, &[]).await;
        let etag = header(&first, "etag").to_owned();
        let quoted = etag.trim_start_matches("W/");
        assert!(quoted.starts_with('"') && quoted.ends_with('"') && quoted.len() == 18, "{path}: {etag}");
        for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let again = fetch(&path, &[("if-none-match", &known)]).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path} with {known}");
            assert_eq!(header(&again, "etag"), etag, "{path} with {known}");
            assert_eq!(header(&again, "cache-control"), header(&first, "cache-control"), "{path} with {known}");
            assert!(bytes(again).await.is_empty(), "{path} with {known}");
        }
        let other = fetch(&path, &[("if-none-match", "\"0123456789abcdef\"")]).await;
        assert_eq!(other.status(), StatusCode::OK, "{path}: what it has is another version");
    }
}

#[tokio::test]
async fn etags_differ_where_contents_do() {
    let mut etags: Vec<_> = ASSETS.iter().map(|file| file.etag).chain([PAGE.etag]).collect();
    etags.sort_unstable();
    etags.dedup();
    assert_eq!(etags.len(), ASSETS.len() + 1, "no two of these files are the same");
}

#[tokio::test]
async fn who_does_not_take_gzip_is_told_so() {
    let path = path_of(".js");
    for accepted in ["gzip", "GZIP", "br;q=1.0, gzip;q=0.5", "*", "identity, *;q=0.1", "x-gzip"] {
        let response = fetch(&path, &[("accept-encoding", accepted)]).await;
        assert_eq!(response.status(), StatusCode::OK, "{accepted:?}");
    }
    for refused in ["", "identity", "br", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "gzip;q=nonsense"] {
        let response = fetch(&path, &[("accept-encoding", refused)]).await;
        assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE, "{refused:?}");
        assert_eq!(header(&response, "vary"), "accept-encoding", "{refused:?}");
    }
}
