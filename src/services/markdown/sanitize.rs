//! The allow-lists, and the last check before HTML leaves this room. Imported by this room only.
//!
//! `raw_html` has already reduced the author's own tags to `POST_TAGS`; so an `id`, `class` or `data-`
//! attribute that arrives here was printed by us, unless `raw_html` has a hole, and then it still has to
//! have one of the few values below.

use super::highlight;
use ammonia::{Builder, Url};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// What a post's author may write as raw HTML: each tag with its attributes.
///
/// No `id` and no `class`: an id names a property of `window` (DOM clobbering), a class borrows the
/// site's own styles. No `cite`, `srcset` or `longdesc`: nothing checks those URLs.
pub(super) const POST_TAGS: &[(&str, &[&str])] = &[
    ("a", &["href", "title"]),
    ("abbr", &["title"]),
    ("b", &[]),
    ("blockquote", &[]),
    ("br", &[]),
    ("caption", &[]),
    ("cite", &[]),
    ("code", &[]),
    ("dd", &[]),
    ("del", &["datetime"]),
    ("details", &["open"]),
    ("dfn", &["title"]),
    ("div", &[]),
    ("dl", &[]),
    ("dt", &[]),
    ("em", &[]),
    ("figcaption", &[]),
    ("figure", &[]),
    ("h1", &[]),
    ("h2", &[]),
    ("h3", &[]),
    ("h4", &[]),
    ("h5", &[]),
    ("h6", &[]),
    ("hr", &[]),
    ("i", &[]),
    ("img", &["src", "alt", "title", "width", "height"]),
    ("ins", &["datetime"]),
    ("kbd", &[]),
    ("li", &["value"]),
    ("mark", &[]),
    ("ol", &["start", "reversed"]),
    ("p", &[]),
    ("pre", &[]),
    ("q", &[]),
    ("rp", &[]),
    ("rt", &[]),
    ("ruby", &[]),
    ("s", &[]),
    ("samp", &[]),
    ("small", &[]),
    ("span", &[]),
    ("strong", &[]),
    ("sub", &[]),
    ("summary", &[]),
    ("sup", &[]),
    ("table", &[]),
    ("tbody", &[]),
    ("td", &["align", "colspan", "rowspan"]),
    ("tfoot", &[]),
    ("th", &["align", "colspan", "rowspan", "scope"]),
    ("thead", &[]),
    ("time", &["datetime"]),
    ("tr", &[]),
    ("u", &[]),
    ("ul", &[]),
    ("var", &[]),
    ("wbr", &[]),
];

/// Attributes that any tag of a post may carry.
pub(super) const POST_ANY: &[&str] = &["lang", "dir"];

/// What our own rendering adds to `POST_TAGS`.
const GENERATED: &[(&str, &[&str])] = &[
    ("a", &["id", "class", "aria-label", "data-footnote-ref", "data-footnote-backref"]),
    ("code", &["class", "data-math-style"]),
    ("h1", &["id"]),
    ("h2", &["id"]),
    ("h3", &["id"]),
    ("h4", &["id"]),
    ("h5", &["id"]),
    ("h6", &["id"]),
    // `type` and `disabled` get their only value below; listed, they keep their place: what ammonia adds
    // comes in another order in each process.
    ("input", &["type", "class", "checked", "disabled"]),
    ("li", &["id", "class"]),
    ("ol", &["class"]),
    ("section", &["class", "data-footnotes"]),
    ("span", &["class", "data-math-style"]),
    ("sup", &["class"]),
    ("ul", &["class"]),
];

/// All that a comment may contain; nothing of it was typed as HTML.
const COMMENT_TAGS: &[(&str, &[&str])] = &[
    ("a", &["href", "title"]),
    ("blockquote", &[]),
    ("br", &[]),
    ("code", &["class", "data-math-style"]),
    ("del", &[]),
    ("em", &[]),
    ("hr", &[]),
    ("li", &[]),
    ("ol", &["start"]),
    ("p", &[]),
    ("pre", &[]),
    ("span", &["class", "data-math-style"]),
    ("strong", &[]),
    ("ul", &[]),
];

static POST: LazyLock<Builder<'static>> = LazyLock::new(post_builder);

fn post_builder() -> Builder<'static> {
    let mut builder = builder(&[POST_TAGS, GENERATED]);
    builder.generic_attributes(POST_ANY.iter().copied().collect());
    // Task lists print the one control there is; whatever arrives as one leaves as a dead checkbox.
    builder.set_tag_attribute_value("input", "type", "checkbox");
    builder.set_tag_attribute_value("input", "disabled", "");
    builder.link_rel(None);
    builder
}

static COMMENT: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = builder(&[COMMENT_TAGS]);
    builder.generic_attributes(HashSet::new());
    builder.link_rel(Some("nofollow ugc noopener"));
    builder
});

/// Times that a text is sanitised at most.
const MAX_PASSES: usize = 5;

/// A post's HTML with nothing in it but the allow-list.
pub(super) fn post(html: &str) -> String {
    settled(&POST, html)
}

