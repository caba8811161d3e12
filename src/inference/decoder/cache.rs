//! The keys and values of what was read, so that each token is computed once.

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
            tokens: Vec::with_capacity(context),
        }
    }

    /// One without any room.
    pub fn empty() -> Self {
        Self { keys: Vec::new(), values: Vec::new(), kv_heads: 0, head_dim: 0, context: 0, tokens: Vec::new() }
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

    /// Keys and values of the first `length` positions, each `[length, head dim]`.
    pub(super) fn of(&self, layer: usize, head: usize, length: usize) -> (&[f32], &[f32]) {
        let at = self.at(layer, head);
        let of = at..at + length * self.head_dim;
        (&self.keys[of.clone()], &self.values[of])
    }

    fn at(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * self.context * self.head_dim
    }
}
