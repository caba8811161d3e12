//! How the work of a layer is cut into parts.

use std::ops::Range;

/// What of the input a part reads again for each panel; it is to stay in the second cache.
const BLOCK_BYTES: usize = 512 * 1024;
/// Parts for each thread, that all may finish at about the same time.
const PARTS: usize = 4;

/// Blocks of rows, and groups of panels.
pub struct Cut {
    rows: usize,
    /// Rows are cut only where a tile ends.
    tile: usize,
    blocks: usize,
    panels: usize,
    groups: usize,
}

impl Cut {
    pub fn new(rows: usize, tile: usize, row_bytes: usize, panels: usize, threads: usize) -> Self {
        let tiles = rows.div_ceil(tile);
        let in_block = (BLOCK_BYTES / (tile * row_bytes).max(1)).max(1);
        let wanted = if threads > 1 { threads * PARTS } else { 1 };
        // Few columns and many threads: smaller blocks, for there is nothing else to cut.
        let blocks = tiles.div_ceil(in_block).max(wanted / panels.max(1)).min(tiles).max(1);
        Self { rows, tile, blocks, panels, groups: wanted.div_ceil(blocks).min(panels) }
    }

    pub fn parts(&self) -> usize {
        self.blocks * self.groups
    }

    /// The rows and the panels of a part.
    pub fn part(&self, part: usize) -> (Range<usize>, Range<usize>) {
        let (block, group) = (part / self.groups, part % self.groups);
        let tiles = self.rows.div_ceil(self.tile);
        let row = |block: usize| (tiles * block / self.blocks * self.tile).min(self.rows);
        let panel = |group: usize| self.panels * group / self.groups;
        (row(block)..row(block + 1), panel(group)..panel(group + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_in_one_part() {
        for (rows, tile, row_bytes, panels, threads) in [
            (1, 14, 1536, 12, 2),
            (13, 14, 6144, 1, 2),
            (100, 32, 768, 36, 1),
            (1000, 6, 3072, 48, 16),
            (8192, 14, 6144, 12, 2),
            (33, 4, 4, 2, 64),
        ] {
            let cut = Cut::new(rows, tile, row_bytes, panels, threads);
            let mut times = vec![0; rows * panels];
            for part in 0..cut.parts() {
                let (rows, of) = cut.part(part);
                for row in rows {
                    of.clone().for_each(|panel| times[row * panels + panel] += 1);
                }
            }
            assert!(times.iter().all(|n| *n == 1), "{rows} rows and {panels} panels, each in one part");
        }
    }
}
