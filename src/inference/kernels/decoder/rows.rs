//! Norm, activation and positions, row by row.

use super::super::dense::lane::{Isa, Lane, Op};
use super::super::dense::math::exp2;

/// `x / rms(x) * weight`, row by row; `x` and `y` are `[rows, weight.len()]`.
///
/// Source: Zhang & Sennrich 2019.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "the output is as long as the input");
    // SAFETY: all is in slices.
    unsafe { Isa::best().run(RmsNorm { x, weight, epsilon, y }) };
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    y: &'a mut [f32],
}

impl Op for RmsNorm<'_> {
    #[inline(always)]
    unsafe fn run<V: Lane>(self) {
        let width = self.weight.len();
        for (x, y) in self.x.chunks_exact(width).zip(self.y.chunks_exact_mut(width)) {
            // SAFETY: the processor has what `V` needs, as the caller promises.
            let squares = unsafe { dot::<V>(x, x) };
            let scale = 1.0 / (squares / width as f32 + self.epsilon).sqrt();
            for ((y, x), weight) in y.iter_mut().zip(x).zip(self.weight) {
                *y = x * scale * weight;
            }
        }
    }
}

/// `a · b`, of the same length.
///
/// # Safety
/// The processor has what `V` needs.
#[inline(always)]
pub(super) unsafe fn dot<V: Lane>(a: &[f32], b: &[f32]) -> f32 {
    let lanes = a.len().min(b.len()) / V::WIDTH;
    // SAFETY: each lane is within both.
    let mut sum = unsafe {
        let mut sum = V::splat(0.0);
        for lane in 0..lanes {
            let at = lane * V::WIDTH;
            sum = V::load(a.as_ptr().add(at)).mul_add(V::load(b.as_ptr().add(at)), sum);
        }
        sum.sum()
    };
    for (a, b) in a.iter().zip(b).skip(lanes * V::WIDTH) {
        sum += a * b;
    }
    sum
}

/// `x += y`
pub fn add(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "both are of one length");
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// `gate = gate / (1 + exp(-gate)) * up`
///
/// Source: Shazeer 2020, SwiGLU.
pub fn silu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "both are of one length");
    // SAFETY: all is in slices.
    unsafe { Isa::best().run(SiluMul { gate, up }) };
}

struct SiluMul<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Op for SiluMul<'_> {
    #[inline(always)]
    unsafe fn run<V: Lane>(self) {
        let lanes = self.gate.len() / V::WIDTH;
        for lane in 0..lanes {
            let at = lane * V::WIDTH;
            // SAFETY: the processor has what `V` needs, and the lane is within both.
            unsafe {
                let (gate, up) = (V::load(self.gate.as_ptr().add(at)), V::load(self.up.as_ptr().add(at)));
                let power = gate.mul(gate.all(-std::f32::consts::LOG2_E));
                let power = power.all(126.0).min(power.all(-126.0).max(power));
                let below = exp2(power).add(gate.all(1.0));
                gate.mul(below.recip()).mul(up).store(self.gate.as_mut_ptr().add(at));
            }
        }
        let rest = lanes * V::WIDTH;
        for (gate, up) in self.gate[rest..].iter_mut().zip(&self.up[rest..]) {
            *gate = *gate / (1.0 + (-*gate).exp()) * up;
        }
    }
}

/// By how much each pair of a head is turned, for the positions up to a context's end.
pub struct Turns {
    /// `[position, head dim / 2]`
    cosines: Vec<f32>,
    sines: Vec<f32>,
    half: usize,
    neighbours: bool,
}

impl Turns {
    /// `neighbours`: pairs of neighbours are turned, as Llama's files have it; else each with the
    /// one half a head further, as GPT-NeoX does it.
    pub fn new(base: f32, head_dim: usize, context: usize, neighbours: bool) -> Self {
        let half = head_dim / 2;
        let angle =
            |position: usize, pair: usize| position as f64 * f64::from(base).powf(-2.0 * pair as f64 / head_dim as f64);
        let all = |of: fn(f64) -> f64| {
            let row = |position| (0..half).map(move |pair| of(angle(position, pair)) as f32);
            (0..context).flat_map(row).collect()
        };
        Self { cosines: all(f64::cos), sines: all(f64::sin), half, neighbours }
    }
}

/// Turns the heads of one position in place; `heads` is `[heads, head dim]`.
pub fn rope(heads: &mut [f32], position: usize, turns: &Turns) {
    let half = turns.half;
    let of = position * half..(position + 1) * half;
    let (cosines, sines) = (&turns.cosines[of.clone()], &turns.sines[of]);
    for head in heads.chunks_exact_mut(2 * half) {
        if turns.neighbours {
            for (pair, (cos, sin)) in head.chunks_exact_mut(2).zip(cosines.iter().zip(sines)) {
                (pair[0], pair[1]) = (pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos);
            }
        } else {
            let (first, second) = head.split_at_mut(half);
            for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(cosines.iter().zip(sines)) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}
