//! A decoder as Hugging Face's library saves it: safetensors, and what is said of them in JSON.

use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use serde_json::Value;

use super::weights::{Matrix, On, Source, dense, pack};
use crate::inference::catalogue::Entry;
use crate::inference::encoder::{Form, LoadError, Tensors};
use crate::inference::kernels::quant::QuantLinear;

/// The files in a folder.
pub struct Safetensors {
    folder: PathBuf,
    /// One, or the parts of a larger one.
    tensors: Vec<Tensors>,
    /// `config.json`.
    pub config: Value,
}

impl Safetensors {
    pub(super) fn open(folder: &Path, entry: &Entry) -> Result<Self, LoadError> {
        let weights = entry.files.iter().filter(|file| file.name.ends_with(".safetensors"));
        let tensors: Vec<_> =
            weights.map(|file| Tensors::safetensors(&folder.join(&file.name))).collect::<Result<_, _>>()?;
        if tensors.is_empty() {
            return Err(LoadError::Unsupported("a decoder with neither a .gguf nor a .safetensors file".to_owned()));
        }
        let folder = folder.to_owned();
        let missing = || LoadError::Unsupported("safetensors without a config.json".to_owned());
        let config = read(&folder, "config.json")?.ok_or_else(missing)?;
        Ok(Self { folder, tensors, config })
    }

    /// A file of JSON beside the weights; none if it is not there.
    pub fn json(&self, name: &str) -> Result<Option<Value>, LoadError> {
        read(&self.folder, name)
    }

    /// The one in `tokenizer_config.json`, or in a file of its own, as newer models have it.
    pub fn chat_template(&self) -> Result<Option<String>, LoadError> {
        let told = self.json("tokenizer_config.json")?.unwrap_or_default();
        let of_name = |name: &str| {
            let named = told["chat_template"].as_array()?.iter().find(|template| template["name"] == name)?;
            named["template"].as_str()
        };
        let template = told["chat_template"].as_str().or_else(|| of_name("default"));
        Ok(template
            .map(str::to_owned)
            .or_else(|| std::fs::read_to_string(self.folder.join("chat_template.jinja")).ok()))
    }

    fn is_gemma(&self) -> bool {
        self.config["model_type"] == "gemma3_text"
    }

    fn find(&self, tensor: &str) -> Option<(&Tensors, String)> {
        let name = published(tensor, self.is_gemma());
        Some((self.tensors.iter().find(|tensors| tensors.has(&name))?, name))
    }

    fn found(&self, tensor: &str) -> Result<(&Tensors, String), LoadError> {
        self.find(tensor).ok_or_else(|| {
            wrong("model.safetensors", &format!("it has no tensor {}", published(tensor, self.is_gemma())))
        })
    }
}

impl Source for Safetensors {
    fn has(&self, tensor: &str) -> bool {
        // A file may hold the embeddings twice.
        let is_tied = self.config["tie_word_embeddings"].as_bool().unwrap_or(self.is_gemma());
        !(is_tied && tensor == "output.weight") && self.find(tensor).is_some()
    }

    fn rows(&self, tensor: &str) -> Result<usize, LoadError> {
        let (tensors, name) = self.found(tensor)?;
        Ok(tensors.matrix(&name)?.height)
    }

    fn numbers(&self, tensor: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let (tensors, name) = self.found(tensor)?;
        let mut numbers = tensors.read(&name, shape)?;
        if self.is_gemma() && name.ends_with("norm.weight") {
            // Its norms multiply with one more than the file has.
            numbers.iter_mut().for_each(|weight| *weight += 1.0);
        }
        Ok(numbers)
    }

    fn matrix(&self, tensor: &str, shape: [usize; 2]) -> Result<QuantLinear, LoadError> {
        let (tensors, name) = self.found(tensor)?;
        let (form, bytes) = tensors.bytes(&name, &shape)?;
        let form = match form {
            Form::F32 => GgmlDType::F32,
            Form::F16 => GgmlDType::F16,
            Form::Bf16 => GgmlDType::BF16,
            _ => return Err(wrong("model.safetensors", &format!("{name} is of another type than F32, F16 and BF16"))),
        };
        pack(form, bytes, shape).map_err(|error| wrong("model.safetensors", &format!("{name}: {error}")))
    }

    fn tensor(&self, tensor: &str, shape: [usize; 2], on: On<'_>) -> Result<Matrix, LoadError> {
        dense(self.numbers(tensor, &shape)?, shape, on)
    }
}

/// The name that the library gives to a tensor that GGUF calls so.
fn published(tensor: &str, is_gemma: bool) -> String {
    let mut parts = tensor.splitn(3, '.');
    let (Some("blk"), Some(layer), Some(part)) = (parts.next(), parts.next(), parts.next()) else {
        return match tensor {
            "token_embd.weight" => "model.embed_tokens.weight".to_owned(),
            "output_norm.weight" => "model.norm.weight".to_owned(),
            "output.weight" => "lm_head.weight".to_owned(),
            other => other.to_owned(),
        };
    };
    let (part, kind) = part.rsplit_once('.').unwrap_or((part, ""));
    let part = match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "attn_output" => "self_attn.o_proj",
        "ffn_norm" if is_gemma => "pre_feedforward_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "post_attention_norm" if is_gemma => "post_attention_layernorm",
        "post_ffw_norm" if is_gemma => "post_feedforward_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        other => other,
    };
    format!("model.layers.{layer}.{part}.{kind}")
}

fn read(folder: &Path, name: &str) -> Result<Option<Value>, LoadError> {
    let bytes = match std::fs::read(folder.join(name)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoadError::Read { file: name.to_owned(), source }),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| wrong(name, &error.to_string()))
}

fn wrong(file: &str, wrong: &str) -> LoadError {
    LoadError::File { file: file.to_owned(), wrong: wrong.to_owned() }
}
