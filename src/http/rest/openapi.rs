//! The description of `/api/v1` in OpenAPI 3.1, made from what the addresses do: the operations of
//! `v1.graphql` say what is in an answer, the schema says of which types it is.

use std::collections::{BTreeMap, HashMap};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, EnumType, Field, FieldDefinition, ObjectType, Selection, SelectionSet, Type, TypeDefinition, TypeKind,
    TypeSystemDefinition, VariableDefinition,
};
use axum::body::Bytes;
use serde_json::{Map, Value, json};

use super::endpoints::{ENDPOINTS, Endpoint, PARSED, about};
use super::{BASE, problem};
use crate::http::chat;
use crate::services::searching::MAX_QUERY;

/// What is known of the addresses.
pub struct Described {
    /// In OpenAPI.
    pub description: Bytes,
    pub names: Names,
}

/// The names that each enum of the schema has.
pub type Names = HashMap<String, Vec<String>>;

/// The description, for a schema in the schema language.
pub fn described_by(sdl: &str) -> Described {
    let document = parse_schema(sdl).expect("the schema's own description parses; a test reads it");
    let types = document.definitions.into_iter().filter_map(|definition| match definition {
        TypeSystemDefinition::Type(definition) => Some((definition.node.name.node.to_string(), definition.node)),
        _ => None,
    });
    let mut describing = Describing { types: types.collect(), schemas: BTreeMap::new() };
    let paths: Map<_, _> = ENDPOINTS
        .iter()
        .map(|endpoint| (format!("{BASE}{}", endpoint.path), json!({ "get": describing.operation(endpoint) })))
        .chain([chat::described()])
        .collect();
    let mut schemas = describing.schemas;
    schemas.insert("Problem".into(), problem_schema());
    let described = json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Inkstone REST API",
            "version": "1",
            "summary": "The content of a site as plain JSON, for builds and scripts.",
            "description": "What can be read here can be read, written and watched with GraphQL at `/graphql`, which this API is a part of: ids, rights, limits and codes of errors are the same.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Problem": problem_response() },
            "headers": headers(),
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "A session token (`signIn`) or an API key (`createApiKey`, `inkstone key create`).",
            } },
        },
    });
    let names = describing.types.values().filter_map(|definition| match &definition.kind {
        TypeKind::Enum(of) => Some((definition.name.node.to_string(), names_of(of))),
        _ => None,
    });
    Described { description: format!("{described:#}\n").into(), names: names.collect() }
}

fn names_of(of: &EnumType) -> Vec<String> {
    of.values.iter().map(|value| value.node.value.node.to_string()).collect()
}

struct Describing {
    types: HashMap<String, TypeDefinition>,
    /// What several answers have in common, by the name of its fragment.
    schemas: BTreeMap<String, Value>,
}

impl Describing {
    fn operation(&mut self, endpoint: &Endpoint) -> Value {
        let parameters: Vec<_> =
            endpoint.definition().variable_definitions.iter().map(|it| self.parameter(endpoint, &it.node)).collect();
        let mut responses = Map::new();
        responses.insert(
            "200".into(),
            json!({
                "description": endpoint.summary,
                "headers": headers().into_iter().map(|(name, _)| {
                    let reference = json!({ "$ref": format!("#/components/headers/{name}") });
                    (name, reference)
                }).collect::<Map<_, _>>(),
                "content": { "application/json": { "schema": self.answer(endpoint) } },
            }),
        );
        responses.insert("304".into(), json!({ "description": "What `If-None-Match` names is still so." }));
        responses.extend(refused_with(&["400", "401", "403", "404", "429", "503", "504"]));
        json!({
            "operationId": endpoint.operation,
            "summary": endpoint.summary,
            "parameters": parameters,
            "responses": responses,
        })
    }

