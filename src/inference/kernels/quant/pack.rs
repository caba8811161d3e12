//! From the blocks of a GGUF file to tiles.
//!
//! Scales stay 16-bit floats; where a file has them as products (Q4_K, Q5_K, Q6_K) they are rounded
//! to that. So that none of them leaves its range, those of 16 outputs have a power of two in common.
//! F16, BF16 and F32 become 8 bits with a scale for 32 weights, as Q8_0.

use candle_core::quantized::GgmlDType;
use memmap2::Mmap;

use super::super::memory::{Aligned, Fixed};
use super::layout::{Eight, Five, Form, Four, INS, Kind, OUTS, Six, Weights, from_half, write};

/// Why a matrix was not packed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PackError {
    #[error(
        "weights of type {dtype:?} have no kernel: convert the model to one of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, \
         Q5_K, Q6_K, F16, BF16 or F32"
    )]
    Unsupported { dtype: GgmlDType },
    #[error("a matrix of type {dtype:?} has {in_features} inputs: they have to be a multiple of {multiple}, and some")]
    Width { dtype: GgmlDType, in_features: usize, multiple: usize },
    #[error("a matrix of {out_features} x {in_features} of type {dtype:?} has {bytes} bytes, which is not its size")]
    Size { dtype: GgmlDType, out_features: usize, in_features: usize, bytes: usize },
}

/// A block of a file: its bytes, how many values, how they are read.
struct Source {
    kind: Kind,
    bytes: usize,
    values: usize,
    /// Of the block's bytes, the 32 weights that are asked for.
    read: fn(&[u8], usize) -> Weights,
}

fn source(dtype: GgmlDType) -> Result<Source, PackError> {
    use GgmlDType::*;
    let (kind, bytes, values, read): (_, _, _, fn(&[u8], usize) -> Weights) = match dtype {
        Q4_0 => (Kind::Four, 18, 32, |b, _| simple(half(b, 0), -8.0 * half(b, 0), nibbles(&b[2..18]))),
        Q4_1 => (Kind::Four, 20, 32, |b, _| simple(half(b, 0), half(b, 2), nibbles(&b[4..20]))),
        Q5_0 => (Kind::Five, 22, 32, |b, _| simple(half(b, 0), -16.0 * half(b, 0), fifth(&b[2..6], &b[6..22]))),
        Q5_1 => (Kind::Five, 24, 32, |b, _| simple(half(b, 0), half(b, 2), fifth(&b[4..8], &b[8..24]))),
        Q8_0 => {
            let read = |b: &[u8], _| simple(half(b, 0), 0.0, std::array::from_fn(|i| b[2 + i] ^ 0x80));
            (Kind::Eight, 34, 32, read)
        }
        Q4K => (Kind::Four, 144, 256, four_k),
        Q5K => (Kind::Five, 176, 256, five_k),
        Q6K => (Kind::Six, 210, 256, six_k),
        F16 => (Kind::Eight, 64, 32, |b, _| rounded(std::array::from_fn(|i| half(b, 2 * i)))),
        BF16 => {
            let read =
                |b: &[u8], _| rounded(std::array::from_fn(|i| f32::from_le_bytes([0, 0, b[2 * i], b[2 * i + 1]])));
            (Kind::Eight, 64, 32, read)
        }
        F32 => {
            let read = |b: &[u8], _| {
                let value = |i| f32::from_le_bytes([b[4 * i], b[4 * i + 1], b[4 * i + 2], b[4 * i + 3]]);
                rounded(std::array::from_fn(value))
            };
            (Kind::Eight, 128, 32, read)
        }
        Q8_1 | Q2K | Q3K | Q8K => return Err(PackError::Unsupported { dtype }),
    };
    Ok(Source { kind, bytes, values, read })
}

/// Tiles, row by row, the last of them padded with zeros.
pub struct Tiles {
    pub kind: Kind,
    bytes: Fixed<u8>,
    /// Bytes of a row of tiles.
    pub stride: usize,
    /// What the outputs of each row of tiles are multiplied with.
    pub factors: Vec<f32>,
}

impl Tiles {
    pub fn pack(dtype: GgmlDType, data: &[u8], out_features: usize, in_features: usize) -> Result<Self, PackError> {
        let source = source(dtype)?;
        if in_features == 0 || !in_features.is_multiple_of(source.values) {
            return Err(PackError::Width { dtype, in_features, multiple: source.values });
        }
        let row_bytes = in_features / source.values * source.bytes;
        if out_features.checked_mul(row_bytes) != Some(data.len()) {
            return Err(PackError::Size { dtype, out_features, in_features, bytes: data.len() });
        }
        let (tile_rows, stride) = (out_features.div_ceil(OUTS), in_features / INS * source.kind.tile_bytes());
        let (mut bytes, mut factors) = (Aligned::zeroed(tile_rows * stride), Vec::with_capacity(tile_rows));
        for (index, rows) in data.chunks(OUTS * row_bytes).enumerate() {
            let weights: Vec<Vec<Weights>> = rows.chunks(row_bytes).map(|row| read_row(&source, row)).collect();
            let factor = factor(&weights);
            factors.push(factor.recip());
            let tiles = &mut bytes[index * stride..][..stride];
            match source.kind {
                Kind::Four => write_row::<Four>(tiles, &weights, factor),
                Kind::Five => write_row::<Five>(tiles, &weights, factor),
                Kind::Six => write_row::<Six>(tiles, &weights, factor),
                Kind::Eight => write_row::<Eight>(tiles, &weights, factor),
            }
        }
        Ok(Self { kind: source.kind, bytes: bytes.into(), stride, factors })
    }

