//! Attention of new tokens to all that came before them.

use std::cell::RefCell;

use super::super::dense::Shared;
use super::super::dense::lane::{Isa, Lane, Op};
use super::super::dense::math::exp2;
use super::super::pool::Pool;
use super::rows::dot;

thread_local! {
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// One new token: which keys and values it sees.
pub trait Past: Sync {
    /// The sequence's keys and values of a head, each `[positions, head dim]`, of all positions up
    /// to and with the one of row `row`.
    fn seen(&self, row: usize, kv_head: usize) -> (&[f32], &[f32]);
}

/// Sizes of the heads.
#[derive(Clone, Copy, Debug)]
struct Heads {
    heads: usize,
    /// Heads that share keys and values.
    group: usize,
    head_dim: usize,
}

/// `softmax(q · k / sqrt(head dim)) · v` for each row and head; `q` and `y` are
/// `[rows, heads, head dim]`.
pub fn attention(q: &[f32], past: &dyn Past, heads: [usize; 2], head_dim: usize, y: &mut [f32], pool: &Pool) {
    let [heads, kv_heads] = heads;
    assert_eq!(q.len(), y.len(), "the output is as long as the input");
    assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "the heads can be shared out");
    let sizes = Heads { heads, group: heads / kv_heads, head_dim };
    let rows = q.len() / (heads * head_dim);
    let out = Shared(y.as_mut_ptr());
    pool.run(rows * kv_heads, &|part| {
        // The last rows see most: they go first, so that no thread is left with a long one.
        let (row, kv_head) = (rows - 1 - part / kv_heads, part % kv_heads);
        let at = (row * heads + kv_head * sizes.group) * head_dim;
        let of = at..at + sizes.group * head_dim;
        // SAFETY: a row's group of heads is one part's.
        let y = unsafe { out.slice(of.clone()) };
        let (keys, values) = past.seen(row, kv_head);
        SCORES.with_borrow_mut(|scores| {
            // SAFETY: all is in slices.
            unsafe { Isa::best().run(Group { q: &q[of], keys, values, sizes, scores, y }) };
        });
    });
}

struct Group<'a> {
    q: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    sizes: Heads,
    scores: &'a mut Vec<f32>,
    y: &'a mut [f32],
}

impl Op for Group<'_> {
    #[inline(always)]
    unsafe fn run<V: Lane>(self) {
        let Heads { head_dim, .. } = self.sizes;
        debug_assert_eq!(self.sizes.heads % self.sizes.group, 0);
        let scale = std::f32::consts::LOG2_E / (head_dim as f32).sqrt();
        for (q, y) in self.q.chunks_exact(head_dim).zip(self.y.chunks_exact_mut(head_dim)) {
            self.scores.clear();
            let mut largest = f32::NEG_INFINITY;
            for key in self.keys.chunks_exact(head_dim) {
                // SAFETY: the processor has what `V` needs, as the caller promises.
                let score = scale * unsafe { dot::<V>(q, key) };
                largest = largest.max(score);
                self.scores.push(score);
            }
            // SAFETY: as above, and each lane is within the scores.
            let sum = unsafe { shares::<V>(self.scores, largest) };
            y.fill(0.0);
            for (value, share) in self.values.chunks_exact(head_dim).zip(self.scores.iter()) {
                // SAFETY: as above.
                unsafe { add_scaled::<V>(value, share / sum, y) };
            }
        }
    }
}

/// Two to the power of what each is below the largest; their sum.
#[inline(always)]
unsafe fn shares<V: Lane>(scores: &mut [f32], largest: f32) -> f32 {
    let lanes = scores.len() / V::WIDTH;
    let mut sum = 0.0;
    for lane in 0..lanes {
        // SAFETY: the lane is within the scores.
        unsafe {
            let at = scores.as_mut_ptr().add(lane * V::WIDTH);
            let below = V::load(at).sub(V::splat(largest));
            let share = exp2(below.all(-126.0).max(below));
            share.store(at);
            sum += share.sum();
        }
    }
    for score in &mut scores[lanes * V::WIDTH..] {
        *score = (*score - largest).exp2();
        sum += *score;
    }
    sum
}

/// `y += x * scale`
#[inline(always)]
unsafe fn add_scaled<V: Lane>(x: &[f32], scale: f32, y: &mut [f32]) {
    let lanes = x.len().min(y.len()) / V::WIDTH;
    // SAFETY: each lane is within both.
    unsafe {
        let by = V::splat(scale);
        for lane in 0..lanes {
            let at = lane * V::WIDTH;
            let sum = V::load(x.as_ptr().add(at)).mul_add(by, V::load(y.as_ptr().add(at)));
            sum.store(y.as_mut_ptr().add(at));
        }
    }
    for (x, y) in x.iter().zip(y).skip(lanes * V::WIDTH) {
        *y += x * scale;
    }
}
