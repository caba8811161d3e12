//! Text to tokens and back, as a decoder's files have it.
//!
//! Text from outside is tokenised without control tokens, whatever it holds: only the chat template
//! says where a message begins and ends.

use std::collections::{HashMap, HashSet};

use tokenizers::Tokenizer;

mod gguf;
mod json;
mod pieces;

use pieces::Pieces;

use crate::inference::decoder::Files;
use crate::inference::encoder::LoadError;

/// Tokens that end an answer, whatever the metadata says of them.
const ENDS: &[&str] = &["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>", "</s>"];

/// Text to tokens, and tokens to bytes.
pub struct TokenText {
    plain: Plain,
    bytes: Vec<Vec<u8>>,
    /// Tokens that templates write, by their text, the longest first.
    control: Vec<(String, u32)>,
    /// Those of them that are no text.
    hidden: HashSet<u32>,
    ends: HashSet<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    /// A text that no template lays out begins with `bos`.
    begins: bool,
}

/// What knows no control tokens.
enum Plain {
    Bpe(Box<Tokenizer>),
    Pieces(Pieces),
}

/// What a file tells of its vocabulary.
struct Vocabulary {
    plain: Plain,
    bytes: Vec<Vec<u8>>,
    control: Vec<(String, u32)>,
    hidden: HashSet<u32>,
    ends: Vec<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    begins: bool,
}

impl TokenText {
    /// `tokens`: how many the model has.
    ///
    /// Errors: a vocabulary of a kind that is not supported, by its name, or of another length.
    pub fn new(files: &Files, tokens: usize) -> Result<Self, LoadError> {
        let told = match files {
            Files::Gguf(gguf) => gguf::read(gguf)?,
            Files::Safetensors(files) => json::read(files, tokens)?,
        };
        if told.bytes.len() != tokens {
            return Err(LoadError::Unsupported("a vocabulary that is not as long as its embeddings".to_owned()));
        }
        let Vocabulary { plain, bytes, mut control, hidden, ends, bos, eos, begins } = told;
        control.sort_by_key(|(token, _)| std::cmp::Reverse(token.len()));
        let named = control.iter().filter(|(token, _)| ENDS.contains(&token.as_str())).map(|(_, id)| *id);
        let ends = named.chain(eos).chain(ends).collect();
        Ok(Self { plain, bytes, control, hidden, ends, bos, eos, begins })
    }

    /// The tokens of a text that stands alone.
    pub fn whole(&self, text: &str) -> Result<Vec<u32>, String> {
        let tokens = self.text(text)?;
        // An empty text stays one: there is nothing to go on from.
        let begin = self.bos.filter(|_| self.begins && !tokens.is_empty());
        Ok(begin.into_iter().chain(tokens).collect())
    }

    /// The tokens of a text from outside: none of them is a control token.
    pub fn text(&self, text: &str) -> Result<Vec<u32>, String> {
        match &self.plain {
            Plain::Bpe(tokenizer) => {
                let encoding = tokenizer.encode_fast(text, false).map_err(|error| error.to_string())?;
                Ok(encoding.get_ids().to_vec())
            }
            Plain::Pieces(pieces) => Ok(pieces.tokens(text)),
        }
    }

    /// The tokens of a text in which control tokens are meant.
    pub fn prompt(&self, mut text: &str, mut restore: impl FnMut(&str) -> String) -> Result<Vec<u32>, String> {
        let mut ids = Vec::new();
        while !text.is_empty() {
            let next = self.next_control(text);
            let (before, control) =
                next.map_or((text, None), |(at, length, id)| (&text[..at], Some((at + length, id))));
            if !before.is_empty() {
                ids.extend(self.text(&restore(before))?);
            }
            let Some((rest, id)) = control else { break };
            ids.push(id);
            text = &text[rest..];
        }
        Ok(ids)
    }

    fn next_control(&self, text: &str) -> Option<(usize, usize, u32)> {
        let found = self.control.iter().filter_map(|(token, id)| Some((text.find(token.as_str())?, token.len(), *id)));
        found.min_by_key(|(at, length, _)| (*at, std::cmp::Reverse(*length)))
    }

    /// The texts of the control tokens.
    pub fn control_texts(&self) -> impl Iterator<Item = &str> {
        self.control.iter().map(|(token, _)| token.as_str())
    }

    /// What a token stands for; part of a character, perhaps.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    pub fn vocabulary(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a token says that the answer is over.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// Whether a token is no text, such as one that begins a message.
    pub fn is_control(&self, token: u32) -> bool {
        self.hidden.contains(&token)
    }

    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The texts that templates call `bos_token` and `eos_token`.
    pub fn marks(&self) -> [String; 2] {
        [self.bos, self.eos].map(|id| {
            let bytes = id.map(|id| self.bytes(id).to_vec()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }
}

/// GPT-2 writes each byte as a character that can be seen; this is the way back.
fn byte_decoder() -> HashMap<char, u8> {
    let mut next = 256;
    let mut decoder = HashMap::new();
    for byte in 0..=255_u8 {
        let shown = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let code = if shown {
            u32::from(byte)
        } else {
            next += 1;
            next - 1
        };
        decoder.extend(char::from_u32(code).map(|c| (c, byte)));
    }
    decoder
}

/// Some files have what the chat template writes among what SentencePiece's users defined: it is for the
/// template alone.
fn is_for_template(template: &str, token: &str) -> bool {
    token.starts_with('<') && template.contains(token)
}

/// What SentencePiece means by a token: `▁` is a blank, and `<0x0A>` a byte.
fn piece_bytes(token: &str) -> Vec<u8> {
    match piece_byte(token) {
        Some(byte) => vec![byte],
        None => token.replace('▁', " ").into_bytes(),
    }
}

fn piece_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>').filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}
