//! How much an operation asks for, with each fragment looked at once.
//!
//! A kilobyte of fragments that spread one another twice comes to more selections than there are
//! atoms. Here the measure of a fragment is kept and added wherever it is spread.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Value, Variables};

use super::shape::{FieldShape, Rows, Shape, TypeId};
use crate::graphql::page;

/// Deeper than any limit on operations; it keeps this walk's own stack small.
const MAX_DEPTH: usize = 110;
/// What one look at the schema costs, whatever of it is asked for.
const INTROSPECTION: u64 = 500;

const TOO_DEEP: &str = "the operation's fragments spread themselves, or nest too deep: ask in several operations";

/// What an operation comes to. Sums are saturating: past any limit they are all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    pub cost: u64,
    /// Fields within fields.
    pub depth: u64,
    pub selections: u64,
    pub aliases: u64,
    pub directives: u64,
    /// Lists within lists of introspection.
    pub lists: u64,
    /// Mutations and introspection at the root.
    pub heavy_roots: u64,
    /// Introspection at the root.
    pub schema_looks: u64,
    /// Fields at the root of a subscription.
    pub streams: u64,
}

impl Measure {
    fn add(&mut self, other: Self) {
        self.cost = self.cost.saturating_add(other.cost);
        self.depth = self.depth.max(other.depth);
        self.selections = self.selections.saturating_add(other.selections);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.lists = self.lists.max(other.lists);
        self.heavy_roots = self.heavy_roots.saturating_add(other.heavy_roots);
        self.schema_looks = self.schema_looks.saturating_add(other.schema_looks);
        self.streams = self.streams.saturating_add(other.streams);
    }
}

/// Measures one operation of a document. What the schema does not know counts as a plain field:
/// validation will refuse it.
///
/// Errors: fragments that spread themselves, or nest deeper than any limit.
pub fn measure(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    variables: &Variables,
    shape: &Shape,
) -> Result<Measure, &'static str> {
    let root = match operation.ty {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    };
    let place = Place {
        ty: shape.type_named(root),
        rows: 1,
        introspection: false,
        mutations: operation.ty == OperationType::Mutation,
    };
    let mut walk = Walk { document, operation, variables, shape, known: HashMap::new() };
    let mut measure = walk.set(&operation.selection_set.node, place, 0)?;
    measure.directives += operation.directives.len() as u64;
    if operation.ty == OperationType::Subscription {
        measure.streams = walk.root_keys(&operation.selection_set.node, &mut HashSet::new()).len() as u64;
    }
    Ok(measure)
}

/// Where a selection set stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    ty: Option<TypeId>,
    /// Within a connection: how many rows it will have.
    rows: u64,
    introspection: bool,
    /// Among the mutations themselves.
    mutations: bool,
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    variables: &'a Variables,
    shape: &'a Shape,
    /// `None` while it is being measured: found then, it spreads itself.
    known: HashMap<(&'a Name, Place), Option<Measure>>,
}

impl<'a> Walk<'a> {
    fn set(&mut self, set: &'a SelectionSet, place: Place, depth: usize) -> Result<Measure, &'static str> {
        if depth > MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        let mut sum = Measure::default();
        for item in &set.items {
            sum.add(match &item.node {
                Selection::Field(field) => self.field(&field.node, place, depth)?,
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map(|on| &on.node.on.node);
                    let mut inner = self.set(&fragment.node.selection_set.node, self.narrowed(place, on), depth + 1)?;
                    inner.directives += fragment.node.directives.len() as u64;
                    inner
                }
                Selection::FragmentSpread(spread) => {
                    let mut inner = self.spread(&spread.node.fragment_name.node, place, depth)?;
                    inner.directives = inner.directives.saturating_add(spread.node.directives.len() as u64);
                    inner
                }
            });
        }
        Ok(sum)
    }

