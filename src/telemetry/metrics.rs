//! Every metric: its name, unit, description and the one function that records it.
//!
//! Any room may call these functions; only this file spells names. Labels are small closed sets,
//! never ids, paths or text that a client can choose freely: each distinct value costs memory
//! for as long as the process lives.
//!
//! To add one: a constant, a line in `describe`, a function, and for a histogram its buckets.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::operation_names::OperationNames;

const HTTP_REQUESTS: &str = "inkstone_http_requests_total";
const HTTP_DURATION: &str = "inkstone_http_request_duration_seconds";
const GRAPHQL_OPERATIONS: &str = "inkstone_graphql_operations_total";
const GRAPHQL_DURATION: &str = "inkstone_graphql_operation_duration_seconds";
const SQL_STATEMENTS: &str = "inkstone_sql_statements_total";
const SQL_DURATION: &str = "inkstone_sql_statement_duration_seconds";
const DB_CONNECTIONS: &str = "inkstone_db_connections";
const DB_WAIT: &str = "inkstone_db_connection_wait_seconds";
const SUBSCRIPTIONS: &str = "inkstone_subscriptions_open";
const EVENT_LOG_LAG: &str = "inkstone_event_log_lag_seconds";
const EVENTS_DELIVERED: &str = "inkstone_events_delivered_total";
const INFERENCES: &str = "inkstone_inference_requests_total";
const INFERENCE_DURATION: &str = "inkstone_inference_duration_seconds";
const INFERENCE_TOKENS: &str = "inkstone_inference_tokens_total";
const SEARCH_LAG: &str = "inkstone_search_lag_seconds";
const SEARCHES: &str = "inkstone_searches_total";
const SEARCH_DURATION: &str = "inkstone_search_duration_seconds";
const JOBS: &str = "inkstone_jobs_total";
const JOB_DURATION: &str = "inkstone_job_duration_seconds";
const JOBS_OPEN: &str = "inkstone_jobs_open";
const JOBS_OLDEST_DUE: &str = "inkstone_jobs_oldest_due_seconds";
const PASSWORD_HASHINGS: &str = "inkstone_password_hashings_in_flight";

/// From a cached answer to a language model's reply. Seconds.
const REQUEST_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// From a row by its key to a search without an index, and waiting for a connection. Seconds.
const DATABASE_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// From publishing a post to indexing a site. Seconds.
const JOB_BUCKETS: &[f64] = &[0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// Upper bounds of each histogram's buckets, in the histogram's unit.
pub(super) const BUCKETS: &[(&str, &[f64])] = &[
    (HTTP_DURATION, REQUEST_BUCKETS),
    (GRAPHQL_DURATION, REQUEST_BUCKETS),
    (SQL_DURATION, DATABASE_BUCKETS),
    (DB_WAIT, DATABASE_BUCKETS),
    (INFERENCE_DURATION, REQUEST_BUCKETS),
    (SEARCH_LAG, REQUEST_BUCKETS),
    (SEARCH_DURATION, REQUEST_BUCKETS),
    (JOB_DURATION, JOB_BUCKETS),
];

static OPERATION_NAMES: OperationNames = OperationNames::new();

/// Tells the installed recorder what each metric means.
pub(super) fn describe() {
    use Unit::{Count, Seconds};
    describe_counter!(HTTP_REQUESTS, Count, "HTTP requests answered, by method, route and status.");
    describe_histogram!(HTTP_DURATION, Seconds, "Time until the head of an HTTP response, by method and route.");
    describe_counter!(GRAPHQL_OPERATIONS, Count, "GraphQL operations finished, by type, name and outcome.");
    describe_histogram!(GRAPHQL_DURATION, Seconds, "Time of a GraphQL operation, by type and name.");
    describe_counter!(SQL_STATEMENTS, Count, "SQL statements sent, without BEGIN and COMMIT.");
    describe_histogram!(SQL_DURATION, Seconds, "Time of an SQL statement, by outcome.");
    describe_gauge!(DB_CONNECTIONS, Count, "Connections of the database pool, by state.");
    describe_histogram!(DB_WAIT, Seconds, "Time a caller waited for a database connection.");
    describe_gauge!(SUBSCRIPTIONS, Count, "GraphQL subscriptions open now.");
    describe_gauge!(EVENT_LOG_LAG, Seconds, "Age of the last event when it was told, or of the oldest one that waits.");
    describe_counter!(EVENTS_DELIVERED, Count, "Events read from the log and handed to this process's readers.");
    describe_counter!(INFERENCES, Count, "Requests to models, by task and outcome.");
    describe_histogram!(INFERENCE_DURATION, Seconds, "Time until vectors or scores are there, or a text may begin.");
    describe_counter!(INFERENCE_TOKENS, Count, "Tokens that models read and wrote, by task and direction.");
    describe_histogram!(SEARCH_LAG, Seconds, "Time from a change of a post until search knows of it.");
    describe_counter!(SEARCHES, Count, "Searches answered, by mode and whether models took part as asked.");
    describe_histogram!(SEARCH_DURATION, Seconds, "Time of a search, by part: embedding, words, meaning, rest.");
    describe_counter!(JOBS, Count, "Attempts at jobs by this process, by kind and outcome.");
    describe_histogram!(JOB_DURATION, Seconds, "Time of an attempt at a job, by kind.");
    describe_gauge!(JOBS_OPEN, Count, "Jobs of all processes that are due, planned or running.");
    describe_gauge!(JOBS_OLDEST_DUE, Seconds, "For how long the oldest of the jobs that are due has been.");
    describe_gauge!(PASSWORD_HASHINGS, Count, "Passwords being hashed or checked now.");
}

/// The root type of a GraphQL operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationType {
    Query,
    Mutation,
    Subscription,
}

