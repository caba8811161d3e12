//! Lanes of AVX-512F, and of AVX2 with FMA.

use std::arch::x86_64::*;

use super::lane::{Lane, Op};

#[derive(Clone, Copy)]
pub struct V512(pub __m512);

#[derive(Clone, Copy)]
pub struct V256(__m256);

/// # Safety
/// The processor has AVX-512F, and whatever `op` asks for.
#[inline(never)]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn run_512(op: impl Op) {
    // SAFETY: as the caller promises.
    unsafe { op.run::<V512>() }
}

/// # Safety
/// The processor has AVX2 and FMA, and whatever `op` asks for.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_256(op: impl Op) {
    // SAFETY: as the caller promises.
    unsafe { op.run::<V256>() }
}

/// The methods of a lane that are one instruction, or an expression of some.
macro_rules! methods {
    ($($name:ident($($arg:ident),*) = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self $(, $arg: Self)*) -> Self {
            // SAFETY: a lane exists only where the processor has its instructions.
            Self(unsafe { $body(self.0 $(, $arg.0)*) })
        }
    )*};
}

impl Lane for V512 {
    const WIDTH: usize = 16;
    /// 28 registers of sums, two of weights, one of the input.
    const ROWS: usize = 14;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as the caller promises.
        Self(unsafe { _mm512_set1_ps(x) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller promises.
        Self(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn gather(from: *const f32, step: usize) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            let places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let places = _mm512_mullo_epi32(places, _mm512_set1_epi32(step as i32));
            Self(_mm512_i32gather_ps::<4>(places, from))
        }
    }
    #[inline(always)]
    unsafe fn run(op: impl Op) {
        // SAFETY: as the caller promises.
        unsafe { run_512(op) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller promises.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    methods! {
        add(other) = _mm512_add_ps;
        sub(other) = _mm512_sub_ps;
        mul(other) = _mm512_mul_ps;
        mul_add(by, plus) = _mm512_fmadd_ps;
        max(other) = _mm512_max_ps;
        min(other) = _mm512_min_ps;
        round() = _mm512_roundscale_ps::<0>;
        pow2() = pow2_512;
        recip() = recip_512;
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: the lane exists.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }
    #[inline(always)]
    fn largest(self) -> f32 {
        // SAFETY: the lane exists.
        unsafe { _mm512_reduce_max_ps(self.0) }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn pow2_512(x: __m512) -> __m512 {
    _mm512_scalef_ps(_mm512_set1_ps(1.0), x)
}

/// Fourteen bits by the instruction, and one step of Newton.
#[inline]
#[target_feature(enable = "avx512f")]
fn recip_512(x: __m512) -> __m512 {
    let near = _mm512_rcp14_ps(x);
    _mm512_mul_ps(near, _mm512_fnmadd_ps(x, near, _mm512_set1_ps(2.0)))
}

impl Lane for V256 {
    const WIDTH: usize = 8;
    /// 12 registers of sums, two of weights, one of the input.
    const ROWS: usize = 6;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as the caller promises.
        Self(unsafe { _mm256_set1_ps(x) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller promises.
        Self(unsafe { _mm256_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn gather(from: *const f32, step: usize) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            let places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let places = _mm256_mullo_epi32(places, _mm256_set1_epi32(step as i32));
            Self(_mm256_i32gather_ps::<4>(from, places))
        }
    }
    #[inline(always)]
    unsafe fn run(op: impl Op) {
        // SAFETY: as the caller promises.
        unsafe { run_256(op) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller promises.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    methods! {
        add(other) = _mm256_add_ps;
        sub(other) = _mm256_sub_ps;
        mul(other) = _mm256_mul_ps;
        mul_add(by, plus) = _mm256_fmadd_ps;
        max(other) = _mm256_max_ps;
        min(other) = _mm256_min_ps;
        round() = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>;
        pow2() = pow2_256;
        recip() = recip_256;
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        halves(self).sum()
    }
    #[inline(always)]
    fn largest(self) -> f32 {
        let mut all = [0.0; 8];
        // SAFETY: there is room for eight.
        unsafe { self.store(all.as_mut_ptr()) };
        all.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}

/// Both halves added.
#[inline(always)]
fn halves(lane: V256) -> [f32; 4] {
    let mut all = [0.0; 8];
    // SAFETY: there is room for eight.
    unsafe { lane.store(all.as_mut_ptr()) };
    std::array::from_fn(|i| all[i] + all[i + 4])
}

#[inline]
#[target_feature(enable = "avx2")]
fn pow2_256(x: __m256) -> __m256 {
    let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
}

/// Twelve bits by the instruction, and one step of Newton.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn recip_256(x: __m256) -> __m256 {
    let near = _mm256_rcp_ps(x);
    _mm256_mul_ps(near, _mm256_fnmadd_ps(x, near, _mm256_set1_ps(2.0)))
}
