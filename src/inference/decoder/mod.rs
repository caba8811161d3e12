//! Decoders of the Llama family: tokens to what may come next.
//!
//! A step takes new tokens of several sequences at once: the weights are read once for all of them.

use std::path::Path;

mod cache;
mod config;
mod gguf;
mod weights;

pub use cache::Sequence;
pub use config::Config;
pub use gguf::Gguf;
use weights::Layer;

use super::encoder::LoadError;
use super::kernels::decoder::{Past, Turns, add, attention, rms_norm, rope, silu_mul};
use super::kernels::pool::Pool;
use super::kernels::quant::QuantLinear;

/// New tokens of one sequence. The last one's logits are wanted.
pub struct Step<'a> {
    pub sequence: &'a mut Sequence,
    pub tokens: &'a [u32],
}

/// A decoder with its weights.
pub struct Decoder {
    pub config: Config,
    embeddings: QuantLinear,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// None: the embeddings, as a matrix.
    output: Option<QuantLinear>,
    turns: Turns,
    pool: Pool,
}

impl Decoder {
    /// `context`: most tokens of a sequence, prompt and answer together.
    ///
    /// Errors: what is missing in the file, or not supported.
    pub fn load(path: &Path, context: usize, pool: &Pool) -> Result<(Self, Gguf), LoadError> {
        let gguf = Gguf::open(path)?;
        let mut config = Config::of(&gguf)?;
        config.context = config.context.min(context);
        let vocabulary = gguf.blocks("token_embd.weight")?.shape.first().copied().unwrap_or(0);
        let embeddings = weights::matrix(&gguf, "token_embd.weight", [vocabulary, config.hidden])?;
        let output = match gguf.has("output.weight") {
            true => Some(weights::matrix(&gguf, "output.weight", [vocabulary, config.hidden])?),
            false => None,
        };
        let layers = (0..config.layers).map(|n| Layer::load(&gguf, n, &config)).collect::<Result<_, _>>()?;
        let norm = gguf.numbers("output_norm.weight", &[config.hidden])?;
        let turns = Turns::new(config.rope.base, config.head_dim, config.context, config.rope.neighbours);
        Ok((Self { embeddings, layers, norm, output, turns, pool: pool.clone(), config }, gguf))
    }

    /// A sequence without tokens.
    pub fn sequence(&self) -> Sequence {
        Sequence::new(&self.config, self.config.context)
    }

    pub fn vocabulary(&self) -> usize {
        self.embeddings.out_features()
    }

    /// Reads the new tokens, and gives the logits `[vocabulary]` after the last one of each step.
    ///
    /// Panics if a sequence has no room for its tokens, which whoever makes the steps looks after.
    pub fn forward(&self, steps: &mut [Step<'_>]) -> Vec<Vec<f32>> {
        let hidden = self.config.hidden;
        let places = places(steps);
        let mut x = vec![0.0; places.len() * hidden];
        for (place, row) in places.iter().zip(x.chunks_exact_mut(hidden)) {
            // A token that the model does not have is none that its tokenizer gives.
            self.embeddings.row((place.token as usize).min(self.vocabulary() - 1), row);
        }
        let mut buffers = Buffers::new(&self.config, places.len());
        for (n, layer) in self.layers.iter().enumerate() {
            self.attend(n, layer, steps, &places, &mut x, &mut buffers);
            rms_norm(&x, &layer.ffn_norm, self.config.epsilon, &mut buffers.normed);
            let layers = [&layer.gate, &layer.up];
            let mut outs = [&mut buffers.gate[..], &mut buffers.up[..]];
            QuantLinear::forward_many(&layers, &buffers.normed, places.len(), &mut outs, &self.pool);
            silu_mul(&mut buffers.gate, &buffers.up);
            layer.down.forward(&buffers.gate, places.len(), &mut buffers.normed, &self.pool);
            add(&mut x, &buffers.normed);
        }
        for step in steps.iter_mut() {
            step.sequence.tokens.extend_from_slice(step.tokens);
        }
        self.logits(steps, &x)
    }

    /// Attention of one layer, added to `x`.
    fn attend(
        &self,
        n: usize,
        layer: &Layer,
        steps: &mut [Step<'_>],
        places: &[Place],
        x: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let Config { heads, kv_heads, head_dim, epsilon, .. } = self.config;
        let (q_width, kv_width) = (heads * head_dim, kv_heads * head_dim);
        rms_norm(x, &layer.attention_norm, epsilon, &mut buffers.normed);
        let layers = [&layer.q.weight, &layer.k.weight, &layer.v.weight];
        let mut outs = [&mut buffers.q[..], &mut buffers.k[..], &mut buffers.v[..]];
        QuantLinear::forward_many(&layers, &buffers.normed, places.len(), &mut outs, &self.pool);
        let rows = buffers.q.chunks_exact_mut(q_width);
        let rows = rows.zip(buffers.k.chunks_exact_mut(kv_width)).zip(buffers.v.chunks_exact_mut(kv_width));
        for (place, ((q, k), v)) in places.iter().zip(rows) {
            for (row, layer) in [(&mut *q, &layer.q), (&mut *k, &layer.k), (&mut *v, &layer.v)] {
                if let Some(bias) = &layer.bias {
                    add(row, bias);
                }
            }
            for (heads, norm) in [(&mut *q, &layer.q_norm), (&mut *k, &layer.k_norm)] {
                if let Some(norm) = norm {
                    let plain = heads.to_vec();
                    rms_norm(&plain, norm, epsilon, heads);
                }
            }
            rope(q, place.position, &self.turns);
            rope(k, place.position, &self.turns);
            steps[place.step].sequence.put(n, place.position, k, v);
        }
        let past = Seen { steps, places, layer: n };
        attention(&buffers.q, &past, [heads, kv_heads], head_dim, &mut buffers.attended, &self.pool);
        layer.out.forward(&buffers.attended, places.len(), &mut buffers.normed, &self.pool);
        add(x, &buffers.normed);
    }

    fn logits(&self, steps: &[Step<'_>], x: &[f32]) -> Vec<Vec<f32>> {
        let hidden = self.config.hidden;
        let mut last = Vec::with_capacity(steps.len() * hidden);
        let mut end = 0;
        for step in steps {
            end += step.tokens.len();
            last.extend_from_slice(&x[(end - 1) * hidden..end * hidden]);
        }
        let mut normed = vec![0.0; last.len()];
        rms_norm(&last, &self.norm, self.config.epsilon, &mut normed);
        let mut logits = vec![0.0; steps.len() * self.vocabulary()];
        self.output.as_ref().unwrap_or(&self.embeddings).forward(&normed, steps.len(), &mut logits, &self.pool);
        logits.chunks_exact(self.vocabulary()).map(<[f32]>::to_vec).collect()
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

struct Seen<'a, 'b> {
    steps: &'a [Step<'b>],
    places: &'a [Place],
    layer: usize,
}

impl Past for Seen<'_, '_> {
    fn seen(&self, row: usize, kv_head: usize) -> (&[f32], &[f32]) {
        let place = &self.places[row];
        self.steps[place.step].sequence.of(self.layer, kv_head, place.position + 1)
    }
}

/// What a step needs beside its rows.
struct Buffers {
    normed: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
}

impl Buffers {
    fn new(config: &Config, rows: usize) -> Self {
        let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let of = |width: usize| vec![0.0; rows * width];
        Self {
            normed: of(config.hidden),
            q: of(q),
            k: of(kv),
            v: of(kv),
            attended: of(q),
            gate: of(config.inner),
            up: of(config.inner),
        }
    }
}
