//! A decoder's layers in candle's own operations, for devices that the kernels do not know. Keys and
//! values stay on the device; quantised weights stay as they are.
//!
//! Dense weights, keys and values are of one type, which may be half as wide as f32, and so is what is
//! multiplied with them. All else is f32: what layers add up, norms, positions, shares of attention, gates.

use candle_core::{D, DType, Device, Result, Tensor};

use super::Step;
use super::config::{Config, Rope};
use super::weights::{Matrix, On, Source, query_norm};
use crate::inference::encoder::LoadError;
use crate::inference::kernels::decoder::Gate;

/// All but the embeddings.
pub(super) struct OnDevice {
    layers: Vec<Layer>,
    norm: Tensor,
    output: Matrix,
    turns: Turns,
    /// In layers that look back only so far.
    window_turns: Option<Turns>,
    device: Device,
    /// Of keys and values.
    dtype: DType,
}

struct Layer {
    attention_norm: Tensor,
    /// Queries, keys and values, and what is added to them.
    qkv: [(Matrix, Option<Tensor>); 3],
    q_norm: Option<Tensor>,
    k_norm: Option<Tensor>,
    out: Matrix,
    attended_norm: Option<Tensor>,
    ffn_norm: Tensor,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    fed_norm: Option<Tensor>,
}

/// Cosines and sines, `[positions, half a head]`.
struct Turns {
    cosines: Tensor,
    sines: Tensor,
    neighbours: bool,
}

impl OnDevice {
    /// `sizes`: of the embeddings.
    pub fn load(
        source: &dyn Source,
        config: &Config,
        sizes: [usize; 2],
        on: On<'_>,
    ) -> std::result::Result<Self, LoadError> {
        let from = Loading { source, on };
        let output = if source.has("output.weight") { "output.weight" } else { "token_embd.weight" };
        let turns = |rope: &Rope| Turns::new(rope, config, on.device);
        Ok(Self {
            layers: (0..config.layers).map(|n| from.layer(n, config)).collect::<std::result::Result<_, _>>()?,
            norm: from.vector("output_norm.weight", config.hidden)?,
            output: source.tensor(output, sizes, on)?,
            turns: turns(&config.rope)?,
            window_turns: config.window.map(|window| turns(&window.rope)).transpose()?,
            device: on.device.clone(),
            dtype: on.dtype,
        })
    }

