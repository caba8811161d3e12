//! What a post is about, in a few sentences.

use super::Suggestion;
use super::answers::{in_script_of, one_line, shortened};
use super::work::{Stop, Task, Work};

/// Longest summary.
pub const MAX_CHARS: usize = 300;
/// What those may take, in the scripts that take most.
const MAX_TOKENS: usize = 320;
const TASK: Task<'static> = Task {
    file: "summary.txt",
    built_in: include_str!("prompts/summary.txt"),
    values: &[],
    order: "Write the summary.",
    max_tokens: MAX_TOKENS,
    schema: None,
    picture: None,
};

pub async fn make(work: &mut Work) -> Result<Suggestion, Stop> {
    work.start(1).await?;
    let written = work.write_of_post(&TASK).await?;
    let text = shortened(&one_line(&written.text), MAX_CHARS);
    if !text.chars().any(char::is_alphanumeric) {
        return Err(Stop::bad_output("it is empty"));
    }
    in_script_of(&work.source.row.language, &text)?;
    Ok(Suggestion::Summary { text })
}
