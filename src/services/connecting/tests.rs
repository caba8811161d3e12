//! What is read out of posts.

use chrono::DateTime;
use proptest::prelude::*;
use uuid::Uuid;

use super::names::{is_name, key};
use super::reading::{Found, MAX_ENTITIES, Source, read};
use super::vocabulary::Vocabulary;
use crate::services::markdown::lines;
use crate::store::entities::EntityKind;
use crate::store::post_entities::MentionSource;
use crate::store::posts::{PostKind, PostRow, PostStatus};
use crate::store::tags::TagRow;

fn source(markdown: &str) -> Source {
    let row = PostRow {
        id: Uuid::from_u128(1),
        kind: PostKind::Article,
        status: PostStatus::Published,
        slug: "here".into(),
        language: "en".into(),
        title: "Here".into(),
        excerpt: String::new(),
        description: None,
        cover: None,
        words: 1,
        custom: serde_json::json!({}),
        author_id: Uuid::from_u128(2),
        series_id: None,
        series_position: None,
        version: 1,
        published_at: None,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
        listed_at: DateTime::UNIX_EPOCH,
    };
    let origin = "https://me.example".to_owned();
    Source { row, tags: Vec::new(), author: Some("Ann Li".into()), series: None, lines: lines(markdown), origin }
}

fn known() -> Vocabulary {
    let one = |what: &str, name: &str, by: Option<&str>| (what.to_owned(), name.to_owned(), by.map(str::to_owned));
    Vocabulary::of(
        vec![one("PROJECT", "kettle: a timer", Some("kettle")), one("PERSON", "Shu Yi", Some("shuyi"))],
        false,
    )
}

fn found(markdown: &str) -> Vec<(String, f32)> {
    read(&known(), &source(markdown)).findings.into_iter().map(|it| (it.names[0].clone(), it.weight)).collect()
}

fn one(name: &str, weight: f32) -> (String, f32) {
    (name.to_owned(), weight)
}

#[test]
fn what_stands_once_counts_less_than_what_is_sure() {
    for (markdown, expected) in [
        ("SQLite is fine.", vec![one("SQLite", 0.5)]),
        ("SQLite is fine. I like SQLite.", vec![one("SQLite", 1.25)]),
        ("## SQLite\n\nText.", vec![one("SQLite", 1.5)]),
        ("On Bell Street.", vec![one("Bell Street", 0.5)]),
        ("The kettle boils.", vec![]),
        ("Run `kettle 3m`.", vec![one("kettle", 1.0)]),
        ("A [timer](/posts/kettle#x).", vec![one("kettle", 1.5)]),
        ("Thanks, @shuyi!", vec![one("Shu Yi", 1.0)]),
        ("```sql\nSELECT 1 -- PostgreSQL, Bell Street\n```", vec![]),
        ("`SELECT id FROM posts`", vec![]),
        ("读《论语》。", vec![one("论语", 1.0)]),
        ("见[《宣纸》](/posts/xuan-zhi)。", vec![]),
        ("[serde](https://crates.io/crates/serde)", vec![one("serde", 1.5)]),
        ("[it](https://en.wikipedia.org/wiki/Rust_(programming_language))", vec![one("Rust", 1.5)]),
        ("<b>Bell Street</b>\n\n<div>PostgreSQL</div>", vec![one("Bell Street", 0.5)]),
    ] {
        assert_eq!(found(markdown), expected, "{markdown:?}");
    }
}

#[test]
fn a_tag_is_the_technology_of_its_name_and_keeps_both_languages() {
    let mut post = source("Text.");
    let tag = |n, name: &str| TagRow {
        id: Uuid::from_u128(n),
        slug: "x".into(),
        name: name.into(),
        description: String::new(),
        demo: false,
        created_at: DateTime::UNIX_EPOCH,
    };
    post.tags = vec![tag(7, "Postgres"), tag(8, "Ink · 墨")];
    let Found { findings, .. } = read(&known(), &post);
    assert_eq!((findings[0].names[0].as_str(), findings[0].kind), ("Ink · 墨", EntityKind::Tag));
    assert_eq!(findings[0].names[1..], ["Ink", "墨"]);
    assert_eq!((findings[1].names[0].as_str(), findings[1].kind), ("PostgreSQL", EntityKind::Technology));
    assert_eq!(findings[1].tag_id, Some(Uuid::from_u128(7)));
}

#[test]
fn links_say_what_a_post_leads_to() {
    let text = "[a](/posts/kettle) [b](https://me.example/posts/tea) [c](/posts/here) [d](https://github.com/a-b/c.d)";
    let read = read(&known(), &source(text));
    assert_eq!(read.links, ["kettle", "tea"], "not to itself");
    let linked = |name: &str| read.findings.iter().find(|it| it.names[0] == name).map(|it| it.source);
    assert_eq!(linked("a-b/c.d"), Some(MentionSource::Link));
    assert_eq!(linked("kettle"), Some(MentionSource::Link));
}

#[test]
fn a_hostile_post_gives_few_names_and_short_ones() {
    let names: String = (0..20_000).map(|n| format!("Aa{n} Bb{n}. Aa{n} Bb{n}. ")).collect();
    let links: String = (0..5_000).map(|n| format!("[x{n}](https://github.com/o{n}/r{n}) [y](/posts/p{n}) ")).collect();
    let long =
        format!("《{}》 {} [x](https://crates.io/crates/{})", "长".repeat(500), "A".repeat(9_000), "z".repeat(300));
    let hidden = "[x](https://en.wikipedia.org/wiki/%00%0A%1b) 《\u{202e}》 `` @@@@ 《《《「「".to_owned();
    for text in [names, links, long, hidden] {
        let read = read(&known(), &source(&text));
        assert!(read.findings.len() <= MAX_ENTITIES && read.links.len() <= 30);
        assert!(read.findings.iter().all(|it| is_name(&it.names[0])), "{:?}", read.findings);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_and_gives_the_same_twice(text in "[A-Za-z#`\\[\\]()@/:.《》「」墨水é \n*_|-]{0,200}") {
        let (one, two) = (read(&known(), &source(&text)), read(&known(), &source(&text)));
        prop_assert_eq!(&one, &two);
        prop_assert!(one.findings.iter().all(|it| it.weight > 0.0 && !key(&it.names[0]).is_empty()));
    }
}
