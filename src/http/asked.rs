//! What clients send: a GraphQL request out of a JSON body or out of an address.
//!
//! Source: the GraphQL over HTTP specification; `extensions.persistedQuery` is Apollo's, and
//! `documentId` that specification's appendix on persisted documents. Both come out of here as the
//! former.

use std::collections::HashMap;

use async_graphql::{Request, Value, Variables, value};
use axum::body::Body;
use axum::extract::Query;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;

use super::Limits;
use super::body::{self, Held};
use super::documents::PERSISTED;
use crate::error::ApiError;

/// A request as it is spelled in JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with `query`")]
pub struct Wire {
    query: Option<String>,
    operation_name: Option<String>,
    #[serde(default)]
    variables: Variables,
    extensions: Option<HashMap<String, Value>>,
    document_id: Option<String>,
}

impl From<Wire> for Request {
    fn from(wire: Wire) -> Self {
        let mut request = Self::new(wire.query.unwrap_or_default()).variables(wire.variables);
        request.operation_name = wire.operation_name;
        request.extensions.extend(wire.extensions.unwrap_or_default());
        if let Some(id) = wire.document_id {
            let id = id.strip_prefix("sha256:").unwrap_or(&id);
            request.extensions.entry(PERSISTED.into()).or_insert_with(|| value!({ "version": 1, "sha256Hash": id }));
        }
        request
    }
}

/// Errors: there is neither a document nor the name of one.
fn with_document(wire: Wire) -> Result<Request, String> {
    let request = Request::from(wire);
    if request.query.trim().is_empty() && !request.extensions.contains_key(PERSISTED) {
        return Err("`query` is missing or empty".into());
    }
    Ok(request)
}

/// One request, or several that are answered together.
pub enum Asked {
    One(Box<Request>),
    Several(Vec<Request>),
}

/// The JSON body of a request. Other media types are refused: a form of another site could send them
/// with the reader's cookie.
pub async fn read(limits: &Limits, headers: &HeaderMap, body: Body) -> Result<Held, (StatusCode, ApiError)> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let message = format!("the body is {media_type:?}: send JSON, with Content-Type: application/json");
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, ApiError::bad_input(message)));
    }
    body::read(limits, body).await
}

/// Operations out of the bytes of a JSON body.
pub fn from_bytes(limits: &Limits, body: &[u8]) -> Result<Asked, (StatusCode, ApiError)> {
    let refuse = |error: String| {
        let message =
            format!("the body is no GraphQL request ({error}): expected {{\"query\": \"…\", \"variables\": {{…}}}}");
        (StatusCode::BAD_REQUEST, ApiError::bad_input(message))
    };
    if body.trim_ascii_start().first() != Some(&b'[') {
        let wire: Wire = serde_json::from_slice(body).map_err(|error| refuse(error.to_string()))?;
        return with_document(wire).map(|request| Asked::One(Box::new(request))).map_err(refuse);
    }
    let several: Vec<Wire> = serde_json::from_slice(body).map_err(|error| refuse(error.to_string()))?;
    match several.len() {
        0 => Err(refuse("the list is empty".into())),
        sent if sent > limits.max_batch => {
            let most = limits.max_batch;
            let message =
                format!("the list holds {sent} operations, and at most {most} are allowed: send fewer at once");
            Err((StatusCode::BAD_REQUEST, ApiError::bad_input(message)))
        }
        _ => several.into_iter().map(with_document).collect::<Result<_, _>>().map(Asked::Several).map_err(refuse),
    }
}

/// The operation of a body, where only one will do.
pub async fn one_from_body(
    limits: &Limits,
    headers: &HeaderMap,
    body: Body,
) -> Result<Request, (StatusCode, ApiError)> {
    let held = read(limits, headers, body).await?;
    match from_bytes(limits, held.bytes())? {
        Asked::One(request) => Ok(*request),
        Asked::Several(_) => {
            let message = "the body is a list: a stream takes one operation, so open one for each";
            Err((StatusCode::BAD_REQUEST, ApiError::bad_input(message)))
        }
    }
}

/// An operation out of the query string of an address.
pub fn from_address(address: &Uri) -> Result<Request, ApiError> {
    let refuse = |error: String| {
        ApiError::bad_input(format!(
            "the address holds no GraphQL request ({error}): expected ?query=… with optional operationName, variables and extensions"
        ))
    };
    let Query(wire) = Query::<Address>::try_from_uri(address).map_err(|error| refuse(error.body_text()))?;
    let json = |name: &str, text: Option<String>| match text.filter(|text| !text.is_empty()) {
        Some(text) => {
            serde_json::from_str::<serde_json::Value>(&text).map_err(|error| refuse(format!("{name}: {error}")))
        }
        None => Ok(serde_json::Value::Null),
    };
    let variables = match json("variables", wire.variables)? {
        variables @ (serde_json::Value::Object(_) | serde_json::Value::Null) => Variables::from_json(variables),
        _ => return Err(refuse("variables: expected an object".into())),
    };
    let extensions = serde_json::from_value(json("extensions", wire.extensions)?)
        .map_err(|error| refuse(format!("extensions: {error}")))?;
    let wire = Wire {
        query: wire.query,
        operation_name: wire.operation_name,
        variables,
        extensions,
        document_id: wire.document_id,
    };
    with_document(wire).map_err(refuse)
}

/// The parameters of an address that are ours; others are nobody's business.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
    document_id: Option<String>,
}
