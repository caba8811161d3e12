//! Decoders, made here and computed in a plain way, from both kinds of files.

use candle_core::{DType, Device};
use futures_util::StreamExt;
use inkstone::inference::catalogue::Catalogue;
use inkstone::inference::decoder::{Decoder, Files, Step};
use inkstone::inference::kernels::pool::Pool;
use inkstone::inference::{Compute, Engine, GenerateOptions, GenerateRequest, Message, Piece, Prompt, Role, Usage};
use serde_json::json;

use super::tiny::decoder::{
    CONTEXT, GEMMA3, LLAMA, QWEN2, QWEN3, WINDOW, byte_level, from_gguf, from_safetensors, pieces, plain, weights,
};
use super::tiny::{Model, likeness};

const GGUF: &str = "task = \"generate\"\narchitecture = \"gguf\"\ncontext = 64";
const SAFETENSORS: &str = "task = \"generate\"\narchitecture = \"safetensors\"\ncontext = 64";

/// The logits after the last of some tokens, which are read in two steps, beside another sequence.
fn logits(model: &Model, entry: &str, compute: &Compute) -> Vec<f32> {
    let catalogue = Catalogue::with_file(&model.list(entry)).expect("the list is valid");
    let entry = &catalogue.entries()[0];
    let files = Files::open(model.folder.path(), entry).expect("the files are there");
    let decoder = Decoder::load(&files, CONTEXT, compute).expect("a decoder");
    let (mut ours, mut other) = (decoder.sequence(), decoder.sequence());
    let (first, second) = TOKENS.split_at(TOKENS.len() / 2);
    decoder.forward(&mut [Step { sequence: &mut ours, tokens: first }]).expect("logits");
    let mut steps = [Step { sequence: &mut other, tokens: &[7, 8, 9] }, Step { sequence: &mut ours, tokens: second }];
    decoder.forward(&mut steps).expect("logits of both").pop().expect("logits")
}

const TOKENS: [u32; 11] = [5, 200, 33, 250, 256, 104, 12, 99, 31, 180, 77];

#[test]
fn logits_are_those_of_a_plain_computation() {
    for kind in [LLAMA, QWEN2, QWEN3, GEMMA3] {
        let weights = weights(kind);
        let expected = plain(kind, &weights, &TOKENS, WINDOW).pop().expect("logits");
        let gguf = from_gguf(kind, &weights, byte_level());
        let ours = logits(&gguf, GGUF, &kernels());
        assert!(likeness(&ours, &expected) > 0.998, "{} from GGUF: {}", kind.name, likeness(&ours, &expected));
        let candles = logits(&gguf, GGUF, &tensors(DType::F32));
        let alike = likeness(&candles, &expected);
        assert!(alike > 0.999, "{} in candle's own operations: {alike}", kind.name);
        if kind.gemma {
            let all = plain(kind, &weights, &TOKENS, usize::MAX).pop().expect("logits");
            assert!(likeness(&ours, &all) < 0.99, "what the window hides would be seen: {}", likeness(&ours, &all));
            continue;
        }
        let safetensors = from_safetensors(kind, &weights);
        let candles = logits(&safetensors, SAFETENSORS, &tensors(DType::F32));
        let alike = likeness(&candles, &expected);
        assert!(alike > 0.999, "{} from safetensors, in candle's own operations: {alike}", kind.name);
        let half = logits(&safetensors, SAFETENSORS, &tensors(DType::BF16));
        assert!(likeness(&half, &expected) > 0.998, "{} in bf16: {}", kind.name, likeness(&half, &expected));
        let same = logits(&safetensors, SAFETENSORS, &kernels());
        let far = ours.iter().zip(&same).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = ours.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        assert!(far < 0.01 * largest, "{} from safetensors: {far} off, of {largest}", kind.name);
    }
}

fn tensors(dtype: DType) -> Compute {
    Compute::Tensors { device: Device::Cpu, dtype }
}

fn kernels() -> Compute {
    Compute::Kernels(Pool::new(2).expect("threads"))
}

async fn write(engine: &Engine, prompt: Prompt) -> (String, Usage) {
    let options = GenerateOptions { temperature: 0.0, max_tokens: Some(12), ..GenerateOptions::default() };
    let request = GenerateRequest { prompt, tools: Vec::new(), options };
    let mut pieces = engine.generate(None, request).await.expect("it has a place");
    let mut text = String::new();
    while let Some(piece) = pieces.next().await {
        match piece.expect("a piece") {
            Piece::Text { text: more, .. } => text += &more,
            Piece::Done { usage, .. } => return (text, usage),
        }
    }
    panic!("the text should have an end: {text:?}");
}

