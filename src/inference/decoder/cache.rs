//! The keys and values of what was read, so that each token is computed once.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::config::Config;

/// Positions that there is room for at first.
const FIRST_ROOM: usize = 256;

/// Keys and values of one sequence, of all layers. Their room is doubled as the sequence grows: were
/// that of the whole context set aside at once, the first token would touch a page of memory for each
/// head of each layer, and where pages are large that is all of it.
pub struct Sequence {
    /// `[layer][kv head][position][head dim]`, keys and values apart.
    keys: Vec<f32>,
    values: Vec<f32>,
    kv_heads: usize,
    head_dim: usize,
    layers: usize,
    /// Positions that there is room for.
    positions: usize,
    /// Most positions.
    context: usize,
    /// Of each layer, where candle computes: `[kv head, position, head dim]`.
    on_device: Vec<Option<[Tensor; 2]>>,
    /// The tokens whose keys and values are here.
    pub tokens: Vec<u32>,
}

impl Sequence {
    pub fn new(config: &Config, context: usize) -> Self {
        let Config { layers, kv_heads, head_dim, .. } = *config;
        Self { layers, kv_heads, head_dim, context, ..Self::empty() }
    }

    /// One whose keys and values are not in this machine's memory.
    pub fn on_device(config: &Config, context: usize) -> Self {
        Self { context, on_device: vec![None; config.layers], ..Self::empty() }
    }

    /// One without any room.
    pub fn empty() -> Self {
        let (keys, values, on_device, tokens) = Default::default();
        Self { keys, values, kv_heads: 0, head_dim: 0, layers: 0, positions: 0, context: 0, on_device, tokens }
    }

    pub fn is_empty_handed(&self) -> bool {
        self.context == 0
    }

    /// Positions that are still free.
    pub fn room(&self) -> usize {
        self.context - self.tokens.len()
    }

    /// Forgets what comes after the first `length` tokens.
    pub fn cut(&mut self, length: usize) {
        self.tokens.truncate(length);
    }

    /// Puts down the key and the value, each `[kv heads, head dim]`, of a position in a layer.
    pub(super) fn put(&mut self, layer: usize, position: usize, key: &[f32], value: &[f32]) {
        if position >= self.positions {
            self.grow(position + 1);
        }
        let width = self.head_dim;
        for head in 0..self.kv_heads {
            let at = self.at(layer, head) + position * width;
            let of = head * width..(head + 1) * width;
            self.keys[at..at + width].copy_from_slice(&key[of.clone()]);
            self.values[at..at + width].copy_from_slice(&value[of]);
        }
    }

    /// Puts down keys and values that follow the first `before` positions, and gives all of them.
    pub(super) fn append(&mut self, layer: usize, before: usize, new: [Tensor; 2]) -> Result<[Tensor; 2]> {
        let all = match self.on_device[layer].take().filter(|_| before > 0) {
            Some([keys, values]) => {
                let follow = |old: Tensor, new: &Tensor| Tensor::cat(&[&old.narrow(1, 0, before)?, new], 1);
                [follow(keys, &new[0])?, follow(values, &new[1])?]
            }
            None => new,
        };
        self.on_device[layer] = Some(all.clone());
        Ok(all)
    }

    /// Keys and values of some positions, each `[positions, head dim]`.
    pub(super) fn of(&self, layer: usize, head: usize, positions: Range<usize>) -> (&[f32], &[f32]) {
        let at = self.at(layer, head);
        let of = at + positions.start * self.head_dim..at + positions.end * self.head_dim;
        (&self.keys[of.clone()], &self.values[of])
    }

    fn at(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * self.positions * self.head_dim
    }

    /// Makes room for so many positions, and as many more. What is there moves.
    fn grow(&mut self, positions: usize) {
        let positions = positions.next_power_of_two().max(FIRST_ROOM).min(self.context);
        let (before, after) = (self.positions * self.head_dim, positions * self.head_dim);
        for all in [&mut self.keys, &mut self.values] {
            let mut grown = vec![0.0; self.layers * self.kv_heads * after];
            if before > 0 {
                let heads = all.chunks_exact(before).zip(grown.chunks_exact_mut(after));
                heads.for_each(|(head, grown)| grown[..before].copy_from_slice(head));
            }
            *all = grown;
        }
        self.positions = positions;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_stay_where_they_belong_while_the_room_grows() {
        let sizes = Sequence { layers: 2, kv_heads: 3, head_dim: 4, context: 1000, ..Sequence::empty() };
        let mut sequence = sizes;
        let row = |layer: usize, position: usize, of: f32| -> Vec<f32> {
            (0..12).map(|n| of + (layer * 100_000 + position * 100 + n) as f32).collect()
        };
        for position in 0..1000 {
            for layer in 0..2 {
                sequence.put(layer, position, &row(layer, position, 0.0), &row(layer, position, 0.5));
            }
            assert!(sequence.positions <= FIRST_ROOM.max(2 * position).min(1000), "{position}: {}", sequence.positions);
        }
        for layer in 0..2 {
            for head in 0..3 {
                let (keys, values) = sequence.of(layer, head, 0..1000);
                for position in 0..1000 {
                    let of = |row: Vec<f32>| row[4 * head..4 * head + 4].to_vec();
                    assert_eq!(keys[4 * position..][..4], of(row(layer, position, 0.0)), "{layer} {head} {position}");
                    assert_eq!(values[4 * position..][..4], of(row(layer, position, 0.5)), "{layer} {head} {position}");
                }
            }
        }
    }
}
