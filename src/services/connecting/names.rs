//! Names: how they are compared, and where they stand in a text.
//!
//! A name is a row of units: a word, folded as search folds it, or one Chinese character. `Node.js`,
//! `node js` and `NODE JS` are the same name.

use crate::services::words::{Form, is_cjk, tokens};

/// Longest name, in characters.
pub const MAX_NAME_CHARS: usize = 60;
/// Units of a text that are looked at: about 200 pages.
const MAX_UNITS: usize = 100_000;

/// A word, or a Chinese character, and where it stands (in bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub text: String,
    pub start: usize,
    pub end: usize,
    pub is_cjk: bool,
}

/// The units of a text, in order.
pub fn units(text: &str) -> Vec<Unit> {
    let mut found = Vec::new();
    for token in tokens(text).into_iter().take(MAX_UNITS) {
        let unit = match token.form {
            Form::Word(text) => Unit { text, start: token.start, end: token.end, is_cjk: false },
            Form::Pair(both) | Form::Single(both) => {
                let first = text[token.start..].chars().next().map_or(0, char::len_utf8);
                let text = both.chars().take(1).collect();
                Unit { text, start: token.start, end: token.start + first, is_cjk: true }
            }
        };
        found.push(unit);
    }
    found
}

/// A name as names are compared; empty if there is nothing to compare.
pub fn key(name: &str) -> String {
    let mut key = String::new();
    let mut before = None;
    for unit in units(name) {
        if before == Some(false) && !unit.is_cjk {
            key.push(' ');
        }
        before = Some(unit.is_cjk);
        key.push_str(&unit.text);
    }
    key
}

/// A name as it is kept: without blanks at its ends and more than one within.
pub fn tidy(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// True if a text may be the name of something.
pub fn is_name(name: &str) -> bool {
    let chars = name.chars().count();
    let has_letter = name.chars().any(char::is_alphabetic);
    has_letter && (2..=MAX_NAME_CHARS).contains(&chars) && !name.chars().any(char::is_control) && !key(name).is_empty()
}

/// True if no sentence ends between two neighbours, and nothing else stands there.
pub fn belong_together(text: &str, one: &Unit, next: &Unit) -> bool {
    let gap = text.get(one.end..next.start).unwrap_or("`");
    if one.is_cjk && next.is_cjk {
        return gap.is_empty();
    }
    let ends = gap.starts_with(['.', '!', '?', ';', ':']) && gap.len() > 1;
    gap.chars().count() <= 2 && !ends && gap.chars().all(|c| " -.,'’/&+:".contains(c))
}

/// How many of `units` from `at` on are this name; none if it does not stand there.
pub fn stands(text: &str, units: &[Unit], at: usize, name: &[String]) -> Option<usize> {
    let found = units.get(at..at + name.len())?;
    let same = found.iter().zip(name).all(|(unit, wanted)| unit.text == *wanted);
    let whole = same && found.windows(2).all(|two| belong_together(text, &two[0], &two[1]));
    whole.then_some(name.len())
}

/// The name that stands in a text, as it is written there.
pub fn written_in<'a>(text: &'a str, of_text: &[Unit], name: &str) -> Option<&'a str> {
    let wanted: Vec<String> = units(name).into_iter().map(|unit| unit.text).collect();
    let first = wanted.first()?;
    let at =
        (0..of_text.len()).find(|at| of_text[*at].text == *first && stands(text, of_text, *at, &wanted).is_some())?;
    text.get(of_text[at].start..of_text[at + wanted.len() - 1].end)
}

/// The parts of a name that is given in two languages: `Ink · 墨`, `舒怡 Shu Yi`.
pub fn parts(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in name.split(['·', '|', '/', '・', '／', '｜']) {
        let mut run = String::new();
        let mut of_cjk = None;
        for c in part.chars() {
            if c.is_alphanumeric() && of_cjk.is_some_and(|cjk| cjk != is_cjk(c)) {
                found.push(std::mem::take(&mut run));
            }
            if c.is_alphanumeric() {
                of_cjk = Some(is_cjk(c));
            }
            run.push(c);
        }
        found.push(run);
    }
    found.iter().map(|part| tidy(part)).filter(|part| !key(part).is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_by_their_units() {
        for (name, expected) in [
            ("Node.js", "node js"),
            ("  PostgreSQL ", "postgresql"),
            ("机器学习", "机器学习"),
            ("Rust 语言", "rust语言"),
            ("C++", "c++"),
            ("--", ""),
        ] {
            assert_eq!(key(name), expected, "{name:?}");
        }
        assert_eq!(key("Node.js"), key("node JS"));
    }

    #[test]
    fn a_name_stands_where_its_units_do_and_not_across_a_sentence() {
        let stands = |text: &str, name: &str| written_in(text, &units(text), name).map(str::to_owned);
        assert_eq!(stands("we use node.js here", "Node.js").as_deref(), Some("node.js"));
        assert_eq!(stands("A Small Site, Slowly", "a small site, slowly").as_deref(), Some("A Small Site, Slowly"));
        assert_eq!(stands("用机器学习做", "机器学习").as_deref(), Some("机器学习"));
        assert_eq!(stands("That is a node. JS is not.", "node js"), None);
        assert_eq!(stands("机器，学习", "机器学习"), None);
        assert_eq!(stands("", "x"), None);
    }

    #[test]
    fn a_name_in_two_languages_has_two_parts() {
        assert_eq!(parts("Small tools · 小工具"), ["Small tools", "小工具"]);
        assert_eq!(parts("舒怡 Shu Yi"), ["舒怡", "Shu Yi"]);
        assert_eq!(parts("Rust"), ["Rust"]);
    }
}
