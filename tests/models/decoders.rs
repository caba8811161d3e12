//! Decoders, made here and computed in a plain way, from both kinds of files.

use candle_core::{DType, Device};
use futures_util::StreamExt;
use inkstone::inference::catalogue::Catalogue;
use inkstone::inference::decoder::{Decoder, Files, Step};
use inkstone::inference::kernels::pool::Pool;
use inkstone::inference::{
    Compute, Engine, GenerateOptions, GenerateRequest, LaidOut, Message, Piece, Prompt, Role, Usage,
};
use serde_json::json;

use super::tiny::decoder::{
    CONTEXT, GEMMA3, GEMMA3_4B, GEMMA3_27B, Kind, LLAMA, QWEN2, QWEN3, WINDOW, byte_level, from_gguf, from_safetensors,
    pieces, plain, weights,
};
use super::tiny::{Model, Weights, likeness};

const GGUF: &str = "task = \"generate\"\narchitecture = \"gguf\"\ncontext = 64";
const SAFETENSORS: &str = "task = \"generate\"\narchitecture = \"safetensors\"\ncontext = 64";

/// The logits after the last of some tokens, which are read in two steps, beside another sequence.
fn logits(model: &Model, entry: &str, compute: &Compute) -> Vec<f32> {
    let catalogue = Catalogue::with_file(&model.list(entry)).expect("the list is valid");
    let entry = &catalogue.entries()[0];
    let files = Files::open(model.folder.path(), entry).expect("the files are there");
    let decoder = Decoder::load(&files, CONTEXT, compute, &LaidOut::none()).expect("a decoder");
    let (mut ours, mut other) = (decoder.sequence(), decoder.sequence());
    let (first, second) = TOKENS.split_at(TOKENS.len() / 2);
    decoder.forward(&mut [Step { sequence: &mut ours, tokens: first }]).expect("logits");
    let mut steps = [Step { sequence: &mut other, tokens: &[7, 8, 9] }, Step { sequence: &mut ours, tokens: second }];
    decoder.forward(&mut steps).expect("logits of both").pop().expect("logits")
}

const TOKENS: [u32; 11] = [5, 200, 33, 250, 256, 104, 12, 99, 31, 180, 77];

