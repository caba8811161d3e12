//! BERT (Devlin et al. 2018), the encoder of MiniLM and of multilingual-e5, and XLM-RoBERTa (Conneau
//! et al. 2020), which has the same layers, counts its positions from further on, and knows one type.
//!
//! Sequences lie one after another without padding, so that a batch costs what its texts cost, and
//! a vector does not depend on what else was in the batch.

use candle_core::{Device, Tensor};
use serde::Deserialize;

use super::LoadError;
use super::ops::{self, Linear, Norm};
use super::tensors::{Matrix, Tensors};
use crate::inference::{Compute, LaidOut};

/// The sizes of an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub inner: usize,
    pub vocabulary: usize,
    pub positions: usize,
    /// The row of the positions that a text's first token has.
    pub first_position: usize,
    pub epsilon: f32,
}

/// What is read of a `config.json`.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    #[serde(default)]
    position_embedding_type: Option<String>,
    /// Of XLM-RoBERTa: its positions begin after it.
    #[serde(default)]
    pad_token_id: Option<usize>,
}

impl Shape {
    /// The sizes that the `config.json` of a model of this architecture tells.
    ///
    /// Errors: another architecture, by its name.
    pub fn of_config(json: &str, architecture: &str) -> Result<Self, LoadError> {
        let config: Config = serde_json::from_str(json)
            .map_err(|error| LoadError::File { file: "config.json".to_owned(), wrong: error.to_string() })?;
        let absolute = config.position_embedding_type.as_deref().is_none_or(|kind| kind == "absolute");
        if config.model_type != architecture || config.hidden_act != "gelu" || !absolute {
            return Err(LoadError::Unsupported(format!(
                "a {} encoder with {} and {} positions; of this entry {architecture} with gelu and absolute positions is",
                config.model_type,
                config.hidden_act,
                config.position_embedding_type.as_deref().unwrap_or("absolute")
            )));
        }
        let first_position = match architecture {
            "xlm-roberta" => config.pad_token_id.unwrap_or(1).saturating_add(1),
            _ => 0,
        };
        Ok(Self {
            hidden: config.hidden_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            inner: config.intermediate_size,
            vocabulary: config.vocab_size,
            positions: config.max_position_embeddings,
            first_position,
            epsilon: config.layer_norm_eps,
        })
    }
}

/// Tokens of one text: `ids` and `types`, which tell the second text of a pair from the first, are
/// of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub ids: Vec<u32>,
    pub types: Vec<u32>,
}

/// The encoder's weights.
pub struct Bert {
    pub shape: Shape,
    tensors: Tensors,
    words: Matrix,
    positions: Matrix,
    types: Matrix,
    norm: Norm,
    layers: Vec<Layer>,
    compute: Compute,
}

struct Layer {
    qkv: Linear,
    attended: Linear,
    attended_norm: Norm,
    inner: Linear,
    outer: Linear,
    outer_norm: Norm,
}

impl Bert {
    /// `prefix` is what the names of the tensors begin with, such as `bert.`.
    pub fn load(
        tensors: Tensors,
        prefix: &str,
        shape: Shape,
        compute: &Compute,
        laid_out: &LaidOut,
    ) -> Result<Self, LoadError> {
        let fits = shape.heads > 0 && shape.hidden.is_multiple_of(shape.heads.max(1)) && shape.layers <= 1000;
        if !fits {
            return Err(LoadError::Unsupported(format!("an encoder of {shape:?}")));
        }
        let embedding = |name: &str| tensors.matrix(&format!("{prefix}embeddings.{name}.weight"));
        let (words, positions) = (embedding("word_embeddings")?, embedding("position_embeddings")?);
        let types = embedding("token_type_embeddings")?;
        let from = Loading { tensors: &tensors, shape: &shape, compute, laid_out };
        let norm = from.norm(&format!("{prefix}embeddings.LayerNorm"))?;
        let layers =
            (0..shape.layers).map(|n| from.layer(&format!("{prefix}encoder.layer.{n}"))).collect::<Result<_, _>>()?;
        Ok(Self { words, positions, types, norm, layers, compute: compute.clone(), tensors, shape })
    }

    /// A layer on top of the encoder.
    pub fn linear(&self, name: &str, sizes: [usize; 2], laid_out: &LaidOut) -> Result<Linear, LoadError> {
        let Self { tensors, shape, compute, .. } = self;
        Loading { tensors, shape, compute, laid_out }.linear(name, sizes, ops::Activation::None)
    }

