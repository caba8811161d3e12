//! Whole files as the generators write them, and the round trip.

use std::path::{Component, Path};

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{document::normal_body, *};
use crate::services::slug::slugify;

fn parse_at(path: &str, text: &str) -> Result<Document, FileProblem> {
    document_of(Path::new("/site"), &Path::new("/site").join(path), text)
}

fn document_of(root: &Path, path: &Path, text: &str) -> Result<Document, FileProblem> {
    parse(root, path, text).map(|(document, _)| document)
}

/// The document, which must also survive being written and read again.
fn ok(path: &str, text: &str) -> Document {
    let doc = parse_at(path, text).unwrap_or_else(|problem| panic!("{problem}"));
    let again = Path::new("/site").join(export_path(&doc));
    assert_eq!(document_of(Path::new("/site"), &again, &to_markdown(&doc)).as_ref(), Ok(&doc));
    doc
}

fn problem(text: &str) -> FileProblem {
    parse_at("a.md", text).expect_err("the file should be refused")
}

fn utc(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).unwrap().to_utc())
}

fn custom(doc: &Document) -> Value {
    Value::Object(doc.custom.clone())
}

#[test]
fn our_own_form() {
    let text = "---\ntitle: A post\nslug: a-post\ndate: 2024-01-02\nupdated: 2024-02-03T04:05:06Z\n\
        draft: true\nkind: note\nlang: zh-cn\ntags: [Rust, Web]\ncategories: [Notes, rust]\n\
        series: Building\nseries_order: 2\ndescription: Short.\ncover: /a.png\nauthor: ada\n\
        translation_key: k\nmood: calm\n---\n\nBody.\n";
    let expected = Document {
        title: "A post".into(),
        slug: "a-post".into(),
        kind: Some("note".into()),
        language: Some("zh-CN".into()),
        date: utc("2024-01-02T00:00:00Z"),
        updated: utc("2024-02-03T04:05:06Z"),
        created: None,
        draft: true,
        archived: false,
        tags: vec!["Rust".into(), "Web".into(), "Notes".into()],
        series: Some("Building".into()),
        series_order: Some(2),
        description: Some("Short.".into()),
        cover: Some("/a.png".into()),
        author: Some("ada".into()),
        translation_key: Some("k".into()),
        custom: Map::from_iter([("mood".into(), json!("calm"))]),
        markdown: "Body.".into(),
    };
    assert_eq!(ok("x/whatever.md", text), expected);
}

#[test]
fn hugo_yaml_leaf_bundle() {
    let text = "---\nTitle: \"你好\"\ndate: 2024-01-02T10:00:00+08:00\nlastmod: 2024-03-04\n\
        translationKey: hello\nseries: [Intro]\nseries_weight: 3\nimages: [a.png]\nweight: 10\n\
        aliases:\n  - /old/\ncover:\n  image: b.png\n  alt: B\n---\n{{< figure >}}\n";
    let doc = ok("content/post/my-title/index.zh-cn.md", text);
    assert_eq!((doc.title.as_str(), doc.slug.as_str()), ("你好", "my-title"));
    assert_eq!(doc.language.as_deref(), Some("zh-CN"));
    assert_eq!(doc.date, utc("2024-01-02T02:00:00Z"));
    assert_eq!(doc.updated, utc("2024-03-04T00:00:00Z"));
    assert_eq!(doc.translation_key.as_deref(), Some("hello"));
    assert_eq!((doc.series.as_deref(), doc.series_order), (Some("Intro"), Some(3)));
    assert_eq!(doc.cover.as_deref(), Some("b.png"));
    let kept = json!({"weight": 10, "aliases": ["/old/"], "images": ["a.png"],
        "cover": {"image": "b.png", "alt": "B"}});
    assert_eq!(custom(&doc), kept);
    assert_eq!(doc.markdown, "{{< figure >}}");
}