impl OperationType {
    fn label(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }
}

/// How a GraphQL operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Without errors.
    Success,
    /// The errors are all the client's: bad input, no permission, over a limit.
    ClientError,
    /// At least one error is ours.
    ServerError,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
        }
    }
}

/// Counts a request to a model. `outcome` is one of a few fixed words.
pub fn inference(task: &'static str, outcome: &'static str, elapsed: Duration) {
    counter!(INFERENCES, "task" => task, "outcome" => outcome).increment(1);
    histogram!(INFERENCE_DURATION, "task" => task).record(elapsed);
}

/// Counts what a model read, and what it wrote.
pub fn inference_tokens(task: &'static str, read: usize, written: usize) {
    counter!(INFERENCE_TOKENS, "task" => task, "direction" => "read").increment(read as u64);
    if written > 0 {
        counter!(INFERENCE_TOKENS, "task" => task, "direction" => "written").increment(written as u64);
    }
}

/// Finished HTTP requests. Each series is looked up in the recorder once: that takes longer than the rest of a
/// short request.
#[derive(Default)]
pub struct HttpRequests(RwLock<HashMap<Box<str>, Vec<HttpSeries>>>);

struct HttpSeries {
    method: &'static str,
    status: u16,
    requests: Counter,
    duration: Histogram,
}

impl HttpRequests {
    /// Counts a request, and the time until its answer began. `route` is the route's pattern, never a path: each
    /// value costs memory for good.
    pub fn count(&self, method: &str, route: &str, status: u16, elapsed: Duration) {
        let method = method_label(method);
        let record = |series: &[HttpSeries]| {
            let series = series.iter().find(|series| series.method == method && series.status == status)?;
            series.requests.increment(1);
            series.duration.record(elapsed);
            Some(())
        };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.get(route).and_then(|series| record(series)).is_some() {
            return;
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let of_route = known.entry(route.into()).or_default();
        if !of_route.iter().any(|series| series.method == method && series.status == status) {
            of_route.push(HttpSeries::new(method, route, status));
        }
        record(of_route);
    }
}

impl HttpSeries {
    fn new(method: &'static str, route: &str, status: u16) -> Self {
        let route: Arc<str> = route.into();
        Self {
            method,
            status,
            requests: counter!(HTTP_REQUESTS, "method" => method, "route" => route.clone(), "status" => status.to_string()),
            duration: histogram!(HTTP_DURATION, "method" => method, "route" => route),
        }
    }
}

/// HTTP lets a client invent methods.
fn method_label(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("OTHER")
}

/// Counts a finished GraphQL operation, with its time unless it was a subscription.
///
/// Only the first 200 distinct names get a label, so call this for operations that validated:
/// then a stranger's garbage does not use the names up.
pub fn graphql_operation(kind: OperationType, name: Option<&str>, outcome: Outcome, elapsed: Option<Duration>) {
    let name = OPERATION_NAMES.label(name);
    operations(kind, name.clone(), outcome).increment(1);
    if let Some(elapsed) = elapsed {
        operation_duration(kind, name).record(elapsed);
    }
}

fn operations(kind: OperationType, name: Arc<str>, outcome: Outcome) -> Counter {
    counter!(GRAPHQL_OPERATIONS, "type" => kind.label(), "name" => name, "outcome" => outcome.label())
}

fn operation_duration(kind: OperationType, name: Arc<str>) -> Histogram {
    histogram!(GRAPHQL_DURATION, "type" => kind.label(), "name" => name)
}

/// A query whose answer is kept, for [`graphql_operation`] each time that it is given out.
pub struct AnsweredQuery {
    operations: Counter,
    duration: Histogram,
}

impl AnsweredQuery {
    pub fn new(name: Option<&str>) -> Self {
        let (kind, name) = (OperationType::Query, OPERATION_NAMES.label(name));
        Self { operations: operations(kind, name.clone(), Outcome::Success), duration: operation_duration(kind, name) }
    }

