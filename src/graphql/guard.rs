//! What an operation may ask for, decided before any of it runs.
//!
//! `syntax.rs` looks at the text before it is parsed, `shape.rs` knows the schema's fields and what
//! each costs, `measure.rs` adds up an operation with each fragment looked at once. The GraphQL
//! library has limits of its own, which spread every fragment anew, take an omitted variable for an
//! error and do not tell the numbers; they are left off. Imported by `http`.
//!
//! To add a limit: a field of [`QueryLimits`], what it counts in `Measure`, a line in
//! [`Guard::refusal`].

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType as Parsed, Selection,
};
use async_graphql::{Name, Request, ServerError, Value, Variables};
use moka::sync::Cache;

use crate::error::Code;
use crate::telemetry::metrics::OperationType;

mod measure;
mod merging;
mod shape;
mod syntax;
mod variables;

use measure::Measure;
use shape::Shape;
use variables::Inputs;

/// Memory for parsed documents, counted as a multiple of their text.
const DOCUMENTS_BYTES: u64 = 16 << 20;
/// Bytes of a parsed document for each byte of its text, about.
const PARSED_RATIO: u32 = 12;
/// Longest part of a parser's message that is told: it quotes the line it stumbled over.
const MAX_MESSAGE_BYTES: usize = 400;

/// Bounds of a single operation.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    pub max_depth: u64,
    pub max_cost: u64,
    /// Each alias is another chance to do the same thing again.
    pub max_aliases: u64,
    pub max_directives: u64,
    /// Lexical tokens of the whole document.
    pub max_tokens: usize,
}

/// Selections that an operation may come to once its fragments are spread.
const MAX_SELECTIONS: u64 = 20_000;
/// Mutations and `__type` and `__schema` at the root of one operation.
const MAX_HEAVY_ROOTS: u64 = 10;
/// Lists within lists of introspection: as many as tools ask for. Each multiplies the answer.
const MAX_INTROSPECTION_LISTS: u64 = 3;

/// Knows the schema, keeps parsed documents, and says what may run.
pub struct Guard {
    limits: QueryLimits,
    shape: Shape,
    inputs: Inputs,
    documents: Cache<Arc<str>, Arc<Document>>,
}

/// A parsed document, and which of its operations were found valid.
#[derive(Debug)]
struct Document {
    parsed: ExecutableDocument,
    valid: Mutex<Vec<Option<String>>>,
    merges: OnceLock<bool>,
}

/// An operation that may run.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub kind: OperationType,
    /// As the document calls it.
    pub name: Option<String>,
    /// Without a unit: about one for each field that is answered.
    pub cost: u64,
    /// It asks for `__schema` or `__type`.
    pub looks_at_schema: bool,
    /// It was validated before, and its variables are of the types that it declares.
    pub valid: bool,
    /// Objects are selected in several places that belong together.
    pub merges: bool,
    /// A subscription that goes on from now and tells everybody with the same rights the same.
    pub shareable: bool,
    /// It does nothing but have a model write all of an answer, which takes as long as it takes.
    pub waits_for_model: bool,
    document: Arc<Document>,
}

impl Admitted {
    /// Notes that the operation was found valid.
    pub fn found_valid(&self) {
        let mut valid = self.document.valid.lock().unwrap_or_else(PoisonError::into_inner);
        if !valid.contains(&self.name) {
            valid.push(self.name.clone());
        }
    }
}

impl Guard {
    /// `sdl` is the schema that the operations will run on.
    pub fn new(limits: QueryLimits, sdl: &str) -> Self {
        let documents = Cache::builder()
            .max_capacity(DOCUMENTS_BYTES)
            .weigher(|text: &Arc<str>, _| u32::try_from(text.len()).unwrap_or(u32::MAX).saturating_mul(PARSED_RATIO))
            .build();
        Self { limits, shape: Shape::of(sdl), inputs: Inputs::of(sdl), documents }
    }

    /// The bounds in force.
    pub fn limits(&self) -> &QueryLimits {
        &self.limits
    }

    /// Parses the request, or finds it parsed, and measures the operation that will run.
    ///
    /// Errors: what cannot be parsed, names no operation, or asks for more than a limit; the
    /// message tells the number and the limit.
    pub fn admit(&self, request: &mut Request) -> Result<Admitted, ServerError> {
        let document = self.document(&request.query)?;
        let parsed = &document.parsed;
        let (name, operation) = chosen(parsed, request.operation_name.as_deref())?;
        let measure = measure::measure(parsed, operation, &request.variables, &self.shape)
            .map_err(|too_much| refused(too_much.into()))?;
        if let Some(message) = self.refusal(&measure) {
            return Err(refused(message));
        }
        if let Some((variable, ty)) = variables::missing(operation, &request.variables) {
            return Err(refused(format!("the variable ${variable} of type {ty} has no value: give it one")));
        }
        let kind = match operation.ty {
            Parsed::Query => OperationType::Query,
            Parsed::Mutation => OperationType::Mutation,
            Parsed::Subscription => OperationType::Subscription,
        };
        let name = name.map(ToString::to_string);
        let validated = document.valid.lock().unwrap_or_else(PoisonError::into_inner).contains(&name);
        let valid = validated && self.inputs.fit(operation, &request.variables);
        // Validation looks at the whole document; running needs this operation only.
        request.set_parsed_query(if valid { alone(parsed, name.as_deref()) } else { parsed.clone() });
        let merges = *document.merges.get_or_init(|| merging::merges(&document.parsed));
        let looks_at_schema = measure.schema_looks > 0;
        let shareable = kind == OperationType::Subscription && shareable(operation, &request.variables);
        let waits_for_model = kind == OperationType::Mutation && waits_for_model(operation);
        let cost = measure.cost;
        Ok(Admitted { kind, name, cost, looks_at_schema, valid, merges, shareable, waits_for_model, document })
    }

