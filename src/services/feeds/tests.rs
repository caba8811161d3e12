//! A small site with everything awkward in it, in every format.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::compose::Content;
use super::{Addresses, Format, Scope, sitemap, write};
use crate::store::posts::{PostAddress, PostKind, PostRow, PostStatus};
use crate::store::site::SiteRow;
use crate::store::tags::TagRow;
use crate::store::users::{Role, UserRow};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a date")
}

fn addresses() -> Addresses {
    Addresses {
        origin: "https://ink.example".into(),
        post_path: "/{language}/posts/{slug}".into(),
        project_path: "/projects/{slug}".into(),
        page_path: "/{slug}".into(),
    }
}

fn post(number: u128, slug: &str, language: &str, title: &str) -> PostRow {
    PostRow {
        id: Uuid::from_u128(number),
        kind: PostKind::Article,
        status: PostStatus::Published,
        slug: slug.into(),
        language: language.into(),
        title: title.into(),
        excerpt: format!("The beginning of {title}"),
        description: None,
        cover: None,
        words: 1,
        custom: json!({}),
        author_id: Uuid::from_u128(7),
        series_id: None,
        series_position: None,
        version: 1,
        published_at: Some(at("2026-01-02T03:04:05.678Z")),
        created_at: at("2026-01-01T00:00:00Z"),
        updated_at: at("2026-01-03T00:00:00Z"),
        listed_at: at("2026-01-02T03:04:05.678Z"),
    }
}

fn tag() -> TagRow {
    TagRow {
        id: Uuid::from_u128(9),
        slug: "茶".into(),
        name: "Tea & 茶".into(),
        description: "Leaves < water".into(),
        demo: false,
        created_at: at("2026-01-01T00:00:00Z"),
    }
}

fn posts() -> Vec<(PostRow, Option<String>)> {
    let awkward = PostRow {
        description: Some("AT&T <said> \"]]>\" \u{8}and 'more'".into()),
        cover: Some("/covers/a b.png".into()),
        ..post(1, "awkward", "en", "1 < 2 && ]]> \u{0}\u{1b}over \u{ffff}")
    };
    let html = "<p>a &lt; b &amp; ]]&gt; \u{c}<a href=\"/about\">here</a> <a href=\"#fn-1\">1</a> \
                <a href=\"https://other.example/x?a=1&amp;b=2\">there</a></p>\n<p><img src=\"pic.png\" alt=\"墨\"></p>";
    let chinese =
        PostRow {
            published_at: None, author_id: Uuid::from_u128(8), ..post(2, "研墨", "zh", "落笔之前先研墨")
        };
    vec![(awkward, Some(html.into())), (chinese, None)]
}

fn content() -> Content {
    let author = UserRow {
        id: Uuid::from_u128(7),
        handle: "mo".into(),
        name: "Lin <Mo> 林墨".into(),
        email: Some("secret@ink.example".into()),
        role: Role::Owner,
        bio: String::new(),
        url: Some("https://mo.example/?a=1&b=2".into()),
        avatar: None,
        demo: false,
        created_at: at("2026-01-01T00:00:00Z"),
        updated_at: at("2026-01-01T00:00:00Z"),
    };
    Content {
        site: SiteRow {
            title: "Wet Ink · 墨未干".into(),
            tagline: "Slow things".into(),
            description: String::new(),
            language: "en".into(),
            links: json!([]),
            demo: false,
            updated_at: at("2026-01-01T00:00:00Z"),
        },
        tag: None,
        posts: posts(),
        tags: HashMap::from([(Uuid::from_u128(1), vec![tag()])]),
        authors: HashMap::from([(author.id, author)]),
        changed_at: at("2026-01-04T00:00:00Z"),
    }
}

fn text(content: &Content, scope: &Scope, format: Format) -> String {
    write(content, &addresses(), scope, format).text
}

#[test]
fn an_rss_feed() {
    insta::assert_snapshot!(text(&content(), &Scope::Everything, Format::Rss));
}

#[test]
fn an_atom_feed_of_a_tag() {
    let content = Content { tag: Some(tag()), ..content() };
    insta::assert_snapshot!(text(&content, &Scope::Tag("茶".into()), Format::Atom));
}

#[test]
fn a_json_feed_of_a_language() {
    let text = text(&content(), &Scope::Language("zh".into()), Format::Json);
    insta::assert_snapshot!(format!("{:#}", serde_json::from_str::<Value>(&text).expect("JSON")));
}

#[test]
fn an_address_of_mail_is_nowhere() {
    for format in Format::ALL {
        let text = text(&content(), &Scope::Everything, format);
        assert!(!text.contains("secret@"), "an e-mail address should not be in {format:?}: {text}");
    }
}

#[test]
fn a_site_without_posts_has_feeds_all_the_same() {
    let content = Content { posts: Vec::new(), ..content() };
    for (format, wanted) in [
        (Format::Rss, "<lastBuildDate>Thu, 1 Jan 2026 00:00:00 +0000</lastBuildDate>"),
        (Format::Atom, "<updated>2026-01-01T00:00:00Z</updated>"),
        (Format::Json, "\"items\":[]"),
    ] {
        let text = text(&content, &Scope::Everything, format);
        assert!(text.contains("墨未干") && text.contains(wanted), "{wanted} should be in {text}");
        assert!(!text.contains("<item") && !text.contains("<entry"), "nothing should be in {text}");
    }
}

#[test]
fn the_etag_is_of_the_text() {
    let of = |content: &Content, format| write(content, &addresses(), &Scope::Everything, format).etag;
    let etag = of(&content(), Format::Rss);
    assert_eq!(etag, of(&content(), Format::Rss), "the same content should give the same tag");
    assert_ne!(etag, of(&content(), Format::Atom), "another format is another document");
    let mut edited = content();
    edited.posts[1].0.title.push('。');
    assert_ne!(etag, of(&edited, Format::Rss), "an edit should change the tag");
    assert!(etag.len() == 36 && etag.starts_with("W/\"") && etag.ends_with('"'), "weak and quoted: {etag}");
}

fn address(kind: PostKind, slug: &str, language: &str, group_key: Option<&str>) -> PostAddress {
    PostAddress {
        kind,
        slug: slug.into(),
        language: language.into(),
        listed_at: at("2026-01-02T03:04:05Z"),
        updated_at: at("2026-01-01T00:00:00Z"),
        group_key: group_key.map(str::to_owned),
    }
}

#[test]
fn a_sitemap() {
    let posts = [
        address(PostKind::Article, "grinding-ink", "en", Some("ink")),
        address(PostKind::Article, "研墨", "zh", Some("ink")),
        address(PostKind::Project, "kettle", "en", Some("alone")),
        address(PostKind::Page, "about", "en", None),
        address(PostKind::Page, "colophon", "en", None),
    ];
    insta::assert_snapshot!(sitemap::write(&posts, &addresses()));
}

#[test]
fn a_piece_in_many_languages_does_not_outgrow_the_sitemap() {
    let posts: Vec<_> =
        (0..200).map(|n| address(PostKind::Article, &format!("s{n}"), &format!("x{n}"), Some("k"))).collect();
    let text = sitemap::write(&posts, &addresses());
    assert_eq!(text.matches("<loc>").count(), 201, "every address should be there");
    assert_eq!(text.matches("<xhtml:link").count(), 200 * 50, "each should name 50 languages");
}

#[test]
fn what_robots_are_told() {
    insta::assert_snapshot!(super::robots(&addresses()));
}
