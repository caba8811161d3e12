//! Attacks: every line of `xss_vectors.txt`, and random text, through both renderers.
//!
//! The judge is not the sanitiser: `check` reads the output with a reader so strict that anything but
//! `<tag name="value">` is a failure, and decodes every value by itself.

use super::{render_comment, render_post, sanitize};
use proptest::prelude::*;

const VECTORS: &str = include_str!("xss_vectors.txt");

/// Written out once more, so that a tag added to the sanitiser by mistake fails here.
const TAGS: &str = " a abbr b blockquote br caption cite code dd del details dfn div dl dt em figcaption \
    figure h1 h2 h3 h4 h5 h6 hr i img input ins kbd li mark ol p pre q rp rt ruby s samp section small \
    span strong sub summary sup table tbody td tfoot th thead time tr u ul var wbr ";
const ATTRIBUTES: &str = " align alt aria-label checked class colspan data-footnote-backref \
    data-footnote-ref data-footnotes data-math-style datetime dir disabled height href id lang open rel \
    reversed rowspan scope src start title type value width ";
const COMMENT_TAGS: &str = " a blockquote br code del em hr li ol p pre span strong ul ";
const COMMENT_ATTRIBUTES: &str = " class data-math-style href rel start title ";

fn unescape(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('0') => out.push('\0'),
            Some('x') => {
                let hex: String = chars.by_ref().take(2).collect();
                let code = u8::from_str_radix(&hex, 16).expect("two hex digits after \\x");
                out.push(char::from(code));
            }
            Some('\\') => out.push('\\'),
            other => {
                out.push('\\');
                out.extend(other);
            }
        }
    }
    out
}

fn vectors() -> Vec<String> {
    VECTORS.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(";;")).map(unescape).collect()
}

/// A serialised attribute value as a browser reads it; an unknown or unfinished reference is an error.
fn decode(value: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(';').ok_or(format!("bare & in {value:?}"))? + at;
        out.push(match &rest[at + 1..end] {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "nbsp" => '\u{a0}',
            other => return Err(format!("unexpected &{other}; in {value:?}")),
        });
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn check_attribute(name: &str, raw: &str) -> Result<(), String> {
    let value = decode(raw)?;
    let squeezed: String =
        value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect::<String>().to_lowercase();
    if matches!(name, "href" | "src") {
        let head = squeezed.split(['/', '?', '#']).next().unwrap_or("");
        let scheme = head
            .split_once(':')
            .map(|(scheme, _)| scheme)
            .filter(|scheme| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)));
        if !matches!(scheme, None | Some("http" | "https" | "mailto")) || squeezed.starts_with(':') {
            return Err(format!("URL {value:?}"));
        }
    }
    if name == "src" && squeezed.starts_with("mailto:") {
        return Err(format!("picture from {value:?}"));
    }
    let class = |class: &str| {
        class.starts_with("hl-")
            || class.starts_with("language-")
            || " contains-task-list footnote-backref footnote-ref footnotes task-list-item \
                task-list-item-checkbox "
                .contains(&format!(" {class} "))
    };
    if name == "class" && !value.split(' ').all(class) {
        return Err(format!("class {value:?}"));
    }
    Ok(())
}

/// Every `name="value"` of a start tag.
fn read_attributes(mut rest: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut attributes = Vec::new();
    while !rest.is_empty() {
        let body = rest.strip_prefix(' ').ok_or(format!("no space before {rest:?}"))?;
        let (name, after) = body.split_once("=\"").ok_or(format!("no value in {body:?}"))?;
        let (value, after) = after.split_once('"').ok_or(format!("open value in {body:?}"))?;
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
            return Err(format!("attribute name {name:?}"));
        }
        attributes.push((name, value));
        rest = after;
    }
    Ok(attributes)
}

fn check(html: &str, tags: &str, names: &str) -> Result<(), String> {
    let mut ids = std::collections::HashSet::new();
    let mut open = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        // A quoted value may hold a `>`: find the end outside quotes.
        let mut quoted = false;
        let end = rest[at..]
            .find(|c| {
                quoted ^= c == '"';
                c == '>' && !quoted
            })
            .ok_or(format!("a tag without end: {:?}", &rest[at..]))?;
        let tag = &rest[at + 1..at + end];
        rest = &rest[at + end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
            continue;
        }
        let length = tag.find(' ').unwrap_or(tag.len());
        let (name, attributes) = tag.split_at(length);
        if !tags.contains(&format!(" {name} ")) {
            return Err(format!("tag {name:?}"));
        }
        if !matches!(name, "br" | "hr" | "img" | "input" | "wbr") {
            open.push(name);
        }
        let attributes = read_attributes(attributes)?;
        for (attribute, value) in &attributes {
            if !names.contains(&format!(" {attribute} ")) {
                return Err(format!("attribute {attribute:?} on {name:?}"));
            }
            check_attribute(attribute, value)?;
            if *attribute == "id" && !ids.insert(value.to_string()) {
                return Err(format!("id {value:?} twice"));
            }
        }
        let has = |attribute| attributes.contains(&attribute);
        if name == "input" && !(has(("type", "checkbox")) && has(("disabled", ""))) {
            return Err(format!("a live input: {tag:?}"));
        }
        let rel = ("rel", "nofollow ugc noopener");
        if name == "a" && tags == COMMENT_TAGS && !has(rel) {
            return Err(format!("a comment's link without rel: {tag:?}"));
        }
    }
    match open.pop() {
        Some(name) => Err(format!("<{name}> stays open")),
        None => Ok(()),
    }
}

