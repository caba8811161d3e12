//! How much an operation asks for once its fragments are spread.
//!
//! The GraphQL library walks a fragment anew wherever it is spread, so a kilobyte of fragments that
//! spread one another twice would keep it busy for minutes before it found the operation too
//! complex. Counted here first, with each fragment looked at once.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Name, Request};

/// Most selections that an operation may come to.
const MAX_SELECTIONS: usize = 20_000;
/// Deeper than any limit on queries; it keeps this function's own stack small.
const MAX_DEPTH: usize = 200;

/// False if the operations come to more selections than allowed, or fragments spread themselves.
/// A document that cannot be read is left to others.
pub fn fits(request: &mut Request) -> bool {
    let Ok(document) = request.parsed_query() else { return true };
    let mut known = HashMap::new();
    let mut sizes =
        document.operations.iter().map(|(_, op)| size(&op.node.selection_set.node, document, &mut known, 0));
    sizes.try_fold(0usize, |sum, one| Some(sum.saturating_add(one?))).is_some_and(|sum| sum <= MAX_SELECTIONS)
}

/// `None` for fragments that spread themselves, or nest too deep. A fragment that is being counted is known as `None`.
fn size<'a>(
    set: &'a SelectionSet,
    document: &'a ExecutableDocument,
    known: &mut HashMap<&'a Name, Option<usize>>,
    depth: usize,
) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut sum = 0usize;
    for item in &set.items {
        let one = match &item.node {
            Selection::Field(field) => {
                size(&field.node.selection_set.node, document, known, depth + 1)?.saturating_add(1)
            }
            Selection::InlineFragment(fragment) => size(&fragment.node.selection_set.node, document, known, depth + 1)?,
            Selection::FragmentSpread(spread) => {
                let Some((name, fragment)) = document.fragments.get_key_value(&spread.node.fragment_name.node) else {
                    continue;
                };
                match known.get(name) {
                    Some(counted) => (*counted)?,
                    None => {
                        known.insert(name, None);
                        let counted = size(&fragment.node.selection_set.node, document, known, depth + 1)?;
                        known.insert(name, Some(counted));
                        counted
                    }
                }
            }
        };
        sum = sum.saturating_add(one);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn fragments_that_double_are_refused_without_being_spread() {
        let mut query = String::from("{ posts { nodes { ...F60 } } } fragment F0 on Post { id }");
        for n in 1..=60 {
            write!(query, " fragment F{n} on Post {{ ...F{0} ...F{0} }}", n - 1).expect("a string takes it");
        }
        assert!(!fits(&mut Request::new(query)));
    }

    #[test]
    fn fragments_that_spread_themselves_are_refused_and_ordinary_ones_are_not() {
        assert!(!fits(&mut Request::new("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }")));
        assert!(fits(&mut Request::new("{ a { ...F } b { ...F ... on X { c } } } fragment F on X { id name }")));
    }
}
