//! What an encoder's layer is made of, on tensors: `[rows, width]`, f32.

use candle_core::{D, Result, Tensor};

use super::LoadError;
use super::bert::Loading;

/// What a layer does with its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    None,
    /// With the error function, as BERT was trained.
    Gelu,
}

/// `activation(x · Wᵀ + b)`.
pub struct Linear {
    transposed: Tensor,
    bias: Tensor,
    activation: Activation,
}

impl Linear {
    /// `weight` is `[out, in]`, row by row.
    pub(super) fn new(
        weight: Vec<f32>,
        bias: Vec<f32>,
        [out, width]: [usize; 2],
        activation: Activation,
        from: &Loading<'_>,
    ) -> std::result::Result<Self, LoadError> {
        let transposed = Tensor::from_vec(weight, (out, width), from.device)?.t()?.contiguous()?;
        Ok(Self { transposed, bias: Tensor::from_vec(bias, out, from.device)?, activation })
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let sums = x.matmul(&self.transposed)?.broadcast_add(&self.bias)?;
        match self.activation {
            Activation::None => Ok(sums),
            Activation::Gelu => sums.gelu_erf(),
        }
    }
}

/// The parameters of a layer norm.
pub struct Norm {
    gamma: Tensor,
    beta: Tensor,
    epsilon: f64,
}

impl Norm {
    pub(super) fn new(
        gamma: Vec<f32>,
        beta: Vec<f32>,
        epsilon: f32,
        from: &Loading<'_>,
    ) -> std::result::Result<Self, LoadError> {
        let vector = |numbers: Vec<f32>| Tensor::from_vec(numbers.clone(), numbers.len(), from.device);
        Ok(Self { gamma: vector(gamma)?, beta: vector(beta)?, epsilon: f64::from(epsilon) })
    }
}

/// `norm(x + residual)`, row by row.
pub fn add_layer_norm(x: &Tensor, residual: Option<&Tensor>, norm: &Norm) -> Result<Tensor> {
    let x = match residual {
        Some(residual) => (x + residual)?,
        None => x.clone(),
    };
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + norm.epsilon)?.sqrt()?)?;
    normal.broadcast_mul(&norm.gamma)?.broadcast_add(&norm.beta)
}

/// Each token attends to those of its own text: text `n` has the rows from `starts[n]` up to
/// `starts[n + 1]`. `qkv` is `[rows, 3 * hidden]`; gives `[rows, hidden]`.
pub fn attention(qkv: &Tensor, starts: &[usize], heads: usize, scale: f32) -> Result<Tensor> {
    let hidden = qkv.dim(1)? / 3;
    let mut texts = Vec::with_capacity(starts.len());
    for bounds in starts.windows(2) {
        let (from, length) = (bounds[0], bounds[1] - bounds[0]);
        let part = |n: usize| {
            let part = qkv.narrow(0, from, length)?.narrow(1, n * hidden, hidden)?;
            part.reshape((length, heads, hidden / heads))?.transpose(0, 1)?.contiguous()
        };
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let scores = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? * f64::from(scale))?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let shares = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        texts.push(shares.matmul(&v)?.transpose(0, 1)?.reshape((length, hidden))?);
    }
    Tensor::cat(&texts, 0)
}
