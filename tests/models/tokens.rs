//! Texts to tokens as Qwen's own tokenizer gives them; `benches/peers/inference/qwen_tokens.py` wrote them.

use candle_core::quantized::gguf_file::Value;
use inkstone::inference::decoder::{Files, Gguf};
use inkstone::inference::generate::TokenText;
use serde::Deserialize;

use super::tiny::{Model, Weights};

/// As much of Qwen's vocabulary as comes up in some texts, and their tokens.
#[derive(Deserialize)]
struct Reference {
    /// The characters of single bytes, in the order of their ids, which are the first.
    bytes: String,
    /// Pairs, and the ids of what they are joined to.
    merges: Vec<(String, String, u32)>,
    texts: Vec<(String, Vec<u32>)>,
}

#[test]
fn qwens_texts_are_cut_and_joined_as_by_its_own_tokenizer() {
    let told: Reference = serde_json::from_str(include_str!("reference/qwen.json")).expect("the reference");
    let text = |text: String| Value::String(text);
    let bytes = told.bytes.chars().map(String::from);
    let tokens: Vec<_> = bytes.chain(told.merges.iter().map(|(a, b, _)| format!("{a}{b}"))).map(text).collect();
    let ids: Vec<u32> = (0..256).chain(told.merges.iter().map(|(_, _, id)| *id)).collect();
    let merges = told.merges.iter().map(|(a, b, _)| text(format!("{a} {b}"))).collect();
    let model = Model::new("qwen");
    let metadata = [
        ("general.architecture", text("qwen2".to_owned())),
        ("tokenizer.ggml.model", text("gpt2".to_owned())),
        ("tokenizer.ggml.pre", text("qwen2".to_owned())),
        ("tokenizer.ggml.tokens", Value::Array(tokens)),
        ("tokenizer.ggml.merges", Value::Array(merges)),
    ];
    Weights::new(0).gguf(&model.path("model.gguf"), &metadata);
    let files = Files::Gguf(Gguf::open(&model.path("model.gguf")).expect("the file"));
    let tokenizer = TokenText::new(&files, ids.len()).expect("a vocabulary");
    assert!(told.texts.len() >= 40, "the reference is whole");
    for (text, expected) in &told.texts {
        let tokens = tokenizer.text(text).expect("tokens");
        let theirs: Vec<u32> = tokens.iter().map(|token| ids[*token as usize]).collect();
        assert_eq!(&theirs, expected, "the tokens of {text:?}");
    }
}
