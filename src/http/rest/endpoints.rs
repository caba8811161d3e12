//! Which addresses there are, the operation behind each, and the variables out of an address.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    BaseType, DocumentOperations, ExecutableDocument, OperationDefinition, Type, VariableDefinition,
};
use async_graphql::{Name, Value, Variables};
use chrono::{DateTime, NaiveDate};

use super::openapi::Names;
use crate::error::ApiError;
use crate::services::{relating, searching};

/// The operations behind all addresses.
pub const DOCUMENT: &str = include_str!("v1.graphql");

/// The same, read.
pub static PARSED: LazyLock<ExecutableDocument> =
    LazyLock::new(|| parse_query(DOCUMENT).expect("the operations are part of the program; a test runs each"));

/// An address and what it answers with.
pub struct Endpoint {
    /// Below `/api/v1`; what stands in braces is a variable of the operation.
    pub path: &'static str,
    /// The operation's name in [`DOCUMENT`].
    pub operation: &'static str,
    /// The field of the answer's `data` that is told.
    pub at: &'static [&'static str],
    pub summary: &'static str,
}

const fn endpoint(
    path: &'static str,
    operation: &'static str,
    at: &'static [&'static str],
    summary: &'static str,
) -> Endpoint {
    Endpoint { path, operation, at, summary }
}

/// To add one: its operation in `v1.graphql`, a line here, and a sentence for each new parameter in
/// [`about`].
pub const ENDPOINTS: [Endpoint; 14] = [
    endpoint("/site", "getSite", &["site"], "How the site describes itself"),
    endpoint("/posts", "listPosts", &["posts"], "Posts that match, newest first"),
    endpoint("/posts/{slug}", "getPost", &["post"], "A post with its text"),
    endpoint("/posts/{slug}/comments", "listComments", &["post", "comments"], "The threads below a post"),
    endpoint("/posts/{slug}/related", "listRelated", &["post", "related"], "What has to do with a post"),
    endpoint("/comments/{id}/replies", "listReplies", &["node", "replies"], "The answers to a comment"),
    endpoint("/tags", "listTags", &["tags"], "All tags, by slug"),
    endpoint("/tags/{slug}", "getTag", &["tag"], "A tag"),
    endpoint("/series", "listSeries", &["allSeries"], "All series, by slug"),
    endpoint("/series/{slug}", "getSeries", &["series"], "A series"),
    endpoint("/search", "search", &["search"], "Published posts that answer a query, best first"),
    endpoint("/suggest", "suggest", &["suggest"], "How what somebody begins to type may go on"),
    endpoint("/users", "listUsers", &["users"], "Who writes here, by handle"),
    endpoint("/users/{handle}", "getUser", &["user"], "A person"),
];

/// What a parameter means, as the description of the API tells it.
pub fn about(parameter: &str) -> &'static str {
    match parameter {
        "after" => "Go on behind this place: `pageInfo.endCursor` of the page before.",
        "author" => "The handle of the author.",
        "first" => "How many.",
        "handle" => "The person's short name.",
        "html" => "Give each post's text as HTML.",
        "id" => "The global id, as the API gives it.",
        "kind" => "Any of these kinds.",
        "language" => "A BCP 47 tag.",
        "markdown" => "Give each post's text as it was written.",
        "mode" => "By words, by meaning, or both.",
        "orderBy" => "What comes first.",
        "publishedFrom" => "Went live then or later.",
        "publishedTo" => "Went live before then.",
        "q" => "What to look for, or the beginning of it. `\"words in a row\"` have to be there and `-this` must not.",
        "rerank" => "Let a model that reads query and text together order the first hits. It takes longer.",
        "role" => "Only those who may do this.",
        "series" => "The slug of a series.",
        "slug" => "The unique name in addresses.",
        "status" => "Any of these states. Only the owner and editors find others than `PUBLISHED`.",
        "tag" => "The slug of a tag.",
        _ => "",
    }
}

impl Endpoint {
    /// Most rows that it gives at once.
    pub fn most(&self) -> usize {
        match self.operation {
            "suggest" => searching::MAX_SUGGESTIONS,
            "listRelated" => relating::MAX_RELATED,
            _ => 100,
        }
    }

