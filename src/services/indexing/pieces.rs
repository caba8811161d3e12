//! A post cut into pieces that a model can read and a reader can be led to.
//!
//! A piece holds whole paragraphs of one section, and code blocks whole where they fit. What is
//! longer than a piece is cut between sentences; the next piece then begins with the last one's
//! last sentence, so that nothing is torn from what it refers to.

use sha2::{Digest, Sha256};

use crate::services::markdown::{Block, blocks};
use crate::services::words::is_cjk;

/// About how many tokens a piece has at most. The smallest context of a model here is 512, and the
/// title and the headings come on top; shorter pieces are found more exactly.
const MAX_TOKENS: usize = 220;
/// A piece that has so many is not made longer by a paragraph that does not fit whole.
const ENOUGH_TOKENS: usize = 120;
/// Longest sentence that is said again at the beginning of the next piece.
const MAX_OVERLAP: usize = 50;
/// Pieces of one post; what is behind them is found by its words alone.
const MAX_PIECES: usize = 2_000;

/// A piece of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// From the outermost in.
    pub heading_path: Vec<String>,
    /// The id of the innermost heading.
    pub anchor: Option<String>,
    pub text: String,
}

impl Piece {
    /// What a model reads of it.
    pub fn for_model(&self, title: &str) -> String {
        let mut path = vec![title];
        // A post's first heading often says the title again.
        path.extend(self.heading_path.iter().map(String::as_str).filter(|heading| *heading != title));
        format!("{}\n{}", path.join(" › "), self.text)
    }

    /// Changes when a model would read something else.
    pub fn hash(&self, title: &str) -> [u8; 32] {
        Sha256::digest(self.for_model(title).as_bytes()).into()
    }
}

/// Cuts a post.
pub fn cut(markdown: &str) -> Vec<Piece> {
    let mut cutting = Cutting::default();
    for block in blocks(markdown) {
        match block {
            Block::Heading { level, id, text } => cutting.enter(level, id, text),
            Block::Prose(text) => cutting.add(&text, sentences),
            Block::Code(text) => cutting.add(&text, |text| text.split_inclusive('\n').collect()),
        }
    }
    cutting.end();
    cutting.pieces.truncate(MAX_PIECES);
    cutting.pieces
}

#[derive(Default)]
struct Cutting {
    pieces: Vec<Piece>,
    /// Level, id and text of the headings that lead here.
    path: Vec<(u8, String, String)>,
    text: String,
    tokens: usize,
}

impl Cutting {
    fn enter(&mut self, level: u8, id: String, text: String) {
        self.end();
        self.path.retain(|(outer, ..)| *outer < level);
        self.path.push((level, id, text));
    }

    fn add(&mut self, block: &str, split: impl Fn(&str) -> Vec<&str>) {
        let tokens = about_tokens(block);
        if self.tokens + tokens > MAX_TOKENS && (self.tokens >= ENOUGH_TOKENS || tokens <= MAX_TOKENS) {
            self.end();
        }
        if self.tokens + tokens <= MAX_TOKENS {
            return self.push("\n\n", block);
        }
        let mut last = "";
        for (n, part) in split(block).into_iter().flat_map(shortened).enumerate() {
            if self.tokens + about_tokens(part) > MAX_TOKENS && self.tokens > 0 {
                self.end();
                if about_tokens(last) <= MAX_OVERLAP {
                    self.push("", last);
                }
            }
            self.push(if n == 0 { "\n\n" } else { "" }, part);
            last = part;
        }
    }

    fn push(&mut self, between: &str, text: &str) {
        if !self.text.is_empty() {
            self.text.push_str(between);
        }
        self.text.push_str(text);
        self.tokens += about_tokens(text);
    }

    /// A section without a text is still found by its heading: the text of the piece is the heading.
    fn end(&mut self) {
        self.tokens = 0;
        let text = std::mem::take(&mut self.text).trim().to_owned();
        if text.is_empty() {
            return;
        }
        self.pieces.push(Piece {
            heading_path: self.path.iter().map(|(.., text)| text.clone()).collect(),
            anchor: self.path.last().map(|(_, id, _)| id.clone()),
            text,
        });
    }
}

/// About how many tokens a text has for the models here: measured on the demo site, a Chinese
/// character takes 0.7 and a word 1.4 of multilingual-e5-small's. Rather too many than too few.
pub fn about_tokens(text: &str) -> usize {
    let (mut tenths, mut letters) = (0, 0);
    for c in text.chars() {
        if is_cjk(c) {
            tenths += 9;
            letters = 0;
        } else if c.is_alphanumeric() {
            // A word's beginning, and each four letters more.
            if letters % 4 == 0 {
                tenths += 10;
            }
            letters += 1;
        } else {
            letters = 0;
            if !c.is_whitespace() {
                tenths += 7;
            }
        }
    }
    usize::div_ceil(tenths, 10)
}