#[test]
fn logits_are_those_of_a_plain_computation() {
    for kind in [LLAMA, QWEN2, QWEN3, GEMMA3, GEMMA3_4B] {
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

#[test]
fn the_largest_gemma_divides_its_products_by_another_number() {
    let weights = weights(GEMMA3_27B);
    let expected = plain(GEMMA3_27B, &weights, &TOKENS, WINDOW).pop().expect("logits");
    let others = plain(Kind { scalar: 32, ..GEMMA3_27B }, &weights, &TOKENS, WINDOW).pop().expect("logits");
    let (gguf, safetensors) = (from_gguf(GEMMA3_27B, &weights, pieces()), from_safetensors(GEMMA3_27B, &weights));
    for (model, entry) in [(gguf, GGUF), (safetensors, SAFETENSORS)] {
        for (compute, least) in [(tensors(DType::F32), 0.999), (kernels(), 0.995)] {
            let ours = logits(&model, entry, &compute);
            assert!(likeness(&ours, &expected) > least, "{entry}: {}", likeness(&ours, &expected));
            assert!(likeness(&ours, &others) < 0.98, "another number would be seen: {}", likeness(&ours, &others));
        }
    }
}

#[test]
fn newer_files_tell_of_gemmas_layers_one_by_one() {
    let weights = weights(GEMMA3_4B);
    let expected = plain(GEMMA3_4B, &weights, &TOKENS, WINDOW).pop().expect("logits");
    let (model, mut told) = told(GEMMA3_4B, &weights);
    for old in ["rope_theta", "rope_local_base_freq", "rope_scaling", "sliding_window_pattern"] {
        told.remove(old);
    }
    let kind = |n: u32| if n == 5 { "full_attention" } else { "sliding_attention" };
    told.insert("layer_types".to_owned(), (0..7).map(kind).collect());
    let ropes = json!({
        "full_attention": { "rope_type": "linear", "factor": 8.0, "rope_theta": 1e6 },
        "sliding_attention": { "rope_type": "default", "rope_theta": 1e4 }
    });
    told.insert("rope_parameters".to_owned(), ropes);
    model.write("config.json", &told.into());
    let ours = logits(&model, SAFETENSORS, &tensors(DType::F32));
    assert!(likeness(&ours, &expected) > 0.999, "{}", likeness(&ours, &expected));
    let unscaled = plain(Kind { factor: 1.0, ..GEMMA3_4B }, &weights, &TOKENS, WINDOW).pop().expect("logits");
    assert!(likeness(&ours, &unscaled) < 0.99, "what is not scaled would be seen: {}", likeness(&ours, &unscaled));
}

/// A model as the library saves it, and what its `config.json` tells.
fn told(kind: Kind, weights: &Weights) -> (Model, serde_json::Map<String, serde_json::Value>) {
    let model = from_safetensors(kind, weights);
    let file = std::fs::read(model.path("config.json")).expect("the file");
    (model, serde_json::from_slice(&file).expect("an object"))
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
    let gguf = from_gguf(GEMMA3, &weights, pieces()).engine(GGUF).await;
    let safetensors = from_safetensors(GEMMA3, &weights).engine(SAFETENSORS).await;
    for (prompt, expected) in [
        // The beginning, then ink, ▁ink, two line breaks as one, and three bytes.
        (Prompt::Text("ink ink\n\n墨".to_owned()), 1 + 2 + 1 + 3),
        // Two blanks are one, whatever could be joined with the second.
        (Prompt::Text("ink  ink".to_owned()), 1 + 3),
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
        let (text, usage) = write(&gguf, prompt.clone()).await;
        assert_eq!(usage.prompt_tokens, expected, "{prompt:?}");
        assert_eq!((text, usage), write(&safetensors, prompt.clone()).await, "{prompt:?}");
    }
    let mut cut = pieces();
    cut.retain(|(key, _)| key != "tokenizer.ggml.scores");
    let refused = from_gguf(GEMMA3, &weights, cut).refused(GGUF).await;
    assert!(refused.contains("does not tell tokenizer.ggml.scores"), "{refused}");
}

#[test]
fn what_is_not_supported_is_refused_with_what_it_is() {
    let scaled = json!({ "rope_type": "llama3", "factor": 8.0 });
    for (kind, key, value, says) in [
        (QWEN2, "model_type", json!("mamba"), "a decoder of the kind mamba; llama, qwen2, qwen3, gemma3_text are"),
        (QWEN2, "text_config", json!({ "model_type": "gemma3_text" }), "a qwen2 that reads more than text"),
        (QWEN2, "hidden_act", json!("gelu"), "another activation than silu"),
        (QWEN2, "rope_scaling", scaled.clone(), "positions that are scaled"),
        (QWEN2, "rope_scaling", json!({ "rope_type": "linear", "factor": 8.0 }), "positions that are scaled"),
        (QWEN2, "use_sliding_window", json!(true), "a sliding window"),
        (QWEN2, "quantization_config", json!({ "bits": 4 }), "weights that were quantised"),
        (QWEN2, "num_key_value_heads", json!(3), "sizes cannot be"),
        (QWEN2, "intermediate_size", json!(128), "has the shape [96, 64], and [128, 64] was expected"),
        (GEMMA3, "hidden_activation", json!("gelu"), "another activation than gelu_pytorch_tanh"),
        (GEMMA3, "rope_scaling", scaled, "positions that are scaled"),
        (GEMMA3, "final_logit_softcapping", json!(30.0), "logits that are capped"),
        (GEMMA3, "use_bidirectional_attention", json!(true), "attention to what comes after"),
        (GEMMA3, "sliding_window", json!(null), "no sliding window"),
        (GEMMA3, "sliding_window_pattern", json!(0), "sizes cannot be"),
        (GEMMA3, "layer_types", json!(["full_attention"]), "layers that see all in no fixed order"),
    ] {
        let (model, mut told) = told(kind, &weights(kind));
        told.insert(key.to_owned(), value);
        model.write("config.json", &told.into());
        let catalogue = Catalogue::with_file(&model.list(SAFETENSORS)).expect("the list is valid");
        let files = Files::open(model.folder.path(), &catalogue.entries()[0]).expect("the files are there");
        let loaded = Decoder::load(&files, CONTEXT, &kernels(), &LaidOut::none());
        let refused = loaded.err().expect("it is refused");
        assert!(refused.to_string().contains(says), "expected {says:?} in {refused}");
    }
}
