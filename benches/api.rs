//! What the server does itself for a request, apart from the database: cursors, measuring an
//! operation, rendering Markdown, writing the statement of a page.
//!
//! `cargo bench --bench api` measures, `cargo bench --bench api -- --quick` takes a few seconds, and
//! a name as argument picks what to measure.

use std::fmt::Write as _;
use std::hint::black_box;

use async_graphql::{Request, Variables};
use chrono::DateTime;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use diesel::pg::Pg;
use inkstone::events::Cursor;
use inkstone::graphql::page::{self, Args};
use inkstone::graphql::{Guard, QueryLimits, sdl};
use inkstone::services::markdown::{render_comment, render_post};
use inkstone::store::events::LogPosition;
use inkstone::store::posts::{PostFilter, PostKind, PostOrder, page_statement};
use inkstone::store::{Key, Page, Position, Sight};
use serde_json::json;
use uuid::Uuid;

/// As the settings have them by default.
const LIMITS: QueryLimits =
    QueryLimits { max_depth: 15, max_cost: 50_000, max_aliases: 30, max_directives: 50, max_tokens: 10_000 };

/// A list of posts as a front end asks for it; the tests run it too.
const TYPICAL: &str = include_str!("../tests/api/queries/rich_list.graphql");

criterion_group!(benches, cursors, guard, markdown, statements);
criterion_main!(benches);

fn cursors(c: &mut Criterion) {
    let mut group = c.benchmark_group("cursor");

    let event = Cursor::at(LogPosition { xid: 793, id: 207_113 });
    let text = event.encode();
    assert_eq!(Cursor::decode(&text), Ok(event), "an event's cursor should come back as it was");
    group.bench_function("event/encode", |b| b.iter(|| black_box(event).encode()));
    group.bench_function("event/decode", |b| b.iter(|| Cursor::decode(black_box(&text))));

    let place = position();
    for (name, list, key) in [("time", "posts-new", place.key), ("text", "tags", Key::Text("small-tools".into()))] {
        let row = Position { key: key.clone(), id: place.id };
        group.bench_function(format!("row/{name}/encode"), |b| b.iter(|| page::encode(list, black_box(&row))));

        let args = Args { first: Some(20), after: Some(page::encode(list, &row)), ..Args::default() };
        let page = args.clone().check(list).expect("a cursor of this list");
        assert_eq!(page.after, Some(Position { key, id: place.id }), "a row's cursor should come back as it was");
        group.bench_function(format!("row/{name}/decode"), |b| {
            b.iter_batched(|| args.clone(), |args| args.check(list), BatchSize::SmallInput);
        });
    }
}

fn guard(c: &mut Criterion) {
    let mut group = c.benchmark_group("guard");
    for (name, text) in [("typical", TYPICAL.to_owned()), ("big", big_document())] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        let guard = Guard::new(LIMITS, &sdl());

        // Each with a comment of its own, so that none is known; in time the oldest are forgotten.
        let mut number = 0_u64;
        group.bench_function(format!("{name}/first time"), |b| {
            b.iter_batched(
                || {
                    number += 1;
                    request(&format!("{text}# {number}\n"))
                },
                |mut request| (guard.admit(&mut request), request),
                BatchSize::SmallInput,
            );
        });

        let admitted = guard.admit(&mut request(&text)).expect("within the limits");
        admitted.found_valid();
        let again = guard.admit(&mut request(&text)).expect("within the limits");
        assert!(again.valid, "the second time, the document should be known as valid");
        group.bench_function(format!("{name}/kept"), |b| {
            b.iter_batched(
                || request(&text),
                |mut request| (guard.admit(&mut request), request),
                BatchSize::SmallInput,
            );
        });
    }
}

fn markdown(c: &mut Criterion) {
    let mut group = c.benchmark_group("markdown");
    for (name, text) in [("post with code", long_post(true)), ("post without code", long_post(false))] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| render_post(black_box(&text))));
    }
    let comment = "I had **the same**, see <https://example.com/clocks>:\n\n> Two clocks\n\n`date -u` tells it.\n";
    group.throughput(Throughput::Bytes(comment.len() as u64));
    group.bench_function("comment", |b| b.iter(|| render_comment(black_box(comment))));
}

