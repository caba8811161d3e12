//! A post in parts that a model can take, one after the other: a post may be longer than what any
//! model reads at once.

use std::ops::Range;

use crate::services::indexing::sentences;
use crate::services::markdown::source_blocks;
use crate::services::prompting::{about_tokens, cut_tokens};

/// The prose of a post in parts of about so many tokens, in bytes of its source. Code, HTML and
/// formulas that stand for themselves are in none.
pub fn parts(markdown: &str, tokens: usize) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    // Whether the next block may join the last part.
    let mut open = false;
    for block in source_blocks(markdown) {
        if block.verbatim {
            open = false;
            continue;
        }
        let joined = parts.last().map(|last| last.start..block.range.end).filter(|_| open);
        match joined.filter(|range| about_tokens(&markdown[range.clone()]) <= tokens) {
            Some(range) => {
                parts.pop();
                parts.push(range);
            }
            None => parts.extend(split(markdown, block.range, tokens)),
        }
        open = true;
    }
    parts
}

/// A range in ranges of about so many tokens: between lines where it can be, else between sentences,
/// else anywhere.
pub fn split(text: &str, range: Range<usize>, tokens: usize) -> Vec<Range<usize>> {
    let tokens = tokens.max(1);
    let whole = &text[range.clone()];
    if about_tokens(whole) <= tokens {
        return vec![range];
    }
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = range.start;
    for piece in whole.split_inclusive('\n').flat_map(|line| smaller(line, tokens)) {
        let end = at + piece.len();
        match found.last_mut() {
            Some(last) if about_tokens(&text[last.start..end]) <= tokens => last.end = end,
            _ => found.push(at..end),
        }
        at = end;
    }
    found.retain(|range| !text[range.clone()].trim().is_empty());
    found
}

fn smaller(line: &str, tokens: usize) -> Vec<&str> {
    if about_tokens(line) <= tokens {
        return vec![line];
    }
    let mut pieces = Vec::new();
    for mut sentence in sentences(line) {
        while about_tokens(sentence) > tokens {
            let head = cut_tokens(sentence, tokens).len().max(sentence.chars().next().map_or(1, char::len_utf8));
            pieces.push(&sentence[..head]);
            sentence = &sentence[head..];
        }
        pieces.push(sentence);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn code_stands_between_parts() {
        let markdown = "# Ink\n\nOn ink.\n\n```\nx\n```\n\nMore.\n\nAnd more.\n";
        let shown: Vec<&str> = parts(markdown, 100).into_iter().map(|range| &markdown[range]).collect();
        assert_eq!(shown, ["# Ink\n\nOn ink.", "More.\n\nAnd more."]);
        assert_eq!(parts(markdown, 3).len(), 4, "each block by itself");
        assert!(parts("```\nonly code\n```\n", 10).is_empty());
    }

    #[test]
    fn a_long_paragraph_is_cut_between_sentences() {
        let text = "这是一句话。".repeat(20);
        let ranges = parts(&text, 30);
        assert!(ranges.len() >= 4, "{ranges:?}");
        assert!(ranges.iter().all(|range| text[range.clone()].ends_with('。')));
    }

    proptest! {
        #[test]
        fn no_prose_is_lost(text in "([a-z]{1,9}[ .]|墨。|[水石]{1,40}|\n\n|# h\n\n){0,80}", tokens in 1usize..40) {
            let ranges = parts(&text, tokens);
            let kept: String = ranges.iter().map(|range| &text[range.clone()]).collect();
            let dense = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert!(dense(&kept) == dense(&text) || text.contains("    ") || dense(&text).contains('#'));
            for range in ranges {
                prop_assert!(about_tokens(&text[range.clone()]) <= tokens, "{range:?}");
            }
        }
    }
}
