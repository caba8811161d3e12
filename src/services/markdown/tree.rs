//! Passes over comrak's tree before it is printed. Imported by this room only.

use super::Heading;
use super::slug::UniqueIds;
use comrak::Arena;
use comrak::nodes::{AstNode, NodeLink, NodeValue};
use std::collections::{HashMap, HashSet};

/// Quotes and lists nest this deep; what is deeper becomes a paragraph of its text.
const MAX_BLOCK_DEPTH: usize = 48;
/// Emphasis and the like, counted from the document; what is deeper becomes its text.
const MAX_DEPTH: usize = 96;
/// A footnote links back to this many of its references.
const MAX_BACKLINKS: u32 = 32;

/// Bounds the depth of the tree; `false` if it has more than `max_nodes` nodes.
pub(super) fn bound<'a>(arena: &'a Arena<'a>, root: &'a AstNode<'a>, max_nodes: usize) -> bool {
    let mut nodes = 0;
    let mut stack = vec![(root, 0)];
    while let Some((node, depth)) = stack.pop() {
        nodes += 1;
        if nodes > max_nodes {
            return false;
        }
        let is_container = matches!(node.data().value, NodeValue::BlockQuote | NodeValue::List(_));
        if depth >= MAX_BLOCK_DEPTH && is_container {
            let text = replace_children(arena, node);
            node.data_mut().value = NodeValue::Paragraph;
            node.append(text);
        } else if depth >= MAX_DEPTH && node.first_child().is_some() {
            let text = replace_children(arena, node);
            node.append(text);
        } else {
            stack.extend(node.children().map(|child| (child, depth + 1)));
        }
    }
    true
}

/// Takes the node's children away and gives their text.
fn replace_children<'a>(arena: &'a Arena<'a>, node: &'a AstNode<'a>) -> &'a AstNode<'a> {
    let text = node.collect_text();
    while let Some(child) = node.first_child() {
        child.detach();
    }
    arena.alloc(NodeValue::Text(text.into()).into())
}

/// Names footnotes by number, so that an author's name never becomes part of an id.
///
/// Comrak moves the definitions that count to the end of the document, and leaves a second definition of
/// the same name where it stood, with the same id: such a one becomes a quote.
pub(super) fn number_footnotes<'a>(root: &'a AstNode<'a>) {
    let mut numbers = HashMap::new();
    for node in root.descendants() {
        if let NodeValue::FootnoteReference(reference) = &mut node.data_mut().value {
            let name = std::mem::replace(&mut reference.name, reference.ix.to_string());
            numbers.insert(name, reference.ix);
        }
    }
    let mut numbered = HashSet::new();
    for node in root.reverse_children() {
        match &mut node.data_mut().value {
            NodeValue::FootnoteDefinition(definition) => {
                let Some(number) = numbers.remove(&definition.name) else {
                    break;
                };
                definition.name = number.to_string();
                definition.total_references = definition.total_references.min(MAX_BACKLINKS);
                numbered.insert(std::ptr::from_ref(node));
            }
            _ => break,
        }
    }
    for node in root.descendants() {
        let value = &mut node.data_mut().value;
        if matches!(value, NodeValue::FootnoteDefinition(_)) && !numbered.contains(&std::ptr::from_ref(node)) {
            *value = NodeValue::BlockQuote;
        }
    }
}

/// A heading of the tree, in document order.
pub(super) struct FoundHeading {
    pub(super) heading: Heading,
    /// Stands at the top level and has text, so that it is a section of the post.
    pub(super) in_outline: bool,
}

/// All headings with their ids.
pub(super) fn headings<'a>(root: &'a AstNode<'a>) -> Vec<FoundHeading> {
    let mut ids = UniqueIds::default();
    let mut found = Vec::new();
    for node in root.descendants() {
        let NodeValue::Heading(heading) = &node.data().value else {
            continue;
        };
        let text = node.collect_text();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_top = node.parent().is_some_and(|parent| parent.same_node(root));
        found.push(FoundHeading {
            in_outline: is_top && !text.is_empty(),
            heading: Heading { level: heading.level, id: ids.take(&text), text },
        });
    }
    found
}

/// Headings to paragraphs, images to links, raw HTML to the text that was typed.
pub(super) fn simplify_comment<'a>(arena: &'a Arena<'a>, root: &'a AstNode<'a>) {
    let mut stack = vec![(root, false)];
    while let Some((node, in_link)) = stack.pop() {
        let value = std::mem::replace(&mut node.data_mut().value, NodeValue::SoftBreak);
        let is_link = matches!(value, NodeValue::Link(_) | NodeValue::Image(_));
        let simple = match value {
            NodeValue::Heading(_) => NodeValue::Paragraph,
            NodeValue::HtmlInline(html) => NodeValue::Text(html.into()),
            NodeValue::HtmlBlock(block) => {
                let text = block.literal.trim_end().to_owned();
                node.append(arena.alloc(NodeValue::Text(text.into()).into()));
                NodeValue::Paragraph
            }
            NodeValue::Image(image) => simplify_image(arena, node, image, in_link),
            other => other,
        };
        node.data_mut().value = simple;
        stack.extend(node.children().map(|child| (child, in_link || is_link)));
    }
}

/// A link to the picture, named by its description; inside a link, the description alone.
fn simplify_image<'a>(arena: &'a Arena<'a>, node: &'a AstNode<'a>, image: Box<NodeLink>, in_link: bool) -> NodeValue {
    let mut text = String::new();
    while let Some(child) = node.first_child() {
        child.collect_text_append(&mut text);
        child.detach();
    }
    if text.trim().is_empty() {
        text = image.url.clone();
    }
    if in_link {
        return NodeValue::Text(text.into());
    }
    node.append(arena.alloc(NodeValue::Text(text.into()).into()));
    NodeValue::Link(image)
}
