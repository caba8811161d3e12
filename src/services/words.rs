//! Texts cut into the words that search knows them by.
//!
//! Chinese and Japanese are cut into pairs of neighbouring characters, everything else into words:
//! folded (`Café` is `cafe`, `書` is `书`) as they stand, and once more by their stem where that is another.
//! No dictionary is needed, and every character can be found: a text's words and a query's are cut
//! by the same rule. [`ANALYSIS`] has to count up when the rule changes.

use std::collections::BTreeMap;

use snowball_stemmers_rs::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

mod simplified;

use simplified::simplified;

/// The rule that [`Words`] follows; what an older one made is made again.
pub const ANALYSIS: i32 = 2;

/// Longest word, in characters; a longer one is cut.
const MAX_WORD: usize = 60;
/// Postgres counts places of words up to here.
const MAX_POSITION: usize = 16_383;
/// Postgres keeps so many places of one word.
const MAX_PLACES: usize = 255;
/// Most bytes of a `tsvector`, with room to spare below Postgres's bound of 1 MiB.
const MAX_BYTES: usize = 700_000;
/// What separates a stem from words of the same letters.
const STEM: char = '~';

/// A word of a text, where it stands there (in bytes), and at which place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub start: usize,
    pub end: usize,
    pub position: usize,
    pub form: Form,
}

/// What a token is, folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Word(String),
    /// Two neighbours.
    Pair(String),
    /// The last of a run of characters, or the only one.
    Single(String),
}

impl Form {
    pub fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Pair(text) | Self::Single(text) => text,
        }
    }
}

/// Cuts a text.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut position = 0;
    let mut chars = text.char_indices().peekable();
    while let Some(&(start, c)) = chars.peek() {
        if is_cjk(c) {
            let run: Vec<(usize, char)> = std::iter::from_fn(|| chars.next_if(|(_, c)| is_cjk(*c))).collect();
            for (i, &(at, c)) in run.iter().enumerate() {
                position += 1;
                let next = run.get(i + 1);
                let end = next.map_or(at + c.len_utf8(), |(at, c)| at + c.len_utf8());
                let form = match next {
                    Some((_, next)) => Form::Pair(fold(&format!("{c}{next}"))),
                    None => Form::Single(fold(&c.to_string())),
                };
                found.push(Token { start: at, end, position, form });
            }
        } else if c.is_alphanumeric() {
            let end = word_end(text, start);
            while chars.next_if(|(at, _)| *at < end).is_some() {}
            position += 1;
            found.push(Token { start, end, position, form: Form::Word(fold(&text[start..end])) });
        } else {
            chars.next();
        }
    }
    found.retain(|token| !token.form.text().is_empty());
    found
}

/// Where the word that begins at `start` ends. `don't`, `c++` and `c#` are words.
fn word_end(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    let mut end = start;
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let inner = matches!(c, '\'' | '’') && next.is_some_and(is_word);
        if !is_word(c) && !inner {
            break;
        }
        end = start + at + c.len_utf8();
    }
    let signs = text[end..].chars().take_while(|c| matches!(c, '+' | '#')).count();
    let is_sign = (1..=2).contains(&signs) && !text[end + signs..].chars().next().is_some_and(is_word);
    if is_sign { end + signs } else { end }
}

fn is_word(c: char) -> bool {
    (c.is_alphanumeric() || is_combining_mark(c) || c == '_') && !is_cjk(c)
}

/// Han and kana. Not Hangul: Korean writes spaces between words.
pub fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

/// True if a text is written in Chinese or Japanese for a good part.
pub fn is_mostly_cjk(text: &str) -> bool {
    let (cjk, letters) = text
        .chars()
        .filter(|c| c.is_alphanumeric())
        .fold((0, 0), |(cjk, all), c| (cjk + usize::from(is_cjk(c)), all + 1));
    cjk * 3 > letters
}

/// Lower case, without accents, full-width letters as the usual ones, Chinese simplified.
pub fn fold(text: &str) -> String {
    let plain = text.nfkd().filter(|c| !is_combining_mark(*c) && !matches!(c, '\'' | '’'));
    let lower: String = plain.map(simplified).flat_map(char::to_lowercase).take(MAX_WORD).collect();
    // Kana's voicing marks are part of the letter, and Hangul's parts belong together.
    lower.nfc().collect()
}

/// Finds stems in one language.
pub struct Stems(Stemmer);

impl Stems {
    /// For a BCP 47 tag; texts in a language without stems may still hold English words.
    pub fn of(language: &str) -> Self {
        let primary = language.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let algorithm = match primary.as_str() {
            "ar" => Algorithm::Arabic,
            "ca" => Algorithm::Catalan,
            "da" => Algorithm::Danish,
            "nl" => Algorithm::Dutch,
            "fi" => Algorithm::Finnish,
            "fr" => Algorithm::French,
            "de" => Algorithm::German,
            "el" => Algorithm::Greek,
            "hu" => Algorithm::Hungarian,
            "it" => Algorithm::Italian,
            "no" | "nb" | "nn" => Algorithm::Norwegian,
            "pl" => Algorithm::Polish,
            "pt" => Algorithm::Portuguese,
            "ro" => Algorithm::Romanian,
            "ru" => Algorithm::Russian,
            "es" => Algorithm::Spanish,
            "sv" => Algorithm::Swedish,
            "tr" => Algorithm::Turkish,
            _ => Algorithm::English,
        };
        Self(Stemmer::create(algorithm))
    }