    /// The operation behind it.
    pub fn definition(&self) -> &'static OperationDefinition {
        let DocumentOperations::Multiple(operations) = &PARSED.operations else {
            unreachable!("the operations have names")
        };
        &operations.get(self.operation).expect("a test runs the operation of each address").node
    }

    /// The variables that are told behind the `?`.
    pub fn parameters(&self) -> impl Iterator<Item = &'static VariableDefinition> {
        let path = self.path;
        let all = self.definition().variable_definitions.iter().map(|definition| &definition.node);
        all.filter(move |definition| !path.contains(&format!("{{{}}}", definition.name.node)))
    }

    /// The variables of a request: out of its path, and out of what stands behind the `?`.
    ///
    /// Errors: `BAD_USER_INPUT` for a parameter that means nothing here, stands there twice, or is
    /// not of its type. A mistake that were overlooked would look like an answer.
    pub fn variables(
        &self,
        path: HashMap<String, String>,
        query: Vec<(String, String)>,
        names: &Names,
    ) -> Result<Variables, ApiError> {
        let mut found: HashMap<_, _> =
            path.into_iter().map(|(name, text)| (Name::new(name), Value::String(text))).collect();
        for (name, text) in query {
            let definition = self.parameters().find(|definition| definition.name.node == name.as_str());
            let definition = definition.ok_or_else(|| self.unknown(&name))?;
            let value = value(&definition.var_type.node, &text, names).map_err(|expected| {
                ApiError::bad_input(format!("`{name}` is {:?}: expected {expected}", cut(&text)))
            })?;
            if found.insert(Name::new(&name), value).is_some() {
                return Err(ApiError::bad_input(format!(
                    "`{name}` is given twice: give it once, several values with commas between them"
                )));
            }
        }
        let is_missing = |definition: &&VariableDefinition| {
            let is_needed = !definition.var_type.node.nullable && definition.default_value.is_none();
            is_needed && !found.contains_key(&definition.name.node)
        };
        if let Some(missing) = self.parameters().find(is_missing) {
            let name = &missing.name.node;
            return Err(ApiError::bad_input(format!("the parameter `{name}` is missing: add `?{name}=…`")));
        }
        Ok(Variables::from_value(Value::Object(found.into_iter().collect())))
    }

    fn unknown(&self, name: &str) -> ApiError {
        let known: Vec<_> = self.parameters().map(|definition| format!("`{}`", definition.name.node)).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        ApiError::bad_input(format!("{:?} is no parameter of this address, which takes {known}", cut(name)))
    }
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A time as GraphQL takes it; of a date, when it begins in UTC.
fn time(text: &str) -> Option<String> {
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| format!("{day}T00:00:00Z"));
    // In an address a plus is a space.
    let text = text.replace(' ', "+");
    if DateTime::parse_from_rfc3339(&text).is_ok() { Some(text) } else { day() }
}

/// A value of a variable's type. The names of enums may be written small.
///
/// Errors: what was expected.
fn value(ty: &Type, text: &str, names: &Names) -> Result<Value, String> {
    match &ty.base {
        BaseType::List(inner) => {
            let values = text.split(',').map(|part| value(inner, part.trim(), names));
            values.collect::<Result<_, _>>().map(Value::List)
        }
        BaseType::Named(name) => match name.as_str() {
            "Int" => text.parse::<i32>().map(Value::from).map_err(|_| "a whole number".to_owned()),
            "Boolean" => text.parse::<bool>().map(Value::from).map_err(|_| "true or false".to_owned()),
            "DateTime" => {
                time(text).map(Value::String).ok_or("a time such as 2026-11-29T08:00:00Z, or a date".to_owned())
            }
            "String" | "ID" => Ok(Value::String(text.to_owned())),
            name => {
                let known = names.get(name).map(Vec::as_slice).unwrap_or_default();
                let found = known.iter().find(|known| known.eq_ignore_ascii_case(text));
                found.cloned().map(Value::String).ok_or_else(|| format!("one of {}", known.join(", ")))
            }
        },
    }
}