#[test]
fn hugo_toml_and_json() {
    let toml = "+++\ntitle = 'T'\ndate = 2024-01-02T10:00:00Z\ndraft = true\ntags = ['a', 'b']\n\
        [params]\nx = 1\nwhen = 2024-05-06\n+++\nBody\n";
    let doc = ok("content/zh/pages/about.md", toml);
    assert_eq!((doc.slug.as_str(), doc.kind.as_deref()), ("about", Some("page")));
    assert_eq!(doc.language.as_deref(), Some("zh"));
    assert!(doc.draft);
    assert_eq!(doc.tags, ["a", "b"]);
    assert_eq!(custom(&doc), json!({"params": {"x": 1, "when": "2024-05-06"}}));
    let json = "{\n  \"title\": \"T\",\n  \"date\": \"2024-01-02\"\n}\n\nBody\n";
    let doc = ok("a.md", json);
    assert_eq!((doc.title.as_str(), doc.markdown.as_str()), ("T", "Body"));
    assert_eq!(doc.date, utc("2024-01-02T00:00:00Z"));
}

#[test]
fn jekyll() {
    let text = "---\nlayout: post\ntitle:  \"Welcome to Jekyll!\"\n\
        date:   2024-01-02 10:00:00 +0800\nlast_modified_at: 2024-02-01\ncategories: a b\n\
        tag: two words\nexcerpt: Short\npublished: false\n---\nBody\n";
    let doc = ok("_posts/2024-01-01-welcome-to-jekyll.markdown", text);
    assert_eq!((doc.slug.as_str(), doc.kind.as_deref()), ("welcome-to-jekyll", Some("article")));
    assert_eq!(doc.date, utc("2024-01-02T02:00:00Z"));
    assert_eq!(doc.updated, utc("2024-02-01T00:00:00Z"));
    assert_eq!(doc.tags, ["a", "b", "two words"]);
    assert_eq!(doc.description.as_deref(), Some("Short"));
    assert!(doc.draft);
    assert_eq!(custom(&doc), json!({"layout": "post"}));
    let named = ok("_posts/2024-01-02-a-title.md", "---\n---\nBody\n");
    assert_eq!((named.title.as_str(), named.slug.as_str()), ("A title", "a-title"));
    assert_eq!(named.date, utc("2024-01-02T00:00:00Z"));
    assert!(ok("_drafts/idea.md", "---\ntitle: Idea\n---\n").draft);
    let address = ok("a.md", "---\ntitle: T\npermalink: /2024/The-Name.html\n---\n");
    assert_eq!(address.slug, "the-name");
    assert_eq!(ok("a.md", "---\ntitle: T\npermalink: /:year/:title/\n---\n").slug, "a");
}

#[test]
fn astro() {
    let text = "---\ntitle: 'First post'\ndescription: 'Lorem'\npubDate: 'Jul 08 2022'\n\
        updatedDate: 2022-07-09\nheroImage: '../a.jpg'\nauthors: [ada, bob]\n---\n\
        import X from './X.astro';\n\n<X />\n";
    let doc = ok("src/content/blog/first-post.mdx", text);
    assert_eq!((doc.slug.as_str(), doc.date), ("first-post", utc("2022-07-08T00:00:00Z")));
    assert_eq!(doc.updated, utc("2022-07-09T00:00:00Z"));
    assert_eq!(doc.cover.as_deref(), Some("../a.jpg"));
    assert_eq!(doc.author.as_deref(), Some("ada"));
    assert_eq!(custom(&doc), json!({"authors": ["ada", "bob"]}));
    let paper = "---\ntitle: T\npubDatetime: 2022-09-23T04:58:53Z\nmodDatetime: 2023-01-01T00:00:00Z\n---\n";
    let paper = ok("src/content/blog/paper.md", paper);
    assert_eq!((paper.date, paper.updated), (utc("2022-09-23T04:58:53Z"), utc("2023-01-01T00:00:00Z")));
    assert_eq!(doc.markdown, "import X from './X.astro';\n\n<X />");
}

#[test]
fn hexo_with_and_without_an_opening_line() {
    let text = "title: Hello World\ndate: 2024-01-02 10:00:00\nupdated: 2024-01-03 10:00:00\n\
        tags: machine learning\ncategories:\n- [a, b]\n- c\n---\nBody\n\n---\nmore\n";
    for opening in ["", "---\n"] {
        let doc = ok("source/_posts/hello-world.md", &format!("{opening}{text}"));
        assert_eq!((doc.title.as_str(), doc.slug.as_str()), ("Hello World", "hello-world"));
        assert_eq!(doc.date, utc("2024-01-02T10:00:00Z"));
        assert_eq!(doc.updated, utc("2024-01-03T10:00:00Z"));
        assert_eq!(doc.tags, ["machine learning", "a", "b", "c"]);
        assert_eq!(doc.markdown, "Body\n\n---\nmore");
    }
}

