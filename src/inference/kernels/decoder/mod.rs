//! What a decoder of the Llama family does beside its linear layers, in f32.

mod attention;
mod rows;
#[cfg(test)]
mod tests;

pub use attention::{Past, attention};
pub use rows::{Gate, Turns, add, gate, rms_norm, rope};
