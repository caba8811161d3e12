//! What a client that has a document already is told.

use axum::http::HeaderName;
use axum::http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};

use super::*;

fn at(second: &str) -> DateTime<Utc> {
    format!("2026-01-02T03:04:{second}Z").parse().expect("a date")
}

fn document() -> Document {
    Document { text: "text".into(), etag: "\"abc\"".into(), changed_at: at("05.9") }
}

fn asked(sent: &[(HeaderName, &'static str)]) -> Response {
    let headers =
        HeaderMap::from_iter(sent.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))));
    respond(&headers, &document(), "text/x; charset=utf-8", at("30"))
}

#[test]
fn the_document_comes_with_what_to_ask_next_time() {
    let response = asked(&[]);
    assert_eq!(response.status(), StatusCode::OK);
    for (name, wanted) in [
        (ETAG, "\"abc\""),
        (LAST_MODIFIED, "Fri, 02 Jan 2026 03:04:05 GMT"),
        (CACHE_CONTROL, "public, max-age=300"),
        (CONTENT_TYPE, "text/x; charset=utf-8"),
    ] {
        assert_eq!(response.headers()[&name], wanted, "{name}");
    }
}

#[test]
fn who_has_it_gets_nothing_but_headers() {
    for known in [
        &[(IF_NONE_MATCH, "\"abc\"")][..],
        &[(IF_NONE_MATCH, "\"x\", W/\"abc\"")],
        &[(IF_NONE_MATCH, "*")],
        &[(IF_NONE_MATCH, "\"abc\""), (IF_MODIFIED_SINCE, "Fri, 02 Jan 2026 03:04:00 GMT")],
        &[(IF_MODIFIED_SINCE, "Fri, 02 Jan 2026 03:04:05 GMT")],
        &[(IF_MODIFIED_SINCE, "Sat, 03 Jan 2026 00:00:00 GMT")],
    ] {
        let response = asked(known);
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known:?}");
        assert_eq!(response.headers()[ETAG], "\"abc\"", "{known:?}");
        assert!(response.headers().contains_key(CACHE_CONTROL), "{known:?}");
        assert!(!response.headers().contains_key(CONTENT_TYPE), "{known:?}");
    }
}

#[test]
fn who_has_another_or_says_nothing_readable_gets_it() {
    for sent in [
        &[(IF_NONE_MATCH, "\"ab\"")][..],
        &[(IF_NONE_MATCH, "abc")],
        &[(IF_NONE_MATCH, "")],
        &[(IF_NONE_MATCH, "\"old\""), (IF_MODIFIED_SINCE, "Sat, 03 Jan 2026 00:00:00 GMT")],
        &[(IF_MODIFIED_SINCE, "Fri, 02 Jan 2026 03:04:04 GMT")],
        &[(IF_MODIFIED_SINCE, "yesterday")],
    ] {
        assert_eq!(asked(sent).status(), StatusCode::OK, "{sent:?}");
    }
}

#[test]
fn the_date_of_a_fresh_change_is_not_yet_the_last_of_its_second() {
    let changed = at("05.9");
    assert_eq!(last_modified(changed, at("06")).timestamp(), at("04").timestamp());
    assert_eq!(last_modified(changed, at("15.8")).timestamp(), at("04").timestamp());
    assert_eq!(last_modified(changed, at("15.9")), changed);
    assert_eq!(last_modified(changed, at("01")).timestamp(), at("04").timestamp(), "a clock that went back");
}
