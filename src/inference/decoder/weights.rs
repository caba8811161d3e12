//! A decoder's weights, laid out for the kernels.

use super::config::Config;
use super::gguf::{Gguf, plain};
use crate::inference::encoder::LoadError;
use crate::inference::kernels::dense::{Activation, DenseLinear, Precision};
use crate::inference::kernels::pool::Pool;

/// A matrix `[out, in]`.
pub(super) struct Matrix {
    packed: DenseLinear,
    rows: Vec<half::bf16>,
}

impl Matrix {
    /// Tensors of `heights` rows each, one below the other.
    pub fn load(gguf: &Gguf, tensors: &[&str], heights: &[usize], width: usize) -> Result<Self, LoadError> {
        let mut numbers = Vec::new();
        for (tensor, height) in tensors.iter().zip(heights) {
            numbers.extend(plain(&gguf.shaped(tensor, &[*height, width])?)?);
        }
        let height = heights.iter().sum();
        let packed = DenseLinear::new(&numbers, None, height, width, Precision::best());
        let keep = tensors[0].contains("embd");
        let rows = if keep { numbers.into_iter().map(half::bf16::from_f32).collect() } else { Vec::new() };
        Ok(Self { packed, rows })
    }

    pub fn out_features(&self) -> usize {
        self.packed.out_features()
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, x: &[f32], rows: usize, y: &mut [f32], pool: &Pool) {
        self.packed.forward(x, rows, y, Activation::None, pool);
    }

    /// Row `index`; one past the end is left as it is.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        let width = out.len();
        if let Some(row) = self.rows.get(index * width..(index + 1) * width) {
            out.iter_mut().zip(row).for_each(|(x, number)| *x = number.to_f32());
        }
    }
}

/// One layer's weights.
pub(super) struct Layer {
    pub attention_norm: Vec<f32>,
    pub qkv: Matrix,
    pub qkv_bias: Option<Vec<f32>>,
    pub q_norm: Option<Vec<f32>>,
    pub k_norm: Option<Vec<f32>>,
    pub out: Matrix,
    pub ffn_norm: Vec<f32>,
    pub gate_up: Matrix,
    pub down: Matrix,
}

impl Layer {
    pub fn load(gguf: &Gguf, n: usize, config: &Config) -> Result<Self, LoadError> {
        let Config { hidden, inner, heads, kv_heads, head_dim, .. } = *config;
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let of = OfLayer { gguf, n };
        Ok(Self {
            attention_norm: of.vector("attn_norm.weight", hidden)?,
            qkv: of.matrix(&["attn_q", "attn_k", "attn_v"], &[q, kv, kv], hidden)?,
            qkv_bias: of.bias(&["attn_q", "attn_k", "attn_v"], &[q, kv, kv])?,
            q_norm: of.optional("attn_q_norm.weight", head_dim)?,
            k_norm: of.optional("attn_k_norm.weight", head_dim)?,
            out: of.matrix(&["attn_output"], &[hidden], q)?,
            ffn_norm: of.vector("ffn_norm.weight", hidden)?,
            gate_up: of.matrix(&["ffn_gate", "ffn_up"], &[inner, inner], hidden)?,
            down: of.matrix(&["ffn_down"], &[hidden], inner)?,
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

    fn matrix(&self, parts: &[&str], heights: &[usize], width: usize) -> Result<Matrix, LoadError> {
        let names: Vec<_> = parts.iter().map(|part| self.name(&format!("{part}.weight"))).collect();
        Matrix::load(self.gguf, &names.iter().map(String::as_str).collect::<Vec<_>>(), heights, width)
    }

    fn vector(&self, part: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        self.gguf.numbers(&self.name(part), &[length])
    }

    fn optional(&self, part: &str, length: usize) -> Result<Option<Vec<f32>>, LoadError> {
        if self.gguf.has(&self.name(part)) { self.vector(part, length).map(Some) } else { Ok(None) }
    }

    /// Of matrices that lie one below the other: all have one, or none.
    fn bias(&self, parts: &[&str], lengths: &[usize]) -> Result<Option<Vec<f32>>, LoadError> {
        let mut all = Vec::new();
        for (part, length) in parts.iter().zip(lengths) {
            match self.optional(&format!("{part}.bias"), *length)? {
                Some(bias) => all.extend(bias),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }
}
