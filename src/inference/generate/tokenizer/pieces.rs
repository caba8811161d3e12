//! SentencePiece's BPE: of two neighbours the pair is joined whose piece has the best score, until
//! no neighbours make a piece. What is in no piece is written byte by byte.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::piece_byte;

/// Pieces and their scores.
pub(super) struct Pieces {
    pieces: HashMap<String, (u32, f32)>,
    /// Found in the text before anything is joined, the longest first.
    whole: Vec<(String, u32)>,
    bytes: HashMap<u8, u32>,
    unknown: Option<u32>,
    /// A text begins with a blank.
    prefix: bool,
}

impl Pieces {
    pub fn new(prefix: bool) -> Self {
        Self { pieces: HashMap::new(), whole: Vec::new(), bytes: HashMap::new(), unknown: None, prefix }
    }

    pub fn add(&mut self, piece: &str, id: u32, score: f32) {
        self.pieces.insert(piece.to_owned(), (id, score));
    }

    /// A piece that the makers of the vocabulary defined.
    pub fn add_whole(&mut self, piece: &str, id: u32) {
        if !piece.is_empty() {
            self.whole.push((piece.to_owned(), id));
        }
    }

    /// A piece such as `<0x0A>`.
    pub fn add_byte(&mut self, piece: &str, id: u32) {
        self.bytes.extend(piece_byte(piece).map(|byte| (byte, id)));
    }

    /// All there is, and what stands for bytes that are in no piece.
    pub fn unknown(mut self, id: Option<u32>) -> Self {
        self.unknown = id;
        self.whole.sort_by_key(|(piece, _)| std::cmp::Reverse(piece.len()));
        self
    }

    pub fn tokens(&self, text: &str) -> Vec<u32> {
        let mut parts = vec![Part::Text(text)];
        for (piece, id) in self.whole.iter().filter(|(piece, _)| text.contains(piece.as_str())) {
            parts = parts.into_iter().flat_map(|part| part.cut(piece, *id)).collect();
        }
        let mut tokens = Vec::new();
        for part in parts {
            match part {
                Part::Token(id) => tokens.push(id),
                Part::Text("") => {}
                Part::Text(text) => {
                    let blank = if self.prefix { "▁" } else { "" };
                    self.join(&format!("{blank}{}", text.replace(' ', "▁")), &mut tokens);
                }
            }
        }
        tokens
    }

    fn join(&self, text: &str, tokens: &mut Vec<u32>) {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(n, (at, c))| Symbol { at, end: at + c.len_utf8(), before: n.checked_sub(1), after: n + 1 })
            .collect();
        let mut pairs = BinaryHeap::new();
        let pair = |symbols: &[Symbol], left: usize| {
            let (first, second) = (symbols.get(left)?, symbols.get(symbols.get(left)?.after)?);
            let (_, score) = self.pieces.get(&text[first.at..second.end])?;
            Some(Pair { score: *score, left, end: second.end })
        };
        pairs.extend((0..symbols.len()).filter_map(|left| pair(&symbols, left)));
        while let Some(Pair { left, end, .. }) = pairs.pop() {
            let right = symbols[left].after;
            // One of the two was joined with another meanwhile.
            let is_stale = symbols[left].is_gone() || symbols.get(right).is_none_or(|right| right.end != end);
            if is_stale {
                continue;
            }
            let after = symbols[right].after;
            (symbols[left].end, symbols[left].after) = (end, after);
            symbols[right].end = symbols[right].at;
            if let Some(next) = symbols.get_mut(after) {
                next.before = Some(left);
            }
            pairs.extend(symbols[left].before.and_then(|before| pair(&symbols, before)));
            pairs.extend(pair(&symbols, left));
        }
        for symbol in symbols.iter().filter(|symbol| !symbol.is_gone()) {
            let piece = &text[symbol.at..symbol.end];
            match self.pieces.get(piece) {
                Some((id, _)) => tokens.push(*id),
                None => tokens.extend(piece.bytes().filter_map(|byte| self.bytes.get(&byte).copied().or(self.unknown))),
            }
        }
    }
}

enum Part<'a> {
    Text(&'a str),
    Token(u32),
}

impl<'a> Part<'a> {
    /// A text around each place where it has `piece`.
    fn cut(self, piece: &str, id: u32) -> Vec<Part<'a>> {
        let Self::Text(text) = self else { return vec![self] };
        let mut parts = Vec::new();
        for (n, text) in text.split(piece).enumerate() {
            if n > 0 {
                parts.push(Self::Token(id));
            }
            parts.push(Self::Text(text));
        }
        parts
    }
}

/// A run of characters between two others.
struct Symbol {
    at: usize,
    end: usize,
    before: Option<usize>,
    after: usize,
}

impl Symbol {
    fn is_gone(&self) -> bool {
        self.at == self.end
    }
}

/// Two neighbours that make a piece, which would go up to `end`.
struct Pair {
    score: f32,
    left: usize,
    end: usize,
}

impl Ord for Pair {
    /// The best score, then the first in the text.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(prefix: bool) -> Pieces {
        let mut pieces = Pieces::new(prefix);
        let scored = ["▁", "i", "n", "k", "s", "in", "ink", "nk", "▁i", "▁ink", "墨"];
        for (id, piece) in (0_u32..).zip(scored) {
            pieces.add(piece, id, -(id as f32));
        }
        pieces.add_whole("\n\n", 20);
        pieces.add_whole("\n", 21);
        for byte in 0..=255_u8 {
            pieces.add_byte(&format!("<0x{byte:02X}>"), 100 + u32::from(byte));
        }
        pieces.unknown(Some(99))
    }

    #[test]
    fn neighbours_with_the_best_piece_are_joined_first() {
        for (text, expected) in [
            ("", vec![]),
            ("ink", vec![6]),
            // `in` is better than `nk`, and what is left of `▁i` goes with it: `▁` and `ink` make `▁ink`.
            (" ink inks", vec![9, 9, 4]),
            ("kin", vec![3, 5]),
            ("墨x", vec![10, 100 + u32::from(b'x')]),
            ("é", vec![100 + 0xC3, 100 + 0xA9]),
            ("ink\n\n\nk", vec![6, 20, 21, 3]),
        ] {
            assert_eq!(pieces(false).tokens(text), expected, "{text:?}");
        }
        assert_eq!(pieces(true).tokens("ink"), vec![9], "with a blank before it");
        let mut bare = Pieces::new(false);
        bare.add("a", 1, 0.0);
        assert_eq!(bare.unknown(Some(0)).tokens("aé"), vec![1, 0, 0], "without bytes, what is unknown stands for them");
    }
}
