//! What every prompt of this server is made with: the owner's own words where there are any, texts
//! of others that cannot be taken for a mark, and a guess at what they take.
//!
//! Imported by `chatting`, `assisting`, `connecting` and `searching`.

use std::borrow::Cow;
use std::path::Path;

use tokio::io::AsyncReadExt;

use crate::inference::{Engine, PROVIDED, Task};

/// What every mark begins with.
pub(super) const MARK: &str = "<<<";
/// A longer prompt would leave no room for anything else.
const MAX_PROMPT_BYTES: u64 = 16 * 1024;
/// What a model takes where nobody knows.
const CONTEXT: usize = 2048;

/// Most tokens that the model takes which will be asked to write.
pub(super) fn context(engine: &Engine) -> usize {
    let models = engine.models();
    let writes = models.iter().find(|model| model.deployed && model.card.task == Task::Generate);
    writes.map_or(CONTEXT, |model| model.card.context)
}

/// What a word that was said counts less the next time, for the small models that run here: they like to say
/// things again. A provider's do not, and OpenAI's API has no word for it.
pub(super) fn repetition_penalty(engine: &Engine) -> f32 {
    let is_here = engine.deployed(Task::Generate).is_none_or(|card| card.architecture != PROVIDED);
    if is_here { 1.05 } else { 1.0 }
}

/// What a model is told: the owner's file of this name in `folder`, else what is built in.
pub(super) async fn template(folder: &Path, file: &str, built_in: &'static str) -> Cow<'static, str> {
    own_template(folder, file).await.map_or(Cow::Borrowed(built_in), Cow::Owned)
}

async fn own_template(folder: &Path, file: &str) -> Option<String> {
    let path = folder.join(file);
    let read = async {
        let opened = tokio::fs::File::open(&path).await?;
        let mut text = String::new();
        opened.take(MAX_PROMPT_BYTES + 1).read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    match read.await {
        Ok(text) if text.len() as u64 > MAX_PROMPT_BYTES => {
            tracing::warn!(file, "the prompt is longer than {MAX_PROMPT_BYTES} bytes: the built-in one is used");
            None
        }
        Ok(text) if text.trim().is_empty() => {
            tracing::warn!(file, "the prompt is empty: the built-in one is used");
            None
        }
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(file, %error, "the prompt cannot be read: the built-in one is used");
            None
        }
    }
}

/// Puts values into their places, once: a value that looks like a place stays as it is.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let place = values.iter().find(|(name, _)| rest.starts_with(name));
        let (text, length) = place.map_or(("{", 1), |(name, value)| (*value, name.len()));
        filled.push_str(text);
        rest = &rest[length..];
    }
    filled + rest
}

/// A text that cannot be taken for a mark: nothing invisible, and no three `<` or `>` in a row.
pub(super) fn neutral(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut run = Vec::new();
    for c in text.chars().filter(|c| !is_invisible(*c)).map(Some).chain([None]) {
        match c {
            Some(c @ ('<' | '>')) if run.first().is_none_or(|first| *first == c) => run.push(c),
            other => {
                let harmless = run.len() < 3;
                let plain = |c: &char| match c {
                    c if harmless => *c,
                    '<' => '‹',
                    _ => '›',
                };
                clean.extend(run.iter().map(plain));
                run.clear();
                match other {
                    Some(c @ ('<' | '>')) => run.push(c),
                    Some(c) => clean.push(c),
                    None => {}
                }
            }
        }
    }
    clean
}

/// What a reader does not see and a model reads: controls, marks of direction, joiners, tags.
fn is_invisible(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e01ef}')
}

/// A token is about four letters, or one character of another script.
pub(super) fn about_tokens(text: &str) -> usize {
    text.chars().map(quarters).sum::<usize>().div_ceil(4)
}

/// In quarters of a token.
fn quarters(c: char) -> usize {
    if c.is_ascii() { 1 } else { 4 }
}

/// As much of the beginning as is about so many tokens.
pub(super) fn cut_tokens(text: &str, tokens: usize) -> &str {
    let mut left = tokens * 4;
    let is_over = |(_, c): &(usize, char)| {
        let over = quarters(*c) > left;
        left = left.saturating_sub(quarters(*c));
        over
    };
    let end = text.char_indices().find(is_over);
    end.map_or(text, |(at, _)| &text[..at])
}

/// A text of about so many tokens: where it is longer, its beginning and a little of its end.
pub(super) fn cut_middle(text: &str, tokens: usize) -> Cow<'_, str> {
    if about_tokens(text) <= tokens {
        return Cow::Borrowed(text);
    }
    let mut left = tokens;
    let end = text.char_indices().rev().find(|(_, c)| {
        left = left.saturating_sub(quarters(*c));
        left == 0
    });
    let (head, tail) = (cut_tokens(text, tokens - tokens / 4), end.map_or("", |(at, _)| &text[at..]));
    Cow::Owned(format!("{}\n[…]\n{}", head.trim_end(), tail.trim_start()))
}

/// A text on one line, with one space between its words.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first characters.
pub(super) fn cut(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        assert_eq!(cut_middle("short", 10), "short");
        let text = format!("begin {} end", "middle ".repeat(500));
        let cut = cut_middle(&text, 100);
        assert!(cut.starts_with("begin ") && cut.ends_with(" end") && cut.contains("[…]"), "{cut}");
        assert!((80..=104).contains(&about_tokens(&cut)), "{} tokens", about_tokens(&cut));
        assert!(cut_middle(&"墨".repeat(500), 0).trim().starts_with('['), "nothing is left");
    }
}
