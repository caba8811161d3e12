//! The kernel for processors with AVX-512 and its 8-bit dot products.

use std::arch::x86_64::*;

use super::activations::Block;
use super::layout::{Eight, Five, Form, Four, Kind, OUTS, Six};

/// How many tiles ahead the memory is asked for.
const AHEAD: usize = 10;

/// Whether this processor has what [`run`] is compiled for.
pub fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vnni")
}

/// `out[row] = tiles * x[row]`, for one row of tiles and up to 8 rows of the input.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub fn run(kind: Kind, tiles: &[u8], x: &[Block], out: &mut [[f32; OUTS]]) {
    match kind {
        Kind::Four => by_rows::<Four>(tiles, x, out),
        Kind::Five => by_rows::<Five>(tiles, x, out),
        Kind::Six => by_rows::<Six>(tiles, x, out),
        Kind::Eight => by_rows::<Eight>(tiles, x, out),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
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

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn rows<F: Form, const R: usize>(tiles: &[u8], x: &[Block], out: &mut [[f32; OUTS]]) {
    let mut sums = [_mm512_setzero_ps(); R];
    for (tile, x) in tiles.chunks_exact(F::BYTES).zip(x.as_chunks::<R>().0) {
        for line in (0..F::BYTES).step_by(64) {
            let ahead = tile.as_ptr().wrapping_add(AHEAD * F::BYTES + line);
            _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
        }
        let scales = load_halves(&tile[F::SCALES_AT..]);
        let second = if F::SPLIT || F::MIN { load_halves(&tile[F::SECOND_AT..]) } else { scales };
        let mut dots = [_mm512_setzero_si512(); R];
        for half in 0..2 {
            for r in 0..R {
                if F::SPLIT {
                    dots[r] = _mm512_set1_epi32(-i32::from(F::ZERO) * x[r].sums[half]);
                } else if F::ZERO != 0 && half == 0 {
                    dots[r] = _mm512_set1_epi32(-i32::from(F::ZERO) * (x[r].sums[0] + x[r].sums[1]));
                }
            }
            for vector in 0..4 {
                let codes = load_codes::<F>(tile, 4 * half + vector);
                for r in 0..R {
                    let x = _mm512_set1_epi32(i32::from_le_bytes(x[r].codes[4 * half + vector].map(|code| code as u8)));
                    dots[r] = _mm512_dpbusd_epi32(dots[r], codes, x);
                }
            }
            if F::SPLIT || half == 1 {
                let scales = if half == 1 { second_scales::<F>(scales, second) } else { scales };
                for r in 0..R {
                    let scale = _mm512_mul_ps(scales, _mm512_set1_ps(x[r].scale));
                    sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[r]), scale, sums[r]);
                }
            }
        }
        if F::MIN {
            for r in 0..R {
                sums[r] = _mm512_fmadd_ps(second, _mm512_set1_ps(x[r].sum), sums[r]);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        // SAFETY: `out` has 16 f32.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sums) };
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn second_scales<F: Form>(first: __m512, second: __m512) -> __m512 {
    if F::SPLIT { second } else { first }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load_halves(bytes: &[u8]) -> __m512 {
    let bytes = &bytes[..2 * OUTS];
    // SAFETY: there are 32 bytes.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load(tile: &[u8], at: usize) -> __m512i {
    let bytes = &tile[at..][..64];
    // SAFETY: there are 64 bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// The codes of a group of four inputs, of 16 outputs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load_codes<F: Form>(tile: &[u8], group: usize) -> __m512i {
    if F::WHOLE {
        return load(tile, 64 * group);
    }
    let both = load(tile, 64 * (group % 4));
    let nibbles = if group < 4 { both } else { _mm512_srli_epi16::<4>(both) };
    let mut codes = _mm512_and_si512(nibbles, _mm512_set1_epi8(15));
    for plane in 0..F::PLANES {
        let bits = load(tile, F::PLANES_AT + 64 * plane);
        let set = _mm512_test_epi8_mask(bits, _mm512_set1_epi8((1_u8 << group) as i8));
        codes = _mm512_mask_add_epi8(codes, set, codes, _mm512_set1_epi8(16 << plane));
    }
    codes
}
