//! The keys and values of what was read, so that each token is computed once.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::config::Config;

/// Keys and values of one sequence, of all layers. Room for the whole context is set aside at once;
/// the system gives memory where it is first written.
pub struct Sequence {
    /// `[layer][kv head][position][head dim]`, keys and values apart.
    keys: Vec<f32>,
    values: Vec<f32>,
    kv_heads: usize,
    head_dim: usize,
    context: usize,
    /// Of each layer, where candle computes: `[kv head, position, head dim]`.
    on_device: Vec<Option<[Tensor; 2]>>,
    /// The tokens whose keys and values are here.
    pub tokens: Vec<u32>,
}

impl Sequence {
    pub fn new(config: &Config, context: usize) -> Self {
        let numbers = config.layers * config.kv_heads * context * config.head_dim;
        Self {
            keys: vec![0.0; numbers],
            values: vec![0.0; numbers],
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            context,
            on_device: Vec::new(),
            tokens: Vec::with_capacity(context),
        }
    }

    /// One whose keys and values are not in this machine's memory.
    pub fn on_device(config: &Config, context: usize) -> Self {
        Self { context, on_device: vec![None; config.layers], ..Self::empty() }
    }

    /// One without any room.
    pub fn empty() -> Self {
        let (keys, values, on_device, tokens) = Default::default();
        Self { keys, values, kv_heads: 0, head_dim: 0, context: 0, on_device, tokens }
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
        (layer * self.kv_heads + head) * self.context * self.head_dim
    }
}
