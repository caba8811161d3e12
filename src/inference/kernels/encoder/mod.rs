//! What a BERT encoder does beside its linear layers.

mod attention;
mod norm;

pub use attention::attention;
pub use norm::{add_layer_norm, mean_pool};
