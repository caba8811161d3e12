//! The part of a text that shows why it was found, with what was looked for marked.

use std::ops::Range;

use super::query::Marks;
use crate::services::prompting::one_line;
use crate::services::words::{Stems, tokens};

/// Length of a snippet, in characters of one column; Chinese ones take two.
const COLUMNS: usize = 220;

/// Plain text, and which parts of it were looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snippet {
    pub text: String,
    /// In UTF-16 units, as JavaScript counts: apart, in order.
    pub ranges: Vec<Range<usize>>,
}

/// The whole of a short text, such as a title.
pub fn marked(text: &str, marks: &Marks, stems: &Stems) -> Snippet {
    let ranges = found(text, marks, stems);
    Snippet { ranges: in_utf16(text, &ranges), text: text.to_owned() }
}

/// The part of a text where most of what was looked for stands together.
pub fn snippet(text: &str, marks: &Marks, stems: &Stems) -> Snippet {
    let line = one_line(text);
    let found = found(&line, marks, stems);
    let (begin, end) = window(&line, &found);
    let mut shown = String::new();
    if begin > 0 {
        shown.push('…');
    }
    let shift = shown.len();
    shown.push_str(line[begin..end].trim_end());
    if end < line.len() {
        shown.push('…');
    }
    let inside = found.into_iter().filter(|range| range.start >= begin && range.end <= end);
    let moved: Vec<_> = inside.map(|range| range.start - begin + shift..range.end - begin + shift).collect();
    Snippet { ranges: in_utf16(&shown, &moved), text: shown }
}

/// Where the marked tokens stand, in bytes; those that touch are one.
fn found(text: &str, marks: &Marks, stems: &Stems) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for token in tokens(text).into_iter().filter(|token| marks.has(token, stems)) {
        // Of a pair that was found by its first character only that one is meant.
        let end = if marks.is_character(&token) { token.start + first_length(&text[token.start..]) } else { token.end };
        match ranges.last_mut() {
            Some(last) if last.end >= token.start => last.end = last.end.max(end),
            _ => ranges.push(token.start..end),
        }
    }
    ranges
}

fn first_length(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// The window that holds most of what was found, begun a little before it and at a word.
fn window(line: &str, found: &[Range<usize>]) -> (usize, usize) {
    let best = found.iter().max_by_key(|first| {
        let end = after(line, first.start, COLUMNS * 3 / 4);
        let inside = found.iter().filter(|range| range.start >= first.start && range.end <= end).count();
        // Of two that are as good the first.
        (inside, std::cmp::Reverse(first.start))
    });
    let Some(best) = best else { return (0, cut(line, after(line, 0, COLUMNS))) };
    let whole = after(line, 0, COLUMNS);
    if best.start < whole / 2 {
        return (0, cut(line, whole));
    }
    let begin = before(line, best.start, COLUMNS / 4);
    (begin, cut(line, after(line, begin, COLUMNS)))
}

/// Where `columns` columns behind `from` end.
fn after(line: &str, from: usize, columns: usize) -> usize {
    let mut left = columns;
    for (at, c) in line[from..].char_indices() {
        let width = if c.is_ascii() { 1 } else { 2 };
        if left < width {
            return from + at;
        }
        left -= width;
    }
    line.len()
}

/// A beginning about so many columns before `at`: behind a sentence's end, else at a word.
fn before(line: &str, at: usize, columns: usize) -> usize {
    let mut left = columns;
    let mut begin = at;
    let mut word = at;
    for (place, c) in line[..at].char_indices().rev() {
        let width = if c.is_ascii() { 1 } else { 2 };
        if left < width {
            break;
        }
        left -= width;
        if matches!(c, '。' | '！' | '？') || (c == ' ' && line[..place].ends_with(['.', '!', '?'])) {
            return place + c.len_utf8();
        }
        if c == ' ' || !c.is_ascii() {
            word = if c == ' ' { place + 1 } else { place };
        }
        begin = place;
    }
    if begin == 0 { 0 } else { word }
}

/// `end`, or the last end of a word before it.
fn cut(line: &str, end: usize) -> usize {
    if end == line.len() || !line.as_bytes()[end - 1].is_ascii_alphanumeric() || line[end..].starts_with(' ') {
        return end;
    }
    line[..end].rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(end, |at| at + first_length(&line[at..]))
}

fn in_utf16(text: &str, ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let (mut bytes, mut units) = (0, 0);
    let mut to_units = |at: usize| {
        units += text[bytes..at].encode_utf16().count();
        bytes = at;
        units
    };
    ranges.iter().map(|range| to_units(range.start)..to_units(range.end)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::query;
    use super::super::survey::Survey;
    use super::*;

    fn show(typed: &str, text: &str, language: &str) -> String {
        let marks = query::read(typed, &Survey::default(), &[language.to_owned()]).marks;
        let Snippet { text, ranges } = snippet(text, &marks, &Stems::of(language));
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut shown = String::new();
        let mut at = 0;
        for range in ranges {
            shown += &String::from_utf16(&units[at..range.start]).expect("whole characters");
            shown += &format!("[{}]", String::from_utf16(&units[range.clone()]).expect("whole characters"));
            at = range.end;
        }
        shown + &String::from_utf16(&units[at..]).expect("whole characters")
    }

    #[test]
    fn what_was_looked_for_is_marked_in_its_forms() {
        assert_eq!(
            show("grinding ink ", "Grind the ink, 墨 and 🖋 inkstones.", "en"),
            "[Grind] the [ink], 墨 and 🖋 inkstones."
        );
        assert_eq!(show("inksto", "🖋 Inkstones", "en"), "🖋 [Inkstones]");
        assert_eq!(show("研墨", "先研墨，再研墨法。", "zh"), "先[研墨]，再[研墨]法。");
        assert_eq!(show("墨", "研墨和墨水", "zh"), "研[墨]和[墨]水");
        assert_eq!(show("研墨法", "好的研墨法。", "zh"), "好的[研墨法]。");
    }

    #[test]
    fn a_long_text_is_shown_where_it_matters() {
        let text = format!("{} Then we grind the ink. {}", "Nothing here. ".repeat(60), "Nothing more. ".repeat(60));
        let shown = show("grind ink ", &text, "en");
        assert!(shown.starts_with('…') && shown.ends_with('…'), "{shown}");
        assert!(shown.contains("we [grind] the [ink]"), "{shown}");
        assert!(shown.chars().count() < COLUMNS + 20);
    }

    proptest! {
        #[test]
        fn ranges_lie_in_the_text(text in "([a-z]{1,8} |墨|🖋|é|。){0,120}", typed in "[a-z墨]{1,4}") {
            let marks = query::read(&typed, &Survey::default(), &[]).marks;
            let snippet = snippet(&text, &marks, &Stems::of("en"));
            let length = snippet.text.encode_utf16().count();
            let mut at = 0;
            for range in &snippet.ranges {
                prop_assert!(range.start >= at && range.start < range.end && range.end <= length);
                at = range.end;
            }
        }
    }
}
