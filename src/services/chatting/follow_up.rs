//! A question that leans on what was said before, as one that can be looked for.
//!
//! The cheap rule comes first: such a question is looked for together with the one before it. Only
//! where that finds nothing is a model asked to say it in full, within few tokens and little time.

use std::time::Duration;

use futures_util::StreamExt;

use super::language::{is_courtesy, is_han};
use super::threads::Turn;
use crate::inference::{Engine, GenerateOptions, GenerateRequest, InferenceError, Message, Piece, Prompt, Role, Usage};
use crate::services::prompting::cut;

/// A question of so few words, or Chinese characters, says little by itself.
const FEW_WORDS: usize = 2;
const FEW_CHARACTERS: usize = 4;
/// Words that mean something that was named before.
const POINTING: &[&str] = &[
    "it", "its", "they", "them", "their", "theirs", "he", "him", "his", "she", "her", "hers", "this", "that", "these",
    "those", "there", "one", "ones", "former", "latter", "same", "above", "else",
];
/// Beginnings that go on from something.
const GOING_ON: &[&str] = &["and ", "or ", "but ", "so ", "also ", "then ", "what about ", "how about ", "why not "];
/// Questions that name nothing themselves.
const MORE: &[&str] = &["tell me more", "what else", "can you explain", "please go on"];
/// The same in Chinese, wherever they stand.
const POINTING_HAN: &[&str] = &["它", "他", "她", "这", "那", "其", "此", "该", "上面", "刚才", "前者", "后者", "呢"];
/// Of the question before, in characters: its subject stands in it, and it should not drown the new one.
const BEFORE_CHARS: usize = 300;
/// The same of the question itself.
const QUESTION_CHARS: usize = 500;
/// What a model may take to say a question in full. It is one line.
const REWRITE_TOKENS: usize = 48;
const REWRITE_TIME: Duration = Duration::from_secs(3);
/// A longer line is no question.
const REWRITE_CHARS: usize = 300;
const REWRITE: &str = "Say the reader's last question in full, so that it can be understood without the conversation. \
                       Answer with the question only, in its language.";

/// Whether a question cannot be understood without what was said before.
pub fn is_follow_up(question: &str) -> bool {
    let lower = question.trim().to_lowercase();
    if says_little(&lower) {
        return true;
    }
    if lower.chars().any(is_han) {
        return POINTING_HAN.iter().any(|word| lower.contains(word));
    }
    GOING_ON.iter().any(|start| lower.starts_with(start)) || words(&lower).any(|word| POINTING.contains(&word))
}

/// Whether a question in lower case is nothing without what was said before.
fn says_little(question: &str) -> bool {
    if question.chars().any(is_han) {
        return question.chars().filter(|c| c.is_alphanumeric()).count() <= FEW_CHARACTERS;
    }
    words(question).count() <= FEW_WORDS || MORE.iter().any(|start| question.starts_with(start))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The last question before that asked something.
pub fn last_asked(before: &[Turn]) -> Option<&Turn> {
    before.iter().rev().find(|turn| !is_courtesy(&turn.question))
}

/// What to look for.
pub fn query(question: &str, before: Option<&Turn>) -> String {
    match before {
        Some(turn) if is_follow_up(question) => format!("{} {question}", cut(&turn.question, BEFORE_CHARS)),
        _ => question.to_owned(),
    }
}

/// What a sentence is to answer: the question itself, which the one before it would drown, unless it says little.
pub fn answered(question: &str, before: Option<&Turn>) -> String {
    if says_little(&question.trim().to_lowercase()) { query(question, before) } else { question.to_owned() }
}

/// The question in full, as a model says it; `None` where it does not say it in time. `spent` is what that
/// took so far, also where nobody waits for it any more.
pub async fn in_full(engine: &Engine, question: &str, before: &[Turn], spent: &mut Usage) -> Option<String> {
    let asked = tokio::time::timeout(REWRITE_TIME, write(engine, question, before, spent)).await;
    let text = match asked {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a question is looked for as it is");
            return None;
        }
        Err(_) => return None,
    };
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    line.filter(|line| line.chars().count() <= REWRITE_CHARS)
}

async fn write(engine: &Engine, question: &str, before: &[Turn], spent: &mut Usage) -> Result<String, InferenceError> {
    let mut said = String::new();
    for turn in before.iter().rev().take(2).rev() {
        let (asked, answered) = (cut(&turn.question, BEFORE_CHARS), cut(&turn.answer, BEFORE_CHARS));
        said.push_str(&format!("Reader: {asked}\nSite: {answered}\n"));
    }
    let messages = vec![
        Message::new(Role::System, REWRITE),
        Message::new(
            Role::User,
            format!("{said}Reader: {}\n\nThe last question in full:", cut(question, QUESTION_CHARS)),
        ),
    ];
    let options = GenerateOptions { max_tokens: Some(REWRITE_TOKENS), temperature: 0.0, ..GenerateOptions::default() };
    let request = GenerateRequest { prompt: Prompt::Messages(messages), tools: Vec::new(), options };
    let read = request.prompt.about_tokens();
    let mut pieces = engine.generate(None, request).await?;
    spent.prompt_tokens = read;
    let mut text = String::new();
    while let Some(piece) = pieces.next().await {
        match piece? {
            Piece::Text { text: more, .. } => {
                spent.completion_tokens += 1;
                text.push_str(&more);
            }
            Piece::Done { usage, .. } => *spent = usage,
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leans_on_something_is_known() {
        for question in
            ["And in winter?", "Who makes it?", "why?", "What about paper", "它是谁写的？", "那纸呢", "多少钱"]
        {
            assert!(is_follow_up(question), "{question:?}");
        }
        for question in ["How is ink made from soot?", "Which clocks does Rust have?", "墨水瓶里的雨是什么意思"]
        {
            assert!(!is_follow_up(question), "{question:?}");
        }
    }

    #[test]
    fn a_courtesy_between_is_passed_over() {
        let turn = |question: &str| Turn { question: question.into(), answer: "…".into() };
        let before = [turn("How is ink made?"), turn("Thanks!")];
        assert_eq!(last_asked(&before).map(|turn| turn.question.as_str()), Some("How is ink made?"));
        assert!(last_asked(&before[1..]).is_none());
    }

    #[test]
    fn a_follow_up_is_looked_for_with_the_question_before() {
        let before = Turn { question: "How is ink made?".into(), answer: "Of soot.".into() };
        assert_eq!(query("Who makes it?", Some(&before)), "How is ink made? Who makes it?");
        assert_eq!(query("Who makes it?", None), "Who makes it?");
        assert_eq!(query("Which clocks does Rust have?", Some(&before)), "Which clocks does Rust have?");
    }
}
