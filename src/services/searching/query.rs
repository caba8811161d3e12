//! What somebody typed, as what is looked for.
//!
//! Words in any order, the more of them a post has the better; `"words in this order"` and `-not this`
//! have to hold. The last word may be unfinished, and one that the site does not know is read as
//! the ones that are like it.

use std::collections::HashSet;

use super::survey::Survey;
use crate::services::words::{Form, Stems, Token, as_stem, is_cjk, quote, tokens};
use crate::store::post_words::{Term, Wanted};

/// Words that are looked for at once; of more, the rarest.
const MAX_TERMS: usize = 32;
/// Unknown words of a query that are taken for misspelt: each is held against all words of the site.
const MAX_UNKNOWN: usize = 8;
/// What a word is worth that only stands in for what was typed.
const MEANT: f64 = 0.7;
/// What it is worth beyond that to have the very word that was typed.
const AS_TYPED: f64 = 0.3;
/// What a pair of characters is worth of which one holds a sentence together.
const WEAK: f64 = 0.3;

/// English words that say nothing of what is looked for.
const STOP_WORDS: &[&str] = &[
    "a", "about", "an", "and", "are", "as", "at", "be", "by", "can", "did", "do", "does", "for", "from", "has", "have",
    "how", "i", "in", "is", "it", "its", "me", "my", "not", "of", "on", "or", "so", "than", "that", "the", "their",
    "then", "there", "they", "this", "to", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will",
    "with", "you", "your",
];
/// Others that nobody means who wrote something like them.
const COMMON_WORDS: &[&str] = &[
    "all", "also", "any", "because", "been", "before", "being", "but", "could", "each", "even", "every", "had", "her",
    "here", "him", "his", "if", "into", "just", "like", "made", "many", "more", "most", "much", "no", "now", "only",
    "our", "out", "over", "same", "she", "should", "some", "such", "them", "these", "those", "through", "too", "under",
    "until", "up", "us", "very", "well", "while", "would",
];
/// Characters that hold a Chinese sentence together.
const WEAK_CHARS: &[char] = &[
    '的', '了', '是', '在', '和', '与', '吗', '呢', '么', '怎', '什', '如', '何', '哪', '为', '我', '你', '有', '个',
    '这', '那', '把', '被', '就', '也', '都', '要', '会', '能',
];

/// False for a folded word that is in every question.
pub fn says_something(word: &str) -> bool {
    !STOP_WORDS.contains(&word) && !word.chars().next().is_some_and(|c| is_cjk(c) && word.contains(WEAK_CHARS))
}

/// Whether somebody may have meant this word who wrote another, or begins to write it.
pub(super) fn may_be_meant(word: &str) -> bool {
    !STOP_WORDS.contains(&word) && !COMMON_WORDS.contains(&word)
}

/// A word that was read as another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    pub typed: String,
    pub meant: String,
}

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub wanted: Wanted,
    pub marks: Marks,
    pub corrections: Vec<Correction>,
    /// What a model reads: without what is excluded.
    pub text: String,
}

/// What is marked in a text.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    words: HashSet<String>,
    stems: HashSet<String>,
    prefixes: Vec<String>,
    /// Of characters too.
    pairs: HashSet<String>,
    characters: HashSet<char>,
}

impl Marks {
    /// Whether a token of a text is one that was looked for.
    pub fn has(&self, token: &Token, stems: &Stems) -> bool {
        let text = token.form.text();
        match &token.form {
            Form::Word(_) => {
                self.words.contains(text)
                    || self.prefixes.iter().any(|prefix| text.starts_with(prefix.as_str()))
                    || self.stems.contains(&stems.stem(text))
            }
            Form::Pair(_) | Form::Single(_) => {
                self.pairs.contains(text) || text.chars().next().is_some_and(|c| self.characters.contains(&c))
            }
        }
    }

