//! A decoder's layers on the kernels.

use super::config::{Config, Rope};
use super::weights::{Layer, Source};
use super::{Place, Step};
use crate::inference::encoder::LoadError;
use crate::inference::kernels::decoder::{Past, Turns, add, attention, gate, rms_norm, rope};
use crate::inference::kernels::pool::Pool;
use crate::inference::kernels::quant::QuantLinear;

/// All but the embeddings.
pub(super) struct OnCpu {
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// None: the embeddings, as a matrix.
    output: Option<QuantLinear>,
    turns: Turns,
    /// In layers that look back only so far.
    window_turns: Option<Turns>,
    pool: Pool,
}

impl OnCpu {
    /// `sizes`: of the embeddings.
    pub fn load(source: &dyn Source, config: &Config, sizes: [usize; 2], pool: &Pool) -> Result<Self, LoadError> {
        let output = match source.has("output.weight") {
            true => Some(source.matrix("output.weight", sizes)?),
            false => None,
        };
        let layers = (0..config.layers).map(|n| Layer::load(source, n, config)).collect::<Result<_, _>>()?;
        let norm = source.numbers("output_norm.weight", &[config.hidden])?;
        let turns = |rope: &Rope| Turns::new(&rope.steps(config.head_dim), config.context, rope.neighbours);
        let window_turns = config.window.map(|window| turns(&window.rope));
        Ok(Self { layers, norm, output, turns: turns(&config.rope), window_turns, pool: pool.clone() })
    }

    /// The logits after the last token of each step; `x` is what the embeddings give for all tokens.
    pub fn forward(
        &self,
        config: &Config,
        embeddings: &QuantLinear,
        steps: &mut [Step<'_>],
        places: &[Place],
        mut x: Vec<f32>,
    ) -> Vec<Vec<f32>> {
        let mut buffers = Buffers::new(config, places.len());
        for (n, layer) in self.layers.iter().enumerate() {
            self.attend(config, n, steps, places, &mut x, &mut buffers);
            rms_norm(&x, &layer.ffn_norm, config.epsilon, &mut buffers.normed);
            let layers = [&layer.gate, &layer.up];
            let mut outs = [&mut buffers.gate[..], &mut buffers.up[..]];
            QuantLinear::forward_many(&layers, &buffers.normed, places.len(), &mut outs, &self.pool);
            gate(config.gate, &mut buffers.gate, &buffers.up);
            layer.down.forward(&buffers.gate, places.len(), &mut buffers.normed, &self.pool);
            add_normed(&mut x, &mut buffers.normed, layer.fed_norm.as_deref(), config.epsilon);
        }
        self.logits(config, self.output.as_ref().unwrap_or(embeddings), steps, &x)
    }

    /// Attention of one layer, added to `x`.
    fn attend(
        &self,
        config: &Config,
        n: usize,
        steps: &mut [Step<'_>],
        places: &[Place],
        x: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let layer = &self.layers[n];
        let Config { heads, kv_heads, head_dim, epsilon, .. } = *config;
        rms_norm(x, &layer.attention_norm, epsilon, &mut buffers.normed);
        let layers = [&layer.q.weight, &layer.k.weight, &layer.v.weight];
        let mut outs = [&mut buffers.q[..], &mut buffers.k[..], &mut buffers.v[..]];
        QuantLinear::forward_many(&layers, &buffers.normed, places.len(), &mut outs, &self.pool);
        let window = config.window.filter(|window| window.is_of(n));
        let turns = self.window_turns.as_ref().filter(|_| window.is_some()).unwrap_or(&self.turns);
        let rows = buffers.q.chunks_exact_mut(heads * head_dim);
        let kv_width = kv_heads * head_dim;
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
            rope(q, place.position, turns);
            rope(k, place.position, turns);
            steps[place.step].sequence.put(n, place.position, k, v);
        }
        let past = Seen { steps, places, layer: n, most: window.map_or(usize::MAX, |window| window.positions) };
        attention(&buffers.q, &past, [heads, kv_heads], head_dim, &mut buffers.attended, &self.pool);
        layer.out.forward(&buffers.attended, places.len(), &mut buffers.normed, &self.pool);
        add_normed(x, &mut buffers.normed, layer.attended_norm.as_deref(), epsilon);
    }

    fn logits(&self, config: &Config, output: &QuantLinear, steps: &[Step<'_>], x: &[f32]) -> Vec<Vec<f32>> {
        let hidden = config.hidden;
        let mut last = Vec::with_capacity(steps.len() * hidden);
        let mut end = 0;
        for step in steps {
            end += step.tokens.len();
            last.extend_from_slice(&x[(end - 1) * hidden..end * hidden]);
        }
        let mut normed = vec![0.0; last.len()];
        rms_norm(&last, &self.norm, config.epsilon, &mut normed);
        let mut logits = vec![0.0; steps.len() * output.out_features()];
        output.forward(&normed, steps.len(), &mut logits, &self.pool);
        logits.chunks_exact(output.out_features()).map(<[f32]>::to_vec).collect()
    }
}

/// Adds to `x` what a part of a layer gives, after a norm if it has one.
fn add_normed(x: &mut [f32], more: &mut [f32], norm: Option<&[f32]>, epsilon: f32) {
    if let Some(norm) = norm {
        let plain = more.to_vec();
        rms_norm(&plain, norm, epsilon, more);
    }
    add(x, more);
}

struct Seen<'a, 'b> {
    steps: &'a [Step<'b>],
    places: &'a [Place],
    layer: usize,
    /// Most positions that a token sees.
    most: usize,
}

impl Past for Seen<'_, '_> {
    fn seen(&self, row: usize, kv_head: usize) -> (&[f32], &[f32]) {
        let place = &self.places[row];
        let end = place.position + 1;
        self.steps[place.step].sequence.of(self.layer, kv_head, end.saturating_sub(self.most)..end)
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
