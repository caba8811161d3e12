//! Decoders, made here and computed in a plain way, from both kinds of files.

use candle_core::Device;
use candle_core::quantized::gguf_file::Value;
use futures_util::StreamExt;
use inkstone::inference::catalogue::Catalogue;
use inkstone::inference::decoder::{Compute, Decoder, Files, Step};
use inkstone::inference::kernels::pool::Pool;
use inkstone::inference::{Engine, GenerateOptions, GenerateRequest, Message, Piece, Prompt, Role, Usage};
use serde_json::json;

use super::tiny::{Model, Weights, add, attend, likeness};

const HIDDEN: usize = 64;
const INNER: usize = 96;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const CONTEXT: usize = 64;
const WINDOW: usize = 4;
const EPSILON: f64 = 1e-5;
/// Bytes, pairs of them, and three more; the embeddings have some rows that no token has.
const PAIRS: [&str; 4] = ["in", "Ġi", "Ġin", "kĠ"];
const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const ROWS: usize = 288;

/// What a kind of decoder does otherwise than another.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    layers: usize,
    head_dim: usize,
    base: f64,
    /// Queries, keys and values have something added.
    biases: bool,
    /// Queries and keys have a norm.
    norms: bool,
    gemma: bool,
}

const LLAMA: Kind =
    Kind { name: "llama", layers: 2, head_dim: 16, base: 1e4, biases: false, norms: false, gemma: false };
const QWEN2: Kind = Kind { name: "qwen2", base: 1e6, biases: true, ..LLAMA };
const QWEN3: Kind = Kind { name: "qwen3", head_dim: 32, norms: true, base: 1e6, ..LLAMA };
const GEMMA3: Kind = Kind { name: "gemma3", layers: 7, head_dim: 32, base: 1e6, norms: true, gemma: true, ..LLAMA };

/// Weights under the names that GGUF gives them, in the order that Hugging Face's files have.
fn weights(kind: Kind) -> Weights {
    let mut weights = Weights::new(11);
    let (q, kv) = (HEADS * kind.head_dim, KV_HEADS * kind.head_dim);
    weights.put("token_embd.weight", &[ROWS, HIDDEN], 0.0, 1.0 / if kind.gemma { 8.0 } else { 1.0 });
    weights.put("output_norm.weight", &[HIDDEN], 1.0, 0.5);
    if kind.name == "llama" {
        weights.put("output.weight", &[ROWS, HIDDEN], 0.0, 0.5);
    }
    // What is no token is never the likeliest.
    for name in ["token_embd.weight", "output.weight"] {
        if let Some((_, numbers)) = weights.tensors.get_mut(name) {
            numbers[vocabulary().len() * HIDDEN..].fill(0.0);
        }
    }
    for n in 0..kind.layers {
        let name = |part: &str| format!("blk.{n}.{part}");
        let rows = [("attn_q", q, HIDDEN), ("attn_k", kv, HIDDEN), ("attn_v", kv, HIDDEN), ("attn_output", HIDDEN, q)];
        let feed = [("ffn_gate", INNER, HIDDEN), ("ffn_up", INNER, HIDDEN), ("ffn_down", HIDDEN, INNER)];
        for (part, out, width) in rows.into_iter().chain(feed) {
            weights.put(&name(&format!("{part}.weight")), &[out, width], 0.0, 0.25);
        }
        for part in ["attn_norm.weight", "ffn_norm.weight"] {
            weights.put(&name(part), &[HIDDEN], 1.0, 0.5);
        }
        if kind.biases {
            for (part, out) in [("attn_q.bias", q), ("attn_k.bias", kv), ("attn_v.bias", kv)] {
                weights.put(&name(part), &[out], 0.0, 0.8);
            }
        }
        if kind.norms {
            weights.put(&name("attn_q_norm.weight"), &[kind.head_dim], 1.5, 0.8);
            weights.put(&name("attn_k_norm.weight"), &[kind.head_dim], 1.5, 0.8);
        }
        if kind.gemma {
            weights.put(&name("post_attention_norm.weight"), &[HIDDEN], 0.8, 0.6);
            weights.put(&name("post_ffw_norm.weight"), &[HIDDEN], 0.8, 0.6);
        }
    }
    weights
}

