//! Linear layers in `f32` and bf16: the weights packed in panels, a few rows at a time in registers.
//!
//! A panel has the weights of some outputs, those of one input beside one another. The work is cut
//! by rows, so that a block of them stays in the cache while the panels go by, and where there are
//! few rows by outputs.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod bf16;
mod cut;
mod forward;
pub(super) mod lane;
pub(super) mod math;
mod pack;
#[cfg(test)]
mod tests;
pub(super) mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use forward::Shared;
use lane::Isa;

use super::memory::{Aligned, Fixed};

/// What a layer does to its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    None,
    /// `x / 2 * (1 + erf(x / sqrt 2))`, within 6e-7 of it, or of its size where it is above 1.
    Gelu,
}

/// What is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    F32,
    /// Weights and inputs rounded to bf16; the sums are of `f32`.
    Bf16,
}

impl Precision {
    /// Bf16 where the processor multiplies it, else `f32`.
    pub fn best() -> Self {
        match Form::of(Self::Bf16) {
            Form::F32 { .. } => Self::F32,
            #[cfg(target_arch = "x86_64")]
            _ => Self::Bf16,
        }
    }
}

/// How a layer is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `rounded`: to bf16, for a processor that has no better way.
    F32 { isa: Isa, rounded: bool },
    #[cfg(target_arch = "x86_64")]
    Bf16,
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Form {
    fn of(precision: Precision) -> Self {
        #[cfg(target_arch = "x86_64")]
        if precision == Precision::Bf16 && amx::available() {
            return Self::Amx;
        } else if precision == Precision::Bf16 && bf16::available() {
            return Self::Bf16;
        }
        Self::F32 { isa: Isa::best(), rounded: precision == Precision::Bf16 }
    }
}

enum Weights {
    /// `[panel, in, columns]`; `rounded` as in [`Form`].
    F32 { packed: Fixed<f32>, isa: Isa, rounded: bool },
    /// `[panel, depth / 2, 32, 2]`
    #[cfg(target_arch = "x86_64")]
    Bf16(Fixed<u16>),
}

/// A matrix of weights, `[out, in]`, with its bias, laid out for this machine's kernels.
pub struct DenseLinear {
    form: Form,
    weights: Weights,
    /// One for each column of the panels.
    bias: Aligned<f32>,
    out_features: usize,
    in_features: usize,
}

impl DenseLinear {
    /// Panics if `weight` or `bias` are not as long as the features say.
    pub fn new(
        weight: &[f32],
        bias: Option<&[f32]>,
        out_features: usize,
        in_features: usize,
        precision: Precision,
    ) -> Self {
        Self::in_form(Form::of(precision), weight, bias, [out_features, in_features])
    }

    pub fn out_features(&self) -> usize {
        self.out_features
    }

    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Of memory, for the weights and the bias.
    pub fn bytes(&self) -> usize {
        let weights = match &self.weights {
            Weights::F32 { packed, .. } => packed.as_bytes().len(),
            #[cfg(target_arch = "x86_64")]
            Weights::Bf16(packed) => packed.as_bytes().len(),
        };
        weights + size_of_val(&*self.bias)
    }
}
