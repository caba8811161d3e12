//! Decoders of the Llama family: tokens to what may come next.
//!
//! A step takes new tokens of several sequences at once: the weights are read once for all of them.
//! On the CPU the kernels compute it, elsewhere candle's own operations.

mod cache;
mod config;
mod cpu;
mod files;
mod gguf;
mod safetensors;
mod tensors;
mod weights;

pub use cache::Sequence;
pub use config::Config;
use cpu::OnCpu;
pub use files::Files;
pub use gguf::Gguf;
pub use safetensors::Safetensors;
use tensors::OnDevice;
use weights::{Kept, On, Source};

use super::device::Compute;
use super::encoder::LoadError;
use super::kernels::quant::QuantLinear;
use super::laid_out::LaidOut;

/// New tokens of one sequence. The last one's logits are wanted.
pub struct Step<'a> {
    pub sequence: &'a mut Sequence,
    pub tokens: &'a [u32],
}

/// A decoder with its weights.
pub struct Decoder {
    pub config: Config,
    embeddings: QuantLinear,
    layers: Layers,
}

enum Layers {
    OnCpu(OnCpu),
    OnDevice(OnDevice),
}

impl Decoder {
    /// `context`: most tokens of a sequence, prompt and answer together.
    ///
    /// Errors: what is missing in the files, or not supported.
    pub fn load(files: &Files, context: usize, compute: &Compute, laid_out: &LaidOut) -> Result<Self, LoadError> {
        let source: &dyn Source = &Kept { source: files.weights(), laid_out };
        let mut config = files.config()?;
        config.context = config.context.min(context);
        let sizes = [source.rows("token_embd.weight")?, config.hidden];
        if sizes[0] == 0 {
            return Err(LoadError::Unsupported("a decoder without tokens".to_owned()));
        }
        let embeddings = source.matrix("token_embd.weight", sizes)?;
        let layers = match compute {
            Compute::Kernels(pool) => Layers::OnCpu(OnCpu::load(source, &config, sizes, pool)?),
            Compute::Tensors { device, dtype } => {
                let on = On { device, dtype: *dtype };
                Layers::OnDevice(OnDevice::load(source, &config, sizes, on)?)
            }
        };
        Ok(Self { config, embeddings, layers })
    }

    /// A sequence without tokens.
    pub fn sequence(&self) -> Sequence {
        match self.layers {
            Layers::OnCpu(_) => Sequence::new(&self.config, self.config.context),
            Layers::OnDevice(_) => Sequence::on_device(&self.config, self.config.context),
        }
    }

    pub fn vocabulary(&self) -> usize {
        self.embeddings.out_features()
    }

    /// Reads the new tokens, and gives the logits `[vocabulary]` after the last one of each step.
    ///
    /// Panics if a sequence has no room for its tokens, which whoever makes the steps looks after.
    pub fn forward(&self, steps: &mut [Step<'_>]) -> candle_core::Result<Vec<Vec<f32>>> {
        let hidden = self.config.hidden;
        let places = places(steps);
        let mut x = vec![0.0; places.len() * hidden];
        for (place, row) in places.iter().zip(x.chunks_exact_mut(hidden)) {
            // A token that the model does not have is none that its tokenizer gives.
            self.embeddings.row((place.token as usize).min(self.vocabulary() - 1), row);
            if self.config.scale != 1.0 {
                row.iter_mut().for_each(|x| *x *= self.config.scale);
            }
        }
        let logits = match &self.layers {
            Layers::OnCpu(layers) => layers.forward(&self.config, &self.embeddings, steps, &places, x),
            Layers::OnDevice(layers) => layers.forward(&self.config, steps, x)?,
        };
        for step in steps.iter_mut() {
            step.sequence.tokens.extend_from_slice(step.tokens);
        }
        Ok(logits)
    }
}

/// A row of a step: which token, at which position of which sequence.
struct Place {
    step: usize,
    position: usize,
    token: u32,
}

fn places(steps: &[Step<'_>]) -> Vec<Place> {
    let of = |(step, told): (usize, &Step<'_>)| {
        let before = told.sequence.tokens.len();
        assert!(!told.tokens.is_empty() && told.tokens.len() <= told.sequence.room(), "the sequence has room");
        let place = move |(n, token): (usize, &u32)| Place { step, position: before + n, token: *token };
        told.tokens.iter().enumerate().map(place).collect::<Vec<_>>()
    };
    steps.iter().enumerate().flat_map(of).collect()
}
