//! The sizes that a `config.json` tells, as Hugging Face's library writes it.

use serde::Deserialize;
use serde_json::Value;

use super::{Config, Rope, SCALED, Window, is_among};
use crate::inference::encoder::LoadError;
use crate::inference::kernels::decoder::Gate;

/// The architectures that are read from safetensors, as their files name them.
const SUPPORTED: &[&str] = &["llama", "qwen2", "qwen3", "gemma3_text"];

/// What is read of the file.
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
    hidden_act: Option<String>,
    rope_theta: Option<f32>,
    rope_scaling: Option<RopeTold>,
    rope_parameters: Option<RopesTold>,
    use_sliding_window: Option<bool>,
    quantization_config: Option<Value>,
    #[serde(flatten)]
    gemma: GemmaTold,
}

/// What only Gemma's files tell.
#[derive(Deserialize)]
struct GemmaTold {
    hidden_activation: Option<String>,
    query_pre_attn_scalar: Option<f32>,
    sliding_window: Option<usize>,
    sliding_window_pattern: Option<usize>,
    layer_types: Option<Vec<String>>,
    rope_local_base_freq: Option<f32>,
    attn_logit_softcapping: Option<f32>,
    final_logit_softcapping: Option<f32>,
    use_bidirectional_attention: Option<bool>,
}

#[derive(Deserialize)]
struct RopeTold {
    rope_theta: Option<f32>,
    rope_type: Option<String>,
    /// As older files call it.
    r#type: Option<String>,
    factor: Option<f32>,
    partial_rotary_factor: Option<f32>,
}

/// One for all layers, or one for each kind of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum RopesTold {
    Each { full_attention: RopeTold, sliding_attention: RopeTold },
    One(RopeTold),
}

impl RopeTold {
    /// What positions are divided by; none where they are scaled in another way, or not all of a head is turned.
    fn factor(&self) -> Option<f32> {
        let is_whole = self.partial_rotary_factor.is_none_or(|part| part == 1.0);
        match self.rope_type.as_deref().or(self.r#type.as_deref()) {
            None | Some("default") => Some(1.0),
            Some("linear") => self.factor.filter(|factor| *factor >= 1.0),
            Some(_) => None,
        }
        .filter(|_| is_whole)
    }
}

impl Told {
    /// That of layers which see all, and that of the others if it stands apart.
    fn ropes(&self) -> (Option<&RopeTold>, Option<&RopeTold>) {
        match &self.rope_parameters {
            Some(RopesTold::Each { full_attention, sliding_attention }) => {
                (Some(full_attention), Some(sliding_attention))
            }
            Some(RopesTold::One(rope)) => (Some(rope), None),
            None => (self.rope_scaling.as_ref(), None),
        }
    }

    fn unsupported(&self, what: &str) -> LoadError {
        LoadError::Unsupported(format!("a {} with {what}", self.model_type))
    }

    fn config(&self) -> Result<Config, LoadError> {
        let is_gemma = self.model_type == "gemma3_text";
        let (activation, wanted) = match is_gemma {
            true => (self.gemma.hidden_activation.as_ref().or(self.hidden_act.as_ref()), "gelu_pytorch_tanh"),
            false => (self.hidden_act.as_ref(), "silu"),
        };
        if activation.is_some_and(|activation| activation != wanted) {
            return Err(self.unsupported(&format!("another activation than {wanted}")));
        }
        if self.use_sliding_window == Some(true) {
            return Err(self.unsupported("a sliding window"));
        }
        if self.quantization_config.is_some() {
            return Err(self.unsupported("weights that were quantised: GGUF files may be"));
        }
        let (rope, _) = self.ropes();
        let factor = rope.map_or(Some(1.0), RopeTold::factor).filter(|factor| is_gemma || *factor == 1.0);
        let factor = factor.ok_or_else(|| self.unsupported(SCALED))?;
        let base = rope.and_then(|rope| rope.rope_theta).or(self.rope_theta);
        let plain = Config {
            layers: self.num_hidden_layers,
            hidden: self.hidden_size,
            inner: self.intermediate_size,
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_dim: self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1)),
            context: self.max_position_embeddings,
            epsilon: self.rms_norm_eps,
            // Llama's GGUF files have queries and keys in another order than these.
            rope: Rope { base: base.unwrap_or(if is_gemma { 1e6 } else { 1e4 }), factor, neighbours: false },
            gate: Gate::Silu,
            scale: 1.0,
            query: 1.0,
            window: None,
        };
        if is_gemma { self.gemma(plain) } else { Ok(plain) }
    }

    /// What Gemma does otherwise.
    fn gemma(&self, plain: Config) -> Result<Config, LoadError> {
        let told = &self.gemma;
        let (_, local) = self.ropes();
        for (is_so, what) in [
            (told.attn_logit_softcapping.is_some() || told.final_logit_softcapping.is_some(), "logits that are capped"),
            (told.use_bidirectional_attention == Some(true), "attention to what comes after"),
            (told.sliding_window.is_none(), "no sliding window"),
            (local.is_some_and(|local| local.factor() != Some(1.0)), SCALED),
        ] {
            if is_so {
                return Err(self.unsupported(what));
            }
        }
        let base = local.and_then(|local| local.rope_theta).or(told.rope_local_base_freq);
        let mut window = Window::of_gemma(told.sliding_window.unwrap_or(0));
        window.rope.base = base.unwrap_or(window.rope.base);
        window.every = told.sliding_window_pattern.unwrap_or(window.every);
        if let Some(kinds) = &told.layer_types {
            let first = kinds.iter().position(|kind| kind == "full_attention");
            window.every = first.unwrap_or(kinds.len()) + 1;
            let is_so = |(n, kind): (usize, &String)| window.is_of(n) == (kind == "sliding_attention");
            if kinds.len() != plain.layers || !kinds.iter().enumerate().all(is_so) {
                return Err(self.unsupported("layers that see all in no fixed order"));
            }
        }
        let head_dim = self.head_dim.unwrap_or(256);
        let query = (head_dim as f32 / told.query_pre_attn_scalar.unwrap_or(256.0)).sqrt();
        let scale = (plain.hidden as f32).sqrt();
        Ok(Config { gate: Gate::Gelu, head_dim, scale, query, window: Some(window), ..plain })
    }
}

/// Errors: as [`Config::of`].
pub(super) fn read(json: &Value) -> Result<Config, LoadError> {
    let wrong = |wrong: String| LoadError::File { file: "config.json".to_owned(), wrong };
    if json["text_config"].is_object() {
        let kind = json["model_type"].as_str().unwrap_or("decoder");
        return Err(LoadError::Unsupported(format!("a {kind} that reads more than text; its text model alone may be")));
    }
    is_among(SUPPORTED, json["model_type"].as_str().unwrap_or("unknown"))?;
    let told: Told = serde_json::from_value(json.clone()).map_err(|error| wrong(error.to_string()))?;
    told.config()?.checked().map_err(wrong)
}