    /// A tensor of what is on top of the encoder.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        self.tensors.read(name, shape)
    }

    /// The last layer's vectors of all tokens, `[tokens, hidden]`; text `n` has the rows from
    /// `starts[n]` up to `starts[n + 1]`.
    pub fn forward(&self, texts: &[&Tokens], starts: &[usize]) -> candle_core::Result<Tensor> {
        let mut x = ops::add_layer_norm(&self.embed(texts)?, None, &self.norm)?;
        let scale = 1.0 / ((self.shape.hidden / self.shape.heads) as f32).sqrt();
        for layer in &self.layers {
            let attended = ops::attention(&layer.qkv.forward(&x)?, starts, self.shape.heads, scale, &self.compute)?;
            x = ops::add_layer_norm(&layer.attended.forward(&attended)?, Some(&x), &layer.attended_norm)?;
            let inner = layer.inner.forward(&x)?;
            x = ops::add_layer_norm(&layer.outer.forward(&inner)?, Some(&x), &layer.outer_norm)?;
        }
        Ok(x)
    }

    /// Word, position and type, added up.
    fn embed(&self, texts: &[&Tokens]) -> candle_core::Result<Tensor> {
        let (rows, width) = (texts.iter().map(|text| text.ids.len()).sum::<usize>(), self.shape.hidden);
        let mut x = vec![0.0; rows * width];
        let tokens = texts.iter().flat_map(|text| text.ids.iter().zip(&text.types).enumerate());
        for (out, (position, (id, kind))) in x.chunks_exact_mut(width).zip(tokens) {
            self.tensors.add_row(&self.words, *id as usize, out);
            self.tensors.add_row(&self.positions, self.shape.first_position + position, out);
            // Where there is one type, both texts of a pair have it.
            self.tensors.add_row(&self.types, (*kind as usize).min(self.types.height.saturating_sub(1)), out);
        }
        let device = match &self.compute {
            Compute::Kernels(_) => &Device::Cpu,
            Compute::Tensors { device, .. } => device,
        };
        Tensor::from_vec(x, (rows, width), device)
    }
}

/// Where a model is read from, and for what.
pub(super) struct Loading<'a> {
    pub tensors: &'a Tensors,
    pub shape: &'a Shape,
    pub compute: &'a Compute,
    pub laid_out: &'a LaidOut,
}

impl Loading<'_> {
    fn layer(&self, name: &str) -> Result<Layer, LoadError> {
        let (hidden, inner) = (self.shape.hidden, self.shape.inner);
        let attention = |part: &str| format!("{name}.attention.self.{part}");
        let parts = ["query", "key", "value"].map(attention);
        let all = |kind: &str, shape: &[usize]| -> Result<Vec<f32>, LoadError> {
            let read = |part| self.tensors.read(&format!("{part}.{kind}"), shape);
            Ok(parts.iter().map(read).collect::<Result<Vec<_>, _>>()?.concat())
        };
        let read = || Ok((all("weight", &[hidden, hidden])?, all("bias", &[hidden])?));
        let qkv = Linear::new(&attention("qkv"), read, [3 * hidden, hidden], ops::Activation::None, self)?;
        Ok(Layer {
            qkv,
            attended: self.linear(
                &format!("{name}.attention.output.dense"),
                [hidden, hidden],
                ops::Activation::None,
            )?,
            attended_norm: self.norm(&format!("{name}.attention.output.LayerNorm"))?,
            inner: self.linear(&format!("{name}.intermediate.dense"), [inner, hidden], ops::Activation::Gelu)?,
            outer: self.linear(&format!("{name}.output.dense"), [hidden, inner], ops::Activation::None)?,
            outer_norm: self.norm(&format!("{name}.output.LayerNorm"))?,
        })
    }

    pub fn linear(
        &self,
        name: &str,
        [out, width]: [usize; 2],
        activation: ops::Activation,
    ) -> Result<Linear, LoadError> {
        let read = |kind: &str, shape: &[usize]| self.tensors.read(&format!("{name}.{kind}"), shape);
        Linear::new(
            name,
            || Ok((read("weight", &[out, width])?, read("bias", &[out])?)),
            [out, width],
            activation,
            self,
        )
    }

    fn norm(&self, name: &str) -> Result<Norm, LoadError> {
        let part = |part: &str| self.tensors.read(&format!("{name}.{part}"), &[self.shape.hidden]);
        Norm::new(part("weight")?, part("bias")?, self.shape.epsilon, self)
    }
}
