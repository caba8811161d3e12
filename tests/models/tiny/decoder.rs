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
    pub layers: usize,
    pub head_dim: usize,
    pub base: f64,
    /// What positions are divided by, where all are seen.
    pub factor: f64,
    /// What the products of queries and keys are divided by the root of.
    pub scalar: usize,
    /// Queries, keys and values have something added.
    pub biases: bool,
    /// Queries and keys have a norm.
    pub norms: bool,
    pub gemma: bool,
}

pub const LLAMA: Kind = Kind {
    name: "llama",
    layers: 2,
    head_dim: 16,
    base: 1e4,
    factor: 1.0,
    scalar: 16,
    biases: false,
    norms: false,
    gemma: false,
};
pub const QWEN2: Kind = Kind { name: "qwen2", base: 1e6, biases: true, ..LLAMA };
pub const QWEN3: Kind = Kind { name: "qwen3", head_dim: 32, scalar: 32, norms: true, base: 1e6, ..LLAMA };
pub const GEMMA3: Kind = Kind { name: "gemma3", layers: 7, gemma: true, ..QWEN3 };
/// From 4B on, positions are scaled.
pub const GEMMA3_4B: Kind = Kind { factor: 8.0, ..GEMMA3 };
/// Which is known by its layers.
pub const GEMMA3_27B: Kind = Kind { layers: 62, scalar: HIDDEN / HEADS, ..GEMMA3_4B };

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
            // Many layers of random numbers would make much of small differences.
            let part = if kind.layers > 10 { 0.2 } else { 1.0 };
            weights.put(&name("post_attention_norm.weight"), &[HIDDEN], 0.8 * part, 0.6 * part);
            weights.put(&name("post_ffw_norm.weight"), &[HIDDEN], 0.8 * part, 0.6 * part);
        }
    }
    weights
}

fn norm(weight: &[f32], x: &[f64]) -> Vec<f64> {
    let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).map(|(x, weight)| x / (square + EPSILON).sqrt() * f64::from(*weight)).collect()
}