    /// The logits after the last token of each step; `x` is what the embeddings give for all tokens.
    pub fn forward(&self, config: &Config, steps: &mut [Step<'_>], x: Vec<f32>) -> Result<Vec<Vec<f32>>> {
        let rows = x.len() / config.hidden;
        let mut x = Tensor::from_vec(x, (rows, config.hidden), &self.device)?;
        let epsilon = f64::from(config.epsilon);
        for (n, layer) in self.layers.iter().enumerate() {
            let attended = self.attend(config, n, steps, &norm(&x, &layer.attention_norm, epsilon)?)?;
            x = (x + normed(attended, layer.attended_norm.as_ref(), epsilon)?)?;
            let read = layer.gate.takes(&norm(&x, &layer.ffn_norm, epsilon)?)?;
            let gate = layer.gate.forward(&read)?;
            let gate = match config.gate {
                Gate::Silu => gate.silu()?,
                Gate::Gelu => gate.gelu()?,
            };
            let fed = layer.down.forward(&(gate * layer.up.forward(&read)?)?)?;
            x = (x + normed(fed, layer.fed_norm.as_ref(), epsilon)?)?;
        }
        let mut end = 0;
        let last = steps.iter().map(|step| {
            end += step.tokens.len();
            x.narrow(0, end - 1, 1)
        });
        let last = Tensor::cat(&last.collect::<Result<Vec<_>>>()?, 0)?;
        self.output.forward(&norm(&last, &self.norm, epsilon)?)?.to_vec2()
    }

    /// What each token takes from those before it; `x` is what the layer reads.
    fn attend(&self, config: &Config, n: usize, steps: &mut [Step<'_>], x: &Tensor) -> Result<Tensor> {
        let layer = &self.layers[n];
        let x = layer.qkv[0].0.takes(x)?;
        let parts = layer.qkv.iter().map(|(weight, bias)| match (weight.forward(&x)?, bias) {
            (sums, Some(bias)) => sums.broadcast_add(bias),
            (sums, None) => Ok(sums),
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let mut attended = Vec::with_capacity(steps.len());
        let mut row = 0;
        for step in steps {
            let rows = step.tokens.len();
            let own = parts.iter().map(|part| part.narrow(0, row, rows)).collect::<Result<Vec<_>>>()?;
            attended.push(self.attend_one(config, n, step, &own)?);
            row += rows;
        }
        layer.out.forward(&Tensor::cat(&attended, 0)?)
    }

    /// The same for the tokens of one sequence.
    fn attend_one(&self, config: &Config, n: usize, step: &mut Step<'_>, qkv: &[Tensor]) -> Result<Tensor> {
        let layer = &self.layers[n];
        let Config { heads, kv_heads, head_dim, .. } = *config;
        let (rows, before) = (step.tokens.len(), step.sequence.tokens.len());
        let window = config.window.filter(|window| window.is_of(n));
        let turns = self.window_turns.as_ref().filter(|_| window.is_some()).unwrap_or(&self.turns);
        // `[heads, rows, head dim]`
        let cut = |part: &Tensor, heads: usize| part.reshape((rows, heads, head_dim))?.transpose(0, 1)?.contiguous();
        let turned = |part: &Tensor, heads: usize, weight: Option<&Tensor>| {
            turns.turn(&normed(cut(part, heads)?, weight, f64::from(config.epsilon))?, before)
        };
        let q = (turned(&qkv[0], heads, layer.q_norm.as_ref())? / (head_dim as f64).sqrt())?.to_dtype(self.dtype)?;
        let (k, v) = (turned(&qkv[1], kv_heads, layer.k_norm.as_ref())?, cut(&qkv[2], kv_heads)?);
        let new = [k.to_dtype(self.dtype)?, v.to_dtype(self.dtype)?];
        let [keys, values] = step.sequence.append(n, before, new)?;

        let group = heads / kv_heads;
        let q = q.reshape((kv_heads, group * rows, head_dim))?;
        let scores = q.matmul(&keys.t()?)?.to_dtype(DType::F32)?;
        let mask = mask(rows, before, window.map_or(usize::MAX, |window| window.positions), &self.device)?;
        let scores = scores.reshape((heads, rows, before + rows))?.broadcast_add(&mask)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let shares = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let shares = shares.reshape((kv_heads, group * rows, before + rows))?.to_dtype(self.dtype)?;
        let taken = shares.matmul(&values)?.to_dtype(DType::F32)?;
        taken.reshape((heads, rows, head_dim))?.transpose(0, 1)?.reshape((rows, heads * head_dim))
    }
}

impl Turns {
    fn new(rope: &Rope, config: &Config, device: &Device) -> Result<Self> {
        let steps = rope.steps(config.head_dim);
        let half = steps.len();
        let angle = |n: usize| (n / half) as f64 * steps[n % half];
        let all = |of: fn(f64) -> f64| {
            let numbers: Vec<f32> = (0..config.context * half).map(|n| of(angle(n)) as f32).collect();
            Tensor::from_vec(numbers, (config.context, half), device)
        };
        Ok(Self { cosines: all(f64::cos)?, sines: all(f64::sin)?, neighbours: rope.neighbours })
    }

    /// Turns `[heads, rows, head dim]`, the first row at position `before`.
    fn turn(&self, x: &Tensor, before: usize) -> Result<Tensor> {
        let (heads, rows, width) = x.dims3()?;
        let (cosines, sines) = (self.cosines.narrow(0, before, rows)?, self.sines.narrow(0, before, rows)?);
        let (a, b) = match self.neighbours {
            true => {
                let pairs = x.reshape((heads, rows, width / 2, 2))?;
                (pairs.narrow(3, 0, 1)?.squeeze(3)?, pairs.narrow(3, 1, 1)?.squeeze(3)?)
            }
            false => (x.narrow(2, 0, width / 2)?, x.narrow(2, width / 2, width / 2)?),
        };
        let first = (a.broadcast_mul(&cosines)? - b.broadcast_mul(&sines)?)?;
        let second = (a.broadcast_mul(&sines)? + b.broadcast_mul(&cosines)?)?;
        match self.neighbours {
            true => Tensor::stack(&[first, second], 3)?.reshape((heads, rows, width)),
            false => Tensor::cat(&[first, second], 2),
        }
    }
}

/// What keeps a token from seeing those after it, and those too far before it: `[rows, before + rows]`.
fn mask(rows: usize, before: usize, most: usize, device: &Device) -> Result<Tensor> {
    let sees = |row: usize, seen: usize| seen <= before + row && before + row - seen < most;
    let number = |n: usize| if sees(n / (before + rows), n % (before + rows)) { 0.0 } else { f32::NEG_INFINITY };
    let numbers: Vec<f32> = (0..rows * (before + rows)).map(number).collect();
    Tensor::from_vec(numbers, (rows, before + rows), device)
}

/// `x / rms(x) * weight` of what lies last.
fn norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let squares = (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?;
    x.broadcast_div(&squares.sqrt()?)?.broadcast_mul(weight)
}

fn normed(x: Tensor, weight: Option<&Tensor>, epsilon: f64) -> Result<Tensor> {
    weight.map_or(Ok(x.clone()), |weight| norm(&x, weight, epsilon))
}

/// Where weights are read from, and where to.
struct Loading<'a> {
    source: &'a dyn Source,
    on: On<'a>,
}

impl Loading<'_> {
    fn layer(&self, n: usize, config: &Config) -> std::result::Result<Layer, LoadError> {
        let Config { hidden, inner, heads, kv_heads, head_dim, .. } = *config;
        let name = |part: &str| format!("blk.{n}.{part}");
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let matrix = |part: &str, sizes| self.source.tensor(&name(&format!("{part}.weight")), sizes, self.on);
        let vector = |part: &str, length| self.vector(&name(part), length);
        let optional = |part: &str, length| self.source.has(&name(part)).then(|| vector(part, length)).transpose();
        let added = |part: &str, rows| {
            std::result::Result::<_, LoadError>::Ok((
                matrix(part, [rows, hidden])?,
                optional(&format!("{part}.bias"), rows)?,
            ))
        };
        Ok(Layer {
            attention_norm: vector("attn_norm.weight", hidden)?,
            qkv: [added("attn_q", q)?, added("attn_k", kv)?, added("attn_v", kv)?],
            q_norm: query_norm(self.source, n, config)?
                .map(|norm| Tensor::from_vec(norm, head_dim, self.on.device))
                .transpose()?,
            k_norm: optional("attn_k_norm.weight", head_dim)?,
            out: matrix("attn_output", [hidden, q])?,
            attended_norm: optional("post_attention_norm.weight", hidden)?,
            ffn_norm: vector("ffn_norm.weight", hidden)?,
            gate: matrix("ffn_gate", [inner, hidden])?,
            up: matrix("ffn_up", [inner, hidden])?,
            down: matrix("ffn_down", [hidden, inner])?,
            fed_norm: optional("post_ffw_norm.weight", hidden)?,
        })
    }

    fn vector(&self, name: &str, length: usize) -> std::result::Result<Tensor, LoadError> {
        Ok(Tensor::from_vec(self.source.numbers(name, &[length])?, length, self.on.device)?)
    }
}