#[test]
fn hexo_json() {
    let text = "\"title\": \"T\",\n\"date\": \"2013/7/13 20:46:25\",\n\"tags\": [\"a\"]\n;;;\nBody\n";
    for opening in ["", ";;;\n"] {
        let doc = ok("source/_posts/json.md", &format!("{opening}{text}"));
        assert_eq!((doc.title.as_str(), doc.markdown.as_str()), ("T", "Body"));
        assert_eq!((doc.date, doc.tags), (utc("2013-07-13T20:46:25Z"), vec!["a".to_owned()]));
    }
    assert_eq!(problem(&text.replace("\"T\",", "\"T\"")).line, Some(2), "a comma is missing before it");
    assert_eq!(ok("a.md", "\"A quotation\" begins this.\n").markdown, "\"A quotation\" begins this.");
}

#[test]
fn zola() {
    let text = "+++\ntitle = \"T\"\ndate = 2024-01-02\nupdated = 2024-01-02T10:00:00\n\
        [taxonomies]\ntags = [\"a\"]\ncategories = [\"b\"]\npeople = [\"c\"]\n\
        [extra]\nmath = true\n+++\nSummary\n<!-- more -->\n";
    let doc = ok("content/post.md", text);
    assert_eq!(doc.date, utc("2024-01-02T00:00:00Z"));
    assert_eq!(doc.updated, utc("2024-01-02T10:00:00Z"));
    assert_eq!(doc.tags, ["a", "b"]);
    assert_eq!(custom(&doc), json!({"taxonomies": {"people": ["c"]}, "extra": {"math": true}}));
}

#[test]
fn no_front_matter() {
    let doc = ok("notes/a_b.md", "\u{feff}\n# The *title* #\r\n\r\n    code\r\ntext\r\n");
    assert_eq!((doc.title.as_str(), doc.slug.as_str()), ("The *title*", "a_b"));
    assert_eq!((doc.markdown.as_str(), doc.kind.as_deref()), ("    code\ntext", Some("note")));
    let fenced = ok("my-file.md", "```\n# no title\n```\ntext\n");
    assert_eq!((fenced.title.as_str(), fenced.markdown.as_str()), ("My file", "```\n# no title\n```\ntext"));
    let later = ok("a.md", "## First\n\n# Second\n");
    assert_eq!((later.title.as_str(), later.markdown.as_str()), ("A", "## First\n\n# Second"));
    assert_eq!(ok("🎉.md", "").slug, ok("🎉.md", "").slug);
    assert!(ok("🎉.md", "").slug.starts_with("post-"));
    assert_eq!(ok("🎉.md", "# 好").slug, "好");
}

#[test]
fn what_only_looks_like_front_matter() {
    for text in [
        "---\n\nAfter a break.\n\n---\nmore",
        "Note: an underlined heading\n---\ntext",
        "Title: a sentence\nand another\n---\ntext",
        "{{< figure >}}\ntext",
        "{% raw %}\ntext",
    ] {
        // The first is closed, so it is front matter without names: refused, not swallowed.
        match parse_at("a.md", text) {
            Ok(doc) => assert_eq!(doc.markdown, text),
            Err(problem) => assert!(text.starts_with("---") && problem.line.is_some(), "{problem}"),
        }
    }
    assert_eq!(ok("a.md", "---\nJust a break.").markdown, "---\nJust a break.");
}

#[test]
fn scalars_keep_their_spelling_where_they_are_text() {
    let text = "---\ntitle: No\nslug: 007\ntags: [3.10, 2024, yes, ~]\nseries: 1.0\nbig: 0x10\n\
        n: 1.5\nid: 0042\non: on\nempty:\ncover:\nlastmod: ''\n---\n";
    let doc = ok("a.md", text);
    assert_eq!((doc.title.as_str(), doc.slug.as_str()), ("No", "007"));
    assert_eq!(doc.tags, ["3.10", "2024", "yes"]);
    assert_eq!(doc.series.as_deref(), Some("1.0"));
    let kept = json!({"big": 16, "n": 1.5, "id": "0042", "on": "on", "empty": null});
    assert_eq!(custom(&doc), kept);
}

