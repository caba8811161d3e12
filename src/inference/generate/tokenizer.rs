//! The tokenizer that a GGUF file holds.
//!
//! Text from outside is tokenised without control tokens, whatever it holds: only the chat template
//! says where a message begins and ends.

use std::collections::{HashMap, HashSet};

use candle_core::quantized::gguf_file::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use crate::inference::decoder::Gguf;
use crate::inference::encoder::LoadError;

/// What GGUF calls the kinds of tokens.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const UNUSED: i64 = 5;

/// Tokens that end an answer, whatever the metadata says of them.
const ENDS: &[&str] = &["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>", "</s>"];

/// How Qwen 2 and 3 cut text before its pairs are joined.
const QWEN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with up to three digits together, as Llama 3 does it.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Text to tokens, and tokens to bytes.
pub struct GgufTokenizer {
    /// Without control tokens.
    plain: Tokenizer,
    bytes: Vec<Vec<u8>>,
    /// Control tokens by their text, the longest first.
    control: Vec<(String, u32)>,
    ends: HashSet<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
}

impl GgufTokenizer {
    /// Errors: a vocabulary of a kind that is not supported, by its name.
    pub fn new(gguf: &Gguf) -> Result<Self, LoadError> {
        let kind = gguf.text("tokenizer.ggml.model").unwrap_or("none").to_owned();
        if kind != "gpt2" {
            return Err(LoadError::Unsupported(format!("a vocabulary of the kind {kind}; gpt2 (byte-level BPE) is")));
        }
        let tokens = texts(gguf, "tokenizer.ggml.tokens")?;
        let kinds = numbers(gguf, "tokenizer.ggml.token_type");
        let merges = texts(gguf, "tokenizer.ggml.merges")?;
        let plain = bpe(gguf, &tokens, &merges)?;
        let kind_of = |id: usize| kinds.get(id).copied().unwrap_or(1);
        let is_text = |id: usize| ![CONTROL, USER_DEFINED, UNUSED].contains(&kind_of(id));
        let decode = byte_decoder();
        let bytes = tokens.iter().enumerate().map(|(id, token)| match is_text(id) {
            true => token.chars().filter_map(|c| decode.get(&c).copied()).collect(),
            false => token.clone().into_bytes(),
        });
        let bytes = bytes.collect();
        let ids = || tokens.iter().zip(0_u32..);
        let mut control: Vec<_> = ids()
            .filter(|(token, id)| [CONTROL, USER_DEFINED].contains(&kind_of(*id as usize)) && !token.is_empty())
            .map(|(token, id)| (token.clone(), id))
            .collect();
        control.sort_by_key(|(token, _)| std::cmp::Reverse(token.len()));
        let told = |key: &str| gguf.size(key).ok().and_then(|id| u32::try_from(id).ok());
        let (bos, eos) = (told("tokenizer.ggml.bos_token_id"), told("tokenizer.ggml.eos_token_id"));
        let named = control.iter().filter(|(token, _)| ENDS.contains(&token.as_str())).map(|(_, id)| *id);
        let ends = named.chain(eos).chain(told("tokenizer.ggml.eot_token_id")).collect();
        Ok(Self { plain, bytes, control, ends, bos, eos })
    }

    /// The tokens of a text from outside: none of them is a control token.
    pub fn text(&self, text: &str) -> Result<Vec<u32>, String> {
        let encoding = self.plain.encode_fast(text, false).map_err(|error| error.to_string())?;
        Ok(encoding.get_ids().to_vec())
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

    pub fn is_control(&self, token: u32) -> bool {
        self.control.iter().any(|(_, id)| *id == token)
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

fn bpe(gguf: &Gguf, tokens: &[String], merges: &[String]) -> Result<Tokenizer, LoadError> {
    let vocabulary: HashMap<_, _> = tokens.iter().cloned().zip(0_u32..).collect();
    let pairs = merges.iter().map(|merge| merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())));
    let pairs = pairs.collect::<Option<Vec<_>>>().ok_or_else(|| gguf.wrong("its merges are no pairs"))?;
    let wrong = |error: tokenizers::Error| gguf.wrong(&format!("its vocabulary: {error}"));
    let model = BPE::builder()
        .vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), pairs)
        .ignore_merges(false)
        .build()
        .map_err(wrong)?;
    let mut tokenizer = Tokenizer::new(model);
    let split = |pattern: &str| -> Result<PreTokenizerWrapper, LoadError> {
        let pattern = SplitPattern::Regex(pattern.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(wrong)?;
        let bytes = ByteLevel::new(false, true, false);
        Ok(Sequence::new(vec![split.into(), bytes.into()]).into())
    };
    let by_name = gguf.text("tokenizer.ggml.pre").unwrap_or("default").to_owned();
    let pre: PreTokenizerWrapper = match by_name.as_str() {
        "smollm" => Sequence::new(vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()]).into(),
        "qwen2" => split(QWEN)?,
        "llama-bpe" | "llama3" | "llama-v3" => split(LLAMA3)?,
        "gpt-2" | "gpt2" => ByteLevel::new(false, true, true).into(),
        other => return Err(LoadError::Unsupported(format!("a vocabulary whose text is cut as {other:?}"))),
    };
    tokenizer.with_pre_tokenizer(Some(pre));
    Ok(tokenizer)
}

fn texts(gguf: &Gguf, key: &str) -> Result<Vec<String>, LoadError> {
    let list = gguf.content.metadata.get(key).and_then(|value| value.to_vec().ok());
    let list = list.ok_or_else(|| gguf.wrong(&format!("it does not tell {key}")))?;
    let texts = list.iter().map(|value| value.to_string().ok().cloned());
    texts.collect::<Option<_>>().ok_or_else(|| gguf.wrong(&format!("{key} is no list of texts")))
}

fn numbers(gguf: &Gguf, key: &str) -> Vec<i64> {
    let number = |value: &Value| match value {
        Value::I32(n) => i64::from(*n),
        Value::U32(n) => i64::from(*n),
        _ => 1,
    };
    let list = gguf.content.metadata.get(key).and_then(|value| value.to_vec().ok());
    list.map(|values| values.iter().map(number).collect()).unwrap_or_default()
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