fn check_both(markdown: &str) -> Result<(), String> {
    let said = |what: &str, html: &str, why| format!("{what} of {markdown:?}: {why}\n{html}");
    let post = render_post(markdown).html;
    check(&post, TAGS, ATTRIBUTES).map_err(|why| said("post", &post, why))?;
    let comment = render_comment(markdown);
    check(&comment, COMMENT_TAGS, COMMENT_ATTRIBUTES).map_err(|why| said("comment", &comment, why))?;
    let again = sanitize::post(&post);
    if again != post {
        return Err(said("second sanitising", &again, format!("was\n{post}")));
    }
    let again = sanitize::comment(&comment);
    if again != comment {
        return Err(said("second sanitising", &again, format!("was\n{comment}")));
    }
    Ok(())
}

#[test]
fn every_vector_is_harmless_in_posts_and_comments() {
    let vectors = vectors();
    assert!(vectors.len() >= 200, "only {} vectors were read", vectors.len());
    let failures: Vec<_> = vectors.iter().filter_map(|v| check_both(v).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_vector_is_harmless_inside_other_markdown() {
    let mut failures = Vec::new();
    for vector in vectors() {
        let quoted = format!("> {}", vector.replace('\n', "\n> "));
        for markdown in [
            format!("text {vector} text\n\nnext **paragraph**"),
            format!("- a\n- {}\n\n# after", vector.replace('\n', "\n  ")),
            format!("<details><summary>s</summary>\n{vector}\n</details>\n\n{quoted}"),
            format!("| a |\n|---|\n| {vector} |\n\n[{vector}](https://a.test)"),
        ] {
            failures.extend(check_both(&markdown).err());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn the_check_itself_finds_what_it_looks_for() {
    for bad in [
        "<script>x</script>",
        "<p onclick=\"x\">x</p>",
        "<p class=\"x\">x</p>",
        "<a href=\"java\tscript:x\">x</a>",
        "<a href=\" DATA:x\">x</a>",
        "<a href=\"javascript&colon;x\">x</a>",
        "<img src=\"mailto:a@b.c\">",
        "<p id=\"a\">x</p><p id=\"a\">x</p>",
        "<input type=\"text\">",
        "<b><i>x</b></i>",
        "<b>x",
        "<p title=x>x</p>",
        "<p",
    ] {
        assert!(check(bad, TAGS, ATTRIBUTES).is_err(), "{bad} passed");
    }
    let good = "<p title=\"a &lt; >\"><a href=\"/x?a=javascript:\">x</a><br></p>";
    assert_eq!(check(good, TAGS, ATTRIBUTES), Ok(()));
}

/// Written as in `xss_vectors.txt`, between spaces; `\\x20` is a space.
const PIECES: &str = r##"< > </ /> " ' ` = & ; [ ] ( ) ! * ** _ ~~ # #\x20 -\x20 >\x20 1.\x20 |\x20
|---| \n \n\n \x20\x20\x20\x20 \t \0 $ $$ ``` ```rust\n [^1] [^1]:\x20 -\x20[x]\x20 <b> </b> <p> </p>
<div> </div> <table> <tr> <td> </table> <a\x20href=x> </a> <details\x20open> <summary> <li> <ul>
<h2\x20id=x> <pre> <script> </script> <style> <svg> <math> <template> <select> <!-- --> <![CDATA[
<img\x20src=x\x20onerror=y> <input> <ruby> <rt> <code> <br> javascript: java&Tab;script: http://a.b
www.a.b a@b.c &lt; &#60; &colon; 中文 。 é x \x20"##;

/// Pieces that mean something to one of the parsers, so that random text reaches their corners.
fn piece() -> impl Strategy<Value = String> {
    let pieces: Vec<String> = PIECES.split_whitespace().map(unescape).collect();
    prop_oneof![4 => prop::sample::select(pieces), 1 => "\\PC{0,4}"]
}

/// Found by the properties below: what begins with a colon, or with no scheme and a colon, is no link.
#[test]
fn a_colon_without_a_scheme_makes_no_link() {
    for text in ["[^1]\n\n[^1]: :", "[a](:)", "[a](1x:b)", "<a href=\":b\">a</a>", "![a](:b)"] {
        assert_eq!(check_both(text), Ok(()), "{text}");
        assert!(!super::render_post(text).html.contains("href=\":"), "{text}");
    }
}

/// Found by the properties below: headings within links within headings.
#[test]
fn what_a_parser_would_read_differently_is_settled_first() {
    assert_eq!(check_both("<h2 id=x><a href=x>\n\n</<h2 id=x>http://a.b"), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_pieces_are_harmless(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        if let Err(why) = check_both(&text) {
            return Err(TestCaseError::fail(why));
        }
    }

    #[test]
    fn random_text_is_harmless(text in any::<String>()) {
        if let Err(why) = check_both(&text) {
            return Err(TestCaseError::fail(why));
        }
    }
}
