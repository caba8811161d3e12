//! Rewrites the HTML that an author typed into a post. Imported by this room only.
//!
//! Comrak hands raw HTML on piece by piece, and an HTML parser repairs what does not nest, at a price:
//! every formatting element left open is opened again in each following block, so a few hundred kilobytes
//! could become gigabytes. Here each piece is read tag by tag; tags and attributes outside
//! `sanitize::POST_TAGS` are dropped, and the rest is written so that it nests, within the Markdown
//! element it stands in. The sanitiser then has nothing to repair. It is still the one that decides.

use super::sanitize::{POST_ANY, POST_TAGS};
use super::tag::{Attributes, Token, skip_content};
use comrak::Arena;
use comrak::arena_tree::NodeEdge;
use comrak::nodes::{AstNode, NodeValue};

/// Raw tags open at once; further ones are dropped.
const MAX_OPEN: usize = 32;
/// Of those, tags that HTML parsers open again in every following block.
const MAX_OPEN_FORMATTING: usize = 8;

const FORMATTING: &[&str] = &["a", "b", "code", "em", "i", "s", "small", "strong", "u"];
const VOID: &[&str] = &["br", "hr", "img", "wbr"];
/// Between these tags only `TABLE_PARTS` may stand: anything else is moved before the table, one search
/// among its siblings each, which takes a parser quadratic time.
const TABLE: &[&str] = &["table", "tbody", "tfoot", "thead", "tr"];
const TABLE_PARTS: &[&str] = &["caption", "tbody", "td", "tfoot", "th", "thead", "tr"];
/// Their content is not for readers, or is not read as HTML: it goes with the tag.
const WITH_CONTENT: &[&str] = &[
    "iframe",
    "math",
    "noembed",
    "noframes",
    "noscript",
    "object",
    "plaintext",
    "script",
    "select",
    "style",
    "svg",
    "template",
    "textarea",
    "title",
    "xmp",
];
/// Block tags; one of them ends an open `p`.
const BLOCKS: &[&str] = &[
    "blockquote",
    "details",
    "div",
    "dl",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "ol",
    "p",
    "pre",
    "summary",
    "table",
    "ul",
];

/// Replaces every raw HTML node of the tree by what may stay of it.
pub(super) fn rewrite<'a>(arena: &'a Arena<'a>, root: &'a AstNode<'a>) {
    let edges: Vec<_> = root.traverse().collect();
    let mut writer = Writer::default();
    let mut bases = Vec::new();
    for edge in edges {
        match edge {
            NodeEdge::Start(node) => {
                writer.leave_table_for(arena, node);
                let mut ast = node.data_mut();
                let rewritten = match &ast.value {
                    NodeValue::HtmlBlock(block) => Some(writer.rewrite(&block.literal)),
                    NodeValue::HtmlInline(tag) => Some(writer.rewrite(tag)),
                    _ => None,
                };
                match rewritten {
                    Some(html) => ast.value = NodeValue::Raw(html),
                    None => bases.push(std::mem::replace(&mut writer.base, writer.open.len())),
                }
            }
            NodeEdge::End(node) if matches!(node.data().value, NodeValue::Raw(_)) => {}
            NodeEdge::End(node) => {
                let mut closing = String::new();
                writer.close_to(writer.base, &mut closing);
                writer.base = bases.pop().unwrap_or(0);
                if !closing.is_empty() {
                    node.append(arena.alloc(NodeValue::Raw(closing).into()));
                }
            }
        }
    }
}

/// Text as HTML text.
pub(super) fn escape_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[derive(Default)]
struct Writer {
    /// The raw tags open now, outermost first.
    open: Vec<&'static str>,
    /// Those before this one belong to an outer Markdown element and can't be closed here.
    base: usize,
}

impl Writer {
    fn rewrite(&mut self, html: &str) -> String {
        let mut out = String::with_capacity(html.len());
        let mut rest = html;
        while let Some(at) = rest.find('<') {
            self.text(&rest[..at], &mut out);
            rest = &rest[at..];
            rest = match Token::read(rest) {
                Token::Text => {
                    self.leave_table(&mut out);
                    out.push_str("&lt;");
                    &rest[1..]
                }
                Token::Skip(after) => after,
                Token::End(name, after) => {
                    self.end(&name, &mut out);
                    after
                }
                Token::Start(name, attributes, after) => self.start(&name, attributes, after, &mut out),
                Token::Unfinished => {
                    self.leave_table(&mut out);
                    escape_text(&mut out, rest);
                    ""
                }
            };
        }
        self.text(rest, &mut out);
        out
    }

    /// Writes text that holds no `<`; its character references stay.
    fn text(&mut self, text: &str, out: &mut String) {
        if !text.trim().is_empty() {
            self.leave_table(out);
        }
        out.push_str(text);
    }

    /// Writes the start tag, or drops it; answers what is left to read.
    fn start<'h>(&mut self, name: &str, attributes: Attributes<'_>, after: &'h str, out: &mut String) -> &'h str {
        if WITH_CONTENT.contains(&name) {
            return skip_content(name, after);
        }
        let Some((name, allowed)) = POST_TAGS.iter().find(|(tag, _)| *tag == name) else {
            return after;
        };
        if !TABLE_PARTS.contains(name) {
            self.leave_table(out);
        }
        self.close_implied(name, out);
        if !VOID.contains(name) {
            if self.is_full(name) {
                return after;
            }
            self.open.push(name);
        }
        out.push('<');
        out.push_str(name);
        for (attribute, value) in attributes {
            let attribute = attribute.to_ascii_lowercase();
            if allowed.contains(&attribute.as_str()) || POST_ANY.contains(&attribute.as_str()) {
                write_attribute(&attribute, value, out);
            }
        }
        out.push('>');
        after
    }