#[test]
fn problems_name_the_line_of_the_file() {
    for (text, line, part) in [
        ("---\ntitle: T\ndate: soon\n---\n", 3, "`date` must be a date such as 2024-01-02"),
        ("---\ntitle: T\n\ntags:\n  - a\n  - b: c\n---\n", 4, "`tags` must be a list of names"),
        ("---\ntitle: [a]\n---\n", 2, "`title` must be text, found a list"),
        ("---\ntitle: T\ndraft: maybe\n---\n", 3, "`draft` must be true or false, found `maybe`"),
        ("---\ntitle: T\nkind: poem\n---\n", 3, "article, note, page or project"),
        ("---\ntitle: T\nlang: Chinese\n---\n", 3, "a language tag"),
        ("---\ntitle: T\nseries_order: 2.5\n---\n", 3, "a whole number"),
        ("---\ntitle: T\nseries_order: 9999999999\n---\n", 3, "a whole number"),
        ("\n---\ntitle: T\nkey: [a\nb: c\n---\n", 5, "YAML"),
        ("---\ntitle: T\nkey: \"a\n---\n", 3, "YAML"),
        ("---\ntitle: T\ntitle: U\n---\n", 3, "title stands there twice"),
        ("---\n- a\n---\n", 2, "`name: value`"),
        ("---\ntitle: T\n\nno end\n", 1, "never closed"),
        ("title: T\ndate: soon\n---\nx", 2, "`date`"),
        ("+++\ntitle = 'T'\ndate = 10:00:00\n+++\n", 3, "`date`"),
        ("+++\r\ntitle = 'T'\r\nx = = 1\r\n+++\r\n", 3, "TOML"),
        ("{\n\"title\": \"T\",\n\"date\": 5\n}\n", 3, "`date`"),
        ("{\n\"title\": \"T\",\n\"date\" 5\n}\n", 3, "JSON"),
        ("---\ntitle: T\nx: [\"a\\0\"]\n---\n", 3, "NUL"),
        ("---\ntitle: T\n---\na\0b", 4, "NUL"),
    ] {
        let problem = problem(text);
        assert!(problem.message.contains(part), "{text:?} gave {problem}");
        assert_eq!(problem.line, Some(line), "{text:?} gave {problem}");
    }
    let shown = problem("---\ntitle: T\ndate: soon\n---\n").to_string();
    assert!(shown.starts_with("/site/a.md:3: `date`"), "{shown}");
}

#[test]
fn our_own_words_for_the_archive_and_the_beginning() {
    let doc = ok("a.md", "---\ntitle: T\nstatus: Archived\ncreated: 2020-01-02\n---\n");
    assert!(doc.archived && !doc.draft && doc.custom.is_empty());
    assert_eq!(doc.created, utc("2020-01-02T00:00:00Z"));
    assert!(ok("a.md", "---\ntitle: T\nstatus: draft\n---\n").draft);
    let others = ok("a.md", "---\ntitle: T\nstatus: evergreen\ncreated: by hand\n---\n");
    assert!(!others.archived && !others.draft && others.created.is_none());
    assert_eq!(custom(&others), json!({"status": "evergreen", "created": "by hand"}));
}

#[test]
fn fields_are_found_again_under_the_names_the_file_gives_them() {
    let text = "---\nTitle: T\npermalink: /2024/the-name/\n\ntranslationKey: k\ncategories: [a]\n---\n";
    let (doc, places) = parse(Path::new("/site"), Path::new("/site/a.md"), text).unwrap();
    assert_eq!(doc.slug, "the-name");
    assert_eq!(places.of("title"), Some(("Title", 2)));
    assert_eq!(places.of("slug"), Some(("permalink", 3)));
    assert_eq!(places.of("translation_key"), Some(("translationKey", 5)));
    assert_eq!(places.of("tags"), Some(("categories", 6)));
    assert_eq!(places.of("markdown"), None);
}

