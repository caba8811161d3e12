//! The product of some rows and a panel of columns, both rounded to bf16: AVX512_BF16.

use std::arch::x86_64::*;

use super::lane::Lane;
use super::tile::{Bias, Product, store};
use super::x86::V512;

/// Most rows of a tile: as for `f32`.
const ROWS: usize = V512::ROWS;

pub fn available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// `x` to bf16 in `to`, what is left of it zero.
///
/// # Safety
/// The processor is [`available`]; `to` is as long as `x` at least.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn round(x: &[f32], to: &mut [u16]) {
    let (of, rest) = to.split_at_mut(x.len());
    rest.fill(0);
    for (x, to) in x.chunks(16).zip(of.chunks_mut(16)) {
        let some = ((1_u32 << x.len()) - 1) as u16;
        // SAFETY: what lies outside of the chunks is masked.
        unsafe {
            let rounded: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(some, x.as_ptr())));
            if x.len() == 16 {
                _mm256_storeu_si256(to.as_mut_ptr().cast(), rounded);
            } else {
                let all: [u16; 16] = std::mem::transmute(rounded);
                to.copy_from_slice(&all[..to.len()]);
            }
        }
    }
}

/// As [`super::tile::multiply`], with a panel `[depth / 2, 32, 2]`: two rows beside one another.
/// `depth` is even.
///
/// # Safety
/// All that `product` says can be read and written, and the processor is [`available`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
pub unsafe fn multiply(product: &Product<u16>, finish: &Bias) {
    let tiles = product.rows.div_ceil(ROWS);
    for tile in 0..tiles {
        let (from, to) = (product.rows * tile / tiles, product.rows * (tile + 1) / tiles);
        macro_rules! of_rows {
            ($($rows:literal)*) => {
                match to - from {
                    // SAFETY: as the caller promises; the rows are there.
                    $($rows => unsafe { one::<$rows>(product, from, finish) },)*
                    _ => {}
                }
            };
        }
        of_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}

/// `R` rows of the product, from `first` on.
///
/// # Safety
/// As for [`multiply`], and the rows are there.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma")]
unsafe fn one<const R: usize>(product: &Product<u16>, first: usize, finish: &Bias) {
    let &Product { a, a_step, panel, depth, c, c_step, columns, .. } = product;
    // SAFETY: `R` rows of `a` from `first` on and `depth` of the panel can be read, and `columns`
    // of `R` rows of `c` written.
    unsafe {
        let a = a.add(first * a_step);
        let mut sums = [[_mm512_setzero_ps(); 2]; R];
        for pair in 0..depth / 2 {
            let of = panel.add(pair * 64);
            let low: __m512bh = std::mem::transmute(_mm512_loadu_si512(of.cast()));
            let high: __m512bh = std::mem::transmute(_mm512_loadu_si512(of.add(32).cast()));
            for (r, sums) in sums.iter_mut().enumerate() {
                let two = a.add(r * a_step + pair * 2).cast::<i32>().read_unaligned();
                let x: __m512bh = std::mem::transmute(_mm512_set1_epi32(two));
                *sums = [_mm512_dpbf16_ps(sums[0], x, low), _mm512_dpbf16_ps(sums[1], x, high)];
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            store(sums.map(V512), c.add((first + r) * c_step), columns, first + r, finish);
        }
    }
}
