//! Feeds, the sitemap and robots.txt: what is in them, for how long, and at what cost.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{TestApp, code, data, on_real_servers, points_left};

const SITE: (&str, &str) = ("public_url", "https://ink.example");
const FILES: [(&str, &str); 3] = [
    ("feed.xml", "application/rss+xml; charset=utf-8"),
    ("atom.xml", "application/atom+xml; charset=utf-8"),
    ("feed.json", "application/feed+json; charset=utf-8"),
];

async fn get(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = app.http.get(format!("{}{path}", app.base));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.expect("the server answers")
}

/// The text of a document that must be there.
async fn text(app: &TestApp, path: &str) -> String {
    let response = get(app, path, &[]).await;
    assert_eq!(response.status(), 200, "{path} should be there");
    response.text().await.expect("a text")
}

fn header(response: &Response, name: &str) -> String {
    header_of(response, name).unwrap_or_else(|| panic!("the answer should have the header {name}"))
}

fn header_of(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().expect("a header of text").to_owned())
}

/// `None` for what is given out as it was kept.
fn statements(response: &Response) -> Option<u32> {
    let told = header_of(response, "server-timing")?;
    Some(told.split('"').nth(1).and_then(|text| text.split(' ').next()?.parse().ok()).expect("a number of statements"))
}

/// The slugs of the posts in a feed, in order.
fn slugs(document: &str) -> Vec<String> {
    let entry = match document {
        json if json.starts_with('{') => "\"id\":\"urn:",
        rss if rss.contains("<rss ") => "<item>",
        _ => "<entry ",
    };
    let slug =
        |text: &str| text.split("https://ink.example/posts/").nth(1)?.split(['"', '<']).next().map(str::to_owned);
    document.split(entry).skip(1).map(|text| slug(text).expect("each entry should link to its post")).collect()
}

/// What the API lists, as addresses hold it.
async fn listed(app: &TestApp, filter: Value) -> Vec<String> {
    let query = "query($filter: PostFilterInput) { posts(first: 30, filter: $filter) { nodes { slug } } }";
    let answer = data(app.ask(query, json!({ "filter": filter })).await);
    let nodes = answer["posts"]["nodes"].as_array().expect("a list").clone();
    nodes.iter().map(|node| node["slug"].as_str().expect("a slug").to_owned()).collect()
}

/// A new post of the owner's, published; its id.
async fn publish(app: &TestApp, input: Value) -> String {
    let query =
        "mutation($input: CreatePostInput!) { createPost(input: $input) { post { id } userErrors { message } } }";
    let made = app.own(query, json!({ "input": input })).await;
    let id = made["createPost"]["post"]["id"].as_str().unwrap_or_else(|| panic!("{made:#}")).to_owned();
    change(app, "publishPost", "PostIdInput", json!({ "id": id })).await;
    id
}

async fn change(app: &TestApp, mutation: &str, input_type: &str, input: Value) {
    let query =
        format!("mutation($input: {input_type}!) {{ {mutation}(input: $input) {{ userErrors {{ message }} }} }}");
    let answer = app.own(&query, json!({ "input": input })).await;
    assert_eq!(answer[mutation]["userErrors"], json!([]), "{mutation} should be accepted");
}

#[tokio::test]
async fn a_feed_holds_what_the_api_lists_newest_first() {
    let app = TestApp::start_with(&[SITE]).await;
    let kinds = json!(["ARTICLE", "NOTE"]);
    for (place, filter) in [
        ("", json!({ "kind": kinds })),
        ("/zh", json!({ "kind": kinds, "language": "zh" })),
        ("/en", json!({ "kind": kinds, "language": "en" })),
        ("/tags/ink", json!({ "kind": kinds, "tag": "ink" })),
    ] {
        let wanted = listed(&app, filter).await;
        assert!(wanted.len() > 1, "the demo site should have posts for {place:?}: {wanted:?}");
        for (file, content_type) in FILES {
            let response = get(&app, &format!("{place}/{file}"), &[]).await;
            assert_eq!(response.status(), 200, "{place}/{file}");
            assert_eq!(header(&response, "content-type"), content_type, "{place}/{file}");
            let text = response.text().await.expect("a text");
            assert_eq!(slugs(&text), wanted, "{place}/{file} should hold what the API lists");
            let own = format!("https://ink.example{place}/{file}");
            assert!(text.contains(&own), "{place}/{file} should tell its own address");
        }
    }
}

