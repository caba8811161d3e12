//! The vocabulary that a GGUF file holds: byte-level BPE, or SentencePiece's.

use std::collections::HashMap;

use candle_core::quantized::gguf_file::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use super::pieces::Pieces;
use super::{Plain, Vocabulary, byte_decoder, is_for_template, piece_bytes};
use crate::inference::decoder::Gguf;
use crate::inference::encoder::LoadError;

/// What GGUF calls the kinds of tokens.
const NORMAL: i64 = 1;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const UNUSED: i64 = 5;
const BYTE: i64 = 6;

/// How Qwen 2 and 3 cut text before its pairs are joined.
const QWEN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with up to three digits together, as Llama 3 does it.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Errors: a vocabulary of a kind that is not supported, by its name.
pub(super) fn read(gguf: &Gguf) -> Result<Vocabulary, LoadError> {
    let is_pieces = is_pieces(gguf)?;
    let tokens = texts(gguf, "tokenizer.ggml.tokens")?;
    let mut kinds = numbers(gguf, "tokenizer.ggml.token_type");
    kinds.resize(tokens.len(), NORMAL);
    if is_pieces {
        take_out(gguf.text("tokenizer.chat_template").unwrap_or(""), &tokens, &mut kinds);
    }
    let kind_of = |id: usize| kinds.get(id).copied().unwrap_or(NORMAL);
    let plain = match is_pieces {
        true => Plain::Pieces(pieces(gguf, &tokens, kind_of)?),
        false => Plain::Bpe(Box::new(bpe(gguf, &tokens, &texts(gguf, "tokenizer.ggml.merges")?)?)),
    };
    let decode = byte_decoder();
    let bytes = tokens.iter().enumerate().map(|(id, token)| match kind_of(id) {
        CONTROL | UNUSED => token.clone().into_bytes(),
        _ if is_pieces => piece_bytes(token),
        USER_DEFINED => token.clone().into_bytes(),
        _ => token.chars().filter_map(|c| decode.get(&c).copied()).collect(),
    });
    let bytes = bytes.collect();
    // Tokens of SentencePiece that the user defined are text: they are found in any.
    let is_written = |kind: i64| kind == CONTROL || kind == USER_DEFINED && !is_pieces;
    let ids = || tokens.iter().zip(0_u32..).map(|(token, id)| (token, id, kind_of(id as usize)));
    let control = ids().filter(|(token, _, kind)| is_written(*kind) && !token.is_empty());
    let control = control.map(|(token, id, _)| (token.clone(), id)).collect();
    let hidden = ids().filter(|(_, _, kind)| *kind == CONTROL).map(|(_, id, _)| id).collect();
    let told = |key: &str| gguf.size(key).ok().and_then(|id| u32::try_from(id).ok());
    let begins = match gguf.content.metadata.get("tokenizer.ggml.add_bos_token") {
        Some(Value::Bool(begins)) => *begins,
        _ => is_pieces,
    };
    Ok(Vocabulary {
        plain,
        bytes,
        control,
        hidden,
        ends: told("tokenizer.ggml.eot_token_id").into_iter().collect(),
        bos: told("tokenizer.ggml.bos_token_id"),
        eos: told("tokenizer.ggml.eos_token_id"),
        begins,
    })
}

/// Whether the vocabulary is SentencePiece's, and not byte by byte.
fn is_pieces(gguf: &Gguf) -> Result<bool, LoadError> {
    match gguf.text("tokenizer.ggml.model").unwrap_or("none") {
        "gpt2" => Ok(false),
        "llama" => Ok(true),
        kind => {
            let known = "gpt2 (byte-level BPE) and llama (SentencePiece's BPE) are";
            Err(LoadError::Unsupported(format!("a vocabulary of the kind {kind}; {known}")))
        }
    }
}

/// What SentencePiece's users defined is text, and found in any, but for what is the template's.
fn take_out(template: &str, tokens: &[String], kinds: &mut [i64]) {
    for (token, kind) in tokens.iter().zip(kinds) {
        if *kind == USER_DEFINED && is_for_template(template, token) {
            *kind = CONTROL;
        }
    }
}

fn pieces(gguf: &Gguf, tokens: &[String], kind_of: impl Fn(usize) -> i64) -> Result<Pieces, LoadError> {
    let list = gguf.content.metadata.get("tokenizer.ggml.scores").and_then(|value| value.to_vec().ok());
    let list = list.filter(|list| list.len() == tokens.len());
    let scores = list.ok_or_else(|| gguf.wrong("it does not tell tokenizer.ggml.scores, one for each token"))?;
    let mut made = Pieces::new(match gguf.content.metadata.get("tokenizer.ggml.add_space_prefix") {
        Some(Value::Bool(prefix)) => *prefix,
        _ => true,
    });
    for (id, (token, score)) in (0_u32..).zip(tokens.iter().zip(scores)) {
        let score = score.to_f32().unwrap_or(0.0);
        match kind_of(id as usize) {
            NORMAL => made.add(token, id, score),
            USER_DEFINED => made.add_whole(token, id),
            BYTE => made.add_byte(token, id),
            _ => {}
        }
    }
    Ok(made.unknown(gguf.size("tokenizer.ggml.unknown_token_id").ok().and_then(|id| u32::try_from(id).ok())))
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
    // Qwen's own tokenizer composes characters first.
    tokenizer.with_normalizer((by_name == "qwen2").then_some(NFC)).map_err(wrong)?;
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
        _ => NORMAL,
    };
    let list = gguf.content.metadata.get(key).and_then(|value| value.to_vec().ok());
    list.map(|values| values.iter().map(number).collect()).unwrap_or_default()
}
