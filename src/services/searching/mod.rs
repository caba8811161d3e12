//! Finding what answers a question.
//!
//! PLACEHOLDER for the retrieval that is written elsewhere: only its interface counts.

pub mod passages;
