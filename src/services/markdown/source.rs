//! Where the blocks of a post stand in its source, for what works on the source itself.

use std::ops::Range;

use comrak::nodes::{AstNode, NodeValue};
use comrak::{Arena, parse_document};

use super::{Dialect, options};

/// A block at the top level, in bytes of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceBlock {
    pub range: Range<usize>,
    /// Nothing that a reader reads as prose: code, HTML, formulas, rules.
    pub verbatim: bool,
}

/// The blocks of a post in the order of its source, whole lines each. What stands between them, such
/// as blank lines and the addresses of links, belongs to none.
pub fn source_blocks(markdown: &str) -> Vec<SourceBlock> {
    let lines = line_starts(markdown);
    let arena = Arena::new();
    let root = parse_document(&arena, markdown, &options(Dialect::Post));
    let mut found: Vec<SourceBlock> = Vec::new();
    let mut nodes: Vec<_> = root.children().collect();
    // Footnotes were moved to the end.
    nodes.sort_by_key(|node| node.data().sourcepos.start.line);
    for node in nodes {
        let place = node.data().sourcepos;
        let at = |line: usize| lines.get(line).copied().unwrap_or(markdown.len());
        let begin = at(place.start.line.saturating_sub(1)).max(found.last().map_or(0, |last| last.range.end));
        let end = begin + markdown[begin..at(place.end.line).max(begin)].trim_end().len();
        if begin < end {
            found.push(SourceBlock { range: begin..end, verbatim: is_verbatim(node) });
        }
    }
    found
}

fn is_verbatim<'a>(node: &'a AstNode<'a>) -> bool {
    match &node.data().value {
        NodeValue::CodeBlock(_) | NodeValue::HtmlBlock(_) | NodeValue::ThematicBreak => true,
        NodeValue::Paragraph => node.children().all(|child| matches!(child.data().value, NodeValue::Math(_))),
        _ => false,
    }
}

/// Where each line begins.
fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends = |at: usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
    std::iter::once(0).chain((0..bytes.len()).filter(|at| ends(*at)).map(|at| at + 1)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_are_whole_lines_of_the_source() {
        let markdown = "Intro\nmore.\n\n# Head\r\n\r\n- a\n- b\n\n```rust\nfn a() {}\n\n// b\n```\n\n<div>\nraw\n</div>\n\n$$x$$\n\n\
                        A note[^1].\n\n[^1]: It says.\n\n---\n\n[x]: https://a.example\n\n| a |\n|---|\n| 1 |\n";
        let shown: Vec<(&str, bool)> =
            source_blocks(markdown).into_iter().map(|block| (&markdown[block.range], block.verbatim)).collect();
        assert_eq!(
            shown,
            [
                ("Intro\nmore.", false),
                ("# Head", false),
                ("- a\n- b", false),
                ("```rust\nfn a() {}\n\n// b\n```", true),
                ("<div>\nraw\n</div>", true),
                ("$$x$$", true),
                ("A note[^1].", false),
                ("[^1]: It says.", false),
                ("---", true),
                ("| a |\n|---|\n| 1 |", false),
            ]
        );
    }

    proptest! {
        #[test]
        fn blocks_never_overlap(text in "([a-z墨]{1,4}|\n|\r|\\* |> |# |```|\\[\\^1\\]:? |    |<b>|\\|){0,60}") {
            let mut last = 0;
            for block in source_blocks(&text) {
                prop_assert!(block.range.start >= last && !text[block.range.clone()].is_empty());
                last = block.range.end;
            }
        }
    }
}
