//! Linear layers with quantised weights.
//!
//! Weights are packed once ([`QuantLinear::from_ggml`]) into tiles that the kernels read in order;
//! the input is quantised to 8 bits, with a scale for 32 values, so that both are multiplied as
//! integers. One row of input is bound by memory, many by arithmetic: a tile is used for up to 8
//! rows while it is in registers. To add a type of weights: its line in `pack.rs`. To add a kernel:
//! a file with `run`, and its place in `Isa`.

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod layout;
mod pack;
mod portable;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::OnceLock;

use candle_core::quantized::GgmlDType;
use memmap2::Mmap;

pub use pack::PackError;

use self::activations::{Activations, Block};
use self::layout::{Eight, Five, Four, INS, Kind, OUTS, ROWS, Six};
use self::pack::Tiles;
use super::memory::Kept;
use super::pool::Pool;

/// Parts for each thread: the fewer, the longer the runs of memory; the more, the closer to one
/// another the threads finish.
const PARTS: usize = 4;

/// Groups of rows that are multiplied with all tiles of a part before the next ones, so that they
/// stay in the cache.
const GROUPS: usize = 8;

/// A matrix of quantised weights, `[out, in]`, laid out for this machine's kernels.
pub struct QuantLinear {
    tiles: Tiles,
    out_features: usize,
    in_features: usize,
}

impl QuantLinear {
    /// `data`: GGML blocks of `dtype`, row by row, as in a GGUF file.
    ///
    /// F16, BF16 and F32 are rounded to 8 bits with a scale for 32 weights. Errors: a type without
    /// kernel; `in_features` not a multiple of the type's block; not as many bytes as the shape has.
    pub fn from_ggml(
        dtype: GgmlDType,
        data: &[u8],
        out_features: usize,
        in_features: usize,
    ) -> Result<Self, PackError> {
        let tiles = Tiles::pack(dtype, data, out_features, in_features)?;
        Ok(Self { tiles, out_features, in_features })
    }

    pub fn out_features(&self) -> usize {
        self.out_features
    }

    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Of memory, which is what one row of input has to read.
    pub fn bytes(&self) -> usize {
        self.tiles.bytes().len()
    }

    /// `y[rows, out] = x[rows, in] * W^T`. What is not finite in a row of `x` makes its row of `y`
    /// NaN. Panics if the lengths are not these shapes.
    pub fn forward(&self, x: &[f32], rows: usize, y: &mut [f32], pool: &Pool) {
        Self::forward_many(&[self], x, rows, &mut [y], pool);
    }

    /// As [`Self::forward`], for several matrices over the same input: `ys[i]` is `[rows, out]` of
    /// `layers[i]`. Faster than one after the other.
    pub fn forward_many(layers: &[&Self], x: &[f32], rows: usize, ys: &mut [&mut [f32]], pool: &Pool) {
        forward(Isa::best(), layers, x, rows, ys, pool);
    }

    /// Row `index` as f32, to `out[in]`. Panics if there is no such row, or `out` has another length.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        assert!(index < self.out_features, "row {index} of a matrix of {}", self.out_features);
        assert_eq!(out.len(), self.in_features, "the length of a row");
        let tiles = self.tiles.row(index / OUTS).chunks_exact(self.tiles.kind.tile_bytes());
        let factor = self.tiles.factors[index / OUTS];
        for (out, tile) in out.as_chunks_mut::<INS>().0.iter_mut().zip(tiles) {
            let weights = match self.tiles.kind {
                Kind::Four => layout::read::<Four>(tile, index % OUTS),
                Kind::Five => layout::read::<Five>(tile, index % OUTS),
                Kind::Six => layout::read::<Six>(tile, index % OUTS),
                Kind::Eight => layout::read::<Eight>(tile, index % OUTS),
            };
            *out = weights.map(|weight| weight * factor);
        }
    }

    /// The outputs of some rows of tiles for some groups of rows of the input.
    fn tile_rows(&self, isa: Isa, tile_rows: Range<usize>, x: &Activations, groups: Range<usize>, y: &Output) {
        for tile_row in tile_rows {
            let (tiles, factor) = (self.tiles.row(tile_row), self.tiles.factors[tile_row]);
            let columns = OUTS.min(self.out_features - tile_row * OUTS);
            for group in groups.clone() {
                let (blocks, rows) = x.group(group);
                let mut sums = [[0.0; OUTS]; ROWS];
                isa.run(self.tiles.kind, tiles, blocks, &mut sums[..rows]);
                for (row, sums) in sums[..rows].iter_mut().enumerate() {
                    sums.iter_mut().for_each(|sum| *sum *= factor);
                    y.write((group * ROWS + row) * self.out_features + tile_row * OUTS, &sums[..columns]);
                }
            }
        }
    }
}