/// The sentences of a text, each with the space behind it.
pub fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut begin = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let is_end = match c {
            '。' | '！' | '？' | '；' | '…' => {
                !matches!(next, Some('”' | '’' | '」' | '』' | '）' | '…' | '！' | '？'))
            }
            '”' | '」' | '』' => text[..at].ends_with(['。', '！', '？']),
            '.' | '!' | '?' => next.is_none_or(char::is_whitespace),
            '\n' => true,
            _ => false,
        };
        if is_end {
            let space = text[at + c.len_utf8()..].len() - text[at + c.len_utf8()..].trim_start_matches(' ').len();
            let end = at + c.len_utf8() + space;
            found.push(&text[begin..end]);
            begin = end;
            while chars.next_if(|(at, _)| *at < end).is_some() {}
        }
    }
    found.push(&text[begin..]);
    found.retain(|sentence| !sentence.is_empty());
    found
}

/// A sentence or line in parts that fit into a piece: cut at spaces, or between characters.
fn shortened(text: &str) -> Vec<&str> {
    if about_tokens(text) <= MAX_TOKENS {
        return vec![text];
    }
    let mut parts = Vec::new();
    let (mut begin, mut space, mut tokens) = (0, None, 0);
    for (at, c) in text.char_indices() {
        tokens += if is_cjk(c) { 10 } else { 4 };
        if c.is_whitespace() {
            space = Some(at + c.len_utf8());
        }
        if tokens > MAX_TOKENS * 8 {
            let end = space.filter(|end| *end > begin).unwrap_or(at);
            parts.push(&text[begin..end]);
            (begin, space, tokens) = (end, None, 0);
        }
    }
    parts.push(&text[begin..]);
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sections_are_cut_apart_and_know_where_they_are() {
        let pieces =
            cut("Before.\n\n# Ink\n\nOn ink.\n\nMore.\n\n## Soot\n\nOn soot.\n\n# Paper\n\n```\na = 1\n\nb = 2\n```\n");
        let shown: Vec<_> =
            pieces.iter().map(|p| (p.heading_path.join("/"), p.anchor.as_deref(), p.text.as_str())).collect();
        assert_eq!(
            shown,
            [
                (String::new(), None, "Before."),
                ("Ink".into(), Some("ink"), "On ink.\n\nMore."),
                ("Ink/Soot".into(), Some("soot"), "On soot."),
                ("Paper".into(), Some("paper"), "a = 1\n\nb = 2"),
            ]
        );
        assert_eq!(pieces[2].for_model("Ink"), "Ink › Soot\nOn soot.");
    }

    #[test]
    fn what_is_too_long_is_cut_between_sentences_and_overlaps() {
        let text = (0..80).map(|n| format!("这是第{n}句话，说的是砚台和墨。")).collect::<String>();
        let pieces = cut(&text);
        assert!(pieces.len() > 2, "{pieces:?}");
        for two in pieces.windows(2) {
            assert!(two[0].text.ends_with('。'));
            let last = sentences(&two[0].text).pop().unwrap_or_default();
            assert!(two[1].text.starts_with(last), "{last:?} is said again: {:?}", two[1].text);
        }
        let code = format!("```\n{}```\n", "let x = 1;\n".repeat(20));
        assert_eq!(cut(&code).len(), 1, "a code block that fits stays whole");
    }

    #[test]
    fn only_what_changed_has_another_hash() {
        let (before, after) = (cut("# A\n\nOne.\n\n# B\n\nTwo.\n"), cut("# A\n\nOne.\n\n# B\n\nThree.\n"));
        assert_eq!(before[0].hash("T"), after[0].hash("T"));
        assert_ne!(before[1].hash("T"), after[1].hash("T"));
        assert_ne!(before[0].hash("T"), before[0].hash("U"));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_too_long(text in "([a-z]{1,9}[ .]|墨。|[水石]{1,40}|\n\n|# h\n\n){0,300}") {
            let pieces = cut(&text);
            for piece in &pieces {
                prop_assert!(about_tokens(&piece.text) <= MAX_TOKENS + MAX_OVERLAP + 60, "{piece:?}");
            }
            let kept: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
            for word in text.split(|c: char| !c.is_ascii_lowercase()).filter(|word| word.len() > 1) {
                prop_assert!(kept.contains(word) || text.contains("    "), "{word} of {text:?}");
            }
        }
    }
}
