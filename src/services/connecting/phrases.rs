//! Names that nobody told: runs of capitalised words, marked titles, handles.

use super::names::{MAX_NAME_CHARS, Unit, is_name, tidy};
use crate::store::entities::EntityKind;

/// Words of a name in capitals.
const MOST_WORDS: usize = 4;
/// Characters of a title between its marks.
const MAX_TITLE_CHARS: usize = 20;

/// Words that begin sentences and are no part of the name that follows.
const BEGINNINGS: &str = "\
    a about above after again all also although an and another any around as at because before \
    behind below besides between both but by can chapter dear did do does during each either even \
    every except few figure first five for four from had has have he her here his how however i if \
    in inside instead into is it its last later let like many maybe more most my near neither never \
    next no nor not now of often on once one only or other our out over part perhaps section see \
    several she since so some sometimes such table than that the their then there these they this \
    those though three through to today too two under unless until up was we were what when where \
    which while who whose why with within without yes yet you your";
/// What the last word of a place's name is.
const PLACES: &str = "\
    street road avenue lane river lake bridge island islands mountain mountains valley bay city \
    county square harbour harbor park village province";

/// True if a list of words holds this one.
fn is_among(words: &str, word: &str) -> bool {
    words.split(' ').any(|known| known == word)
}

/// A name in capitals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    pub name: String,
    pub kind: EntityKind,
}

/// A title that is marked as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    pub name: String,
    /// Between `《》`, which only works have.
    pub is_work: bool,
}

/// Runs of two to four capitalised words, without those that are `taken` already and without the
/// word that only begins the sentence.
pub fn capitals(text: &str, units: &[Unit], taken: &[bool]) -> Vec<Phrase> {
    let mut found = Vec::new();
    let mut from = 0;
    while from < units.len() {
        let mut to = from;
        while to < units.len()
            && !taken[to]
            && is_capitalised(text, &units[to])
            && (to == from || text.get(units[to - 1].end..units[to].start) == Some(" "))
        {
            to += 1;
        }
        let run = &units[from..to];
        let skipped = run.iter().take_while(|unit| is_among(BEGINNINGS, &unit.text)).count();
        found.extend(phrase(text, &run[skipped..]));
        from = to.max(from + 1);
    }
    found
}

fn phrase(text: &str, run: &[Unit]) -> Option<Phrase> {
    let (first, last) = (run.first()?, run.last()?);
    let inner = run.iter().any(|unit| is_among(BEGINNINGS, &unit.text));
    if !(2..=MOST_WORDS).contains(&run.len()) || inner {
        return None;
    }
    let name = tidy(text.get(first.start..last.end)?);
    let kind = if is_among(PLACES, &last.text) { EntityKind::Place } else { EntityKind::Concept };
    is_name(&name).then_some(Phrase { name, kind })
}

/// Begins with a capital and goes on in small letters: `ORDER BY` is shouting.
fn is_capitalised(text: &str, unit: &Unit) -> bool {
    let mut chars = text.get(unit.start..unit.end).unwrap_or_default().chars();
    !unit.is_cjk && chars.next().is_some_and(char::is_uppercase) && chars.next().is_some_and(char::is_lowercase)
}

/// True for a text on a link that is the name of what it leads to: a few words in capitals.
pub fn is_proper(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let named = |word: &&str| {
        let folded = word.to_lowercase();
        word.chars().next().is_some_and(char::is_uppercase) && !is_among(BEGINNINGS, &folded)
    };
    (1..=3).contains(&words.len()) && words.iter().all(named) && is_name(text) && !text.contains(['.', ':'])
}

/// What stands between `《》`, and between `「」` or `『』`.
pub fn titles(text: &str) -> Vec<Title> {
    let mut found = Vec::new();
    for (open, close, is_work) in [('《', '》', true), ('「', '」', false), ('『', '』', false)] {
        let mut rest = text;
        while let Some(at) = rest.find(open) {
            rest = &rest[at + open.len_utf8()..];
            let Some(end) = rest.find(close) else { break };
            let name = tidy(&rest[..end]);
            let is_plain = !name.contains(|c: char| "，。！？：；、,.!?:;《「『`".contains(c));
            if is_plain && name.chars().count() <= MAX_TITLE_CHARS && is_name(&name) {
                found.push(Title { name, is_work });
            }
        }
    }
    found
}

/// The handles that a text names: `@mo`.
pub fn handles(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('@').filter_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let is_mail = before.is_some_and(|c| c.is_alphanumeric() || "._-+@".contains(c));
        let rest = &text[at + 1..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(rest.len());
        let handle = rest[..end].trim_end_matches(['-', '_']);
        (!is_mail && handle.len() >= 2 && handle.len() <= MAX_NAME_CHARS).then_some(handle)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::connecting::names::units;

    fn names(text: &str) -> Vec<String> {
        let of_text = units(text);
        capitals(text, &of_text, &vec![false; of_text.len()]).into_iter().map(|phrase| phrase.name).collect()
    }

    #[test]
    fn names_in_capitals_are_found_and_sentences_are_not() {
        for (text, expected) in [
            ("The rain on Bell Street was grey.", vec!["Bell Street"]),
            ("In New York and on Bell Street. The Bell Street again.", vec!["New York", "Bell Street", "Bell Street"]),
            ("However It Begins, nothing is named.", vec![]),
            ("ORDER BY and UNION ALL", vec![]),
            ("He said. Then One Two Three", vec![]),
            ("Monday", vec![]),
            ("A Very Long Row Of Capitals That Nobody Means", vec![]),
            ("在 Bell Street 走", vec!["Bell Street"]),
        ] {
            assert_eq!(names(text), expected, "{text:?}");
        }
    }

    #[test]
    fn marked_titles_and_handles_are_found() {
        let of = |text: &str| titles(text).into_iter().map(|title| title.name).collect::<Vec<_>>();
        assert_eq!(of("教侄女背《论语》，又读《诗经》"), ["论语", "诗经"]);
        assert_eq!(of("《宣纸：水往哪里走》"), Vec::<String>::new(), "a whole title says more than a name");
        assert_eq!(of("《不完"), Vec::<String>::new());
        let of = |text: &'static str| handles(text).collect::<Vec<_>>();
        assert_eq!(of("thanks @mo, and @shu-yi! a@b.cd @ @x"), ["mo", "shu-yi"]);
        assert!(is_proper("Zola") && !is_proper("here") && !is_proper("The Site") && !is_proper("example.org"));
    }
}