    /// Whether only the first character of a pair was looked for.
    pub fn is_character(&self, token: &Token) -> bool {
        matches!(&token.form, Form::Pair(pair) if !self.pairs.contains(pair))
    }
}

/// A part of what was typed.
struct Part<'a> {
    text: &'a str,
    is_phrase: bool,
    is_excluded: bool,
}

/// Reads a query. `languages` are those whose stems a word may have.
pub fn read(typed: &str, survey: &Survey, languages: &[String]) -> Query {
    let mut reading = Reading {
        survey,
        stems: stems(languages),
        unknown: 0,
        query: Query::default(),
        found: Vec::new(),
        required: Vec::new(),
        excluded: Vec::new(),
    };
    let parts = parts(typed);
    for (n, part) in parts.iter().enumerate() {
        let is_open = n + 1 == parts.len() && !part.is_phrase && typed.ends_with(part.text);
        reading.part(part, is_open);
    }
    let said: Vec<_> = parts.iter().filter(|part| !part.is_excluded).map(|part| part.text.trim()).collect();
    reading.query.text = said.join(" ");
    reading.finish()
}

/// One of each way of finding stems, English first.
fn stems(languages: &[String]) -> Vec<Stems> {
    let mut known: Vec<String> = vec!["en".to_owned()];
    for language in languages {
        let primary = language.split('-').next().unwrap_or_default().to_ascii_lowercase();
        if !known.contains(&primary) && known.len() < 4 && !matches!(primary.as_str(), "zh" | "ja" | "ko") {
            known.push(primary);
        }
    }
    known.iter().map(|language| Stems::of(language)).collect()
}

fn parts(typed: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = typed;
    while !rest.is_empty() {
        let trimmed = rest.trim_start();
        let negated =
            trimmed.strip_prefix('-').filter(|after| after.starts_with(|c: char| c == '"' || c.is_alphanumeric()));
        let (body, is_excluded) = negated.map_or((trimmed, false), |body| (body, true));
        if let Some(quoted) = body.strip_prefix(['"', '“', '”']) {
            let (inside, after) = quoted.split_once(['"', '“', '”']).unwrap_or((quoted, ""));
            parts.push(Part { text: inside, is_phrase: true, is_excluded });
            rest = after;
            continue;
        }
        let end = if is_excluded { body.find(char::is_whitespace) } else { next_special(body) };
        let end = end.unwrap_or(body.len());
        if end > 0 {
            parts.push(Part { text: &body[..end], is_phrase: false, is_excluded });
        }
        rest = &body[end..];
    }
    parts.retain(|part| !part.text.trim().is_empty());
    parts
}

/// Where the next phrase or exclusion begins.
fn next_special(text: &str) -> Option<usize> {
    let mut before = 'x';
    for (at, c) in text.char_indices() {
        let begins = matches!(c, '"' | '“' | '”') || (c == '-' && before.is_whitespace());
        if begins && at > 0 {
            return Some(at);
        }
        before = c;
    }
    None
}

struct Reading<'a> {
    survey: &'a Survey,
    stems: Vec<Stems>,
    /// Words that nobody on the site wrote, so far.
    unknown: usize,
    query: Query,
    found: Vec<Term>,
    required: Vec<String>,
    excluded: Vec<String>,
}

