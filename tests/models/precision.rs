//! Candle's own operations in f16 and bf16, as a GPU computes them, held against f32 on real models.

use std::borrow::Cow;
use std::collections::HashMap;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use inkstone::inference::catalogue::{Catalogue, Entry};
use inkstone::inference::decoder::{Decoder, Files, Gguf, Step};
use inkstone::inference::encoder::{Encoder, TextTokenizer};
use inkstone::inference::generate::TokenText;
use inkstone::inference::{Compute, LaidOut, Overlong, TextKind};
use serde_json::json;

use super::tiny::decoder::published;
use super::tiny::{Model, likeness};
use super::{EMBED, EMBED_ENGLISH, RERANK, WRITE, engine, weights};

fn tensors(dtype: DType) -> Compute {
    Compute::Tensors { device: Device::Cpu, dtype }
}

/// A model of the list, which is fetched if it is not here.
async fn entry(name: &str) -> Entry {
    engine().await.pull(name, std::sync::Arc::new(|_, _| ())).await.expect("the registry has it");
    Catalogue::built_in().expect("the list is valid").find(name).expect("it is listed").clone()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn farthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "both are of one length");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[tokio::test]
async fn vectors_in_half_are_those_in_f32() {
    let texts: Vec<String> = serde_json::from_str(include_str!("reference/texts.json")).expect("texts");
    for name in [EMBED_ENGLISH, EMBED] {
        let entry = entry(name).await;
        let folder = weights().join(&entry.id).join(&entry.variant);
        let tokenizer = TextTokenizer::load(&folder, &entry).expect("a tokenizer");
        let tokens = tokenizer.texts(&texts, TextKind::Passage, Overlong::Cut).expect("tokens");
        let tokens: Vec<_> = tokens.iter().collect();
        let run = |dtype| Encoder::load(&folder, &entry, &tensors(dtype)).expect("an encoder").run(&tokens);
        let (half, exact) = (run(DType::F16).expect("vectors"), run(DType::F32).expect("vectors"));
        assert_eq!(half.len(), texts.len(), "a vector for each text");
        for ((half, exact), text) in half.iter().zip(&exact).zip(&texts) {
            let cosine = cosine(half, exact);
            assert!(cosine > 0.99999, "{name} in f16, {text:?}: the cosine with f32 is {cosine}");
        }
    }
}

#[tokio::test]
async fn a_rerankers_logits_in_half_are_those_in_f32() {
    let entry = entry(RERANK).await;
    let folder = weights().join(&entry.id).join(&entry.variant);
    let tokenizer = TextTokenizer::load(&folder, &entry).expect("a tokenizer");
    let texts = [
        "Grind the ink stick on the stone with a little water, slowly, until it is as dark as oil.",
        "The ferry to the island leaves twice a day, at nine and at four.",
        "Ink.",
    ];
    let pairs = tokenizer.pairs("how do I make ink?", &texts.map(str::to_owned), Overlong::Cut).expect("tokens");
    let pairs: Vec<_> = pairs.iter().collect();
    let run = |dtype| {
        let encoder = Encoder::load(&folder, &entry, &tensors(dtype)).expect("an encoder");
        encoder.run(&pairs).expect("logits").concat()
    };
    let (half, exact) = (run(DType::F16), run(DType::F32));
    assert!(farthest(&half, &exact) < 0.01, "logits in f16: {half:?}, and in f32: {exact:?}");
}

/// Said once and begun again, so that what follows is sure.
const PROMPT: &str = "墨分五色。The ink stick is ground on the stone with a little water until it is as dark as oil. \
    墨分五色。The ink stick is ground on the";

