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

/// How a gate opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// `x / (1 + exp(-x))`
    Silu,
    /// GELU with `tanh`: `x / (1 + exp(-2 * sqrt(2 / pi) * (x + 0.044715 * x^3)))`
    Gelu,
}

/// Twice the square root of 2 / pi, and the share of the cube.
const GELU: [f32; 2] = [1.595_769_2, 0.044_715];

/// `gate = open(gate) * up`
///
/// Source: Shazeer 2020, SwiGLU and GEGLU.
pub fn gate(kind: Gate, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "both are of one length");
    // SAFETY: all is in slices.
    unsafe { Isa::best().run(GateMul { kind, gate, up }) };
}

struct GateMul<'a> {
    kind: Gate,
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl GateMul<'_> {
    /// What the power is of.
    fn opened(kind: Gate, x: f32) -> f32 {
        match kind {
            Gate::Silu => x,
            Gate::Gelu => GELU[0] * (x + GELU[1] * x * x * x),
        }
    }
}

impl Op for GateMul<'_> {
    #[inline(always)]
    unsafe fn run<V: Lane>(self) {
        let lanes = self.gate.len() / V::WIDTH;
        for lane in 0..lanes {
            let at = lane * V::WIDTH;
            // SAFETY: the processor has what `V` needs, and the lane is within both.
            unsafe {
                let (gate, up) = (V::load(self.gate.as_ptr().add(at)), V::load(self.up.as_ptr().add(at)));
                let of = match self.kind {
                    Gate::Silu => gate,
                    Gate::Gelu => {
                        let cube = gate.mul(gate).mul_add(gate.all(GELU[1]), gate.all(1.0));
                        gate.mul(gate.all(GELU[0])).mul(cube)
                    }
                };
                let power = of.mul(of.all(-std::f32::consts::LOG2_E));
                let power = power.all(126.0).min(power.all(-126.0).max(power));
                let below = exp2(power).add(gate.all(1.0));
                gate.mul(below.recip()).mul(up).store(self.gate.as_mut_ptr().add(at));
            }
        }
        let rest = lanes * V::WIDTH;
        for (gate, up) in self.gate[rest..].iter_mut().zip(&self.up[rest..]) {
            *gate = *gate / (1.0 + (-Self::opened(self.kind, *gate)).exp()) * up;
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
    /// `steps`: how far one position turns each pair. `neighbours`: pairs of neighbours are turned, as
    /// Llama's files have it; else each with the one half a head further, as GPT-NeoX does it.
    pub fn new(steps: &[f64], context: usize, neighbours: bool) -> Self {
        let all = |of: fn(f64) -> f64| {
            let row = |position| steps.iter().map(move |step| of(position as f64 * step) as f32);
            (0..context).flat_map(row).collect()
        };
        Self { cosines: all(f64::cos), sines: all(f64::sin), half: steps.len(), neighbours }
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
