//! How a document is described.

use super::*;

fn at(second: &str) -> DateTime<Utc> {
    format!("2026-01-02T03:04:{second}Z").parse().expect("a date")
}

#[test]
fn the_document_comes_with_what_to_ask_next_time() {
    let document = Document { text: "text".into(), etag: "\"abc\"".into(), changed_at: at("05.9") };
    let response = respond(&document, 0, "text/x; charset=utf-8", at("30"));
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
fn the_date_of_a_fresh_change_is_not_yet_the_last_of_its_second() {
    let changed = at("05.9");
    assert_eq!(last_modified(changed, at("06")).timestamp(), at("04").timestamp());
    assert_eq!(last_modified(changed, at("15.8")).timestamp(), at("04").timestamp());
    assert_eq!(last_modified(changed, at("15.9")), changed);
    assert_eq!(last_modified(changed, at("01")).timestamp(), at("04").timestamp(), "a clock that went back");
}
