//! The types of the schema, as far as measuring needs them, and what each field costs.
//!
//! Costs are relative to a field that a loaded row already holds, which costs 1. What is dearer
//! because it asks the database, carries a long text or hashes a password is listed here.

use std::collections::HashMap;

use async_graphql::Value;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, FieldDefinition, Type, TypeKind, TypeSystemDefinition};

use crate::graphql::page;

/// A place in [`Shape`]'s list of types.
pub type TypeId = usize;

/// What measuring knows of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldShape {
    /// The type below it; `None` for a scalar or an enum.
    pub below: Option<TypeId>,
    /// What it costs itself, once for each object that it is asked of.
    pub weight: u64,
    /// An argument that makes it so much dearer where it is true.
    pub dearer: Option<(&'static str, u64)>,
    pub rows: Rows,
}

/// How often what is below a field is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    One,
    /// A list without arguments: about so many.
    About(u64),
    /// A list of as many as `first` says, and so many if it says nothing.
    UpTo(u64),
    /// A connection: its `edges` and `nodes` come as often as `first` or `last` says.
    Connection,
    /// `edges` or `nodes` of a connection.
    OfConnection,
    /// As many as the list in this argument holds.
    Listed(&'static str),
}

/// All objects, interfaces and unions of a schema.
pub struct Shape {
    /// The fields of each.
    types: Vec<HashMap<String, FieldShape>>,
    names: HashMap<String, TypeId>,
}

/// Entries of a list whose length nothing in the operation tells: tags, translations, headings.
const LIST_ROWS: u64 = 5;
/// A look-up or a list that asks the database, perhaps with a connection of its own.
const READ: u64 = 10;
/// A count of rows.
const COUNT: u64 = 50;
/// A text as long as a post. (A comment costs no more than another field: readers write less.)
const LONG_TEXT: u64 = 50;
/// A transaction.
const WRITE: u64 = 100;
/// A row that anybody may have made, and that stays for a month.
const STRANGER: u64 = 1_000;
/// Some statements over the words and vectors of the site, and a small model's work.
const SEARCH: u64 = 50;
/// A model's work: tens of milliseconds of all processors, or seconds.
const MODEL: u64 = 500;
/// A password's hash: tens of milliseconds of a processor.
const PASSWORD: u64 = 2_000;

impl Shape {
    /// The shape of a schema in the schema language, which the caller made from the schema itself.
    pub fn of(sdl: &str) -> Self {
        let document = parse_schema(sdl).expect("the schema's own description parses; a test reads it");
        let mut composite = Vec::new();
        for definition in document.definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let name = definition.node.name.node.to_string();
            match definition.node.kind {
                TypeKind::Object(object) => composite.push((name, object.fields)),
                TypeKind::Interface(interface) => composite.push((name, interface.fields)),
                TypeKind::Union(_) => composite.push((name, Vec::new())),
                _ => {}
            }
        }
        let names: HashMap<String, TypeId> =
            composite.iter().enumerate().map(|(id, (name, _))| (name.clone(), id)).collect();
        let types = composite
            .iter()
            .map(|(parent, fields)| {
                fields.iter().map(|f| (f.node.name.node.to_string(), field(parent, &f.node, &names))).collect()
            })
            .collect();
        Self { types, names }
    }

    pub fn type_named(&self, name: &str) -> Option<TypeId> {
        self.names.get(name).copied()
    }

    pub fn field(&self, of: TypeId, name: &str) -> Option<&FieldShape> {
        self.types.get(of)?.get(name)
    }
}

fn field(parent: &str, definition: &FieldDefinition, names: &HashMap<String, TypeId>) -> FieldShape {
    let name = definition.name.node.as_str();
    let (base, is_list) = innermost(&definition.ty.node);
    let below = names.get(base).copied();
    let rows = match (parent, name) {
        _ if base.ends_with("Connection") => Rows::Connection,
        ("Query", "graph") => Rows::Connection,
        ("EntityGraph", "nodes" | "edges") => Rows::OfConnection,
        (connection, "edges" | "nodes") if connection.ends_with("Connection") => Rows::OfConnection,
        ("Query", "nodes") => Rows::Listed("ids"),
        _ if is_list => first(definition).map_or(Rows::About(LIST_ROWS), Rows::UpTo),
        _ => Rows::One,
    };
    let dearer = matches!((parent, name), ("Query", "search")).then_some(("rerank", MODEL));
    FieldShape { below, weight: weight(parent, name, rows), dearer, rows }
}

/// What `first` is where nothing else is said, of a list that has such an argument.
fn first(definition: &FieldDefinition) -> Option<u64> {
    let argument = definition.arguments.iter().find(|argument| argument.node.name.node == "first")?;
    match argument.node.default_value.as_ref().map(|value| &value.node) {
        Some(Value::Number(number)) => number.as_u64(),
        _ => Some(page::DEFAULT.unsigned_abs().into()),
    }
}

fn weight(parent: &str, name: &str, rows: Rows) -> u64 {
    match (parent, name) {
        ("Mutation", "signIn" | "signUp" | "changePassword") => PASSWORD,
        ("Mutation", "askSite") | ("Query", "embed" | "rerank") | ("Subscription", "generate" | "chat") => MODEL,
        ("Subscription", "summarize" | "suggestTags" | "suggestTitle" | "translate" | "proofread" | "altText") => MODEL,
        ("Mutation", "startReading") => STRANGER,
        ("Mutation", _) => WRITE,
        ("Query", "search" | "suggest" | "recommendations" | "popular" | "graph") | ("Post" | "Entity", "related") => {
            SEARCH
        }
        (_, "totalCount") => COUNT,
        ("Conversation", "markdown") => LONG_TEXT,
        ("Post" | "Revision", "html" | "markdown" | "outline") => LONG_TEXT,
        ("Query", _) | ("Post", "entities") => READ,
        _ if rows == Rows::Connection => READ,
        _ => 1,
    }
}

/// The named type in the middle of `[X!]!`, and whether it is in a list.
fn innermost(ty: &Type) -> (&str, bool) {
    match &ty.base {
        BaseType::Named(name) => (name.as_str(), false),
        BaseType::List(inner) => (innermost(inner).0, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_gives_its_connections_lists_and_leaves() {
        let shape = Shape::of(&crate::graphql::sdl());
        let of = |ty: &str, name: &str| {
            let id = shape.type_named(ty).unwrap_or_else(|| panic!("the type {ty}"));
            *shape.field(id, name).unwrap_or_else(|| panic!("the field {ty}.{name}"))
        };
        assert_eq!(of("Query", "posts").rows, Rows::Connection);
        assert_eq!(of("PostConnection", "nodes").rows, Rows::OfConnection);
        assert_eq!(of("PostConnection", "edges").below, shape.type_named("PostEdge"));
        assert_eq!(of("Query", "nodes").rows, Rows::Listed("ids"));
        assert_eq!(of("Post", "tags").rows, Rows::About(LIST_ROWS));
        assert_eq!(of("Post", "title"), FieldShape { below: None, weight: 1, dearer: None, rows: Rows::One });
        assert_eq!(of("Post", "html").weight, LONG_TEXT);
        assert_eq!(of("Mutation", "signIn").weight, PASSWORD);
    }
}