impl Reading<'_> {
    fn part(&mut self, part: &Part<'_>, is_open: bool) {
        let all = tokens(part.text);
        if all.is_empty() {
            return;
        }
        if part.is_excluded {
            self.excluded.push(if part.is_phrase { phrase(&all) } else { self.all_of(&all) });
            return;
        }
        if part.is_phrase {
            self.required.push(phrase(&all));
        }
        let only_stops = all.iter().all(|token| STOP_WORDS.contains(&token.form.text()));
        for (n, token) in all.iter().enumerate() {
            let is_last = n + 1 == all.len();
            let ends = part.text.len() == token.end;
            let follows_pair = n > 0 && matches!(all[n - 1].form, Form::Pair(_)) && all[n - 1].end == token.end;
            match &token.form {
                Form::Word(word) if only_stops || !STOP_WORDS.contains(&word.as_str()) => {
                    self.word(word, is_open && is_last && ends, part.is_phrase);
                }
                Form::Word(_) => {}
                Form::Pair(pair) => self.pair(pair),
                // The last character of a run has been looked for with the one before it.
                Form::Single(_) if follows_pair => {}
                Form::Single(single) => self.single(single),
            }
        }
    }

    /// All words of something that is excluded, in any form.
    fn all_of(&self, all: &[Token]) -> String {
        let each = all.iter().map(|token| match &token.form {
            Form::Word(word) => self.forms(word).join(" | "),
            Form::Pair(text) => quoted(text),
            Form::Single(text) => format!("{}:*", quoted(text)),
        });
        each.map(|forms| format!("({forms})")).collect::<Vec<_>>().join(" & ")
    }

    /// The forms that a word is found by: itself, its stem, and words with the same stem.
    fn forms(&self, word: &str) -> Vec<String> {
        let mut forms = vec![quoted(word)];
        for stems in &self.stems {
            let stem = stems.stem(word);
            for form in [quoted(&as_stem(&stem)), quoted(&stem)] {
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        forms
    }

    fn count(&self, word: &str) -> u32 {
        let by_stem = self.stems.iter().map(|stems| {
            let stem = stems.stem(word);
            self.survey.count(&as_stem(&stem)).max(self.survey.count(&stem))
        });
        by_stem.max().unwrap_or(0).max(self.survey.count(word))
    }

    /// What finding something is worth that so many posts have.
    fn worth(&self, posts: u32) -> f64 {
        let all = f64::from(self.survey.posts.max(1));
        let posts = f64::from(posts).min(all);
        (1.0 + (all - posts + 0.5) / (posts + 0.5)).ln()
    }

    fn word(&mut self, word: &str, is_open: bool, is_exact: bool) {
        let mut forms = self.forms(word);
        let mut posts = self.count(word);
        self.query.marks.words.insert(word.to_owned());
        self.mark_stems(word);
        if is_open {
            let begun = self.survey.beginning(word, 50);
            posts = posts.max(begun.iter().map(|(_, posts)| posts).sum());
            forms.push(format!("{}:*", quoted(word)));
            self.query.marks.prefixes.push(word.to_owned());
        }
        let mut worth = self.worth(posts);
        if posts == 0 && !is_exact && self.unknown < MAX_UNKNOWN {
            self.unknown += 1;
            let meant: Vec<String> = self.survey.meant(word).into_iter().map(str::to_owned).collect();
            if let Some(first) = meant.first() {
                self.query.corrections.push(Correction { typed: word.to_owned(), meant: first.clone() });
                worth = MEANT * self.worth(self.count(first));
            }
            if !meant.is_empty() {
                // Who has the word as it was typed comes before who has one that is like it.
                self.found.push(Term { query: forms.join(" | "), weight: AS_TYPED * worth });
            }
            for word in meant {
                forms.extend(self.forms(&word));
                self.mark_stems(&word);
                self.query.marks.words.insert(word);
            }
        }
        self.found.push(Term { query: forms.join(" | "), weight: worth });
    }

    fn mark_stems(&mut self, word: &str) {
        self.query.marks.stems.extend(self.stems.iter().map(|stems| stems.stem(word)));
    }

    fn pair(&mut self, pair: &str) {
        let weak = if pair.contains(WEAK_CHARS) { WEAK } else { 1.0 };
        let weight = weak * self.worth(self.survey.count(pair));
        self.found.push(Term { query: quoted(pair), weight });
        if weak == 1.0 {
            self.query.marks.pairs.insert(pair.to_owned());
        }
    }

    fn single(&mut self, single: &str) {
        let begun: u32 = self.survey.beginning(single, 1000).iter().map(|(_, posts)| posts).sum();
        let weak = if single.contains(WEAK_CHARS) { WEAK } else { 1.0 };
        self.found.push(Term { query: format!("{}:*", quoted(single)), weight: weak * self.worth(begun) });
        self.query.marks.characters.extend(single.chars().next());
    }

    fn finish(mut self) -> Query {
        let mut seen = HashSet::new();
        self.found.retain(|term| seen.insert(term.query.clone()));
        self.found.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        self.found.truncate(MAX_TERMS);
        let together = |all: Vec<String>, sign: &str| {
            let all: Vec<_> = all.iter().map(|one| format!("({one})")).collect();
            (!all.is_empty()).then(|| all.join(sign))
        };
        self.query.wanted = Wanted {
            terms: self.found,
            required: together(self.required, " & "),
            excluded: together(self.excluded, " | "),
        };
        self.query
    }
}

/// Words that stand one behind the other.
fn phrase(all: &[Token]) -> String {
    let last = all.len().saturating_sub(1);
    let mut written = String::new();
    for (n, token) in all.iter().enumerate() {
        let follows_pair = n > 0 && matches!(all[n - 1].form, Form::Pair(_)) && all[n - 1].end == token.end;
        // In the text it may be followed by another character, and then it is no single there.
        if matches!(token.form, Form::Single(_)) && follows_pair && n == last {
            continue;
        }
        if n > 0 {
            written.push_str(" <-> ");
        }
        quote(token.form.text(), &mut written);
        if n == last && matches!(token.form, Form::Single(_)) {
            written.push_str(":*");
        }
    }
    written
}

fn quoted(text: &str) -> String {
    let mut written = String::new();
    quote(text, &mut written);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_plain(typed: &str) -> Query {
        read(typed, &Survey::default(), &[])
    }

    fn queries(typed: &str) -> Vec<String> {
        let mut all: Vec<_> = read_plain(typed).wanted.terms.into_iter().map(|term| term.query).collect();
        all.sort();
        all
    }

    #[test]
    fn words_are_looked_for_in_all_their_forms() {
        assert_eq!(queries("grinding "), ["'grinding' | '~grind' | 'grind'"]);
        assert_eq!(queries("grindi"), ["'grindi' | '~grindi' | 'grindi':*"]);
        assert_eq!(queries("how is the ink "), ["'ink' | '~ink'"]);
        assert_eq!(queries("the "), ["'the' | '~the'"], "a query of such words alone is taken as it is");
    }

    #[test]
    fn chinese_is_looked_for_in_pairs_and_by_one_character() {
        assert_eq!(queries("砚台"), ["'砚台'"]);
        assert_eq!(queries("墨"), ["'墨':*"]);
        assert_eq!(queries("研墨法"), ["'墨法'", "'研墨'"]);
        assert_eq!(queries("用Rust写 "), ["'rust' | '~rust'", "'写':*", "'用':*"]);
    }

    #[test]
    fn phrases_have_to_hold_and_exclusions_must_not() {
        let query = read_plain("ink \"wet stone\" -paper -\"a b\" it-self");
        assert_eq!(query.wanted.required.as_deref(), Some("('wet' <-> 'stone')"));
        assert_eq!(query.wanted.excluded.as_deref(), Some("(('paper' | '~paper')) | ('a' <-> 'b')"));
        assert_eq!(query.text, "ink wet stone it-self");
        assert_eq!(
            read_plain("“研墨的方法”").wanted.required.as_deref(),
            Some("('研墨' <-> '墨的' <-> '的方' <-> '方法')")
        );
        assert_eq!(read_plain("\"用Rust写\"").wanted.required.as_deref(), Some("('用' <-> 'rust' <-> '写':*)"));
        assert_eq!(read_plain("\"open").wanted.required.as_deref(), Some("('open')"));
        assert_eq!(read_plain("- \" -").wanted, Wanted::default());
    }
}