/// The same, with its relative links and images resolved against `base`.
pub(super) fn post_elsewhere(html: &str, base: &Url) -> String {
    let mut builder = post_builder();
    builder.url_relative(ammonia::UrlRelative::RewriteWithBase(base.clone()));
    settled(&builder, html)
}

/// A comment's HTML with nothing in it but the allow-list, and `rel` on its links.
pub(super) fn comment(html: &str) -> String {
    if is_plain(html) { html.to_owned() } else { settled(&COMMENT, html) }
}

/// True of paragraphs with nothing in them but characters that stand for themselves, as most comments are:
/// they are what sanitising would make of them.
fn is_plain(html: &str) -> bool {
    let mut rest = html;
    while let Some((text, end)) = rest.strip_prefix("<p>").and_then(|inside| inside.split_once('<')) {
        if text.contains(['>', '&', '"', '\r', '\0', '\u{a0}']) {
            return false;
        }
        let Some(next) = end.strip_prefix("/p>\n") else { return false };
        rest = next;
    }
    rest.is_empty()
}

/// Sanitises until nothing changes any more. Misnested tags can print as HTML that a parser reads
/// as another tree, and what is checked has to be what a browser will see. Twice is the most as a rule; text
/// that has not settled after [`MAX_PASSES`] is shown as its source.
fn settled(builder: &Builder<'_>, html: &str) -> String {
    let pass = |html: &str| keep_newlines(builder.clean(html).to_string());
    let mut clean = pass(html);
    if clean == html {
        return clean;
    }
    for _ in 1..MAX_PASSES {
        let again = pass(&clean);
        if again == clean {
            return clean;
        }
        clean = again;
    }
    clean.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Doubles a line break at the start of a `pre`, as HTML parsers drop the first and ammonia has dropped one.
fn keep_newlines(html: String) -> String {
    if !html.contains("<pre") {
        return html;
    }
    let mut out = String::with_capacity(html.len() + 16);
    let mut rest = html.as_str();
    // In ammonia's output a `<` starts a tag, and the attributes of a `pre` hold no `>`.
    while let Some(at) = rest.find("<pre") {
        let end = rest[at..].find('>').map_or(rest.len(), |end| at + end + 1);
        out.push_str(&rest[..end]);
        rest = &rest[end..];
        if rest.starts_with('\n') {
            out.push('\n');
        }
    }
    out.push_str(rest);
    out
}

type TagList = &'static [(&'static str, &'static [&'static str])];

fn builder(lists: &[TagList]) -> Builder<'static> {
    let mut attributes: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (tag, allowed) in lists.iter().copied().flatten() {
        attributes.entry(tag).or_default().extend(*allowed);
    }
    let mut builder = Builder::empty();
    builder
        .tags(attributes.keys().copied().collect())
        .tag_attributes(attributes)
        .clean_content_tags(HashSet::from(["script", "style"]))
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .url_relative(ammonia::UrlRelative::PassThrough)
        .strip_comments(true)
        .attribute_filter(filter_value);
    builder
}

/// The attribute's value if it may stay; ammonia has checked the tag, the name and the URL scheme.
fn filter_value<'v>(tag: &str, attribute: &str, value: &'v str) -> Option<Cow<'v, str>> {
    let keep = match (tag, attribute) {
        (_, "class") => return filter_classes(tag, value).map(Cow::Owned),
        ("img", "src") => is_image_url(value),
        (_, "href") => Url::parse(value).is_ok() || is_relative_url(value),
        ("a" | "li", "id") => is_footnote_id(value),
        (_, "id") => !value.is_empty() && !is_footnote_id(value),
        (_, "data-math-style") => matches!(value, "inline" | "display"),
        (_, "dir") => matches!(value, "ltr" | "rtl" | "auto"),
        (_, "align") => matches!(value, "left" | "right" | "center"),
        ("img", "width" | "height") | (_, "colspan" | "rowspan" | "start" | "value") => {
            !value.is_empty() && value.len() <= 6 && value.bytes().all(|b| b.is_ascii_digit())
        }
        _ => true,
    };
    keep.then_some(Cow::Borrowed(value))
}

/// http, https or relative; a `mailto:` picture makes no sense.
fn is_image_url(value: &str) -> bool {
    match Url::parse(value) {
        Ok(url) => matches!(url.scheme(), "http" | "https"),
        Err(_) => is_relative_url(value),
    }
}

/// Of what is no URL with a scheme, what can stand in its place: its first segment holds no colon,
/// so that nobody takes it for a scheme (RFC 3986, section 4.2).
fn is_relative_url(value: &str) -> bool {
    let first = value.split(['/', '?', '#']).next().unwrap_or_default();
    !value.trim().is_empty() && !first.contains(':')
}

fn is_footnote_id(id: &str) -> bool {
    let number = id.strip_prefix("fnref-").or_else(|| id.strip_prefix("fn-"));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
}

