//! What Markdown becomes, feature by feature, and that size stays bounded.

use super::{Heading, render_comment, render_post};
use proptest::prelude::*;

fn post(markdown: &str) -> String {
    render_post(markdown).html.trim_end().to_owned()
}

fn comment(markdown: &str) -> String {
    render_comment(markdown).trim_end().to_owned()
}

#[test]
fn commonmark_and_gfm() {
    for (markdown, html) in [
        ("*a* **b** `c<d`", "<p><em>a</em> <strong>b</strong> <code>c&lt;d</code></p>"),
        ("**重点。**后文", "<p><strong>重点。</strong>后文</p>"),
        ("~~a~~", "<p><del>a</del></p>"),
        ("a\nb  \nc", "<p>a\nb<br>\nc</p>"),
        ("> a", "<blockquote>\n<p>a</p>\n</blockquote>"),
        ("3. a\n4. b", "<ol start=\"3\">\n<li>a</li>\n<li>b</li>\n</ol>"),
        ("[a](/b \"c\")", "<p><a href=\"/b\" title=\"c\">a</a></p>"),
        ("[写](/文)", "<p><a href=\"/%E6%96%87\">写</a></p>"),
        ("![a](b.png)", "<p><img src=\"b.png\" alt=\"a\"></p>"),
        ("see https://a.b/c.", "<p>see <a href=\"https://a.b/c\">https://a.b/c</a>.</p>"),
        ("<me@a.bc>", "<p><a href=\"mailto:me@a.bc\">me@a.bc</a></p>"),
        ("---", "<hr>"),
        ("&copy; &lt;b&gt;", "<p>© &lt;b&gt;</p>"),
    ] {
        assert_eq!(post(markdown), html, "from {markdown:?}");
    }
}

#[test]
fn tables() {
    assert_eq!(
        post("| a | b |\n|:--|--:|\n| c | d |"),
        "<table>\n<thead>\n<tr>\n<th align=\"left\">a</th>\n<th align=\"right\">b</th>\n</tr>\n</thead>\n\
         <tbody>\n<tr>\n<td align=\"left\">c</td>\n<td align=\"right\">d</td>\n</tr>\n</tbody>\n</table>"
    );
}

#[test]
fn task_lists() {
    let html = post("- [x] a\n- [ ] b");
    assert!(html.starts_with("<ul class=\"contains-task-list\">\n<li class=\"task-list-item\">"), "{html}");
    assert_eq!(html.matches("type=\"checkbox\"").count(), 2, "{html}");
    assert_eq!(html.matches("disabled=\"\"").count(), 2, "{html}");
    assert_eq!(html.matches("checked=\"\"").count(), 1, "{html}");
}

#[test]
fn footnotes_link_both_ways_by_number() {
    let html = post("a[^why] b[^注] c[^why]\n\n[^why]: one\n[^注]: two");
    for part in [
        "<sup class=\"footnote-ref\"><a href=\"#fn-1\" id=\"fnref-1\" data-footnote-ref=\"\">1</a></sup>",
        "<a href=\"#fn-2\" id=\"fnref-2\"",
        "<a href=\"#fn-1\" id=\"fnref-1-2\"",
        "<section class=\"footnotes\" data-footnotes=\"\">",
        "<li id=\"fn-1\">",
        "<li id=\"fn-2\">",
        "<a href=\"#fnref-1\" class=\"footnote-backref\"",
        "<a href=\"#fnref-1-2\"",
    ] {
        assert!(html.contains(part), "no {part} in {html}");
    }
    assert!(!html.contains("why"), "{html}");
}