    /// The stem of a folded word; the word itself where nothing would be left, as of some Greek ones.
    pub fn stem(&self, word: &str) -> String {
        let stem = self.0.stem(word);
        if stem.is_empty() { word.to_owned() } else { stem.into_owned() }
    }
}

/// How a stem is written among words.
pub fn as_stem(stem: &str) -> String {
    format!("{STEM}{stem}")
}

/// True for what [`as_stem`] gives.
pub fn is_stem(lexeme: &str) -> bool {
    lexeme.starts_with(STEM)
}

/// What a part of a text weighs, as Postgres names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    Title,
    Tag,
    Heading,
    Body,
}

impl Weight {
    fn letter(self) -> char {
        match self {
            Self::Title => 'A',
            Self::Tag => 'B',
            Self::Heading => 'C',
            Self::Body => 'D',
        }
    }
}

/// The words of a text, as a `tsvector`.
pub struct Words<'a> {
    stems: &'a Stems,
    places: BTreeMap<String, Vec<(usize, Weight)>>,
    position: usize,
    bytes: usize,
}

impl<'a> Words<'a> {
    pub fn new(stems: &'a Stems) -> Self {
        Self { stems, places: BTreeMap::new(), position: 0, bytes: 0 }
    }

    /// Adds a part; no phrase goes from one part to the next. What does not fit any more is left out.
    pub fn add(&mut self, text: &str, weight: Weight) {
        let begin = self.position;
        for token in tokens(text) {
            let position = (begin + token.position).min(MAX_POSITION);
            self.position = position;
            if let Form::Word(word) = &token.form {
                let stem = self.stems.stem(word);
                if stem != *word {
                    self.put(as_stem(&stem), position, weight);
                }
            }
            self.put(token.form.text().to_owned(), position, weight);
        }
        self.position = (self.position + 8).min(MAX_POSITION);
    }

    fn put(&mut self, lexeme: String, position: usize, weight: Weight) {
        if self.bytes > MAX_BYTES {
            return;
        }
        let length = lexeme.len();
        let places = self.places.entry(lexeme).or_default();
        // A place is two bytes; a word has a head of some bytes.
        self.bytes += if places.is_empty() { length + 10 } else { 2 };
        let is_new = places.last() != Some(&(position, weight));
        if places.len() < MAX_PLACES && is_new {
            places.push((position, weight));
        }
    }

    /// In the form that Postgres reads.
    pub fn to_tsvector(&self) -> String {
        let mut written = String::new();
        for (lexeme, places) in &self.places {
            if !written.is_empty() {
                written.push(' ');
            }
            quote(lexeme, &mut written);
            for (n, (position, weight)) in places.iter().enumerate() {
                written.push(if n == 0 { ':' } else { ',' });
                written.push_str(&position.to_string());
                written.push(weight.letter());
            }
        }
        written
    }
}

/// Writes a lexeme as `tsvector` and `tsquery` read it.
pub fn quote(lexeme: &str, out: &mut String) {
    out.push('\'');
    for c in lexeme.chars() {
        if matches!(c, '\'' | '\\') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn forms(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|token| token.form.text().to_owned()).collect()
    }

    #[test]
    fn words_are_folded_and_chinese_comes_in_pairs() {
        for (text, expected) in [
            ("Grinding INK", vec!["grinding", "ink"]),
            ("Café naïve ＡＢＣ", vec!["cafe", "naive", "abc"]),
            ("don't C++ c# a+b", vec!["dont", "c++", "c#", "a", "b"]),
            ("研墨", vec!["研墨", "墨"]),
            ("書法，書", vec!["书法", "法", "书"]),
            ("墨", vec!["墨"]),
            ("用Rust写的", vec!["用", "rust", "写的", "的"]),
            ("墨，砚台。", vec!["墨", "砚台", "台"]),
            ("한국어 단어", vec!["한국어", "단어"]),
            ("--- ''", vec![]),
        ] {
            assert_eq!(forms(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_tsvector_has_stems_places_and_weights() {
        let stems = Stems::of("en");
        let mut words = Words::new(&stems);
        words.add("Grinding", Weight::Title);
        words.add("it's ink", Weight::Body);
        let written = words.to_tsvector();
        assert_eq!(written, r"'grinding':1A 'ink':11D 'its':10D '~grind':1A '~it':10D");
        let mut quoted = String::new();
        quote(r"a'b\c", &mut quoted);
        assert_eq!(quoted, r"'a''b\\c'");
    }

    #[test]
    fn a_long_text_stays_within_what_postgres_takes() {
        let stems = Stems::of("zh");
        let mut words = Words::new(&stems);
        let text: String = (0..400_000).map(|n| format!("w{n} ")).collect();
        words.add(&text, Weight::Body);
        assert!(words.to_tsvector().len() < 1_500_000);
        assert!(words.bytes < 1_000_000);
    }

    proptest! {
        #[test]
        fn tokens_stand_where_they_say(text in "[a-zA-Zé '+#墨水ガ가\u{301}._-]{0,60}") {
            let found = tokens(&text);
            for token in &found {
                prop_assert!(token.start < token.end);
                prop_assert!(text.get(token.start..token.end).is_some(), "{token:?} in {text:?}");
            }
            prop_assert!(found.windows(2).all(|two| two[0].start < two[1].start && two[0].position < two[1].position));
        }
    }
}