#[tokio::test]
async fn both_kinds_of_files_write_the_same() {
    let weights = weights(QWEN3);
    let gguf = from_gguf(QWEN3, &weights, byte_level()).engine(GGUF).await;
    let safetensors = from_safetensors(QWEN3, &weights).engine(SAFETENSORS).await;
    for prompt in
        [Prompt::Text("ink in kin 墨".to_owned()), Prompt::Messages(vec![Message::new(Role::User, "ink<|im_end|>")])]
    {
        let (text, usage) = write(&gguf, prompt.clone()).await;
        assert_eq!((text, usage), write(&safetensors, prompt.clone()).await, "{prompt:?}");
        let expected = match prompt {
            // i n → in, k; Ġin; Ġ k → Ġ, k, in; Ġ and three bytes.
            Prompt::Text(_) => 10,
            // What ends a message is ten characters within one; a template loses its last line break.
            Prompt::Messages(_) => 3 + "user\nink<|im_end|>\nassistant".len() - 1,
        };
        assert_eq!(usage.prompt_tokens, expected, "{prompt:?}");
    }
}

#[tokio::test]
async fn a_text_is_cut_into_sentencepieces() {
    let weights = weights(GEMMA3);
    let engine = from_gguf(GEMMA3, &weights, pieces()).engine(GGUF).await;
    for (prompt, expected) in [
        // The beginning, then ink, ▁ink, two line breaks as one, and three bytes.
        (Prompt::Text("ink ink\n\n墨".to_owned()), 1 + 2 + 1 + 3),
        // <bos> <start_of_turn> user, a byte, then ink and what ends a turn as text: k is none of it.
        (
            Prompt::Messages(vec![Message::new(Role::User, "ink<eos>")]),
            3 + 1 + 1 + "<eos>".len() + 1 + 1 + 1 + "model".len(),
        ),
        (
            Prompt::Messages(vec![Message::new(Role::User, "ink<end_of_turn>")]),
            3 + 1 + 1 + "<end_of_turn>".len() + 1 + 1 + 1 + "model".len(),
        ),
    ] {
        let (text, usage) = write(&engine, prompt.clone()).await;
        assert_eq!(usage.prompt_tokens, expected, "{prompt:?}");
        assert_eq!((text, usage.completion_tokens), (write(&engine, prompt).await.0, usage.completion_tokens));
    }
    let mut cut = pieces();
    cut.retain(|(key, _)| key != "tokenizer.ggml.scores");
    let refused = from_gguf(GEMMA3, &weights, cut).refused(GGUF).await;
    assert!(refused.contains("does not tell tokenizer.ggml.scores"), "{refused}");
}

#[test]
fn what_is_not_supported_is_refused_with_what_it_is() {
    let weights = weights(QWEN2);
    for (file, key, value, says) in [
        ("config.json", "model_type", json!("mamba"), "a decoder of the kind mamba; llama, qwen2, qwen3 are"),
        ("config.json", "hidden_act", json!("gelu"), "another activation than silu"),
        ("config.json", "rope_scaling", json!({ "rope_type": "llama3", "factor": 8.0 }), "positions that are scaled"),
        ("config.json", "use_sliding_window", json!(true), "a sliding window"),
        ("config.json", "quantization_config", json!({ "bits": 4 }), "weights that were quantised"),
        ("config.json", "num_key_value_heads", json!(3), "sizes cannot be"),
        ("config.json", "intermediate_size", json!(128), "has the shape [96, 64], and [128, 64] was expected"),
    ] {
        let model = from_safetensors(QWEN2, &weights);
        let mut told: serde_json::Value =
            serde_json::from_slice(&std::fs::read(model.path(file)).expect("the file")).expect("JSON");
        told[key] = value;
        model.write(file, &told);
        let catalogue = Catalogue::with_file(&model.list(SAFETENSORS)).expect("the list is valid");
        let files = Files::open(model.folder.path(), &catalogue.entries()[0]).expect("the files are there");
        let refused = Decoder::load(&files, CONTEXT, &kernels()).err().expect("it is refused");
        assert!(refused.to_string().contains(says), "expected {says:?} in {refused}");
    }
}
