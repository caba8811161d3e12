//! Running one operation: its context, its time limit, its metrics, its errors' request ids.

use std::sync::Arc;
use std::time::Instant;

use async_graphql::parser::types::OperationType as Parsed;
use async_graphql::{Request, Response, ServerError, Value};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::{HttpState, page_sizes, size};
use crate::auth::Viewer;
use crate::error::Code;
use crate::events::Cursor;
use crate::graphql::RequestContext;
use crate::services::Actor;
use crate::telemetry::metrics::{self, OperationType, Outcome};

/// Who asks, when, and from where on in the event log.
pub struct Asking {
    pub viewer: Viewer,
    pub now: DateTime<Utc>,
    pub resume: Option<Cursor>,
    pub request_id: String,
}

impl Asking {
    fn context(&self, state: &HttpState) -> Arc<RequestContext> {
        let actor = Actor { viewer: self.viewer.clone(), now: self.now };
        Arc::new(RequestContext::new(&state.services, actor, self.resume))
    }
}

/// Answers a query or a mutation within the time limit.
pub async fn once(state: &HttpState, asking: &Asking, mut request: Request) -> (Response, Arc<RequestContext>) {
    let started = Instant::now();
    let kind = operation_type(&mut request);
    let name = request.operation_name.clone();
    if let Some(refused) = prepare(asking, &mut request) {
        return (refused, asking.context(state));
    }
    let context = asking.context(state);
    let work = state.schema.execute(request.data(context.clone()));
    let mut response =
        tokio::time::timeout(state.limits.query_timeout, work).await.unwrap_or_else(|_| timed_out(state));
    if let Some(kind) = kind.filter(|_| response.data != Value::Null || response.is_ok()) {
        metrics::graphql_operation(kind, name.as_deref(), outcome(&response), started.elapsed());
    }
    add_request_id(&mut response, &asking.request_id);
    (response, context)
}

/// Answers any operation as a stream: one response for a query, one an event for a subscription.
/// Each response comes with the cursor of its event.
pub fn stream(
    state: &HttpState,
    asking: &Asking,
    mut request: Request,
) -> BoxStream<'static, (Response, Option<Cursor>)> {
    let kind = operation_type(&mut request).unwrap_or(OperationType::Subscription);
    metrics::graphql_operation(kind, request.operation_name.as_deref(), Outcome::Success, std::time::Duration::ZERO);
    if let Some(refused) = prepare(asking, &mut request) {
        return stream::once(std::future::ready((refused, None))).boxed();
    }
    let context = asking.context(state);
    let request_id = asking.request_id.clone();
    let open = metrics::subscription_opened();
    let responses = state.schema.execute_stream(request.data(context.clone()));
    let responses = responses.map(move |mut response| {
        let _counted = &open;
        add_request_id(&mut response, &request_id);
        (response, context.delivered())
    });
    responses.boxed()
}

/// Readies an operation for the library; gives the answer to one that it must not even look at.
fn prepare(asking: &Asking, request: &mut Request) -> Option<Response> {
    page_sizes::fill(request);
    if size::fits(request) {
        return None;
    }
    let message = "the operation asks for too much once its fragments are spread, or they spread themselves: ask for less at once";
    let mut response = Response::from_errors(vec![ServerError::new(message, None)]);
    add_request_id(&mut response, &asking.request_id);
    Some(response)
}

/// What kind of operation will run; `None` if the document cannot be read.
pub fn operation_type(request: &mut Request) -> Option<OperationType> {
    let name = request.operation_name.clone();
    let document = request.parsed_query().ok()?;
    let operation = match name {
        Some(name) => document.operations.iter().find(|(found, _)| found.is_some_and(|f| *f == name))?.1,
        None => document.operations.iter().next()?.1,
    };
    Some(match operation.node.ty {
        Parsed::Query => OperationType::Query,
        Parsed::Mutation => OperationType::Mutation,
        Parsed::Subscription => OperationType::Subscription,
    })
}

fn timed_out(state: &HttpState) -> Response {
    let limit = state.limits.query_timeout.as_millis();
    let mut error = ServerError::new(format!("the operation took longer than {limit} ms: ask for less at once"), None);
    error.extensions.get_or_insert_default().set("code", Code::RequestTimeout.as_str());
    Response::from_errors(vec![error])
}

/// Every error tells the request's id; one without a code is of the document itself.
fn add_request_id(response: &mut Response, request_id: &str) {
    for error in &mut response.errors {
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            extensions.set("code", Code::BadUserInput.as_str());
        }
        extensions.set("requestId", request_id);
    }
}

fn outcome(response: &Response) -> Outcome {
    let ours = [Code::Internal, Code::Overloaded, Code::RequestTimeout].map(|code| Value::from(code.as_str()));
    let is_ours = |error: &ServerError| {
        error.extensions.as_ref().and_then(|e| e.get("code")).is_some_and(|code| ours.contains(code))
    };
    match response.errors.as_slice() {
        [] => Outcome::Success,
        errors if errors.iter().any(is_ours) => Outcome::ServerError,
        _ => Outcome::ClientError,
    }
}
