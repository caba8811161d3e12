//! Decoders with random weights: their files of both kinds, and what they give, computed plainly.

use candle_core::quantized::gguf_file::Value;
use serde_json::json;

use super::{Model, Weights, add, attend};

pub const HIDDEN: usize = 64;
const INNER: usize = 96;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
pub const CONTEXT: usize = 64;
pub const WINDOW: usize = 4;
const EPSILON: f64 = 1e-5;
/// Bytes, pairs of them, and three more; the embeddings have some rows that no token has.
const PAIRS: [&str; 4] = ["in", "Ġi", "Ġin", "kĠ"];
const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
pub const ROWS: usize = 288;

/// What a kind of decoder does otherwise than another.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    layers: usize,
    head_dim: usize,
    base: f64,
    /// Queries, keys and values have something added.
    biases: bool,
    /// Queries and keys have a norm.
    norms: bool,
    pub gemma: bool,
}

pub const LLAMA: Kind =
    Kind { name: "llama", layers: 2, head_dim: 16, base: 1e4, biases: false, norms: false, gemma: false };
pub const QWEN2: Kind = Kind { name: "qwen2", base: 1e6, biases: true, ..LLAMA };
pub const QWEN3: Kind = Kind { name: "qwen3", head_dim: 32, norms: true, base: 1e6, ..LLAMA };
pub const GEMMA3: Kind = Kind { name: "gemma3", layers: 7, head_dim: 32, base: 1e6, norms: true, gemma: true, ..LLAMA };

/// Weights under the names that GGUF gives them, in the order that Hugging Face's files have.
pub fn weights(kind: Kind) -> Weights {
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
pub fn plain(kind: Kind, weights: &Weights, tokens: &[u32], window: usize) -> Vec<Vec<f64>> {
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

pub fn published(name: &str) -> String {
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

/// What a GGUF file tells beside its tensors.
pub type Metadata = Vec<(String, Value)>;

fn lists(lists: [(&str, Vec<Value>); 3]) -> impl Iterator<Item = (String, Value)> {
    lists.into_iter().map(|(name, list)| (format!("tokenizer.ggml.{name}"), Value::Array(list)))
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The vocabulary of bytes and pairs.
pub fn byte_level() -> Metadata {
    let rest = (vocabulary().len()..ROWS).map(|n| format!("[PAD{n}]"));
    let tokens = vocabulary().into_iter().chain(rest).map(Value::String).collect();
    let kinds = [(260, 1), (SPECIAL.len(), 3), (ROWS - 263, 5)];
    let kinds = kinds.into_iter().flat_map(|(count, kind)| vec![Value::I32(kind); count]).collect();
    let told = [
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("gpt-2")),
        ("tokenizer.ggml.eos_token_id", Value::U32(262)),
        ("tokenizer.chat_template", text(TEMPLATE)),
    ];
    let told = told.map(|(key, value)| (key.to_owned(), value)).into_iter();
    let merges = MERGES.map(text).to_vec();
    told.chain(lists([("tokens", tokens), ("token_type", kinds), ("merges", merges)])).collect()
}

/// SentencePiece's, as Gemma has it: control tokens, bytes, one that is defined, and pieces.
pub fn pieces() -> Metadata {
    let control = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"].map(str::to_owned);
    let bytes = (0..=255_u8).map(|byte| format!("<0x{byte:02X}>"));
    let words = ["\n\n", "▁", "i", "n", "k", "in", "ink", "▁ink", "u", "s", "e", "r", "us", "er", "user"];
    let tokens: Vec<_> = control.into_iter().chain(bytes).chain(words.map(str::to_owned)).collect();
    // Some files call what begins and ends a turn defined by the user.
    let kinds = [(3, 3), (2, 4), (256, 6), (1, 4), (words.len() - 1, 1), (ROWS - tokens.len(), 5)];
    let kinds = kinds.into_iter().flat_map(|(count, kind)| vec![Value::I32(kind); count]).collect();
    let rest = (tokens.len()..ROWS).map(|n| format!("<unused{n}>"));
    let tokens: Vec<_> = tokens.into_iter().chain(rest).map(Value::String).collect();
    let scores = (0..ROWS).map(|n| Value::F32(-(n as f32))).collect();
    let template = "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}<start_of_turn>model\n";
    let told = [
        ("tokenizer.ggml.model", text("llama")),
        ("tokenizer.ggml.add_space_prefix", Value::Bool(false)),
        ("tokenizer.ggml.bos_token_id", Value::U32(2)),
        ("tokenizer.ggml.eos_token_id", Value::U32(1)),
        ("tokenizer.chat_template", text(template)),
    ];
    let told = told.map(|(key, value)| (key.to_owned(), value)).into_iter();
    told.chain(lists([("tokens", tokens), ("token_type", kinds), ("scores", scores)])).collect()
}

pub fn from_gguf(kind: Kind, weights: &Weights, vocabulary: Metadata) -> Model {
    let model = Model::new("tiny-gguf");
    let key = |name: &str| format!("{}.{name}", kind.name);
    let mut told = vocabulary;
    told.push(("general.architecture".to_owned(), text(kind.name)));
    told.push((key("attention.layer_norm_rms_epsilon"), Value::F32(EPSILON as f32)));
    told.push((key("rope.freq_base"), Value::F32(kind.base as f32)));
    let sizes = [
        ("embedding_length", HIDDEN),
        ("block_count", kind.layers),
        ("feed_forward_length", INNER),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
        ("attention.key_length", kind.head_dim),
        ("context_length", CONTEXT),
    ];
    let window = ("attention.sliding_window", WINDOW);
    let sizes = sizes.into_iter().chain(kind.gemma.then_some(window));
    told.extend(sizes.map(|(name, size)| (key(name), Value::U32(size as u32))));
    let mut ours = Weights::new(0);
    ours.tensors = weights.tensors.clone();
    for (name, (shape, numbers)) in ours.tensors.iter_mut() {
        if kind.name == "llama" && (name.contains("attn_q.") || name.contains("attn_k.")) {
            in_turns(numbers, shape[1], kind.head_dim);
        }
    }
    let told: Vec<_> = told.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    ours.gguf(&model.path("model.gguf"), &told);
    model
}

/// Llama's GGUF files have the rows of the two halves of a head in turns.
fn in_turns(numbers: &mut [f32], width: usize, head_dim: usize) {
    let rows = numbers.to_vec();
    for (n, row) in numbers.chunks_mut(width).enumerate() {
        let (head, at) = (n / head_dim, n % head_dim);
        let from = head * head_dim + at % 2 * (head_dim / 2) + at / 2;
        row.copy_from_slice(&rows[from * width..(from + 1) * width]);
    }
}

pub fn from_safetensors(kind: Kind, weights: &Weights) -> Model {
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
