//! What an encoder's layer is made of, on tensors: `[rows, width]`.
//!
//! On the CPU each is one operation of ours in f32, as candle's `CustomOp`s; elsewhere, and in the tests
//! that hold them against each other, it is written in candle's own operations. In f16 or bf16 these
//! still take norms and the shares of attention in f32.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, DType, Layout, Result, Shape, Tensor};

use super::LoadError;
use super::bert::Loading;
use crate::inference::Compute;
use crate::inference::kernels::dense::{DenseLinear, Precision};
use crate::inference::kernels::encoder;
use crate::inference::kernels::pool::Pool;

pub use crate::inference::kernels::dense::Activation;

/// `activation(x · Wᵀ + b)`.
pub struct Linear {
    activation: Activation,
    weights: Weights,
}

enum Weights {
    Packed { packed: DenseLinear, pool: Pool },
    Plain { transposed: Tensor, bias: Tensor },
}

impl Linear {
    /// `read` gives the weights, `[out, in]` row by row, and the bias; it is not called where they were laid
    /// out before.
    pub(super) fn new(
        name: &str,
        read: impl FnOnce() -> std::result::Result<(Vec<f32>, Vec<f32>), LoadError>,
        [out, width]: [usize; 2],
        activation: Activation,
        from: &Loading<'_>,
    ) -> std::result::Result<Self, LoadError> {
        let weights = match from.compute {
            Compute::Kernels(pool) => {
                let packed = from.laid_out.matrix(name, [out, width], || {
                    let (weight, bias) = read()?;
                    Ok(DenseLinear::new(&weight, Some(&bias), out, width, Precision::best()))
                })?;
                Weights::Packed { packed, pool: pool.clone() }
            }
            Compute::Tensors { device, dtype } => {
                let (weight, bias) = read()?;
                let transposed = Tensor::from_vec(weight, (out, width), device)?.to_dtype(*dtype)?.t()?.contiguous()?;
                Weights::Plain { transposed, bias: Tensor::from_vec(bias, out, device)?.to_dtype(*dtype)? }
            }
        };
        Ok(Self { activation, weights })
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weights {
            Weights::Packed { packed, pool } => {
                x.apply_op1_no_bwd(&LinearOp { packed, pool, activation: self.activation })
            }
            Weights::Plain { transposed, bias } => plain::linear(x, transposed, bias, self.activation),
        }
    }
}

/// The parameters of a layer norm.
pub enum Norm {
    Packed(NormOp),
    /// What it gives is of `dtype`.
    Plain {
        gamma: Tensor,
        beta: Tensor,
        epsilon: f32,
        dtype: DType,
    },
}

impl Norm {
    pub(super) fn new(
        gamma: Vec<f32>,
        beta: Vec<f32>,
        epsilon: f32,
        from: &Loading<'_>,
    ) -> std::result::Result<Self, LoadError> {
        match from.compute {
            Compute::Kernels(pool) => Ok(Self::Packed(NormOp { gamma, beta, epsilon, pool: pool.clone() })),
            Compute::Tensors { device, dtype } => {
                let vector = |numbers: Vec<f32>| Tensor::from_slice(&numbers, numbers.len(), device);
                Ok(Self::Plain { gamma: vector(gamma)?, beta: vector(beta)?, epsilon, dtype: *dtype })
            }
        }
    }
}

/// `norm(x + residual)`, row by row.
pub fn add_layer_norm(x: &Tensor, residual: Option<&Tensor>, norm: &Norm) -> Result<Tensor> {
    match (norm, residual) {
        (Norm::Packed(op), Some(residual)) => x.apply_op2_no_bwd(residual, op),
        (Norm::Packed(op), None) => x.apply_op1_no_bwd(op),
        (Norm::Plain { gamma, beta, epsilon, dtype }, _) => {
            let x = match residual {
                Some(residual) => (x.to_dtype(DType::F32)? + residual.to_dtype(DType::F32)?)?,
                None => x.to_dtype(DType::F32)?,
            };
            plain::layer_norm(&x, gamma, beta, *epsilon)?.to_dtype(*dtype)
        }
    }
}

