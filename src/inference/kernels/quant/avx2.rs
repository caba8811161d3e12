//! The kernel for processors with AVX2.

use std::arch::x86_64::*;

use super::activations::Block;
use super::layout::{Eight, Five, Form, Four, Kind, OUTS, Six};

/// How many tiles ahead the memory is asked for.
const AHEAD: usize = 10;

/// Whether this processor has what [`run`] is compiled for.
pub fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c")
}

/// `out[row] = tiles * x[row]`, for one row of tiles and up to 8 rows of the input.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn run(kind: Kind, tiles: &[u8], x: &[Block], out: &mut [[f32; OUTS]]) {
    match kind {
        Kind::Four => by_rows::<Four>(tiles, x, out),
        Kind::Five => by_rows::<Five>(tiles, x, out),
        Kind::Six => by_rows::<Six>(tiles, x, out),
        Kind::Eight => by_rows::<Eight>(tiles, x, out),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn by_rows<F: Form>(tiles: &[u8], x: &[Block], out: &mut [[f32; OUTS]]) {
    match out.len() {
        1 => rows::<F, 1>(tiles, x, out),
        2 => rows::<F, 2>(tiles, x, out),
        3 => rows::<F, 3>(tiles, x, out),
        4 => rows::<F, 4>(tiles, x, out),
        5 => rows::<F, 5>(tiles, x, out),
        6 => rows::<F, 6>(tiles, x, out),
        7 => rows::<F, 7>(tiles, x, out),
        _ => rows::<F, 8>(tiles, x, out),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn rows<F: Form, const R: usize>(tiles: &[u8], x: &[Block], out: &mut [[f32; OUTS]]) {
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    for (tile, x) in tiles.chunks_exact(F::BYTES).zip(x.as_chunks::<R>().0) {
        for line in (0..F::BYTES).step_by(64) {
            let ahead = tile.as_ptr().wrapping_add(AHEAD * F::BYTES + line);
            _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
        }
        for side in 0..2 {
            tile_side::<F, R>(tile, side, x, &mut sums);
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        let (left, right) = out.split_at_mut(8);
        // SAFETY: each half of `out` has 8 f32.
        unsafe {
            _mm256_storeu_ps(left.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(right.as_mut_ptr(), sums[1]);
        }
    }
}

/// The first or the last eight outputs of a tile.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile_side<F: Form, const R: usize>(tile: &[u8], side: usize, x: &[Block; R], sums: &mut [[__m256; 2]; R]) {
    let first = load_halves(tile, F::SCALES_AT + 16 * side);
    let second = if F::SPLIT || F::MIN { load_halves(tile, F::SECOND_AT + 16 * side) } else { first };
    let mut dots = [_mm256_setzero_si256(); R];
    for half in 0..2 {
        for r in 0..R {
            if F::SPLIT {
                dots[r] = _mm256_set1_epi32(-i32::from(F::ZERO) * x[r].sums[half]);
            }
        }
        // Two products of 63 * 127 may be added twice in 16 bits, of 31 * 127 four times.
        for pair in [4 * half, 4 * half + 2] {
            let codes = [load_codes::<F>(tile, pair, side), load_codes::<F>(tile, pair + 1, side)];
            for r in 0..R {
                let products =
                    [products::<F>(codes[0], x[r].codes[pair]), products::<F>(codes[1], x[r].codes[pair + 1])];
                let ones = _mm256_set1_epi16(1);
                if F::WHOLE {
                    dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(products[0], ones));
                    dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(products[1], ones));
                } else {
                    let both = _mm256_add_epi16(products[0], products[1]);
                    dots[r] = _mm256_add_epi32(dots[r], _mm256_madd_epi16(both, ones));
                }
            }
        }
        if F::SPLIT || half == 1 {
            let scales = if F::SPLIT && half == 1 { second } else { first };
            for r in 0..R {
                let scale = _mm256_mul_ps(scales, _mm256_set1_ps(x[r].scale));
                sums[r][side] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[r]), scale, sums[r][side]);
            }
        }
    }
    if F::MIN {
        for r in 0..R {
            sums[r][side] = _mm256_fmadd_ps(second, _mm256_set1_ps(x[r].sum), sums[r][side]);
        }
    }
}

/// Codes times four inputs, added in pairs, in 16 bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn products<F: Form>(codes: __m256i, x: [i8; 4]) -> __m256i {
    let x = _mm256_set1_epi32(i32::from_le_bytes(x.map(|code| code as u8)));
    if F::WHOLE {
        // Two products of 128 * 127 fit 16 bits, of 255 * 127 not: the sign goes to the input.
        let weights = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
        return _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
    }
    _mm256_maddubs_epi16(codes, x)
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_halves(tile: &[u8], at: usize) -> __m256 {
    let bytes = &tile[at..][..16];
    // SAFETY: there are 16 bytes.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load(tile: &[u8], at: usize) -> __m256i {
    let bytes = &tile[at..][..32];
    // SAFETY: there are 32 bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// The codes of a group of four inputs, of eight outputs.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_codes<F: Form>(tile: &[u8], group: usize, side: usize) -> __m256i {
    if F::WHOLE {
        return load(tile, 64 * group + 32 * side);
    }
    let both = load(tile, 64 * (group % 4) + 32 * side);
    let nibbles = if group < 4 { both } else { _mm256_srli_epi16::<4>(both) };
    let mut codes = _mm256_and_si256(nibbles, _mm256_set1_epi8(15));
    for plane in 0..F::PLANES {
        let bits = load(tile, F::PLANES_AT + 64 * plane + 32 * side);
        let bit = _mm256_set1_epi8((1_u8 << group) as i8);
        let set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
        codes = _mm256_or_si256(codes, _mm256_and_si256(set, _mm256_set1_epi8(16 << plane)));
    }
    codes
}
