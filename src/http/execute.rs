//! Running one operation: its context, its time limit, its metrics, its errors' request ids.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::{Request, Response, ServerError, Value, value};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use serde::Serialize;

use super::layers::ClientAddress;
use super::rate::{Overdrawn, Spent};
use super::{HttpState, shared};
use crate::auth::Viewer;
use crate::config::Introspection;
use crate::error::{ApiError, Code};
use crate::events::Cursor;
use crate::graphql::{Admitted, RequestContext, json};
use crate::services::Actor;
use crate::store::Sight;
use crate::telemetry::metrics::{self, OperationType, Outcome};

/// Who asks, when, and from where on in the event log.
#[derive(Clone)]
pub struct Asking {
    pub viewer: Viewer,
    pub now: DateTime<Utc>,
    pub resume: Option<Cursor>,
    pub request_id: String,
    pub address: ClientAddress,
}

impl Asking {
    fn context(&self, state: &HttpState, operation: &Admitted) -> Arc<RequestContext> {
        let actor = Actor { viewer: self.viewer.clone(), now: self.now };
        let mut context = RequestContext::new(&state.services, actor, self.resume, operation.merges);
        context.address = self.address.0;
        Arc::new(context)
    }
}

/// An operation that may run, and what is known of its document.
pub struct Admission {
    pub operation: Admitted,
    /// It is on the owner's list of trusted documents.
    trusted: bool,
    keep_as: Option<String>,
}

/// Why an operation does not run.
pub enum Refused {
    /// Its document will not do.
    Document(Box<Response>),
    /// Not for who asks.
    Forbidden(ApiError),
    /// Not before some time has passed.
    Overdrawn(Overdrawn),
}

impl Refused {
    /// The same for a client that has a connection already.
    pub fn errors(self, request_id: &str) -> Vec<ServerError> {
        match self {
            Self::Document(response) => response.errors,
            Self::Forbidden(error) => vec![error.to_server_error(request_id)],
            Self::Overdrawn(overdrawn) => vec![overdrawn.error().to_server_error(request_id)],
        }
    }
}

/// Finds the document, parses and measures it, or gives the answer that says what is wrong with it.
pub async fn admit(state: &HttpState, request: &mut Request, request_id: &str) -> Result<Admission, Box<Response>> {
    // A client that sends an empty name means none.
    request.operation_name = request.operation_name.take().filter(|name| !name.is_empty());
    let admitted = match state.documents.find(request).await {
        Ok(found) => state.guard.admit(request).map(|operation| (found, operation)),
        Err(error) => Err(error.to_server_error(request_id)),
    };
    match admitted {
        Ok((found, operation)) => Ok(Admission { operation, trusted: found.trusted, keep_as: found.keep_as }),
        Err(error) => Err(refused_document(error, request_id)),
    }
}

/// The same for an operation of the program's own.
pub fn admit_own(state: &HttpState, request: &mut Request, request_id: &str) -> Result<Admission, Box<Response>> {
    match state.guard.admit(request) {
        Ok(operation) => Ok(Admission { operation, trusted: true, keep_as: None }),
        Err(error) => Err(refused_document(error, request_id)),
    }
}

fn refused_document(error: ServerError, request_id: &str) -> Box<Response> {
    metrics::graphql_operation(OperationType::Query, None, Outcome::ClientError, None);
    let mut response = Response::from_errors(vec![error]);
    add_request_id(&mut response, request_id);
    Box::new(response)
}

/// Lets who asks run it, at the price of it. The document is kept for who will name it.
pub async fn permit(
    state: &HttpState,
    viewer: &Viewer,
    address: ClientAddress,
    request: &Request,
    admission: &mut Admission,
) -> Result<Spent, Refused> {
    let spent = state.rate.spend(viewer, address, admission.operation.cost).await.map_err(Refused::Overdrawn)?;
    state.documents.permit(viewer, admission.trusted).map_err(Refused::Forbidden)?;
    if admission.operation.looks_at_schema {
        permit_introspection(state, viewer).map_err(Refused::Forbidden)?;
    }
    if let Some(id) = admission.keep_as.take() {
        Box::pin(state.documents.keep(id, &request.query)).await;
    }
    Ok(spent)
}

