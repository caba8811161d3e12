//! A post's text block by block, for search: what a reader reads, without its marks.

use comrak::arena_tree::NodeEdge;
use comrak::nodes::{AstNode, NodeValue};
use comrak::{Arena, parse_document};

use super::{Dialect, MAX_NODES, options, tree};

/// A part of a post that stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// Begins a section; `id` is the element's in the HTML.
    Heading { level: u8, id: String, text: String },
    /// A paragraph, a list, a quote, a table: a line for each of its blocks.
    Prose(String),
    /// Lines as they stand.
    Code(String),
}

/// The blocks of a post, in reading order. A text that is too large to be rendered is one of them.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let arena = Arena::new();
    let root = parse_document(&arena, markdown, &options(Dialect::Post));
    if !tree::bound(&arena, root, MAX_NODES) {
        return vec![Block::Prose(markdown.to_owned())];
    }
    let mut headings = tree::headings(root).into_iter();
    let mut found = Vec::new();
    for node in root.children() {
        // Those inside quotes have ids as well, and are no sections.
        let inside = node.descendants().filter(|node| matches!(node.data().value, NodeValue::Heading(_))).count();
        let first = headings.by_ref().take(inside).collect::<Vec<_>>().into_iter().next();
        let block = match (&node.data().value, first) {
            (NodeValue::Heading(_), Some(found)) if found.in_outline => {
                let heading = found.heading;
                Block::Heading { level: heading.level, id: heading.id, text: heading.text }
            }
            (NodeValue::CodeBlock(code), _) => Block::Code(code.literal.trim_end().to_owned()),
            _ => Block::Prose(text(node)),
        };
        match &block {
            Block::Prose(text) | Block::Code(text) if text.trim().is_empty() => {}
            _ => found.push(block),
        }
    }
    found
}

fn text<'a>(node: &'a AstNode<'a>) -> String {
    let mut text = String::new();
    for edge in node.traverse() {
        let (node, start) = match edge {
            NodeEdge::Start(node) => (node, true),
            NodeEdge::End(node) => (node, false),
        };
        let part = match &node.data().value {
            NodeValue::Text(text) if start => text.to_string(),
            NodeValue::Code(code) if start => code.literal.clone(),
            NodeValue::Math(math) if start => math.literal.clone(),
            NodeValue::CodeBlock(code) if start => code.literal.clone(),
            NodeValue::SoftBreak | NodeValue::LineBreak if start => " ".to_owned(),
            NodeValue::TableCell => " ".to_owned(),
            value if value.block() => "\n".to_owned(),
            _ => continue,
        };
        text.push_str(&part);
    }
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_what_a_reader_reads() {
        let markdown = "Intro **bold**\nand `code`.\n\n# First\n\n- a\n- b\n\n> # Quoted\n> said\n\n## Second *one*\n\n```rust\nfn  main() {}\n```\n\n<div>raw</div>\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n# First\n\n![a picture](x.png)\n";
        let heading = |level, id: &str, text: &str| Block::Heading { level, id: id.into(), text: text.into() };
        let prose = |text: &str| Block::Prose(text.into());
        assert_eq!(
            blocks(markdown),
            [
                prose("Intro bold and code."),
                heading(1, "first", "First"),
                prose("a\nb"),
                prose("Quoted\nsaid"),
                heading(2, "second-one", "Second one"),
                Block::Code("fn  main() {}".into()),
                prose("x y\n1 2"),
                heading(1, "first-1", "First"),
                prose("a picture"),
            ]
        );
    }

    #[test]
    fn ids_are_those_of_the_page() {
        let markdown = "# A\n\n> ## A\n\n# A\n\n#\n\n# B\n";
        let rendered = super::super::render_post(markdown);
        let ids: Vec<_> = blocks(markdown)
            .into_iter()
            .filter_map(|block| match block {
                Block::Heading { id, .. } => Some(id),
                _ => None,
            })
            .collect();
        assert_eq!(ids, rendered.outline.iter().map(|heading| heading.id.clone()).collect::<Vec<_>>());
    }
}
