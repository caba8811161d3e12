//! Markdown as it comes out at the other end.

use serde_json::json;

use crate::deeds::{comment, done, post, published, text};
use crate::support::TestApp;

const EVERYTHING: &str = r#"# Ink and *water*

Some ~~old~~ text with `code`, a [link](https://example.org), a note[^1] and $a_1 * b_2 * c$.

## 墨与水

| Ink | Water |
|:----|------:|
| 1   | 2     |

- [x] ground
- [ ] written

```rust
fn main() { println!("<ink>"); }
```

$$
\sum_{i=0}^n x_i < y
$$

## Ink and water

[^1]: A footnote.
"#;

#[tokio::test]
async fn markdown_becomes_html_with_everything_in_it() {
    let app = TestApp::start().await;
    let input = json!({ "title": "Everything", "markdown": EVERYTHING });
    let fields = "post { html outline { level id text } excerpt wordCount readingMinutes }";
    let made = done(&app, &app.tokens.owner, "createPost", fields, input).await["post"].take();
    insta::assert_snapshot!("everything_html", text(&made["html"]));
    insta::assert_snapshot!("everything_outline", format!("{:#}", made["outline"]));
    let html = text(&made["html"]);
    for (what, part) in [
        ("a heading has an anchor", "id=\"ink-and-water\""),
        ("a second one of the same name has another", "id=\"ink-and-water-1\""),
        ("a Chinese heading too", "id=\"墨与水\""),
        ("a table", "<table>"),
        ("aligned columns", "align=\"right\""),
        ("a task that is done", "checked"),
        ("a footnote", "data-footnote-ref"),
        ("highlighted code", "class=\"hl-"),
        ("inline math as it was", "a_1 * b_2 * c"),
        ("display math as it was", "\\sum_{i=0}^n x_i &lt; y"),
        ("struck text", "<del>old</del>"),
    ] {
        assert!(html.contains(part), "{what}: expected {part} in {html}");
    }
}

const HOSTILE: &str = r#"<script>alert(1)</script> <ScRiPt src=//evil.example/x.js></sCrIpT>

<img src=x onerror=alert(1)> <svg/onload=alert(1)> <b onclick="alert(1)">b</b>

[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](data:text/html;base64,PHNjcmlwdD4=) ![d](javascript:alert(1))
[e](&#106;avascript:alert(1)) <javascript:alert(1)> [f](vbscript:x "onmouseover=alert(1)")

<a href="java&#10;script:alert(1)">g</a> <iframe srcdoc="<script>alert(1)</script>"></iframe> <style>*{}</style>
<form action=javascript:alert(1)><button formaction=javascript:alert(1)>h</button></form>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">

# <img src=x onerror=alert(1)> heading

```"><script>alert(1)</script>
<script>alert(1)</script>
```

$<img src=x onerror=alert(1)>$ | x[^<script>]

[^<script>]: <script>alert(1)</script>
"#;

/// Every tag of some HTML, lower case. Text between tags is only text.
fn tags(html: &str) -> Vec<String> {
    html.to_lowercase().split('<').skip(1).map(|t| t.split('>').next().unwrap_or_default().to_owned()).collect()
}

fn assert_harmless(html: &str) {
    for tag in tags(html) {
        let name = tag.trim_start_matches('/').split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let active = ["script", "iframe", "style", "svg", "math", "form", "button", "object", "embed", "base", "meta"];
        assert!(!active.contains(&name), "<{tag}> came through in {html}");
        for word in ["javascript:", "vbscript:", "data:", "srcdoc", "formaction", "action="] {
            assert!(!tag.contains(word), "{word} came through in <{tag}>");
        }
        for attribute in tag.split_whitespace().skip(1) {
            assert!(!attribute.starts_with("on"), "a handler came through in <{tag}>");
        }
    }
}

#[tokio::test]
async fn nothing_that_runs_comes_through() {
    let app = TestApp::start().await;
    let id = published(&app, "Hostile").await;
    let input = json!({ "id": id, "basedOnVersion": 2, "title": "<script>t</script>", "markdown": HOSTILE });
    done(&app, &app.tokens.owner, "updatePost", "post { id }", input).await;
    let shown = post(&app, None, &id, "title html markdown excerpt outline { id text }").await;
    assert_eq!(shown["markdown"], HOSTILE, "what was written is kept as it was");
    let html = text(&shown["html"]);
    assert!(html.contains("heading") && html.contains("<b>b</b>"), "the harmless parts stay: {html}");
    assert_harmless(&html);

    let written = comment(&app, &app.tokens.editor, &id, None, HOSTILE).await;
    let html = text(&written["html"]);
    assert_harmless(&html);
    assert!(!tags(&html).iter().any(|tag| tag.starts_with("img") || tag.starts_with("h1")), "no images: {html}");
}