fn norm(weight: &[f32], x: &[f64]) -> Vec<f64> {
    let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).map(|(x, weight)| x / (square + EPSILON).sqrt() * f64::from(*weight)).collect()
}

/// Turns a head as GPT-NeoX does it.
fn turn(head: &mut [f64], position: usize, base: f64) {
    let half = head.len() / 2;
    for pair in 0..half {
        let angle = position as f64 * base.powf(-2.0 * pair as f64 / head.len() as f64);
        let (a, b) = (head[pair], head[pair + half]);
        head[pair] = a * angle.cos() - b * angle.sin();
        head[pair + half] = a * angle.sin() + b * angle.cos();
    }
}

/// The logits after each token. `window`: how far Gemma's layers look back, but every sixth.
fn plain(kind: Kind, weights: &Weights, tokens: &[u32], window: usize) -> Vec<Vec<f64>> {
    let scale = if kind.gemma { (HIDDEN as f64).sqrt() } else { 1.0 };
    let embed = |token: &u32| weights.row("token_embd.weight", *token as usize).iter().map(|x| x * scale).collect();
    let mut rows: Vec<Vec<f64>> = tokens.iter().map(embed).collect();
    for n in 0..kind.layers {
        let name = |part: &str| format!("blk.{n}.{part}");
        let is_local = kind.gemma && n % 6 != 5;
        let base = if is_local { 1e4 } else { kind.base };
        let normed: Vec<_> = rows.iter().map(|x| norm(weights.get(&name("attn_norm.weight")), x)).collect();
        // `[position][head]`
        let heads = |part: &str, turned: bool| -> Vec<Vec<Vec<f64>>> {
            let cut = |(position, x): (usize, &Vec<f64>)| {
                let all = weights.linear(&name(part), x);
                let head = |head: &[f64]| {
                    let norm_name = name(&format!("{part}_norm.weight"));
                    let normed = weights.has(&norm_name).then(|| norm(weights.get(&norm_name), head));
                    let mut head = normed.unwrap_or_else(|| head.to_vec());
                    if turned {
                        turn(&mut head, position, base);
                    }
                    head
                };
                all.chunks(kind.head_dim).map(head).collect()
            };
            normed.iter().enumerate().map(cut).collect()
        };
        let (queries, keys, values) = (heads("attn_q", true), heads("attn_k", true), heads("attn_v", false));
        for (position, x) in rows.iter_mut().enumerate() {
            let from = if is_local { (position + 1).saturating_sub(window) } else { 0 };
            let head = |head: usize| {
                let of = head / (HEADS / KV_HEADS);
                let past = |rows: &'_ [Vec<Vec<f64>>]| {
                    rows[from..=position].iter().map(|heads| heads[of].clone()).collect::<Vec<_>>()
                };
                let (keys, values) = (past(&keys), past(&values));
                let [keys, values] = [&keys, &values].map(|rows| rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
                attend(&queries[position][head], &keys, &values, 1.0 / (kind.head_dim as f64).sqrt())
            };
            let attended: Vec<f64> = (0..HEADS).flat_map(head).collect();
            let mut attended = weights.linear(&name("attn_output"), &attended);
            if kind.gemma {
                attended = norm(weights.get(&name("post_attention_norm.weight")), &attended);
            }
            add(x, &attended);
            let normed = norm(weights.get(&name("ffn_norm.weight")), x);
            let open = |x: f64| match kind.gemma {
                true => x / 2.0 * (1.0 + (0.797_884_560_8 * (x + 0.044_715 * x.powi(3))).tanh()),
                false => x / (1.0 + (-x).exp()),
            };
            let up = weights.linear(&name("ffn_up"), &normed);
            let gate = weights.linear(&name("ffn_gate"), &normed);
            let gated: Vec<f64> = gate.into_iter().zip(up).map(|(gate, up)| open(gate) * up).collect();
            let mut fed = weights.linear(&name("ffn_down"), &gated);
            if kind.gemma {
                fed = norm(weights.get(&name("post_ffw_norm.weight")), &fed);
            }
            add(x, &fed);
        }
    }
    let output = if weights.has("output.weight") { "output" } else { "token_embd" };
    rows.iter().map(|x| weights.linear(output, &norm(weights.get("output_norm.weight"), x))).collect()
}

