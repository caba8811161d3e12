//! What takes the time of a model on the CPU, written for it: see each file.
//!
//! Each kernel has a portable form, and faster ones for what the processor is found to have when
//! it runs; tests hold each against the plain computation.

pub mod decoder;
pub mod dense;
pub mod encoder;
pub mod memory;
pub mod pool;
pub mod quant;