#[test]
fn a_body_is_kept_to_the_byte_where_the_file_says_so() {
    for body in ["\r\na\r\n", "\n", "a  \n\n", "\r", "---\n", " \n    code\n"] {
        let doc = Document { title: "T".into(), slug: "t".into(), markdown: body.into(), ..Document::default() };
        let text = to_markdown(&doc);
        assert!(text.contains("verbatim: true"), "{text}");
        assert_eq!(parse_at("a.md", &text).unwrap(), doc, "{body:?}");
        let of_windows = text.replace('\r', "").replace('\n', "\r\n");
        assert_eq!(parse_at("a.md", &of_windows).unwrap().markdown, normal_body(body), "changed line ends");
    }
    assert_eq!(custom(&ok("a.md", "---\ntitle: T\nverbatim: a word\n---\n")), json!({"verbatim": "a word"}));
}

#[test]
fn alias_bombs_are_refused() {
    let mut lists = String::from("---\ntitle: T\na0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    let long = format!("---\ntitle: T\nbase: &b {}\n", "x".repeat(500_000));
    for level in 1..12 {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        lists += &format!("a{level}: &a{level} [{alias}]\n");
    }
    let long = format!("{long}all: [{}]\n---\n", "*b, ".repeat(90));
    let deep = format!("---\ntitle: T\nx: {}\n---\n", "[".repeat(10_000));
    for text in [lists + "---\n", long, deep] {
        let problem = problem(&text);
        assert!(problem.line.is_some(), "{problem}");
        assert!(problem.message.len() < 500, "{}", problem.message.len());
    }
    let honest = ok("a.md", "---\ntitle: T\nx: &x [1, 2]\ny: *x\n---\n");
    assert_eq!(custom(&honest), json!({"x": [1, 2], "y": [1, 2]}));
    assert!(problem(&"x".repeat(MAX_FILE_BYTES + 1)).message.contains("larger"));
}

#[test]
fn written_form() {
    let doc = ok("a.md", "---\ntitle: 'A: b'\ndate: 2024-01-02\ntags: [x]\nmood: calm\nlayout: post\n---\nBody");
    let text = "---\ntitle: \"A: b\"\nslug: a\nkind: article\ndate: \"2024-01-02T00:00:00Z\"\ntags:\n- x\n\
        mood: calm\ncustom:\n  layout: post\n---\n\nBody\n";
    assert_eq!(to_markdown(&doc), text);
    assert_eq!(export_path(&doc), Path::new("content/und/articles/a.md"));
}

#[test]
fn export_paths_are_told_apart_and_kept_short() {
    let path = |slug: &str| {
        let doc = Document { slug: slug.into(), title: "T".into(), ..Document::default() };
        export_path(&doc).file_name().unwrap().to_string_lossy().into_owned()
    };
    let (first, second) = (path(&"字".repeat(99)), path(&format!("{}二", "字".repeat(98))));
    assert!(first.len() < 255 && first != second, "{first}");
    assert_eq!(path("../../etc/passwd"), "etc-passwd.md");
    assert_eq!(path("con"), "post--con.md");
    assert_eq!(path("com1"), "post--com1.md");
    assert_eq!(path("_index"), "post--_index.md");
    assert_eq!(path("2024-01-02-x"), "post--2024-01-02-x.md");
    assert_eq!(path("🎉"), "t.md");
}

fn json_value() -> impl Strategy<Value = Value> {
    let text = "[^\0]{0,12}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::from),
        text.prop_map(Value::from),
        plain_looking().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Texts that YAML gives a meaning when they stand bare.
fn plain_looking() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "~",
        "null",
        "yes",
        "No",
        "true",
        "1",
        "1.10",
        "0x1F",
        "1_000",
        "007",
        ".inf",
        "<<",
        "=",
        "- a",
        "---",
        "...",
        "a: b",
        "# c",
        "&a",
        "*a",
        "!t",
        "|",
        ">",
        "2024-01-02",
        "12:30:00",
        "'",
        "\"",
        "@",
        "`",
        "%",
        "{",
        "[",
        "\t",
        "a\nb",
        " a",
        "a ",
        "a\r\nb",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{7f}",
        "?",
        ":",
        "-",
    ])
}

fn line_text() -> impl Strategy<Value = String> {
    let any_text = prop_oneof!["\\PC{1,30}", plain_looking().prop_map(str::to_owned)];
    any_text.prop_filter_map("blank", |text| {
        let text = text.replace(char::is_control, " ").trim().to_owned();
        (!text.is_empty()).then_some(text)
    })
}

