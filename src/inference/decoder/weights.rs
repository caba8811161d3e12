//! A decoder's weights, laid out for the kernels.

use super::config::Config;
use super::gguf::Gguf;
use crate::inference::encoder::LoadError;
use crate::inference::kernels::quant::QuantLinear;

/// A tensor `[out, in]`, laid out for the kernels.
pub(super) fn matrix(gguf: &Gguf, tensor: &str, [out, width]: [usize; 2]) -> Result<QuantLinear, LoadError> {
    let blocks = gguf.shaped(tensor, &[out, width])?;
    let packed = QuantLinear::from_ggml(blocks.form, blocks.bytes, out, width);
    packed.map_err(|error| gguf.wrong(&format!("{tensor}: {error}")))
}

/// A matrix, and what is added to what it gives.
pub(super) struct Linear {
    pub weight: QuantLinear,
    pub bias: Option<Vec<f32>>,
}

/// One layer's weights.
pub(super) struct Layer {
    pub attention_norm: Vec<f32>,
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub q_norm: Option<Vec<f32>>,
    pub k_norm: Option<Vec<f32>>,
    pub out: QuantLinear,
    pub ffn_norm: Vec<f32>,
    pub gate: QuantLinear,
    pub up: QuantLinear,
    pub down: QuantLinear,
}

impl Layer {
    pub fn load(gguf: &Gguf, n: usize, config: &Config) -> Result<Self, LoadError> {
        let Config { hidden, inner, heads, kv_heads, head_dim, .. } = *config;
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let of = OfLayer { gguf, n };
        Ok(Self {
            attention_norm: of.vector("attn_norm.weight", hidden)?,
            q: of.linear("attn_q", [q, hidden])?,
            k: of.linear("attn_k", [kv, hidden])?,
            v: of.linear("attn_v", [kv, hidden])?,
            q_norm: of.optional("attn_q_norm.weight", head_dim)?,
            k_norm: of.optional("attn_k_norm.weight", head_dim)?,
            out: of.matrix("attn_output", [hidden, q])?,
            ffn_norm: of.vector("ffn_norm.weight", hidden)?,
            gate: of.matrix("ffn_gate", [inner, hidden])?,
            up: of.matrix("ffn_up", [inner, hidden])?,
            down: of.matrix("ffn_down", [hidden, inner])?,
        })
    }
}

/// The tensors of one layer.
struct OfLayer<'a> {
    gguf: &'a Gguf,
    n: usize,
}

impl OfLayer<'_> {
    fn name(&self, part: &str) -> String {
        format!("blk.{}.{part}", self.n)
    }

    fn matrix(&self, part: &str, shape: [usize; 2]) -> Result<QuantLinear, LoadError> {
        matrix(self.gguf, &self.name(&format!("{part}.weight")), shape)
    }

    fn linear(&self, part: &str, [out, width]: [usize; 2]) -> Result<Linear, LoadError> {
        let bias = self.optional(&format!("{part}.bias"), out)?;
        Ok(Linear { weight: self.matrix(part, [out, width])?, bias })
    }

    fn vector(&self, part: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        self.gguf.numbers(&self.name(part), &[length])
    }

    fn optional(&self, part: &str, length: usize) -> Result<Option<Vec<f32>>, LoadError> {
        if self.gguf.has(&self.name(part)) { self.vector(part, length).map(Some) } else { Ok(None) }
    }
}