#[test]
fn math_keeps_its_tex() {
    for (markdown, html) in [
        (r"$a_1 * b_2 * c$", r#"<p><span data-math-style="inline">a_1 * b_2 * c</span></p>"#),
        (r"$x < y \\ \alpha$", r#"<p><span data-math-style="inline">x &lt; y \\ \alpha</span></p>"#),
        (
            "$$\n\\begin{a}\n1 & 2\n\\end{a}\n$$",
            "<p><span data-math-style=\"display\">\n\\begin{a}\n1 &amp; 2\n\\end{a}\n</span></p>",
        ),
        ("$5 and $6", "<p>$5 and $6</p>"),
        (r"\$a\$", "<p>$a$</p>"),
    ] {
        assert_eq!(post(markdown), html, "from {markdown:?}");
    }
    let fence = "<pre><code class=\"language-math\" data-math-style=\"display\">a &amp; b\n</code></pre>";
    assert_eq!(post("```math\na & b\n```"), fence);
    assert_eq!(comment("$a_1$"), r#"<p><span data-math-style="inline">a_1</span></p>"#);
}

#[test]
fn code_is_highlighted_as_classes() {
    let html = post("```rust title=\"x\"\nfn main() {}\n```");
    assert!(html.starts_with("<pre><code class=\"language-rust\"><span class=\"hl-source hl-rust\">"), "{html}");
    assert!(html.contains("hl-function") && html.ends_with("</code></pre>"), "{html}");
    assert_eq!(post("```toml\na = 1\n```"), "<pre><code class=\"language-toml\">a = 1\n</code></pre>");
    assert_eq!(post("    a < b"), "<pre><code>a &lt; b\n</code></pre>");
    assert!(comment("```js\nlet a\n```").contains("hl-storage"));
}

#[test]
fn headings_have_unique_ids_and_an_outline() {
    let post = render_post("# Intro\n## 你好 *世界*\n## Intro\n> ### Quoted\n\n# `fn` 1\n\n#\n");
    assert_eq!(
        post.html.lines().filter(|line| line.starts_with("<h")).collect::<Vec<_>>(),
        [
            "<h1 id=\"intro\">Intro</h1>",
            "<h2 id=\"你好-世界\">你好 <em>世界</em></h2>",
            "<h2 id=\"intro-1\">Intro</h2>",
            "<h3 id=\"quoted\">Quoted</h3>",
            "<h1 id=\"section-fn-1\"><code>fn</code> 1</h1>",
            "<h1 id=\"section\"></h1>",
        ]
    );
    let heading = |level, id: &str, text: &str| Heading { level, id: id.into(), text: text.into() };
    assert_eq!(
        post.outline,
        [
            heading(1, "intro", "Intro"),
            heading(2, "你好-世界", "你好 世界"),
            heading(2, "intro-1", "Intro"),
            heading(1, "section-fn-1", "fn 1"),
        ]
    );
}

#[test]
fn raw_html_is_kept_by_the_allow_list_and_nests() {
    for (markdown, html) in [
        ("<kbd>Ctrl</kbd> H<sub>2</sub>O <mark>x</mark>", "<p><kbd>Ctrl</kbd> H<sub>2</sub>O <mark>x</mark></p>"),
        (
            "<details><summary>s</summary>\n\n**b**\n\n</details>",
            "<details><summary>s</summary>\n<p><strong>b</strong></p>\n</details>",
        ),
        (
            "<figure><img src=\"/a.png\" alt=\"x\" id=\"y\"><figcaption>c</figcaption></figure>",
            "<figure><img src=\"/a.png\" alt=\"x\"><figcaption>c</figcaption></figure>",
        ),
        ("<abbr title=\"a & b\" class=c>x</abbr>", "<p><abbr title=\"a &amp; b\">x</abbr></p>"),
        ("a <b>b\n\nc", "<p>a <b>b</b></p>\n<p>c</p>"),
        ("a</div> <u>b *c</u> d*", "<p>a <u>b <em>c d</em></u></p>"),
        ("<table><tr><td>a<td>b</table>", "<table><tbody><tr><td>a</td><td>b</td></tr></tbody></table>"),
    ] {
        assert_eq!(post(markdown), html, "from {markdown:?}");
    }
}

#[test]
fn comments_are_plain() {
    let rel = "rel=\"nofollow ugc noopener\"";
    for (markdown, html) in [
        ("a\nb", "<p>a<br>\nb</p>".to_owned()),
        ("# a", "<p>a</p>".to_owned()),
        ("<b>a</b>", "<p>&lt;b&gt;a&lt;/b&gt;</p>".to_owned()),
        ("<div>\na", "<p>&lt;div&gt;\na</p>".to_owned()),
        ("![a](/b)", format!("<p><a href=\"/b\" {rel}>a</a></p>")),
        ("![](/b)", format!("<p><a href=\"/b\" {rel}>/b</a></p>")),
        ("[![a](/b)](/c)", format!("<p><a href=\"/c\" {rel}>a</a></p>")),
        ("https://a.b", format!("<p><a href=\"https://a.b\" {rel}>https://a.b</a></p>")),
        ("- a\n  - b", "<ul>\n<li>a\n<ul>\n<li>b</li>\n</ul>\n</li>\n</ul>".to_owned()),
        ("a[^1]\n\n[^1]: b", format!("<p>a<a href=\"b\" {rel}>^1</a></p>")),
    ] {
        assert_eq!(comment(markdown), html, "from {markdown:?}");
    }
}

#[test]
fn excerpts_are_prose() {
    let post = render_post(
        "# Title\n\n![picture](a.png) Some *emphasised*\ntext with `code` & <kbd>K</kbd>.[^1]\n\n\
         ```rust\nfn main() {}\n```\n\n| table |\n|---|\n\n第二段。\n\n[^1]: A note.",
    );
    assert_eq!(post.excerpt, "Some emphasised text with code & K. 第二段。");
    assert_eq!(post.words, 13);
    assert_eq!(render_post("").excerpt, "");
}

/// Hostile repetitions: `(before, repeated, after)`.
const HOSTILE: &[(&str, &str, &str)] = &[
    ("", ">", ""),
    ("", "[", ""),
    ("", "*", ""),
    ("", "> - ", "a"),
    ("", "*a _b ", ""),
    ("", "**a ", " b**"),
    ("", "![", ""),
    ("", "[a](", ""),
    ("", "$a ", ""),
    ("", "a <!--", ""),
    ("", "<a ", ""),
    ("<div>", "<a ", ""),
    ("<div>", "<b x='", ""),
    ("<div>", "<!--", ""),
    ("<div>", "</", ""),
    ("<script>", "</", ""),
    ("", "<div>", ""),
    ("x", "<b>", ""),
    ("", "<b>x\n\n", ""),
    ("", "<p><b title=x>", ""),
    ("", "<table><td><b></table></b>\n", ""),
    ("<table>", "<p>x", ""),
    ("", "<table>\n\nx\n\n", ""),
    ("<b><i><u><s><em>", "<p>x</p>", ""),
    ("[^a]\n\n[^a]: ", "[^a]", ""),
    ("# ", "a ", ""),
    ("", "# a\n", ""),
    ("```rust\n", "((((((((((((((((\n", ""),
    ("```rust\n", "/*", ""),
    ("|a|b|c|d|e|f|g|h|\n|-|-|-|-|-|-|-|-|\n", "a\n", ""),
    ("- a\n", "\n", "b"),
];

#[test]
fn hostile_repetition_is_harmless() {
    for (before, repeated, after) in HOSTILE {
        let count = 100_000 / repeated.len();
        let text = format!("{before}{}{after}", repeated.repeat(count));
        let said = || format!("{before:?} and {count} times {repeated:?}");
        // The widest growth is a table row, eight empty cells for two bytes.
        for html in [render_post(&text).html, render_comment(&text)] {
            assert!(html.len() < 60 * text.len(), "{} bytes from {}", html.len(), said());
            assert!(depth(&html) < 260, "depth {} from {}", depth(&html), said());
        }
    }
}

/// How deep the tags nest.
fn depth(html: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for tag in html.split('<').skip(1) {
        if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else if !["br", "hr", "img", "input"].iter().any(|void| tag.starts_with(void)) {
            depth += 1;
            deepest = deepest.max(depth);
        }
    }
    deepest
}

#[test]
fn a_document_of_too_many_nodes_is_shown_as_source() {
    let row = "|a".repeat(1000);
    let rule = "|-".repeat(1000);
    let post = render_post(&format!("{row}\n{rule}\n{}", "<b\n".repeat(500)));
    assert!(post.html.starts_with("<pre><code>|a|a"), "{}", &post.html[..40]);
    assert!(post.html.ends_with("&lt;b\n</code></pre>"));
}

proptest! {
    #[test]
    fn outline_ids_are_in_the_page_once(titles in prop::collection::vec("[ab你!<&-]{0,5}", 0..12)) {
        let post = render_post(&titles.iter().map(|t| format!("## {t}\n\n")).collect::<String>());
        for heading in &post.outline {
            let id = format!("<h2 id=\"{}\">", heading.id);
            prop_assert_eq!(post.html.matches(&id).count(), 1, "{} in {}", id, post.html);
        }
    }
}