    pub fn count(&self, elapsed: Duration) {
        self.operations.increment(1);
        self.duration.record(elapsed);
    }
}

/// Counts an SQL statement that is being sent.
pub fn sql_statement_started() {
    counter!(SQL_STATEMENTS).increment(1);
}

/// Records how long an SQL statement took, and whether the database accepted it.
pub fn sql_statement_finished(succeeded: bool, elapsed: Duration) {
    let outcome = if succeeded { "success" } else { "error" };
    histogram!(SQL_DURATION, "outcome" => outcome).record(elapsed);
}

/// Shows the state of the connection pool.
pub fn db_connections(in_use: u32, idle: u32) {
    gauge!(DB_CONNECTIONS, "state" => "in_use").set(in_use);
    gauge!(DB_CONNECTIONS, "state" => "idle").set(idle);
}

/// Records how long a caller waited for a connection.
pub fn db_connection_wait(waited: Duration) {
    histogram!(DB_WAIT).record(waited);
}

/// Counts a subscription as open until the returned guard is dropped.
pub fn subscription_opened() -> InFlight {
    InFlight::start(gauge!(SUBSCRIPTIONS))
}

/// Records how long search took to know of a change.
pub fn search_lag(lag: Duration) {
    histogram!(SEARCH_LAG).record(lag);
}

/// Counts a search. `mode` is one of a few fixed words.
pub fn search(mode: &'static str, degraded: bool) {
    counter!(SEARCHES, "mode" => mode, "degraded" => if degraded { "true" } else { "false" }).increment(1);
}

/// Records a part of a search's time. `part` is one of a few fixed words.
pub fn search_part(part: &'static str, elapsed: Duration) {
    histogram!(SEARCH_DURATION, "part" => part).record(elapsed);
}

/// Counts an attempt at a job. `kind` is one that this version knows, `outcome` one of a few fixed
/// words.
pub fn job(kind: &'static str, outcome: &'static str, elapsed: Duration) {
    counter!(JOBS, "kind" => kind, "outcome" => outcome).increment(1);
    histogram!(JOB_DURATION, "kind" => kind).record(elapsed);
}

/// Shows how much there is to do in the background, in all processes together.
pub fn jobs_open(due: i64, planned: i64, running: i64, oldest_due: Duration) {
    for (state, count) in [("due", due), ("planned", planned), ("running", running)] {
        gauge!(JOBS_OPEN, "state" => state).set(count as f64);
    }
    gauge!(JOBS_OLDEST_DUE).set(oldest_due);
}

/// Counts a password as being hashed or checked until the returned guard is dropped.
pub fn password_hashing_started() -> InFlight {
    InFlight::start(gauge!(PASSWORD_HASHINGS))
}

/// Shows how old the newest event was when the tailer read it.
pub fn event_log_lag(lag: Duration) {
    gauge!(EVENT_LOG_LAG).set(lag);
}

/// Counts events that the tailer handed on.
pub fn events_delivered(count: u64) {
    counter!(EVENTS_DELIVERED).increment(count);
}

/// One unit of a gauge, taken back when dropped, so that no early return forgets it.
#[must_use = "the gauge goes down as soon as this is dropped"]
pub struct InFlight(Gauge);

impl InFlight {
    fn start(gauge: Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
