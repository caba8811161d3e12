//! The sizes of a decoder, as its metadata tells them.

use serde::Deserialize;
use serde_json::Value;

use super::gguf::Gguf;
use super::weights::Source;
use crate::inference::encoder::LoadError;
use crate::inference::kernels::decoder::Gate;

/// The architectures that run here, as GGUF names them.
const SUPPORTED: &[&str] = &["llama", "qwen2", "qwen3", "gemma3"];
/// Those of them that are read from safetensors, as their `config.json` names them.
const SUPPORTED_JSON: &[&str] = &["llama", "qwen2", "qwen3"];

/// The sizes of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub layers: usize,
    pub hidden: usize,
    pub inner: usize,
    pub heads: usize,
    /// Of keys and values: several heads share one.
    pub kv_heads: usize,
    pub head_dim: usize,
    pub context: usize,
    pub epsilon: f32,
    pub rope: Rope,
    pub gate: Gate,
    /// What the embeddings are multiplied with.
    pub scale: f32,
    pub window: Option<Window>,
}

/// How positions turn queries and keys (Su et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    pub base: f32,
    /// Neighbours are turned together; else each with the one half a head further.
    pub neighbours: bool,
}

/// Layers that look back only so far (Gemma 3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Most positions that a token sees, its own among them.
    pub positions: usize,
    /// One of so many layers sees all.
    pub every: usize,
    /// Of the rotary positions in these layers.
    pub base: f32,
}

impl Window {
    /// The pattern and the base are in no file: they are the architecture's.
    fn of_gemma(positions: usize) -> Self {
        Self { positions, every: 6, base: 1e4 }
    }

    /// Whether layer `n` looks back only so far.
    pub fn is_of(&self, n: usize) -> bool {
        !(n + 1).is_multiple_of(self.every)
    }
}

/// What is read of a `config.json`.
#[derive(Deserialize)]
struct Told {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: f32,
    hidden_act: String,
    rope_theta: Option<f32>,
    rope_scaling: Option<RopeTold>,
    rope_parameters: Option<RopeTold>,
    use_sliding_window: Option<bool>,
    quantization_config: Option<Value>,
}

#[derive(Deserialize)]
struct RopeTold {
    rope_theta: Option<f32>,
    rope_type: Option<String>,
    /// As older files call it.
    r#type: Option<String>,
    partial_rotary_factor: Option<f32>,
}

impl RopeTold {
    fn is_plain(&self) -> bool {
        let kind = self.rope_type.as_deref().or(self.r#type.as_deref());
        kind.is_none_or(|kind| kind == "default") && self.partial_rotary_factor.is_none_or(|part| part == 1.0)
    }
}

impl Config {
    /// Errors: an architecture that is not supported, or sizes that cannot be.
    pub fn of(gguf: &Gguf) -> Result<Self, LoadError> {
        let architecture = gguf.text("general.architecture").unwrap_or("unknown").to_owned();
        is_among(SUPPORTED, &architecture)?;
        let key = |name: &str| format!("{architecture}.{name}");
        let (hidden, heads) = (gguf.size(&key("embedding_length"))?, gguf.size(&key("attention.head_count"))?);
        let head_dim = match gguf.size(&key("attention.key_length")) {
            Ok(length) => length,
            Err(_) => hidden / heads.max(1),
        };
        let is_gemma = architecture == "gemma3";
        let config = Self {
            layers: gguf.size(&key("block_count"))?,
            hidden,
            inner: gguf.size(&key("feed_forward_length"))?,
            heads,
            kv_heads: gguf.size(&key("attention.head_count_kv")).unwrap_or(heads),
            head_dim,
            context: gguf.size(&key("context_length"))?,
            epsilon: gguf.float(&key("attention.layer_norm_rms_epsilon")).unwrap_or(1e-5),
            rope: Rope {
                base: gguf.float(&key("rope.freq_base")).unwrap_or(if is_gemma { 1e6 } else { 1e4 }),
                neighbours: architecture == "llama",
            },
            gate: if is_gemma { Gate::Gelu } else { Gate::Silu },
            scale: if is_gemma { (hidden as f32).sqrt() } else { 1.0 },
            window: gguf.size(&key("attention.sliding_window")).ok().filter(|_| is_gemma).map(Window::of_gemma),
        };
        let turned = gguf.size(&key("rope.dimension_count")).unwrap_or(head_dim);
        let scaled = gguf.text(&key("rope.scaling.type")).is_some_and(|kind| kind != "none");
        if turned != head_dim || scaled || gguf.has("rope_freqs.weight") {
            return Err(LoadError::Unsupported("rotary positions that are scaled, or of a part of a head".to_owned()));
        }
        // The largest one divides its products by another number.
        if is_gemma && (config.window.is_none() || config.layers == 62) {
            return Err(LoadError::Unsupported("a gemma3 without a sliding window, or of 27B".to_owned()));
        }
        config.checked().map_err(|wrong| gguf.wrong(&wrong))
    }

    /// The sizes in a `config.json`.
    ///
    /// Errors: as [`Self::of`].
    pub fn of_json(json: &Value) -> Result<Self, LoadError> {
        let wrong = |wrong: String| LoadError::File { file: "config.json".to_owned(), wrong };
        is_among(SUPPORTED_JSON, json["model_type"].as_str().unwrap_or("unknown"))?;
        let told: Told = serde_json::from_value(json.clone()).map_err(|error| wrong(error.to_string()))?;
        let rope = told.rope_parameters.as_ref().or(told.rope_scaling.as_ref());
        for (is_so, what) in [
            (told.hidden_act != "silu", "another activation than silu"),
            (!rope.is_none_or(RopeTold::is_plain), "rotary positions that are scaled, or of a part of a head"),
            (told.use_sliding_window == Some(true), "a sliding window"),
            (told.quantization_config.is_some(), "weights that were quantised: GGUF files may be"),
        ] {
            if is_so {
                return Err(LoadError::Unsupported(format!("a {} with {what}", told.model_type)));
            }
        }
        let base = told.rope_parameters.as_ref().and_then(|rope| rope.rope_theta).or(told.rope_theta);
        let config = Self {
            layers: told.num_hidden_layers,
            hidden: told.hidden_size,
            inner: told.intermediate_size,
            heads: told.num_attention_heads,
            kv_heads: told.num_key_value_heads.unwrap_or(told.num_attention_heads),
            head_dim: told.head_dim.unwrap_or(told.hidden_size / told.num_attention_heads.max(1)),
            context: told.max_position_embeddings,
            epsilon: told.rms_norm_eps,
            // Llama's GGUF files have queries and keys in another order than these.
            rope: Rope { base: base.unwrap_or(1e4), neighbours: false },
            gate: Gate::Silu,
            scale: 1.0,
            window: None,
        };
        config.checked().map_err(wrong)
    }

    fn checked(self) -> Result<Self, String> {
        let fits = self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads) && self.head_dim.is_multiple_of(2);
        let has_size = self.hidden > 0 && self.heads > 0 && self.head_dim > 0 && self.context > 0;
        let window = self.window.is_none_or(|window| window.positions > 0);
        if !fits || !has_size || !window || self.layers == 0 || self.layers > 1000 {
            return Err(format!("its sizes cannot be: {self:?}"));
        }
        Ok(self)
    }
}

fn is_among(supported: &[&str], architecture: &str) -> Result<(), LoadError> {
    if supported.contains(&architecture) {
        return Ok(());
    }
    let supported = supported.join(", ");
    Err(LoadError::Unsupported(format!("a decoder of the kind {architecture}; {supported} are")))
}