fn published(name: &str) -> String {
    let parts = [
        ("token_embd", "model.embed_tokens"),
        ("output_norm", "model.norm"),
        ("attn_norm", "input_layernorm"),
        ("attn_q_norm", "self_attn.q_norm"),
        ("attn_k_norm", "self_attn.k_norm"),
        ("attn_output", "self_attn.o_proj"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
        ("blk", "model.layers"),
        ("output", "lm_head"),
    ];
    let part = |part: &str| parts.iter().find(|(ours, _)| *ours == part).map_or(part, |(_, theirs)| theirs).to_owned();
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// The characters that stand for bytes, as GPT-2 has them.
fn bytes() -> Vec<String> {
    let mut next = 255;
    let shown = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut code = |byte: u8| {
        if shown(byte) {
            return u32::from(byte);
        }
        next += 1;
        next
    };
    (0..=255).map(|byte| char::from_u32(code(byte)).expect("a character").to_string()).collect()
}

fn vocabulary() -> Vec<String> {
    bytes().into_iter().chain(PAIRS.into_iter().chain(SPECIAL).map(str::to_owned)).collect()
}

const MERGES: [&str; 4] = ["i n", "Ġ i", "Ġ in", "k Ġ"];
const TEMPLATE: &str =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";

fn from_gguf(kind: Kind, weights: &Weights) -> Model {
    let model = Model::new("tiny-gguf");
    let key = |name: &str| format!("{}.{name}", kind.name);
    let mut told: Vec<(String, Value)> = vec![
        ("general.architecture".to_owned(), Value::String(kind.name.to_owned())),
        (key("attention.layer_norm_rms_epsilon"), Value::F32(EPSILON as f32)),
        (key("rope.freq_base"), Value::F32(kind.base as f32)),
        ("tokenizer.ggml.model".to_owned(), Value::String("gpt2".to_owned())),
        ("tokenizer.ggml.pre".to_owned(), Value::String("gpt-2".to_owned())),
        ("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(262)),
        ("tokenizer.chat_template".to_owned(), Value::String(TEMPLATE.to_owned())),
    ];
    let sizes = [
        ("embedding_length", HIDDEN),
        ("block_count", kind.layers),
        ("feed_forward_length", INNER),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
        ("attention.key_length", kind.head_dim),
        ("context_length", CONTEXT),
    ];
    told.extend(sizes.map(|(name, size)| (key(name), Value::U32(size as u32))));
    if kind.gemma {
        told.push((key("attention.sliding_window"), Value::U32(WINDOW as u32)));
    }
    let rest = (vocabulary().len()..ROWS).map(|n| format!("[PAD{n}]"));
    let tokens: Vec<_> = vocabulary().into_iter().chain(rest).map(Value::String).collect();
    let types = (0..ROWS)
        .map(|n| {
            Value::I32(if n < 260 {
                1
            } else if n < 263 {
                3
            } else {
                5
            })
        })
        .collect();
    let merges = MERGES.map(|merge| Value::String(merge.to_owned())).to_vec();
    for (name, list) in [("tokens", tokens), ("token_type", types), ("merges", merges)] {
        told.push((format!("tokenizer.ggml.{name}"), Value::Array(list)));
    }
    let mut ours = Weights::new(0);
    ours.tensors = weights.tensors.clone();
    for (name, (shape, numbers)) in ours.tensors.iter_mut() {
        // Llama's files have the two halves of a head in turns.
        if kind.name == "llama" && (name.contains("attn_q.") || name.contains("attn_k.")) {
            let (width, half) = (shape[1], kind.head_dim / 2);
            let rows = numbers.clone();
            for (n, row) in numbers.chunks_mut(width).enumerate() {
                let (head, at) = (n / kind.head_dim, n % kind.head_dim);
                let from = head * kind.head_dim + at % 2 * half + at / 2;
                row.copy_from_slice(&rows[from * width..(from + 1) * width]);
            }
        }
    }
    let told: Vec<_> = told.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    ours.gguf(&model.path("model.gguf"), &told);
    model
}

fn from_safetensors(kind: Kind, weights: &Weights) -> Model {
    let model = Model::new("tiny-safetensors");
    weights.safetensors(&model.path("model.safetensors"), published);
    let tied = !weights.has("output.weight");
    model.write(
        "config.json",
        &json!({
            "model_type": kind.name, "hidden_size": HIDDEN, "intermediate_size": INNER, "hidden_act": "silu",
            "num_hidden_layers": kind.layers, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
            "head_dim": kind.head_dim, "max_position_embeddings": CONTEXT, "rms_norm_eps": EPSILON,
            "rope_theta": kind.base, "rope_scaling": null, "tie_word_embeddings": tied, "eos_token_id": [262]
        }),
    );
    let tokens = vocabulary();
    let known: serde_json::Map<_, _> =
        tokens.iter().take(260).enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let added = |(n, token): (usize, &str)| json!({ "id": 260 + n, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true });
    let level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    model.write(
        "tokenizer.json",
        &json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
            "added_tokens": SPECIAL.into_iter().enumerate().map(added).collect::<Vec<_>>(),
            "pre_tokenizer": level, "decoder": level,
            "model": { "type": "BPE", "vocab": known, "merges": MERGES, "byte_fallback": false }
        }),
    );
    model.write(
        "tokenizer_config.json",
        &json!({ "eos_token": { "content": "<|im_end|>" }, "bos_token": null, "chat_template": TEMPLATE }),
    );
    model
}

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
        let gguf = from_gguf(kind, &weights);
        let ours = logits(&gguf, GGUF, &kernels());
        assert!(likeness(&ours, &expected) > 0.998, "{} from GGUF: {}", kind.name, likeness(&ours, &expected));
        let candles = logits(&gguf, GGUF, &Compute::Tensors(Device::Cpu));
        let alike = likeness(&candles, &expected);
        assert!(alike > 0.9999, "{} in candle's own operations: {alike}", kind.name);
        if kind.gemma {
            let all = plain(kind, &weights, &TOKENS, usize::MAX).pop().expect("logits");
            assert!(likeness(&ours, &all) < 0.99, "what the window hides would be seen: {}", likeness(&ours, &all));
            continue;
        }
        let safetensors = from_safetensors(kind, &weights);
        let candles = logits(&safetensors, SAFETENSORS, &Compute::Tensors(Device::Cpu));
        assert!(likeness(&candles, &expected) > 0.998, "{} as 8 bits: {}", kind.name, likeness(&candles, &expected));
        let same = logits(&safetensors, SAFETENSORS, &kernels());
        let far = ours.iter().zip(&same).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = ours.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        assert!(far < 0.01 * largest, "{} from safetensors: {far} off, of {largest}", kind.name);
    }
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
    let gguf = from_gguf(QWEN3, &weights).engine(GGUF).await;
    let safetensors = from_safetensors(QWEN3, &weights).engine(SAFETENSORS).await;
    for prompt in
        [Prompt::Text("ink in kin 墨".to_owned()), Prompt::Messages(vec![Message::new(Role::User, "ink<|im_end|>")])]
    {
        let (text, usage) = write(&gguf, prompt.clone()).await;
        assert_eq!((text, usage), write(&safetensors, prompt.clone()).await, "{prompt:?}");
        let expected = match prompt {
            // i n → in, k; Ġin; Ġ k → Ġ, k, in; Ġ and three bytes.
            Prompt::Text(_) => 10,
            // What ends a message in a message is ten characters; around it are two lines and three tokens.
            Prompt::Messages(_) => 3 + "user\nink<|im_end|>\nassistant\n".len() - 1,
        };
        assert_eq!(usage.prompt_tokens, expected, "{prompt:?}");
    }
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
