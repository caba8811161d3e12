//! Log lines of one test, kept in memory. Compiled for tests only.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::Value;
use tracing::Dispatch;
use tracing::dispatcher::DefaultGuard;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::fmt::MakeWriter;

/// While only one dispatcher lives, tracing decides a call site's interest by whichever thread
/// reaches it first, and a test running beside this one could silence it. So two always live.
static KEEP_INTEREST_SHARED: LazyLock<[Dispatch; 2]> =
    LazyLock::new(|| [Dispatch::new(NoSubscriber::new()), Dispatch::new(NoSubscriber::new())]);

/// Catches what this thread logs until it is dropped.
pub(crate) struct Capture {
    lines: Lines,
    _guard: DefaultGuard,
}

impl Capture {
    pub(crate) fn start(filter: &str, json: bool) -> Self {
        LazyLock::force(&KEEP_INTEREST_SHARED);
        let lines = Lines::default();
        let filter = super::parse_filter(filter).expect("a test's filter is well formed");
        let output = super::log_output(filter, json, false, lines.clone());
        Self { lines, _guard: tracing::dispatcher::set_default(&output) }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().expect("no test panics while it logs").clone()).expect("logs are UTF-8")
    }

    /// The lines as JSON objects, for a capture that was started with `json`.
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics while it logs").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
