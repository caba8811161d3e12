//! A decoder's weights, laid out for the kernels or for candle.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{DType, Device, Module, Tensor};

use super::config::Config;
use super::gguf::Gguf;
use crate::inference::LaidOut;
use crate::inference::encoder::LoadError;
use crate::inference::kernels::quant::{PackError, QuantLinear};

/// Where weights are read from, under the names that GGUF gives them.
pub(super) trait Source {
    fn has(&self, tensor: &str) -> bool;

    /// The rows of a matrix.
    fn rows(&self, tensor: &str) -> Result<usize, LoadError>;

    /// A tensor of a shape, as f32.
    fn numbers(&self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError>;

    /// A tensor `[out, in]`, laid out for the kernels.
    fn matrix(&self, tensor: &str, shape: [usize; 2]) -> Result<QuantLinear, LoadError>;

    /// A tensor `[out, in]` as candle multiplies with it.
    fn tensor(&self, tensor: &str, shape: [usize; 2], on: On<'_>) -> Result<Matrix, LoadError>;
}

/// Another source, with its matrices kept as they are laid out.
pub(super) struct Kept<'a> {
    pub source: &'a dyn Source,
    pub laid_out: &'a LaidOut,
}

impl Source for Kept<'_> {
    fn has(&self, tensor: &str) -> bool {
        self.source.has(tensor)
    }

    fn rows(&self, tensor: &str) -> Result<usize, LoadError> {
        self.source.rows(tensor)
    }

    fn numbers(&self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        self.source.numbers(tensor, shape)
    }

    fn matrix(&self, tensor: &str, shape: [usize; 2]) -> Result<QuantLinear, LoadError> {
        self.laid_out.matrix(tensor, shape, || self.source.matrix(tensor, shape))
    }

    fn tensor(&self, tensor: &str, shape: [usize; 2], on: On<'_>) -> Result<Matrix, LoadError> {
        self.source.tensor(tensor, shape, on)
    }
}

/// Where candle computes, and in which type of numbers.
#[derive(Clone, Copy)]
pub(super) struct On<'a> {
    pub device: &'a Device,
    pub dtype: DType,
}

/// A matrix `[out, in]` on a device.
pub(super) enum Matrix {
    Dense(Tensor),
    /// Takes f32, as not all of candle's kernels for such matrices take another type.
    Quantised(QMatMul),
}

impl Matrix {
    /// `x` in the type that is multiplied.
    pub fn takes(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Dense(weight) => x.to_dtype(weight.dtype()),
            Self::Quantised(_) => x.to_dtype(DType::F32),
        }
    }

    /// `x · Wᵀ` in f32.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let x = self.takes(x)?;
        match self {
            Self::Dense(weight) => x.matmul(&weight.t()?)?.to_dtype(DType::F32),
            Self::Quantised(weight) => weight.forward(&x),
        }
    }
}

impl Source for Gguf {
    fn has(&self, tensor: &str) -> bool {
        self.content.tensor_infos.contains_key(tensor)
    }

    fn rows(&self, tensor: &str) -> Result<usize, LoadError> {
        Ok(self.blocks(tensor)?.shape.first().copied().unwrap_or(0))
    }

    fn numbers(&self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        super::gguf::plain(&self.shaped(tensor, shape)?)
    }

    fn matrix(&self, tensor: &str, shape: [usize; 2]) -> Result<QuantLinear, LoadError> {
        let blocks = self.shaped(tensor, &shape)?;
        pack(blocks.form, blocks.bytes, shape).map_err(|error| self.wrong(&format!("{tensor}: {error}")))
    }

    fn tensor(&self, tensor: &str, shape: [usize; 2], on: On<'_>) -> Result<Matrix, LoadError> {
        let blocks = self.shaped(tensor, &shape)?;
        if matches!(blocks.form, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16) {
            return dense(super::gguf::plain(&blocks)?, shape, on);
        }
        let storage = QStorage::from_data(Cow::Borrowed(blocks.bytes), on.device, blocks.form)?;
        Ok(Matrix::Quantised(QMatMul::from_qtensor(QTensor::new(storage, shape.to_vec())?)?))
    }
}

