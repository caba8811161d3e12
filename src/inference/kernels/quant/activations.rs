//! The input of a layer in 8 bits.

use super::super::pool::Pool;
use super::layout::{INS, ROWS};

/// 32 values of a row: `scale * codes`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Block {
    pub codes: [[i8; 4]; INS / 4],
    /// Of the codes of each half.
    pub sums: [i32; 2],
    /// NaN where a value was not finite.
    pub scale: f32,
    /// Of the values: the scale times the sums.
    pub sum: f32,
}

/// Rows in 8 bits, with a scale for 32 values.
///
/// Rows go in groups of [`ROWS`], the last one smaller; in a group the blocks of all its rows lie
/// side by side: `[group][block][row of the group]`.
pub struct Activations {
    blocks: Vec<Block>,
    rows: usize,
    row_blocks: usize,
}

/// Values below which quantising them would be work for one thread.
const ALONE: usize = 16 * 1024;

impl Activations {
    /// `x`: `[rows, width]`, the width a multiple of 32.
    pub fn new(x: &[f32], rows: usize, pool: &Pool) -> Self {
        let row_blocks = x.len() / INS / rows.max(1);
        let mut this = Self { blocks: vec![Block::default(); rows * row_blocks], rows, row_blocks };
        let groups = this.blocks.chunks_mut((ROWS * row_blocks).max(1)).zip(x.chunks((ROWS * row_blocks * INS).max(1)));
        if x.len() < ALONE || pool.threads() == 1 {
            groups.for_each(|(blocks, x)| quantise_group(blocks, x, row_blocks));
        } else {
            let groups: Vec<_> = groups.map(std::sync::Mutex::new).collect();
            pool.run(groups.len(), &|group| {
                // Nobody else takes this group, so that the lock is free and whole.
                if let Ok(mut group) = groups[group].lock() {
                    let (blocks, x) = &mut *group;
                    quantise_group(blocks, x, row_blocks);
                }
            });
        }
        this
    }

    pub fn groups(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// The blocks of a group, and how many rows it has.
    pub fn group(&self, group: usize) -> (&[Block], usize) {
        let rows = ROWS.min(self.rows - group * ROWS);
        (&self.blocks[group * ROWS * self.row_blocks..][..rows * self.row_blocks], rows)
    }
}

fn quantise_group(blocks: &mut [Block], x: &[f32], row_blocks: usize) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { quantise_group_avx2(blocks, x, row_blocks) };
    }
    quantise_group_portable(blocks, x, row_blocks);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn quantise_group_avx2(blocks: &mut [Block], x: &[f32], row_blocks: usize) {
    quantise_group_portable(blocks, x, row_blocks);
}

#[inline(always)]
fn quantise_group_portable(blocks: &mut [Block], x: &[f32], row_blocks: usize) {
    let rows = blocks.len() / row_blocks;
    let (values, _) = x.as_chunks::<INS>();
    for (index, values) in values.iter().enumerate() {
        blocks[index % row_blocks * rows + index / row_blocks] = quantise(values);
    }
}

#[inline(always)]
fn quantise(values: &[f32; INS]) -> Block {
    // The bits of absolute values are in their order, with infinity and NaN above all others.
    let mut most = [0_u32; 8];
    for eight in values.as_chunks::<8>().0 {
        for (most, value) in most.iter_mut().zip(eight) {
            *most = (*most).max(value.to_bits() & 0x7fff_ffff);
        }
    }
    let most = f32::from_bits(most.into_iter().fold(0, u32::max));
    if !most.is_finite() {
        return Block { scale: f32::NAN, sum: f32::NAN, ..Block::default() };
    }
    // Below this the inverse would leave the range of f32.
    if most < 1e-30 {
        return Block::default();
    }
    let (scale, inverse) = (most / 127.0, 127.0 / most);
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
    const SHIFT: f32 = 12_582_912.0;
    let mut codes = [0_i32; INS];
    for (code, value) in codes.iter_mut().zip(values) {
        *code = (value * inverse + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32;
    }
    let sums = [codes[..INS / 2].iter().sum::<i32>(), codes[INS / 2..].iter().sum()];
    let mut block = Block { sums, scale, sum: scale * (sums[0] + sums[1]) as f32, ..Block::default() };
    for (to, code) in block.codes.as_flattened_mut().iter_mut().zip(codes) {
        *to = code as i8;
    }
    block
}