    fn parameter(&mut self, endpoint: &Endpoint, definition: &VariableDefinition) -> Value {
        let name = definition.name.node.as_str();
        let in_path = endpoint.path.contains(&format!("{{{name}}}"));
        let default = definition.default_value.as_ref().map(|value| value.node.clone());
        let mut schema = self.of_type(&definition.var_type.node, None);
        // A parameter is there or not; there is no way to spell null.
        if let Some(ty) = schema.get("type").and_then(Value::as_array).and_then(|types| types.first()).cloned() {
            schema["type"] = ty;
        }
        if let Some(inner) = schema.get("anyOf").and_then(Value::as_array).and_then(|any| any.first()).cloned() {
            schema = inner;
        }
        match name {
            "first" => schema.as_object_mut().into_iter().for_each(|schema| {
                schema.extend([("minimum".to_owned(), json!(1)), ("maximum".to_owned(), json!(endpoint.most()))]);
            }),
            "slug" | "handle" | "id" if in_path => schema["minLength"] = json!(1),
            "q" => schema["maxLength"] = json!(MAX_QUERY),
            _ => {}
        }
        if let Some(default) = default {
            let default = default.into_json().unwrap_or_default();
            match schema.get("$ref") {
                Some(_) => schema = json!({ "allOf": [schema], "default": default }),
                None => schema["default"] = default,
            }
        }
        json!({
            "name": name,
            "in": if in_path { "path" } else { "query" },
            "required": in_path || (!definition.var_type.node.nullable && definition.default_value.is_none()),
            "description": about(name),
            "schema": schema,
            "style": if in_path { "simple" } else { "form" },
            "explode": false,
        })
    }

    /// What is told of the operation's answer.
    fn answer(&mut self, endpoint: &Endpoint) -> Value {
        let mut set = &endpoint.definition().selection_set.node;
        let mut parent = "Query".to_owned();
        let mut ty = None;
        for name in endpoint.at {
            let (of, field) = self.find(&parent, set, name);
            set = &field.selection_set.node;
            let definition = self.field(&of, field.name.node.as_str());
            parent = innermost(&definition.ty.node).to_owned();
            ty = Some(definition.ty.node.clone());
        }
        let mut ty = ty.expect("the answer of each address is a field");
        // Where it is null there is a problem instead.
        ty.nullable = false;
        self.of_type(&ty, Some(set))
    }

