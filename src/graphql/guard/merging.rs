//! Whether an operation selects an object twice, in two places that belong together.
//!
//! `{ post { id } post { title } }` is one post with both. Objects that are text already cannot be
//! put together, so such a document is answered the library's way.

use std::collections::{HashMap, HashSet};

use async_graphql::Name;
use async_graphql::parser::types::{ExecutableDocument, Field, Selection, SelectionSet};

/// True if any selection of the document names an object that another one beside it names too,
/// itself or by fragments. Linear in the document for each level of it.
pub fn merges(document: &ExecutableDocument) -> bool {
    let operations = document.operations.iter().map(|(_, operation)| &operation.node.selection_set.node);
    let fragments = document.fragments.values().map(|fragment| &fragment.node.selection_set.node);
    operations.chain(fragments).any(|set| set_merges(document, set))
}

/// What stands in fragments of their own is looked at on its own.
fn set_merges(document: &ExecutableDocument, set: &SelectionSet) -> bool {
    let mut beside = Beside { document, fields: HashMap::new(), spread: HashSet::new() };
    beside.add(set) || below(document, set)
}

fn below(document: &ExecutableDocument, set: &SelectionSet) -> bool {
    set.items.iter().any(|selection| match &selection.node {
        Selection::Field(field) => set_merges(document, &field.node.selection_set.node),
        Selection::InlineFragment(inline) => below(document, &inline.node.selection_set.node),
        Selection::FragmentSpread(_) => false,
    })
}

/// The fields of one object, those of fragments with them.
struct Beside<'a> {
    document: &'a ExecutableDocument,
    fields: HashMap<&'a str, &'a Field>,
    spread: HashSet<&'a Name>,
}

impl<'a> Beside<'a> {
    fn add(&mut self, set: &'a SelectionSet) -> bool {
        set.items.iter().any(|selection| match &selection.node {
            Selection::Field(field) => {
                let twin = self.fields.insert(field.node.response_key().node.as_str(), &field.node);
                twin.is_some_and(|twin| !twin.selection_set.node.items.is_empty())
            }
            Selection::InlineFragment(inline) => self.add(&inline.node.selection_set.node),
            Selection::FragmentSpread(spread) => {
                let name = &spread.node.fragment_name.node;
                let fragment = self.document.fragments.get(name).filter(|_| self.spread.insert(name));
                fragment.is_some_and(|fragment| self.add(&fragment.node.selection_set.node))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    #[test]
    fn an_object_that_is_selected_twice_has_to_be_merged() {
        for (text, wanted) in [
            ("{ a { b } }", false),
            ("{ a b a }", false),
            ("{ a { b } c: a { b } }", false),
            ("{ a { b } a { c } }", true),
            ("{ a { b { c } b { d } } }", true),
            ("{ a { b } ... { a { c } } }", true),
            ("{ ...F a { c } } fragment F on Query { a { b } }", true),
            ("{ x { ...F ...F } } fragment F on X { a { b } }", false),
            ("{ x { ...F } y { ...F } } fragment F on X { a { b } }", false),
            ("{ x { ...F ...G } } fragment F on X { a { b } } fragment G on X { a { c } }", true),
            ("{ x { ...F } } fragment F on X { a { b } ...G } fragment G on X { y { a { b } a { b } } }", true),
            ("{ x { ... on A { a { b } } ... on B { a { c } } } }", true),
            // Refused elsewhere; here it only has to come to an end.
            ("{ x { ...F } } fragment F on X { ...G } fragment G on X { ...F a { b } }", true),
            ("query A { a { b } } query B { a { b } a { c } }", true),
        ] {
            let document = parse_query(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(merges(&document), wanted, "{text}");
        }
    }
}