#[tokio::test]
async fn a_feed_holds_thirty_posts_with_their_whole_text() {
    let app = TestApp::start_with(&[SITE]).await;
    for n in 0..31 {
        let markdown = format!("Text **{n}**, see [there](/about) and ![](p.png).");
        publish(&app, json!({ "title": format!("New & shiny {n}"), "markdown": markdown, "tags": ["A & B"] })).await;
    }
    let wanted: Vec<_> = (1..31).rev().map(|n| format!("new-shiny-{n}")).collect();
    for (file, _) in FILES {
        assert_eq!(slugs(&text(&app, &format!("/{file}")).await), wanted, "{file}");
    }
    let feed: Value = serde_json::from_str(&text(&app, "/feed.json").await).expect("JSON");
    let html = "<p>Text <strong>30</strong>, see <a href=\"https://ink.example/about\">there</a> \
                and <img src=\"https://ink.example/posts/p.png\" alt=\"\">.</p>\n";
    assert_eq!(feed["items"][0]["content_html"], html);
    assert_eq!(feed["items"][0]["tags"], json!(["A & B"]));
    assert_eq!(feed["items"][0]["authors"], json!([{ "name": "OLGA" }]));
    let rss = text(&app, "/feed.xml").await;
    assert!(
        rss.contains("<title>New &amp; shiny 30</title>") && rss.contains("&lt;strong&gt;30&lt;/strong&gt;"),
        "{rss}"
    );
}

#[tokio::test]
async fn a_book_is_in_feeds_with_its_summary_only() {
    let app = TestApp::start_with(&[SITE]).await;
    for (title, paragraphs) in [("A book", 1400), ("A long post", 1200)] {
        publish(
            &app,
            json!({ "title": title, "markdown": format!("{}\n\n", "Once upon a time. ".repeat(11)).repeat(paragraphs) }),
        )
        .await;
    }
    let feed: Value = serde_json::from_str(&text(&app, "/feed.json").await).expect("JSON");
    let [post, book] = [&feed["items"][0], &feed["items"][1]];
    assert!(post["content_html"].as_str().is_some_and(|html| html.len() > 200_000), "below 256 KiB the text is whole");
    assert_eq!(book["content_html"], Value::Null, "above 256 KiB it is left out");
    assert!(
        book["content_text"].as_str().is_some_and(|text| text.starts_with("Once upon a time.") && text.len() < 1000)
    );
    let rss = text(&app, "/feed.xml").await;
    assert_eq!(
        rss.matches("<item>").count() - 1,
        rss.matches("<content:encoded>").count(),
        "only the book has no text"
    );
}

#[tokio::test]
async fn what_is_not_published_is_nowhere() {
    let app = TestApp::start_with(&[SITE]).await;
    let query = "mutation($input: CreatePostInput!) { createPost(input: $input) { post { id version } } }";
    let input = json!({ "title": "Hushhush", "markdown": "Hushhush", "tags": ["Hushhush"], "language": "fr" });
    let made = app.own(query, json!({ "input": input })).await;
    let id = made["createPost"]["post"]["id"].clone();
    let places = ["/feed.xml", "/atom.xml", "/feed.json", "/sitemap.xml"];
    let own = ["/fr/feed.xml", "/fr/atom.xml", "/fr/feed.json", "/tags/hushhush/feed.xml", "/tags/hushhush/feed.json"];
    let nowhere = async |when: &str| {
        for path in places {
            assert!(!text(&app, path).await.to_lowercase().contains("hushhush"), "{path} should not hold it {when}");
        }
        for path in own {
            assert_eq!(get(&app, path, &[]).await.status(), 404, "nothing is in {path} {when}, nor is it told of");
        }
    };
    nowhere("as a draft").await;
    change(&app, "schedulePost", "SchedulePostInput", json!({ "id": id, "publishAt": "2999-01-01T00:00:00Z" })).await;
    nowhere("before its time").await;
    for archive in [false, true] {
        change(&app, "publishPost", "PostIdInput", json!({ "id": id })).await;
        for path in places.into_iter().chain(own) {
            assert!(text(&app, path).await.to_lowercase().contains("hushhush"), "{path} should hold it at once");
        }
        change(&app, "unpublishPost", "UnpublishPostInput", json!({ "id": id, "archive": archive })).await;
        nowhere("when it was taken back").await;
    }
    change(&app, "publishPost", "PostIdInput", json!({ "id": id })).await;
    assert!(text(&app, "/feed.xml").await.contains("Hushhush"));
    change(&app, "deletePost", "PostIdInput", json!({ "id": id })).await;
    nowhere("when it was deleted").await;
}

