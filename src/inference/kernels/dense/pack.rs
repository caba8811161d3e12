//! Weights as the kernels want them.

use memmap2::Mmap;

use super::super::memory::{Aligned, Fixed, Kept, Plain};
use super::{DenseLinear, Form, Precision, Weights};

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
                Weights::F32 { packed: packed.into(), isa, rounded }
            }
            #[cfg(target_arch = "x86_64")]
            Form::Bf16 | Form::Amx => {
                let panel = [columns, form.depth(in_features), 2];
                Weights::Bf16(pack(weight, shape, panel, to_bf16).into())
            }
        };
        Self { form, weights, bias: padded, out_features, in_features }
    }
}

/// In the form that is best here, with the bias of all columns as its head.
impl Kept for DenseLinear {
    fn layout() -> String {
        match Form::of(Precision::best()) {
            form @ Form::F32 { .. } => format!("f32x{}", form.columns()),
            #[cfg(target_arch = "x86_64")]
            form => format!("bf16x{}", form.columns()),
        }
    }

    fn head(&self) -> Vec<u8> {
        self.bias.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn weights(&self) -> &[u8] {
        match &self.weights {
            Weights::F32 { packed, .. } => packed.as_bytes(),
            #[cfg(target_arch = "x86_64")]
            Weights::Bf16(packed) => packed.as_bytes(),
        }
    }

    fn from_kept([out_features, in_features]: [usize; 2], head: &[u8], weights: Mmap) -> Option<Self> {
        let form = Form::of(Precision::best());
        let columns = out_features.checked_next_multiple_of(form.columns())?;
        let (kept, rest) = head.as_chunks();
        if kept.len() != columns || !rest.is_empty() {
            return None;
        }
        let mut bias = Aligned::zeroed(columns);
        bias.iter_mut().zip(kept).for_each(|(x, bytes)| *x = f32::from_le_bytes(*bytes));
        let weights = match form {
            Form::F32 { isa, rounded } => {
                let packed = Fixed::of_file(weights, columns.checked_mul(in_features)?)?;
                Weights::F32 { packed, isa, rounded }
            }
            #[cfg(target_arch = "x86_64")]
            Form::Bf16 | Form::Amx => {
                Weights::Bf16(Fixed::of_file(weights, columns.checked_mul(form.depth(in_features))?)?)
            }
        };
        Some(Self { form, weights, bias, out_features, in_features })
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
pub(super) fn pack<T: Plain>(
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