/// The classes that we print, and no others.
fn filter_classes(tag: &str, classes: &str) -> Option<String> {
    let ours = |class: &&str| match tag {
        "span" => is_highlight_class(class),
        "code" => highlight::language(class).is_some(),
        "a" => *class == "footnote-backref",
        "sup" => *class == "footnote-ref",
        "section" => *class == "footnotes",
        "li" => *class == "task-list-item",
        "input" => *class == "task-list-item-checkbox",
        "ol" | "ul" => *class == "contains-task-list",
        _ => false,
    };
    let kept: Vec<&str> = classes.split_ascii_whitespace().filter(ours).collect();
    (!kept.is_empty()).then(|| kept.join(" "))
}

fn is_highlight_class(class: &str) -> bool {
    class
        .strip_prefix("hl-")
        .is_some_and(|atom| atom.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'#')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_check_holds_alone() {
        // As if `raw_html` had let everything through.
        for (dirty, clean) in [
            ("<script>alert(1)</script>x", "x"),
            ("<b onclick=alert(1)>x</b>", "<b>x</b>"),
            ("<a href='java\nscript:x'>x</a>", "<a>x</a>"),
            ("<a href='  '>x</a>", "<a>x</a>"),
            ("<a id=cookie href=/x>x</a>", "<a href=\"/x\">x</a>"),
            ("<a id=fn-1 href=/x>x</a>", "<a id=\"fn-1\" href=\"/x\">x</a>"),
            ("<h2 id=fn-1>x</h2>", "<h2>x</h2>"),
            ("<p id=x class=admin style=x>x</p>", "<p>x</p>"),
            ("<span class='admin hl-a hl-<'>x</span>", "<span class=\"hl-a\">x</span>"),
            ("<img src=data:image/png;base64,AA==>", "<img>"),
            ("<img src=mailto:a@b.c>", "<img>"),
            ("<img src=//h/a.png width=1e9>", "<img src=\"//h/a.png\">"),
            ("<pre>\n\nx</pre>", "<pre>\n\nx</pre>"),
            ("<form action=/x><button>x</button></form>", "x"),
            ("<svg><style><img src=x onerror=alert(1)></style></svg>", "<img src=\"x\">"),
        ] {
            assert_eq!(post(dirty), clean, "from {dirty}");
        }
        let input = post("<input type=text name=q value=1 autofocus>");
        assert!(!input.contains("text") && !input.contains("name"), "{input}");
        assert!(input.contains("disabled") && input.contains("checkbox"), "{input}");
    }

    #[test]
    fn elsewhere_links_lead_where_they_did_and_nothing_else_changes() {
        let page = Url::parse("https://a.b/posts/x?y").expect("a URL");
        for (here, there) in [
            ("<a href=\"/about\">x</a>", "<a href=\"https://a.b/about\">x</a>"),
            ("<a href=\"other\">x</a>", "<a href=\"https://a.b/posts/other\">x</a>"),
            ("<a id=\"fnref-1\" href=\"#fn-1\">x</a>", "<a id=\"fnref-1\" href=\"https://a.b/posts/x?y#fn-1\">x</a>"),
            ("<img src=\"../墨.png\" alt=\"\">", "<img src=\"https://a.b/%E5%A2%A8.png\" alt=\"\">"),
            ("<img src=\"//c.d/e.png\">", "<img src=\"https://c.d/e.png\">"),
        ] {
            assert_eq!(post_elsewhere(here, &page), there);
        }
        for same in [
            "<a href=\"mailto:a@b.c\">x</a><a href=\"http://c.d/e?f&amp;g\">x</a>",
            "<pre>\n\nx &lt; y</pre><code class=\"language-rust\"><span class=\"hl-a\">fn</span></code>",
        ] {
            assert_eq!(post_elsewhere(same, &page), same);
        }
    }

    #[test]
    fn plain_comments_are_what_sanitising_makes_of_them() {
        for plain in ["<p>x</p>\n", "<p>你好, it's\n\tme;</p>\n<p>\u{1f600} = {{ 1 }} \u{feff}`'</p>\n", "<p></p>\n"]
        {
            assert!(is_plain(plain), "{plain}");
            assert_eq!(settled(&COMMENT, plain), plain);
        }
        for other in [
            "<p>x</p>",
            "<p>x</p>\ny",
            "<p>x",
            "<p>x</p >\n",
            "<p>x<p>\n",
            "<p >x</p>\n",
            "<p><b>x</b></p>\n",
            "<p>&lt;</p>\n",
            "<p>></p>\n",
            "<p>\"</p>\n",
            "<p>\r</p>\n",
            "<p>\0</p>\n",
            "<p>\u{a0}</p>\n",
            "<P>x</P>\n",
            "x",
        ] {
            assert!(!is_plain(other), "{other}");
        }
        // Every character that is taken for plain stands for itself.
        for char in ('\0'..=char::MAX).filter(|char| *char < '\u{3000}' || (*char as u32).is_multiple_of(997)) {
            let html = format!("<p>a{char}b</p>\n");
            if is_plain(&html) {
                assert_eq!(settled(&COMMENT, &html), html, "{char:?}");
            }
        }
    }

    #[test]
    fn comment_links_are_marked() {
        assert_eq!(
            comment("<a href=\"https://a.b/\" rel=\"me\">x</a>"),
            "<a href=\"https://a.b/\" rel=\"nofollow ugc noopener\">x</a>"
        );
    }
}