#[tokio::test]
async fn the_next_request_shows_every_change() {
    let app = TestApp::start_with(&[SITE]).await;
    let id = publish(&app, json!({ "title": "Before", "markdown": "old text", "tags": ["Kite"] })).await;
    let tag = app.own("{ tag(slug: \"kite\") { id } }", json!({})).await["tag"]["id"].clone();
    let edit = json!({ "id": id, "basedOnVersion": 2, "title": "After", "markdown": "new text" });
    for (mutation, input_type, input, gone, there) in [
        ("updatePost", "UpdatePostInput", edit, "old text", "new text"),
        ("updateTag", "UpdateTagInput", json!({ "id": tag, "name": "Dragon" }), "Kite", "Dragon"),
        ("updateSite", "UpdateSiteInput", json!({ "title": "Renamed site" }), "墨未干", "Renamed site"),
    ] {
        let mut before = Vec::new();
        for place in ["", "/en", "/tags/kite"] {
            for (file, _) in FILES {
                let path = format!("{place}/{file}");
                let response = get(&app, &path, &[]).await;
                let (etag, date) = (header(&response, "etag"), header(&response, "last-modified"));
                let text = response.text().await.expect("a text");
                assert!(text.contains(gone) && !text.contains(there), "{path} before {mutation}");
                before.push((path, etag, date));
            }
        }
        change(&app, mutation, input_type, input).await;
        for (path, etag, date) in before {
            for known in [[("if-none-match", etag.as_str())], [("if-modified-since", date.as_str())]] {
                let response = get(&app, &path, &known).await;
                assert_eq!(response.status(), 200, "{path} after {mutation}, asked with {known:?}");
                let text = response.text().await.expect("a text");
                assert!(text.contains(there) && !text.contains(gone), "{path} after {mutation}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn who_has_it_gets_nothing_and_head_has_no_body() {
    let app = TestApp::start_with(&[SITE]).await;
    for path in ["/feed.xml", "/atom.xml", "/feed.json", "/zh/feed.xml", "/tags/ink/atom.xml", "/sitemap.xml"] {
        let whole = get(&app, path, &[]).await;
        let etag = header(&whole, "etag");
        assert!(etag.starts_with("W/\""), "a weak tag, because the text may be packed: {etag}");
        assert_eq!(header(&whole, "cache-control"), "public, max-age=300");
        let length = header(&whole, "content-length");
        let now = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        for known in [("if-none-match", etag.as_str()), ("if-modified-since", now.as_str())] {
            let response = get(&app, path, &[known]).await;
            assert_eq!(response.status(), 304, "{path}, asked with {known:?}");
            assert_eq!(header(&response, "etag"), etag);
            assert_eq!(response.text().await.expect("no text"), "");
        }
        let old = [("if-modified-since", "Mon, 01 Jan 2024 00:00:00 GMT")];
        assert_eq!(get(&app, path, &old).await.status(), 200, "{path}, asked with an old date");
        let head = app.http.head(format!("{}{path}", app.base)).send().await.expect("the server answers");
        assert_eq!(
            (head.status().as_u16(), header(&head, "etag"), header(&head, "content-length")),
            (200, etag, length)
        );
        assert_eq!(head.text().await.expect("no text"), "");
        let post = app.http.post(format!("{}{path}", app.base)).send().await.expect("the server answers");
        assert_eq!(post.status(), 405, "{path} is for reading");
    }
}

#[tokio::test]
async fn a_feed_costs_a_fixed_number_of_statements_and_then_none() {
    let app = TestApp::start_with(&[SITE]).await;
    for (path, cold) in [
        ("/feed.xml", 5),
        ("/atom.xml", 5),
        ("/feed.json", 5),
        ("/zh/feed.xml", 5),
        ("/tags/ink/feed.xml", 6),
        ("/sitemap.xml", 2),
        ("/tags/no-such-tag/feed.xml", 1),
        ("/xx/feed.xml", 2),
        ("/tags/NO%20TAG/feed.xml", 0),
        ("/nothing/feed.xml", 0),
    ] {
        assert_eq!(statements(&get(&app, path, &[]).await), Some(cold), "{path}, asked for the first time");
        let again = get(&app, path, &[]).await;
        let is_kept = again.status() == 200;
        assert_eq!(statements(&again), (!is_kept).then_some(0), "{path}, asked again");
    }
}

/// Packing a feed takes more than finding it, and whoever asks gets the same.
#[tokio::test]
async fn a_document_is_kept_packed_for_all_whatever_they_show() {
    let app = TestApp::start_with(&[SITE]).await;
    let bearer = format!("Bearer {}", app.tokens.reader);
    for path in ["/feed.xml", "/tags/ink/atom.xml", "/sitemap.xml", "/schema.graphql", "/api/v1/openapi.json"] {
        for packing in ["gzip", "br", "identity"] {
            let ask = async |more: (&str, &str)| {
                let response = get(&app, path, &[("accept-encoding", packing), more]).await;
                let packed = header_of(&response, "content-encoding");
                assert_eq!(packed.as_deref(), (packing != "identity").then_some(packing), "{path}");
                let length = header_of(&response, "content-length");
                (length, header(&response, "etag"), response.bytes().await.expect("a body"))
            };
            let made = ask(("x-nothing", "")).await;
            for more in [("cache-control", "no-cache"), ("authorization", &*bearer), ("cookie", "inkstone_session=x")] {
                let kept = ask(more).await;
                assert_eq!(kept.0, Some(kept.2.len().to_string()), "{path} {packing} {more:?}: its length is known");
                assert_eq!((kept.1, kept.2), (made.1.clone(), made.2.clone()), "{path} {packing} {more:?}");
            }
        }
    }
}

/// The date of a fresh change is told a second early, and as it is once no other can follow in its second: also of
/// what is kept.
#[tokio::test]
async fn who_knows_the_date_is_believed_soon_after_a_change() {
    let app = TestApp::start_with(&[SITE]).await;
    publish(&app, json!({ "title": "Fresh", "markdown": "x" })).await;
    let told = async || {
        let response = get(&app, "/feed.xml", &[]).await;
        (statements(&response), header(&response, "last-modified"))
    };
    let (_, first) = told().await;
    let since = Instant::now();
    let settled = loop {
        let (made_with, now) = told().await;
        if now != first {
            assert_eq!(made_with, None, "it is kept");
            break now;
        }
        let early = get(&app, "/feed.xml", &[("if-modified-since", &*now)]).await;
        assert_eq!(early.status(), 200, "another change may have followed");
        assert!(since.elapsed() < Duration::from_secs(15), "{now}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(get(&app, "/feed.xml", &[("if-modified-since", &*settled)]).await.status(), 304);
}

/// A tag that nobody has costs a statement each time another is named.
#[tokio::test]
async fn what_is_made_for_one_is_paid_for_and_what_is_kept_costs_a_request() {
    let app = TestApp::start_with(&[SITE, ("rate_limit_per_minute", "1000")]).await;
    let left = async |path: &str| {
        let response = get(&app, path, &[]).await;
        (response.status().as_u16(), points_left(&response))
    };
    let (_, made) = left("/feed.xml").await;
    assert!((685..=695).contains(&made), "{made}");
    let (_, kept) = left("/feed.xml").await;
    assert!((made - 10..made).contains(&kept), "{kept}");
    assert_eq!(left("/tags/nobody-1/feed.xml").await.0, 404);
    assert_eq!(left("/sitemap.xml").await.0, 200);
    for path in ["/tags/nobody-2/feed.xml", "/atom.xml", "/schema.graphql"] {
        let refused = get(&app, path, &[]).await;
        assert_eq!(refused.status(), 429, "{path}");
        assert!((1..=60).contains(&header(&refused, "retry-after").parse::<u64>().expect("seconds")));
        let body: Value = refused.json().await.expect("JSON");
        assert_eq!(code(&body), "RATE_LIMITED", "{path}: {body:#}");
    }
    let refused = get(&app, "/api/v1/openapi.json", &[]).await;
    assert_eq!((refused.status().as_u16(), &*header(&refused, "content-type")), (429, "application/problem+json"));
    assert_eq!(left("/feed.xml").await.0, 200, "what is kept can still be had for what is left");
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let app = TestApp::start_with(&[SITE]).await;
    for place in ["/tags/no-such-tag", "/tags/a%00b", "/tags/%3Cscript%3E", "/xx", "/ZH", "/graphql", "/a%00"] {
        for (file, _) in FILES {
            let response = get(&app, &format!("{place}/{file}"), &[]).await;
            assert_eq!(response.status(), 404, "{place}/{file}");
            assert_eq!(header(&response, "cache-control"), "private, no-store", "{place}/{file}: it may come to be");
            let body: Value = response.json().await.expect("JSON");
            assert_eq!(body["errors"][0]["extensions"]["code"], "NOT_FOUND", "{place}/{file}: {body:#}");
        }
    }
    assert_eq!(get(&app, "/tags/%FF/feed.xml", &[]).await.status(), 400, "an address that is no text");
}

#[tokio::test]
async fn links_come_from_the_settings_and_never_from_the_host_header() {
    let paths =
        [SITE, ("post_path", "/{language}/p/{slug}"), ("project_path", "/made/{slug}"), ("page_path", "/{slug}.html")];
    let app = TestApp::start_with(&paths).await;
    let evil = [("host", "evil.example"), ("x-forwarded-host", "evil.example")];
    for path in ["/feed.xml", "/atom.xml", "/feed.json", "/zh/atom.xml", "/sitemap.xml", "/robots.txt"] {
        let text = get(&app, path, &evil).await.text().await.expect("a text");
        assert!(!text.contains("evil.example"), "{path} should not repeat the Host header: {text}");
        assert!(text.contains("https://ink.example/"), "{path} should link to the site: {text}");
    }
    assert!(text(&app, "/zh/feed.xml").await.contains("<link>https://ink.example/zh/p/yan-mo</link>"));
    let sitemap = text(&app, "/sitemap.xml").await;
    for address in ["/en/p/grinding-ink", "/zh/p/yan-mo", "/made/kettle", "/about.html", "/"] {
        assert!(sitemap.contains(&format!("<loc>https://ink.example{address}</loc>")), "{address} in {sitemap}");
    }
    let pair = "<xhtml:link rel=\"alternate\" hreflang=\"zh\" href=\"https://ink.example/zh/p/yan-mo\"/>";
    assert_eq!(sitemap.matches(pair).count(), 2, "each of the two languages should name the Chinese one");
    let feed = text(&app, "/feed.xml").await;
    let entries = feed.matches("<link>https://ink.example/").count();
    assert_eq!(
        feed.matches("<link>https://ink.example/en/p/").count()
            + feed.matches("<link>https://ink.example/zh/p/").count(),
        entries - 1,
        "only articles and notes should be in feeds: {feed}"
    );

    let unnamed = TestApp::start().await;
    assert!(text(&unnamed, "/feed.xml").await.contains("<link>http://127.0.0.1:4000/</link>"), "the listen address");
}

#[tokio::test]
async fn robots_are_told_where_to_go() {
    let app = TestApp::start_with(&[SITE]).await;
    let response = get(&app, "/robots.txt", &[]).await;
    assert_eq!(header(&response, "content-type"), "text/plain; charset=utf-8");
    let wanted = "User-agent: *\nAllow: /\nDisallow: /graphql\n\nSitemap: https://ink.example/sitemap.xml\n";
    assert_eq!(response.text().await.expect("a text"), wanted);
}

/// What one server changed the other one's feeds show as soon as it has read the event.
#[tokio::test]
async fn the_other_server_shows_it_soon() {
    if !on_real_servers() {
        return;
    }
    // With whatever Redis the tests have, and without; nothing in the caches expires by itself.
    for redis in [None, Some(("redis_url", ""))] {
        let namespace = format!("test-{}", uuid::Uuid::now_v7());
        let mut own = vec![SITE, ("cache_ttl_seconds", "3600"), ("redis_namespace", &*namespace)];
        own.extend(redis);
        let one = TestApp::start_with(&own).await;
        let other = TestApp::replica_of(&one, &own).await;
        for n in 0..5 {
            let title = format!("Told over {n}");
            text(&other, "/feed.xml").await;
            publish(&one, json!({ "title": title, "markdown": "x" })).await;
            assert!(text(&one, "/feed.xml").await.contains(&title), "the server that made the change shows it at once");
            let since = Instant::now();
            while !text(&other, "/feed.xml").await.contains(&title) {
                assert!(since.elapsed() < Duration::from_secs(2), "the other server should show {title:?} by now");
            }
        }
    }
}

#[tokio::test]
async fn an_address_that_is_no_text_is_refused_as_everything_is() {
    let app = TestApp::start().await;
    for path in ["/%ff/feed.xml", "/tags/%ff/atom.xml"] {
        let refused = get(&app, path, &[]).await;
        assert_eq!(refused.status(), 400, "{path}");
        let refused: Value = refused.json().await.expect("an error in JSON, as of every route");
        assert_eq!(code(&refused), "BAD_USER_INPUT", "{path}: {refused:#}");
    }
}