    fn end(&mut self, name: &str, out: &mut String) {
        let here = &self.open[self.base..];
        if let Some(at) = here.iter().rposition(|open| *open == name) {
            self.close_to(self.base + at, out);
        }
    }

    fn close_to(&mut self, depth: usize, out: &mut String) {
        while self.open.len() > depth
            && let Some(name) = self.open.pop()
        {
            out.push_str("</");
            out.push_str(name);
            out.push('>');
        }
    }

    /// Closes what HTML lets an author leave open: `<li>` before the next `<li>`, and so on.
    fn close_implied(&mut self, name: &str, out: &mut String) {
        while self.open.len() > self.base && self.open.last().is_some_and(|open| implies_end(name, open)) {
            self.close_to(self.open.len() - 1, out);
        }
    }

    /// Closes a table that is not in a cell, as what comes next can't be in it.
    fn leave_table(&mut self, out: &mut String) {
        while self.open.len() > self.base && self.open.last().is_some_and(|open| TABLE.contains(open)) {
            self.close_to(self.open.len() - 1, out);
        }
    }

    /// The same before a Markdown node.
    fn leave_table_for<'a>(&mut self, arena: &'a Arena<'a>, node: &'a AstNode<'a>) {
        let fits =
            matches!(node.data().value, NodeValue::HtmlBlock(_) | NodeValue::HtmlInline(_) | NodeValue::SoftBreak);
        let mut closing = String::new();
        if !fits {
            self.leave_table(&mut closing);
        }
        if !closing.is_empty() {
            node.insert_before(arena.alloc(NodeValue::Raw(closing).into()));
        }
    }

    fn is_full(&self, name: &str) -> bool {
        let formatting = |open: &&&str| FORMATTING.contains(open);
        self.open.len() >= MAX_OPEN
            || (name == "a" && self.open.contains(&"a"))
            || (FORMATTING.contains(&name) && self.open.iter().filter(formatting).count() >= MAX_OPEN_FORMATTING)
    }
}

fn implies_end(name: &str, open: &str) -> bool {
    match open {
        "p" => BLOCKS.contains(&name) || matches!(name, "li" | "dt" | "dd" | "td" | "th" | "tr"),
        "li" => name == "li",
        "dt" | "dd" => matches!(name, "dt" | "dd"),
        "rt" | "rp" => matches!(name, "rt" | "rp"),
        "td" | "th" => matches!(name, "td" | "th" | "tr" | "tbody" | "tfoot" | "thead"),
        "tr" => matches!(name, "tr" | "tbody" | "tfoot" | "thead"),
        "caption" | "tbody" | "tfoot" | "thead" => matches!(name, "tbody" | "tfoot" | "thead"),
        _ => false,
    }
}

/// A value in double quotes. Character references stay, and so mean what they meant.
fn write_attribute(name: &str, value: &str, out: &mut String) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("&quot;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(html: &str) -> String {
        let mut writer = Writer::default();
        let mut out = writer.rewrite(html);
        writer.close_to(0, &mut out);
        out
    }

    #[test]
    fn keeps_what_is_allowed_and_closes_it() {
        for (html, kept) in [
            ("a<KBD>b</kbd>c", "a<kbd>b</kbd>c"),
            ("<b><i>x</b>y</i>", "<b><i>x</i></b>y"),
            ("<details open><summary>x", "<details open=\"\"><summary>x</summary></details>"),
            ("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>"),
            ("<img src='a.png' alt=b/>", "<img src=\"a.png\" alt=\"b/\">"),
            ("<a href=x title='\"&amp;<'>", "<a href=\"x\" title=\"&quot;&amp;&lt;\"></a>"),
            ("<div id=a class=b onclick=c lang=en>", "<div lang=\"en\"></div>"),
        ] {
            assert_eq!(rewritten(html), kept, "from {html}");
        }
    }

    #[test]
    fn drops_the_rest() {
        for (html, kept) in [
            ("<script>a</script>b", "b"),
            ("<style>a</STYLE >b", "b"),
            ("<svg><a><b></svg>c", "c"),
            ("a<!-- <b> -->c<!-- <b>", "ac"),
            ("<!DOCTYPE x><?php ?>a", "a"),
            ("</b>a", "a"),
            ("<form>a</form>", "a"),
            ("1 < 2 <3", "1 &lt; 2 &lt;3"),
            ("<b title=\"<script>", "&lt;b title=\"&lt;script&gt;"),
            ("<b =x=y>", "<b></b>"),
            ("<textarea><b>", ""),
            ("<table>a<tr><b>", "<table></table>a<tr></tr><b></b>"),
            ("<table> <tr><td>a<p>b", "<table> <tr><td>a<p>b</p></td></tr></table>"),
        ] {
            assert_eq!(rewritten(html), kept, "from {html}");
        }
    }

    #[test]
    fn open_tags_are_bounded() {
        assert_eq!(rewritten(&"<b>".repeat(99)).matches("<b>").count(), MAX_OPEN_FORMATTING);
        assert_eq!(rewritten(&"<div>".repeat(99)).matches("<div>").count(), MAX_OPEN);
    }
}
