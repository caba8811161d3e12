//! What can go wrong between a text and its vector or its answer.

use std::time::Duration;

use super::Task;

/// An inference that did not come about. The message is fit for clients: it holds no path, no
/// secret and nothing of another caller's text.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InferenceError {
    /// `why`, where that is known.
    #[error("there is no model for this task ({task}): {}", .why.as_deref().unwrap_or(where_to_look(*.task)))]
    NoModel { task: Task, why: Option<String> },
    #[error("{name:?} is no model of this server for this task ({task}): it has {known}")]
    UnknownModel { name: String, task: Task, known: String },
    /// Files are on their way, or being read. `of_bytes` is 0 while the size is not known.
    #[error("the model {model} is not ready yet ({}): try again in a while", progress(*.bytes, *.of_bytes))]
    Loading { model: String, bytes: u64, of_bytes: u64 },
    #[error("the model's queue is full: try again in {} s", .retry_after.as_secs().max(1))]
    Overloaded { retry_after: Duration },
    /// `index` counts the texts of the request from 0.
    #[error("text {index} has {tokens} tokens and the model takes {limit}: send less, or ask for it to be cut")]
    TooLong { index: usize, tokens: usize, limit: usize },
    /// A value that no model could take; the text says which and what would be right.
    #[error("{0}")]
    BadInput(String),
    /// The model broke, or its files are; details are in the log.
    #[error("the model {model} failed: the server's log says why")]
    Failed { model: String },
    /// Of a model elsewhere; `reason` is about the provider.
    #[error("the provider of {model} does not answer as it should: {reason}")]
    Provider { model: String, reason: String, retry_after: Option<Duration> },
    #[error("the server is stopping")]
    Stopping,
}

impl InferenceError {
    /// No model does this, for no known reason.
    pub fn no_model(task: Task) -> Self {
        Self::NoModel { task, why: None }
    }

    /// One of a few fixed words, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoModel { .. } | Self::UnknownModel { .. } => "no_model",
            Self::Loading { .. } => "loading",
            Self::Overloaded { .. } | Self::Stopping => "overloaded",
            Self::TooLong { .. } | Self::BadInput(_) => "bad_input",
            Self::Failed { .. } | Self::Provider { .. } => "failed",
        }
    }
}

fn where_to_look(task: Task) -> &'static str {
    match task {
        Task::Describe => "no model of this machine reads pictures; a provider's may (`provider_describe_model`)",
        Task::Embed | Task::Rerank | Task::Generate => "`inkstone models list` shows what there is",
    }
}

fn progress(bytes: u64, of_bytes: u64) -> String {
    match bytes.saturating_mul(100).checked_div(of_bytes) {
        Some(percent) if bytes < of_bytes => format!("{percent} % of {} MB fetched", of_bytes / 1_000_000),
        _ => "it is being fetched or loaded".to_owned(),
    }
}
