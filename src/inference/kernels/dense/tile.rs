//! The product of some rows and a panel of columns, in `f32`.

use super::lane::{Lane, Op};
use super::math::gelu;

/// What is done with sums before they are stored.
pub trait Finish {
    /// `column` is the first of the panel's that `sums` holds.
    fn finish<V: Lane>(&self, row: usize, column: usize, sums: V) -> V;
}

/// `a[rows, depth]` times a panel `[depth, columns]`, to `c[rows, columns]`.
///
/// The panel is two lanes wide, whatever `columns` is, row after row. Rows of `a` and `c` are
/// `a_step` and `c_step` apart.
#[derive(Clone, Copy)]
pub struct Product<T> {
    pub a: *const T,
    pub a_step: usize,
    pub rows: usize,
    pub panel: *const T,
    pub depth: usize,
    pub c: *mut f32,
    pub c_step: usize,
    pub columns: usize,
}

/// # Safety
/// All that `product` says can be read and written, and the processor has what `V` needs.
#[inline(always)]
pub unsafe fn multiply<V: Lane>(product: &Product<f32>, finish: &impl Finish) {
    let tiles = product.rows.div_ceil(V::ROWS);
    for tile in 0..tiles {
        // As even as they can be: a tile of one row costs nearly what a whole one does.
        let (from, to) = (product.rows * tile / tiles, product.rows * (tile + 1) / tiles);
        macro_rules! of_rows {
            ($($rows:literal)*) => {
                match to - from {
                    // SAFETY: as the caller promises; the rows are there.
                    $($rows if $rows <= V::ROWS => unsafe {
                        V::run(Tile::<_, $rows> { product, first: from, finish });
                    },)*
                    _ => {}
                }
            };
        }
        of_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}

/// `R` rows of the product, from `first` on.
struct Tile<'a, F, const R: usize> {
    product: &'a Product<f32>,
    first: usize,
    finish: &'a F,
}

impl<F: Finish, const R: usize> Op for Tile<'_, F, R> {
    #[inline(always)]
    unsafe fn run<V: Lane>(self) {
        let &Product { a, a_step, panel, depth, c, c_step, columns, .. } = self.product;
        // SAFETY: `R` rows of `a` from `first` on and `depth` of the panel can be read, and
        // `columns` of `R` rows of `c` written.
        unsafe {
            let a = a.add(self.first * a_step);
            let mut sums = [[V::splat(0.0); 2]; R];
            for p in 0..depth {
                let weights = [V::load(panel.add(p * 2 * V::WIDTH)), V::load(panel.add((p * 2 + 1) * V::WIDTH))];
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = V::splat(*a.add(r * a_step + p));
                    *sums = [x.mul_add(weights[0], sums[0]), x.mul_add(weights[1], sums[1])];
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                let row = self.first + r;
                store(sums, c.add(row * c_step), columns, row, self.finish);
            }
        }
    }
}

/// Two lanes of sums to `columns` places at `c`.
///
/// # Safety
/// They can be written, and the processor has what `V` needs.
#[inline(always)]
pub unsafe fn store<V: Lane>(sums: [V; 2], c: *mut f32, columns: usize, row: usize, finish: &impl Finish) {
    let [low, high] = [finish.finish(row, 0, sums[0]), finish.finish(row, V::WIDTH, sums[1])];
    // SAFETY: `columns` can be written, which are at most two lanes.
    unsafe {
        if columns == 2 * V::WIDTH {
            low.store(c);
            high.store(c.add(V::WIDTH));
        } else {
            let mut both = [0.0_f32; 32];
            low.store(both.as_mut_ptr());
            high.store(both.as_mut_ptr().add(V::WIDTH));
            c.copy_from_nonoverlapping(both.as_ptr(), columns);
        }
    }
}

/// The bias of a panel's columns, and then perhaps GELU.
pub struct Bias {
    /// As many as the panel is wide.
    pub bias: *const f32,
    pub gelu: bool,
}

impl Finish for Bias {
    #[inline(always)]
    fn finish<V: Lane>(&self, _row: usize, column: usize, sums: V) -> V {
        // SAFETY: there is a bias for each column, and `sums` exists.
        let sums = sums.add(unsafe { V::load(self.bias.add(column)) });
        if self.gelu { gelu(sums) } else { sums }
    }
}
