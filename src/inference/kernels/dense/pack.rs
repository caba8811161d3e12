//! Weights as the kernels want them.

use super::{Aligned, DenseLinear, Form, Weights};

impl Form {
    /// Columns of a panel.
    pub(super) fn columns(self) -> usize {
        match self {
            Self::F32 { isa, .. } => isa.columns(),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16 | Self::Amx => 32,
        }
    }

    /// Rows that are computed at once.
    pub(super) fn rows(self) -> usize {
        match self {
            Self::F32 { isa, .. } => isa.rows(),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16 => super::lane::Isa::Avx512.rows(),
            #[cfg(target_arch = "x86_64")]
            Self::Amx => super::amx::ROWS,
        }
    }

    /// Rows of a panel: the inputs, and zeros up to what the kernel takes at once.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn depth(self, in_features: usize) -> usize {
        match self {
            Self::F32 { .. } => in_features,
            Self::Bf16 | Self::Amx => in_features.max(1).next_multiple_of(super::amx::DEPTH),
        }
    }
}

impl DenseLinear {
    pub(super) fn in_form(form: Form, weight: &[f32], bias: Option<&[f32]>, shape: [usize; 2]) -> Self {
        let [out_features, in_features] = shape;
        assert_eq!(weight.len(), out_features * in_features, "the weights are [out, in]");
        let columns = form.columns();
        let mut padded = Aligned::zeroed(out_features.next_multiple_of(columns));
        if let Some(bias) = bias {
            assert_eq!(bias.len(), out_features, "there is a bias for each output");
            padded[..out_features].copy_from_slice(bias);
        }
        let weights = match form {
            Form::F32 { isa, rounded } => {
                let panel = [columns, in_features, 1];
                let packed = pack(weight, shape, panel, |x| if rounded { from_bf16(to_bf16(x)) } else { x });
                Weights::F32 { packed, isa, rounded }
            }
            #[cfg(target_arch = "x86_64")]
            Form::Bf16 | Form::Amx => {
                let panel = [columns, form.depth(in_features), 2];
                Weights::Bf16(pack(weight, shape, panel, to_bf16))
            }
        };
        Self { form, weights, bias: padded, out_features, in_features }
    }
}

/// The nearest bf16, of two the even one.
pub(super) fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = if x.is_nan() { bits | 1 << 22 } else { bits + 0x7fff + (bits >> 16 & 1) };
    (rounded >> 16) as u16
}

pub(super) fn from_bf16(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// `[out, in]` as panels `[depth / beside, columns, beside]`.
fn pack<T: super::aligned::Plain>(
    weight: &[f32],
    [out_features, in_features]: [usize; 2],
    [columns, depth, beside]: [usize; 3],
    convert: impl Fn(f32) -> T,
) -> Aligned<T> {
    let mut packed = Aligned::zeroed(out_features.next_multiple_of(columns) * depth);
    for (out, row) in weight.chunks_exact(in_features.max(1)).enumerate() {
        let panel = out / columns * columns * depth;
        for (input, x) in row.iter().enumerate() {
            let at = (input / beside * columns + out % columns) * beside + input % beside;
            packed[panel + at] = convert(*x);
        }
    }
    packed
}
