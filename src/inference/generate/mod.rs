//! Everything of writing a text that is not the model: tokens, templates, choice, and the text itself.

mod constraint;
mod sampler;
mod stream;
mod template;
mod tokenizer;

pub use constraint::{Form, Forms};
pub use sampler::{Sampled, Sampler};
pub use stream::{Logprobs, TextStream, Told};
pub use template::Template;
pub use tokenizer::TokenText;
