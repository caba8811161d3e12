//! The sizes of a decoder, as its metadata tells them.

use super::gguf::Gguf;
use crate::inference::encoder::LoadError;

/// The architectures that run here, as GGUF names them.
const SUPPORTED: &[&str] = &["llama", "qwen2", "qwen3"];

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
}

/// How positions turn queries and keys (Su et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    pub base: f32,
    /// Neighbours are turned together; else each with the one half a head further.
    pub neighbours: bool,
}

impl Config {
    /// Errors: an architecture that is not supported, or sizes that cannot be.
    pub fn of(gguf: &Gguf) -> Result<Self, LoadError> {
        let architecture = gguf.text("general.architecture").unwrap_or("unknown").to_owned();
        if !SUPPORTED.contains(&architecture.as_str()) {
            let supported = SUPPORTED.join(", ");
            return Err(LoadError::Unsupported(format!("a decoder of the kind {architecture}; {supported} are")));
        }
        let key = |name: &str| format!("{architecture}.{name}");
        let (hidden, heads) = (gguf.size(&key("embedding_length"))?, gguf.size(&key("attention.head_count"))?);
        let head_dim = match gguf.size(&key("attention.key_length")) {
            Ok(length) => length,
            Err(_) => hidden / heads.max(1),
        };
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
                base: gguf.float(&key("rope.freq_base")).unwrap_or(10_000.0),
                neighbours: architecture == "llama",
            },
        };
        let turned = gguf.size(&key("rope.dimension_count")).unwrap_or(head_dim);
        let scaled = gguf.text(&key("rope.scaling.type")).is_some_and(|kind| kind != "none");
        if turned != head_dim || scaled || gguf.has("rope_freqs.weight") {
            return Err(LoadError::Unsupported("rotary positions that are scaled, or of a part of a head".to_owned()));
        }
        let fits = config.kv_heads > 0 && config.heads.is_multiple_of(config.kv_heads) && head_dim.is_multiple_of(2);
        if !fits || config.layers == 0 || config.layers > 1000 || config.context == 0 {
            return Err(gguf.wrong(&format!("its sizes cannot be: {config:?}")));
        }
        Ok(config)
    }
}
