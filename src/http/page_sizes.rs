//! Page sizes that a client left out.
//!
//! A variable that may be null can be omitted, and front ends do so with `first` and `last`. The
//! GraphQL library knows that when it runs an operation, but not when it computes its complexity:
//! there an omitted variable is an error. So it is told that they are null, which for a page size
//! means the same.

use std::collections::HashSet;

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Name, Request, Value};

/// Gives null to each variable that is a page size, may be null, has no default and was left out.
pub fn fill(request: &mut Request) {
    let Ok(document) = request.parsed_query() else { return };
    for name in page_sizes(document) {
        request.variables.entry(name).or_insert(Value::Null);
    }
}

fn page_sizes(document: &ExecutableDocument) -> Vec<Name> {
    let mut names = Vec::new();
    for (_, operation) in document.operations.iter() {
        collect(&operation.node.selection_set.node, &mut names);
    }
    for fragment in document.fragments.values() {
        collect(&fragment.node.selection_set.node, &mut names);
    }
    let definitions = document.operations.iter().flat_map(|(_, operation)| &operation.node.variable_definitions);
    let defined: HashSet<&Name> = definitions
        .filter(|definition| definition.node.var_type.node.nullable && definition.node.default_value.is_none())
        .map(|definition| &definition.node.name.node)
        .collect();
    names.retain(|name| defined.contains(name));
    names
}

/// The variables that stand behind `first` and `last` in these fields and those below.
fn collect(fields: &SelectionSet, names: &mut Vec<Name>) {
    for item in &fields.items {
        match &item.node {
            Selection::Field(field) => {
                for (argument, value) in &field.node.arguments {
                    if !matches!(argument.node.as_str(), "first" | "last") {
                        continue;
                    }
                    if let Err(variable) = value.node.clone().into_const_with(Err) {
                        names.push(variable);
                    }
                }
                collect(&field.node.selection_set.node, names);
            }
            Selection::InlineFragment(fragment) => collect(&fragment.node.selection_set.node, names),
            Selection::FragmentSpread(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::Variables;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_page_sizes_that_may_be_null_and_were_left_out_become_null() {
        let query = "query($a: Int, $b: Int, $c: Int = 3, $d: Int!, $e: Int, $f: String, $g: Int) {
            posts(first: $a, after: $f) { nodes { tags(first: $b) { id } ... on Post { x(last: $c) } ...F } }
            y(first: $d) { other(size: $e) } }
            fragment F on Post { comments(last: $g) { id } }";
        let mut request = Request::new(query).variables(Variables::from_json(json!({ "b": 2 })));
        fill(&mut request);
        let filled = serde_json::to_value(&request.variables).expect("JSON");
        assert_eq!(filled, json!({ "a": null, "b": 2, "g": null }));
    }

    #[test]
    fn a_document_that_cannot_be_read_is_left_to_others() {
        let mut request = Request::new("{");
        fill(&mut request);
        assert!(request.variables.is_empty());
    }
}
