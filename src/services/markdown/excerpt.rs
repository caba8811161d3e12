//! A post's plain text: its excerpt and its number of words. Imported by this room only.

use crate::services::slug::is_combining;
use comrak::arena_tree::NodeEdge;
use comrak::nodes::{AstNode, NodeValue};

/// An excerpt has at most this many characters, and an ellipsis.
const MAX_EXCERPT_CHARS: usize = 200;
/// A sentence that ends before this character does not end the excerpt.
const MIN_SENTENCE_CHARS: usize = 80;

/// What `collect` gives.
pub(super) struct PlainText {
    pub(super) excerpt: String,
    pub(super) words: u32,
}

/// Reads the tree: prose for the excerpt, everything but code blocks and raw HTML for the count.
pub(super) fn collect<'a>(root: &'a AstNode<'a>) -> PlainText {
    let (mut all, mut prose) = (String::new(), String::new());
    // Depth inside what is not prose (headings, tables, footnotes) and inside pictures.
    let (mut aside, mut picture) = (0_u32, 0_u32);
    for edge in root.traverse() {
        let (node, start) = match edge {
            NodeEdge::Start(node) => (node, true),
            NodeEdge::End(node) => (node, false),
        };
        let value = &node.data().value;
        let depth = match value {
            NodeValue::Heading(_) | NodeValue::Table(_) | NodeValue::FootnoteDefinition(_) => &mut aside,
            NodeValue::Image(_) => &mut picture,
            _ => &mut 0,
        };
        *depth = if start { *depth + 1 } else { depth.saturating_sub(1) };
        let text = match value {
            NodeValue::Text(text) if start => text,
            NodeValue::Code(code) if start => code.literal.as_str(),
            NodeValue::Math(math) if start => math.literal.as_str(),
            NodeValue::SoftBreak | NodeValue::LineBreak if start => " ",
            value if value.block() => "\n",
            _ => continue,
        };
        if picture == 0 {
            all.push_str(text);
            if aside == 0 && prose.len() < 8 * MAX_EXCERPT_CHARS {
                prose.push_str(text);
            }
        }
    }
    PlainText { excerpt: cut(&prose), words: count_words(&all) }
}

/// The beginning of the text on one line, cut after a sentence or a word.
pub(super) fn cut(text: &str) -> String {
    let mut line = String::new();
    let mut chars = 0;
    for word in text.split_whitespace() {
        if chars > MAX_EXCERPT_CHARS + 1 {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        chars += word.chars().count() + 1;
    }
    let Some((limit, _)) = line.char_indices().nth(MAX_EXCERPT_CHARS) else {
        return line;
    };
    if let Some(end) = sentence_end(&line, limit) {
        return line[..end].to_owned();
    }
    let end = word_end(&line, limit);
    format!("{}…", line[..end].trim_end_matches(|c: char| c.is_whitespace() || "，,、；;：:".contains(c)))
}

/// Where the last full sentence ends, if that leaves enough.
fn sentence_end(line: &str, limit: usize) -> Option<usize> {
    let (least, _) = line.char_indices().nth(MIN_SENTENCE_CHARS)?;
    line[..limit]
        .char_indices()
        .filter(|(at, c)| {
            let next = line[at + c.len_utf8()..].chars().next();
            match c {
                '。' | '！' | '？' => !matches!(next, Some('”' | '’' | '」' | '』' | '）')),
                '.' | '!' | '?' => next == Some(' '),
                _ => false,
            }
        })
        .map(|(at, c)| at + c.len_utf8())
        .rfind(|end| *end > least)
}

/// The last place at or before `limit` between two words or beside a Chinese character.
///
/// A word that fills the whole line is cut, but not inside what a reader sees as one character.
fn word_end(line: &str, limit: usize) -> usize {
    let boundary = |at: usize, of_words: bool| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        let after = line[at..].chars().next().unwrap_or(' ');
        let joined = is_joining(after) || before == '\u{200d}';
        let apart = before.is_whitespace() || after.is_whitespace() || is_cjk(before) || is_cjk(after);
        !joined && (apart || !of_words)
    };
    let places = || (1..=limit).rev().filter(|at| line.is_char_boundary(*at));
    places().find(|at| boundary(*at, true)).or_else(|| places().find(|at| boundary(*at, false))).unwrap_or(limit)
}

/// Continues the character before it: marks, emoji joiners and skin tones.
fn is_joining(c: char) -> bool {
    is_combining(c) || c == '\u{200d}' || matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

/// Chinese characters and kana one by one, the rest by words.
pub(super) fn count_words(text: &str) -> u32 {
    let mut words = 0_u32;
    let mut in_word = false;
    for c in text.chars() {
        if is_cjk(c) {
            words = words.saturating_add(u32::from(c.is_alphanumeric()));
            in_word = false;
        } else if c.is_whitespace() {
            in_word = false;
        } else if c.is_alphanumeric() && !in_word {
            words = words.saturating_add(1);
            in_word = true;
        }
    }
    words
}

/// Han, kana and their punctuation. Not Hangul: Korean writes spaces between words.
fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{2e80}'..='\u{312f}' | '\u{3190}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe4f}' | '\u{ff01}'..='\u{ff9f}' | '\u{20000}'..='\u{3134f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_counted_by_script() {
        for (text, words) in [
            ("", 0),
            ("one two-three don't", 3),
            ("你好，世界", 4),
            ("用Rust写的 backend。", 5),
            ("カタカナ and 漢字", 7),
            ("한국어 단어", 2),
            ("--- *** !", 0),
        ] {
            assert_eq!(count_words(text), words, "words of {text:?}");
        }
    }

    #[test]
    fn a_cut_ends_with_a_sentence_or_a_word() {
        assert_eq!(cut("short\n\ntext"), "short text");
        let sentences = "A sentence of some words. ".repeat(20);
        assert!(cut(&sentences).ends_with("words."));
        let chinese = "这是一个句子，它不太长。".repeat(40);
        assert!(cut(&chinese).ends_with('。'));
        assert_eq!(cut(&"word ".repeat(90)), format!("{}…", "word ".repeat(40).trim_end()));
        assert_eq!(cut(&"字".repeat(500)), format!("{}…", "字".repeat(200)));
        let marked = cut(&"e\u{301}".repeat(150));
        assert_eq!(marked, format!("{}…", "e\u{301}".repeat(100)));
        let family = "👨\u{200d}👩\u{200d}👧";
        let emoji = cut(&family.repeat(60));
        assert_eq!(emoji, format!("{}…", family.repeat(40)));
    }

    proptest! {
        #[test]
        fn a_cut_is_short_and_a_beginning(text in "[a字é。. \u{301}😀-]{0,400}") {
            let cut = cut(&text);
            prop_assert!(cut.chars().count() <= MAX_EXCERPT_CHARS + 1);
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown = if line.chars().count() > MAX_EXCERPT_CHARS { cut.trim_end_matches('…') } else { &cut };
            prop_assert!(line.starts_with(shown));
            prop_assert!(shown == line || cut.ends_with(['…', '.', '。']));
        }
    }
}
