//! The sizes of a decoder, as its metadata tells them.

use serde_json::Value;

mod json;

use super::gguf::Gguf;
use super::weights::Source;
use crate::inference::encoder::LoadError;
use crate::inference::kernels::decoder::Gate;

/// The architectures that run here, as GGUF names them.
const SUPPORTED: &[&str] = &["llama", "qwen2", "qwen3", "gemma3"];
const SCALED: &str = "rotary positions that are scaled, or of a part of a head";
/// The layers of Gemma 3 27B, which divides the products of queries and keys by another number.
const GEMMA_27B: usize = 62;

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
    /// What queries are multiplied with, beside one over the root of a head's length.
    pub query: f32,
    pub window: Option<Window>,
}

/// How positions turn queries and keys (Su et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    pub base: f32,
    /// Positions are divided by it.
    pub factor: f32,
    /// Neighbours are turned together; else each with the one half a head further.
    pub neighbours: bool,
}

impl Rope {
    /// How far one position turns each pair of a head.
    pub fn steps(&self, head_dim: usize) -> Vec<f64> {
        let step = |pair: usize| f64::from(self.base).powf(-2.0 * pair as f64 / head_dim as f64);
        (0..head_dim / 2).map(|pair| step(pair) / f64::from(self.factor)).collect()
    }
}

/// Layers that look back only so far (Gemma 3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Most positions that a token sees, its own among them.
    pub positions: usize,
    /// One of so many layers sees all.
    pub every: usize,
    /// The positions of these layers.
    pub rope: Rope,
}

impl Window {
    /// The pattern and the base are in no GGUF file: they are the architecture's.
    fn of_gemma(positions: usize) -> Self {
        Self { positions, every: 6, rope: Rope { base: 1e4, factor: 1.0, neighbours: false } }
    }

    /// Whether layer `n` looks back only so far.
    pub fn is_of(&self, n: usize) -> bool {
        !(n + 1).is_multiple_of(self.every)
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
        let layers = gguf.size(&key("block_count"))?;
        let is_largest = is_gemma && layers == GEMMA_27B;
        let scaling = gguf.text(&key("rope.scaling.type")).unwrap_or("none").to_owned();
        let is_linear = is_gemma && scaling == "linear";
        let config = Self {
            layers,
            hidden,
            inner: gguf.size(&key("feed_forward_length"))?,
            heads,
            kv_heads: gguf.size(&key("attention.head_count_kv")).unwrap_or(heads),
            head_dim,
            context: gguf.size(&key("context_length"))?,
            epsilon: gguf.float(&key("attention.layer_norm_rms_epsilon")).unwrap_or(1e-5),
            rope: Rope {
                base: gguf.float(&key("rope.freq_base")).unwrap_or(if is_gemma { 1e6 } else { 1e4 }),
                factor: if is_linear { gguf.float(&key("rope.scaling.factor")).unwrap_or(1.0) } else { 1.0 },
                neighbours: architecture == "llama",
            },
            gate: if is_gemma { Gate::Gelu } else { Gate::Silu },
            scale: if is_gemma { (hidden as f32).sqrt() } else { 1.0 },
            query: if is_largest { ((head_dim * heads) as f32 / hidden as f32).sqrt() } else { 1.0 },
            window: gguf.size(&key("attention.sliding_window")).ok().filter(|_| is_gemma).map(Window::of_gemma),
        };
        let turned = gguf.size(&key("rope.dimension_count")).unwrap_or(head_dim);
        let is_scaled = scaling != "none" && !is_linear;
        if turned != head_dim || is_scaled || gguf.has("rope_freqs.weight") {
            return Err(LoadError::Unsupported(SCALED.to_owned()));
        }
        if is_gemma && config.window.is_none() {
            return Err(LoadError::Unsupported("a gemma3 without a sliding window".to_owned()));
        }
        config.checked().map_err(|wrong| gguf.wrong(&wrong))
    }

    /// The sizes in a `config.json`.
    ///
    /// Errors: as [`Self::of`].
    pub fn of_json(json: &Value) -> Result<Self, LoadError> {
        json::read(json)
    }

    fn checked(self) -> Result<Self, String> {
        let fits = self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads) && self.head_dim.is_multiple_of(2);
        let has_size = self.hidden > 0 && self.heads > 0 && self.head_dim > 0 && self.context > 0;
        let window = self.window.is_none_or(|window| window.positions > 0 && window.every > 0);
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