/// Errors: `FORBIDDEN` where only the site's own people may look at the schema.
pub fn permit_introspection(state: &HttpState, viewer: &Viewer) -> Result<(), ApiError> {
    if state.limits.introspection == Introspection::Anybody || viewer.sight() == Sight::Everything {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Forbidden,
        "introspection is for the owner and editors of this site: sign in as one of them",
    ))
}

/// [`admit`] and [`permit`] for who is known already. What was refused is not free.
pub async fn enter(
    state: &HttpState,
    viewer: &Viewer,
    address: ClientAddress,
    request: &mut Request,
    request_id: &str,
) -> Result<(Admission, Spent), Refused> {
    let admitted = admit(state, request, request_id).await;
    enter_admitted(state, viewer, address, request, admitted).await
}

/// The same once [`admit`] has been asked.
pub async fn enter_admitted(
    state: &HttpState,
    viewer: &Viewer,
    address: ClientAddress,
    request: &Request,
    admitted: Result<Admission, Box<Response>>,
) -> Result<(Admission, Spent), Refused> {
    match admitted {
        Ok(mut admission) => {
            let spent = permit(state, viewer, address, request, &mut admission).await?;
            Ok((admission, spent))
        }
        Err(refused) => {
            state.rate.spend(viewer, address, 0).await.map_err(Refused::Overdrawn)?;
            Err(Refused::Document(refused))
        }
    }
}

/// Answers a query or a mutation within the time limit.
pub async fn once(
    state: &HttpState,
    asking: &Asking,
    request: Request,
    admission: Admission,
) -> (Response, Arc<RequestContext>) {
    let admitted = admission.operation;
    let started = Instant::now();
    let wants_cost = request.extensions.get("cost") == Some(&Value::Boolean(true));
    let context = asking.context(state, &admitted);
    let work = state.schemas.of(&admitted).execute(request.data(context.clone()));
    let limits = &state.limits;
    let limit = if admitted.waits_for_model { limits.inference_timeout } else { limits.query_timeout };
    let mut response = tokio::time::timeout(limit, work).await.unwrap_or_else(|_| timed_out(limit));
    if !admitted.valid && !never_ran(&response) {
        admitted.found_valid();
    }
    let outcome = outcome(&response);
    // What did not validate may carry any name; see `metrics::graphql_operation`.
    let name = admitted.name.filter(|_| !(never_ran(&response) && outcome == Outcome::ClientError));
    metrics::graphql_operation(admitted.kind, name.as_deref(), outcome, Some(started.elapsed()));
    if wants_cost {
        let limit = state.guard.limits().max_cost;
        response.extensions.insert("cost".into(), value!({ "requested": (admitted.cost), "limit": (limit) }));
    }
    add_request_id(&mut response, &asking.request_id);
    (response, context)
}

/// What a stream tells at a time.
#[derive(Clone)]
pub struct Told {
    /// The answer in JSON.
    pub answer: Arc<str>,
    /// Of an operation that could not begin: its errors, in JSON. They are all that is told of it.
    pub refused: Option<Arc<str>>,
    /// The place of the event in the log.
    pub cursor: Option<Cursor>,
    outcome: Outcome,
    never_ran: bool,
}

impl Told {
    pub fn new(response: &Response, cursor: Option<Cursor>) -> Self {
        let mut errors = Vec::new();
        if response.data == Value::Null && response.is_err() {
            write(&response.errors, &mut errors);
        }
        let refused = (!errors.is_empty()).then(|| text(errors));
        let (outcome, never_ran) = (outcome(response), never_ran(response));
        Self { answer: text(answer(response)), refused, cursor, outcome, never_ran }
    }
}

fn text(json: Vec<u8>) -> Arc<str> {
    String::from_utf8(json).expect("JSON is UTF-8").into()
}

