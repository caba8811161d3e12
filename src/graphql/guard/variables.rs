//! Whether the variables of a request are of the types that its operation declares.
//!
//! The library validates them together with the document. A document that has been validated once
//! needs only this again: where the answer is yes, full validation could find nothing. Where it is
//! no, or where this is too simple to tell, full validation is asked, and has the word.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, OperationDefinition, Type, TypeKind, TypeSystemDefinition};
use async_graphql::{Value, Variables};

/// The types that variables can have.
pub struct Inputs {
    enums: HashMap<String, HashSet<String>>,
    objects: HashMap<String, HashMap<String, InputField>>,
}

struct InputField {
    ty: Type,
    has_default: bool,
}

/// The variable that has to have a value and has none, with its type. The library overlooks it where
/// the argument that it is for may be null.
///
/// Source: the GraphQL specification, 6.1.2 "Coercing Variable Values".
pub fn missing(operation: &OperationDefinition, variables: &Variables) -> Option<(String, String)> {
    let missing = operation.variable_definitions.iter().map(|definition| &definition.node).find(|definition| {
        let is_required = !definition.var_type.node.nullable;
        match variables.get(&definition.name.node) {
            Some(value) => is_required && *value == Value::Null,
            None => is_required && definition.default_value.is_none(),
        }
    });
    missing.map(|definition| (definition.name.node.to_string(), definition.var_type.node.to_string()))
}

impl Inputs {
    /// The input types of a schema in the schema language, which the caller made from the schema itself.
    pub fn of(sdl: &str) -> Self {
        let document = parse_schema(sdl).expect("the schema's own description parses; a test reads it");
        let (mut enums, mut objects) = (HashMap::new(), HashMap::new());
        for definition in document.definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let is_one_of = definition.node.directives.iter().any(|directive| directive.node.name.node == "oneOf");
            let name = definition.node.name.node.to_string();
            match definition.node.kind {
                TypeKind::Enum(of) => {
                    enums.insert(name, of.values.iter().map(|value| value.node.value.node.to_string()).collect());
                }
                // What has rules of its own is left to the library.
                TypeKind::InputObject(of) if !is_one_of => {
                    let fields = of.fields.into_iter().map(|field| {
                        let has_default = field.node.default_value.is_some();
                        (field.node.name.node.to_string(), InputField { ty: field.node.ty.node, has_default })
                    });
                    objects.insert(name, fields.collect());
                }
                _ => {}
            }
        }
        Self { enums, objects }
    }

    /// True if each variable that the operation declares has a value of its type.
    pub fn fit(&self, operation: &OperationDefinition, variables: &Variables) -> bool {
        operation.variable_definitions.iter().all(|definition| {
            let definition = &definition.node;
            match variables.get(&definition.name.node) {
                Some(value) => self.is_of(&definition.var_type.node, value),
                None => definition.default_value.is_some() || definition.var_type.node.nullable,
            }
        })
    }

    fn is_of(&self, ty: &Type, value: &Value) -> bool {
        match (&ty.base, value) {
            (_, Value::Null) => ty.nullable,
            (BaseType::List(inner), Value::List(values)) => values.iter().all(|value| self.is_of(inner, value)),
            (BaseType::List(_), _) => false,
            (BaseType::Named(name), value) => self.is_named(name, value),
        }
    }

    fn is_named(&self, name: &str, value: &Value) -> bool {
        match (name, value) {
            ("Boolean", Value::Boolean(_)) | ("ID" | "String", Value::String(_)) => true,
            ("ID", Value::Number(number)) => number.is_i64() || number.is_u64(),
            ("Int", Value::Number(number)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            ("Float", Value::Number(_)) => true,
            (_, Value::String(value)) => self.enums.get(name).is_some_and(|values| values.contains(value)),
            (_, Value::Object(values)) => self.objects.get(name).is_some_and(|fields| {
                let known = values
                    .iter()
                    .all(|(name, value)| fields.get(name.as_str()).is_some_and(|field| self.is_of(&field.ty, value)));
                let is_there = |name: &str| values.contains_key(name);
                known && fields.iter().all(|(name, field)| field.ty.nullable || field.has_default || is_there(name))
            }),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::DocumentOperations;
    use serde_json::{Value as Json, json};

    use super::*;

    fn fits(declared: &str, variables: Json) -> bool {
        let inputs = Inputs::of(&crate::graphql::sdl());
        let document = parse_query(format!("query({declared}) {{ __typename }}")).expect("a document");
        let DocumentOperations::Single(operation) = document.operations else { panic!("one operation") };
        inputs.fit(&operation.node, &Variables::from_json(variables))
    }

    #[test]
    fn values_of_the_declared_types_fit() {
        for (declared, variables) in [
            ("$a: String!", json!({ "a": "x" })),
            ("$a: String", json!({})),
            ("$a: String", json!({ "a": null })),
            ("$a: String! = \"x\"", json!({})),
            ("$a: [ID!]!", json!({ "a": ["x", 7] })),
            ("$a: Int, $b: Float, $c: Boolean", json!({ "a": -7, "b": 7, "c": true, "d": "of nobody" })),
            ("$a: PostOrder!", json!({ "a": "NEWEST_FIRST" })),
            ("$a: PostFilterInput!", json!({ "a": { "tag": "rust", "kind": null } })),
            ("$a: AddCommentInput!", json!({ "a": { "postId": "x", "markdown": "y" } })),
        ] {
            assert!(fits(declared, variables.clone()), "{declared}: {variables}");
        }
    }

    #[test]
    fn what_is_not_plainly_right_is_left_to_full_validation() {
        for (declared, variables) in [
            ("$a: String!", json!({})),
            ("$a: String!", json!({ "a": null })),
            ("$a: String!", json!({ "a": 7 })),
            ("$a: [ID!]!", json!({ "a": ["x", null] })),
            ("$a: [ID!]!", json!({ "a": "x" })),
            ("$a: Int", json!({ "a": 3_000_000_000_u32 })),
            ("$a: Int", json!({ "a": 7.5 })),
            ("$a: PostOrder!", json!({ "a": "SIDEWAYS" })),
            ("$a: PostOrder!", json!({ "a": ["NEWEST_FIRST"] })),
            ("$a: PostFilterInput!", json!({ "a": { "colour": "red" } })),
            ("$a: AddCommentInput!", json!({ "a": { "postId": "x" } })),
            ("$a: Nothing", json!({ "a": "x" })),
            ("$a: DateTime", json!({ "a": {} })),
        ] {
            assert!(!fits(declared, variables.clone()), "{declared}: {variables}");
        }
    }
}