    /// A field by the name that it has in the answer, and the type that it is a field of.
    fn find<'a>(&self, parent: &str, set: &'a SelectionSet, name: &str) -> (String, &'a Field) {
        let found = set.items.iter().find_map(|selection| match &selection.node {
            Selection::Field(field) if field.node.response_key().node == name => Some((parent.to_owned(), &field.node)),
            Selection::InlineFragment(inline) => {
                let of = inline.node.type_condition.as_ref().map_or(parent, |on| on.node.on.node.as_str());
                Some(self.find(of, &inline.node.selection_set.node, name))
            }
            _ => None,
        });
        found.expect("each address tells a field of its operation")
    }

    fn field(&self, of: &str, name: &str) -> FieldDefinition {
        match self.types.get(of).map(|found| &found.kind) {
            Some(TypeKind::Object(ObjectType { fields, .. })) => fields.iter().find(|it| it.node.name.node == name),
            _ => None,
        }
        .map(|found| found.node.clone())
        .expect("the operations fit the schema; a test runs each")
    }

    /// The schema of a type; `set` is what is selected of it.
    fn of_type(&mut self, ty: &Type, set: Option<&SelectionSet>) -> Value {
        let mut schema = match &ty.base {
            BaseType::List(inner) => json!({ "type": "array", "items": self.of_type(inner, set) }),
            BaseType::Named(name) => self.named(name.as_str(), set),
        };
        if ty.nullable {
            schema = match schema.get("type").cloned() {
                Some(one) => {
                    schema["type"] = json!([one, "null"]);
                    schema
                }
                None if schema.get("$ref").is_some() => json!({ "anyOf": [schema, { "type": "null" }] }),
                None => schema,
            };
        }
        schema
    }

    fn named(&mut self, name: &str, set: Option<&SelectionSet>) -> Value {
        match (name, set) {
            ("ID" | "String", _) => json!({ "type": "string" }),
            ("Int", _) => json!({ "type": "integer", "format": "int32" }),
            ("Float", _) => json!({ "type": "number" }),
            ("Boolean", _) => json!({ "type": "boolean" }),
            ("DateTime", _) => json!({ "type": "string", "format": "date-time" }),
            ("JSON", _) => json!({}),
            (_, Some(set)) if !set.items.is_empty() => self.object(name, set),
            _ => self.enumeration(name),
        }
    }

    fn enumeration(&mut self, name: &str) -> Value {
        let definition = self.types.get(name).expect("the schema holds the types that it names");
        let TypeKind::Enum(of) = &definition.kind else { unreachable!("what has no fields is an enum") };
        let schema = json!({ "type": "string", "enum": names_of(of), "description": described(definition) });
        self.schemas.insert(name.to_owned(), schema);
        reference(name)
    }

    /// What is selected of an object: a fragment alone is a schema of its own.
    fn object(&mut self, ty: &str, set: &SelectionSet) -> Value {
        let [only] = &set.items[..] else { return self.properties(ty, set) };
        let Selection::FragmentSpread(spread) = &only.node else { return self.properties(ty, set) };
        let name = spread.node.fragment_name.node.as_str();
        if !self.schemas.contains_key(name) {
            let fragment = &PARSED.fragments[&spread.node.fragment_name.node].node;
            let mut schema = self.properties(ty, &fragment.selection_set.node);
            schema["description"] = json!(self.types.get(ty).map(described).unwrap_or_default());
            self.schemas.insert(name.to_owned(), schema);
        }
        reference(name)
    }

    fn properties(&mut self, ty: &str, set: &SelectionSet) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        self.select(ty, set, &mut properties, &mut required);
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    fn select(
        &mut self,
        ty: &str,
        set: &SelectionSet,
        properties: &mut Map<String, Value>,
        required: &mut Vec<String>,
    ) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let definition = self.field(ty, field.node.name.node.as_str());
                    let mut schema = self.of_type(&definition.ty.node, Some(&field.node.selection_set.node));
                    if let Some(text) = &definition.description {
                        schema["description"] = json!(text.node.trim());
                    }
                    let name = field.node.response_key().node.to_string();
                    // What a parameter asks for may not be there.
                    if field.node.directives.is_empty() {
                        required.push(name.clone());
                    }
                    properties.insert(name, schema);
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = &PARSED.fragments[&spread.node.fragment_name.node].node;
                    self.select(ty, &fragment.selection_set.node, properties, required);
                }
                Selection::InlineFragment(inline) => {
                    self.select(ty, &inline.node.selection_set.node, properties, required)
                }
            }
        }
    }
}

/// A problem for each of these statuses.
pub fn refused_with(statuses: &[&str]) -> Map<String, Value> {
    let refused = json!({ "$ref": "#/components/responses/Problem" });
    statuses.iter().map(|status| ((*status).to_owned(), refused.clone())).collect()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn described(definition: &TypeDefinition) -> String {
    definition.description.as_ref().map(|text| text.node.trim().to_owned()).unwrap_or_default()
}

/// The named type in the middle of `[X!]!`.
fn innermost(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(inner) => innermost(inner),
    }
}

fn problem_schema() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "description": "Why there is no answer: problem details, RFC 9457.",
        "properties": {
            "type": text("`about:blank`: `code` tells the kind of problem."),
            "title": text("The status in words."),
            "status": { "type": "integer", "description": "The HTTP status." },
            "detail": text("What was wrong, and what to do."),
            "instance": text("The path that was asked for."),
            "code": text("Stable, the same as in GraphQL's `extensions.code`: compare this."),
            "requestId": text("What the server's log calls the request."),
        },
        "required": ["type", "title", "status", "detail", "instance", "code", "requestId"],
    })
}

fn problem_response() -> Value {
    let reference = reference("Problem");
    json!({
        "description": "Why there is no answer.",
        "content": { (problem::MEDIA_TYPE): { "schema": reference } },
    })
}

/// Headers of answers, by name.
fn headers() -> Map<String, Value> {
    let header = |name: &str, description: &str| {
        (name.to_owned(), json!({ "description": description, "schema": { "type": "string" } }))
    };
    Map::from_iter([
        header("ETag", "Give it back as `If-None-Match`. Only for who has not signed in."),
        header("Link", "`rel=\"next\"` leads to the next page, if there is one. RFC 8288."),
        header("RateLimit", "What is left to spend, and when all is back."),
    ])
}