/// Answers any operation as a stream: one answer for a query, one an event for a subscription.
pub fn stream(
    state: Arc<HttpState>,
    asking: Asking,
    request: Request,
    admission: Admission,
) -> BoxStream<'static, Told> {
    if admission.operation.kind != OperationType::Subscription {
        let answer = async move { Told::new(&once(&state, &asking, request, admission).await.0, None) };
        return stream::once(answer).boxed();
    }
    let mut watched = Watched::new(admission.operation.name.clone());
    let is_for_all = shared::is_for_all(&asking, &admission);
    let begin = if is_for_all { shared::stream } else { alone };
    begin(state, asking, request, admission).inspect(move |told| watched.saw(told)).boxed()
}

/// A subscription that nobody else hears.
pub fn alone(
    state: Arc<HttpState>,
    asking: Asking,
    request: Request,
    admission: Admission,
) -> BoxStream<'static, Told> {
    let context = asking.context(&state, &admission.operation);
    let responses = state.schemas.of(&admission.operation).execute_stream(request.data(context.clone()));
    let told = responses.map(move |mut response| {
        add_request_id(&mut response, &asking.request_id);
        Told::new(&response, context.delivered())
    });
    told.boxed()
}

/// A subscription in the metrics: open while it lives, counted with its outcome when it ends.
struct Watched {
    name: Option<String>,
    outcome: Outcome,
    _open: metrics::InFlight,
}

impl Watched {
    fn new(name: Option<String>) -> Self {
        Self { name, outcome: Outcome::Success, _open: metrics::subscription_opened() }
    }

    fn saw(&mut self, told: &Told) {
        match told.outcome {
            Outcome::ServerError => self.outcome = Outcome::ServerError,
            Outcome::ClientError if self.outcome == Outcome::Success => {
                self.outcome = Outcome::ClientError;
                self.name = self.name.take().filter(|_| !told.never_ran);
            }
            _ => {}
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        metrics::graphql_operation(OperationType::Subscription, self.name.as_deref(), self.outcome, None);
    }
}

/// True for an answer to an operation that did not begin: it has no `data`, not even null.
pub fn never_ran(response: &Response) -> bool {
    response.data == Value::Null && response.is_err() && response.errors.iter().all(|error| error.path.is_empty())
}

/// The answer in JSON, as the specification spells it: no `data` for what did not begin.
pub fn answer(response: &Response) -> Vec<u8> {
    let mut text = Vec::with_capacity(128 + json::length(&response.data));
    text.push(b'{');
    let mut entry = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(name.as_bytes());
        write(&mut text);
    };
    if !response.errors.is_empty() {
        entry("\"errors\":", &|text| write(&response.errors, text));
    }
    if !never_ran(response) {
        entry("\"data\":", &|text| json::write(&response.data, text));
    }
    if !response.extensions.is_empty() {
        entry("\"extensions\":", &|text| write(&response.extensions, text));
    }
    text.push(b'}');
    text
}

fn write(value: &impl Serialize, text: &mut Vec<u8>) {
    if let Err(error) = serde_json::to_writer(&mut *text, value) {
        ApiError::internal(&error);
        text.extend_from_slice(b"null");
    }
}

fn timed_out(limit: Duration) -> Response {
    let limit = limit.as_millis();
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

/// The first of these codes that an error of the answer has.
pub fn server_error(response: &Response) -> Option<Code> {
    let codes = [Code::Internal, Code::Overloaded, Code::ModelLoading, Code::RequestTimeout];
    codes.into_iter().find(|code| {
        let text = Value::from(code.as_str());
        response.errors.iter().any(|e| e.extensions.as_ref().and_then(|e| e.get("code")) == Some(&text))
    })
}

fn outcome(response: &Response) -> Outcome {
    match (response.is_ok(), server_error(response)) {
        (true, _) => Outcome::Success,
        (false, Some(_)) => Outcome::ServerError,
        (false, None) => Outcome::ClientError,
    }
}
