//! A post read part by part.

use std::collections::VecDeque;
use std::ops::Range;

use super::AssistFailure;
use super::parts::{parts, split};
use super::work::{MAX_PARTS, Stop, Task, Work};
use crate::inference::InferenceError;
use crate::services::{RefusalCode, ServiceError};

/// A part that is as small as this is not made smaller.
const LEAST_TOKENS: usize = 16;

/// What a model wrote of a part, and where the part stands.
pub struct Read {
    pub range: Range<usize>,
    /// None where it came to no end, however small the part was made.
    pub text: Option<String>,
}

/// The parts of a post's Markdown, each small enough for the model and without blanks around it.
///
/// Errors: there are too many.
pub fn planned(markdown: &str, tokens: usize) -> Result<Vec<Range<usize>>, ServiceError> {
    let found: Vec<_> = parts(markdown, tokens).into_iter().map(|range| trimmed(markdown, range)).collect();
    if found.len() > MAX_PARTS {
        let message = format!(
            "the post has {} parts of the size that the model reads, and at most {MAX_PARTS} are read: make two posts \
             of it, or deploy a model with a longer context",
            found.len()
        );
        return Err(ServiceError::refuse(RefusalCode::TooLong, "postId", message));
    }
    Ok(found)
}

/// Has a model write about each part. Those that it cannot take, or of which it writes no end, are
/// made smaller. `shown` is what it sees of a part; `before` counts what it wrote before.
pub async fn each(
    work: &mut Work,
    task: &Task<'_>,
    (planned, tokens): (Vec<Range<usize>>, usize),
    before: usize,
    shown: impl Fn(&str) -> String,
) -> Result<Vec<Read>, Stop> {
    let mut read = Vec::new();
    let mut queue: VecDeque<_> = planned.into_iter().map(|range| (range, tokens)).collect();
    let mut asked = 0;
    while let Some((range, tokens)) = queue.pop_front() {
        work.enter(before + asked);
        asked += 1;
        let text = shown(&work.source.markdown[range.clone()]);
        let written = match work.write(task, &text).await {
            Ok(written) if written.is_whole => Some(written.text),
            Ok(_) | Err(Stop::Failure(AssistFailure::Inference(InferenceError::TooLong { .. }))) => None,
            Err(other) => return Err(other),
        };
        if written.is_none() && tokens / 2 >= LEAST_TOKENS && asked < 2 * MAX_PARTS {
            let markdown = &work.source.markdown;
            for half in split(markdown, range, tokens / 2).into_iter().rev() {
                queue.push_front((trimmed(markdown, half), tokens / 2));
            }
        } else {
            read.push(Read { range, text: written });
        }
    }
    Ok(read)
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let begin = range.start + part.len() - part.trim_start().len();
    begin..begin + part.trim().len()
}