/// How far the logits in bf16 are from those in f32 while a text is written, the likeliest token in f32 each
/// time, which must be the likeliest in bf16 too: the farthest, and the least likeness.
fn apart(files: &Files, prompt: &[u32], written: usize) -> (f32, f64) {
    let load = |dtype| Decoder::load(files, 256, &tensors(dtype), &LaidOut::none()).expect("a decoder");
    let (half, exact) = (load(DType::BF16), load(DType::F32));
    let (mut of_half, mut of_exact) = (half.sequence(), exact.sequence());
    let likeliest = |logits: &[f32]| (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).expect("one");
    let (mut tokens, mut most, mut least) = (prompt.to_vec(), 0.0_f32, 1.0_f64);
    for n in 0..written {
        let next = |decoder: &Decoder, sequence| {
            decoder.forward(&mut [Step { sequence, tokens: &tokens }]).expect("logits").remove(0)
        };
        let (half, exact) = (next(&half, &mut of_half), next(&exact, &mut of_exact));
        let wide: Vec<f64> = exact.iter().map(|x| f64::from(*x)).collect();
        (most, least) = (most.max(farthest(&half, &exact)), least.min(likeness(&half, &wide)));
        let token = likeliest(&exact);
        assert_eq!(likeliest(&half), token, "token {n} of the text");
        tokens = vec![u32::try_from(token).expect("a token")];
    }
    (most, least)
}

#[tokio::test]
async fn a_decoder_writes_in_half_what_it_writes_in_f32() {
    let entry = entry(WRITE).await;
    let folder = weights().join(&entry.id).join(&entry.variant);
    let files = Files::open(&folder, &entry).expect("the files are here");
    let Files::Gguf(gguf) = &files else { panic!("it is a GGUF file") };
    let tokens = gguf.blocks("token_embd.weight").expect("the embeddings").shape[0];
    let text = TokenText::new(&files, tokens).expect("a vocabulary");

    // Only keys, values and attention are in bf16. What quantised weights take is rounded to 8 bits, which makes
    // as much of any difference: in f16 these are as far from f32.
    let (most, least) = apart(&files, &text.whole("one, two, three, four,").expect("tokens"), 1);
    assert!(most < 1.5 && least > 0.997, "keys and values in bf16: {most} off, and likeness {least}");

    // The same as the library saves it, dense: all products are in bf16.
    let model = Model::new("dense");
    write_dense(gguf, &model);
    let list = model.list("task = \"generate\"\narchitecture = \"safetensors\"\ncontext = 256");
    let list = Catalogue::with_file(&list).expect("the list is valid");
    let dense = Files::open(model.folder.path(), &list.entries()[0]).expect("the files are there");
    let (most, least) = apart(&dense, &text.whole(PROMPT).expect("tokens"), 8);
    assert!(most < 0.5 && least > 0.9997, "all in bf16: {most} off, and likeness {least}");
}

/// Writes a Llama's weights in bf16 as safetensors, with queries and keys in the order that these have.
fn write_dense(gguf: &Gguf, model: &Model) {
    let size = |key: &str| gguf.size(&format!("llama.{key}")).expect("a size");
    let told = |key: &str| gguf.float(&format!("llama.{key}")).expect("a number");
    let (hidden, heads) = (size("embedding_length"), size("attention.head_count"));
    let pairs = hidden / heads / 2;
    let tensor = |name: &String| -> candle_core::Result<(String, Tensor)> {
        let blocks = gguf.blocks(name).expect("the tensor");
        let storage = QStorage::from_data(Cow::Borrowed(blocks.bytes), &Device::Cpu, blocks.form)?;
        let whole = QTensor::new(storage, blocks.shape.clone())?.dequantize(&Device::Cpu)?.to_dtype(DType::BF16)?;
        let is_turned = name.contains("attn_q.") || name.contains("attn_k.");
        // The rows of the two halves of each head lie in turns.
        let whole = match is_turned {
            true => whole.reshape(((), pairs, 2, hidden))?.transpose(1, 2)?.reshape(blocks.shape)?,
            false => whole,
        };
        Ok((published(name, false), whole))
    };
    let tensors = gguf.content.tensor_infos.keys().map(tensor).collect::<candle_core::Result<HashMap<_, _>>>();
    let path = model.path("model.safetensors");
    candle_core::safetensors::save(&tensors.expect("the tensors"), path).expect("they are written");
    let config = json!({
        "model_type": "llama", "hidden_size": hidden, "intermediate_size": size("feed_forward_length"),
        "hidden_act": "silu", "num_hidden_layers": size("block_count"), "num_attention_heads": heads,
        "num_key_value_heads": size("attention.head_count_kv"), "max_position_embeddings": size("context_length"),
        "rms_norm_eps": told("attention.layer_norm_rms_epsilon"), "rope_theta": told("rope.freq_base"),
        "tie_word_embeddings": true
    });
    model.write("config.json", &config);
}