fn moment() -> impl Strategy<Value = DateTime<Utc>> {
    (-30_000_000_000_i64..250_000_000_000, prop_oneof![Just(0_u32), 0..1_000_000_u32])
        .prop_map(|(seconds, micros)| DateTime::from_timestamp(seconds, micros * 1000).unwrap())
}

prop_compose! {
    fn document()(
        title in line_text(),
        slug in "[\\PC]{1,120}".prop_map(|text| slugify(&text)).prop_filter("empty", |slug| !slug.is_empty()),
        kind in prop::option::of(prop::sample::select(vec!["article", "note", "page", "project"])),
        language in prop::option::of(prop::sample::select(vec!["en", "zh-CN", "zh-Hans", "fil"])),
        dates in (prop::option::of(moment()), prop::option::of(moment()), prop::option::of(moment())),
        state in any::<(bool, bool)>(),
        tags in prop::collection::btree_map("[a-z]{1,4}|[字-守]{1,3}|1\\.[0-9]{2}", Just(()), 0..4),
        texts in prop::collection::vec(prop::option::of(line_text()), 5),
        series_order in prop::option::of(any::<i32>()),
        custom in prop::collection::btree_map(prop_oneof![line_text(), "custom|layout|date|Tags|hero_image|status|created"], json_value(), 0..4),
        markdown in prop_oneof!["[^\0]{0,60}", "[ \t\r\n]{0,6}", "[^\0]{0,60}".prop_map(|text| normal_body(&text))],
    ) -> Document {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().flatten();
        Document {
            title, slug, series_order, markdown,
            kind: kind.map(str::to_owned),
            language: language.map(str::to_owned),
            date: dates.0, updated: dates.1, created: dates.2, draft: state.0, archived: state.1,
            tags: tags.into_keys().collect(),
            series: text(), description: text(), cover: text(), author: text(), translation_key: text(),
            custom: custom.into_iter().collect(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(doc in document()) {
        let text = to_markdown(&doc);
        let back = document_of(Path::new("/x"), &Path::new("/x").join(export_path(&doc)), &text);
        prop_assert_eq!(back.map_err(|problem| TestCaseError::fail(format!("{problem}\n{text}")))?, doc);
    }

    #[test]
    fn any_document_can_be_written_and_then_stays(title in any::<String>(), slug in any::<String>(),
        tags in prop::collection::vec(any::<String>(), 0..3), other in prop::option::of(any::<String>()),
        markdown in any::<String>(), value in json_value()) {
        let custom = Map::from_iter([(title.clone(), value), (slug.clone(), json!(markdown))]);
        let doc = Document { title, slug, tags, markdown, custom, cover: other.clone(), author: other,
            ..Document::default() };
        if let Ok(read) = parse_at("a.md", &to_markdown(&doc)) {
            prop_assert_eq!(parse_at("a.md", &to_markdown(&read)).unwrap(), read);
        }
    }

    #[test]
    fn reading_never_panics(text in "(---|\\+\\+\\+|\\{|)\n?(title|date|[a-z\"]{1,3})(: |=|\n)[^\0]{0,40}\n(---|\\+\\+\\+|\\}|)\n?[^\0]{0,40}") {
        if let Ok(doc) = parse_at("a.md", &text) {
            prop_assert!(!doc.slug.is_empty() && !doc.title.is_empty());
            prop_assert_eq!(parse_at("a.md", &to_markdown(&doc)).unwrap(), doc);
        }
    }

    #[test]
    fn exports_stay_below_the_folder(slug in ".{0,40}|(\\.\\./)+x|/etc/.*|C:\\\\x", title in ".{0,9}",
        language in prop::option::of(".{0,9}|\\.\\.|../.."), kind in prop::option::of(".{0,9}|\\.\\.|/")) {
        let path = export_path(&Document { slug, title, language, kind, ..Document::default() });
        prop_assert!(path.is_relative());
        prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{:?}", path);
        prop_assert_eq!(path.components().count(), 4);
        prop_assert!(path.file_name().unwrap().len() <= 255);
        prop_assert!(!path.to_string_lossy().contains(['\\', ':']));
    }
}