    /// The kind, and the factors.
    pub fn head(&self) -> Vec<u8> {
        let factors = self.factors.iter().flat_map(|factor| factor.to_le_bytes());
        std::iter::once(self.kind.number()).chain(factors).collect()
    }

    /// Tiles that were written to a file. None if they are not those of a matrix of this shape.
    pub fn from_kept([out_features, in_features]: [usize; 2], head: &[u8], bytes: Mmap) -> Option<Self> {
        let (kind, factors) = head.split_first()?;
        let (kind, (factors, rest)) = (Kind::of_number(*kind)?, factors.as_chunks());
        let tile_rows = out_features.div_ceil(OUTS);
        if !in_features.is_multiple_of(INS) || factors.len() != tile_rows || !rest.is_empty() {
            return None;
        }
        let stride = (in_features / INS).checked_mul(kind.tile_bytes())?;
        let bytes = Fixed::of_file(bytes, tile_rows.checked_mul(stride)?)?;
        Some(Self { kind, bytes, stride, factors: factors.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect() })
    }

    pub fn row(&self, index: usize) -> &[u8] {
        &self.bytes[index * self.stride..][..self.stride]
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }
}

fn read_row(source: &Source, row: &[u8]) -> Vec<Weights> {
    let blocks = row.chunks_exact(source.bytes);
    blocks.flat_map(|block| (0..source.values / INS).map(|part| (source.read)(block, part))).collect()
}

/// The power of two that brings the greatest scale or minimum to between 2^13 and 2^14.
fn factor(rows: &[Vec<Weights>]) -> f32 {
    let values = rows.iter().flatten().flat_map(|weights| [weights.scales[0], weights.scales[1], weights.min]);
    let most = values.map(f32::abs).filter(|value| value.is_finite()).fold(0.0, f32::max);
    if most < 1e-30 {
        return 1.0;
    }
    let exponent = (most.to_bits() >> 23) as i32 - 127;
    f32::from_bits(((13 - exponent + 127).clamp(1, 253) as u32) << 23)
}

fn write_row<F: Form>(tiles: &mut [u8], rows: &[Vec<Weights>], factor: f32) {
    for (out, row) in rows.iter().enumerate() {
        for (tile, weights) in tiles.chunks_exact_mut(F::BYTES).zip(row) {
            write::<F>(tile, out, weights, factor);
        }
    }
}

fn half(bytes: &[u8], at: usize) -> f32 {
    from_half(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn simple(scale: f32, min: f32, codes: [u8; INS]) -> Weights {
    Weights { codes, scales: [scale; 2], min }
}

/// The low halves of 16 bytes, then the high ones.
fn nibbles(bytes: &[u8]) -> [u8; INS] {
    std::array::from_fn(|i| bytes[i % 16] >> (i / 16 * 4) & 15)
}

fn fifth(high: &[u8], low: &[u8]) -> [u8; INS] {
    let low = nibbles(low);
    std::array::from_fn(|i| low[i] | (high[i / 8] >> (i % 8) & 1) << 4)
}

/// The six bits of scale and minimum of 32 weights in a block of Q4_K or Q5_K.
fn scale_and_min(block: &[u8], part: usize) -> (f32, f32) {
    let q = &block[4..16];
    let (scale, min) = match part {
        0..4 => (q[part] & 63, q[part + 4] & 63),
        _ => (q[part + 4] & 15 | q[part - 4] >> 6 << 4, q[part + 4] >> 4 | q[part] >> 6 << 4),
    };
    (half(block, 0) * f32::from(scale), -half(block, 2) * f32::from(min))
}

fn four_k(block: &[u8], part: usize) -> Weights {
    let (scale, min) = scale_and_min(block, part);
    let low = &block[16 + part / 2 * 32..][..32];
    simple(scale, min, std::array::from_fn(|i| low[i] >> (part % 2 * 4) & 15))
}

fn five_k(block: &[u8], part: usize) -> Weights {
    let (scale, min) = scale_and_min(block, part);
    let (high, low) = (&block[16..48], &block[48 + part / 2 * 32..][..32]);
    simple(scale, min, std::array::from_fn(|i| low[i] >> (part % 2 * 4) & 15 | (high[i] >> part & 1) << 4))
}

fn six_k(block: &[u8], part: usize) -> Weights {
    // Each half of 128 weights: 64 bytes of low bits, 32 of high ones, 8 scales.
    let (side, part) = (part / 4, part % 4);
    let (low, high) = (&block[64 * side + part % 2 * 32..][..32], &block[128 + 32 * side..][..32]);
    let codes = std::array::from_fn(|i| low[i] >> (part / 2 * 4) & 15 | (high[i] >> (2 * part) & 3) << 4);
    let scale = |i: usize| half(block, 208) * f32::from(block[192 + 8 * side + 2 * part + i] as i8);
    Weights { codes, scales: [scale(0), scale(1)], min: 0.0 }
}

/// Weights in 8 bits. One that is not finite makes the scale so.
fn rounded(values: [f32; INS]) -> Weights {
    let most = values.iter().fold(0.0_f32, |most, value| if value.abs() <= most { most } else { value.abs() });
    let inverse = if most < 1e-30 { 0.0 } else { 127.0 / most };
    let codes = values.map(|value| ((value * inverse).round_ties_even() as i8 as u8) ^ 0x80);
    simple(most / 127.0, 0.0, codes)
}
