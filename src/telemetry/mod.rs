//! Tracing and metrics: what the process says about itself.
//!
//! [`init`] installs the log output and the Prometheus recorder once per process. [`metrics`]
//! holds every metric's name, unit and description; [`trace_context`] the W3C trace header.
//! Any room may import this one; it imports no other room, not even `config`.
//!
//! To add a metric: a constant, a line in `describe` and a typed function in `metrics.rs`, and
//! buckets in `metrics::BUCKETS` if it is a histogram. To add a field to every log line of a
//! request: a field of the request's span in `http/layers/context.rs`.

mod json_lines;
pub mod metrics;
mod operation_names;
pub mod trace_context;

#[cfg(test)]
pub(crate) mod capture;

use std::error::Error;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How often histogram samples are folded into their buckets, so that they do not pile up when
/// nobody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What this process has installed: tracing and the recorder are one per process.
static INSTALLED: Mutex<Option<Telemetry>> = Mutex::new(None);

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error(
        "the log filter {filter:?} cannot be read; write levels and targets like `info` or `info,inkstone::store=debug`"
    )]
    Filter {
        filter: String,
        #[source]
        source: ParseError,
    },
    #[error(
        "another part of this process has already installed a tracing subscriber or a logger; install only this one"
    )]
    Subscriber(#[source] TryInitError),
    #[error("the Prometheus recorder cannot be installed; no other metrics recorder may be installed in this process")]
    Recorder(#[source] BuildError),
}

/// The process's metrics, readable. Cloning is cheap, and all clones show the same metrics.
#[derive(Clone)]
pub struct Telemetry {
    prometheus: PrometheusHandle,
}

impl Telemetry {
    /// All metrics in the Prometheus text format, version 0.0.4.
    pub fn render(&self) -> String {
        self.prometheus.render()
    }

    /// Keeps the recorder's memory bounded. Never ends: spawn it, and abort it at shutdown.
    pub async fn upkeep(self) {
        let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            self.prometheus.run_upkeep();
        }
    }
}

/// Installs the log output (stderr) and the metrics recorder, and returns the latter's reader.
///
/// `filter` is in `tracing_subscriber::EnvFilter`'s syntax; `json` chooses one JSON object a line
/// over compact text. Only the first call installs; later ones return what it installed, and
/// their `filter` is checked but not used.
/// Errors: [`TelemetryError::Filter`] for a malformed filter; the others if the process already
/// has a subscriber or recorder that is not ours.
pub fn init(filter: &str, json: bool) -> Result<Telemetry, TelemetryError> {
    let filter = parse_filter(filter)?;
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(telemetry) = &*installed {
        return Ok(telemetry.clone());
    }
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    log_output(filter, json, colour, std::io::stderr).try_init().map_err(TelemetryError::Subscriber)?;
    let prometheus = recorder()?.install_recorder().map_err(TelemetryError::Recorder)?;
    metrics::describe();
    Ok(installed.insert(Telemetry { prometheus }).clone())
}

/// An error with its causes, on one line.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn parse_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder().parse(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })
}

/// Log lines of the chosen form, written to `writer`.
fn log_output<W>(filter: EnvFilter, json: bool, colour: bool, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if json {
        lines.fmt_fields(json_lines::SpanFields).event_format(json_lines::JsonLines).into()
    } else {
        lines.with_ansi(colour).compact().into()
    }
}

/// A recorder that knows every histogram's buckets.
fn recorder() -> Result<PrometheusBuilder, TelemetryError> {
    metrics::BUCKETS.iter().try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets).map_err(TelemetryError::Recorder)
    })
}

#[cfg(test)]
mod tests {
    use super::capture::Capture;
    use super::*;

    #[test]
    fn a_second_init_shares_the_first_ones_metrics() {
        let first = init("warn", false).expect("the first call installs");
        let second = init("debug", true).expect("the second call shares");
        metrics::events_delivered(3);
        assert!(first.render().contains("inkstone_events_delivered_total"), "{}", first.render());
        assert!(second.render().contains("inkstone_events_delivered_total"), "{}", second.render());
        assert!(second.render().contains("# HELP inkstone_events_delivered_total "), "descriptions are missing");
    }

    #[test]
    fn a_malformed_filter_is_named_and_its_cause_not_repeated() {
        let Err(error) = init("inkstone=loud", false) else { panic!("the filter must be refused") };
        assert!(error.to_string().contains("\"inkstone=loud\""), "{error}");
        let cause = error.source().expect("the cause is kept").to_string();
        assert!(!error.to_string().contains(&cause), "{error} repeats {cause}");
    }

    #[test]
    fn text_lines_carry_the_request_and_trace_ids() {
        let log = Capture::start("info", false);
        tracing::error_span!("request", request_id = "r-1", trace_id = "t-1").in_scope(|| {
            tracing::info!(rows = 2, "listed");
            tracing::debug!("not asked for");
        });
        let text = log.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["listed", "rows=2", "request_id=\"r-1\"", "trace_id=\"t-1\""] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