fn statements(c: &mut Criterion) {
    let mut group = c.benchmark_group("statement");
    let page = Page { limit: 20, after: Some(position()), before: None, from_end: false };
    let narrow = PostFilter {
        kinds: vec![PostKind::Article, PostKind::Note],
        tag_slug: Some("rust".into()),
        author_handle: Some("mo".into()),
        language: Some("en".into()),
        ..PostFilter::default()
    };
    for (name, filter) in [("all posts", PostFilter::default()), ("filtered posts", narrow)] {
        let make = || page_statement(black_box(&filter), PostOrder::NewestFirst, black_box(&page), Sight::Public);
        let text = diesel::debug_query::<Pg, _>(&make()).to_string();
        assert!(text.contains("(posts.listed_at, posts.id) < ("), "it should begin behind a position: {text}");
        group.bench_function(format!("{name}/made"), |b| b.iter(make));
        // With its values: diesel offers the text alone to drivers only.
        let statement = make();
        group.bench_function(format!("{name}/written out"), |b| {
            b.iter(|| diesel::debug_query::<Pg, _>(black_box(&statement)).to_string());
        });
    }
}

fn position() -> Position {
    let at = DateTime::from_timestamp_micros(1_795_461_840_123_456).expect("in range");
    Position { key: Key::Time(at), id: Uuid::from_u128(0x01a2_0728_0803_7441_b2f4_82f7_791e_c332) }
}

fn request(text: &str) -> Request {
    Request::new(text).variables(Variables::from_json(json!({ "first": 3 })))
}

/// Nearly as many lists side by side as one operation may have, each written out.
fn big_document() -> String {
    let mut text = String::from("query Big($first: Int!) {\n  site { title }\n");
    for number in 0..28 {
        let _ = write!(
            text,
            "  list{number}: posts(first: $first, filter: {{ tag: \"tag-{number}\", kind: [ARTICLE, NOTE] }}) {{
    totalCount
    pageInfo {{ hasNextPage endCursor }}
    edges {{
      cursor
      node {{
        ...Card
        tags {{ id slug name }}
        series {{ id slug title }}
        comments(first: $first, orderBy: NEWEST_FIRST) {{
          totalCount
          nodes {{ id html createdAt author {{ id handle name avatar }} replies(first: 2) {{ nodes {{ id html }} }} }}
        }}
      }}
    }}
  }}
"
        );
    }
    text + "}
fragment Card on Post { id slug title excerpt publishedAt readingMinutes author { ...Face } reactionCounts { kind count } }
fragment Face on User { id handle name avatar }
"
}

/// A post of about 20 KB with some of everything; colouring code is the dearest.
fn long_post(code: bool) -> String {
    let mut text = String::new();
    for number in 1..=24 {
        let _ = write!(
            text,
            "## Part {number}: what the *clock* says

Each machine has **two clocks**: one that tells [the time](https://example.com/time/{number} \"now\") and one that
only counts. The first may jump, `CLOCK_REALTIME` does; the second goes on while nobody looks, and is ~~never~~
seldom wrong.[^{number}] 时钟有两种：**一种报时。**另一种只会数数，从不回头。

- Read it **once** for each request,
  - and hand it on as a parameter;
- compare places in the log, not times;
- [x] keep both in UTC.

| clock | jumps | for |
|:--|:-:|--:|
| wall | yes | people |
| monotonic | no | timeouts of {number} ms |

> What time is it? Whatever was true a moment ago, $t_{number} \\le t_{{now}}$, holds no longer.

<details><summary>More</summary>It is <kbd>date</kbd> that tells.</details>

[^{number}]: Somebody did once set it back, by {number} seconds.

"
        );
        if code {
            let _ = write!(
                text,
                "```rust
/// How long it took, in milliseconds.
pub fn elapsed_ms(begun: Instant) -> u64 {{
    let took = begun.elapsed(); // never negative
    u64::try_from(took.as_millis()).unwrap_or({number})
}}
```

"
            );
        }
    }
    text
}
