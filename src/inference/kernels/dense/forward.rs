//! A layer applied to some rows.

use std::cell::Cell;
use std::ops::Range;

use super::super::memory::Aligned;
use super::super::pool::Pool;
#[cfg(target_arch = "x86_64")]
use super::Form;
use super::cut::Cut;
use super::lane::{Isa, Lane, Op};
use super::pack::{from_bf16, to_bf16};
use super::tile::{self, Bias, Product};
use super::{Activation, DenseLinear, Weights};

/// Values that are rounded alone; for fewer the threads would not be worth it.
#[cfg(target_arch = "x86_64")]
const ROUNDED_AT_ONCE: usize = 32 * 1024;

thread_local! {
    /// The rounded input, kept for the next layer.
    static ROUNDED: Cell<Rounded> = Cell::default();
}

#[derive(Default)]
struct Rounded {
    #[cfg(target_arch = "x86_64")]
    bf16: Aligned<u16>,
    f32: Aligned<f32>,
}

/// Memory that the parts of an operation share, each writing to places of its own.
#[derive(Clone, Copy)]
pub struct Shared<T>(pub *mut T);

// SAFETY: who writes through it sees to it that no two threads do to the same place.
unsafe impl<T: Send> Send for Shared<T> {}
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn at(self, place: usize) -> *mut T {
        self.0.wrapping_add(place)
    }

    /// # Safety
    /// The range is within the memory, and nobody else has any of it.
    pub unsafe fn slice<'a>(self, range: Range<usize>) -> &'a mut [T] {
        // SAFETY: as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }
}

impl DenseLinear {
    /// `y[rows, out] = activation(x[rows, in] * W^T + bias)`
    ///
    /// Panics if `x` or `y` are not of that length.
    pub fn forward(&self, x: &[f32], rows: usize, y: &mut [f32], activation: Activation, pool: &Pool) {
        assert_eq!(x.len(), rows * self.in_features, "the input is [rows, in]");
        assert_eq!(y.len(), rows * self.out_features, "the output is [rows, out]");
        if y.is_empty() {
            return;
        }
        let gelu = activation == Activation::Gelu;
        let mut rounded = ROUNDED.take();
        match &self.weights {
            Weights::F32 { packed, isa, rounded: false } => self.f32(*isa, packed, x, y, gelu, pool),
            Weights::F32 { packed, isa, .. } => {
                rounded.f32.reserve(x.len());
                let rounded = &mut rounded.f32[..x.len()];
                rounded.iter_mut().zip(x).for_each(|(to, x)| *to = from_bf16(to_bf16(*x)));
                self.f32(*isa, packed, rounded, y, gelu, pool);
            }
            #[cfg(target_arch = "x86_64")]
            Weights::Bf16(packed) => self.bf16(packed, x, &mut rounded.bf16, y, gelu, pool),
        }
        ROUNDED.set(rounded);
    }

    fn f32(&self, isa: Isa, packed: &[f32], x: &[f32], y: &mut [f32], gelu: bool, pool: &Pool) {
        let out = Shared(y.as_mut_ptr());
        let cut = self.cut(y.len() / self.out_features, size_of::<f32>(), pool);
        pool.run(cut.parts(), &|part| {
            let (rows, panels) = cut.part(part);
            let part = Part { layer: self, x, packed, depth: self.in_features, y: out, gelu, rows };
            // SAFETY: no other part writes these rows of these panels, and all of them are there.
            unsafe { isa.run(InF32 { part, panels }) };
        });
    }

    #[cfg(target_arch = "x86_64")]
    fn bf16(&self, packed: &[u16], x: &[f32], rounded: &mut Aligned<u16>, y: &mut [f32], gelu: bool, pool: &Pool) {
        let rows = y.len() / self.out_features;
        let depth = self.form.depth(self.in_features);
        rounded.reserve(rows.next_multiple_of(self.form.rows()) * depth);
        round(x, [rows, self.in_features], depth, rounded, pool);
        let (out, rounded) = (Shared(y.as_mut_ptr()), &**rounded);
        let cut = self.cut(rows, size_of::<u16>(), pool);
        pool.run(cut.parts(), &|part| {
            let (rows, panels) = cut.part(part);
            let part = Part { layer: self, x: rounded, packed, depth, y: out, gelu, rows };
            // SAFETY: no other part writes these rows of these panels, and all of them are there;
            // the form was chosen for this processor.
            unsafe {
                if self.form == Form::Amx {
                    let tiles = super::amx::Tiles::new();
                    panels.for_each(|panel| super::amx::multiply(&tiles, &part.product(panel), &part.bias(panel)));
                } else {
                    panels.for_each(|panel| super::bf16::multiply(&part.product(panel), &part.bias(panel)));
                }
            }
        });
    }

    fn cut(&self, rows: usize, bytes: usize, pool: &Pool) -> Cut {
        let panels = self.bias.len() / self.form.columns();
        Cut::new(rows, self.form.rows(), self.in_features * bytes, panels, pool.threads())
    }
}

/// Some rows of a layer's output.
struct Part<'a, T> {
    layer: &'a DenseLinear,
    /// `[.., depth]`
    x: &'a [T],
    packed: &'a [T],
    depth: usize,
    y: Shared<f32>,
    gelu: bool,
    rows: Range<usize>,
}

impl<T> Part<'_, T> {
    fn product(&self, panel: usize) -> Product<T> {
        let (columns, out) = (self.layer.form.columns(), self.layer.out_features);
        Product {
            a: self.x[self.rows.start * self.depth..].as_ptr(),
            a_step: self.depth,
            rows: self.rows.len(),
            panel: self.packed[panel * columns * self.depth..].as_ptr(),
            depth: self.depth,
            c: self.y.at(self.rows.start * out + panel * columns),
            c_step: out,
            columns: columns.min(out - panel * columns),
        }
    }

    fn bias(&self, panel: usize) -> Bias {
        Bias { bias: self.layer.bias[panel * self.layer.form.columns()..].as_ptr(), gelu: self.gelu }
    }
}

struct InF32<'a> {
    part: Part<'a, f32>,
    panels: Range<usize>,
}

impl Op for InF32<'_> {
    #[inline(always)]
    unsafe fn run<V: Lane>(self) {
        for panel in self.panels {
            // SAFETY: as the caller promises.
            unsafe { tile::multiply::<V>(&self.part.product(panel), &self.part.bias(panel)) };
        }
    }
}

/// `x`, which is `[rows, width]`, to bf16, each row `depth` long, what is left of it zero.
#[cfg(target_arch = "x86_64")]
fn round(x: &[f32], [rows, width]: [usize; 2], depth: usize, to: &mut [u16], pool: &Pool) {
    let at_once = (ROUNDED_AT_ONCE / depth).max(1);
    let to = Shared(to.as_mut_ptr());
    pool.run(rows.div_ceil(at_once), &|part| {
        for row in part * at_once..rows.min((part + 1) * at_once) {
            // SAFETY: a row of its own, and the layer's form is one that this processor has.
            unsafe {
                super::bf16::round(&x[row * width..][..width], to.slice(row * depth..(row + 1) * depth));
            }
        }
    });
}
