//! Log events as one JSON object a line, the fields of the enclosing spans beside the event's own.
//!
//! `tracing-subscriber`'s own JSON nests span fields in a list; flat, every line of a request has
//! `request_id` and `trace_id` where a log search looks for them.

use std::error::Error;
use std::fmt::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::with_causes;

/// Keys of [`Line`] that a field must not overwrite. `message` is the event's own text.
const RESERVED: [&str; 3] = ["timestamp", "level", "target"];

/// Where the `log` crate's bridge puts what its records carry besides their text.
const LOG_BRIDGE: [&str; 4] = ["log.target", "log.module_path", "log.file", "log.line"];

/// Formats events as flat JSON objects; inner spans overwrite outer ones, the event both.
pub(super) struct JsonLines;

#[derive(Serialize)]
struct Line<'a> {
    /// RFC 3339, UTC.
    timestamp: &'a str,
    level: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Value>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl<S> FormatEvent<S, SpanFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, SpanFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = span_fields(context);
        event.record(&mut Collect(&mut fields));
        let logged_target = fields.get("log.target").and_then(Value::as_str).map(str::to_owned);
        LOG_BRIDGE.iter().for_each(|key| drop(fields.remove(*key)));
        for key in RESERVED {
            if let Some(value) = fields.remove(key) {
                fields.insert(format!("field_{key}"), value);
            }
        }
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let line = Line {
            timestamp: &timestamp,
            level: event.metadata().level().as_str(),
            target: logged_target.as_deref().unwrap_or(event.metadata().target()),
            message: fields.remove("message"),
            fields,
        };
        writer.write_str(&serde_json::to_string(&line).map_err(|_| fmt::Error)?)?;
        writer.write_char('\n')
    }
}

fn span_fields<S>(context: &FmtContext<'_, S, SpanFields>) -> Map<String, Value>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut fields = Map::new();
    for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
        let extensions = span.extensions();
        let Some(text) = extensions.get::<FormattedFields<SpanFields>>() else {
            continue;
        };
        let object = format!("{{{}}}", text.fields.trim_end_matches(','));
        if let Ok(Value::Object(own)) = serde_json::from_str(&object) {
            fields.extend(own);
        }
    }
    fields
}

/// The fields of a span as what stands inside a JSON object, with a comma behind each. Every request has a span
/// and few write a line, so this is plainer than `tracing-subscriber`'s own.
pub(super) struct SpanFields;

impl<'w> FormatFields<'w> for SpanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut inside = Inside { writer, written: Ok(()) };
        fields.record(&mut inside);
        inside.written
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

struct Inside<'w> {
    writer: Writer<'w>,
    written: fmt::Result,
}

impl Inside<'_> {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = field.name().trim_start_matches("r#");
        self.written = self.written.and_then(|()| write!(self.writer, "\"{name}\":{value},"));
    }

    /// In pieces, without what `write!` does for each of them.
    fn put_text(&mut self, field: &Field, text: impl FnOnce(&mut Escaping<'_>) -> fmt::Result) {
        let put = || {
            self.writer.write_char('"')?;
            self.writer.write_str(field.name().trim_start_matches("r#"))?;
            self.writer.write_str("\":\"")?;
            text(&mut Escaping(&mut self.writer))?;
            self.writer.write_str("\",")
        };
        if self.written.is_ok() {
            self.written = put();
        }
    }
}

impl Visit for Inside<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.put(field, format_args!("{value:?}")),
            false => self.put(field, format_args!("null")),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, |to| to.write_str(value));
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.put_text(field, |to| to.write_str(&with_causes(error)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, |to| write!(to, "{value:?}"));
    }
}

/// Writes what stands between the quotes of a JSON string.
struct Escaping<'a>(&'a mut dyn fmt::Write);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte < b' ' || byte == b'"' || byte == b'\\' {
                self.0.write_str(&text[plain..at])?;
                write!(self.0, "\\u{byte:04x}")?;
                plain = at + 1;
            }
        }
        self.0.write_str(&text[plain..])
    }
}

/// Collects an event's fields.
struct Collect<'a>(&'a mut Map<String, Value>);

impl Collect<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().trim_start_matches("r#").to_owned(), value.into());
    }
}

impl Visit for Collect<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.put(field, with_causes(error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::capture::Capture;

    #[test]
    fn span_fields_stand_beside_the_events_own() {
        let log = Capture::start("info", true);
        let request = tracing::error_span!("request", request_id = "r-1", trace_id = "t-1", step = "outer");
        let inner = request.in_scope(|| tracing::error_span!("inner", step = "inner"));
        inner.in_scope(|| tracing::info!(rows = 2_u64, ratio = 0.5, done = true, "listed {}", "posts"));
        let lines = log.objects();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = &lines[0];
        assert_eq!(line["request_id"], "r-1");
        assert_eq!(line["trace_id"], "t-1");
        assert_eq!(line["step"], "inner", "the inner span's value wins");
        assert_eq!((&line["rows"], &line["ratio"], &line["done"]), (&2.into(), &0.5.into(), &true.into()));
        assert_eq!(line["message"], "listed posts");
        assert_eq!(line["level"], "INFO");
        assert!(line["target"].as_str().is_some_and(|target| target.ends_with("json_lines::tests")), "{line}");
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    }

    #[test]
    fn a_spans_fields_keep_their_types_and_may_come_later() {
        let log = Capture::start("info", true);
        let failure = std::io::Error::other("no \"ink\"");
        let span = tracing::error_span!(
            "request",
            path = "/a\"b\\c\nd\u{1}é墨",
            method = %"GET",
            shown = ?Some("x"),
            n = -3,
            many = 7_u64,
            ratio = 0.5,
            none = f64::NAN,
            ok = true,
            error = &failure as &dyn std::error::Error,
            late = tracing::field::Empty,
            never = tracing::field::Empty,
        );
        span.record("late", "later");
        span.in_scope(|| tracing::info!("done"));
        let line = &log.objects()[0];
        let given = [
            ("path", "/a\"b\\c\nd\u{1}é墨".into()),
            ("method", "GET".into()),
            ("shown", "Some(\"x\")".into()),
            ("n", (-3).into()),
            ("many", 7.into()),
            ("ratio", 0.5.into()),
            ("none", serde_json::Value::Null),
            ("ok", true.into()),
            ("error", "no \"ink\"".into()),
            ("late", "later".into()),
        ];
        for (name, value) in given {
            assert_eq!(line.get(name), Some(&value), "{name} in {line}");
        }
        assert_eq!(line.get("never"), None);
    }

    #[test]
    fn a_field_cannot_forge_the_level_or_a_second_line() {
        let log = Capture::start("info", true);
        tracing::warn!(level = "INFO", text = "a\n{\"level\":\"ERROR\"}");
        let lines = log.objects();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["level"], "WARN");
        assert_eq!(lines[0]["field_level"], "INFO");
    }

    #[test]
    fn an_error_is_written_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the file")]
        struct Outer(#[source] std::io::Error);

        let log = Capture::start("info", true);
        let error = Outer(std::io::Error::other("disk gone"));
        tracing::error!(error = &error as &dyn std::error::Error, "failed");
        assert_eq!(log.objects()[0]["error"], "cannot read the file: disk gone");
    }
}