/// Its head is its kind and the factors.
impl Kept for QuantLinear {
    fn layout() -> String {
        "tiles".to_owned()
    }

    fn head(&self) -> Vec<u8> {
        self.tiles.head()
    }

    fn weights(&self) -> &[u8] {
        self.tiles.bytes()
    }

    fn from_kept([out_features, in_features]: [usize; 2], head: &[u8], weights: Mmap) -> Option<Self> {
        let tiles = Tiles::from_kept([out_features, in_features], head, weights)?;
        Some(Self { tiles, out_features, in_features })
    }
}

/// The instructions that a kernel is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// Those of this machine, the best first.
    fn available() -> Vec<Self> {
        let mut isas = vec![];
        #[cfg(target_arch = "x86_64")]
        {
            isas.extend(avx512::is_available().then_some(Self::Avx512));
            isas.extend(avx2::is_available().then_some(Self::Avx2));
        }
        isas.push(Self::Portable);
        isas
    }

    fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    fn run(self, kind: Kind, tiles: &[u8], x: &[Block], out: &mut [[f32; OUTS]]) {
        match self {
            Self::Portable => portable::run(kind, tiles, x, out),
            // SAFETY: `available` has it only where the processor does.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::run(kind, tiles, x, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512::run(kind, tiles, x, out) },
        }
    }
}

/// An output that several threads write, each its own columns.
struct Output<'a> {
    to: *mut f32,
    len: usize,
    of: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: the parts of an operation write different columns, and nobody reads before all are done.
unsafe impl Sync for Output<'_> {}

impl Output<'_> {
    fn write(&self, at: usize, values: &[f32]) {
        assert!(at + values.len() <= self.len, "inside of the output");
        // SAFETY: inside of the slice this was made of; no two parts write the same place.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.to.add(at), values.len()) };
    }
}

fn forward(isa: Isa, layers: &[&QuantLinear], x: &[f32], rows: usize, ys: &mut [&mut [f32]], pool: &Pool) {
    assert_eq!(layers.len(), ys.len(), "an output for each matrix");
    for (layer, y) in layers.iter().zip(ys.iter()) {
        assert_eq!(x.len(), rows * layer.in_features, "the length of the input");
        assert_eq!(y.len(), rows * layer.out_features, "the length of the output");
    }
    if rows == 0 {
        return;
    }
    let x = Activations::new(x, rows, pool);
    let of = std::marker::PhantomData;
    let ys: Vec<_> = ys.iter_mut().map(|y| Output { to: y.as_mut_ptr(), len: y.len(), of }).collect();
    let total: usize = layers.iter().map(|layer| layer.tiles.factors.len()).sum();
    let parts = total.min(if pool.threads() == 1 { 1 } else { PARTS * pool.threads() });
    pool.run(parts, &|part| {
        let range = total * part / parts..total * (part + 1) / parts;
        for groups in (0..x.groups()).step_by(GROUPS) {
            let groups = groups..x.groups().min(groups + GROUPS);
            let mut first = 0;
            for (layer, y) in layers.iter().zip(&ys) {
                let count = layer.tiles.factors.len();
                let own =
                    range.start.clamp(first, first + count) - first..range.end.clamp(first, first + count) - first;
                layer.tile_rows(isa, own, &x, groups.clone(), y);
                first += count;
            }
        }
    });
}