    fn spread(&mut self, name: &Name, place: Place, depth: usize) -> Result<Measure, &'static str> {
        let Some((name, fragment)) = self.document.fragments.get_key_value(name) else { return Ok(Measure::default()) };
        let place = self.narrowed(place, Some(&fragment.node.type_condition.node.on.node));
        if let Some(known) = self.known.get(&(name, place)) {
            return known.ok_or(TOO_DEEP);
        }
        self.known.insert((name, place), None);
        let measure = self.set(&fragment.node.selection_set.node, place, depth + 1)?;
        self.known.insert((name, place), Some(measure));
        Ok(measure)
    }

    fn field(&mut self, field: &'a Field, place: Place, depth: usize) -> Result<Measure, &'static str> {
        let name = field.name.node.as_str();
        let mut sum = Measure {
            selections: 1,
            aliases: u64::from(field.alias.is_some()),
            directives: field.directives.len() as u64,
            ..Measure::default()
        };
        let looks_at_schema = matches!(name, "__schema" | "__type");
        let shape = place.ty.and_then(|ty| self.shape.field(ty, name)).copied();
        let inner = Place {
            ty: shape.and_then(|shape| shape.below),
            rows: self.rows_of(field, shape),
            introspection: place.introspection || looks_at_schema,
            mutations: false,
        };
        let below = self.set(&field.selection_set.node, inner, depth + 1)?;
        let times = match shape.map_or(Rows::One, |shape| shape.rows) {
            Rows::One | Rows::Connection => 1,
            Rows::About(rows) => rows,
            Rows::UpTo(rows) => self.up_to(field, rows),
            Rows::OfConnection => place.rows,
            Rows::Listed(argument) => self.length(field, argument),
        };
        let own = match shape {
            _ if place.introspection => 0,
            _ if looks_at_schema => INTROSPECTION,
            Some(shape) => shape.weight + self.dearer(field, shape),
            None => 1,
        };
        sum.add(below);
        sum.cost = below.cost.saturating_mul(times).saturating_add(own);
        sum.depth = below.depth + 1;
        sum.lists += u64::from(place.introspection && is_introspection_list(name));
        sum.heavy_roots = u64::from(place.mutations || looks_at_schema);
        sum.schema_looks = u64::from(looks_at_schema);
        Ok(sum)
    }

    fn narrowed(&self, place: Place, on: Option<&Name>) -> Place {
        let ty = on.and_then(|on| self.shape.type_named(on)).or(place.ty);
        Place { ty, ..place }
    }

    /// The rows that this field asks for, if it is a connection.
    fn rows_of(&self, field: &Field, shape: Option<FieldShape>) -> u64 {
        match shape.map(|shape| shape.rows) {
            Some(Rows::Connection) => {
                let asked = ["first", "last"].into_iter().find_map(|name| self.number(field, name));
                asked.unwrap_or(i64::from(page::DEFAULT)).clamp(1, i64::from(page::MAX)).unsigned_abs()
            }
            _ => 1,
        }
    }

    fn dearer(&self, field: &Field, shape: FieldShape) -> u64 {
        let Some((argument, more)) = shape.dearer else { return 0 };
        if self.argument(field, argument) == Some(Value::Boolean(true)) { more } else { 0 }
    }

    /// Entries of a list that takes `first` alone.
    fn up_to(&self, field: &Field, default: u64) -> u64 {
        let asked = self.number(field, "first").map(|first| first.clamp(1, i64::from(page::MAX)).unsigned_abs());
        asked.unwrap_or(default)
    }

    fn number(&self, field: &Field, argument: &str) -> Option<i64> {
        match self.argument(field, argument)? {
            Value::Number(number) => Some(number.as_i64().unwrap_or(i64::MAX)),
            _ => None,
        }
    }

    /// Entries of a list argument, as many as a page may hold at most: more is refused later.
    fn length(&self, field: &Field, argument: &str) -> u64 {
        let length = match self.argument(field, argument) {
            Some(Value::List(list)) => list.len() as u64,
            _ => 1,
        };
        length.clamp(1, u64::from(page::MAX.unsigned_abs()))
    }

    /// What an argument comes to with the variables put in.
    fn argument(&self, field: &Field, name: &str) -> Option<Value> {
        let value = field.get_argument(name)?.node.clone();
        value.into_const_with(|variable| self.variable(&variable).cloned().ok_or(())).ok()
    }

    /// The value that was sent, else the operation's default.
    fn variable(&self, name: &Name) -> Option<&Value> {
        self.variables.get(name).or_else(|| {
            let defined = self.operation.variable_definitions.iter().find(|def| def.node.name.node == *name)?;
            defined.node.default_value.as_ref().map(|default| &default.node)
        })
    }

    /// The names that the root's fields are answered under; equal ones are one field.
    fn root_keys(&self, set: &'a SelectionSet, seen: &mut HashSet<&'a Name>) -> HashSet<&'a Name> {
        let mut keys = HashSet::new();
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    let Positioned { node: key, .. } = field.node.alias.as_ref().unwrap_or(&field.node.name);
                    keys.insert(key);
                }
                Selection::InlineFragment(fragment) => {
                    keys.extend(self.root_keys(&fragment.node.selection_set.node, seen));
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = self.document.fragments.get(name)
                        && seen.insert(name)
                    {
                        keys.extend(self.root_keys(&fragment.node.selection_set.node, seen));
                    }
                }
            }
        }
        keys
    }
}

/// Source: graphql-js, `MaxIntrospectionDepthRule`.
fn is_introspection_list(name: &str) -> bool {
    matches!(name, "fields" | "interfaces" | "possibleTypes" | "inputFields")
}