    fn document(&self, text: &str) -> Result<Arc<Document>, ServerError> {
        if let Some(document) = self.documents.get(text) {
            return Ok(document);
        }
        syntax::check(text, self.limits.max_tokens).map_err(refused)?;
        let parsed = async_graphql::parser::parse_query(text).map_err(|error| {
            let mut error = ServerError::from(error);
            error.message.truncate(error.message.floor_char_boundary(MAX_MESSAGE_BYTES));
            coded(error)
        })?;
        let document = Arc::new(Document { parsed, valid: Mutex::default(), merges: OnceLock::new() });
        self.documents.insert(text.into(), document.clone());
        Ok(document)
    }

    fn refusal(&self, measure: &Measure) -> Option<String> {
        let limits = &self.limits;
        let apart = "ask in several operations";
        // What was found, what is allowed, what it is, what to do about it.
        let bounds = [
            (measure.selections, MAX_SELECTIONS, "comes to a number of fields of", "ask for less at once"),
            (measure.depth, limits.max_depth, "nests to a depth of", apart),
            (measure.aliases, limits.max_aliases, "has a number of aliases of", apart),
            (measure.directives, limits.max_directives, "has a number of directives of", "leave some out"),
            (measure.lists, MAX_INTROSPECTION_LISTS, "nests lists of the schema to a depth of", "ask for less of it"),
            (measure.heavy_roots, MAX_HEAVY_ROOTS, "has a number of mutations or looks at the schema of", apart),
            (
                measure.cost,
                limits.max_cost,
                "has a cost of",
                "ask for fewer rows (`first`) or fields, or in several operations",
            ),
            (
                measure.streams,
                1,
                "has a number of fields at the root of the subscription of",
                "subscribe to each on its own",
            ),
        ];
        let (found, limit, what, advice) = bounds.into_iter().find(|(found, limit, ..)| found > limit)?;
        Some(format!("the operation {what} {found}, and at most {limit} is allowed: {advice}"))
    }
}

/// The operation that the request names, or the only one.
fn chosen<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<(Option<&'a Name>, &'a OperationDefinition), ServerError> {
    let found = match (&document.operations, name) {
        (DocumentOperations::Single(only), None) => Some((None, only)),
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(all), Some(name)) => {
            all.get_key_value(name).map(|(name, found)| (Some(name), found))
        }
        (DocumentOperations::Multiple(all), None) if all.len() == 1 => {
            all.iter().next().map(|(name, only)| (Some(name), only))
        }
        (DocumentOperations::Multiple(_), None) => {
            return Err(refused("the document holds several operations: say which one in `operationName`".into()));
        }
    };
    let shown: String = name.unwrap_or_default().chars().take(64).collect();
    found.map(|(name, operation)| (name, &operation.node)).ok_or_else(|| {
        refused(format!("the document holds no operation of the name {shown:?}: correct `operationName`"))
    })
}

/// Subscriptions that do nothing but tell of events. (`viewerCount` counts who hears it.)
const TELLING: [&str; 3] = ["commentAdded", "postPublished", "reactionCountsChanged"];

/// True if nobody's own place in the log is asked for.
fn shareable(operation: &OperationDefinition, variables: &Variables) -> bool {
    let variable = |name: Name| {
        let definition = operation.variable_definitions.iter().find(|it| it.node.name.node == name);
        let default = definition.and_then(|definition| definition.node.default_value.as_ref());
        Ok::<_, ()>(variables.get(&name).or(default.map(|default| &default.node)).cloned().unwrap_or_default())
    };
    operation.selection_set.node.items.iter().all(|selection| {
        let Selection::Field(field) = &selection.node else { return false };
        let after = field.node.get_argument("after").map(|after| after.node.clone().into_const_with(variable));
        TELLING.contains(&field.node.name.node.as_str()) && matches!(after, None | Some(Ok(Value::Null)))
    })
}

/// Fields that give all of what a model writes.
const WRITTEN_WHOLE: [&str; 1] = ["askSite"];

fn waits_for_model(operation: &OperationDefinition) -> bool {
    match operation.selection_set.node.items.as_slice() {
        [only] => {
            matches!(&only.node, Selection::Field(field) if WRITTEN_WHOLE.contains(&field.node.name.node.as_str()))
        }
        _ => false,
    }
}

/// The document without its other operations.
fn alone(document: &ExecutableDocument, name: Option<&str>) -> ExecutableDocument {
    let operations = match (&document.operations, name) {
        (DocumentOperations::Multiple(all), Some(name)) => {
            let kept = all.get_key_value(name).map(|(name, operation)| (name.clone(), operation.clone()));
            DocumentOperations::Multiple(kept.into_iter().collect())
        }
        (all, _) => all.clone(),
    };
    ExecutableDocument { operations, fragments: document.fragments.clone() }
}

fn refused(message: String) -> ServerError {
    coded(ServerError::new(message, None))
}

fn coded(mut error: ServerError) -> ServerError {
    error.extensions.get_or_insert_default().set("code", Value::from(Code::BadUserInput.as_str()));
    error
}

#[cfg(test)]
mod tests;
