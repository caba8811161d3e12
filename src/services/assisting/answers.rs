//! What models write, brought into form or refused.

use serde::de::DeserializeOwned;

use super::work::Stop;
use crate::services::indexing::sentences;
use crate::services::prompting;
use crate::services::words::{is_cjk, is_mostly_cjk};

/// JSON of the form that was asked for, and nothing else.
pub fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, Stop> {
    let text = unfenced(text.trim());
    serde_json::from_str(text).map_err(|error| {
        tracing::debug!(%error, "a model did not write the JSON that it was asked for");
        Stop::bad_output("it is not the JSON that was asked for")
    })
}

/// Without the fence that models like to put around an answer.
pub fn unfenced(text: &str) -> &str {
    let inside = text.strip_prefix("```").and_then(|rest| rest.trim_end().strip_suffix("```"));
    let inside = inside.filter(|inside| !inside.contains("```"));
    inside.and_then(|inside| inside.split_once('\n')).map_or(text, |(_, body)| body.trim())
}

/// One line without the quotation marks around it.
pub fn one_line(text: &str) -> String {
    const MARKS: &[(char, char)] = &[('"', '"'), ('“', '”'), ('「', '」'), ('\'', '\''), ('《', '》')];
    let line = prompting::one_line(text);
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    let inside = MARKS.iter().find_map(|(open, close)| line.strip_prefix(*open)?.strip_suffix(*close));
    match inside {
        Some(inside) if !inside.contains(['"', '“', '「', '《']) => inside.trim().to_owned(),
        _ => line,
    }
}

/// At most so many characters: whole sentences where they say enough, else whole words.
pub fn shortened(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let mut kept = String::new();
    for sentence in sentences(text) {
        if kept.chars().count() + sentence.trim_end().chars().count() > chars {
            break;
        }
        kept.push_str(sentence);
    }
    if kept.chars().count() >= chars / 3 {
        return kept.trim_end().to_owned();
    }
    let head: String = text.chars().take(chars - 1).collect();
    let end = head.rfind(char::is_whitespace).filter(|end| *end > head.len() / 2).unwrap_or(head.len());
    format!("{}…", head[..end].trim_end())
}

/// Errors: it is written in another script than the language is.
pub fn in_script_of(language: &str, answer: &str) -> Result<(), Stop> {
    match is_eastern(language) {
        true if !answer.chars().any(is_cjk) => Err(Stop::bad_output("it is not in the language of the post")),
        false if is_mostly_cjk(answer) => Err(Stop::bad_output("it is not in the language of the post")),
        _ => Ok(()),
    }
}

/// Whether a language is written in Chinese characters or kana.
pub fn is_eastern(language: &str) -> bool {
    matches!(language.split('-').next(), Some("zh" | "ja"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_an_answer_goes() {
        assert_eq!(one_line(" \"Ink\n and  soot.\" "), "Ink and soot.");
        assert_eq!(one_line("“墨与烟”"), "墨与烟");
        assert_eq!(one_line("\"A\" and \"B\""), "\"A\" and \"B\"");
        assert_eq!(unfenced("```json\n{}\n```"), "{}");
        assert_eq!(unfenced("```\na\n```\nb\n```\nc\n```"), "```\na\n```\nb\n```\nc\n```");
        assert!(parsed::<Vec<u8>>("```json\n[1]\n```").is_ok_and(|it| it == [1]));
        assert!(parsed::<Vec<u8>>("Sure! [1]").is_err());
    }

    #[test]
    fn a_long_answer_ends_with_a_sentence() {
        let text = format!("{} The rest is left out.", "It says something. ".repeat(15).trim_end());
        let short = shortened(&text, 100);
        assert!(short.ends_with("something.") && short.chars().count() <= 100, "{short}");
        let endless = shortened(&"word ".repeat(100), 50);
        assert!(endless.ends_with("word…") && endless.chars().count() <= 50, "{endless}");
        assert_eq!(shortened(&"墨".repeat(400), 300).chars().count(), 300);
    }
}
