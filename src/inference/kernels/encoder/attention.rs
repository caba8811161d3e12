//! Self-attention of sequences of different lengths.

use std::cell::Cell;

use super::super::dense::Shared;
use super::super::dense::lane::{Isa, Lane, Op};
use super::super::dense::math::exp2;
use super::super::dense::tile::{Finish, Product, multiply};
use super::super::memory::Aligned;
use super::super::pool::Pool;

/// Queries whose scores are computed before they are used, in tiles: the scores stay in the first cache.
const TILES: usize = 2;

/// What a score is below the largest of its row at most, in powers of two. The weight is then 1e-28
/// of the largest's, which is nothing, but times a value still a number that processors are quick with.
const LEAST: f32 = -93.0;

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// A head's keys and values as panels, and some rows of scores; kept for the next head.
#[derive(Default)]
struct Scratch {
    /// `[panel, head_dim, columns]`
    keys: Aligned<f32>,
    /// `[panel, length, columns]`
    values: Aligned<f32>,
    /// `[rows, length]`, each row a whole number of panels long.
    scores: Aligned<f32>,
    /// One over the sum of each row.
    scales: Aligned<f32>,
}

/// Self-attention of several sequences laid one after another without padding: sequence `s` has
/// rows `starts[s]..starts[s + 1]`. Softmax of `q * k * scale` within the sequence, no mask.
///
/// `qkv` is `[rows, 3 * heads * head_dim]`, with q, k and v beside one another; `y` is
/// `[rows, heads * head_dim]`. Panics if they have not the rows that `starts` names.
pub fn attention(qkv: &[f32], starts: &[usize], heads: usize, head_dim: usize, scale: f32, y: &mut [f32], pool: &Pool) {
    attention_by(Isa::best(), Shape { heads, head_dim, scale }, qkv, starts, y, pool);
}

#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub heads: usize,
    pub head_dim: usize,
    pub scale: f32,
}

pub(super) fn attention_by(isa: Isa, shape: Shape, qkv: &[f32], starts: &[usize], y: &mut [f32], pool: &Pool) {
    let width = shape.heads * shape.head_dim;
    let rows = starts.last().copied().unwrap_or(0);
    assert!(starts.is_sorted(), "the sequences are one after another");
    assert_eq!(qkv.len(), rows * 3 * width, "the input is [rows, 3 * heads * head_dim]");
    assert_eq!(y.len(), rows * width, "the output is [rows, heads * head_dim]");
    if y.is_empty() {
        return;
    }
    let out = Shared(y.as_mut_ptr());
    pool.run((starts.len() - 1) * shape.heads, &|part| {
        let (sequence, head) = (part / shape.heads, part % shape.heads);
        let (from, to) = (starts[sequence], starts[sequence + 1]);
        let mut scratch = SCRATCH.take();
        scratch.reserve(isa, to - from, shape.head_dim);
        let head = Head {
            qkv: &qkv[from * 3 * width + head * shape.head_dim..],
            y: out.at(from * width + head * shape.head_dim),
            width,
            length: to - from,
            shape,
            scratch: &mut scratch,
        };
        // SAFETY: nobody else writes this head of this sequence, and all its rows are there.
        unsafe { isa.run(head) };
        SCRATCH.set(scratch);
    });
}

impl Scratch {
    fn reserve(&mut self, isa: Isa, length: usize, head_dim: usize) {
        let columns = isa.columns();
        self.keys.reserve(length.next_multiple_of(columns) * head_dim);
        self.values.reserve(length * head_dim.next_multiple_of(columns));
        self.scores.reserve(TILES * isa.rows() * length.next_multiple_of(columns));
        self.scales.reserve(TILES * isa.rows());
    }
}

/// A head of a sequence.
struct Head<'a> {
    /// From the first query of the head on.
    qkv: &'a [f32],
    y: *mut f32,
    /// Of all heads together.
    width: usize,
    length: usize,
    shape: Shape,
    scratch: &'a mut Scratch,
}

impl Op for Head<'_> {
    #[inline(always)]
    unsafe fn run<V: Lane>(mut self) {
        self.pack_keys::<V>();
        self.pack_values::<V>();
        let at_once = TILES * V::ROWS;
        for first in (0..self.length).step_by(at_once) {
            let rows = at_once.min(self.length - first);
            // SAFETY: as the caller promises; the rows are there, and the scratch has room for so many.
            unsafe {
                self.score::<V>(first, rows);
                self.softmax::<V>(rows);
                self.weigh::<V>(first, rows);
            }
        }
    }
}

