//! What a BERT encoder does beside its linear layers.

mod attention;
mod norm;
#[cfg(test)]
mod tests;

pub use attention::attention;
pub use norm::{add_layer_norm, mean_pool};