/// Each token attends to those of its own text: text `n` has the rows from `starts[n]` up to
/// `starts[n + 1]`. `qkv` is `[rows, 3 * hidden]`; gives `[rows, hidden]`.
pub fn attention(qkv: &Tensor, starts: &[usize], heads: usize, scale: f32, compute: &Compute) -> Result<Tensor> {
    match compute {
        Compute::Kernels(pool) => qkv.apply_op1_no_bwd(&AttentionOp { starts, heads, scale, pool }),
        Compute::Tensors { .. } => plain::attention(qkv, starts, heads, scale),
    }
}

struct LinearOp<'a> {
    packed: &'a DenseLinear,
    pool: &'a Pool,
    activation: Activation,
}

impl CustomOp1 for LinearOp<'_> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, rows, width) = matrix(storage, layout)?;
        if width != self.packed.in_features() {
            candle_core::bail!("a layer of {} inputs cannot take {width}", self.packed.in_features());
        }
        let out = self.packed.out_features();
        let mut y = vec![0.0; rows * out];
        self.packed.forward(x, rows, &mut y, self.activation, self.pool);
        Ok((CpuStorage::F32(y), (rows, out).into()))
    }
}

pub struct NormOp {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
    pool: Pool,
}

impl NormOp {
    fn run(&self, x: &[f32], residual: Option<&[f32]>, width: usize) -> Result<(CpuStorage, Shape)> {
        if width != self.gamma.len() {
            candle_core::bail!("a norm of {} columns cannot take {width}", self.gamma.len());
        }
        let mut y = vec![0.0; x.len()];
        encoder::add_layer_norm(x, residual, &self.gamma, &self.beta, self.epsilon, &mut y, &self.pool);
        Ok((CpuStorage::F32(y), (x.len() / width, width).into()))
    }
}

impl CustomOp1 for NormOp {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, _, width) = matrix(storage, layout)?;
        self.run(x, None, width)
    }
}

impl CustomOp2 for NormOp {
    fn name(&self) -> &'static str {
        "add_layer_norm"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, _, width) = matrix(s1, l1)?;
        let (residual, _, _) = matrix(s2, l2)?;
        if residual.len() != x.len() {
            candle_core::bail!("{} numbers cannot be added to {}", residual.len(), x.len());
        }
        self.run(x, Some(residual), width)
    }
}

struct AttentionOp<'a> {
    starts: &'a [usize],
    heads: usize,
    scale: f32,
    pool: &'a Pool,
}

impl CustomOp1 for AttentionOp<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (qkv, rows, width) = matrix(storage, layout)?;
        let hidden = width / 3;
        if self.starts.last() != Some(&rows) || self.heads == 0 || !hidden.is_multiple_of(self.heads) {
            candle_core::bail!("{rows} rows of {width} are not those of {:?} texts", self.starts);
        }
        let mut y = vec![0.0; rows * hidden];
        encoder::attention(qkv, self.starts, self.heads, hidden / self.heads, self.scale, &mut y, self.pool);
        Ok((CpuStorage::F32(y), (rows, hidden).into()))
    }
}

/// The numbers of a matrix, its rows and columns.
fn matrix<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<(&'a [f32], usize, usize)> {
    let (rows, columns) = layout.shape().dims2()?;
    let CpuStorage::F32(numbers) = storage else { candle_core::bail!("expected {:?}", DType::F32) };
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok((&numbers[from..to], rows, columns)),
        None => candle_core::bail!("the rows do not lie one after another"),
    }
}

/// The same in candle's own operations.
mod plain {
    use super::{Activation, D, DType, Result, Tensor};

    pub fn linear(x: &Tensor, transposed: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
        let sums = x.matmul(transposed)?.broadcast_add(bias)?;
        match activation {
            Activation::None => Ok(sums),
            Activation::Gelu => sums.gelu_erf(),
        }
    }

    pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, epsilon: f32) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normal = centred.broadcast_div(&(variance + f64::from(epsilon))?.sqrt()?)?;
        normal.broadcast_mul(gamma)?.broadcast_add(beta)
    }

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
            let scores = (q * f64::from(scale))?.matmul(&k.transpose(1, 2)?.contiguous()?)?.to_dtype(DType::F32)?;
            let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
            let shares = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
            texts.push(shares.to_dtype(v.dtype())?.matmul(&v)?.transpose(0, 1)?.reshape((length, hidden))?);
        }
        Tensor::cat(&texts, 0)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut random = StdRng::seed_from_u64(seed);
        (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    fn far(a: &Tensor, b: &Tensor) -> f32 {
        assert_eq!(a.dims(), b.dims(), "both have the same shape");
        let (a, b) = (a.flatten_all().unwrap().to_vec1::<f32>().unwrap(), b.flatten_all().unwrap().to_vec1().unwrap());
        a.iter().zip(&b).map(|(a, b): (&f32, &f32)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn each_operation_is_what_candle_computes() {
        let pool = Pool::new(2).unwrap();
        let (rows, hidden, heads) = (37, 64, 2);
        let starts = [0, 1, 20, rows];
        let x = Tensor::from_vec(numbers(rows * hidden, 1), (rows, hidden), &Device::Cpu).unwrap();
        let residual = Tensor::from_vec(numbers(rows * hidden, 2), (rows, hidden), &Device::Cpu).unwrap();
        let qkv = Tensor::from_vec(numbers(rows * 3 * hidden, 3), (rows, 3 * hidden), &Device::Cpu).unwrap();
        let (kernels, tensors) =
            (Compute::Kernels(pool.clone()), Compute::Tensors { device: Device::Cpu, dtype: DType::F32 });
        let attended = attention(&qkv, &starts, heads, 0.2, &kernels).unwrap();
        assert!(far(&attended, &attention(&qkv, &starts, heads, 0.2, &tensors).unwrap()) < 1e-4, "attention");

        let (gamma, beta) = (numbers(hidden, 4), numbers(hidden, 5));
        let vector = |numbers: &[f32]| Tensor::from_slice(numbers, numbers.len(), &Device::Cpu).unwrap();
        let (epsilon, dtype) = (1e-12, DType::F32);
        let plain = Norm::Plain { gamma: vector(&gamma), beta: vector(&beta), epsilon, dtype };
        let packed = Norm::Packed(NormOp { gamma, beta, epsilon, pool: pool.clone() });
        for residual in [None, Some(&residual)] {
            let ours = add_layer_norm(&x, residual, &packed).unwrap();
            assert!(far(&ours, &add_layer_norm(&x, residual, &plain).unwrap()) < 1e-4, "layer norm");
        }

        let (weight, bias) = (numbers(48 * hidden, 6), numbers(48, 7));
        let transposed = Tensor::from_slice(&weight, (48, hidden), &Device::Cpu).unwrap().t().unwrap();
        let transposed = transposed.contiguous().unwrap();
        for (precision, bound) in [(Precision::F32, 1e-4), (Precision::Bf16, 0.05)] {
            for activation in [Activation::None, Activation::Gelu] {
                let packed = DenseLinear::new(&weight, Some(&bias), 48, hidden, precision);
                let ours = x.apply_op1_no_bwd(&LinearOp { packed: &packed, pool: &pool, activation }).unwrap();
                let plain = plain::linear(&x, &transposed, &vector(&bias), activation).unwrap();
                let far = far(&ours, &plain);
                assert!(far < bound, "{precision:?} {activation:?}: {far} is not below {bound}");
            }
        }
        let wrong = attention(&qkv, &[0, 5], heads, 0.2, &kernels).expect_err("the texts are longer").to_string();
        assert!(wrong.contains("37 rows"), "{wrong}");
    }
}
