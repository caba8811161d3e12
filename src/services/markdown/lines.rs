//! A post's text line by line, with code and links apart: for what looks for names.

use comrak::arena_tree::NodeEdge;
use comrak::nodes::{AstNode, NodeValue};
use comrak::{Arena, parse_document};

use super::{Dialect, MAX_NODES, options, tree};

/// A paragraph, a heading, a cell of a table: what is read in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The id of the heading above it, or of itself if it is one.
    pub anchor: Option<String>,
    pub is_heading: bool,
    /// Its text; `CODE` stands where there is code.
    pub text: String,
    /// What is marked as code within it.
    pub code: Vec<String>,
    pub links: Vec<Link>,
}

/// A link and the text that it is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub url: String,
    pub text: String,
}

/// Stands for code in the text of a line: no name goes across it.
const CODE: char = '`';

/// The lines of a post in reading order, without code blocks and raw HTML. A text that is too large
/// to be rendered has none.
pub fn lines(markdown: &str) -> Vec<Line> {
    let arena = Arena::new();
    let root = parse_document(&arena, markdown, &options(Dialect::Post));
    if !tree::bound(&arena, root, MAX_NODES) {
        return Vec::new();
    }
    let mut headings = tree::headings(root).into_iter();
    let mut anchor = None;
    let mut found = Vec::new();
    for node in root.children() {
        // Those inside quotes have ids as well, and are no sections.
        let inside = node.descendants().filter(|node| matches!(node.data().value, NodeValue::Heading(_))).count();
        let first = headings.by_ref().take(inside).collect::<Vec<_>>().into_iter().next();
        let is_heading = matches!(node.data().value, NodeValue::Heading(_));
        if let Some(own) = first.filter(|own| is_heading && own.in_outline) {
            anchor = Some(own.heading.id);
        }
        let mut reader = Reader { anchor: anchor.clone(), is_heading, ..Reader::default() };
        reader.read(node);
        found.append(&mut reader.done);
    }
    found
}

#[derive(Default)]
struct Reader {
    anchor: Option<String>,
    is_heading: bool,
    line: Line,
    /// The links that are open, each with where its text begins.
    open: Vec<(String, usize)>,
    done: Vec<Line>,
}

impl Reader {
    fn read<'a>(&mut self, node: &'a AstNode<'a>) {
        for edge in node.traverse() {
            let (node, start) = match edge {
                NodeEdge::Start(node) => (node, true),
                NodeEdge::End(node) => (node, false),
            };
            match &node.data().value {
                NodeValue::Text(text) if start => self.line.text.push_str(text),
                NodeValue::Code(code) if start => {
                    self.line.text.push(CODE);
                    self.line.code.push(code.literal.clone());
                }
                NodeValue::Math(_) if start => self.line.text.push(CODE),
                NodeValue::SoftBreak | NodeValue::LineBreak if start => self.line.text.push(' '),
                NodeValue::Link(link) if start => self.open.push((link.url.clone(), self.line.text.len())),
                NodeValue::Link(_) => self.close(),
                NodeValue::TableCell => self.end(),
                value if value.block() => self.end(),
                _ => {}
            }
        }
        self.end();
    }

    fn close(&mut self) {
        let Some((url, from)) = self.open.pop() else { return };
        let text = self.line.text.get(from..).unwrap_or_default().to_owned();
        self.line.links.push(Link { url, text });
    }

    fn end(&mut self) {
        self.open.clear();
        let line = std::mem::take(&mut self.line);
        if !line.text.trim().is_empty() {
            self.done.push(Line { anchor: self.anchor.clone(), is_heading: self.is_heading, ..line });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_code_and_links_apart() {
        let markdown = "In `x = 1` *see*\n[the **Docs**](/posts/docs).\n\n## A & `b`\n\n- one\n- two\n\n```rust\nfn main() {}\n```\n\n<div>raw</div>\n\n| x | y |\n|---|---|\n| 1 | 2 |\n";
        let found = lines(markdown);
        let texts: Vec<_> = found.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["In ` see the Docs.", "A & `", "one", "two", "x", "y", "1", "2"]);
        assert_eq!(found[0].code, ["x = 1"]);
        assert_eq!(found[0].links, [Link { url: "/posts/docs".into(), text: "the Docs".into() }]);
        assert_eq!((found[0].anchor.as_deref(), found[0].is_heading), (None, false));
        assert!(found[1].is_heading);
        assert!(found[1].anchor.is_some() && found[2].anchor == found[1].anchor, "{found:?}");
    }
}
