//! The vocabulary of a `tokenizer.json`: BPE, byte by byte or with SentencePiece's blanks.

use serde_json::Value;
use tokenizers::Tokenizer;

use super::{Plain, Vocabulary, byte_decoder, is_for_template, piece_bytes};
use crate::inference::decoder::Safetensors;
use crate::inference::encoder::LoadError;

/// `rows`: of the model's embeddings, which may be more than there are tokens.
///
/// Errors: another kind than BPE, by its name, or tokens that the model does not have.
pub(super) fn read(files: &Safetensors, rows: usize) -> Result<Vocabulary, LoadError> {
    let missing = || LoadError::Unsupported("safetensors without a tokenizer.json".to_owned());
    let mut told = files.json("tokenizer.json")?.ok_or_else(missing)?;
    let said = files.json("tokenizer_config.json")?.unwrap_or_default();
    let kind = told["model"]["type"].as_str().unwrap_or("none").to_owned();
    if kind != "BPE" {
        return Err(LoadError::Unsupported(format!("a vocabulary of the kind {kind}; BPE is")));
    }
    let is_byte_level = is_byte_level(&told)?;
    let template = files.chat_template()?.unwrap_or_default();
    let added = told["added_tokens"].as_array().into_iter().flatten().filter_map(Added::of);
    let added = added.map(|token| Added { is_text: !is_byte_level && token.is_defined(&template), ..token });
    let added: Vec<_> = added.collect();
    let named = |key: &str| {
        let text = said[key].as_str().or_else(|| said[key]["content"].as_str())?;
        added.iter().find(|token| token.text == text)
    };
    let (bos, eos) = (named("bos_token"), named("eos_token"));
    let ends = [files.json("generation_config.json")?.unwrap_or_default(), files.config.clone()];
    let ends: Vec<u32> = ends.iter().flat_map(|told| ids(&told["eos_token_id"])).collect();
    let begins = said["add_bos_token"].as_bool().unwrap_or_else(|| {
        let around = told["post_processor"].to_string();
        bos.is_some_and(|bos| around.contains(&bos.text))
    });
    let (bos, eos) = (bos.map(|bos| bos.id), eos.map(|eos| eos.id).or_else(|| ends.first().copied()));
    let bytes = bytes(&told, &added, rows, is_byte_level)?;
    // Nothing else in a text from outside is a token of its own.
    let found = added.iter().filter(|token| token.is_text).map(|token| token.told.clone()).collect();
    (told["added_tokens"], told["post_processor"]) = (Value::Array(found), Value::Null);
    (told["padding"], told["truncation"]) = (Value::Null, Value::Null);
    let plain = Tokenizer::from_bytes(told.to_string()).map_err(|error| wrong(&error.to_string()))?;
    Ok(Vocabulary {
        plain: Plain::Bpe(Box::new(plain)),
        bytes,
        hidden: added.iter().filter(|token| token.special).map(|token| token.id).collect(),
        control: added.into_iter().filter(|token| !token.is_text).map(|token| (token.text, token.id)).collect(),
        ends,
        bos,
        eos,
        begins,
    })
}

/// A token beside the model's own.
struct Added {
    text: String,
    id: u32,
    /// It is no text.
    special: bool,
    /// It is found in any text; else it is in none by itself.
    is_text: bool,
    told: Value,
}

impl Added {
    fn of(told: &Value) -> Option<Self> {
        let text = told["content"].as_str().filter(|text| !text.is_empty())?.to_owned();
        let id = u32::try_from(told["id"].as_u64()?).ok()?;
        Some(Self { text, id, special: told["special"] == true, is_text: false, told: told.clone() })
    }

    /// Whether it is what SentencePiece's users define, such as two line breaks, and not for the template alone.
    fn is_defined(&self, template: &str) -> bool {
        !self.special && !is_for_template(template, &self.text)
    }
}

/// What each token stands for; nothing where there is no token.
fn bytes(told: &Value, added: &[Added], rows: usize, is_byte_level: bool) -> Result<Vec<Vec<u8>>, LoadError> {
    let decode = byte_decoder();
    let mut bytes = vec![Vec::new(); rows];
    let mut put = |id: Option<usize>, text: Vec<u8>| match id.and_then(|id| bytes.get_mut(id)) {
        Some(place) => {
            *place = text;
            Ok(())
        }
        None => Err(wrong("it has tokens that the model does not have")),
    };
    for (token, id) in told["model"]["vocab"].as_object().into_iter().flatten() {
        let text = match is_byte_level {
            true => token.chars().filter_map(|c| decode.get(&c).copied()).collect(),
            false => piece_bytes(token),
        };
        put(id.as_u64().and_then(|id| usize::try_from(id).ok()), text)?;
    }
    for token in added {
        let text = if token.is_text { piece_bytes(&token.text) } else { token.text.clone().into_bytes() };
        put(usize::try_from(token.id).ok(), text)?;
    }
    Ok(bytes)
}

/// Whether tokens stand for bytes; else they are SentencePiece's.
fn is_byte_level(told: &Value) -> Result<bool, LoadError> {
    let is_so = [&told["pre_tokenizer"], &told["decoder"]].iter().any(|part| has_type(part, "ByteLevel"));
    if !is_so && told["model"]["byte_fallback"] != true {
        return Err(LoadError::Unsupported("a vocabulary that cannot write every byte".to_owned()));
    }
    Ok(is_so)
}

/// Whether a part of the pipeline is of this type, or holds one that is.
fn has_type(part: &Value, kind: &str) -> bool {
    let inner = ["pretokenizers", "decoders"].into_iter().filter_map(|key| part[key].as_array()).flatten();
    part["type"] == kind || inner.into_iter().any(|inner| inner["type"] == kind)
}

/// One id, or a list of them.
fn ids(value: &Value) -> Vec<u32> {
    let all = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    all.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}

fn wrong(wrong: &str) -> LoadError {
    LoadError::File { file: "tokenizer.json".to_owned(), wrong: wrong.to_owned() }
}