impl Head<'_> {
    fn columns<V: Lane>() -> usize {
        2 * V::WIDTH
    }

    #[inline(always)]
    fn pack_keys<V: Lane>(&mut self) {
        let (columns, head_dim) = (Self::columns::<V>(), self.shape.head_dim);
        let step = 3 * self.width;
        // Scores are powers of two, which cost less than those of e.
        let scale = self.shape.scale * std::f32::consts::LOG2_E;
        for panel in 0..self.length.div_ceil(columns) {
            let some = columns.min(self.length - panel * columns);
            let to = &mut self.scratch.keys[panel * columns * head_dim..][..columns * head_dim];
            let keys = &self.qkv[panel * columns * step + self.width..];
            for (j, lanes) in (0..some / V::WIDTH * V::WIDTH).step_by(V::WIDTH).enumerate() {
                for p in 0..head_dim {
                    // SAFETY: the last key of the lane is among the queries' rows, and so is what
                    // is before it; the panel has room for a whole lane.
                    unsafe {
                        let lane = V::gather(keys[lanes * step + p..].as_ptr(), step);
                        lane.mul(lane.all(scale)).store(to[p * columns + j * V::WIDTH..].as_mut_ptr());
                    }
                }
            }
            for j in some / V::WIDTH * V::WIDTH..some {
                let key = &keys[j * step..][..head_dim];
                for (p, x) in key.iter().enumerate() {
                    to[p * columns + j] = x * scale;
                }
            }
        }
    }

    #[inline(always)]
    fn pack_values<V: Lane>(&mut self) {
        let (columns, head_dim) = (Self::columns::<V>(), self.shape.head_dim);
        let step = 3 * self.width;
        for panel in 0..head_dim.div_ceil(columns) {
            let some = columns.min(head_dim - panel * columns);
            let to = &mut self.scratch.values[panel * columns * self.length..][..columns * self.length];
            for (row, to) in to.chunks_exact_mut(columns).enumerate() {
                let from = row * step + 2 * self.width + panel * columns;
                to[..some].copy_from_slice(&self.qkv[from..][..some]);
            }
        }
    }

    /// Queries times keys, to the scores.
    #[inline(always)]
    unsafe fn score<V: Lane>(&mut self, first: usize, rows: usize) {
        let (columns, head_dim) = (Self::columns::<V>(), self.shape.head_dim);
        let padded = self.length.next_multiple_of(columns);
        for panel in 0..padded / columns {
            let product = Product {
                a: self.qkv[first * 3 * self.width..].as_ptr(),
                a_step: 3 * self.width,
                rows,
                panel: self.scratch.keys[panel * columns * head_dim..].as_ptr(),
                depth: head_dim,
                c: self.scratch.scores[panel * columns..].as_mut_ptr(),
                c_step: padded,
                columns,
            };
            // SAFETY: as the caller promises.
            unsafe { multiply::<V>(&product, &Plain) };
        }
    }

    /// `2^(score - the largest of its row)`, and one over their sums.
    #[inline(always)]
    unsafe fn softmax<V: Lane>(&mut self, rows: usize) {
        let padded = self.length.next_multiple_of(Self::columns::<V>());
        for row in 0..rows {
            let scores = &mut self.scratch.scores[row * padded..][..padded];
            // What stands for keys that are not there weighs nothing.
            scores[self.length..].fill(f32::NEG_INFINITY);
            // SAFETY: the processor has what `V` needs, and each chunk is a lane.
            unsafe {
                let mut largest = [V::splat(f32::NEG_INFINITY); 2];
                for lanes in scores.chunks_exact(2 * V::WIDTH) {
                    largest[0] = largest[0].max(V::load(lanes.as_ptr()));
                    largest[1] = largest[1].max(V::load(lanes.as_ptr().add(V::WIDTH)));
                }
                let largest = largest[0].all(largest[0].max(largest[1]).largest());
                let mut sum = V::splat(0.0);
                for lane in scores.chunks_exact_mut(V::WIDTH) {
                    let below = V::load(lane.as_ptr()).sub(largest);
                    let power = exp2(below.all(LEAST).max(below));
                    power.store(lane.as_mut_ptr());
                    sum = sum.add(power);
                }
                self.scratch.scales[row] = 1.0 / sum.sum();
            }
        }
    }

    /// Scores times values, to the output.
    #[inline(always)]
    unsafe fn weigh<V: Lane>(&mut self, first: usize, rows: usize) {
        let (columns, head_dim) = (Self::columns::<V>(), self.shape.head_dim);
        for panel in 0..head_dim.div_ceil(columns) {
            let product = Product {
                a: self.scratch.scores.as_ptr(),
                a_step: self.length.next_multiple_of(columns),
                rows,
                panel: self.scratch.values[panel * columns * self.length..].as_ptr(),
                depth: self.length,
                c: self.y.wrapping_add(first * self.width + panel * columns),
                c_step: self.width,
                columns: columns.min(head_dim - panel * columns),
            };
            // SAFETY: as the caller promises.
            unsafe { multiply::<V>(&product, &Scaled(&self.scratch.scales)) };
        }
    }
}

struct Plain;

impl Finish for Plain {
    #[inline(always)]
    fn finish<V: Lane>(&self, _row: usize, _column: usize, sums: V) -> V {
        sums
    }
}

/// Each row times a number of its own.
struct Scaled<'a>(&'a [f32]);

impl Finish for Scaled<'_> {
    #[inline(always)]
    fn finish<V: Lane>(&self, row: usize, _column: usize, sums: V) -> V {
        sums.mul(sums.all(self.0[row]))
    }
}