/// A matrix whose numbers were not quantised.
pub(super) fn dense(numbers: Vec<f32>, shape: [usize; 2], on: On<'_>) -> Result<Matrix, LoadError> {
    // Made smaller before it is moved.
    let whole = Tensor::from_vec(numbers, &shape, &Device::Cpu)?.to_dtype(on.dtype)?;
    Ok(Matrix::Dense(whole.to_device(on.device)?))
}

pub(super) fn pack(form: GgmlDType, bytes: &[u8], [out, width]: [usize; 2]) -> Result<QuantLinear, PackError> {
    QuantLinear::from_ggml(form, bytes, out, width)
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
    /// Of what attention adds, where there is one (Gemma).
    pub attended_norm: Option<Vec<f32>>,
    pub ffn_norm: Vec<f32>,
    pub gate: QuantLinear,
    pub up: QuantLinear,
    pub down: QuantLinear,
    /// Of what the rest of the layer adds.
    pub fed_norm: Option<Vec<f32>>,
}

impl Layer {
    pub fn load(source: &dyn Source, n: usize, config: &Config) -> Result<Self, LoadError> {
        let Config { hidden, inner, heads, kv_heads, head_dim, .. } = *config;
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let of = OfLayer { source, n };
        for part in ["attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
            if source.has(&of.name(&format!("{part}.bias"))) {
                return Err(LoadError::Unsupported(format!("a decoder with {part}.bias")));
            }
        }
        Ok(Self {
            attention_norm: of.vector("attn_norm.weight", hidden)?,
            q: of.linear("attn_q", [q, hidden])?,
            k: of.linear("attn_k", [kv, hidden])?,
            v: of.linear("attn_v", [kv, hidden])?,
            q_norm: query_norm(source, n, config)?,
            k_norm: of.optional("attn_k_norm.weight", head_dim)?,
            out: of.matrix("attn_output", [hidden, q])?,
            attended_norm: of.optional("post_attention_norm.weight", hidden)?,
            ffn_norm: of.vector("ffn_norm.weight", hidden)?,
            gate: of.matrix("ffn_gate", [inner, hidden])?,
            up: of.matrix("ffn_up", [inner, hidden])?,
            down: of.matrix("ffn_down", [hidden, inner])?,
            fed_norm: of.optional("post_ffw_norm.weight", hidden)?,
        })
    }
}

/// The norm of a layer's queries, if they have one, with what they are multiplied with besides: positions
/// turn them and change no lengths.
pub(super) fn query_norm(source: &dyn Source, n: usize, config: &Config) -> Result<Option<Vec<f32>>, LoadError> {
    let mut norm = OfLayer { source, n }.optional("attn_q_norm.weight", config.head_dim)?;
    if norm.is_none() && config.query != 1.0 {
        return Err(LoadError::Unsupported("queries that are multiplied and have no norm".to_owned()));
    }
    norm.iter_mut().flatten().for_each(|weight| *weight *= config.query);
    Ok(norm)
}

/// The tensors of one layer.
struct OfLayer<'a> {
    source: &'a dyn Source,
    n: usize,
}

impl OfLayer<'_> {
    fn name(&self, part: &str) -> String {
        format!("blk.{}.{part}", self.n)
    }

    fn matrix(&self, part: &str, shape: [usize; 2]) -> Result<QuantLinear, LoadError> {
        self.source.matrix(&self.name(&format!("{part}.weight")), shape)
    }

    fn linear(&self, part: &str, [out, width]: [usize; 2]) -> Result<Linear, LoadError> {
        let bias = self.optional(&format!("{part}.bias"), out)?;
        Ok(Linear { weight: self.matrix(part, [out, width])?, bias })
    }

    fn vector(&self, part: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        self.source.numbers(&self.name(part), &[length])
    }

    fn optional(&self, part: &str, length: usize) -> Result<Option<Vec<f32>>, LoadError> {
        if self.source.has(&self.name(part)) { self.vector(part, length).map(Some) } else { Ok(None) }
    }
}