/// Turns a head as GPT-NeoX does it.
fn turn(head: &mut [f64], position: f64, base: f64) {
    let half = head.len() / 2;
    for pair in 0..half {
        let angle = position * base.powf(-2.0 * pair as f64 / head.len() as f64);
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
        let (base, factor) = if is_local { (1e4, 1.0) } else { (kind.base, kind.factor) };
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
                        turn(&mut head, position as f64 / factor, base);
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
                attend(&queries[position][head], &keys, &values, 1.0 / (kind.scalar as f64).sqrt())
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

/// The name that Hugging Face's library gives to a tensor.
pub fn published(name: &str, is_gemma: bool) -> String {
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
    let gemma = [
        ("post_attention_norm", "post_attention_layernorm"),
        ("ffn_norm", "pre_feedforward_layernorm"),
        ("post_ffw_norm", "post_feedforward_layernorm"),
    ];
    let part = |part: &str| {
        let mut named = gemma.iter().filter(|_| is_gemma).chain(&parts);
        named.find(|(ours, _)| *ours == part).map_or(part, |(_, theirs)| theirs).to_owned()
    };
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

const CONTROL: [&str; 5] = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"];
/// The first two are defined, the others pieces.
const WORDS: [&str; 16] =
    ["\n\n", "▁▁", "▁", "i", "n", "k", "in", "ink", "▁ink", "u", "s", "e", "r", "us", "er", "user"];
const PIECES_TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}<start_of_turn>model\n";

fn piece_tokens() -> Vec<String> {
    let bytes = (0..=255_u8).map(|byte| format!("<0x{byte:02X}>"));
    let words = WORDS.map(str::to_owned);
    CONTROL.map(str::to_owned).into_iter().chain(bytes).chain(words).collect()
}

/// SentencePiece's, as Gemma has it: control tokens, bytes, one that is defined, and pieces.
pub fn pieces() -> Metadata {
    let tokens = piece_tokens();
    // Some files call what begins and ends a turn defined by the user.
    let kinds = [(3, 3), (2, 4), (256, 6), (2, 4), (WORDS.len() - 2, 1), (ROWS - tokens.len(), 5)];
    let kinds = kinds.into_iter().flat_map(|(count, kind)| vec![Value::I32(kind); count]).collect();
    let rest = (tokens.len()..ROWS).map(|n| format!("<unused{n}>"));
    let tokens: Vec<_> = tokens.into_iter().chain(rest).map(Value::String).collect();
    let scores = (0..ROWS).map(|n| Value::F32(-(n as f32))).collect();
    let told = [
        ("tokenizer.ggml.model", text("llama")),
        ("tokenizer.ggml.add_space_prefix", Value::Bool(false)),
        ("tokenizer.ggml.bos_token_id", Value::U32(2)),
        ("tokenizer.ggml.eos_token_id", Value::U32(1)),
        ("tokenizer.chat_template", text(PIECES_TEMPLATE)),
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
    if kind.factor != 1.0 {
        told.push((key("rope.scaling.type"), text("linear")));
        told.push((key("rope.scaling.factor"), Value::F32(kind.factor as f32)));
    }
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
    let mut theirs = Weights::new(0);
    theirs.tensors = weights.tensors.clone();
    for (_, (_, numbers)) in theirs.tensors.iter_mut().filter(|(name, _)| kind.gemma && name.ends_with("norm.weight")) {
        numbers.iter_mut().for_each(|weight| *weight -= 1.0);
    }
    theirs.safetensors(&model.path("model.safetensors"), |name| published(name, kind.gemma));
    model.write("config.json", &config(kind, !weights.has("output.weight")));
    match kind.gemma {
        true => write_pieces(&model),
        false => write_byte_level(&model),
    }
    model
}

fn config(kind: Kind, tied: bool) -> serde_json::Value {
    let mut told = json!({
        "model_type": kind.name, "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": kind.layers, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "head_dim": kind.head_dim, "max_position_embeddings": CONTEXT, "rms_norm_eps": EPSILON,
        "rope_theta": kind.base, "rope_scaling": null
    });
    let more = match kind.gemma {
        true => json!({
            "model_type": "gemma3_text", "hidden_activation": "gelu_pytorch_tanh", "eos_token_id": [1, 4],
            "query_pre_attn_scalar": kind.scalar, "sliding_window": WINDOW, "sliding_window_pattern": 6,
            "rope_local_base_freq": 10000.0, "rope_scaling": { "rope_type": "linear", "factor": kind.factor },
            "attn_logit_softcapping": null, "final_logit_softcapping": null, "attention_bias": false
        }),
        false => json!({ "hidden_act": "silu", "tie_word_embeddings": tied, "eos_token_id": [262] }),
    };
    let more = more.as_object().expect("an object").clone();
    told.as_object_mut().expect("an object").extend(more);
    told
}

fn added(id: usize, token: &str, special: bool) -> serde_json::Value {
    json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special })
}

fn write_byte_level(model: &Model) {
    let tokens = vocabulary();
    let known: serde_json::Map<_, _> =
        tokens.iter().take(260).enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let special = SPECIAL.into_iter().enumerate().map(|(n, token)| added(260 + n, token, true));
    let level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    model.write(
        "tokenizer.json",
        &json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
            "added_tokens": special.collect::<Vec<_>>(), "pre_tokenizer": level, "decoder": level,
            "model": { "type": "BPE", "vocab": known, "merges": MERGES, "byte_fallback": false }
        }),
    );
    model.write(
        "tokenizer_config.json",
        &json!({ "eos_token": { "content": "<|im_end|>" }, "bos_token": null, "chat_template": TEMPLATE }),
    );
}

/// As Gemma's is published: what SentencePiece's users defined is among the added tokens, and a pair stands
/// for each piece that can be joined.
fn write_pieces(model: &Model) {
    let tokens = piece_tokens();
    let known: serde_json::Map<_, _> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let first = CONTROL.len() + 256;
    let mut added: Vec<_> = CONTROL.into_iter().enumerate().map(|(id, token)| added(id, token, id < 3)).collect();
    added.push(self::added(first, WORDS[0], false));
    added.push(self::added(first + 1, WORDS[1], false));
    let merges = ["i n", "in k", "▁ ink", "u s", "e r", "us er"];
    let token = |token: &str| json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    model.write(
        "tokenizer.json",
        &json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
            "pre_tokenizer": { "type": "Split", "pattern": { "String": " " }, "behavior": "MergedWithPrevious", "invert": false },
            "post_processor": {
                "type": "TemplateProcessing", "single": [token("<bos>"), text], "pair": [token("<bos>"), text],
                "special_tokens": { "<bos>": { "id": "<bos>", "ids": [2], "tokens": ["<bos>"] } }
            },
            "decoder": { "type": "Sequence", "decoders": [
                { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
                { "type": "ByteFallback" }, { "type": "Fuse" }
            ] },
            "model": { "type": "BPE", "vocab": known, "merges": merges, "byte_fallback": true, "fuse_unk": true }
        }),
    );
    model.write(
        "tokenizer_config.json",
        &json!({ "eos_token": "<eos>", "bos_token": "<bos>", "add_bos_token": true, "chat_template": PIECES_TEMPLATE }),
    );
}
